#!/usr/bin/perl

# A warm pool that is changed, emptied or deleted, or whose state store is
# away, while members are being made; and one that waits for another's.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxPools;
use SandboxTest;

use constant MANY => 5;

# One member at a time, and looks that are far apart: what happens at once
# happens because somebody saw to it.
my $t = SandboxTest->new(own => 1, up => [
    '--workers', 1,
    '--set', 'sandbox_warm_pools=parallel=1 interval=1h',
    '--set', 'sandbox_reconcile=interval=1s grace=1s']);
my $pools = SandboxPools->new($t);
my $root = SandboxPools::ROOT;
my @sets = qw(ready warming draining failed expired claimed);

sub status { return $pools->status(@_) }
sub becomes { return $pools->becomes(@_) }

sub is_making {
    my ($pool) = @_;

    ok(wait_for(60, sub { status($pool)->{warming} }), 'one is being made');
}

sub lead {
    my ($pool, $verb) = @_;

    is($t->post("$root/$pool/$verb", json => {})->{status}, 200,
       "it is told to $verb");
}

sub patch {
    my ($pool, %o) = @_;

    is($t->request('PATCH', "$root/$pool", json => \%o)->{status}, 200,
       'it is changed');
}

# As many machines as are counted.
sub adds_up {
    my ($name, @pools) = @_;
    my ($sum, @domains);

    ok(wait_for(60, sub {
        $sum = 0;
        for my $is (map { status($_) } @pools) {
            $sum += $is->{$_} // 0 for @sets;
        }
        @domains = $t->domains;
        return $sum == @domains;
    }), $name) or diag("$sum are counted, there are ", scalar(@domains));
}

# --- two pools ---------------------------------------------------------------

my $large = $pools->make('large', min_ready => MANY);
is_making($large);
my $small = $pools->make('small', min_ready => 1);
becomes('one that comes later has its turn', $small, ready => 1);
cmp_ok(status($large)->{ready}, '<', MANY, 'before the other one is full');

# --- disabled ----------------------------------------------------------------

is_making($large);
lead($large, 'disable');
my $is = becomes('what was being made is finished', $large, warming => 0,
                 target => 0, unavailable => 0);
lead($large, 'reconcile');
becomes('and no other one is made', $large, warming => 0,
        ready => $is->{ready});
lead($large, 'enable');
becomes('before it is enabled again', $large, ready => MANY, warming => 0);

# --- other numbers -----------------------------------------------------------

patch($large, min_ready => MANY + 2, max_ready => MANY + 2);
is_making($large);
patch($large, min_ready => 1, max_ready => 1);
becomes('fewer are wanted while one is made', $large, target => 1, ready => 1,
        warming => 0, draining => 0, failed => 0, expired => 0);
adds_up('the others are gone', $large, $small);

# --- emptied -----------------------------------------------------------------

patch($large, min_ready => MANY, max_ready => MANY);
is_making($large);
$t->is_error($t->delete("$root/$large"), 409, 'conflict',
             'it is not deleted while it is filled');
lead($large, 'drain');
$t->is_error($t->delete("$root/$large"), 409, 'conflict',
             'nor while members are left');
becomes('drained while one is made', $large, target => 0,
        map { $_ => 0 } @sets);
adds_up('no machine is left', $large, $small);

# --- without the state store -------------------------------------------------

lead($large, 'enable');
is_making($large);
$t->stack('kill', 'redis');
ok(wait_for(20, sub { $t->get($root)->{status} == 503 }), 'Redis is away');
$t->stack('start', 'redis');
ok(wait_for(60, sub { $t->get($root)->{status} == 200 }), 'and back');
becomes('the pool is filled all the same', $large, ready => MANY,
        warming => 0, failed => 0);
becomes('as the other one is', $small, ready => 1, warming => 0, failed => 0);
adds_up('each machine is counted once', $large, $small);

for my $pool ($large, $small) {
    lead($pool, 'drain');
    ok(wait_for(60, sub { $t->delete("$root/$pool")->{status} == 200 }),
       'and deleted');
}

$t->finish;
