#!/usr/bin/perl

# A hibernation whose worker has died is repeated, also where there is no
# thread for it at first: its checkpoint may be all there is of the sandbox.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant { LEASE => 2, BOOT => 10 };

# the first pool of the sample is the slow one here: one thread, a queue of one
my $t = SandboxTest->new(own => 1, up => [
    '--crash-points', '--workers', 1,
    '--set', 'sandbox_lease=' . LEASE . 's',
    '--set', 'sandbox_boot_timeout=' . BOOT . 's',
    '--set', 'sandbox_reconcile=interval=1s grace=1s',
    '--set', 'thread_pool=sandbox_quick threads=1 max_queue=1',
    '--set', 'sandbox_thread_pools=quick=sandbox_slow slow=sandbox_quick '
             . 'refill=sandbox_refill']);
my $crash = SandboxCrash->new($t);
my $body = { memory_mb => 128, timeout_ms => 3_600_000 };
my $overflows = 'sandbox_thread_pool_overflows_total{pool="slow"}';

sub status {
    my ($id) = @_;

    return $t->get("/v1/sandboxes/$id")->{json}{status} // '';
}

# A sandbox that remembers a word, and whose taker has died: the checkpoint is
# whole, the machine gone, the record says neither.
sub taken {
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";

    $crash->arm('hibernate.take.after', 'kill');
    $crash->reach('hibernate.take.after', sub {
        $t->begin('POST', "$path/hibernate");
    })->read_response;
    ok(wait_for(10, sub { $t->get($path)->{status} == 200 }),
       'its worker dies, another one comes');
    return $s;
}

# A create that keeps the slow thread for so many ms.
sub occupy {
    my ($ms) = @_;

    $crash->arm('create.boot.before', "sleep $ms");
    return $crash->reach('create.boot.before', sub { create() });
}

sub create { return $t->begin('POST', '/v1/sandboxes', json => $body) }

sub is_kept {
    my ($id) = @_;

    ok(wait_for(60, sub { status($id) =~ /^(?:paused|error)$/ }),
       'it is over in the end');
    is(status($id), 'paused', 'and paused');
    my $r = $t->post("/v1/sandboxes/$id/resume");
    is($r->{status}, 201, 'it is resumed') or diag($r->{body});
    $crash->remembers($id, 'with all it had');
}


subtest('repeated when the queue is full' => sub {
    my $s = taken();
    my $id = $s->{id};
    my $before = $t->metric($overflows);
    my @others = (occupy(6000), create());

    ok(wait_for(8, sub { $t->metric($overflows) > $before }),
       'there is no thread for its hibernation');
    is_kept($id);
    $crash->persist(200, 'DELETE', "/v1/sandboxes/$_")
        for $id, map { $t->end($_)->{json}{id} // () } @others;
});

subtest('repeated, and its time passes in the queue' => sub {
    my $s = taken();
    my $id = $s->{id};
    my $other = occupy((BOOT + LEASE + 5) * 1000);

    is_kept($id);
    $t->is_error($t->end($other), 503, 'capacity_exceeded',
                 'the other one was too late, too');
    $crash->persist(200, 'DELETE', "/v1/sandboxes/$id");
});

# The end of its checkpoint did not get to the disk, and nobody has a machine.
subtest('repeated, and its checkpoint is torn' => sub {
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";

    $crash->arm('hibernate.take.after', 'stop');
    $crash->reach('hibernate.take.after', sub {
        $t->begin('POST', "$path/hibernate");
    });
    my $worker = $crash->stopped_worker or return fail('a worker has stopped');
    my @states = glob($t->dir . '/data/disks/snap_*.state');
    is(scalar @states, 1, 'its checkpoint');
    my $size = -s $states[0];
    open(my $fh, '+<:raw', $states[0]) or die $!;
    seek($fh, 65536, 0);
    print $fh "\0" x ($size - 65536);
    close $fh or die $!;
    kill 'KILL', $worker;

    ok(wait_for(60, sub { status($s->{id}) eq 'error' }), 'it is lost')
        or diag($t->get($path)->{body});
    is(join(' ', glob($t->dir . '/data/disks/snap_*')), '',
       'and nothing is left of it');
    $crash->persist(200, 'DELETE', $path);
});

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
