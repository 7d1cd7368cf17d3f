#!/usr/bin/perl

# A worker dies within the taking of a snapshot, or is stopped there until its
# lease has run out and another one has settled it: the source goes on, its
# commands as well, and a client that repeats its request gets one snapshot.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxRecords;
use SandboxTest;

use constant LEASE => 2;

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $crash = SandboxCrash->new($t);
my $redis = SandboxRecords->new($t->redis_socket, 'default');
my $points = SandboxCrash->points;
my @take = sort grep { /^take\./ } keys %$points;
my @untake = sort grep { /^untake\./ } keys %$points;
ok(@take && @untake, 'there are points of each kind');

my $s = $t->create({ memory_mb => 128, timeout_ms => 3_600_000 });
my $id = $s->{id};
my $path = "/v1/sandboxes/$id/snapshots";
$t->exec($s, 'setsid sh -c "i=0; while :; do i=\$((i+1)); echo \$i'
         . ' >>/dev/shm/count; sleep 0.02; done" >/dev/null 2>&1 &');

sub counted { return int($t->exec($s, 'tail -n 1 /dev/shm/count')->{stdout} || 0) }

sub goes_on {
    my $now = counted();

    ok($now && wait_for(10, sub { counted() > $now + 5 }),
       'the commands of the source go on');
}

sub files {
    return [sort map { m{/(snap_[a-z2-7]+)\.state$} ? $1 : () }
            glob("\Q$t->{dir}\E/data/disks/snap_*")];
}

# One snapshot by this key, and no part of another.
sub one {
    my ($key) = @_;
    my $r = $crash->persist(201, 'POST', $path, idem => $key);
    my $one = $r->{json}{id};

    ok(wait_for(30, sub { "@{ files() }" eq ($one // '') }),
       'there is one snapshot') or diag(explain(files()));
    is_deeply($crash->ids('/v1/snapshots'), [$one], 'which is listed');
    goes_on();
    $crash->persist(200, 'DELETE', "/v1/snapshots/$one");
    is_deeply(files(), [], 'and deleted');
}

# A request nobody waits for yet.
sub send_post {
    my ($key) = @_;

    return $t->begin('POST', $path, body => '{}', idem => $key, timeout => 60);
}

# The key of the record that is being taken.
sub taking {
    return (grep { ($redis->command('HGET', $_, 'state') // '') eq 'taking' }
            grep { !/:lives$/ }
            @{ $redis->command('KEYS', '*:snapshot:snap_*') })[0];
}

ok(wait_for(20, sub { counted() > 5 }), 'it counts');

for my $point (@take) {
    subtest("killed at $point" => sub {
        my $key = SandboxTest::idem();

        $crash->arm($point, 'kill');
        my $first = $crash->reach($point, sub { send_post($key) });
        $first->read_response;
        one($key);
    });
}

for my $point ('snapshot.take.before', @take, 'snapshot.take.after',
               'snapshot.commit.before') {
    subtest("asleep at $point" => sub {
        my $key = SandboxTest::idem();

        $crash->arm($point, 'stop');
        my $first = $crash->reach($point, sub { send_post($key) });
        my $worker = $crash->stopped_worker
            or return fail('a worker has stopped');

        my $r = $crash->persist(201, 'POST', $path, idem => $key);
        kill 'CONT', $worker;
        my $late = $first->read_response;
        my $json = $late ? eval { json->decode($late->{body}) } // {} : {};
        ok($late && ($late->{status} == 201 ? $late->{body} eq $r->{body}
                                            : $json->{retryable}),
           'who wakes late gives the same answer or an error')
            or diag($late ? "$late->{status} $late->{body}" : 'cut off');
        one($key);
    });
}

# Tries that do not come to the source are not counted: when the hypervisor is
# back, its commands go on, however often it was looked for.
subtest('killed with the commands frozen, and libvirtd is away for long' => sub {
    my $key = SandboxTest::idem();

    $crash->arm('take.freeze.after', 'kill');
    my $first = $crash->reach('take.freeze.after', sub { send_post($key) });
    $t->stack('kill', 'libvirtd');
    $first->read_response;
    my $record = taking();
    ok($record, 'there is a record') or return;
    ok(wait_for(60, sub { $redis->command('HGET', $record, 'fence') > 9 }),
       'it was tried again and again');
    cmp_ok($redis->command('HGET', $record, 'tries'), '<=', 1,
           'which does not count, but for one that may be under way');
    $t->stack('start', 'libvirtd');
    ok(wait_for(30, sub { !$redis->command('EXISTS', $record) }),
       'and is undone when libvirtd is back');
    goes_on();
    one($key);
});

# The record is somebody else's, but its taker does not know: it has to undo
# what it has taken well.
for my $point (@untake) {
    subtest("fenced off before the commit, then killed at $point" => sub {
        my $key = SandboxTest::idem();

        $crash->arm($point, 'kill');
        $crash->arm('snapshot.take.after', 'sleep 2000');
        my $first = $crash->reach('snapshot.take.after', sub { send_post($key) });
        my $record = taking();
        ok($record, 'there is a record') or return;
        $redis->command('HINCRBY', $record, 'fence', 1);
        $crash->reached($point);
        $first->read_response;
        one($key);
    });
}

# Who settles a take is stopped before it removes what the source's disk does not
# stand on, and goes on when his lease is over: by then the source has no other
# disk.
subtest('asleep in the middle of settling' => sub {
    my ($key, $next) = (SandboxTest::idem(), SandboxTest::idem());

    $crash->arm('take.seal.before', 'kill');
    my $first = $crash->reach('take.seal.before', sub { send_post($key) });
    $crash->arm('settle.files.before', 'stop');
    $first->read_response;
    $crash->reached('settle.files.before');
    my $worker = $crash->stopped_worker
        or return fail('a worker has stopped');

    my $r = $t->post($path, json => {}, idem => $next, timeout => 60);
    ok($r->{status} == 201 || $r->{json}{retryable},
       'another snapshot is taken, or to be asked for again')
        or diag($r->{body});
    kill 'CONT', $worker;
    my $other = $crash->persist(201, 'POST', $path, idem => $next);
    sleep LEASE;
    my ($disk) = $t->inside(qw(virsh -q -c qemu:///system domblklist), $id)
                     =~ m{/(\Q$id\E\.[^/\s]+)};
    ok($disk && -e "$t->{dir}/data/disks/$disk", 'the source has its disk')
        or diag($disk // 'none');
    $crash->persist(200, 'DELETE', "/v1/snapshots/$other->{json}{id}");
    one($key);
});

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
