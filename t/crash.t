#!/usr/bin/perl

# Processes of nginx killed during a create: within the lease and some
# seconds there is a running sandbox that its tenant sees, or nothing.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

use constant LEASE => 5;

my $t = SandboxTest->new(own => 1, up => ['--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $body = '{"memory_mb":128,"timeout_ms":3600000}';

# how long a create takes when nobody disturbs it, once there is a checkpoint
$t->create({ memory_mb => 128 });
my $began = time();
$t->create({ memory_mb => 128 });
my $usual = time() - $began;
diag(sprintf 'an undisturbed create takes %.1f s', $usual);

sub answers {
    return wait_for(20, sub {
        my $r = eval { $t->get('/v1/sandboxes') } or return 0;
        $r->{status} == 200
    });
}

# What Redis and libvirt agree on: ids of running sandboxes, or undef while
# something is under way.
sub settled {
    my $list = $t->get('/v1/sandboxes');
    return unless $list->{status} == 200;
    return if grep { $_->{status} ne 'running' } @{ $list->{json} };

    my @ids = sort map { $_->{id} } @{ $list->{json} };
    my @names = sort $t->domains;
    return unless @names == @ids;
    my @files = glob("\Q$t->{dir}\E/data/disks/sb_*");
    return unless @files == @ids;

    return \@ids;
}

for (['workers', 0], ['workers', 0.02], ['workers', 0.15], ['workers', 0.4],
     ['workers', 0.8], ['nginx', 0.5], ['workers', 0.97]) {
    my ($what, $when) = @$_;
    my $name = sprintf '%s killed after %.0f %% of a create', $what,
                       $when * 100;

    subtest($name => sub {
        my $http = SandboxHttp->new($t->{api}, 60);
        my $key = SandboxTest::idem();
        $http->send($http->format_request('POST', '/v1/sandboxes',
            [Authorization => "Bearer $t->{key}",
             'Content-Type' => 'application/json',
             'Idempotency-Key' => $key], $body));
        sleep $when * $usual;

        $t->stack('kill', 'workers');
        if ($what eq 'nginx') {
            $t->try_stack('kill', 'nginx');
            $t->stack('start', 'nginx');
        }

        my $killed = time();
        my $r = $http->read_response;
        ok(!$r || $r->{status} == 201, 'the client is cut off or served')
            or diag($r->{body});

        ok(answers(), 'nginx answers again');
        my $ids;
        ok(wait_for(LEASE + 20, sub { $ids = settled() }),
           'all is settled in time')
            or diag(explain([$t->get('/v1/sandboxes')->{json},
                             [$t->domains]]));
        diag(sprintf '%s: %s after %.1f s', $name,
             !$ids ? 'not settled' : @$ids ? 'a sandbox' : 'nothing',
             time() - $killed);
        cmp_ok(scalar(@{ $ids // [] }), '<=', 1, 'one sandbox or none');

        # the client comes again with the same key
        my $again;
        ok(wait_for(LEASE + 30, sub {
            $again = $t->post('/v1/sandboxes', body => $body, idem => $key);
            $again->{status} == 201
        }), 'the same request gives a sandbox') or diag($again->{body});

        if ($again->{status} == 201) {
            my $s = $t->sandbox($again);
            is($s->{id}, $ids->[0], 'the one that was there')
                if $ids && @$ids;
            is($t->exec($s, 'echo ok')->{stdout}, "ok\n", 'that works');
            is_deeply(settled(), [$s->{id}], 'and is the only one');
        }
    });
}

# --- a delete is cut short ---------------------------------------------------

if (my $s = $t->create({ memory_mb => 128 })) {
    my $http = SandboxHttp->new($t->{api}, 60);
    $http->send($http->format_request('DELETE', "/v1/sandboxes/$s->{id}",
                                      [Authorization => "Bearer $t->{key}"]));
    sleep 0.05;
    $t->stack('kill', 'workers');
    ok(answers(), 'workers killed during a delete');
    ok(wait_for(LEASE + 20, sub {
        my $ids = settled();
        $ids && !@$ids
    }), 'it is done in time');
    is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200,
       'the delete may be repeated');
}

# --- the guest dies ----------------------------------------------------------

if (my $s = $t->create({ memory_mb => 128 })) {
    $t->stack('kill', "qemu:$s->{id}");
    my $r = $t->post("/v1/sandboxes/$s->{id}/exec",
                     json => { command => 'true' });
    like($r->{status}, qr/^(404|409|502|503)$/, 'exec in a guest that died');
    like(($r->{json} // {})->{code} // '', qr/^[a-z_]+$/, 'has a code');
    is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200,
       'which can be deleted');
}

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
