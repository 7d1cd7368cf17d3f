#!/usr/bin/perl

# A worker dies at each crash point of create and destroy, or is stopped there
# until its lease has run out and somebody else has done the work.  A client
# that repeats its request gets its one sandbox, and after its DELETE nothing
# is left.  The other points are in the other files t/crash-*.t.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant LEASE => 2;

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $crash = SandboxCrash->new($t);
my $body = '{"memory_mb":128,"timeout_ms":3600000}';

# Where a guest's death is sure to be noticed by its creator.
my $under_boot = 'boot.channel.after';

my $points = SandboxCrash->points;
my @create = sort grep { /^(?:create|boot)\./ } keys %$points;
my @destroy = sort grep { /^destroy\./ } keys %$points;
my @undo = sort grep { /^undo\./ } keys %$points;

is_deeply([grep { $points->{$_} > 1 } sort keys %$points], [],
          'every point has a name of its own');
ok(@create && @destroy && @undo, 'there are points of each kind');

sub post {
    my ($key) = @_;

    return $crash->persist(201, 'POST', '/v1/sandboxes', body => $body,
                           idem => $key);
}

# A POST nobody waits for yet.
sub send_post {
    my ($key) = @_;

    return $t->begin('POST', '/v1/sandboxes', body => $body, idem => $key,
                     timeout => SandboxCrash::PATIENCE);
}

# --- killed ------------------------------------------------------------------

# A create that dies, and a destruction that dies, of the same sandbox.
for my $i (0 .. (@create > @destroy ? $#create : $#destroy)) {
    my ($create, $destroy) = ($create[$i % @create], $destroy[$i % @destroy]);

    subtest("killed at $create, then at $destroy" => sub {
        my $key = SandboxTest::idem();

        $crash->arm($create, 'kill');
        my $r = post($key);
        $crash->reached($create);
        my $id = $r->{json}{id};
        $crash->only('there is one sandbox', $id);
        is($t->exec($id, 'echo ok')->{stdout}, "ok\n", 'which works');
        is(post($key)->{body}, $r->{body}, 'a replay is the same answer');

        $crash->arm($destroy, 'kill');
        $crash->gone($id);
        $crash->reached($destroy);
    });
}

# The guest dies under its creator, and then the creator that cleans up.
for my $point (@undo) {
    subtest("killed at $point" => sub {
        my $key = SandboxTest::idem();

        $crash->arm($under_boot, 'stop');
        my $first = $crash->reach($under_boot, sub { send_post($key) });
        my $worker = $crash->stopped_worker or return fail('a worker has stopped');
        $t->stack('kill', 'qemu');
        $crash->arm($point, 'kill');
        kill 'CONT', $worker;

        my $r = $first->read_response;
        ok(!$r || $r->{status} == 503, 'the client is cut off or told to retry')
            or diag($r->{body});
        $crash->reached($point);
        my $id = post($key)->{json}{id};
        $crash->only('a retry makes the one sandbox', $id);
        $crash->gone($id);
    });
}

# --- stopped -----------------------------------------------------------------

# The creator sleeps until it has lost its lease and somebody else has made the
# sandbox; then it wakes and goes on.
for my $point (grep { /^boot\..*before$|^create\.(?:boot|commit)\./ } @create) {
    subtest("asleep at $point" => sub {
        my $key = SandboxTest::idem();

        $crash->arm($point, 'stop');
        my $first = $crash->reach($point, sub { send_post($key) });
        my $worker = $crash->stopped_worker or return fail('a worker has stopped');

        my $second = post($key);
        my $id = $second->{json}{id};
        kill 'CONT', $worker;

        my $r = $first->read_response;
        my $json = $r ? eval { json->decode($r->{body}) } // {} : {};
        ok($r && ($r->{status} == 201 ? $r->{body} eq $second->{body}
                                      : $json->{retryable}),
           'who wakes late gives the same answer or an error to retry')
            or diag($r ? "$r->{status} $r->{body}" : 'cut off');

        $crash->only('there is one sandbox', $id);
        is(post($key)->{body}, $second->{body}, 'the answer stays the same');
        is($t->exec($id, 'echo ok')->{stdout}, "ok\n", 'which works');
        $crash->gone($id);
    });
}

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
