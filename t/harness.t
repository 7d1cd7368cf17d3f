#!/usr/bin/perl

# The harness itself, on a stack whose nginx has no module: what t/lib
# promises to find is found.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxHttp;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--plain']);

# --- raw HTTP ---------------------------------------------------------------

my $r = $t->get('/healthz');
is($r->{status}, 200, 'a request');
is($r->{body}, "ok\n", 'its body');
ok($r->{complete}, 'which is complete');

my $http = SandboxHttp->new($t->{api});
my $request = $http->format_request('GET', '/healthz');
ok($http->send($request x 3), 'three requests in one piece');
is($http->read_response->{body}, "ok\n", "answer $_") for 1 .. 3;

ok($http->send(substr($request, 0, 10)), 'half a request line');
sleep 0.1;
ok($http->send(substr($request, 10)), 'and the rest');
is($http->read_response->{status}, 200, 'is a request');

$http->send($http->format_request('GET', '/healthz', [Connection => 'close']));
$http->read_response;
ok($http->closed, 'the end of a connection is seen');

$http = SandboxHttp->new($t->{api});
$http->send("GET / HTTP/1.1\r\n");
$http->abort;
is($t->get('/healthz')->{status}, 200, 'nginx survives an abort');

$http = SandboxHttp->new($t->{api});
is($http->request('HEAD', '/healthz')->{status}, 200, 'HEAD');
is($http->request('GET', '/healthz')->{body}, "ok\n", 'and on it goes');

# --- a server of our own, for chunks and frames ------------------------------

{
    my $listener = IO::Socket::INET->new(Listen => 5, ReuseAddr => 1,
                                         LocalAddr => '127.0.0.1');
    my $port = $listener->sockport;
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        my $c = $listener->accept;
        sysread($c, my $in, 65536);
        syswrite($c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                     . "X-A: 1\r\nX-A: 2\r\n\r\n3\r\nabc\r\n2\r\nde\r\n");
        sleep 0.05;
        syswrite($c, "0\r\n\r\n");
        sysread($c, $in, 65536);
        syswrite($c, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
        sysread($c, $in, 65536);
        my ($first, $n) = unpack 'CC', $in;
        my $mask = substr($in, 2, 4);
        my $text = substr($in, 6) ^ substr($mask x 10, 0, $n & 127);
        syswrite($c, pack('CC', $first, length $text) . $text);
        syswrite($c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        POSIX::_exit(0);
    }

    my $guard = guard(sub { kill 'KILL', $pid; waitpid $pid, 0 });
    my $c = SandboxHttp->new("127.0.0.1:$port");

    $r = $c->request('GET', '/');
    is($r->{body}, 'abcde', 'chunks are put together');
    is($r->{headers}{'x-a'}, '1, 2', 'headers of one name too');
    is($c->ws_open('/ws')->{status}, 101, 'an upgrade');
    $c->ws_send("h\x{e9}llo");
    is_deeply([$c->ws_read], [1, "h\x{e9}llo"], 'a frame and its echo');
    $r = $c->read_response;
    is($r->{complete}, 0, 'a body that is cut off is seen');
}

my $ended = 0;
{ my $guard = guard(sub { $ended++ }); }
is($ended, 1, 'a guard runs at the end of its scope');

is(wait_for(5, sub { $ended++ > 3 }), 1, 'wait_for waits');
is(wait_for(0.1, sub { 0 }), undef, 'but not for ever');

# --- the stack ---------------------------------------------------------------

is($t->redis('PING'), 'PONG', 'Redis');
is(scalar($t->domains), 0, 'libvirt');
is(scalar($t->workers), 2, 'workers');
like($t->key('other'), qr/^ns_live_/, 'a key of another tenant');

# --- leftovers ---------------------------------------------------------------

is_deeply([$t->{left}->check], [], 'nothing is left over');

SandboxLeft->can('SECONDS') or die;
{
    no warnings 'redefine';
    local *SandboxLeft::check = sub {
        my ($self) = @_;
        return map { $self->$_ } qw(_domains _qemu _taps _files _keys);
    };

    $t->redis('SET', 'sbx:stray', 1);
    is_deeply([$t->{left}->check], ['Redis key sbx:stray'], 'a key is found');
    $t->redis('EXPIRE', 'sbx:stray', 1000);
    is_deeply([$t->{left}->check], [], 'unless it expires');

    my $file = $t->dir . '/data/disks/stray';
    open(my $fh, '>', $file) or die "$file: $!";
    is_deeply([$t->{left}->check], ["file $file"], 'an overlay is found');
    unlink $file;

    $t->inside(qw(ip tuntap add dev sbx00000001 mode tap));
    is_deeply([$t->{left}->check], ['interface sbx00000001'],
              'a tap is found');
    $t->inside(qw(ip link delete sbx00000001));
}

# --- the log -----------------------------------------------------------------

is_deeply([$t->bad_log_lines], [], 'the log is clean');

open(my $log, '>>', $t->dir . '/log/error.log') or die;
print $log "2026/01/01 00:00:00 [alert] 1#1: something\n",
           "x.c:1:1: runtime error: member access\n",
           "==1==ERROR: AddressSanitizer: heap-use-after-free\n";
close $log;
is(scalar(@{[$t->bad_log_lines]}), 3, 'bad lines are found');
$t->expect_log(qr/something/, qr/member access/, qr/heap-use/);
is_deeply([$t->bad_log_lines], [], 'unless they are expected');

my $dir = $t->dir;
$t->finish;
die 'the stack is still there' if -e $dir;
