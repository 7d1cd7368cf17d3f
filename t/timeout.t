#!/usr/bin/perl

# POST /v1/sandboxes/{id}/timeout, and how exactly deadlines are kept.  Most
# sandboxes are records put into Redis by hand; one is real.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxRecords;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--set', 'sandbox_lease=5s']);
my $socket = $t->redis_socket;
my ($key, $other) = map { $t->key($_) } qw(timers others);
my $records = SandboxRecords->new($socket, 'timers');
my $node = $t->node;
my $agenda = "sbx:{$node}:agenda";
my $r;

sub now_ms { return int(time() * 1000) }

sub milliseconds {
    my ($text) = @_;
    my ($y, $mon, $d, $h, $m, $s, $ms) = $text =~ /(\d+)/g;

    require Time::Local;
    return Time::Local::timegm($s, $m, $h, $d, $mon - 1, $y) * 1000 + $ms;
}

sub move {
    my ($id, $json, %o) = @_;

    return $t->post("/v1/sandboxes/$id/timeout", json => $json, key => $key,
                    %o);
}

# A record that runs and ends in so many milliseconds, on the agenda at a time
# (by default its deadline).
sub sleeper {
    my ($ms, $look) = @_;
    my $at = now_ms() + $ms;
    my $id = $records->add(created_at => now_ms(), timeout_ms => $ms,
                           timeout_at => $at);

    $records->later('ZADD', $agenda, $look // $at, $id);
    $records->flush;
    return $id;
}

sub field {
    my ($id, @names) = @_;
    my $values = $records->command('HMGET', $records->key('sandbox', $id),
                                   @names);

    return wantarray ? @$values : $values->[0];
}

sub ended {
    my ($id) = @_;

    return (field($id, 'state') // '') eq 'destroyed';
}

# Milliseconds from the deadline of each to its tombstone, in order.
sub lateness {
    return sort { $a <=> $b }
           map { my ($at, $end) = field($_, 'timeout_at', 'destroyed_at');
                 $end - $at } @_;
}

# Runs code in a child until the guard goes away.
sub meanwhile {
    my ($code) = @_;
    my $pid = fork() // die "cannot fork: $!";

    if (!$pid) {
        $SIG{TERM} = sub { POSIX::_exit(0) };
        $code->() while 1;
    }

    return guard(sub { kill TERM => $pid; waitpid $pid, 0 });
}

# --- refusals ----------------------------------------------------------------

my $id = sleeper(3600000);

for (['no timeout_ms', {}, 'timeout_ms'],
     ['0', { timeout_ms => 0 }, 'timeout_ms'],
     ['more than the maximum', { timeout_ms => 86400001 }, 'timeout_ms'],
     ['text', { timeout_ms => '1' }, 'timeout_ms'],
     ['another member', { timeout => 1000 }, 'timeout'],
     ['an odd action', { timeout_ms => 1, timeout_action => 'x' },
      'timeout_action']) {
    my ($name, $json, $field) = @$_;
    $t->is_error(move($id, $json), 400, 'invalid_request', $name, $field);
}
like(move($id, { timeout_ms => 86400001 })->{json}{error_detail}{reason},
     qr/at most 86400000/, 'the maximum is named');
is(move($id, { timeout_ms => 3_600_000, timeout_action => 'hibernate' })
     ->{json}{timeout_action}, 'hibernate', 'hibernate in place of destroy');
is(move($id, { timeout_ms => 3_600_000, timeout_action => 'destroy' })
     ->{json}{timeout_action}, 'destroy', 'and destroy again');
$t->is_error(move($id, undef, body => '{'), 400, 'invalid_json', 'no JSON');
$t->is_error($t->get("/v1/sandboxes/$id/timeout", key => $key), 405,
             'method_not_allowed', 'GET');
$t->is_error(move($id, { timeout_ms => 1000 }, key => $other), 404,
             'sandbox_not_found', 'another tenant\'s');
$t->is_error(move('sb_aaaaaaaaaaaaaaaaaaaa', { timeout_ms => 1000 }), 404,
             'sandbox_not_found', 'no sandbox');
is(field($id, 'timeout_ms'), 3600000, 'nothing has changed the record');

for (['creating', 409, 'sandbox_not_ready'], ['error', 409,
     'transition_conflict'], ['destroying', 404, 'sandbox_not_found'],
     ['destroyed', 404, 'sandbox_not_found']) {
    my ($state, $status, $code) = @$_;
    my $odd = $records->add(state => $state, created_at => now_ms());
    $records->flush;
    $r = move($odd, { timeout_ms => 1000 });
    $t->is_error($r, $status, $code, $state);
    is_deeply($r->{json}{error_detail}, $status == 409 ? { state => $state }
                                                       : undef, 'its state');
    is(field($odd, 'state'), $state, 'which stays');
    is(field($odd, 'timeout_at'), 4e12, 'as does its deadline');
    $records->remove($odd);
}

# --- later, earlier ----------------------------------------------------------

my $began = now_ms();
$r = move($id, { timeout_ms => 7200000, timeout_action => 'destroy' });
is($r->{status}, 200, 'later') or diag($r->{body});
my $at = milliseconds($r->{json}{timeout_at});
cmp_ok(abs($at - $began - 7200000), '<', 5000, 'it counts from now');
is_deeply($r->{json}, $t->get("/v1/sandboxes/$id", key => $key)->{json},
          'the answer is the object');
is($r->{json}{timeout_ms}, 7200000, 'timeout_ms');
is($r->{json}{expires_at}, $r->{json}{timeout_at}, 'expires_at');
is(field($id, 'timeout_at'), $at, 'the record has it');

$r = move($id, { timeout_ms => 60000 });
$at = milliseconds($r->{json}{timeout_at});
cmp_ok($records->command('ZSCORE', $agenda, $id), '<=', $at,
       'earlier: the agenda follows');

$records->command('ZADD', $agenda, now_ms(), $id);
ok(wait_for(5, sub { $records->command('ZSCORE', $agenda, $id) == $at }),
   'a look that is too early is put off to the deadline');
is(field($id, 'state'), 'running', 'and does nothing');

$records->command('ZREM', $agenda, $id);
$r = move($id, { timeout_ms => 1 });
is($r->{status}, 200, 'a millisecond, and not on the agenda');
ok(wait_for(10, sub { ended($id) }), 'it ends');
diag('1 ms: destroyed ', join(' ', lateness($id)), ' ms late');
$t->is_error(move($id, { timeout_ms => 1000 }), 404, 'sandbox_not_found',
             'too late');
is(field($id, 'state'), 'destroyed', 'and it stays so');

my $kept = sleeper(1500);
is(move($kept, { timeout_ms => 600000 })->{status}, 200, 'just in time');
sleep 2.5;
is(field($kept, 'state'), 'running', 'it outlives its first deadline');
cmp_ok($records->command('ZSCORE', $agenda, $kept), '>', now_ms() + 500000,
       'the agenda has the new one');
is($t->delete("/v1/sandboxes/$kept", key => $key)->{status}, 200, 'delete');

{
    my $far = $records->add(created_at => now_ms(), node => 'elsewhere');
    $records->flush;
    $r = move($far, { timeout_ms => 60000 });
    is($r->{status}, 200, 'of another node');
    is($records->command('ZSCORE', 'sbx:{elsewhere}:agenda', $far),
       milliseconds($r->{json}{timeout_at}), 'whose agenda has it');
    ok(!defined $records->command('ZSCORE', $agenda, $far), 'and not ours');
    $records->command('DEL', 'sbx:{elsewhere}:agenda');
    $records->remove($far);
}

# --- a real one --------------------------------------------------------------

my $s = $t->create({ memory_mb => 128 }, key => $key) or $t->finish, exit;
is(($t->exec($s, 'echo 1', key => $key)->{stdout}), "1\n", 'a sandbox runs');
$r = move($s->{id}, { timeout_ms => 1000 });
is($r->{status}, 200, 'it is given a second');
ok(wait_for(15, sub { ended($s->{id}) }), 'and ends');
my ($late) = lateness($s->{id});
cmp_ok($late, '>=', 0, 'not early');
diag("a running guest: destroyed $late ms after its deadline");
is(scalar($t->domains), 0, 'its domain is gone');
undef $s;

# --- looks that read the record before the deadline came nearer --------------

{
    my @ids = map { sleeper(3600000, now_ms() + 20 * $_) } 1 .. 60;
    for my $one (@ids) {
        move($one, { timeout_ms => 1500 })->{status} == 200
            or diag("not moved: $one");
    }

    ok(wait_for(20, sub { !grep { !ended($_) } @ids }),
       'a deadline that was moved nearer during a look is not lost');
    my @late = lateness(@ids);
    diag("moved during a look: at most $late[-1] ms late");
}

# --- deadline, DELETE and timeout at once ------------------------------------

{
    my @ids = map { sleeper(300 + 10 * $_) } 1 .. 60;
    my (%last, %gone, @back);

    {
        my $deletes = meanwhile(sub {
            $t->delete('/v1/sandboxes/' . $ids[3 * int rand 20], key => $key);
        });

        for my $n (1 .. 6) {
            for my $one (@ids) {
                my $answer = move($one, { timeout_ms => 200 + int rand 600 });
                if ($answer->{status} == 200) {
                    push @back, $one if $gone{$one};
                    $last{$one} = milliseconds($answer->{json}{timeout_at});
                } elsif ($answer->{status} == 404) {
                    $gone{$one} = 1;
                } else {
                    push @back, "$one: $answer->{status}";
                }
            }
        }
    }

    is_deeply(\@back, [], 'what is gone does not come back');
    ok(wait_for(20, sub { !grep { !ended($_) } @ids }), 'all end');
    sleep 1;
    is_deeply([grep { !ended($_) } @ids], [], 'for good');

    my %deleted = map { $_ => 1 } @ids[map { 3 * $_ } 0 .. 19];
    is_deeply([grep { $last{$_} && !$deleted{$_}
                      && field($_, 'destroyed_at') < $last{$_} } @ids], [],
              'nobody ends before the deadline it was last given');
}

# --- many at once, under load ------------------------------------------------

{
    my @load = map {
        meanwhile(sub { $t->get('/v1/sandboxes?limit=100', key => $key) })
    } 1 .. 2;
    my @ids = map { sleeper(2000 + 10 * $_) } 1 .. 300;

    ok(wait_for(60, sub { !grep { !ended($_) } @ids }),
       '300 deadlines in three seconds');
    undef @load;

    my @late = lateness(@ids);
    diag(sprintf 'lateness of 300 deadlines, ms: least %d, median %d, '
                 . '95 %% %d, most %d', @late[0, 150, 285, 299]);
    cmp_ok($late[0], '>=', 0, 'none is early');
    cmp_ok($late[285], '<', 1000, 'they are kept to the second');

    my @moment = map { sleeper(3000) } 1 .. 300;
    ok(wait_for(60, sub { !grep { !ended($_) } @moment }), '300 at a moment');
    @late = lateness(@moment);
    diag(sprintf '300 at a moment, ms: least %d, median %d, 95 %% %d, most %d',
                 @late[0, 150, 285, 299]);
    cmp_ok($late[285], '<', 3000, 'are worked off without a wait for leases');
}

$records->clear;
$t->finish;
