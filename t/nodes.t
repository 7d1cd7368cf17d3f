#!/usr/bin/perl

# Two nodes on one Redis: an idempotency key is one for all of them, and a
# DELETE reaches the node that has the sandbox.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxNginx;
use SandboxTest;

my $t = SandboxTest->new(own => 1);
my $second = SandboxNginx->new($t, 'node2',
                               sandbox_limits => 'memory_mb=256');

ok(wait_for(10, sub { $second->answers }), 'a second node is up');

# --- one key, two nodes ------------------------------------------------------

my ($key, $body) = (SandboxTest::idem(), '{"memory_mb":128}');
my $later = $second->begin_create($key, $body);
my $one = $t->post('/v1/sandboxes', body => $body, idem => $key);
my $two = $second->end($later);

is_deeply([$one->{status}, $two->{status}], [201, 201],
          'a create sent to both nodes');
is($one->{body}, $two->{body}, 'makes one sandbox');

my $s = $t->sandbox($one);
my $node = $t->redis('HGET', "sbx:{" . substr($s->{id}, 3, 2)
                             . "}:sandbox:$s->{id}", 'node');
like($node, qr/^(stack|node2)$/, 'that one of the nodes has');

# --- a key of what only one of them allows -----------------------------------

{
    my ($key, $large) = (SandboxTest::idem(), '{"memory_mb":512}');
    my $r = $second->end($second->begin_create($key, $large));

    is($r->{status}, 400, 'the second node allows less memory');
    $r = $t->post('/v1/sandboxes', body => $large, idem => $key);
    is($r->{status}, 201, 'the first one does it') or diag($r->{body});
    my $made = $t->sandbox($r);
    my $again = $second->end($second->begin_create($key, $large));
    is_deeply([@$again{qw(status body)}], [@$r{qw(status body)}],
              'and the second one tells it to who asks with the same key');
    $r = $second->end($second->begin_create($key, '{"memory_mb":1024}'));
    is($r->{json}{code}, 'idempotency_key_reused', 'but with another body');
}

# --- DELETE by the other node ------------------------------------------------

for my $by (1, 2) {
    my $d = $by == 1 ? $t->create({ memory_mb => 128 }) : $s;
    my $r = $second->end($second->begin('DELETE', "/v1/sandboxes/$d->{id}"));

    is($r->{status}, 200, "a DELETE sent to the second node ($by)")
        or diag($r->{body});
    ok(!grep({ $_ eq $d->{id} } $t->domains), 'is answered when it is gone');
    $t->is_error($t->get("/v1/sandboxes/$d->{id}"), 404, 'sandbox_not_found',
                 'on the first one too');
}

my $s1 = $t->create({ memory_mb => 128 });
my @deletes = map { $second->begin('DELETE', "/v1/sandboxes/$s1->{id}") } 1 .. 4;
is_deeply([map { $second->end($_)->{status} } @deletes], [(200) x 4],
          'four at once are all answered');
is(scalar($t->domains), 0, 'and nothing is left');

$second->stop;
ok(wait_for(30, sub { 2 == $t->workers }), 'the second node ends');
$t->finish;
