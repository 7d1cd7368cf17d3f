#!/usr/bin/perl

# Nodes whose clock is wrong by hours: what is to be done is judged by Redis'
# clock, and neither done again and again nor left alone.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxNginx;
use SandboxPools;
use SandboxRecords;
use SandboxTest;

use constant HOURS => 2 * 3600;

my $t = SandboxTest->new(own => 1);
my $body = { memory_mb => 128, timeout_ms => 1_800_000,
             timeout_action => 'hibernate', auto_resume => JSON::PP::true };

# All nodes have the bridge's subnet: one begins where the others do not come.
$t->redis('SET', 'sbx:{behind}:cursor', 1000);
$t->redis('SET', 'sbx:{ahead}:cursor', 2000);

sub start {
    my ($node, $clock) = @_;
    my $nginx = SandboxNginx->new($t, $node, clock => $clock);

    ok(wait_for(10, sub { $nginx->answers }), "a node that is $node");
    return $nginx;
}

# A request to a node, with a body of JSON.
sub send_to {
    my ($node, $method, $path, $json) = @_;

    return $node->end($node->begin(
        $method, $path, '-H', 'Content-Type: application/json',
        '-H', 'Idempotency-Key: ' . SandboxTest::idem(),
        '-d', json->encode($json // {})));
}

sub create {
    my ($node) = @_;
    my $r = send_to($node, 'POST', '/v1/sandboxes', $body);

    is($r->{status}, 201, 'it creates') or BAIL_OUT($r->{body});
    return $r->{json}{id};
}

# Seconds from now, by Redis' clock, at which an id stands in a sorted set; or
# nothing.
sub due_in {
    my ($key, $id) = @_;
    my $at = $t->redis('ZSCORE', $key, $id);
    my ($now) = split /\n/, $t->redis('TIME');

    return length $at ? $at / 1000 - $now : undef;
}

# --- behind ------------------------------------------------------------------

{
    my $node = start('behind', -&HOURS);
    my $id = create($node);
    my @virsh = qw(virsh -q -c qemu:///system);
    my ($was) = $t->inside(@virsh, 'dumpxml', $id)
                =~ m{<sandbox:(domain [^>]*>)};

    sub failures {
        my $log = SandboxLeft::slurp("$t->{dir}/log/behind-error.log");

        return scalar(() = $log =~ /\Q$_[0]\E: hibernate failed/g);
    }

    # nothing can be taken of a machine of unknown origin
    $was =~ s/ (?:checkpoint|xmlns:sandbox)="[^"]*"//g;
    $t->inside(@virsh, 'metadata', $id, '--uri', 'urn:nginx-sandbox:domain:1',
               '--key', 'sandbox', '--live', '--set', "<$was");
    is(send_to($node, 'POST', "/v1/sandboxes/$id/timeout",
               { timeout_ms => 1 })->{status}, 200, 'a deadline');
    ok(wait_for(30, sub { failures($id) }), 'that cannot be met');
    ok(wait_for(10, sub { (due_in('sbx:{behind}:agenda', $id) // 0) > 60 }),
       'it is looked at again much later');
    sleep 3;
    is(failures($id), 1, 'and is tried no more before');

    is(send_to($node, 'DELETE', "/v1/sandboxes/$id")->{status}, 200,
       'it is destroyed');
    $node->stop;
}

# --- ahead -------------------------------------------------------------------

{
    my $node = start('ahead', HOURS);
    my $r = send_to($node, 'POST', SandboxPools::ROOT,
                    { name => 'ahead', template_ref => 'base', min_ready => 0,
                      resources => { memory_mb => 128 } });
    my $pool = $r->{json}{id};

    is($r->{status}, 201, 'it makes a pool') or BAIL_OUT($r->{body});
    ok(wait_for(10, sub {
        $t->redis('HEXISTS', ($t->redis('KEYS', "*:pool:$pool"))[0], 'target')
    }), 'which is tended');
    cmp_ok(due_in('sbx:{ahead}:agenda', $pool), '<', 60, 'and will be');
    cmp_ok(due_in('sbx:leases', $pool), '<', 60, 'or taken over');
    is(send_to($node, 'POST', SandboxPools::ROOT . "/$pool/drain")->{status},
       200, 'it is drained');
    is(send_to($node, 'DELETE', SandboxPools::ROOT . "/$pool")->{status}, 200,
       'and deleted');

    # one that was woken as often as it may be in an hour, half an hour ago
    my $records = SandboxRecords->new($t->redis_socket, 'sleepers');
    my ($now) = split /\n/, $t->redis('TIME');
    my $id = $records->add(node => 'ahead', state => 'paused', auto_resume => 1,
                           wakes => 10, wakes_since => ($now - 1800) * 1000);

    $records->flush;
    $r = $node->end($node->begin(
        'GET', "/__ns-edge/sandboxes/$id/ports/8000/"));
    is($r->{json}{code}, 'wake_limit_exceeded',
       'nobody is woken more often than he may be');
    $records->clear;

    ok(wait_for(10, sub {
        $t->redis('ZCARD', 'sbx:{ahead}:agenda') == 0
    }), 'nothing is left on its agenda');
    $node->stop;
}

$t->finish;
