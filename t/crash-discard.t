#!/usr/bin/perl

# libvirtd dies while a checkpoint is being removed, or it cannot be removed:
# who removes it comes back to it, and nobody is told of one that cannot be
# started from.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant LEASE => 2;

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $crash = SandboxCrash->new($t);
my $node = $t->node;
my $agenda = "sbx:{$node}:agenda";

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

# A new snapshot of a new sandbox: its id, and its record's key in Redis.
sub snapshot {
    my $s = $t->create({ memory_mb => 128 });
    my $r = $t->post("/v1/sandboxes/$s->{id}/snapshots",
                     idem => SandboxTest::idem());

    is($r->{status}, 201, 'a snapshot') or diag($r->{body});
    my $id = $r->{json}{id};
    return ($id, 'sbx:{' . substr($id, 5, 2) . "}:snapshot:$id");
}

subtest('a snapshot, which nobody asks for any more' => sub {
    my ($id, $record) = snapshot();

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

# A worker that found nothing to be done before takes it off the agenda, late.
subtest('a snapshot whose DELETE is killed' => sub {
    my ($id, $record) = snapshot();

    $crash->arm('unsnap.claim.after', 'sleep 1500');
    $t->redis('ZADD', $agenda, 1, $id);
    $crash->reached('unsnap.claim.after');

    # it is the other worker's, for this one sleeps
    $crash->arm('unsnap.work.before', 'kill');
    my $http = $t->begin('DELETE', "/v1/snapshots/$id");
    $crash->reached('unsnap.work.before');
    $http->read_response;
    ok(wait_for(LEASE + 15, sub {
        $t->redis('HGET', $record, 'state') eq 'deleted'
    }), 'it is deleted all the same')
        or diag($t->redis('HGET', $record, 'state'));
    is_deeply(whole(), [], 'and cannot be started from');
});

# As if a DELETE had waited so long for a thread that another operation has taken
# the snapshot over and kept it.
subtest('a snapshot whose DELETE is late' => sub {
    my ($id, $record) = snapshot();

    $crash->arm('unsnap.work.before', 'sleep 3000');
    my $first = $crash->reach('unsnap.work.before', sub {
        $t->begin('DELETE', "/v1/snapshots/$id");
    });
    $t->redis('HSET', $record, 'state', 'ready');
    $t->redis('HINCRBY', $record, 'fence', 1);
    $t->redis('HDEL', $record, 'owner', 'lease_at');
    $t->is_error($t->end($first), 409, 'transition_in_progress',
                 'who has lost the lease is told to repeat it');
    is_deeply(whole(), [$id], 'and has removed nothing');
    $crash->persist(200, 'DELETE', "/v1/snapshots/$id");
    is_deeply(whole(), [], 'repeated, it does');
});

# A domain that is only defined, and would run from the checkpoint.
sub use_of {
    my ($id) = @_;

    open(my $fh, '>', "$t->{dir}/data/user.xml") or BAIL_OUT("user.xml: $!");
    print $fh <<"END";
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>user</name><memory>1024</memory><os><type>hvm</type></os>
  <qemu:commandline>
    <qemu:arg value='-object'/>
    <qemu:arg value='{"qom-type":"memory-backend-file","mem-path":"/$id.ram"}'/>
  </qemu:commandline>
</domain>
END
    close $fh;
    virsh('define', '/run/stack/data/user.xml');
    unlink "$t->{dir}/data/user.xml";
}

sub virsh { $t->inside('virsh', '-q', '-c', 'qemu:///system', @_) }

sub place { return $t->redis('ZSCORE', $agenda, $_[0]) =~ /^(\d+)/ ? $1 : 0 }

# It is ready again, and claimed anew, before who has kept it takes it off the
# agenda.
subtest('a snapshot that is kept, and whose next DELETE is killed' => sub {
    my ($id, $record) = snapshot();

    use_of($id);
    $crash->arm('unsnap.end.after', 'sleep 1500');
    my $first = $crash->reach('unsnap.end.after', sub {
        $t->begin('DELETE', "/v1/snapshots/$id");
    });

    # it is the other worker's, for this one sleeps
    $crash->arm('unsnap.work.before', 'kill');
    my $http = $t->begin('DELETE', "/v1/snapshots/$id");
    $crash->reached('unsnap.work.before');
    virsh('undefine', 'user');
    $http->read_response;
    $t->is_error($t->end($first), 409, 'snapshot_in_use', 'it is kept');
    ok(wait_for(LEASE + 15, sub {
        $t->redis('HGET', $record, 'state') eq 'deleted'
    }), 'then it is deleted all the same')
        or diag($t->redis('HGET', $record, 'state'));
    is_deeply(whole(), [], 'and cannot be started from');
});

# That what was left of a sandbox is on the agenda until it can be removed.
sub is_removed_later {
    my ($id) = @_;

    is(scalar(grep { $_ eq $id } @{ whole() }), 1, 'it is still there');
    ok(wait_for(20, sub { place($id) / 1000 > time + 60 }),
       'the agenda finds it in use, and looks again later')
        or diag(place($id));
    virsh('undefine', 'user');
    $t->redis('ZADD', $agenda, 'XX', 1, $id);
    ok(wait_for(20, sub { !place($id) }), 'when it is not, it is done');
    is(scalar(grep { $_ eq $id } @{ whole() }), 0, 'the checkpoint is gone');
    is_deeply([glob("\Q$t->{dir}\E/data/disks/$id.*.ram")], [],
              'with its memory');
}

subtest('one that is in use when its sandbox is hibernated' => sub {
    my $s = $t->create({ memory_mb => 128 });
    my $path = "/v1/sandboxes/$s->{id}";

    is($t->post("$path/hibernate")->{status}, 200, 'hibernated');
    is($t->post("$path/resume")->{status}, 201, 'resumed');
    my ($old) = @{ whole() };
    use_of($old);
    my $r = $t->post("$path/hibernate");
    is($r->{status}, 200, 'it is hibernated all the same') or diag($r->{body});
    is_removed_later($old);
    is_deeply(whole(), [$r->{json}{id}], 'what it is paused in is not');
    is($t->post("$path/resume")->{status}, 201, 'it is resumed');
    $crash->persist(200, 'DELETE', $path);
});

subtest('one whose file cannot be removed' => sub {
    my $s = $t->create({ memory_mb => 128 });
    my $path = "/v1/sandboxes/$s->{id}";

    is($t->post("$path/hibernate")->{status}, 200, 'hibernated');
    is($t->post("$path/resume")->{status}, 201, 'resumed');
    my ($old) = @{ whole() };
    my $file = "/run/stack/data/disks/$old.state";
    $t->inside('mount', '--bind', $file, $file);
    my $r = $t->post("$path/hibernate");
    is($r->{status}, 200, 'it is hibernated all the same') or diag($r->{body});
    my $at = place($old);
    ok($at, 'it is on the agenda');
    ok(wait_for(20, sub { place($old) >= $at + 2 * LEASE * 1000 }),
       'which comes to it each lease');
    $t->inside('umount', $file);
    ok(wait_for(20, sub { !place($old) }), 'until it is done');
    is_deeply(whole(), [$r->{json}{id}], 'the checkpoint is gone');
    $crash->persist(200, 'DELETE', $path);
});

subtest('one that is in use when its sandbox is destroyed' => sub {
    my $s = $t->create({ memory_mb => 128 });
    my $r = $t->post("/v1/sandboxes/$s->{id}/fork", idem => SandboxTest::idem());
    is($r->{status}, 201, 'a fork') or diag($r->{body});
    my ($own) = @{ whole() };
    use_of($own);
    is($t->delete("/v1/sandboxes/$r->{json}{id}")->{status}, 200,
       'it is destroyed all the same');
    is_removed_later($own);
});

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
