#!/usr/bin/perl

# A create that is made does not wait behind the members of warm pools that are
# being made: whatever holds these up, it overtakes them.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxPools;
use SandboxTest;

# Threads of "refill" in conf/sandbox-module.conf, members that are made at a
# time, and more than can be there before each thread has fallen asleep.
use constant { THREADS => 2, PARALLEL => 4, MEMBERS => 8, CREATES => 3 };

my $t = SandboxTest->new(own => 1, up => [
    '--crash-points', '--workers', 1,
    '--set', 'sandbox_warm_pools=parallel=' . PARALLEL . ' interval=1s']);
my $crash = SandboxCrash->new($t);
my $pools = SandboxPools->new($t);
my $root = SandboxPools::ROOT;

# The template is booted once, so that all that follows takes little time.
my $s = $t->create({ memory_mb => 128 });
undef $s;

my $pool = $pools->make('busy');
my $empty = $pools->make('empty');
my ($record) = $t->redis('KEYS', "*:pool:$pool");

sub status { return $pools->status($pool) }
sub warming { return join ' ', sort split /\n/,
                     $t->redis('ZRANGE', "$record:warming", 0, -1) }

# Each thread that makes members falls asleep; the others wait for it.
$crash->arm('create.boot.before', 'sleep 45000');
is($t->request('PATCH', "$root/$pool", json => {
    min_ready => MEMBERS, max_ready => MEMBERS })->{status}, 200,
   'that is to be filled');

for (2 .. THREADS) {
    $crash->reached('create.boot.before');
    $crash->arm('create.boot.before', 'sleep 45000');
}

$crash->reached('create.boot.before');
ok(wait_for(30, sub { status()->{warming} == PARALLEL }),
   'as many members as may be are being made');
my $making = warming();
my $ready = status()->{ready};

my @made;

for my $n (1 .. CREATES) {
    my $s = $t->create({ memory_mb => 128,
                         warm_pool => { mode => 'bypass' } });

    is($t->exec($s, 'echo ok')->{stdout}, "ok\n", "a create that bypasses, $n");
    push @made, $s;
}

my $r = $t->post('/v1/sandboxes', json => { warm_pool => { id => $empty } });
is($r->{status}, 201, 'one that prefers a pool');
is($r->{json}{warm_pool_checkout}{hit}, JSON::PP::false, 'which is empty');
push @made, $t->sandbox($r);

is(warming(), $making, 'the members are still being made');
is(status()->{ready}, $ready, 'and none has got ready meanwhile');
@made = ();

ok(wait_for(120, sub { status()->{ready} == MEMBERS }), 'then they are ready');

for my $pool ($pool, $empty) {
    is($t->post("$root/$pool/drain", json => {})->{status}, 200, 'drained');
    ok(wait_for(60, sub { $t->delete("$root/$pool")->{status} == 200 }),
       'and deleted');
}

$t->finish;
