#!/usr/bin/perl

# Commands and terminals over WebSockets.

use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64 qw(decode_base64 encode_base64);
use SandboxTest;

my $t = SandboxTest->new;
my $s = $t->create({ envs => { A => 'sandbox' }, cwd => '/srv/work',
                     auto_resume => JSON::PP::true,
                     timeout_action => 'hibernate' })
    or $t->finish, exit;
my $base = "/v1/sandboxes/$s->{id}";
my @auth = (Authorization => "Bearer $t->{key}");


sub dial {
    my ($channel, $of, $key) = @_;
    my $ws = SandboxHttp->new($t->{api});
    my $head = $ws->ws_open(
        ($of ? "/v1/sandboxes/$of" : $base) . "/ws?channel=$channel",
        $key ? [Authorization => "Bearer $key"] : [@auth]);

    is($head->{status}, 101, "a WebSocket of the channel $channel")
        or diag(explain $head);
    return $ws;
}

sub ask {
    my ($ws, $type, $stream, %o) = @_;

    $ws->ws_send(json->encode({ type => $type, stream_id => $stream, %o }));
}

# The next message; what is none is answered, or given as { opcode }.
sub hear {
    my ($ws, $timeout) = @_;

    for (;;) {
        my ($op, $data) = $ws->ws_read($timeout // 10);
        return {} unless defined $op;
        return json->decode($data) if $op == 1;
        return { opcode => $op, data => $data } if $op != 9;
        $ws->ws_send($data, 10);
    }
}

sub bytes {
    my ($m) = @_;

    return decode_base64($m->{data_base64}) if defined $m->{data_base64};
    my $data = $m->{data};
    utf8::encode($data);
    return $data;
}

# Output of a stream up to its end, checked for gaps: (text, last message).
sub gather {
    my ($ws, $at) = @_;
    my $text = '';

    for (;;) {
        my $m = hear($ws);
        return ($text, $m) unless defined $m->{offset};
        return ($text, { gap => $m->{offset}, at => $at })
            if $m->{offset} != $at;
        my $data = bytes($m);
        $at += length $data;
        $text .= $data;
    }
}

# --- exec --------------------------------------------------------------------

my $ws = dial('exec');
ask($ws, 'exec_start', 'a', command => 'pwd; echo $A $B; exit 3',
     shell => JSON::PP::true, envs => { B => 'request' });
my $m = hear($ws);
is_deeply([@$m{qw(type stream_id offset)}], ['exec_started', 'a', 0],
          'a command starts') or diag(explain $m);
my $pid = $m->{pid};
my ($text, $end) = gather($ws, 0);
is($text, "/srv/work\nsandbox request\n",
   'in the directory and environment of the sandbox');
is_deeply($end, { type => 'exec_exit', stream_id => 'a', pid => $pid,
                  exit_code => 3 }, 'and ends');

ask($ws, 'exec_start', 'b', command => 'cat', stdin => JSON::PP::true);
ask($ws, 'exec_start', 'c', command => 'cat', stdin => JSON::PP::true);
my %started = map { my $m = hear($ws); ($m->{stream_id} => $m) } 1, 2;
is(join(' ', sort keys %started), 'b c', 'two streams of one socket');
ask($ws, 'exec_stdin', 'c', data_base64 => '/wA=', eof => JSON::PP::true);
$m = hear($ws);
is_deeply([@$m{qw(type stream_id data_base64)}], ['exec_stdout', 'c', '/wA='],
          'input goes to its own');
is(hear($ws)->{type}, 'exec_exit', 'which ends with it');
ask($ws, 'exec_stdin', 'b', data => "\x{20ac}");
is(hear($ws)->{data}, "\x{20ac}", 'the other one goes on');

# What is no text, or a part of a character that nothing follows, is not kept
# back: a command may wait for its answer.
for ("\x01\xff", "\x01\xc0", "\x01\xf5", "\x01\xe0\x80", "\x01\xe6",
     "\x01\xf0\x9f\x98") {
    my ($got, $name) = ('', unpack 'H*', $_);
    ask($ws, 'exec_stdin', 'b', data_base64 => encode_base64($_, ''));
    while (length $got < length $_) {
        $m = hear($ws);
        last unless ($m->{type} // '') eq 'exec_stdout';
        $got .= bytes($m);
    }
    is(unpack('H*', $got), $name, "$name comes whole while the command runs");
}
ask($ws, 'exec_signal', 'b', signal => 'INT');
$m = hear($ws);
is_deeply([@$m{qw(exit_code signal)}], [130, 'INT'], 'to its signal');

# --- a socket that ends, and another one -------------------------------------

ask($ws, 'exec_start', 'd', command => 'seq 1 3000; read x; seq 1 100000; '
     . 'exit 4', shell => JSON::PP::true, stdin => JSON::PP::true);
$pid = hear($ws)->{pid};
my $seen = '';
while (length $seen < 5000) {
    $m = hear($ws);
    last unless ($m->{type} // '') eq 'exec_stdout';
    $seen .= bytes($m);
}
$ws->abort;

my $r = $t->get("$base/processes");
my ($p) = grep { $_->{pid} == $pid } @{ $r->{json} // [] };
ok($p && $p->{running}, 'a command outlives its socket');

$ws = dial('exec');
ask($ws, 'exec_connect', 'e', pid => $pid, offset => length $seen);
$m = hear($ws);
is_deeply([@$m{qw(type offset pid)}], ['exec_started', length $seen, $pid],
          'another one takes over');
ask($ws, 'exec_stdin', 'e', data => "\n");
($text, $end) = gather($ws, length $seen);
is($seen . $text, join('', map { "$_\n" } 1 .. 3000, 1 .. 100000),
   'nothing is lost and nothing comes twice') or diag(explain $end);
is($end->{exit_code}, 4, 'and sees it end');

# --- a client that does not read ---------------------------------------------

ask($ws, 'exec_start', 'f', shell => JSON::PP::true,
     command => 'yes 0123456789abcde | head -c 40000000 & wait; '
                . 'echo >/tmp/written');
$pid = hear($ws)->{pid};
sleep 2;
isnt($t->exec($s, 'cat /tmp/written')->{exit_code}, 0,
     'holds its command back');
$m = $t->get("$base/processes/$pid/logs")->{json};
cmp_ok($m->{next_offset}, '<', 30000000, 'which fills nothing');
is($t->post("$base/processes/$pid/kill", json => { signal => 'KILL' })
   ->{status}, 200, 'and can be killed all the same');
($text, $end) = gather($ws, 0);
is($end->{signal}, 'KILL', 'the client sees it') or diag(explain $end);
my $whole = '0123456789abcde' . "\n";
ok($text eq substr($whole x (length($text) / 16 + 1), 0, length $text),
   'with all that it had said: ' . length $text);

# --- terminals ---------------------------------------------------------------

my $pty = dial('pty');
ask($pty, 'pty_start', 'p', cols => 90, rows => 30,
     envs => { PS1 => '$ ', A => 'terminal' });
$m = hear($pty);
is_deeply([@$m{qw(type stream_id cols rows offset)}],
          ['pty_started', 'p', 90, 30, 0], 'a terminal')
    or diag(explain $m);
like($m->{session_id}, qr/^pty_[a-z2-7]{26}$/, 'its session');
my $session = $m->{session_id};
$pid = $m->{pid};
my $screen = '';

# Reads the screen until the pattern is on it.
sub screen {
    my ($ws, $pattern, $name) = @_;

    while ($screen !~ $pattern) {
        my $m = hear($ws);
        return fail($name), diag($screen, explain $m)
            unless ($m->{type} // '') eq 'pty_output'
                   && $m->{offset} == length $screen;
        $screen .= bytes($m);
    }
    pass($name);
}

ask($pty, 'pty_input', 'p', data => 'pwd; echo $A; stty size; '
     . "tty >/dev/null && echo yes\r");
screen($pty, qr{/srv/work\r\nterminal\r\n30 90\r\nyes\r\n},
       'a shell at work there');
ask($pty, 'pty_resize', 'p', cols => 50, rows => 20);
ask($pty, 'pty_input', 'p', data => "stty size\r");
screen($pty, qr{[\r\n]20 50\r\n}, 'its size changes');
ask($pty, 'pty_input', 'p', data => "cat; echo after \$?\r");
ok(wait_for(20, sub { $t->exec($s, 'pgrep -fx cat')->{exit_code} == 0 }),
   'a command that reads it');
is($t->post("$base/processes/$pid/stdin",
            json => { data => 'half', eof => JSON::PP::true })->{body},
   '{"bytes_sent":4}', 'the end of its input');
screen($pty, qr{halfhalfafter 0\r\n}, 'reaches it, and the shell goes on');
ask($pty, 'pty_input', 'p', data => "sleep 7100\r");
ok(wait_for(20, sub {
    $t->exec($s, 'pgrep -fx "sleep 7100"')->{exit_code} == 0
}), 'a command in it');
$pty->abort;

$pty = dial('pty');
ask($pty, 'pty_connect', 'q', session_id => $session,
     offset => length $screen);
$m = hear($pty);
is_deeply([@$m{qw(type session_id cols rows)}],
          ['pty_started', $session, 50, 20], 'another socket finds it');
ask($pty, 'pty_input', 'q', data_base64 => 'Aw==');
ask($pty, 'pty_input', 'q', data => "echo back; exit 6\r");
screen($pty, qr{[\r\n]back\r\n}, 'and goes on where it was');
do { $m = hear($pty) } while ($m->{type} // '') eq 'pty_output';
is_deeply([@$m{qw(type session_id exit_code)}], ['pty_exit', $session, 6],
          'to its end') or diag(explain $m);

ask($pty, 'pty_start', 'k', session_id => 'mine', command => 'sleep',
     args => ['7101']);
is(hear($pty)->{session_id}, 'mine', 'a session with a name');
ask($pty, 'pty_start', 'l', session_id => 'mine');
is(hear($pty)->{code}, 'conflict', 'which is taken');
ask($pty, 'pty_kill', 'k');
is(hear($pty)->{signal}, 'KILL', 'and killed');

# --- refusals ----------------------------------------------------------------

for (['exec_stdin', 'none', 'not_found'],
     ['exec_start', 'x', 'invalid_request'],
     ['exec_start', '', 'invalid_request', command => 'true'],
     ['pty_start', 'x', 'invalid_request'],
     ['exec_start', 'x', 'invalid_request', command => 'true', cwd => '/none'],
     ['exec_start', 'x', 'invalid_request', command => 'true', user => 'none'],
     ['exec_start', 'x', 'invalid_request', command => 'true', foo => 1],
     ['exec_connect', 'x', 'not_found', pid => 1]) {
    my ($type, $stream, $code, %o) = @$_;
    ask($ws, $type, $stream, %o);
    $m = hear($ws);
    is_deeply([@$m{qw(type code)}], ['error', $code],
              "refused: $type " . json->encode(\%o)) or diag(explain $m);
}
ask($ws, 'exec_start', 'y', command => 'true');
is(hear($ws)->{type}, 'exec_started', 'the socket stays');
hear($ws);

for (['not JSON', 'nonsense', 1, 1007], ['binary', 'x', 2, 1003],
     ['too large', '"' . 'x' x 1048576 . '"', 1, 1009],
     ['a broken frame', 'x', 11, 1002]) {
    my ($name, $data, $op, $code) = @$_;
    my $ws = dial('exec');
    $ws->ws_send($data, $op);
    $m = hear($ws);
    is_deeply([$m->{opcode}, unpack('n', $m->{data} // '')], [8, $code],
              "$name ends a socket");
}

for (['', 'without a channel'], ['?channel=none', 'an unknown channel'],
     ['?channel=exec&x=1', 'an unknown parameter']) {
    my $ws = SandboxHttp->new($t->{api});
    is($ws->ws_open("$base/ws$_->[0]", [@auth])->{status}, 400, $_->[1]);
}
$t->is_error($t->get("$base/ws?channel=exec"), 400, 'invalid_request',
             'no WebSocket', 'Upgrade');
$t->is_error($t->get("$base/ws?channel=exec",
                     headers => [Connection => 'Upgrade',
                                 Upgrade => 'websocket',
                                 'Sec-WebSocket-Version' => 8]),
             400, 'invalid_request', 'one of another version',
             'Sec-WebSocket-Version');
$t->is_error($t->get("$base/ws?channel=exec", key => undef), 401,
             'unauthorized', 'no key');

# --- a key that is revoked ---------------------------------------------------

{
    my $kept = $t->key('leaver');
    my $gone = $t->inside("$SandboxTest::top/scripts/sandbox-key", 'create',
                          '--tenant', 'leaver');
    chomp $gone;
    my $theirs = $t->create({ memory_mb => 128 }, key => $kept);
    my $path = "/v1/sandboxes/$theirs->{id}";
    my $r = $t->post("$path/exec", key => $kept, json => {
        command => 'sleep', args => ['7103'], background => JSON::PP::true });
    my $pid = $r->{json}{pid};
    my $still = dial('pty', $theirs->{id}, $kept);
    ask($still, 'pty_start', 'k', session_id => 'theirs', command => '/bin/sh');
    is(hear($still)->{type}, 'pty_started', 'a terminal');
    my @open = map { dial('pty', $theirs->{id}, $gone) } 1 .. 4;
    ask($_, 'pty_connect', 'g', session_id => 'theirs') for @open;
    is(hear($_)->{type}, 'pty_started', 'and views of it by another key')
        for @open;
    my $log = $t->begin('GET', "$path/processes/$pid/logs?follow=true",
                        key => $gone);
    is(($log->read_head // {})->{status}, 200, 'a log is followed');
    my $slow = $t->begin('POST', "$path/exec", key => $gone, json => {
        command => 'sleep', args => ['60'], timeout_secs => 70 });
    sleep 1;
    $t->inside("$SandboxTest::top/scripts/sandbox-key", 'revoke', $gone);
    my $revoked = time();

    for my $socket (@open) {
        my $end;
        do { $end = hear($socket) } while defined $end->{type};
        is_deeply([$end->{opcode}, unpack('n', $end->{data} // '')], [8, 1008],
                  'a key that is revoked closes its sockets');
        ok($socket->closed(10), 'and connections');
    }
    ok($log->closed(10), 'a log that is followed');
    $t->is_error($t->end($slow), 401, 'unauthorized', 'and what has no answer');
    cmp_ok(time() - $revoked, '<', 9, 'within seconds');
    ask($still, 'pty_input', 'k', data => "echo st''ays\r");
    my $seen = '';
    while ($seen !~ /stays/) {
        my $m = hear($still);
        last unless %$m;
        $seen .= bytes($m) if ($m->{type} // '') eq 'pty_output';
    }
    like($seen, qr/stays/, 'that of another key stays');

    $t->redis('CLIENT', 'PAUSE', 8000, 'ALL');
    sleep 8;
    ask($still, 'pty_input', 'k', data => "echo st''ill\r");
    while ($seen !~ /still/) {
        my $m = hear($still);
        last unless %$m;
        $seen .= bytes($m) if ($m->{type} // '') eq 'pty_output';
    }
    like($seen, qr/still/, 'also while Redis does not answer');
    ok(wait_for(20, sub {
        $t->get($path, key => $kept)->{status} == 200
    }), 'which it does again');
}

# --- a hibernation -----------------------------------------------------------

ask($pty, 'pty_start', 'h', session_id => 'long', command => '/bin/sh');
is(hear($pty)->{type}, 'pty_started', 'a terminal before a hibernation');
ask($pty, 'pty_input', 'h', data => "x=remembered\r");
$m = hear($pty) while ($m->{data} // '') !~ /remembered/ && %$m;
is($t->post("$base/hibernate")->{status}, 200, 'it is hibernated');
for my $socket ($ws, $pty) {
    do { $m = hear($socket) } while defined $m->{type};
    is_deeply([$m->{opcode}, unpack('n', $m->{data} // '')], [8, 1001],
              'which closes its sockets');
}

$pty = dial('pty');
ask($pty, 'pty_connect', 'i', session_id => 'long');
is(hear($pty)->{type}, 'pty_started', 'a new socket wakes it');
$screen = '';
ask($pty, 'pty_input', 'i', data => "echo \$x \$x\r");
screen($pty, qr{remembered remembered\r\n}, 'and finds the terminal');
$ws = dial('exec');

# --- the end -----------------------------------------------------------------

ask($ws, 'exec_start', 'z', command => 'sleep', args => ['7102']);
is(hear($ws)->{type}, 'exec_started', 'a command at the end');
undef $s;
$m = hear($ws);
is_deeply([$m->{opcode}, unpack('n', $m->{data} // '')], [8, 1001],
          'a sandbox that ends closes its sockets');
ok($ws->closed(10), 'and connections');

$t->finish;
