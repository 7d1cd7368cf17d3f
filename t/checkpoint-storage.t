#!/usr/bin/perl

# What checkpoints keep on disk, without nginx: layers that stay as long as
# something stands on them, chains that are made flat, also by others than who
# takes them, sizes, and what is collected while sandboxes are started and taken.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxDrive;
use SandboxTest;

use constant GRACE => 1;

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $disks = "$t->{dir}/data/disks";
my $d = SandboxDrive->new($t, '-DSANDBOX_CHECKPOINT_GRACE_MS=' . GRACE * 1000,
                          '-DFLATTEN_BANDWIDTH=8388608',
                          '-DSANDBOX_FLATTEN_SMALL=33554432',
                          '-DSANDBOX_CRASH_POINTS');
my $shape = ['DRIVE_MEMORY_MB=160', 'DRIVE_MORE_MB=0'];
my ($rc, $text);


sub snaps {
    my ($n) = @_;

    return map { s/^sb_/snap_/r } $d->ids($n);
}


sub start {
    my ($checkpoint, $id, @env) = @_;
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape, @env],
                              'start', $id);
    my ($address) = $text =~ /^configure $id ok .* address=(\S+)/m;

    is($rc, 0, "$id started from $checkpoint") or diag($text);
    return $address // '0.0.0.0';
}


sub take {
    my ($id, $checkpoint, $keep) = @_;

    is(($d->run('freeze', $id))[0], 0, 'frozen');
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint",
                               'DRIVE_KEEP=' . ($keep // 0), @$shape],
                              'take', $id);
    is($rc, 0, "$checkpoint taken of $id") or diag($text);
    $d->run('thaw', $id) if $keep;
}


sub discard {
    my ($checkpoint, $name) = @_;
    my ($rc, $text) = $d->run('discard', $checkpoint);

    is($rc, 0, "discard: $name") or diag($text);
}


sub in_use {
    my ($checkpoint, $name) = @_;
    my ($rc, $text) = $d->run('discard', $checkpoint);

    like($text, qr/status=7 .* runs from /, "$name: is in use");
    is(scalar(files($checkpoint)), 3, "$name: stays whole");
}


sub used {
    my ($checkpoint, $used, $name) = @_;

    like(($d->run('used', $checkpoint))[1], qr/^used $checkpoint $used$/m,
         $name);
}


sub files {
    my ($prefix) = @_;

    return map { s{.*/}{}r } glob("$disks/$prefix.*");
}


sub is_layer {
    my ($checkpoint, $name) = @_;

    like(join(' ', files($checkpoint)), qr/^$checkpoint\.[^.]+\.qcow2$/,
         "$name: its disk alone is left");
}


sub blocks {
    my $sum = 0;

    $sum += (stat $_)[12] * 512 for glob("$disks/$_[0].*");
    return $sum;
}


# The disks of a running sandbox, as libvirt has them.
sub depth {
    my ($id) = @_;

    return scalar(() = $t->inside(qw(virsh -c qemu:///system dumpxml), $id)
                       =~ /<source file=/g);
}


sub flattens {
    my ($id) = @_;

    return $t->inside('sh', '-c',
                      "virsh -c qemu:///system blockjob $id vda 2>&1")
           =~ /Block Pull/;
}


# Begins to flatten the disk, by a driver that is then killed.
sub begun_and_left {
    my ($id) = @_;
    my $wait = $d->later('flatten', $id);

    ok(wait_for(10, sub { flattens($id) }), 'a disk is made flatter');
    $t->stack('exec-in', 'pkill', '-KILL', '-x', 'drive');
    $wait->();
    ok(flattens($id), 'flattening goes on without who has begun it');
}


sub collect {
    my ($rc, $text) = $d->run('collect');

    is($rc, 0, 'collected') or diag($text);
    return $text;
}


sub touch {
    my ($name) = @_;

    open(my $fh, '>', "$disks/$name") or die $!;
    print $fh 'x';
    close $fh or die $!;
}


# The digests of what was written, read from the disk.
sub digests {
    my ($id, $address) = @_;

    return $d->guest($id, $address, <<'END');
sync; echo 3 > /proc/sys/vm/drop_caches; cd /root; sha256sum file*
END
}


sub plant {
    my ($id, $address, $name, $mb) = @_;

    $d->guest($id, $address,
              "head -c ${mb}000000 /dev/urandom > /root/file$name; sync");
    return digests($id, $address);
}


# --- a layer and who stands on it --------------------------------------------

($rc, $text) = $d->run($shape, 'keep', 'x');
my ($boot) = $text =~ /^keep (\S+) made=1/m;
ok($boot, 'a shape is kept') or diag($text);

my ($one, $two, $three) = $d->ids(3);
my @snaps = snaps(5);
used($boot, 0, 'nothing uses it');
my $address = start($boot, $one);
used($boot, 1, 'a sandbox runs from it');
in_use($boot, 'the shape');
my $said = plant($one, $address, 1, 10);
take($one, $snaps[0]);

used($boot, 1, 'a checkpoint stands on it');
discard($boot, 'what nothing runs from goes');
is_layer($boot, 'the shape');
used($boot, 1, 'a shape that is a layer is used');
(undef, $text) = $d->run('checkpoints');
like($text, qr/^checkpoint $boot whole=0 bytes=0 left=[1-9]\d*$/m,
     'a layer is listed as one') or diag($text);

# --- sizes -------------------------------------------------------------------

like($text, qr/^checkpoint $snaps[0] whole=1 bytes=(\d+) left=0$/m,
     'a checkpoint is listed');
my ($listed) = $text =~ /^checkpoint $snaps[0] whole=1 bytes=(\d+)/m;
(undef, $text) = $d->run('size', $snaps[0]);
my ($size) = $text =~ /^size $snaps[0] (\d+)$/m;
is($size, $listed, 'a checkpoint is listed with its size');
is($size, blocks($snaps[0]),
   'the size of a checkpoint is the blocks of its files');
like(($d->run('size', $boot))[1], qr/status=6 there is no checkpoint/,
     'a layer is no checkpoint');

$address = start($snaps[0], $two);
(undef, $text) = $d->run('size', $two);
($size) = $text =~ /^size $two (\d+)$/m;
is($size, blocks($two), 'so is that of a sandbox\'s disk');
cmp_ok($size, '<', 10e6, 'without what it stands on');

# --- generations, while others collect ---------------------------------------

in_use($snaps[0], 'a hibernated sandbox that was woken');
is(digests($two, $address), $said, 'on layers that stay');

my $collector = $d->later('collect', '100');
take($two, $snaps[1]);
discard($snaps[0], 'the memory of one whose child was taken');
is_layer($snaps[0], 'the first');
$address = start($snaps[1], $three);
$said = plant($three, $address, 2, 24);
take($three, $snaps[2], 1);
discard($snaps[2], 'one taken of a sandbox that goes on');
is_layer($snaps[2], 'the third');
take($three, $snaps[3], 1);
discard($snaps[3], 'another one taken of a sandbox that goes on');
($rc, $text) = $collector->();
is($rc, 0, 'others collect meanwhile') or diag($text);
# A discard removes the memory after the state: who collects may be quicker.
my $discarded = join '|', @snaps[0, 2, 3];
is_deeply([grep { !/"(?:$discarded)\.\w+\.ram"/ } $text =~ /^(.*is removed.*)$/mg],
          [], 'collecting meanwhile removes nothing that is needed')
    or diag($text);

sleep GRACE;
unlike(collect(), qr/is removed/, 'nor later');
used($_, 1, 'a layer is used') for $boot, @snaps[0 .. 3];
is(digests($three, $address), $said, 'the guest reads what is in its layers');

# --- flat --------------------------------------------------------------------

my $depth = depth($three);
is($depth, 7, 'a chain of seven');
($rc, $text) = $d->run(['DRIVE_MAX=6'], 'flatten', $three);
is($rc, 0, 'is not too deep') or diag($text);
is(depth($three), 7, 'a chain that is not too deep stays');

($rc, $text) = $d->run(['DRIVE_WAIT_MS=50'], 'flatten', $three);
is($rc, 0, 'with too little time') or diag($text);
is(depth($three), 7, 'nothing is begun');
ok(!flattens($three), 'at all');

begun_and_left($three);
take($three, $snaps[4], 1);
is(depth($three), 8, 'a take breaks it off');
is(digests($three, $address), $said,
   'a take that breaks flattening off loses nothing');

begun_and_left($three);
($rc, $text) = $d->run(['DRIVE_URGENT=1', 'DRIVE_MAX=6'], 'flatten', $three);
my ($ms) = $text =~ /^flatten $three ok ms=(\d+)$/m;
is($rc, 0, 'is joined by one that is urgent') or diag($text);
cmp_ok($ms // 9e9, '<', 2500,
       'urgent flattening does not keep to the bandwidth');
is(depth($three), 2, 'the chain is flat');
is(digests($three, $address), $said, 'all is there');
($rc, $text) = $d->run('flatten', $three);
is($rc, 0, 'once more does nothing') or diag($text);

# --- collected ---------------------------------------------------------------

sleep GRACE;
unlike(collect(), qr/is removed/, 'a checkpoint stands on them still');
in_use($snaps[1], 'what it runs from');
discard($snaps[4], 'the last of the others');
sleep GRACE;
collect();
is(scalar(files($_)), 0, 'a layer that nothing stands on is gone')
    for @snaps[2 .. 4];
is_layer($_, 'under the one it runs from') for $boot, $snaps[0];

my ($last) = snaps(1);
take($three, $last);
discard($snaps[1], 'what it ran from');
collect();
is(join(' ', sort map { s{\.[^.]+\.}{.}r } files('*')),
   "$last.qcow2 $last.ram $last.state", 'one checkpoint is left of all');

$address = start($last, $one);
is(digests($one, $address), $said,
   'what is started from the last checkpoint has all');

# --- flatter -----------------------------------------------------------------

# A large old layer and small ones above it, by hibernations.
{
    my @ids = $d->ids(10);
    my @chain = snaps(13);
    my ($id, $at, $data, $whole);

    my $wake = sub {
        my ($from) = @_;

        $id = shift @ids;
        $at = start($from, $id, 'DRIVE_ADDRESS=1');
    };

    my $pause = sub {
        my ($keep) = @_;
        my $checkpoint = shift @chain;

        take($id, $checkpoint, $keep);
        return $checkpoint;
    };

    my $flatten = sub {
        my ($depth, $name, @env) = @_;
        my ($rc, $text) = $d->run(\@env, 'flatten', $id);

        is($rc, 0, $name) or diag($text);
        is(depth($id), $depth, "$name: a chain of $depth");
        return $text =~ / ms=(\d+)/ ? $1 : 9e9;
    };

    $wake->($last);
    plant($id, $at, 'large', 120);

    for my $i (1 .. 4) {
        my $from = $pause->();

        $wake->($from);
        $data = plant($id, $at, "small$i", 1);
    }

    $pause->(1);
    is(depth($id), 8, 'a chain of eight');
    cmp_ok($flatten->(4, 'what is above the large one'), '<', 8000,
           'is merged soon');
    cmp_ok(blocks($id), '<', 40e6, 'the large layer is not merged');
    is(digests($id, $at), $data, 'all is there');

    my @sizes;

    for my $i (1 .. 3) {
        $wake->($pause->());
        is(digests($id, $at), $data,
           'all is there after a wake, too') if $i == 1;
        $data = plant($id, $at, 'small1', 1);
        is(depth($id), 5, 'each cycle a layer more');
        $flatten->(4, 'each cycle is flattened again', 'DRIVE_MAX=3');
        push @sizes, blocks($id);
    }

    cmp_ok($sizes[-1], '<', $sizes[0] + 15e6, 'the disk does not grow much');

    # the deadline is the caller's
    $wake->($pause->());
    ($rc, $text) = $d->run(['DRIVE_WAIT_MS=400', 'DRIVE_MAX=1'], 'flatten',
                           $id);
    like($text, qr/status=3 /, 'one that is not done at the deadline');
    ok(wait_for(20, sub { depth($id) == 4 }), 'is done later');
    is(digests($id, $at), $data,
       'what is flattened after its deadline has all there is');

    # nothing is put on a layer that libvirt knows by another name
    plant($id, $at, 'more', 20);
    $pause->(1);
    $data = plant($id, $at, 'little', 1);
    $pause->(1);
    $flatten->(6, 'none that was renamed is a base', 'DRIVE_WAIT_MS=1500',
               'DRIVE_MAX=4');
    $wake->($pause->());
    is(digests($id, $at), $data,
       'a take after a renamed layer has all there is');

    ($rc, $text) = $d->run('destroy', $id);
    is($rc, 0, 'the flattened sandbox ends');
    (undef, $text) = $d->run('checkpoints');
    discard($_, 'one of the chain')
        for grep { $_ ne $last } $text =~ /^checkpoint (snap_\S+) whole=1/mg;
    sleep GRACE;
    collect();
    is(join(' ', sort map { s{\.[^.]+\.}{.}r } grep { !/^$one/ } files('*')),
       "$last.qcow2 $last.ram $last.state", 'nothing is left of the chain');
}

# --- who takes it, and who makes it flatter ------------------------------------

{
    my ($id, $child) = $d->ids(2);
    my @taken = snaps(6);
    my $crash = SandboxCrash->new($t);
    my $at = start($last, $id, 'DRIVE_ADDRESS=1');
    my $data = plant($id, $at, 'mine', 10);

    mkdir "$t->{dir}/data/crash" or die $!;

    # Begins a verb that does there what it is told to; what waits for its end.
    my $until = sub {
        my ($point, $order, $env, @verb) = @_;

        $crash->arm($point, $order);
        my $wait = $d->later([@$env, @$shape,
                              'SANDBOX_CRASH_DIR=/run/stack/data/crash'], @verb);
        $crash->reached($point);
        return $wait;
    };

    # Continues nsenter, which has stopped together with the driver.
    my $go_on = sub { run_command('pkill', '-CONT', '-P', $$, '-x', 'nsenter') };

    my $is_refused = sub {
        my ($name) = @_;
        my ($rc, $text) = $d->run('flatten', $id);

        like($text, qr/status=3 .* held by who takes it/, "$name: is refused");
        ok(!flattens($id), "$name: no flattening is begun");
    };

    # before its disk is flipped
    is(($d->run('freeze', $id))[0], 0, 'frozen');
    my $depth = depth($id);
    my $wait = $until->('boot.overlay.after', 'stop',
                        ["DRIVE_CHECKPOINT=$taken[0]", 'DRIVE_KEEP=1'], 'take',
                        $id);
    $is_refused->('one that is to be flipped');
    $go_on->();
    my ($rc, $text) = $wait->();
    is($rc, 0, 'a take that flattening waited for succeeds') or diag($text);
    is(depth($id), $depth + 1, 'the disk of what was taken is flipped');
    is(($d->run('thaw', $id))[0], 0, 'thawed');
    is(digests($id, $at), $data, 'what was taken has all it had');

    # by one who does not know of takes
    is(($d->run('freeze', $id))[0], 0, 'frozen');
    $wait = $until->('boot.overlay.after', 'stop',
                     ["DRIVE_CHECKPOINT=$taken[5]", 'DRIVE_KEEP=1'], 'take', $id);
    $t->inside(qw(virsh -q -c qemu:///system blockpull), $id, 'vda', 1);
    ok(flattens($id), 'an operator makes it flatter');
    $go_on->();
    ($rc, $text) = $wait->();
    is($rc, 0,
       'a take beside an operator\'s flattening succeeds') or diag($text);
    like($text, qr/ a new overlay: .*block job/,
         'a take beside an operator\'s flattening says what failed');
    ok(!flattens($id), 'nor made flatter');
    is(($d->run('thaw', $id))[0], 0, 'thawed');
    is(digests($id, $at), $data,
       'a take beside an operator\'s flattening loses nothing');

    # who begins, and does not go on, or dies
    $wait = $until->('flatten.begin.before', 'stop', [], 'flatten', $id);
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$taken[1]", 'DRIVE_KEEP=1',
                            'DRIVE_WAIT_MS=1000', @$shape], 'take', $id);
    like($text, qr/status=3 .* makes it flatter/, 'a take waits for who begins');
    $go_on->();
    ok(wait_for(10, sub { flattens($id) }), 'who goes on then');
    take($id, $taken[1], 1);
    ($rc, $text) = $wait->();
    like($text, qr/status=\d .* was broken off/, 'until the next take');
    $until->('flatten.begin.before', 'kill', [], 'flatten', $id)->();
    take($id, $taken[2], 1);
    is(digests($id, $at), $data, 'nothing is lost');

    # whose taker died: his disk was flipped and not named yet
    is(($d->run('freeze', $id))[0], 0, 'frozen');
    $until->('flip.after', 'kill',
             ["DRIVE_CHECKPOINT=$taken[3]", 'DRIVE_KEEP=1'], 'take', $id)->();
    begun_and_left($id);
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$taken[3]"], 'cancel', $id);
    is($rc, 0, 'a take is settled while its disk is made flatter')
        or diag($text);
    ok(!flattens($id), 'settling a take ends the flattening');
    is(($d->run('thaw', $id))[0], 0, 'thawed');
    is(digests($id, $at), $data, 'all is there');

    # stands still, to end, and what it stands on would go
    discard($_, 'a layer is left') for @taken[0 .. 2, 5];
    is(($d->run('freeze', $id))[0], 0, 'frozen');
    $wait = $until->('take.seal.before', 'stop',
                     ["DRIVE_CHECKPOINT=$taken[4]"], 'take', $id);
    $is_refused->('one that is hibernated');
    sleep GRACE;
    unlike(collect(), qr/is removed/, 'what it stands on stays');
    $go_on->();
    ($rc, $text) = $wait->();
    is($rc, 0,
       'a hibernation that flattening waited for succeeds') or diag($text);
    $at = start($taken[4], $child, 'DRIVE_ADDRESS=1');
    is(digests($child, $at), $data, 'what is woken after that has all it had');

    is(($d->run('destroy', $child))[0], 0, 'what was woken ends');
    discard($taken[4], 'what it was hibernated in');
    sleep GRACE;
    collect();
    is(scalar(files($_)), 0, 'nothing is left') for @taken;
}

# --- a take that is settled late ----------------------------------------------

# Its taker died before there was a checkpoint, and its source was paused since.
{
    my ($dead, $paused) = snaps(2);
    my ($source, $child) = $d->ids(2);

    start($last, $source, 'DRIVE_ADDRESS=1');
    take($source, $dead, 1);
    unlink "$disks/$dead.state" or die $!;
    take($source, $paused);
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$dead"], 'cancel', $source);
    is($rc, 0, 'a take whose source was paused since') or diag($text);
    is_layer($dead, 'cancelled');

    my $at = start($paused, $child, 'DRIVE_ADDRESS=1');
    is(digests($child, $at), $said, 'the source has all it had');
    is(($d->run('destroy', $child))[0], 0,
       'the child of a take that was settled late ends');
    discard($paused, 'what it was paused in');
    sleep GRACE;
    collect();
    is(scalar(files($_)), 0, 'nothing is left') for $dead, $paused;
}

# --- an operator's look ------------------------------------------------------

($rc, $text) = run_command("$SandboxTest::top/scripts/build", '--tools');
is($rc, 0, 'the tool builds') or diag($text);

sub scrub {
    my ($rc, $text) = run_command("$SandboxTest::top/scripts/stack", 'run',
        '--dir', $t->{dir}, '--', "$SandboxTest::top/scripts/sandbox-scrub",
        '--data-dir', '/run/stack/data', '--older', 0, @_);

    is($rc, 0, "scrub @_") or diag($text);
    return $text;
}

my ($gone) = $d->ids(1);
touch("$gone.qcow2");
touch("$snaps[0].aaaaaaaa.tmp.qcow2");

$text = scrub('--all');
like($text, qr/^needed .* $last\.\S+ram  \(runs from it: $one\)$/m,
     'what runs is needed') or diag($text);
like($text, qr/^needed .* $one\.qcow2 /m, 'the disk of what runs is needed');
like($text, qr/^spare .* $gone\.qcow2 /m, 'an overlay without a sandbox is not');
like($text, qr/^2 files, .* could be removed$/m, 'two files are spare');
scrub('--remove');
is(scalar(files($_)), 0, 'what is spare is removed') for $gone, $snaps[0];

is(($d->run('destroy', $one))[0], 0, 'the sandbox ends');
$t->redis('HSET', "sbx:{aa}:snapshot:$last", 'state', 'ready');
like(scrub('--remove'), qr/^0 files/m, 'a checkpoint with a record stays');
$t->redis('DEL', "sbx:{aa}:snapshot:$last");
like(scrub('--no-redis', '--remove'), qr/^0 files/m, 'so it does unasked');
$text = scrub();
like($text, qr/^spare .* $last\.state  \(a checkpoint without a record\)$/m,
     'one without is spare') or diag($text);
is(scalar(files($last)), 3, 'a spare checkpoint is only listed');
like(scrub('--remove'), qr/^3 files, .* removed$/m, 'until it is removed');
is(scalar(files($last)), 0, 'the spare checkpoint is gone');

# --- what is not to be collected ---------------------------------------------

my ($torn, $young) = snaps(2);
touch("$torn.state");
touch("$torn.aaaaaaaa.ram");
touch('other_file.qcow2');
sleep GRACE;
touch("$young.aaaaaaaa.ram");
touch("$young.aaaaaaaa.qcow2");
unlike(collect(), qr/is removed/, 'the young, the torn, and others\' stay');
is(scalar(files($_)), 2,
   'the young and the torn have all their files') for $torn, $young;

sleep GRACE;
like(collect(), qr/"$young\.\S+" is removed: nothing needs it/,
     'one grows old, and it is said');
is(scalar(files($young)), 0, 'what has grown old is gone');
is(scalar(files($torn)), 2, 'the torn one is there');

discard($torn, 'a torn one');
is(join(' ', files('*')), 'other_file.qcow2', 'no file of ours is left');
unlink "$disks/other_file.qcow2";

undef $d;
$t->finish;
