#!/usr/bin/perl

# The VM engine without nginx: a driver of src/hypervisor/sandbox_hypervisor.h,
# built with the sanitizers, on the libvirt of a stack.  Idempotency, races,
# and libvirtd stopped and killed at many moments of a boot.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxDrive;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $top = $SandboxTest::top;
my $disks = "$t->{dir}/data/disks";
my $d = SandboxDrive->new($t);
my ($rc, $text);


sub nothing_left {
    my ($name) = @_;

    subtest($name => sub {
        is(join(' ', $t->domains), '', 'no domain');
        is(join(' ', glob("$disks/*")), '', 'no overlay');
        is(($d->run('list'))[1], '', 'nor does the engine list any');
        unlike($t->inside(qw(ip -o link)), qr/: sbx[0-9a-f]{8}:/, 'no tap');
        is((run_command("$top/scripts/stack", 'exec-in', '--dir', $t->{dir},
                        'pgrep', '-c', 'qemu-system'))[1], "0\n", 'no QEMU');
    });
}

# --- one ---------------------------------------------------------------------

($rc, $text) = $d->run(['DRIVE_ACCEL=auto'], 'accel');
is($rc, 0, 'the accelerator probe ends') or diag($text);
like($text, qr/^accel (kvm|tcg) ms=(\d+)$/m, 'with an answer');
my ($accel) = $text =~ /^accel (kvm|tcg)/m;
cmp_ok(($text =~ /^accel \w+ ms=(\d+)/m)[0] // 1e9, '<', 8000, 'in time');
($rc, $text) = $d->run(['DRIVE_ACCEL=auto'], 'accel');
cmp_ok(($text =~ /^accel \w+ ms=(\d+)/m)[0] // 1e9, '<', 1000,
       'and remembers it');
nothing_left('the probe leaves nothing');

my ($id) = $d->ids(1);
my $forced = ["DRIVE_ACCEL=$accel"];

is(($d->run($forced, 'destroy', $id))[0], 0, 'destroy what never was');
($rc, $text) = $d->run($forced, 'boot', $id);
is($rc, 0, 'boot') or diag($text);
($rc, $text) = $d->run($forced, 'boot', $id);
is($rc, 0, 'boot again') or diag($text);
like($text, qr/domain_ms=0/, 'does nothing');
like(($d->run('list'))[1], qr/^domain $id tenant=drive$/m, 'listed');
unlike(($d->run('list'))[1], qr/^disk/m, 'its overlay is no stray');

my @owner = (stat "$disks/$id.qcow2")[4, 2];
isnt($owner[0], 0, 'the overlay is QEMU\'s');
is($owner[1] & 0777, 0600, 'and nobody else\'s');
is((stat "$top/build/templates/base/manifest.json")[4], 0,
   'the template was not given away');

($rc, $text) = $d->run($forced, 'sync', $id);
is($rc, 0, 'the agent answers on the channel') or diag($text);
($rc, $text) = $d->run($forced, 'sync', $id);
is($rc, 0, 'and to the next one who opens it') or diag($text);
is(($d->run('destroy', $id))[0], 0, 'destroy');
is(($d->run('destroy', $id))[0], 0, 'destroy again');
nothing_left('nothing is left');

# --- a stray overlay ---------------------------------------------------------

open(my $fh, '>', "$disks/$id.qcow2") or die $!;
close $fh;
like(($d->run('list'))[1], qr/^disk $id$/m, 'a stray overlay is listed');
($rc, $text) = $d->run($forced, 'boot', $id);
is($rc, 0, 'and replaced at a boot') or diag($text);
is(($d->run('destroy', $id))[0], 0, 'destroy');

# --- many, and the same at once ----------------------------------------------

my @many = $d->ids(6);
($rc, $text) = $d->run($forced, 'boot', @many);
is($rc, 0, 'six at once') or diag($text);
is(scalar($t->domains), 6, 'six domains');
($rc, $text) = $d->run('destroy', @many);
is($rc, 0, 'destroyed at once') or diag($text);

($rc, $text) = $d->run(['DRIVE_SAME=6', @$forced], 'boot', $id);
is($rc, 0, 'six threads boot one') or diag($text);
is(scalar($t->domains), 1, 'one domain');
($rc, $text) = $d->run(['DRIVE_SAME=6'], 'destroy', $id);
is($rc, 0, 'six threads destroy it') or diag($text);

my @waits = map { $d->later('boot', $id) } 1 .. 3;
my @done = map { [$_->()] } @waits;
my $booted = grep { $_->[0] == 0 } @done;
cmp_ok(scalar($t->domains), '<=', $booted ? 1 : 0,
       'three processes, without a lease, boot one: it runs once or not at all')
    or diag(map { $_->[1] } @done);
@waits = map { $d->later('destroy', $id) } 1 .. 3;
is(scalar(grep { ($_->())[0] != 0 } @waits), 0, 'three processes destroy it');
nothing_left('nothing is left');

# --- libvirtd away -----------------------------------------------------------

$t->stack('kill', 'libvirtd');
my $began = time();
($rc, $text) = $d->run('destroy', $id);
is($rc, 1, 'libvirtd away');
like($text, qr/status=1 /, 'unavailable');
cmp_ok(time() - $began, '<', 3, 'at once');
$t->stack('start', 'libvirtd');

$t->stack('kill', 'libvirtd', 'STOP');
$began = time();
($rc, $text) = $d->run('list');
like($text, qr/status=1 .*does not answer/, 'libvirtd stopped: unavailable');
cmp_ok(time() - $began, '<', 8, 'within the time limit');
$t->stack('kill', 'libvirtd', 'CONT');

my $wait = $d->later('boot', $id);
sleep 0.35;
$t->stack('kill', 'libvirtd', 'STOP');
$began = time();
($rc, $text) = $wait->();
cmp_ok(time() - $began, '<', 30, 'stopped in the middle: keepalive notices')
    or diag($text);
$t->stack('kill', 'libvirtd', 'CONT');
ok(wait_for(10, sub { ($d->run('list'))[0] == 0 }), 'it goes on');
is(($d->run('destroy', $id))[0], 0, 'what came of it is destroyed');
nothing_left('nothing is left');

# --- libvirtd killed at moments of a boot ------------------------------------

for my $ms (map { 150 + 50 * $_ } 0 .. 7) {
    @many = $d->ids(3);
    $wait = $d->later('boot', @many);
    sleep $ms / 1000;
    $t->stack('kill', 'libvirtd');
    $wait->();
    $t->stack('exec-in', "$top/scripts/libvirt-purge");
    $t->stack('start', 'libvirtd');
    ($rc, $text) = $d->run('destroy', @many);
    is($rc, 0, "killed after $ms ms: destroyed") or diag($text);
}
nothing_left('nothing is left');

undef $d;
$t->finish;
