#!/usr/bin/perl

# Commands in the background: their list, output, input and end.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new;
my $s = $t->create({ envs => { SECRET => 'envs-secret-value' },
                     auto_resume => JSON::PP::true,
                     timeout_action => 'hibernate' })
    or $t->finish, exit;
my $base = "/v1/sandboxes/$s->{id}";
my ($r, $pid);


# Starts a shell command in the background; its pid.
sub background {
    my ($command, %o) = @_;
    my $r = $t->post("$base/exec", json => {
        command => $command, shell => JSON::PP::true,
        background => JSON::PP::true, %o });

    is($r->{status}, 200, "started: $command") or diag($r->{body});
    return $r->{json}{pid};
}

sub logs {
    my ($pid, $query) = @_;
    my $path = "$base/processes/$pid/logs" . (defined $query ? "?$query" : '');

    return $t->get($path)->{json} // {};
}

sub ended {
    my ($pid) = @_;
    my $logs;

    ok(wait_for(20, sub {
        $logs = logs($pid);
        defined $logs->{exit_code};
    }), 'it ends');
    return $logs;
}

sub listed {
    my ($pid) = @_;

    return grep { $_->{pid} == $pid } @{ $t->get("$base/processes")->{json} };
}

# --- a life ------------------------------------------------------------------

is_deeply($t->get("$base/processes")->{json}, [], 'there is none at first');

$r = $t->post("$base/exec", json => {
    command => 'echo out; echo err >&2; read x; echo "got $x $SECRET"; exit 5',
    shell => JSON::PP::true, background => JSON::PP::true });
is($r->{status}, 200, 'one is started');
is_deeply([@{ $r->{json} }{qw(exit_code stdout stderr)}], [undef, '', ''],
          'and answered at once');
$pid = $r->{json}{pid};

my ($p) = listed($pid);
is_deeply([@$p{qw(running background)}], [JSON::PP::true, JSON::PP::true],
          'it is listed');
like($p->{command}, qr/^echo out;/, 'its command');
like($p->{started_at}, qr/^20[0-9-]+T[0-9:.]+Z$/, 'its time');
ok(!exists $p->{exit_code}, 'no exit code yet');

my $logs;
ok(wait_for(20, sub { ($logs = logs($pid))->{next_offset} == 8 }), 'its output')
    or diag(explain $logs);
is_deeply([@$logs{qw(stdout stderr exit_code offset)}],
          ["out\n", "err\n", undef, 0], 'by stream');
is(length $logs->{output}, 8, 'and in order');

$r = $t->post("$base/processes/$pid/stdin", json => { data => "w\x{f6}rd\n" });
is($r->{status}, 200, 'input') or diag($r->{body});
is($r->{json}{bytes_sent}, 6, 'is taken');

$logs = ended($pid);
is($logs->{exit_code}, 5, 'its exit code');
like($logs->{stdout}, qr/got w\x{f6}rd envs-secret-value\n\z/,
     'its input and environment');
is(logs($pid, 'offset=8')->{output}, "got w\x{f6}rd envs-secret-value\n",
   'from an offset on');
is_deeply([@{ logs($pid, 'offset=999999') }{qw(output offset)}],
          ['', $logs->{next_offset}], 'from one that is not reached');
($p) = listed($pid);
is_deeply([@$p{qw(running exit_code)}], [JSON::PP::false, 5],
          'it is remembered');

for my $what (['stdin', { data => 'x' }], ['kill', {}]) {
    $t->is_error($t->post("$base/processes/$pid/$what->[0]",
                          json => $what->[1]), 409, 'conflict',
                 "$what->[0] when it has ended");
}

# --- kill --------------------------------------------------------------------

$pid = background('setsid sh -c "trap : TERM; sleep 7001 & sleep 7001" & '
                  . 'sleep 7002');
is($t->exec($s, 'for i in 1 2 3 4 5 6 7 8 9; do '
                . '[ $(pgrep -fxc "sleep 7001") = 2 ] && exit; sleep 1; done; '
                . 'exit 1')->{exit_code}, 0, 'a tree runs');
$r = $t->post("$base/processes/$pid/kill", json => { signal => 'SIGKILL' });
is_deeply($r->{json}, { pid => $pid, signal => 'KILL' }, 'it is killed');
$logs = ended($pid);
is_deeply([@$logs{qw(exit_code signal)}], [137, 'KILL'], 'by the signal');
is($t->exec($s, 'pgrep -f "sleep 700[12]"')->{exit_code}, 1,
   'with all that it had started');

$pid = background('sleep 7003');
is($t->post("$base/processes/$pid/kill", json => {})->{json}{signal}, 'TERM',
   'the signal is TERM if none is told');
is(ended($pid)->{signal}, 'TERM', 'and arrives');

$pid = background('setsid sleep 7004 & sleep 7005', timeout_secs => 1);
is(ended($pid)->{exit_code}, 137, 'a time limit');
is($t->exec($s, 'pgrep -f "sleep 700[45]"')->{exit_code}, 1, 'for all of it');

# --- follow ------------------------------------------------------------------

$pid = background('echo one; read x; echo two >&2; read x; '
                  . 'printf "\377"; exit 3');
{
    my $http = SandboxHttp->new($t->{api});
    my @auth = (Authorization => "Bearer $t->{key}");
    my @lines;

    $http->send($http->format_request('GET',
        "$base/processes/$pid/logs?follow=true", [@auth]));
    my $head = $http->read_head(20);
    is($head->{headers}{'content-type'}, 'application/x-ndjson', 'follow');

    # Chunks and lines need not begin together.
    my $text = '';
    my $line = sub {
        while ($text !~ /\n/) {
            my $size = $http->read_match(qr/[0-9a-f]+\r\n/, 20) // return {};
            $text .= $http->read_bytes(hex($size =~ s/\r\n//r), 20) // '';
            $http->read_bytes(2, 20);
        }
        $text =~ s/^(.*)\n//;
        return json->decode($1);
    };
    is_deeply($line->(), { stream => 'stdout', offset => 0, data => "one\n" },
              'what has come');
    $t->post("$base/processes/$pid/stdin", json => { data => "\n" });
    is_deeply($line->(), { stream => 'stderr', offset => 4, data => "two\n" },
              'what comes');

    # A second one that goes away changes nothing.
    my $other = SandboxHttp->new($t->{api});
    $other->send($other->format_request('GET',
        "$base/processes/$pid/logs?follow=true&offset=4", [@auth]));
    $other->read_head(20);
    $other->abort;

    $t->post("$base/processes/$pid/stdin",
             json => { data_base64 => 'Cg==', eof => JSON::PP::true });
    is_deeply($line->(), { stream => 'stdout', offset => 8,
                           data_base64 => '/w==' }, 'bytes that are no text');
    is_deeply($line->(), { exit_code => 3, next_offset => 9 }, 'the end');
    ok($http->read_match(qr/0\r\n\r\n/, 10), 'of the answer, too');
    is_deeply([@{ logs($pid) }{qw(stdout_base64 stderr)}],
              ['b25lCv8=', "two\n"], 'and in the log');
}

# --- more than is kept -------------------------------------------------------

$pid = background('seq 1 400000');
$logs = ended($pid);
is($logs->{next_offset}, 2688895, 'all output is counted');
is($logs->{offset} + length $logs->{output}, 2688895, 'the newest is kept');
cmp_ok(length $logs->{output}, '<=', 1048576, 'one megabyte of it');
like($logs->{output}, qr/\n399999\n400000\n\z/, 'to the end');

# --- characters --------------------------------------------------------------

$pid = background("yes \x{e9} | head -c 2099999");
$logs = ended($pid);
is_deeply([@$logs{qw(offset next_offset)}], [2099999 - 1048576 + 1, 2099999],
          'one that was overwritten in part is left out');
is(length $logs->{output}, 1048575 / 3 * 2, 'the others are text')
    or diag(join ' ', sort keys %$logs);
is($logs->{stdout}, $logs->{output}, 'of their stream, too');

$pid = background(q{printf 'a\303'; read x; printf '\251'; read x});
ok(wait_for(20, sub { ($logs = logs($pid))->{next_offset} == 1 }),
   'one that has not come whole is held back') or diag(explain $logs);
is_deeply([@$logs{qw(stdout output)}], ['a', 'a'], 'what came before is not');
{
    my $http = SandboxHttp->new($t->{api});

    $http->send($http->format_request('GET',
        "$base/processes/$pid/logs?follow=true",
        [Authorization => "Bearer $t->{key}"]));
    like($http->read_match(qr/.*?"data.*?\n/s, 20) // '', qr/"data":"a"}\n/,
         'nor for one who follows');
    $t->post("$base/processes/$pid/stdin", json => { data => "\n" });
    like($http->read_match(qr/.*?"data.*?\n/s, 20) // '',
         qr/"data":"\xc3\xa9"}\n/, 'it comes whole');
}
ok(wait_for(20, sub { ($logs = logs($pid, 'offset=1'))->{next_offset} == 3 }),
   'in the log, too') or diag(explain $logs);
is($logs->{stdout}, "\x{e9}", 'as text');
$t->post("$base/processes/$pid/stdin", json => { data => "\n" });
is(ended($pid)->{stdout}, "a\x{e9}", 'with all before');

$pid = background(q{printf 'a\303'});
$logs = ended($pid);
is_deeply([@$logs{qw(next_offset stdout_base64)}], [2, 'YcM='],
          'an incomplete one is given at the end');

# --- refusals ----------------------------------------------------------------

for my $path ("$base/processes/1/logs", "$base/processes/x/logs",
              "$base/processes/99999999999/logs") {
    $t->is_error($t->get($path), 404, 'not_found', $path);
}

for my $query ('offset=-1', 'offset=x', 'follow=1', 'x=1', 'offset=1&offset=2')
{
    $t->is_error($t->get("$base/processes/$pid/logs?$query"), 400,
                 'invalid_request', $query, $query =~ /^(\w+)/);
}

for (['stdin', { data => 1 }, 'data'], ['stdin', {}, 'data'],
     ['stdin', { data => '', data_base64 => '' }, 'data_base64'],
     ['stdin', { data_base64 => '*' }, 'data_base64'],
     ['kill', { signal => 'FOO' }, 'signal'], ['kill', { sig => 9 }, 'sig']) {
    my ($route, $json, $field) = @$_;
    $t->is_error($t->post("$base/processes/$pid/$route", json => $json), 400,
                 'invalid_request', json->encode($json), $field);
}

$t->is_error($t->request('DELETE', "$base/processes"), 405,
             'method_not_allowed', 'another method');
$t->is_error($t->get("$base/processes", key => $t->key('other')), 404,
             'sandbox_not_found', "another tenant's");

# --- a hibernation -----------------------------------------------------------

$pid = background('n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done');
ok(wait_for(20, sub { logs($pid)->{next_offset} > 4 }), 'a counter');
is($t->post("$base/hibernate")->{status}, 200, 'a hibernation');
$r = $t->get("$base/processes");
is($r->{status}, 200, 'the list of processes wakes the sandbox')
    or diag($r->{body});
($p) = grep { $_->{pid} == $pid } @{ $r->{json} // [] };
ok($p && $p->{running}, 'and has the counter');
my $before = logs($pid)->{next_offset};
ok(wait_for(20, sub { logs($pid)->{next_offset} > $before }),
   'which goes on to count');
my @counted = split /\n/, logs($pid)->{output};
is_deeply(\@counted, [1 .. @counted], 'where it stood');
is($t->post("$base/processes/$pid/kill", json => { signal => 9 })->{status},
   200, 'and can be killed');
is(ended($pid)->{signal}, 'KILL', 'by its new machine');

# --- secrets -----------------------------------------------------------------

{
    # A resumed sandbox has a new id.
    my $id = $t->get($base)->{json}{id};
    my $token = $t->redis('HGET', "sbx:{" . substr($id, 3, 2)
                                  . "}:sandbox:$id", 'agent_token');
    my $secret = qr/envs-secret-value|\Q$t->{key}\E|\Q$token\E/;
    my @found;

    like($token, qr/^\S{16,}$/, "the agent's token is known to the test");

    for (glob '/proc/[0-9]*/cmdline') {
        open my $in, '<', $_ or next;
        push @found, $_ if (join '', <$in>) =~ $secret;
    }
    is_deeply(\@found, [], 'no secrets in the titles of processes');

    # What others may read, from the directory of the stack on, and all logs.
    @found = ();
    my @todo = ($t->{dir});
    while (defined(my $path = shift @todo)) {
        my @stat = lstat $path or next;
        my $log = $path =~ m{^\Q$t->{dir}\E/log/};

        if (-d _ && $path ne "$t->{dir}/cache") {
            push @todo, glob "$path/*"
                if $log || $path eq $t->{dir} || $stat[2] & 01;
        } elsif (-f _ && ($log || $stat[2] & 04)) {
            open my $in, '<', $path or next;
            push @found, $path if grep { $_ =~ $secret } <$in>;
        }
    }
    is_deeply(\@found, [], 'nor in logs and files that others may read');
}

$t->finish;
