#!/usr/bin/perl

# A create that fails is undone: no domain, disk, address or record stays, and
# the key is free.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxRecords;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--set', 'sandbox_boot_timeout=1s']);
my $key = SandboxTest::idem();

for my $try ('first', 'second') {
    my $r = $t->post('/v1/sandboxes', body => '{"memory_mb":128}',
                     idem => $key);

    $t->is_error($r, 503, 'capacity_exceeded', "no guest boots in 1 s: $try");
    is_deeply($t->get('/v1/sandboxes')->{json}, [], 'nothing is listed');
    is(scalar($t->domains), 0, 'no domain is left');
}

# --- deletes that wait for another one ----------------------------------------
# For as long as a boot may take.

{
    my $records = SandboxRecords->new($t->redis_socket, 'default');
    my $node = $t->node;
    my $lease = int(time() * 1000) + 60_000;
    my $id = $records->add(state => 'hibernating', node => $node,
                           created_at => 1e12, lease_at => $lease);
    $records->flush;
    $t->is_error($t->delete("/v1/sandboxes/$id"), 409,
                 'transition_in_progress', 'of a sandbox that is hibernated');
    $records->clear;

    my $snapshot = "snap_$records->{shard}" . 'a' x 18;
    my $name = $records->key('snapshot', $snapshot);
    $records->command('HSET', $name, state => 'deleting', kind => 'reusable',
                      tenant => 'default', node => $node, sandbox_id => $id,
                      lease_at => $lease);
    $t->is_error($t->delete("/v1/snapshots/$snapshot"), 409,
                 'transition_in_progress', 'of a snapshot that is deleted');
    $records->command('DEL', $name);
}

$t->finish;
