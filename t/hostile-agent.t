#!/usr/bin/perl

# A guest whose agent is not ours any more: a listener in its place says what
# it likes, and harms nobody but its own clients.

use FindBin;
use IO::Select;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new;
my $s = $t->create or $t->finish, exit;
my $other = $t->create or $t->finish, exit;
my $path = "/v1/sandboxes/$s->{id}/exec";
my $fake = '127.0.0.91';

# What it does stands in the "command" of the request.
my $program = <<'END';
import http.server, os, socketserver, sys, threading, time

class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        c = self.request
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                more = c.recv(65536)
                if not more:
                    return
                data += more
            head, body = data.split(b"\r\n\r\n", 1)
            size = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            while len(body) < size:
                body += c.recv(65536)
            for name in NAMES:
                if ('"' + name + '"').encode() in body:
                    break
            else:
                name = "good"
            try:
                if not NAMES[name](c):
                    return
            except OSError:
                return

def answer(c, head, body=b""):
    c.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)
    return True

def good(c):
    return answer(c, b"Content-Length: 4\r\n", b"good")

def garbage(c):
    c.sendall(os.urandom(100000))

def nothing(c):
    pass

def headers(c):
    c.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        c.sendall(b"X-Some: thing\r\n" * 1000)

def line(c):
    while True:
        c.sendall(b"HTTP/1.1 200 " + b"x" * 100000)

def interim(c):
    while True:
        c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

def half(c):
    c.sendall(b"HTTP/1.1 102 Processing\r\n")
    time.sleep(20)

def switch(c):
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
    time.sleep(5)

def slow(c):
    for b in b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789":
        c.sendall(bytes([b]))
        time.sleep(0.04)
    return True

def short(c):
    answer(c, b"Content-Length: 1000\r\n", b"x" * 10)

def long(c):
    answer(c, b"Content-Length: 4\r\n",
           b"long" + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
    time.sleep(0.2)
    return True

def twice(c):
    # nginx 1.22 keeps the connection, and would send the next request into it
    # while it is being closed
    return answer(c, b"Content-Length: 4\r\nContent-Length: 5\r\n", b"twice")

def chunks(c):
    answer(c, b"Transfer-Encoding: chunked\r\n", b"4\r\ngood\r\nZZZZ\r\n")

def huge(c):
    answer(c, b"Content-Length: 10737418240\r\n")
    for i in range(10240):
        c.sendall(b"x" * 1048576)

def steer(c):
    return answer(c, b"X-Accel-Redirect: /metrics\r\nX-Accel-Limit-Rate: 1\r\n"
                     b"Content-Length: 4\r\n", b"good")

LURES = (b"Set-Cookie: a=b; Domain=example.com\r\nSet-Cookie: c=d\r\n"
         b"Location: /v1/sandboxes/OTHER\r\nRefresh: 0; url=/elsewhere\r\n"
         b"WWW-Authenticate: Basic realm=API\r\nClear-Site-Data: \"*\"\r\n"
         b"Alt-Svc: h2=\"elsewhere:443\"\r\nService-Worker-Allowed: /\r\n"
         b"Strict-Transport-Security: max-age=1\r\nReport-To: {}\r\n"
         b"NEL: {\"report_to\":\"a\",\"max_age\":1}\r\n"
         b"Reporting-Endpoints: a=\"/a\"\r\nAccept-CH: DPR\r\n")

def status(c, line, head=b"Content-Length: 4\r\n", body=b"good"):
    c.sendall(b"HTTP/1.1 " + line + b"\r\n" + LURES + head + b"\r\n" + body)
    return True

def lure(c):
    return status(c, b"200 OK")

def created(c):
    return status(c, b"201 Created")

def moved(c):
    return status(c, b"307 Temporary Redirect")

def choices(c):
    return status(c, b"300 Multiple Choices")

def denied(c):
    return status(c, b"401 Unauthorized")

def page(c):
    return status(c, b"431 Request Header Fields Too Large",
                  b"Content-Type: text/html\r\nContent-Length: 4\r\n")

def bare(c):
    return status(c, b"500 Internal Server Error")

def nearly(c):
    return status(c, b"400 Bad Request",
                  b"Content-Type: application/jsonx\r\nContent-Length: 4\r\n")

def refused(c):
    return status(c, b"409 Conflict",
                  b"Content-Type: Application/JSON; charset=utf-8\r\n"
                  b"Content-Length: 2\r\n", b"{}")

def fresh(c):
    return status(c, b"304 Not Modified", b"", b"")

NAMES = {n: globals()[n] for n in
         ("good", "garbage", "nothing", "headers", "line", "interim", "half",
          "switch", "slow", "short", "long", "twice", "chunks", "huge", "steer", "lure",
          "created", "moved", "choices", "denied", "page", "bare", "nearly",
          "refused", "fresh")}

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

Server((sys.argv[1], 891), Handler).serve_forever()
END

my $file = "$t->{dir}/stand-in.py";
open my $out, '>', $file or die "$file: $!";
print $out $program;
close $out;
my $pid = $t->inside('sh', '-c', "python3 $file $fake >$file.log 2>&1 "
                     . '</dev/null & echo $!');
chomp $pid;

# Where the module looks for the agent.
my $record = 'sbx:{' . substr($s->{id}, 3, 2) . "}:sandbox:$s->{id}";
my $address = $t->redis('HGET', $record, 'address');
$t->redis('HSET', $record, 'address',
          unpack('N', pack('C4', split /\./, $fake)));
my $restore = guard(sub {
    eval { $t->redis('HSET', $record, 'address', $address) };
    eval { $t->inside('kill', $pid) };
    unlink $file, "$file.log";
});


# The answer to one behaviour, over a connection of its own.
sub agent {
    my ($behaviour, %o) = @_;

    return $t->post($path, json => { command => $behaviour }, timeout => 10,
                    %o);
}

# Resident memory of all workers, in MiB; RssAnon: without files.
sub memory {
    my $name = $_[0] // 'VmRSS';
    my $sum = 0;

    for my $worker ($t->workers) {
        open my $in, '<', "/proc/$worker/status" or next;
        /^$name:\s+(\d+)/ and $sum += $1 for <$in>;
    }
    return $sum / 1024;
}

ok(wait_for(20, sub { agent('good')->{body} eq 'good' }),
   'the stand-in is asked in place of the agent');
my @workers = $t->workers;
my $memory = memory();

for my $behaviour (qw(garbage nothing headers line interim switch)) {
    my $r = agent($behaviour);
    is($r->{status}, 502, $behaviour);
    is(($r->{json} // {})->{code}, 'sandbox_unreachable', 'its code');
}

# nor may it have a connection on which the key comes again
for my $protocol ('h2c', 'websocket') {
    $t->is_error(agent('switch', headers => [
        Connection => 'Upgrade', Upgrade => $protocol]), 502,
                 'sandbox_unreachable', "a switch that was offered: $protocol");
}

$t->is_error(agent('half', timeout => 18, json => { command => 'half',
                                                    timeout_secs => 1 }),
             504, 'timeout', 'half an interim answer is none');

my $r = agent('slow');
is($r->{body}, '0123456789', 'byte by byte');
$r = agent('short');
is_deeply([@$r{qw(status complete)}], [200, 0], 'a body that is cut off');
is(agent('long')->{body}, 'long', 'one that is longer than said');
is(agent('good')->{body}, 'good', 'spoils no other answer') for 1 .. 5;
isnt(agent('twice')->{body}, 'twic', 'two lengths');
$r = agent('chunks');
is($r->{complete}, 0, 'chunks that are none') or diag(explain($r));
$r = agent('steer');
is_deeply([@$r{qw(status body)}], [200, 'good'],
          'headers that would steer nginx do not');

# --- what clients would follow or believe ------------------------------------

for (['lure', 200], ['created', 201], ['fresh', 304], ['moved', 502],
     ['choices', 502], ['denied', 502], ['page', 502], ['bare', 502],
     ['nearly', 502], ['refused', 409]) {
    my ($behaviour, $status) = @$_;
    my $r = agent($behaviour);

    is($r->{status}, $status, $behaviour);
    is(join(' ', grep { exists $r->{headers}{$_} }
                 qw(set-cookie location refresh www-authenticate
                    clear-site-data alt-svc service-worker-allowed
                    strict-transport-security report-to nel
                    reporting-endpoints accept-ch)), '', 'and nothing that lures');
    $t->is_error($r, 502, 'sandbox_unreachable', 'its code') if $status == 502;
}

# --- ten gibibytes -----------------------------------------------------------

{
    my @c = map {
        my $http = SandboxHttp->new($t->{api}, 20);
        $http->send($http->format_request('POST', $path,
            [Authorization => "Bearer $t->{key}",
             'Content-Type' => 'application/json'],
            json->encode({ command => 'huge' })));
        $http;
    } 1 .. 8;

    is($_->read_head->{headers}{'content-length'}, 10737418240,
       'an answer without an end') for @c;
    ok(length($c[0]->read_bytes(20_000_000, 20) // ''), 'is passed on');
    is($t->exec($other, 'echo fine')->{stdout}, "fine\n",
       'while another sandbox works');
    cmp_ok(memory(), '<', $memory + 32, 'and memory does not grow');
    $_->abort for @c;
}

is(agent('good')->{body}, 'good', 'all is well afterwards');
is_deeply([sort $t->workers], [sort @workers], 'in the same workers');

undef $restore;
is($t->exec($s, 'echo back')->{stdout}, "back\n", 'the true agent answers');

# --- the port of the agent ---------------------------------------------------

# Root takes the agent's place at its port. Asked to flush, it says that it did,
# and then sends as much as the host takes, until that has taken nothing for two
# seconds.
$program = <<'END';
import ctypes, json, os, signal, time

syscall = ctypes.CDLL(None, use_errno=True).syscall
PTRACE, PIDFD_GETFD, ATTACH, WALL = 101, 438, 16, 0x40000000

# the agent closes others meanwhile
for name in os.listdir("/proc/1/fd"):
    try:
        path = os.readlink("/proc/1/fd/" + name)
    except FileNotFoundError:
        continue
    if path.startswith("/dev/vport"):
        fd = syscall(PIDFD_GETFD, os.pidfd_open(1), int(name), 0)

if syscall(PTRACE, ATTACH, 1, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "ptrace")
os.waitpid(1, WALL)
signal.alarm(40)
asked = b""

def flood():
    last = time.monotonic()
    while time.monotonic() < last + 2:
        try:
            os.write(fd, b"\n" * 32768)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.001)

while True:
    try:
        asked += os.read(fd, 4096)
    except BlockingIOError:
        pass
    time.sleep(0.01)
    *lines, asked = asked.split(b"\n")
    for line in filter(None, lines):
        ask = json.loads(line)
        os.write(fd, json.dumps({"op": ask["op"], "nonce": ask["nonce"],
                                 "ok": True}).encode() + b"\n")
        if ask["op"] == "flush":
            flood()
            os._exit(0)
END

{
    # so large that the taking lasts for a while
    my $s = $t->create({ memory_mb => 1024 }) or $t->finish, exit;
    my $exec = "/v1/sandboxes/$s->{id}/exec";
    (my $quoted = $program) =~ s/'/'\\''/g;

    $t->exec($s, "printf %s '$quoted' >/root/port.py; (sleep 0.5; "
             . 'exec python3 /root/port.py) >/root/port.log 2>&1 </dev/null &');
    ok(wait_for(20, sub { !$t->post($exec, json => { command => 'true' },
                                    timeout => 1)->{status} }),
       'somebody is at the port of the agent');

    my $before = memory('RssAnon');
    my $most = $before;
    my $http = $t->begin('POST', "/v1/sandboxes/$s->{id}/snapshots",
                         json => {}, idem => SandboxTest::idem());
    my $answer = IO::Select->new($http->socket);

    while (!$answer->can_read(0.02)) {
        my $now = memory('RssAnon');
        $most = $now if $now > $most;
    }

    $t->is_error($t->end($http), 503, 'hypervisor_unavailable',
                 'a snapshot of a sandbox that floods it');
    # the sanitizers keep what was freed: 256 MiB of it
    cmp_ok($most, '<', $before + 16, 'memory does not grow')
        unless SandboxTest::sanitized();
    ok(wait_for(30, sub { $t->exec($s, 'echo back')->{stdout} eq "back\n" }),
       'when that is over, the sandbox goes on');
    is($t->exec($s, 'cat /root/port.log')->{stdout}, '', 'as it did');
    is_deeply([sort $t->workers], [sort @workers], 'in the same workers');
}

$t->finish;
