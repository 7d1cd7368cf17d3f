#!/usr/bin/perl

# Idempotency-Key and time: how long a repeated request waits for the first
# one, how long answers are kept, and ids; and first ones that fail.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_limits=sandboxes=1',
    '--set', 'sandbox_idempotency_wait=300ms',
    '--set', 'sandbox_idempotency_retention=3s']);
my $body = '{"memory_mb":128}';
my ($key, $late) = (SandboxTest::idem(), SandboxTest::idem());

sub create {
    my ($idem) = @_;

    return $t->post('/v1/sandboxes', body => $body, idem => $idem);
}

# --- waiting -----------------------------------------------------------------

my $http = $t->begin('POST', '/v1/sandboxes', body => $body, idem => $key);
ok(wait_for(10, sub {
    grep { $_->{status} eq 'creating' } @{ $t->list('/v1/sandboxes') }
}), 'a create runs');

my $r = create($key);
$t->is_error($r, 409, 'idempotency_in_progress', 'the same again');
is($r->{headers}{'retry-after'}, 1, 'says when to come back');
cmp_ok($r->{seconds}, '>=', 0.25, 'after it has waited');
cmp_ok($r->{seconds}, '<', 2, 'for as long as it may');

# --- a first one that fails --------------------------------------------------

$t->is_error(create($late), 503, 'capacity_exceeded',
             'a create that finds no room');

my $first = $t->end($http);
my $done = time();
is($first->{status}, 201, 'the one that ran has ended well');
my $sandbox = $t->sandbox($first);

$r = create($key);
is($r->{body}, $first->{body}, 'and is replayed');
is($r->{headers}{'idempotent-replayed'}, 'true', 'with Idempotent-Replayed');

$t->is_error(create($late), 503, 'capacity_exceeded',
             'there is no room yet for the other');
undef $sandbox;
$r = create($late);
is($r->{status}, 201, 'and when there is, its key is free')
    or diag($r->{body});
ok(!exists $r->{headers}{'idempotent-replayed'}, 'it is no replay');
$sandbox = $t->sandbox($r);
my $other = $sandbox->{id};

# --- keeping -----------------------------------------------------------------

sleep 0.1 while time() < $done + 3.5;
undef $sandbox;
$r = create($key);
is($r->{status}, 201, 'after the retention a key is free')
    or diag($r->{body});
ok(!exists $r->{headers}{'idempotent-replayed'}, 'it is no replay');
$sandbox = $t->sandbox($r);
isnt($sandbox->{id}, $first->{json}{id}, 'but another sandbox');

# the id that a resume has given is no answer: it is good while the sandbox is
my @ids = $sandbox->{id};
for (1 .. 2) {
    is($t->post("/v1/sandboxes/$ids[-1]/hibernate")->{status}, 200,
       'hibernated');
    $r = $t->post("/v1/sandboxes/$ids[-1]/resume");
    is($r->{status}, 201, 'and resumed') or diag($r->{body});
    push @ids, $r->{json}{id};
}

$done = time();
sleep 0.1 while time() < $done + 3.5;
is($t->get("/v1/sandboxes/$_")->{json}{id}, $ids[-1],
   'after the retention its ids lead to it') for @ids;
is($t->delete("/v1/sandboxes/$ids[1]")->{status}, 200,
   'and one in between ends it');
is($t->get("/v1/sandboxes/$_")->{status}, 404, 'none leads to it then')
    for @ids;

$t->finish;
