#!/usr/bin/perl

# One tenant, whose guests may never answer, does not hold all threads in which
# guests are waited for: others find one, and its own take turns.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant {
    SHARE => 3, # of the four threads, as the sample has it
    LONG => 90, # s for a boot, a sixth of which each thread is kept
};

my $t = SandboxTest->new(own => 1, up => [
    '--crash-points', '--workers', 1,
    '--set', 'sandbox_thread_pools=quick=sandbox_quick slow=sandbox_slow '
             . 'refill=sandbox_refill tenant_threads=' . SHARE
             . ' tenant_queue=2',
    '--set', 'sandbox_boot_timeout=' . LONG . 's']);
my $crash = SandboxCrash->new($t);
my %key = map { $_ => $t->key($_) } qw(red blue);
my $nap = 'sleep ' . LONG * 1000 / 6;
my $waits = 'sandbox_thread_pool_tenant_waits_total';
my $overflows = 'sandbox_thread_pool_overflows_total{pool="slow"}';
my %body = (memory_mb => 128, timeout_ms => 3_600_000);

sub begin {
    my ($tenant, $path) = @_;

    return $t->begin('POST', "/v1/sandboxes$path", key => $key{$tenant},
                     json => $path ? {} : \%body, timeout => 2 * LONG,
                     idem => SandboxTest::idem());
}

sub waits { return $t->metric($waits) }

sub answered {
    my @answered = grep { defined $_->fill(time() + 0.01) } @_;

    return scalar @answered;
}

# The answers, whose sandboxes end.
sub created {
    my ($tenant, @requests) = @_;
    my @made = map {
        my $r = $t->end($_);
        is($r->{status}, 201, "a create of $tenant\'s") or diag($r->{body});
        $r->{status} == 201 ? $t->sandbox($r, key => $key{$tenant}) : ()
    } @requests;

    return scalar @made;
}

# Creates of red's, each of which keeps a thread for a while.
sub hold {
    my @creates;

    for (1 .. SHARE) {
        $crash->arm('create.boot.before', $nap);
        push @creates, $crash->reach('create.boot.before',
                                     sub { begin('red', '') });
    }

    return @creates;
}

# That another tenant's create is made before any of these is answered.
sub blue_is_served {
    my ($name, @held) = @_;
    my $began = time();
    my $made = created('blue', begin('blue', ''));

    note(sprintf '%.1f s', time() - $began);
    is(answered(@held), 0, $name);
}


my $red = $t->create({ %body, timeout_action => 'hibernate' }, key => $key{red}) or $t->finish, exit;
my $path = "/$red->{id}";

subtest('a snapshot takes its turn' => sub {
    my $before = waits();
    my @held = hold();

    is(waits(), $before, 'a share of threads is had at once');
    $crash->arm('snapshot.take.before', $nap);
    push @held, begin('red', "$path/snapshots");
    wait_for(5, sub { waits() > $before });
    blue_is_served('another tenant does not wait for them', @held);
    is(waits(), $before + 1, 'what is beyond the share waits');

    unlink $crash->file_of('snapshot.take.before');
    my $r = $t->end(pop @held);
    is($r->{status}, 201, 'and is done when a thread is free')
        or diag($r->{body});
    created('red', @held);
    is($t->delete("/v1/snapshots/$r->{json}{id}", key => $key{red})->{status},
       200, 'deleted');
});

subtest('creates, as many as may wait' => sub {
    my $waited = waits();
    my $refused = $t->metric($overflows);
    my @held = hold();

    push @held, map { begin('red', '') } 1 .. 2;
    ok(wait_for(5, sub { waits() == $waited + 2 }), 'two wait');
    $t->is_error($t->end(begin('red', '')), 503, 'capacity_exceeded',
                 'one more is refused');
    is($t->metric($overflows), $refused + 1, 'and counted');
    blue_is_served('but none of another tenant', @held);
    $t->stack('reload', 'nginx');
    is(created('red', @held), 5, 'all others are made, by a worker that shuts down');
});

subtest('a hibernation that is due' => sub {
    my $waited = waits();
    my @held = hold();

    $crash->arm('hibernate.take.before', $nap);
    is($t->post("/v1/sandboxes$path/timeout", key => $key{red},
                json => { timeout_ms => 1 })->{status}, 200, 'its time is up');
    ok(wait_for(10, sub { waits() == $waited + 1 }), 'it waits');
    blue_is_served('another tenant does not wait for it', @held);
    unlink $crash->file_of('hibernate.take.before');
    created('red', @held);

    my $state;
    wait_for(30, sub {
        $state = $t->get("/v1/sandboxes$path", key => $key{red})->{json}{status};
        ($state // '') eq 'paused'
    });
    is($state, 'paused', 'and then it is done');

    my $r = $t->post("/v1/sandboxes$path/resume", key => $key{red});
    is($r->{status}, 201, 'resumed') or diag($r->{body});
    $t->delete("/v1/sandboxes/$r->{json}{id}", key => $key{red});
});

$t->finish;
