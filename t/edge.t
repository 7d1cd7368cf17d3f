#!/usr/bin/perl

# What stands in front of guests: TLS and HTTP/2, odd clients, limits, and
# Redis away.  The guests are a listener inside the stack and records put into
# Redis by hand: none is booted.

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use SandboxRecords;
use SandboxTest;

use constant HEADER => 'X-Nullspace-Traffic-Access-Token';
use constant TOKEN => 'x' x 32;
use constant BIG => 30_000_000;

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_traffic_limits=connections=4 rate=10r/s burst=200 age=3s',
    '--set', 'sandbox_api_limits=rate=6r/m burst=9',
    '--set', 'sandbox_route_ttl=1s', '--set', 'sandbox_route_stale=3s']);
my $socket = $t->redis_socket;
my $records = SandboxRecords->new($socket, 'edge');
my ($r, $http);

sub inside { return $t->stack('exec-in', @_) }

sub address { return unpack('N', pack('C4', 10, 88, 1, shift)) }

sub execution { return sprintf '%016x', rand 2**48 }

# A sandbox at the listener.
sub record {
    my (%o) = @_;
    my $id = $records->add(address => address(1), execution => execution(),
                           traffic_token => TOKEN, %o);

    $records->flush;
    return $id;
}

# Changes a record to a sandbox that runs at an address, after an event.
sub runs {
    my ($of, $id, $event, $n) = @_;

    $of->later('HSET', $of->key('sandbox', $id), state => 'running',
               address => address($n), execution => execution());
    $of->later('PUBLISH', SandboxRecords::PREFIX . 'events', "$id $event");
    $of->flush;
}

sub ask {
    my ($id, $path, %o) = @_;

    return $t->traffic($id, 8000, 'GET', $path // '/', %o);
}

# A connection with a request on its way.
sub begun {
    my ($id, $path, @headers) = @_;
    my $c = SandboxHttp->new($t->{traffic}, 20);

    $c->send($c->format_request('GET', $path,
                                [Host => $t->host($id, 8000), @headers]));
    return $c;
}

# How many requests for a sandbox the guest at an address is answering.
sub at_guest {
    my ($id, $n) = @_;

    return inside('curl', '-s',
                  "http://10.88.1.$n:8000/busy?" . $t->host($id, 8000));
}

# How many calls are at the agent that never answers.
sub at_agent {
    return scalar(() = inside(qw(ss -Htn state established src 10.88.1.1:891))
                  =~ /\n/g);
}

# A download without an end, as soon as there is room for it.
sub endless {
    my ($id) = @_;

    return wait_for(5, sub {
        my $c = begun($id, '/events');
        return (($c->read_head // {})->{status} // 0) == 200 && $c;
    });
}

sub exiting {
    return map { $_->[0] }
           grep { $_->[1] =~ /^nginx: worker process is shutting down/ }
           $t->{left}->processes;
}

# Reloads nginx, until the workers of before are exiting or gone.
sub reloaded {
    my %old = map { $_ => 1 } $t->workers;

    $t->stack('reload', 'nginx');
    wait_for(20, sub {
        !grep { $old{$_->[0]}
                && $_->[1] =~ /^nginx: worker process(?! is shutting down)/ }
              $t->{left}->processes;
    }) or diag('the workers go on');
}

# nginx.conf, which is first changed to a text that is given: in place, for the
# file is mounted as it is.
sub nginx_conf {
    my $file = "$t->{dir}/etc/nginx.conf";

    if (@_) {
        open(my $fh, '>', $file) or die "$file: $!";
        print $fh shift;
        close $fh;
    }
    return SandboxLeft::slurp($file);
}

# --- the listener, and a front with TLS and HTTP/2 ---------------------------------

inside(qw(ip route add local 10.88.1.0/24 dev lo));
inside('sh', '-c', 'openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '
       . '/CN=edge -keyout /run/stack/key -out /run/stack/crt 2>/dev/null');
{
    my $conf = nginx_conf();
    my $returns = join "\n        ", map {
        "location = /return/$_ { sandbox_traffic on; return $_; }"
    } 410, 429, 451, 507;
    $conf =~ s{^(\s*)(server_name \*)}
              {$1listen 127.0.0.1:18443 ssl http2;
        listen 127.0.0.1:18080 sndbuf=8k;
        ssl_certificate /run/stack/crt;
        ssl_certificate_key /run/stack/key;
        error_page 502 = \@again;
        location \@again {
            sandbox_traffic on;
            proxy_pass http://sandboxes;
        }
        location = /digits { sandbox_traffic off; root /run/stack; }
        location /file/ {
            error_page 502 504 /file;
            proxy_pass http://sandboxes;
        }
        location = /file {
            internal;
            gzip_static on;
            alias /run/stack/digits;
        }
        location /page/ {
            error_page 502 504 /page;
            proxy_pass http://sandboxes;
        }
        location = /page {
            internal;
            sandbox_traffic off;
            alias /run/stack/digits;
        }
        $returns
        $2}m or BAIL_OUT('no traffic server');
    nginx_conf($conf);
}
# an agent that never answers
my $mute = <<'END';
import socket, threading

s = socket.create_server(("10.88.1.1", 891), backlog=64)
threading.Event().wait()
END
my @listeners = map {
    my $pid = fork // die;
    if ($pid == 0) {
        open($_, '>', '/dev/null') for \*STDOUT, \*STDERR;
        exec("$SandboxTest::top/scripts/stack", 'exec-in', '--dir', $t->{dir},
             'python3', @$_) or POSIX::_exit(127);
    }
    $pid;
} [$SandboxTest::guest_server, 8000, '10.88.1.1'],
  [$SandboxTest::guest_server, 8000, '10.88.1.2'], ['-c', $mute];
my $reaper = guard(sub {
    kill 'TERM', @listeners;
    waitpid $_, 0 for @listeners;
});
$t->stack('restart', 'nginx');

my $public = record();
my $private = record(public_traffic => 0);
ok(wait_for(10, sub { ask($public)->{status} == 200 }), 'a route')
    or BAIL_OUT('no listener');

# --- TLS and HTTP/2 --------------------------------------------------------------------

# curl's answer, also to what it does not like: { status, version, body }.
sub curl {
    my ($id, $path, @options) = @_;
    my $host = $t->host($id, 8000);
    my (undef, $text) = $t->try_stack('exec-in', 'curl', '-skN', '-w', '\n%{http_code} %{http_version}',
                      '--resolve', "$host:18443:127.0.0.1", @options,
                      "https://$host:18443$path");
    my ($body, $status, $version) = $text =~ /\A(.*)\n(\d+) (\S+)\n?\z/s;

    return { body => $body, status => $status, version => $version };
}

for (['--http2', 2], ['--http1.1', '1.1']) {
    my ($option, $version) = @$_;

    $r = curl($private, '/', $option, '-H', HEADER . ': ' . TOKEN);
    is("$r->{status} $r->{version}", "200 $version", "TLS, HTTP/$version");
    my $headers = json->decode($r->{body})->{headers};
    is($headers->{'x-forwarded-proto'}, 'https', 'X-Forwarded-Proto');
    ok(!grep({ /nullspace/ } keys %$headers), 'no token for the guest');

    $r = curl($private, '/', $option);
    is($r->{status}, 403, 'refused without the token');
    like($r->{body}, qr/"traffic_token_required"/, 'in JSON');
    $r = curl($private, '/', $option, '-H', 'Accept: text/html');
    like($r->{body}, qr/^<!DOCTYPE html>.*traffic_token_required/s,
         'a browser without a token gets a page');
    $r = curl($public, '/', $option, '-X', 'TRACE');
    is($r->{status}, 405, 'refused by nginx');
    like($r->{body}, qr/"method_not_allowed"/, 'in JSON as well');

    $r = curl($public, '/noise', $option);
    is("$r->{status} $r->{version}", "502 $version",
       'noise in place of an answer');
    like($r->{body}, qr/\A\{.*"sandbox_unreachable".*\}\n\z/, 'is an error');

    $r = curl($public, '/events', $option, '--max-time', 3);
    like($r->{body}, qr/^data: 0\n\ndata: 1\n\n/,
         'server-sent events as they come, of a stream without an end');
    $r = curl($public, '/big?5000000', $option);
    is(length $r->{body}, 5_000_000, 'a download');
    $r = curl($public, '/hop', $option, '-i');
    like($r->{body}, qr/^x-guest: yes\r\n.*^hello\n\z/ims,
         'an answer with headers of the connection to the guest');
    my @hop = $r->{body} =~ /^(upgrade|proxy-connection|keep-alive):/gim;
    is(scalar(@hop), $version eq '2' ? 0 : 2, 'which HTTP/2 has none of');
    inside('sh', '-c', 'head -c ' . BIG . ' /dev/zero >/run/stack/zeros');
    for my $how (['with a length'], ['in chunks', '-H',
                                     'Transfer-Encoding: chunked']) {
        my ($name, @more) = @$how;
        next if $version eq '2' && @more;
        $r = curl($public, '/', $option, @more, '-T', '/run/stack/zeros');
        is((eval { json->decode($r->{body}) } // {})->{length}, BIG,
           "an upload $name");
    }
    $r = inside('sh', '-c', 'curl -skN --max-time 1.5 ' . $option
        . ' --resolve ' . $t->host($public, 8000) . ':18443:127.0.0.1 https://'
        . $t->host($public, 8000) . ':18443/events | head -c 60');
    like($r, qr/\Adata: 0\n\ndata: 1\n\ndata: 2\n/, 'server-sent events');
}

# --- HTTP/2 has no upgrades ----------------------------------------------------------------

# GETs of the paths, one after the other over one connection, in the way of a
# client that asks for a WebSocket as in HTTP/1.1: lines of status and body.
my $h2 = <<'END';
import socket, ssl, sys

host, paths = sys.argv[1], sys.argv[2:]

def text(s):
    return bytes([len(s)]) + s.encode()

def frame(kind, flags, stream, body=b""):
    return (len(body).to_bytes(3, "big") + bytes([kind, flags])
            + stream.to_bytes(4, "big") + body)

def get(stream, path):
    body = b"\x82\x87\x04" + text(path) + b"\x01" + text(host)
    for name, value in (("upgrade", "websocket"), ("connection", "upgrade"),
                        ("sec-websocket-version", "13"),
                        ("sec-websocket-key", "x" * 22 + "==")):
        body += b"\0" + text(name) + text(value)
    return frame(1, 5, stream, body)

tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
tls.set_alpn_protocols(["h2"])
c = tls.wrap_socket(socket.create_connection(("127.0.0.1", 18443), 5),
                    server_hostname=host)
f = c.makefile("rb")
c.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))

for n, path in enumerate(paths):
    c.sendall(get(2 * n + 1, path))
    kind, flags, status, data = None, 0, b"", b""
    while kind not in (0, 1) or not flags & 1:
        size, kind, flags = int.from_bytes(f.read(3), "big"), *f.read(2)
        f.read(4)
        body = f.read(size)
        if kind == 1:
            body = body.lstrip(b"\x20")
            status = b"200" if body[0] == 0x88 else body[2:5]
        elif kind == 0:
            data += body
    print(status.decode(), data.decode().strip(), flush=True)
END

{
    my (undef, $text) = $t->try_stack('exec-in', 'python3', '-c', $h2,
                                      $t->host($public, 8000), '/ws', '/echo');
    my ($first, $second) = split /\n/, $text;

    like($first, qr/^502 .*"sandbox_unreachable"/,
         'a guest that changes the protocol unasked');
    my ($status, $body) = split / /, $second // '', 2;
    is($status, 200, 'spoils no other answer of the connection')
        or diag($text);
    my $headers = (eval { json->decode($body) } // {})->{headers} // {};
    is($headers->{'sec-websocket-version'}, 13, 'a request with an Upgrade');
    ok(!exists $headers->{upgrade}
       && ($headers->{connection} // '') !~ /upgrade/i, 'goes on without it');
}

# --- of HTTP/1.1 it is only WebSockets that upgrade ------------------------------------------

for (['by its name', $t->{traffic}, '', $t->host($public, 8000)],
     ['in the path form', $t->{api},
      "/__ns-edge/sandboxes/$public/ports/8000", undef]) {
    my ($name, $to, $prefix, $host) = @$_;
    my @host = $host ? (Host => $host) : ();
    my $switch = sub {
        my ($path, @upgrade) = @_;
        my $c = SandboxHttp->new($to, 20);
        return $c->request('GET', "$prefix$path", [
            @host, Connection => 'Upgrade, HTTP2-Settings',
            'HTTP2-Settings' => 'AAMAAABkAAQCAAAAAAIAAAAA',
            'Sec-WebSocket-Key' => 'x' x 22 . '==',
            map { (Upgrade => $_) } @upgrade])
            // { status => 0, headers => {} };
    };

    for (['h2c'], ['websocket, h2c'], ['h2c', 'websocket'],
         ['websocket', 'h2c'], ['HTTP/2.0'], ['TLS/1.2']) {
        my $asked = join ' and ', @$_;

        is($switch->('/switch?h2c', @$_)->{status}, 502,
           "$asked: no guest asked for $name may switch to it");
        $r = $switch->('/echo', @$_);
        is($r->{status}, 200, "$asked: the guest is asked for $name");
        my $headers = (eval { json->decode($r->{body}) } // {})->{headers};
        ok($headers && !exists $headers->{upgrade}
           && ($headers->{connection} // '') !~ /upgrade/i, 'without it');
    }
    is($switch->('/ws', 'WebSocket')->{status}, 101, "a WebSocket $name");
}

# the sample says which versions there are, not the nginx that reads it
for (['-tls1_3', 'TLSv1.3'], ['-tls1_2', 'TLSv1.2'], ['-tls1_1', undef],
     ['-tls1', undef]) {
    my ($option, $version) = @$_;
    my $text = inside('sh', '-c', 'OPENSSL_CONF=/dev/null openssl s_client '
        . "$option -cipher DEFAULT:\@SECLEVEL=0 -connect 127.0.0.1:18443 "
        . '</dev/null 2>&1 | cat');
    is($text =~ /^New, (TLSv1\S*),/m ? $1 : undef, $version, $option);
}

# --- odd clients ---------------------------------------------------------------------------

{
    my $slow = begun($public, '/big?3000000');
    ok($slow->read_head, 'a client that does not read');
    is(ask($public)->{status}, 200, 'keeps nobody waiting');
    is(length($slow->read_bytes(3_000_000) // ''), 3_000_000,
       'a client that read late gets all');

    $slow = SandboxHttp->new($t->{traffic}, 20);
    my $text = $slow->format_request('PUT', '/', [
        Host => $t->host($public, 8000)], 'slowly');
    for my $piece (unpack '(a20)*', $text) {
        $slow->send($piece);
        sleep 0.02;
    }
    is(($slow->read_response // {})->{status}, 200, 'one that sends slowly');

    my $half = begun($public, '/sleep?1');
    sleep 0.2;
    $half->socket->shutdown(1);
    ok($half->closed(10), 'one that has said all it will is taken for gone');
}

# --- one that is slow to take the end of an answer ----------------------------------------

# How many bytes of a body the client gets that reads on only after its sandbox
# has ended.  All buffers on the way are small.
my $slow = <<'END';
import socket, subprocess, sys, time

host, path, id = sys.argv[1:]
c = socket.socket()
c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
c.settimeout(10)
c.connect(("127.0.0.1", 18080))
c.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"
          .encode())
time.sleep(1)
subprocess.run(["redis-cli", "-s", "/run/redis/redis-server.sock", "PUBLISH",
                "sbx:events", f"{id} destroyed"], stdout=subprocess.DEVNULL)
time.sleep(0.5)
data = b""
try:
    while more := c.recv(65536):
        data += more
except OSError:
    pass
print(len(data.partition(b"\r\n\r\n")[2]))
END

for (['/big?30000', 'with a length'], ['/rest?30000', 'without one']) {
    my $id = record();
    is(inside('python3', '-c', $slow, $t->host($id, 8000), $_->[0], $id),
       "30000\n", "the rest of an answer $_->[1], of a guest that has ended");
}
{
    my $id = record();
    cmp_ok(inside('python3', '-c', $slow, $t->host($id, 8000), '/big?3000000',
                  $id), '<', 3_000_000, 'one that is not complete is cut off');
}

# --- errors ----------------------------------------------------------------------------------

# it comes through error_page, which takes what the module knew of it
$t->is_error($t->traffic($public, 8001, 'GET', '/'), 502, 'port_not_open',
             'a request that is redirected to another such location');

# a page of the operator's takes its place where the module has no part in it
inside('sh', '-c', 'echo 0123456789 >/run/stack/digits');
$r = $t->traffic($public, 8001, 'GET', '/file/');
$t->is_error($r, 502, 'port_not_open', 'one that is redirected to a file');
ok(!exists $r->{headers}{$_}, "without its $_") for qw(etag last-modified);
inside('gzip', '-k', '/run/stack/digits');
$r = $t->traffic($public, 8001, 'GET', '/file/',
                 headers => ['Accept-Encoding' => 'gzip']);
$t->is_error($r, 502, 'port_not_open', 'one to a file that is compressed');
ok(!exists $r->{headers}{$_}, "without its $_")
    for qw(etag last-modified content-encoding);
$r = $t->traffic($public, 8001, 'GET', '/page/');
is("$r->{status} $r->{body}", "502 0123456789\n", 'a page of the operator\'s');

# what the operator answers by rules of nginx stays, with a code of ours
for ([410, 'invalid_request'], [451, 'invalid_request'],
     [507, 'internal_error'], [429, 'rate_limit_exceeded']) {
    my ($status, $code) = @$_;
    $t->is_error(ask($public, "/return/$status"), $status, $code,
                 "return $status");
    $r = ask($public, "/return/$status", headers => [Accept => 'text/html']);
    like($r->{body}, qr{<title>$status $code</title>}, 'as a page');
}

{
    my $unknown = 'sb_aaaaaaaaaaaaaaaaaaaa';
    my $paused = record(public_traffic => 0, state => 'paused', address => '',
                        auto_resume => 1);

    my @answers = map {
        my $r = ask($_);
        $r->{body} =~ s/req_\w+//r;
    } $private, $paused;
    is($answers[0], $answers[1], 'who has no token does not learn the state');
    is($records->command('HGET', $records->key('sandbox', $paused), 'state'),
       'paused', 'who has no token wakes nothing');

    for my $accept ('text/html', 'text/html;q=0.5, application/json',
                    'application/json', '*/*') {
        $r = ask($unknown, '/', headers => [Accept => $accept]);
        is($r->{status}, 404, "Accept: $accept");
        is($r->{headers}{'content-type'}, $accept eq 'text/html'
           ? 'text/html; charset=utf-8' : 'application/json', 'the type');
        like($r->{body}, qr/sandbox_not_found/, 'the code');
        like($r->{body}, qr/\Q$r->{headers}{'x-request-id'}/, 'the request id');
    }
}

# --- a configuration that is refused --------------------------------------------------------

# The master has gone through it by then, and starts workers of the old one.
{
    my $conf = nginx_conf();
    my $key = $t->key('fourth');
    my $chunk = "40000\r\n" . ' ' x 0x40000 . "\r\n";
    my $check = sub {
        my ($name) = @_;

        $t->is_error(ask('sb_aaaaaaaaaaaaaaaaaaaa'), 404, 'sandbox_not_found',
                     "an error, $name");
        $r = $t->traffic($public, 8000, 'GET', '/digits',
                         headers => [Range => 'bytes=4-7']);
        is("$r->{status} $r->{body}", '206 4567', "a part of a file, $name");
        $r = $t->post('/v1/sandboxes', key => $key, body => $chunk x 8
                      . "0\r\n\r\n", headers => ['Transfer-Encoding', 'chunked']);
        $t->is_error($r, 413, 'body_too_large', "too large a body, $name");
    };

    $check->('before');

    (my $bad = $conf) =~ s{(sandbox_templates) [^;]+;}{$1 /nowhere;} or die;
    nginx_conf($bad);
    my $restore = guard(sub { nginx_conf($conf) });
    my ($master) = grep { $_->[1] =~ /^nginx: master/ } $t->{left}->processes;
    my $mark = $t->log_mark;
    kill 'HUP', $master->[0];
    my $refusal = qr/\[emerg\].* sandbox_templates: /;
    ok(wait_for(10, sub { $t->log_text($mark) =~ $refusal }),
       'a configuration is refused');
    $t->expect_log($refusal);

    my %old = map { $_ => 1 } $t->workers;
    kill 'KILL', keys %old;
    ok(wait_for(10, sub { 2 == grep { !$old{$_} } $t->workers }),
       'other workers of the one before it');
    $t->expect_log(qr/exited on signal 9/);
    ok(wait_for(10, sub { (eval { ask($public) } // {})->{status} == 200 }),
       'go on');
    $check->('afterwards');
}
reloaded();

# --- the guest of another node ------------------------------------------------------------------

{
    # who has its address here is somebody else's
    my $far = record(node => 'elsewhere');
    $t->is_error(ask($far, '/once'), 503, 'no_eligible_runtime_host',
                 'one that runs on another node') for 1 .. 2;
    my $first = begun($public, '/once');
    ok(!$first->read_head(0.5), 'is looked for at no guest of this one');
    $first->abort;
    is(ask(record(node => ''))->{status}, 200, 'one that names none is ours');
}

# --- the guests that were tried ----------------------------------------------------------------

{
    my $id = record(address => address(2));
    my $moves = begun($id, '/sleep?2');
    ok(wait_for(2, sub { at_guest($id, 2) == 1 }), 'a request at a guest');
    runs($records, $id, 'paused', 1);
    is(($moves->read_response // {})->{status}, 200,
       'a request whose guest has gone is answered by the next one');
    ok(wait_for(5, sub {
        inside('tail', '-n', 50, '/var/log/nginx/sandbox.log')
            =~ / 10\.88\.1\.2:8000 : 10\.88\.1\.1:8000 /;
    }), 'and logged with both');
}

# --- how many at once ---------------------------------------------------------------------------

{
    # who was answered a moment ago may still be counted
    my @busy;
    my $fill = sub {
        push @busy, begun($public, shift);
        return ask($public)->{status} == 429;
    };
    ok(wait_for(5, sub { $fill->('/sleep?2') }), 'one too many is refused');
    $r = ask($public);
    $t->is_error($r, 429, 'rate_limit_exceeded',
                 'one connection too many is refused with its code');
    is(ask($private, '/', headers => [HEADER, TOKEN])->{status}, 200,
       'another sandbox is not');
    cmp_ok($t->metric('sandbox_limited_total{limit="connections"}'), '>=', 2,
           'connections refused are counted');
    is(scalar(grep { ($_->read_response // {})->{status} == 200 } @busy), 4,
       'those before it are served');
    is(ask($public)->{status}, 200, 'connections that have ended make room');

    # who waits for a sandbox to wake has a place, too
    my $asleep = record(state => 'resuming', auto_resume => 1, address => '');
    @busy = map { begun($asleep, '/') } 1 .. 4;
    ok(wait_for(5, sub {
        (begun($asleep, '/')->read_head(0.5) // {})->{status} == 429;
    }), 'one too many that waits is refused');
    is(ask($public)->{status}, 200, 'another sandbox is served');
    runs($records, $asleep, 'running', 1);
    is(scalar(grep { ($_->read_response // {})->{status} == 200 } @busy), 4,
       'those that waited are served when it runs');
    is(ask($asleep)->{status}, 200, 'and have made room');

    # an admission lasts while the traffic is public
    my $closing = record(state => 'resuming', auto_resume => 1, address => '');
    my @visits = (begun($closing, '/'), begun($closing, '/', HEADER, TOKEN));
    ok(!$visits[0]->read_head(1), 'who waits for a sandbox with public traffic');
    $records->later('HSET', $records->key('sandbox', $closing),
                    public_traffic => 0);
    runs($records, $closing, 'running', 1);
    $t->is_error($t->end($visits[0]), 403, 'traffic_token_required',
                 'is refused if it is private by then');
    is($t->end($visits[1])->{status}, 200, 'or shows the token');

    # unless it has gone by then: all comes to the workers at once
    my $gone = record(state => 'resuming', auto_resume => 1, address => '');
    my $at_once = sub {
        my ($code) = @_;
        my @workers = $t->workers;
        my $go = guard(sub { kill 'CONT', @workers });
        kill 'STOP', @workers;
        $code->();
    };
    my $left = 'sandbox_wake_waits_total{outcome="left"}';
    my $before = $t->metric($left);
    $at_once->(sub {
        $t->begin('POST', "/v1/sandboxes/$gone/exec", key => $t->key('edge'),
                  json => { command => 'true' })->close;
    });
    ok(wait_for(5, sub { $t->metric($left) > $before }),
       'who called its agent and left does not wait');
    $at_once->(sub { begun($gone, '/')->close for 1 .. 4 });
    ok(wait_for(5, sub { !begun($gone, '/')->read_head(0.5) }),
       'nor has who left a place');
    runs($records, $gone, 'running', 1);

    # their places are free for others from then on
    @busy = ();
    my %first = map { $_ => 1 } $t->workers;
    $t->stack('reload', 'nginx');
    ok(wait_for(20, sub { !grep { $first{$_} || 0 } $t->workers }),
       'other workers');

    ok(wait_for(5, sub { $fill->('/sleep?20') }), 'full again');
    my %old = map { $_ => 1 } $t->workers;
    kill 'KILL', keys %old;
    ok(wait_for(10, sub { 2 == grep { !$old{$_} } $t->workers }),
       'the workers are killed');
    ok(wait_for(10, sub { (eval { ask($public) } // {})->{status} == 200 }),
       'what killed workers had counted is forgotten');
    $t->expect_log(qr/exited on signal 9/);

    # nobody takes the place of one that was exiting; again if it took so long
    # that they were too old
    my $id = record();
    my $full = 'sandbox_limited_total{limit="connections"}';
    ok(wait_for(60, sub {
        @busy = ();
        @busy = map { endless($id) } 1 .. 4;
        reloaded();
        my $refused = $t->metric($full);
        return ask($id)->{status} == 429 && $t->metric($full) > $refused;
    }), 'full, by workers that are exiting');
    my @exiting = exiting();
    kill 'KILL', @exiting;
    ok(wait_for(10, sub { !kill 0, @exiting }),
       'workers that are exiting are killed');
    @busy = map { endless($id) } 1 .. 4;
    is(scalar @busy, 4,
       'what killed workers that were exiting had counted is forgotten');
}

# calls of the agent are counted for themselves, those that wait among them
{
    my $calls = SandboxRecords->new($socket, 'calls');
    my $id = $calls->add(state => 'resuming', auto_resume => 1, address => '');
    my $call = sub {
        return $t->begin('POST', "/v1/sandboxes/$id/exec",
                         key => $t->key('calls'), json => { command => 'true' });
    };
    my $full = sub {
        my ($call, $name) = @_;
        my $r = $t->end($call);
        $t->is_error($r, 429, 'rate_limit_exceeded', $name);
        cmp_ok($r->{headers}{'retry-after'}, '>', 0, 'for a while');
    };
    my $refused = 'sandbox_limited_total{limit="api_connections"}';
    my $before = $t->metric($refused);

    $calls->flush;
    # at two workers it may be any of five that is one too many
    my (@busy, @answered);
    ok(wait_for(5, sub {
        push @busy, $call->() while @busy < 5;
        push @{ defined $_->fill(time() + 0.1) ? \@answered : \@busy }, $_
            for splice @busy;
        return @busy == 4;
    }), 'four calls wait');
    $full->($_, 'one call too many that waits is refused') for @answered;
    runs($calls, $id, 'running', 1);
    ok(wait_for(5, sub { at_agent() == 4 }), 'the four go on to the guest');
    $full->($call->(), 'as one at the guest is');
    is($t->metric($refused) - $before, @answered + 1, 'each is counted');
    is(ask($id)->{status}, 200, 'visitors are not concerned');
    # who was answered a moment ago may still be counted
    @busy = ();
    ok(wait_for(5, sub {
        push @busy, begun($id, '/sleep?20');
        return at_guest($id, 1) == 4;
    }), 'four visitors');
    is(ask($id)->{status}, 429, 'when they are too many');
    ok(wait_for(5, sub { at_agent() == 0 }), 'the calls have ended');
    my $last = $call->();
    ok(!$last->read_head(0.5), 'which has made room');
    $calls->clear;
}

# --- for how long -----------------------------------------------------------------------------------

{
    my $aged = $t->metric('sandbox_limited_total{limit="age"}');
    my $ws = SandboxHttp->new($t->{traffic}, 20);
    is($ws->ws_open('/ws', [Host => $t->host($public, 8000)])->{status}, 101,
       'a WebSocket');
    my $events = begun($public, '/events');
    is($events->read_head->{status}, 200, 'events are begun');
    my $hangs = begun($public, '/sleep?20');

    is_deeply([$ws->ws_read(10)], [8, pack('n', 1001)],
              'a WebSocket is told to go when it is too old');
    ok($ws->closed(5), 'a WebSocket that is too old is closed');
    my $n;
    1 while $n = $events->fill(time() + 5);
    is($n, 0, 'as they are');
    $r = $hangs->read_response(timeout => 10);
    $r->{json} = eval { json->decode($r->{body}) };
    $t->is_error($r, 504, 'timeout', 'what has no answer yet gets one');
    is($t->metric('sandbox_limited_total{limit="age"}') - $aged, 3, 'counted');

    # one that is busy, at a worker that only waits for its end; again if the
    # reload took so long that it was too old before
    my @frame;
    ok(wait_for(60, sub {
        $ws = SandboxHttp->new($t->{traffic}, 20);
        $ws->ws_open('/ws', [Host => $t->host($public, 8000)]);
        reloaded();
        $ws->ws_send('on');
        return (($ws->ws_read(5))[0] // 0) == 1;
    }), 'a WebSocket at a worker that is exiting');
    wait_for(20, sub {
        $ws->ws_send('on');
        @frame = $ws->ws_read(5);
        return !@frame || $frame[0] != 1;
    });
    is_deeply(\@frame, [8, pack('n', 1001)], 'is told to go as well');
    ok($ws->closed(5), 'the second WebSocket is closed');
    $ws->close;
    ok(wait_for(20, sub { !exiting() }), 'so that the worker is gone');
}

# --- how many in a second ---------------------------------------------------------------------------

{
    my $other = SandboxRecords->new($socket, 'other');
    my $id = $other->add(address => unpack('N', pack('C4', 10, 88, 1, 1)));
    $other->flush;

    # nothing listens there, which is told at once
    my $too_many = sub {
        $http = SandboxHttp->new($t->{traffic});
        for (1 .. 900) {
            $r = $http->request('GET', '/', [Host => $t->host($public, 8001)]);
            last if $r->{status} != 502;
        }
        $r->{json} = eval { json->decode($r->{body}) };
        return $r;
    };
    $t->is_error($too_many->(), 429, 'rate_limit_exceeded',
                 'too many requests');
    # again if the next one came so late that there was a place for it
    ok(wait_for(20, sub {
        $too_many->();
        return ask($private, '/', headers => [HEADER, TOKEN])->{status} == 429;
    }), 'of the same owner');
    is(ask($private)->{status}, 403, 'unless they are refused anyway');
    is(ask($id)->{status}, 200, 'another owner is not concerned');
    ok(wait_for(5, sub { ask($public)->{status} == 200 }),
       'the limit of requests passes');
    $other->clear;

    my @answers = map { $t->get('/v1/sandboxes') } 1 .. 14;
    is($answers[0]{status}, 200, 'requests to the API');
    is($answers[-1]{status}, 429, 'are limited as well');
    cmp_ok($answers[-1]{headers}{'retry-after'}, '>', 1,
           'limited requests are told for how long');
    is($t->get('/v1/sandboxes', key => $t->key('third'))->{status}, 200,
       'by owner');
}

# --- other limits, after a reload --------------------------------------------------------------------

{
    my $raised = SandboxRecords->new($socket, 'raised');
    my $id = $raised->add(address => address(1));
    my $conf = nginx_conf();
    my $limit = sub {
        nginx_conf($conf =~ s{(sandbox_traffic_limits) [^;]+;}{$1 $_[0];}r);
        reloaded();
    };

    $raised->flush;
    $limit->('rate=1r/m burst=5');
    my @answers = map { ask($id)->{status} } 1 .. 8;
    is("@answers", '200 200 200 200 200 200 429 429', 'a low rate is used up');
    $limit->('rate=100r/s burst=5');
    ok(wait_for(1, sub { ask($id)->{status} == 200 }),
       'a higher one holds at once');
    nginx_conf($conf);
    reloaded();
    $raised->clear;
}

# --- Redis away --------------------------------------------------------------------------------------

{
    # an owner who has all requests left
    my $away = SandboxRecords->new($socket, 'away');
    my ($known, $new) = map { $away->add(address => address(1)) } 1 .. 2;
    $away->flush;
    is(ask($known)->{status}, 200, 'a known route');
    $t->stack('stop', 'redis');
    is(ask($known)->{status}, 200, 'is served when Redis is gone');
    $t->is_error(ask($new), 503, 'state_store_unavailable',
                 'one that is not known is not');
    ok(wait_for(15, sub { ask($known)->{status} == 503 }),
       'nor a known one for ever');
    $t->is_error(ask($known), 503, 'state_store_unavailable', 'its code');
    $t->stack('start', 'redis');
    ok(wait_for(20, sub { ask($new)->{status} != 503 }), 'Redis is back');
    $t->expect_log(qr/redis/i);
    SandboxRecords->new($socket, 'away')->remove(@{ $away->{ids} });
}

undef $reaper;
SandboxRecords->new($socket, 'edge')->remove(@{ $records->{ids} });
$t->finish;
