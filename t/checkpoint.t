#!/usr/bin/perl

# Checkpoints of the VM engine, without nginx: a template kept in a shape,
# children that share its memory and nothing else, torn files, makers that
# meet or die.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxDrive;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $disks = "$t->{dir}/data/disks";
my $d = SandboxDrive->new($t);
my $shape = ['DRIVE_MEMORY_MB=192', 'DRIVE_MORE_MB=0'];
my ($rc, $text);


# Starts children of a checkpoint; gives id => address.
sub start {
    my ($checkpoint, $env, @ids) = @_;
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape, @$env],
                              'start', @ids);

    is($rc, 0, scalar(@ids) . ' started') or diag($text);
    return $text =~ /^configure (\S+) ok .* address=(\S+)/mg;
}


# The digests of a checkpoint's files by name.
sub digests {
    my ($checkpoint) = @_;

    return { reverse map { split }
             split /\n/, (run_command('sha256sum',
                                      glob("$disks/$checkpoint.*")))[1] };
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[@sorted / 2];
}


# --- making ------------------------------------------------------------------

my @makers = map { $d->later(['DRIVE_SAME=3', @$shape], 'keep', 'x') } 1 .. 2;
$text = join '', map { my ($rc, $said) = $_->();
                       is($rc, 0, 'three threads ask for it') or diag($said);
                       $said } @makers;
is(scalar(() = $text =~ /made=1/g), 1, 'six ask for it, one makes it')
    or diag($text);
is(scalar(() = $text =~ /made=0/g), 5, 'the others get it');

my ($boot) = $text =~ /^keep (boot_[a-z2-7]{20}) /m;
is(join(' ', $t->domains), '', 'no domain is left');
is(scalar(glob_count("$boot.*")), 3, 'three files');
is(scalar(glob_count('*')), 3, 'no files but those of the checkpoint');

sub glob_count {
    my ($pattern) = @_;

    return scalar(my @found = glob("$disks/$pattern"));
}

my ($ram) = glob("$disks/$boot.*.ram");
my ($state) = glob("$disks/$boot.state");
is(-s $ram, 192 * 1048576, 'the memory has its length');
cmp_ok((stat $ram)[12] * 512, '<', 0.9 * 192 * 1048576, 'the memory is sparse');
is((stat $_)[2] & 07, 0, 'nobody else may read them')
    for $ram, $state;

(undef, $text) = $d->run('checkpoints');
like($text, qr/^checkpoint $boot whole=1 bytes=\d+ left=0$/m,
     'the checkpoint is listed');
my ($bytes) = $text =~ /bytes=(\d+)/;
my $blocks = 0;
$blocks += (stat $_)[12] * 512 for glob("$disks/$boot.*");
cmp_ok(abs($bytes - $blocks), '<=', 65536,
       'the checkpoint is listed with the blocks it takes');

# --- children ----------------------------------------------------------------

my $before = digests($boot);
my @ids = $d->ids(2);
my %address = start($boot, [], @ids);
is(scalar(keys %address), 2, 'two children at once');

my @facts = map { [split /\n/, $d->guest($_, $address{$_}, <<'END')] } @ids;
cat /proc/sys/kernel/random/uuid
od -An -N16 -tx1 /dev/urandom
python3 -c 'import os; print(os.getrandom(16).hex())'
hostname
cat /sys/class/net/eth0/address
ip -4 -o addr show dev eth0 | awk '{print $4}'
END

isnt($facts[0][$_], $facts[1][$_],
     (qw(uuid urandom getrandom hostname mac address))[$_] . ' differs')
    for 0 .. 5;
is(scalar(grep { length } map { @$_ } @facts), 12, 'all is said');

my ($here, $there) = (time(), $d->guest($ids[0], $address{$ids[0]},
                                       'date +%s.%N'), time());
cmp_ok($there, '>', $here - 0.5, 'the clock of a child does not lag');
cmp_ok($there, '<', time() + 0.5, 'the clock of a child is not ahead');

$d->guest($ids[0], $address{$ids[0]}, <<'END');
head -c 8000000 /dev/urandom > /dev/shm/mine
head -c 8000000 /dev/urandom > /root/mine
sync
END
is($d->guest($ids[1], $address{$ids[1]}, 'ls /dev/shm /root'),
   "/dev/shm:\n\n/root:\n", 'what one writes the other does not see');
is_deeply(digests($boot), $before, 'the checkpoint stays as it was');

# --- in use ------------------------------------------------------------------

($rc, $text) = $d->run('discard', $boot);
is($rc, 1, 'a checkpoint with children stays');
like($text, qr/status=7 .* runs from /, 'a discard that is refused says why');
is((my @left = glob("$disks/$boot.*")), 3, 'whole');

($rc, $text) = $d->run([@$shape, "DRIVE_CHECKPOINT=$boot"], 'start', $ids[0]);
is($rc, 0, 'a start may be repeated') or diag($text);
like($text, qr/domain_ms=0/, 'a repeated start does nothing');

is(($d->run('destroy', @ids))[0], 0, 'the children end');
is(scalar(glob_count('sb_*')), 0, 'the overlays of the children are gone');

# --- a larger disk -----------------------------------------------------------

%address = start($boot, ['DRIVE_MORE_MB=1024'], $ids[0]);
my $mb = $d->guest($ids[0], $address{$ids[0]},
                  q{df -m / | awk 'NR == 2 {print $2}'});
cmp_ok($mb, '>', 2900, 'a child with a larger disk has it from its begin');
is(($d->run('destroy', $ids[0]))[0], 0, 'the child with a larger disk ends');

# --- speed -------------------------------------------------------------------

my (@cold, @warm);
for (1 .. 3) {
    (undef, $text) = $d->run($shape, 'cold', $ids[0]);
    push @cold, $text =~ /^cold \S+ rc=0 ms=(\d+)/m;
    $d->run('destroy', $ids[0]);
    (undef, $text) = $d->run(["DRIVE_CHECKPOINT=$boot", @$shape], 'start',
                             $ids[0]);
    push @warm, $text =~ /^start .* ms=(\d+)$/m;
    $d->run('destroy', $ids[0]);
}
is(@cold + @warm, 6, 'all of them came up');
diag("ms cold @cold, from the checkpoint @warm");
cmp_ok(median(@cold), '>', 3 * median(@warm),
       'starts are faster than cold boots');

# --- torn --------------------------------------------------------------------

sub refused {
    my ($name) = @_;
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$boot", @$shape], 'start',
                              $ids[0]);

    is($rc, 1, "$name: refused");
    like($text, qr/status=6 /, 'as no checkpoint') or diag($text);
    is(join(' ', $t->domains), '', 'nothing runs');
    is(scalar(glob_count('sb_*')), 0, 'nothing is left');
}

sub change {
    my ($file, $at, $byte) = @_;

    open(my $fh, '+<:raw', $file) or die $!;
    seek($fh, $at, 0);
    print $fh $byte;
    close $fh or die $!;
}

open(my $fh, '<:raw', $state) or die $!;
my $whole = do { local $/; <$fh> };
close $fh;

truncate($state, length($whole) / 2) or die $!;
refused('half a device state');
truncate($state, 0) or die $!;
refused('an empty one');
change($state, 0, $whole);
change($state, length($whole) - 1000, substr($whole, -1000, 1) ^ "\1");
refused('one bit is another');
like(($d->run('checkpoints'))[1], qr/^checkpoint $boot whole=0 /m,
     'listed as torn');

($rc, $text) = $d->run($shape, 'keep', 'x');
like($text, qr/made=1/, 'a torn checkpoint is made anew') or diag($text);
is(scalar(glob_count("$boot.*")), 3, 'the torn one is gone');

my ($disk) = glob("$disks/$boot.*.qcow2");
rename $disk, "$disk-aside" or die $!;
refused('no disk');
rename "$disk-aside", $disk or die $!;

($ram) = glob("$disks/$boot.*.ram");
truncate($ram, 191 * 1048576) or die $!;
refused('memory that ends too early');
unlink $ram or die $!;
refused('no memory');

is(($d->run('discard', $boot))[0], 0, 'discard');
is(($d->run('discard', $boot))[0], 0, 'discard again');
is(scalar(glob_count('*')), 0, 'nothing is left');
refused('none at all');

# --- empty -------------------------------------------------------------------

open($fh, '>', $state) or die $!;
close $fh;
($rc, $text) = $d->run($shape, 'keep', 'x');
like($text, qr/made=1/, 'an empty one is made anew') or diag($text);
is(scalar(glob_count("$boot.*")), 3, 'three files');

# --- a maker that dies -------------------------------------------------------

sub kill_makers {
    $t->stack('exec-in', 'pkill', '-KILL', '-x', 'drive');
}

sub begin {
    my $wait = $d->later($shape, 'keep', 'x');

    ok(wait_for(20, sub { scalar $t->domains }), 'a maker is at work');
    sleep 0.5;
    return $wait;
}

rename $state, "$state-aside" or die $!;
my $wait = begin();
kill_makers();
$wait->();
is(scalar($t->domains), 1, 'a maker died half-way');
like(($d->run('checkpoints'))[1], qr/^checkpoint $boot whole=0 /m,
     'its parts are listed');

rename "$state-aside", $state or die $!;
($rc, $text) = $d->run($shape, 'keep', 'x');
like($text, qr/made=0/, 'one that died after its checkpoint was there')
    or diag($text);
is(scalar($t->domains), 0, 'does not leave its domain');

is(($d->run('discard', $boot))[0], 0, 'discard');
is(scalar(glob_count('*')), 0, 'takes the parts of the dead maker with it');

$wait = begin();
($rc, $text) = $d->run(['DRIVE_WAIT_MS=100', @$shape], 'keep', 'x');
is($rc, 1, 'who waits for a slow maker');
like($text, qr/status=3 /, 'gives up in time');
is(scalar($t->domains), 1, 'who gives up leaves a slow maker alone');
is(($d->run(['DRIVE_TEMPLATE='], 'sweep'))[0], 0, 'so does a sweep');
is(scalar($t->domains), 1, 'of all templates');
($rc, $text) = $wait->();
like($text, qr/made=1/, 'a slow maker gets there') or diag($text);
is(($d->run('discard', $boot))[0], 0, 'discard');

$wait = begin();
kill_makers();
$wait->();
($rc, $text) = $d->run($shape, 'keep', 'x');
like($text, qr/made=1/, 'the next one after a dead maker makes it')
    or diag($text);
%address = start($boot, [], $ids[0]);
like($d->guest($ids[0], $address{$ids[0]}, 'uname'), qr/Linux/,
     'a child of what was made at last runs');

# --- a sweep, and a bound ----------------------------------------------------

is(scalar(glob_count("$boot.*")), 5, 'the parts of the dead one are there');
is(($d->run(['DRIVE_TEMPLATE='], 'sweep'))[0], 0, 'a sweep');
is(scalar(glob_count("$boot.*")), 3, 'leaves what is in use, no parts');

($rc, $text) = $d->run(['DRIVE_MEMORY_MB=208', 'DRIVE_MAX=1'], 'keep', 'x');
is($rc, 1, 'a shape too many');
like($text, qr/status=6 1 shapes are kept/, 'is not kept') or diag($text);

is(($d->run('destroy', $ids[0]))[0], 0, 'its child ends');
is(($d->run('sweep'))[0], 0, 'a sweep');
is(scalar(glob_count("$boot.*")), 3, 'leaves what a template has');

($rc, $text) = $d->run(['DRIVE_MEMORY_MB=208', 'DRIVE_MAX=1'], 'keep', 'x');
like($text, qr/made=1/, 'one that nothing uses makes room') or diag($text);
is(scalar(glob_count("$boot.*")), 0, 'a checkpoint that made room is gone');

$wait = begin();
kill_makers();
$wait->();
like(($d->run('sweep'))[1], qr/maker of the checkpoint "$boot" has died/,
     'a sweep ends the domain of a dead maker');
is(scalar($t->domains), 0, 'the domain of a dead maker is gone');
is(scalar(glob_count("$boot.*")), 0, 'the parts of a dead maker are gone');
is(scalar(glob_count('*')), 3, 'no other files are gone');

($rc, $text) = $d->run(['DRIVE_TEMPLATE='], 'sweep');
like($text, qr/is removed: no present template has it/, 'a sweep says so');
is(scalar(glob_count('*')), 0, 'nothing is left');

undef $d;
$t->finish;
