#!/usr/bin/perl

# Checkpoints on a libvirt that no descriptors can be passed to, as one of
# another host: by "file:" where QEMU has it, else none is made, and nothing
# is left of the try.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxDrive;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $disks = "$t->{dir}/data/disks";
my $d = SandboxDrive->new($t);
my $shape = ['DRIVE_MEMORY_MB=192', 'DRIVE_MORE_MB=0'];
my $far = 'DRIVE_URI=qemu+ext://elsewhere/system?command='
          . "$SandboxTest::top/t/hypervisor/relay";
my ($major, $minor) = (run_command('qemu-system-x86_64', '--version'))[1]
                      =~ /version (\d+)\.(\d+)/;
my $named = $major > 8 || $major == 8 && $minor >= 2;
my $n = 0;
my ($rc, $text);

diag("QEMU $major.$minor");


sub files {
    my ($pattern) = @_;

    return scalar(my @found = glob("$disks/$pattern"));
}


# One that was started, and what it says of itself.
sub start {
    my ($checkpoint, @env) = @_;
    my ($id) = $d->ids(1);
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape,
                               'DRIVE_ADDRESS=' . $n++, @env], 'start', $id);

    is($rc, 0, "$id started") or diag($text);
    my ($address) = $text =~ /^configure $id ok .* address=(\S+)/m;
    is($d->guest($id, $address, 'echo "$((6 * 7))"'), "42\n", 'it answers');
    is(($d->run([@env], 'destroy', $id))[0], 0, 'it ends');
}

# --- made there --------------------------------------------------------------

($rc, $text) = $d->run([@$shape, $far], 'keep', 'x');

if ($named) {
    is($rc, 0, 'a shape is kept') or diag($text);
    like($text, qr/^keep \S+ made=1/m, 'made there');
    is(files('*'), 3, 'three files, and no other');
} else {
    isnt($rc, 0, 'no shape is kept');
    like($text, qr/this version of QEMU /, 'by this QEMU');
    is(files('*'), 0, 'no file is left');

    ($rc, $text) = $d->run($shape, 'keep', 'x');
    is($rc, 0, 'one is kept from here') or diag($text);
}

my ($boot) = $text =~ /^keep (boot_\S+) made=1/m;
is(join(' ', $t->domains), '', 'no domain is left');

# --- started from ------------------------------------------------------------

if ($named) {
    start($boot, $far) for 1 .. 2;
} else {
    my ($id) = $d->ids(1);
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$boot", @$shape, $far], 'start',
                           $id);
    isnt($rc, 0, 'none starts');
    is(join(' ', $t->domains), '', 'no domain is left');
    is(files('sb_*'), 0, 'nor an overlay');
}

# the file is the same, whoever made it
start($boot);

# --- torn --------------------------------------------------------------------

if ($named) {
    my ($id) = $d->ids(1);
    my ($state) = glob("$disks/$boot.state");

    truncate($state, (-s $state) - 4096) or die $!;
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$boot", @$shape, $far], 'start',
                           $id);
    isnt($rc, 0, 'none starts from a torn one');
    is(join(' ', $t->domains), '', 'no domain is left');
    ($rc, $text) = $d->run([@$shape, $far], 'keep', 'x');
    like($text, qr/^keep $boot made=1/m, 'it is made anew') or diag($text);
    start($boot, $far);
}

is(($d->run([$named ? $far : ()], 'discard', $boot))[0], 0, 'discarded');
is(files('*'), 0, 'no file is left');

undef $d;
$t->finish;
