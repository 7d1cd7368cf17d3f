#!/usr/bin/perl

# Guests that say nothing any more: the network of one hangs, another stands
# still.  Beside them one that is merely quiet, for as long.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new;
my @auth = (Authorization => "Bearer $t->{key}");
my $r;

sub sandbox {
    my $s = $t->create({ memory_mb => 128, timeout_ms => 900_000 })
        // BAIL_OUT('no sandbox');

    $t->serve($s, 8000) or BAIL_OUT('no server in the guest');
    return $s;
}

# A request to a port whose answer is not waited for yet.
sub visit {
    my ($s, $path, $method) = @_;
    my $http = SandboxHttp->new($t->{traffic});

    $http->send($http->format_request($method // 'GET', $path,
                                      [Host => $t->host($s, 8000)]));
    return $http;
}

sub command {
    my ($s, $command, %o) = @_;

    return $t->begin('POST', "/v1/sandboxes/$s->{id}/exec", timeout => 180,
                     json => { command => $command, shell => JSON::PP::true,
                               %o });
}

# A WebSocket to the server in the guest, or to a channel of its agent.
sub dial {
    my ($s, $channel) = @_;
    my $ws = SandboxHttp->new($t->{$channel ? 'api' : 'traffic'});
    my $head = $channel
        ? $ws->ws_open("/v1/sandboxes/$s->{id}/ws?channel=$channel", [@auth])
        : $ws->ws_open('/ws', [Host => $t->host($s, 8000)]);

    is($head->{status}, 101, 'a WebSocket');
    return $ws;
}

# The next frame that is neither a message nor a ping.
sub farewell {
    my ($ws) = @_;
    my ($op, $text);

    do { ($op, $text) = $ws->ws_read(120) } while $op && ($op == 1 || $op == 9);
    return $op && $op == 8 ? unpack 'n', $text : $op;
}

sub frame {
    my ($ws, %message) = @_;

    $ws->ws_send(json->encode(\%message));
}

# The next message of a type, pings answered.
sub hear {
    my ($ws, $type) = @_;

    for (;;) {
        my ($op, $text) = $ws->ws_read(30);
        return {} unless $op;
        $ws->ws_send($text, 10) if $op == 9;
        next unless $op == 1;
        my $m = json->decode($text);
        return $m if $m->{type} eq $type;
    }
}

# Stops the machine of a sandbox; a guard that lets it go on.
sub stopped {
    my ($s) = @_;
    my ($qemu) = map { $_->[0] } grep { $_->[1] =~ /guest=$s->{id}\b/ }
                 $t->{left}->processes;

    $qemu // BAIL_OUT("no machine of $s->{id}");
    kill STOP => $qemu;
    return guard(sub { kill CONT => $qemu });
}

my $hung = sandbox();
my $still = sandbox();
my $quiet = sandbox();

# --- what is under way ---------------------------------------------------------

my $sleeps = command($quiet, 'sleep 100; echo slept', timeout_secs => 300);
my $slow = visit($quiet, '/sleep?100');
my $idle = dial($quiet);
my $full = dial($quiet, 'exec');
frame($full, type => 'exec_start', stream_id => 'a', shell => JSON::PP::true,
      command => 'sleep 100; wc -c', stdin => JSON::PP::true);
isnt(hear($full, 'exec_started')->{pid}, undef, 'a command that reads nothing');
frame($full, type => 'exec_stdin', stream_id => 'a', data => 'x' x 500_000)
    for 1 .. 4;
frame($full, type => 'exec_stdin', stream_id => 'a', eof => JSON::PP::true);

my $gone = command($hung, 'sleep 600', timeout_secs => 900);
my $once = visit($hung, '/sleep?600', 'POST');
my $again = visit($hung, '/sleep?600');
my $talks = dial($hung);
my $terminal = dial($hung, 'pty');
frame($terminal, type => 'pty_start', stream_id => 'a');
hear($terminal, 'pty_started');
my $events = visit($hung, '/events?0.1');
is($events->read_head->{status}, 200, 'events');

my $late = command($still, 'sleep 5; echo late', timeout_secs => 600);
my $kept = dial($still);

# --- the network hangs, the machine stands still --------------------------------

sleep 1; # until they are in their guests
$t->exec($hung, '(sleep 1; ip link set eth0 down) >/dev/null 2>&1 &');
# as while its memory is copied to a slow disk
my $record = 'sbx:{' . substr($still->{id}, 3, 2) . "}:sandbox:$still->{id}";
$t->redis('HSET', $record, 'busy_until', int((time() + 600) * 1000));
my $stopped = stopped($still);
sleep 3;

my $base = "/v1/sandboxes/$hung->{id}";
my $new = command($hung, 'true', timeout_secs => 5);
my $put = $t->begin('PUT', "$base/files?path=/tmp/x", type => undef,
                    body => 'x' x 100_000);
my $list = $t->begin('GET', "$base/files/list?path=/tmp");
my $port = visit($hung, '/hello');

# --- what becomes of it -----------------------------------------------------------

$r = $t->end($new);
like("$r->{status} $r->{json}{code}", qr/^(?:504 timeout|502 sandbox_unreachable)$/,
     'a command of five seconds');
$r = $t->end($gone);
$t->is_error($r, 502, 'sandbox_unreachable', 'one that was running');
$t->is_error($t->end($put), 502, 'sandbox_unreachable', 'a file that is written');
$t->is_error($t->end($list), 502, 'sandbox_unreachable', 'a list');

for (['a POST', $once], ['a GET', $again], ['a new request', $port]) {
    my ($name, $http) = @$_;
    $t->is_error($t->end($http, timeout => 120), 502, 'sandbox_unreachable',
                 "$name to a port");
}

is(farewell($talks), 1001, 'a WebSocket is closed');
is(farewell($terminal), 1001, 'as is a terminal');
my $n;
1 while $n = $events->fill(time() + 120);
is($n, 0, 'events end');

$t->is_error($t->end(command($hung, 'true', timeout_secs => 5)), 502,
             'sandbox_unreachable', 'the next command');
is($t->delete($base)->{status}, 200, 'it can be deleted');

# --- what merely stood still ---------------------------------------------------------

sleep 10; # longer than a look takes
undef $stopped;
$t->redis('HDEL', $record, 'busy_until');
$r = $t->end($late);
is($r->{json}{stdout}, "late\n", 'a command of a sandbox that stood still')
    or diag($r->{body});
$kept->ws_send('hi');
is(($kept->ws_read(30))[1], 'hi', 'and a WebSocket');

# without a snapshot of it, it is not there
$kept = dial($still);
$late = command($still, 'sleep 600', timeout_secs => 5);
sleep 1;
$stopped = stopped($still);
$r = $t->end($late);
$t->is_error($r, 504, 'timeout', 'a command of five seconds in a stopped one');
is(farewell($kept), 1001, 'its WebSocket is closed');
undef $stopped;

# --- what is merely quiet --------------------------------------------------------------

is($t->end($sleeps)->{json}{stdout}, "slept\n", 'a quiet command');
is($slow->read_response(timeout => 120)->{status}, 200, 'a quiet request');
$idle->ws_send('hi');
is(($idle->ws_read(30))[1], 'hi', 'a WebSocket that was idle');
my $m = hear($full, 'exec_stdout');
is($m->{data}, "2000000\n", 'one that could not write for long');

$t->finish;
