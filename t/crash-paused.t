#!/usr/bin/perl

# A DELETE of a paused sandbox whose worker dies, and that nobody repeats: the
# sandbox is on no agenda before, and ends all the same.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant LEASE => 2;

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $crash = SandboxCrash->new($t);
my $node = $t->node;

sub state_of {
    my ($id) = @_;

    return $t->redis('HGET', 'sbx:{' . substr($id, 3, 2) . "}:sandbox:$id",
                     'state');
}

sub on_agenda {
    my ($id) = @_;

    return $t->redis('ZSCORE', "sbx:{$node}:agenda", $id) ne '';
}

sub snapshots {
    return map { m{([^/]+)$} } glob("\Q$t->{dir}\E/data/disks/snap_*.{state,ram}");
}

# A worker died in it.
sub ends {
    my ($id) = @_;

    ok(wait_for(LEASE + 15, sub { state_of($id) eq 'destroyed' }),
       'it is destroyed all the same') or diag(state_of($id));
    is_deeply([snapshots()], [], 'and what it was kept in is gone');
}

for my $point ('destroy.claim.after', 'destroy.teardown.before') {
    subtest("killed at $point" => sub {
        my $s = $t->create({ memory_mb => 128 });
        my $path = "/v1/sandboxes/$s->{id}";

        is($t->post("$path/hibernate")->{status}, 200, 'hibernated');
        is(scalar(snapshots()), 2, 'into a checkpoint');
        ok(wait_for(10, sub { !on_agenda($s->{id}) }), 'it is on no agenda');
        $crash->arm($point, 'kill');
        my $http = $t->begin('DELETE', $path);
        $crash->reached($point);
        $http->read_response;
        ends($s->{id});
        ok(wait_for(5, sub { !on_agenda($s->{id}) }), 'and off the agenda');
    });
}

# The worker that hibernates it gives back what a running one has, late.
subtest('killed while the hibernation ends' => sub {
    my $s = $t->create({ memory_mb => 128 });
    my $path = "/v1/sandboxes/$s->{id}";

    $crash->arm('hibernate.queue.before', 'sleep 1000');
    my $first = $crash->reach('hibernate.queue.before', sub {
        $t->begin('POST', "$path/hibernate");
    });

    # it is the other worker's, for this one sleeps
    $crash->arm('hibernate.pause.after', 'sleep 1000');
    $crash->arm('destroy.teardown.before', 'kill');
    my $second = $t->begin('DELETE', $path);
    $crash->reached('hibernate.pause.after');
    $crash->reached('destroy.teardown.before');
    $_->read_response for $second, $first;
    ends($s->{id});
});

# A worker that looked at it before takes it off the agenda, late.
subtest('killed while another one has found it paused' => sub {
    my $s = $t->create({ memory_mb => 128 });
    my $path = "/v1/sandboxes/$s->{id}";

    is($t->post("$path/hibernate")->{status}, 200, 'hibernated');
    ok(wait_for(10, sub { !on_agenda($s->{id}) }), 'it is on no agenda');
    $crash->arm('destroy.claim.after', 'sleep 1500');
    $t->redis('ZADD', "sbx:{$node}:agenda", 1, $s->{id});
    $crash->reached('destroy.claim.after');

    # it is the other worker's, for this one sleeps
    $crash->arm('destroy.teardown.before', 'kill');
    my $http = $t->begin('DELETE', $path);
    $crash->reached('destroy.teardown.before');
    $http->read_response;
    ends($s->{id});
    ok(wait_for(5, sub { !on_agenda($s->{id}) }), 'and off the agenda');
});

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
