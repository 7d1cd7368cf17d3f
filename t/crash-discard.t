#!/usr/bin/perl

# libvirtd dies while a checkpoint is being removed: who removes it comes back
# to it, and nobody is told of one that cannot be started from.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant LEASE => 2;

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $crash = SandboxCrash->new($t);

# What there is to start from.
sub whole {
    return [sort map { m{/(snap_[a-z2-7]+)\.state$} ? $1 : () }
            glob("\Q$t->{dir}\E/data/disks/snap_*.state")];
}

# A request that loses libvirtd when it comes to that point: its answer.
sub without_libvirtd {
    my ($point, $method, $path) = @_;

    $crash->arm($point, 'sleep 5000');
    my $http = $crash->reach($point, sub { $t->begin($method, $path) });
    $t->stack('kill', 'libvirtd');
    my $r = $t->end($http);
    $t->stack('start', 'libvirtd');
    return $r;
}

subtest('the earlier one of a sandbox that is hibernated again' => sub {
    my $s = $t->create({ memory_mb => 128 });
    my $path = "/v1/sandboxes/$s->{id}";

    is($t->exec($s, 'echo word > /dev/shm/a')->{exit_code}, 0, 'a word');
    is($t->post("$path/hibernate")->{status}, 200, 'hibernated');
    is($t->post("$path/resume")->{status}, 201, 'resumed');
    my ($old) = @{ whole() };

    $t->is_error(without_libvirtd('hibernate.take.after', 'POST',
                                  "$path/hibernate"),
                 503, 'hypervisor_unavailable', 'hibernated, without libvirtd');
    ok(wait_for(30, sub {
        ($t->get($path)->{json}{status} // '') eq 'paused'
    }), 'it is paused in the end');
    my $new = $t->get($path)->{json}{snapshot_id};
    isnt($new, $old, 'in another checkpoint');
    is_deeply(whole(), [$new], 'the only one there is');
    is($t->post("$path/resume")->{status}, 201, 'it is resumed');
    is($t->exec($s, 'cat /dev/shm/a')->{stdout}, "word\n", 'with all it had');
    $crash->persist(200, 'DELETE', $path);
});

subtest('a snapshot, which nobody asks for any more' => sub {
    my $s = $t->create({ memory_mb => 128 });
    my $r = $t->post("/v1/sandboxes/$s->{id}/snapshots",
                     idem => SandboxTest::idem());
    is($r->{status}, 201, 'a snapshot') or diag($r->{body});
    my $id = $r->{json}{id};
    my $record = 'sbx:{' . substr($id, 5, 2) . "}:snapshot:$id";

    $t->is_error(without_libvirtd('unsnap.state.after', 'DELETE',
                                  "/v1/snapshots/$id"),
                 503, 'hypervisor_unavailable', 'deleted, without libvirtd');
    is_deeply(whole(), [], 'it cannot be started from');
    is($t->get('/v1/snapshots')->{body}, '[]', 'nor is it listed');
    ok(wait_for(30, sub { $t->redis('HGET', $record, 'state') eq 'deleted' }),
       'it is deleted in the end') or diag($t->redis('HGET', $record, 'state'));
    is_deeply([glob("\Q$t->{dir}\E/data/disks/$id.*.ram")], [],
              'with its memory');
    is($t->delete("/v1/snapshots/$id")->{status}, 200, 'a repeated DELETE');
});

$t->finish;
