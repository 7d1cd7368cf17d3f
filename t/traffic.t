#!/usr/bin/perl

# Traffic to ports of a sandbox.

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use SandboxTest;

my $t = SandboxTest->new;
my $s = $t->create({}) or $t->finish, exit;
my $r;

# --- before there is a server ------------------------------------------------

$t->is_error($t->traffic($s, 8000, 'GET', '/'), 502, 'port_not_open',
             'a closed port');

ok($t->serve($s, 8000), 'a server starts in the guest')
    or $t->finish, exit;

# --- there and back ----------------------------------------------------------

ok(wait_for(5, sub {
    $r = $t->traffic($s, 8000, 'GET', '/hello');
    $r->{status} == 200
}), 'it is reached at once');
is($r->{body}, "hello\n", 'and answers');
like($r->{headers}{'x-request-id'} // '', qr/^req_/, 'with a request id');

my $host = $t->host($s, 8000);
$r = $t->traffic($s, 8000, 'POST', '/echo//../%2e?a=%20b&c', body => 'abc',
                 type => 'text/x', headers => ['X-Some' => 'thing',
                                               'Accept-Encoding' => 'br']);
my $e = $r->{json} // {};
is($e->{method}, 'POST', 'the method');
is($e->{path}, '/echo//../%2e?a=%20b&c', 'the path is not touched')
    or diag($r->{body});
is("$e->{length} $e->{sha256}", '3 ' . sha256_hex('abc'), 'the body');
is($e->{headers}{host}, $host, 'Host');
is($e->{headers}{'x-some'}, 'thing', 'a header');
is($e->{headers}{'accept-encoding'}, 'br', 'another one');
is($e->{headers}{'content-type'}, 'text/x', 'the type');
is($e->{headers}{'x-forwarded-host'}, $host, 'X-Forwarded-Host');
is($e->{headers}{'x-forwarded-proto'}, 'http', 'X-Forwarded-Proto');
ok(exists $e->{headers}{'x-forwarded-for'}, 'X-Forwarded-For');

for my $method (qw(GET HEAD PUT DELETE PATCH OPTIONS)) {
    is($t->traffic($s, 8000, $method, '/echo')->{status}, 200, $method);
}

for (["Bearer $t->{key}", undef], ['bearer  ns_live_other', undef],
     ['Bearer of-the-guest', 'Bearer of-the-guest'], ['Bearer ', 'Bearer'],
     ['Basic bnNfbGl2ZQ==', 'Basic bnNfbGl2ZQ==']) {
    my ($sent, $seen) = @$_;

    $r = $t->traffic($s, 8000, 'GET', '/echo',
                     headers => [Authorization => $sent, 'X-After' => 'it']);
    is($r->{json}{headers}{authorization}, $seen,
       $seen ? 'credentials for the guest' : 'a key of the API stays here');
    is($r->{json}{headers}{'x-after'}, 'it', 'and what follows does not');
}

for my $status (204, 304, 401, 404, 413, 500, 502, 503) {
    $r = $t->traffic($s, 8000, 'GET', "/status?$status");
    is($r->{status}, $status, "the guest's $status");
    is($r->{body}, $status == 204 || $status == 304 ? '' : 'from the guest',
       'is passed on as it is');
    is($r->{headers}{'x-guest'}, 'yes', 'with its headers');
}

# --- names -------------------------------------------------------------------

(my $dashed = $s->{id}) =~ tr/_/-/;
for ("8000-$s->{id}.$t->{domain}", uc($host), "$host.", "$host:8080") {
    is($t->request('GET', '/hello', key => undef, to => $t->{traffic},
                   headers => [Host => $_])->{body}, "hello\n", "Host: $_");
}

for ("8000-sb-aaaaaaaaaaaaaaaaaaaa.$t->{domain}",
     "8000-sb-" . 'a' x 60 . ".$t->{domain}",
     "$dashed.$t->{domain}", "-$dashed.$t->{domain}", $t->{domain},
     "0-$dashed.$t->{domain}", "65536-$dashed.$t->{domain}",
     "8000-$dashed.example.com", "8000-$dashed", "x.8000-$dashed.$t->{domain}",
     "8000-x-$dashed.$t->{domain}") {
    $r = $t->request('GET', '/', key => undef, to => $t->{traffic},
                     headers => [Host => $_]);
    is($r->{status}, 404, "Host: $_");
    like(($r->{json} // {})->{code} // '', qr/^(sandbox_)?not_found$/,
         'its code');
}

$t->is_error($t->request('GET', '/', key => undef, to => $t->{traffic},
             headers => [Host => "8000-sb-aaaaaaaaaaaaaaaaaaaa.$t->{domain}"]),
             404, 'sandbox_not_found', 'an unknown sandbox');

for my $port (22, 5900, 5950, 5999, 891) {
    $t->is_error($t->traffic($s, $port, 'GET', '/'), 403, 'port_not_allowed',
                 "port $port");
}

$t->is_error($t->traffic($s, 8001, 'GET', '/'), 502, 'port_not_open',
             'another closed port');
$t->is_error($t->traffic($s, 8000, 'GET', '/hang-up'), 502,
             'sandbox_unreachable', 'a guest that hangs up');
$r = $t->traffic($s, 8000, 'GET', '/cut');
is($r->{complete}, 0, 'an answer that is cut off is not made complete');

# --- large headers -------------------------------------------------------------

for (['by name', $t->{traffic}, '', $host],
     ['by path', $t->{api}, "/__ns-edge/sandboxes/$s->{id}/ports/8000",
      undef]) {
    my ($how, $to, $prefix, $name) = @$_;
    my $ask = sub {
        my ($path, @headers) = @_;
        return $t->request('GET', "$prefix$path", key => undef, to => $to,
                           headers => [$name ? (Host => $name) : (), @headers]);
    };

    for my $n (9_000, 30_000) {
        my $sent = 'x' x $n;

        is(($ask->('/echo', Cookie => $sent)->{json} // {})->{headers}{cookie},
           $sent, "a cookie of $n bytes $how");
        is(($ask->("/echo?$sent")->{json} // {})->{path}, "/echo?$sent",
           "a URI of $n bytes $how");
        $r = $ask->("/cookie?$n");
        is("$r->{status} " . length($r->{headers}{'set-cookie'} // ''),
           '200 ' . ($n + 2), "an application's cookie of $n bytes $how");
    }

    $t->is_error($ask->('/echo?' . 'x' x 33_000), 414, 'invalid_request',
                 "a URI that is too long $how");
    $t->is_error($ask->('/cookie?33000'), 502, 'sandbox_unreachable',
                 "an answer whose header is too large $how");
}

# --- connections -------------------------------------------------------------

{
    my $http = SandboxHttp->new($t->{traffic});
    my @connections;

    for (1 .. 20) {
        $r = $http->request('GET', '/echo', [Host => $host]);
        push @connections, json->decode($r->{body})->{connection};
    }
    my %distinct = map { $_ => 1 } @connections;
    cmp_ok(scalar(keys %distinct), '<', 20, 'connections to guests are kept');

    # a server in a guest may close them after two seconds
    sleep 1.5;
    $r = $http->request('GET', '/echo', [Host => $host]);
    ok(!$distinct{ json->decode($r->{body})->{connection} },
       'but not once they are idle for a second');

    $http->send(join '', map {
        $http->format_request('POST', "/echo?$_", [Host => $host], "body $_")
    } 1 .. 5);
    is_deeply([map { my $x = json->decode($http->read_response->{body});
                     "$x->{path} $x->{length}" } 1 .. 5],
              [map { "/echo?$_ 6" } 1 .. 5], 'pipelined requests');

    my @c = map { SandboxHttp->new($t->{traffic}) } 1 .. 50;
    $_->send($_->format_request('GET', '/echo', [Host => $host])) for @c;
    is(scalar(grep { ($_->read_response // {})->{status} == 200 } @c), 50,
       'fifty at once');
}

# --- bodies ------------------------------------------------------------------

{
    my $n = 20_000_000;
    my $body = join '', map { pack 'N', $_ } 1 .. $n / 4;
    $r = $t->traffic($s, 8000, 'PUT', '/echo', body => $body, type => 'a/b',
                     timeout => 180);
    is(($r->{json} // {})->{sha256}, sha256_hex($body),
       'an upload of twenty megabytes') or diag("$r->{status} $r->{body}");
    diag(sprintf 'upload: %.1f MB/s', $n / 1e6 / $r->{seconds});

    my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
                  unpack '(a50000)*', substr($body, 0, 1_000_000);
    $r = $t->traffic($s, 8000, 'POST', '/echo', body => "${chunked}0\r\n\r\n",
                     headers => ['Transfer-Encoding' => 'chunked']);
    is(($r->{json} // {})->{sha256}, sha256_hex(substr $body, 0, 1_000_000),
       'one in chunks');

    $r = $t->traffic($s, 8000, 'GET', "/big?$n", timeout => 180);
    is(length $r->{body}, $n, 'a download of twenty megabytes');
    is(sha256_hex($r->{body}),
       sha256_hex(substr('0123456789abcdef' x ($n / 16 + 1), 0, $n)),
       'is whole');
    diag(sprintf 'download: %.1f MB/s', $n / 1e6 / $r->{seconds});
}

{
    my $http = SandboxHttp->new($t->{traffic});
    my @at;

    $http->send($http->format_request('GET', '/events?0.5', [Host => $host]));
    is($http->read_head->{headers}{'content-type'}, 'text/event-stream',
       'server-sent events');
    while (defined(my $event = $http->read_match(qr/.*?data: \d\n\n/s, 10))) {
        push @at, time();
        last if @at == 4;
    }
    is(scalar(@at), 4, 'come');
    cmp_ok($at[3] - $at[0], '>', 0.8, 'one by one, not at the end');

    $http = SandboxHttp->new($t->{traffic});
    $http->send($http->format_request('POST', '/lines',
        [Host => $host, 'Content-Length' => 3]));
    $http->send('a');
    my $head = $http->read_head(10);
    is(($head // {})->{status}, 200, 'an answer begins before the body ends');
    like($http->read_match(qr/1\r\nA\r\n/, 10) // '', qr/A/, 'its first byte');
    $http->send('b');
    like($http->read_match(qr/1\r\nB\r\n/, 10) // '', qr/B/,
         'both ways at once');
    $http->send('c');
    ok($http->read_match(qr/1\r\nC\r\n0\r\n\r\n/, 10), 'to the end');
}

# --- WebSocket ---------------------------------------------------------------

{
    my $ws = SandboxHttp->new($t->{traffic});
    my $head = $ws->ws_open('/ws', [Host => $host]);
    is($head->{status}, 101, 'a WebSocket') or diag(explain $head);

    for my $n (0, 5, 125, 126, 65535, 65536, 300000) {
        $ws->ws_send('x' x $n, 2);
        my ($op, $data) = $ws->ws_read(30);
        ok(defined $op && $op == 2 && $data eq 'x' x $n,
           "$n bytes there and back");
    }

    $ws->ws_send('ping', 9);
    is_deeply([$ws->ws_read], [10, 'ping'], 'ping and pong');

    sleep 1.5;
    $ws->ws_send('still here');
    is_deeply([$ws->ws_read], [1, 'still here'], 'after a while');

    $ws->ws_send(pack('n', 1000), 8);
    my ($op) = $ws->ws_read;
    is($op, 8, 'close');
    ok($ws->closed(10), 'ends the connection');
}

# --- clients that go away ----------------------------------------------------

{
    my $before = $t->{left}->descriptors;

    for (1 .. 60) {
        my $c = SandboxHttp->new($t->{traffic});
        $c->send($c->format_request('GET', '/big?5000000', [Host => $host]));
        $c->read_head;
        $c->abort;
        $c = SandboxHttp->new($t->{traffic});
        $c->send($c->format_request('PUT', '/echo',
            [Host => $host, 'Content-Length' => 1000000]) . 'x' x 1000);
        $c->abort;
    }
    is($t->traffic($s, 8000, 'GET', '/hello')->{body}, "hello\n",
       'aborted requests do no harm');

    my $now;
    ok(wait_for(20, sub {
        $now = $t->{left}->descriptors;
        !grep { $now->{$_} > ($before->{$_} // 0) + 40 } keys %$before
    }), 'and leave no descriptors open')
        or diag(explain [$before, $now]);
}

{
    my $name = 'sandbox_traffic_requests_total';
    my ($left, $proxied) = map { "$name\{outcome=\"$_\"}" } qw(left proxied);
    my @before = map { $t->metric($_) } $left, $proxied;
    my @waiting = map {
        my $c = SandboxHttp->new($t->{traffic});
        $c->send($c->format_request('GET', '/sleep?30', [Host => $host]));
        $c;
    } 1 .. 3;
    push @waiting, SandboxHttp->new($t->{traffic});
    $waiting[3]->send($waiting[3]->format_request('PUT', '/echo',
        [Host => $host, 'Content-Length' => 1000000]) . 'x' x 1000);
    sleep 1;
    $_->close for @waiting;
    ok(wait_for(10, sub { $t->metric($left) == $before[0] + 4 }),
       'who left before any answer is counted')
        or diag($t->metric($left) - $before[0]);
    is($t->metric($proxied), $before[1], 'and not as one who got it');
    $t->traffic($s, 8000, 'GET', '/status?499');
    is($t->metric($proxied), $before[1] + 1, 'as who gets any answer is');
}

# --- an interim answer ---------------------------------------------------------

for my $status (100, 102, 103) {
    my $mark = $t->log_mark;
    $t->is_error($t->traffic($s, 8000, 'GET', "/status?$status"), 502,
                 'sandbox_unreachable', "$status before the answer");
    like($t->log_text($mark), qr/\[error\] .*interim answer \($status\)/,
         'which the log explains');
}

# --- two sandboxes, and the end ----------------------------------------------

my $other = $t->create({ memory_mb => 128 });
if ($other) {
    ok($t->serve($other, 8000, "import http.server as h\n"
        . "class H(h.BaseHTTPRequestHandler):\n"
        . "    def do_GET(s):\n"
        . "        s.send_response(200); s.end_headers()\n"
        . "        s.wfile.write(b'other')\n"
        . "h.HTTPServer(('', 8000), H).serve_forever()\n"),
       'a server in another sandbox');
    is($t->traffic($other, 8000, 'GET', '/')->{body}, 'other', 'is another');
    is($t->traffic($s, 8000, 'GET', '/hello')->{body}, "hello\n",
       'than the first one');

    my $kept = SandboxHttp->new($t->{traffic});
    my $name = $t->host($other, 8000);
    is(($kept->request('GET', '/', [Host => $name]) // {})->{status}, 200,
       'over a connection that is kept');

    my $id = $other->{id};
    undef $other;
    $t->is_error($t->traffic($id, 8000, 'GET', '/'), 404, 'sandbox_not_found',
                 'after its delete it is gone');
    if ($r = $kept->request('GET', '/', [Host => $name])) {
        is($r->{status}, 404, 'also over that connection');
    }
    is($t->traffic($s, 8000, 'GET', '/hello')->{body}, "hello\n",
       'and the first one is not');
}

{
    my $ws = SandboxHttp->new($t->{traffic});
    is($ws->ws_open('/ws', [Host => $host])->{status}, 101,
       'a WebSocket again');

    my $big = SandboxHttp->new($t->{traffic});
    $big->send($big->format_request('GET', '/big?400000000',
                                    [Host => $host]));
    is($big->read_head->{status}, 200, 'and a download that lasts');

    my $id = $s->{id};
    undef $s;
    $t->is_error($t->traffic($id, 8000, 'GET', '/'), 404, 'sandbox_not_found',
                 'the sandbox is destroyed');
}

$t->finish;
