#!/usr/bin/perl

# Checkpoints taken of running sandboxes, without nginx: memory, processes and
# disk go on in whatever is started from them; generations; takers that die.

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxDrive;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $disks = "$t->{dir}/data/disks";
my $d = SandboxDrive->new($t, '-DSANDBOX_CRASH_POINTS');
my $crash = SandboxCrash->new($t);
my $shape = ['DRIVE_MEMORY_MB=192', 'DRIVE_MORE_MB=0'];
my ($rc, $text);


sub snaps {
    my ($n) = @_;

    return map { s/^sb_/snap_/r } $d->ids($n);
}


# Starts one sandbox from a checkpoint: its address.
sub start {
    my ($checkpoint, $id, @env) = @_;
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape, @env],
                              'start', $id);
    my ($address) = $text =~ /^configure $id ok .* address=(\S+)/m;

    is($rc, 0, "$id started from $checkpoint") or diag($text);
    return $address // '0.0.0.0';
}


sub take {
    my ($id, $checkpoint) = @_;
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape],
                              'take', $id);

    is($rc, 0, "$checkpoint taken of $id") or diag($text);
    return $text;
}


# What must survive: tmpfs, disk, and the memory of a process that goes on.
my $nonce = join '', map { ('a' .. 'z')[rand 26] } 1 .. 24;

sub plant {
    my ($id, $address) = @_;

    return $d->guest($id, $address, <<"END");
head -c 16000000 /dev/urandom > /dev/shm/memory
head -c 16000000 /dev/urandom > /root/disk
cat > /root/heap.py <<'EOF'
import hashlib, os, signal, time
block = bytearray(os.urandom(1 << 20)) * 8
said = hashlib.sha256(block).hexdigest()
n = 0
while True:
    n += 1
    block[n % len(block)] ^= 255
    block[n % len(block)] ^= 255
    ok = hashlib.sha256(block).hexdigest() == said
    with open('/dev/shm/heap.new', 'w') as f:
        f.write('$nonce %s %d\\n' % ('whole' if ok else 'TORN', n))
    os.rename('/dev/shm/heap.new', '/dev/shm/heap')
    time.sleep(0.05)
EOF
setsid python3 /root/heap.py >/dev/null 2>&1 </dev/null &
while ! [ -s /dev/shm/heap ]; do sleep 0.1; done
sha256sum /dev/shm/memory /root/disk
END
}


sub digests {
    my ($id, $address) = @_;

    return $d->guest($id, $address, <<'END');
sha256sum /dev/shm/memory /root/disk
END
}


# The process goes on counting, and its memory is what it was.
sub goes_on {
    my ($id, $address, $name) = @_;
    my ($first, $second) = map {
        my ($n) = $d->guest($id, $address, 'sleep 1; cat /dev/shm/heap')
                  =~ /^$nonce whole (\d+)$/;
        $n // 0
    } 1 .. 2;

    cmp_ok($first, '>', 0, "$name: the heap is whole");
    cmp_ok($second, '>', $first, "$name: the process goes on");
}


# --- one ---------------------------------------------------------------------

($rc, $text) = $d->run($shape, 'keep', 'x');
my ($boot) = $text =~ /^keep (\S+) made=1/m;
ok($boot, 'a shape is kept') or diag($text);

my @ids = $d->ids(4);
my @snaps = snaps(3);
my $address = start($boot, $ids[0]);
my $planted = plant($ids[0], $address);
like($planted, qr/^[0-9a-f]{64} .*\n[0-9a-f]{64} /, 'something to lose');

# --- frozen ------------------------------------------------------------------

sub count {
    return ($d->guest($ids[0], $address, 'cat /dev/shm/heap') =~ /(\d+)$/)[0];
}

($rc, $text) = $d->run('freeze', $ids[0]);
is($rc, 0, 'commands are frozen') or diag($text);
is(($d->run('sync', $ids[0]))[0], 0, 'the agent is not');
my $guest = fork // die $!;
if ($guest == 0) {
    my $n = count();
    open(my $fh, '>', "$t->{base}/count") or POSIX::_exit(1);
    print $fh $n;
    close $fh;
    POSIX::_exit(0);
}
sleep 3;
ok(!-s "$t->{base}/count", 'a new command waits');
is(($d->run('thaw', $ids[0]))[0], 0, 'the commands go on');
waitpid $guest, 0;
ok(-s "$t->{base}/count", 'a command that has waited goes on');
unlink "$t->{base}/count";
goes_on($ids[0], $address, 'thawed');

is(($d->run('freeze', $ids[0]))[0], 0, 'frozen for what comes');

# --- its checkpoint ----------------------------------------------------------

take($ids[0], $snaps[0]);
is(join(' ', $t->domains), '', 'the sandbox is gone');
is(scalar(my @none = glob("$disks/sb_*")), 0,
   'the disk of what was taken is gone');
is(scalar(my @three = glob("$disks/$snaps[0].*")), 3, 'three files');
like(take($ids[0], $snaps[0]), qr/ok/, 'once more does nothing');

# After an upload libvirtd would look into each file of the directory.
my @pool = qw(virsh -q -c qemu:///system);
my ($pool) = map { s/\s+//gr } $t->inside(@pool, qw(pool-list --name));
my $known = $t->inside(@pool, 'vol-list', $pool);
like($known, qr/\Q$boot.state\E/, 'libvirtd has made the files of the shape');
like($known, qr/\Q$snaps[0]\E\.\w+\.ram/, 'and the memory of what was taken');
unlike($known, qr/\Q$snaps[0].state\E/, 'its state it knows nothing of');
is((stat "$disks/$snaps[0].state")[2] & 07777, 0640,
   'which may be read as the others');

like(($d->run('used', $boot))[1], qr/^used $boot 1$/m,
     'what it stands on is used');

# --- two children of it ------------------------------------------------------

my %at = map { $ids[$_] => start($snaps[0], $ids[$_], "DRIVE_ADDRESS=$_") }
             1 .. 2;
is(digests($_, $at{$_}), $planted, 'memory and disk are what they were')
    for sort keys %at;
goes_on($_, $at{$_}, $_) for sort keys %at;

# A guest is asked for it by an interrupt for the card's configuration.
is($d->guest($_, $at{$_}, <<'END') =~ s/\D//gr, 0, "$_ is to announce nothing")
card=$(basename "$(readlink -f /sys/class/net/eth0/device)")
awk -v card="$card-config" '$NF == card { print $2 }' /proc/interrupts
END
    for sort keys %at;

my @said = map { $d->guest($_, $at{$_}, <<'END') } sort keys %at;
cat /proc/sys/kernel/random/uuid
python3 -c 'import os; print(os.getrandom(16).hex())'
cat /sys/class/net/eth0/address; hostname
END
my @facts = map { [split /\n/] } @said;
isnt($facts[0][$_], $facts[1][$_],
     (qw(uuid getrandom mac hostname))[$_] . ' differs') for 0 .. 3;

my ($early, $now) = (time(), $d->guest($ids[1], $at{$ids[1]}, 'date +%s.%N'));
cmp_ok($now, '>', $early - 0.5, 'the clock does not lag');
cmp_ok($now, '<', time() + 0.5, 'the clock is not ahead');

$d->guest($ids[1], $at{$ids[1]}, 'echo other > /root/disk; sync');
is(digests($ids[2], $at{$ids[2]}), $planted, 'what one writes is its own');

# --- generations -------------------------------------------------------------

my $id = $ids[2];
for my $n (1, 2) {
    $d->guest($id, $at{$id}, "echo $n >> /root/log; echo $n >> /dev/shm/log");
    take($id, $snaps[$n]);
    $id = ($d->ids(1))[0];
    $at{$id} = start($snaps[$n], $id, 'DRIVE_ADDRESS=' . (2 + $n));
}
is($d->guest($id, $at{$id}, 'cat /root/log /dev/shm/log'), "1\n2\n1\n2\n",
   'three generations later all is there');
is(digests($id, $at{$id}), $planted, 'memory and disk too');
goes_on($id, $at{$id}, 'third generation');

($rc, $text) = $d->run('checkpoints');
is(scalar(() = $text =~ /whole=1/g), 4, 'four checkpoints') or diag($text);
is(($d->run('destroy', $id, $ids[1]))[0], 0, 'the sandboxes end');

# --- one that was booted -------------------------------------------------------

{
    my ($snap) = snaps(1);
    my ($child) = $d->ids(1);

    ($rc, $text) = $d->run($shape, 'cold', $ids[3]);
    is($rc, 0, 'a cold boot') or diag($text);
    my ($there) = $text =~ /^configure $ids[3] ok .* address=(\S+)/m;
    my $lost = plant($ids[3], $there);
    take($ids[3], $snap);
    $there = start($snap, $child);
    is(digests($child, $there), $lost, 'memory and disk are what they were');
    goes_on($child, $there, 'booted once');
    is(($d->run('destroy', $child))[0], 0, 'the child ends');
    is(($d->run('discard', $snap))[0], 0,
       'the checkpoint of the child is discarded');
}

# --- what cannot be written --------------------------------------------------

# With keep 1 it is synced once more, before the pause.
for my $case ([0, 1], [0, 2], [1, 1], [1, 2], [1, 3]) {
    my ($keep, $call) = @$case;
    my ($snap) = snaps(1);
    my $name = "keep $keep, a syncing that fails, number $call";

    $address = start($snaps[2], $ids[3]);
    is(($d->run('freeze', $ids[3]))[0], 0, 'frozen');
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$snap", "DRIVE_KEEP=$keep",
                            "DRIVE_SYNC_FAILS=$call", @$shape],
                           'take', $ids[3]);
    like($text, qr/^take \S+ failed .* cannot be synced: Input/m, $name)
        or diag($text);
    ok(!-e "$disks/$snap.state", 'is no checkpoint');
    is(($d->run('thaw', $ids[3]))[0], 0, 'thawed');
    is(digests($ids[3], $address), $planted, 'the sandbox has all it had');
    goes_on($ids[3], $address, $name);
    is(($d->run('destroy', $ids[3]))[0], 0, "$name: the sandbox ends");
    is(($d->run('discard', $snap))[0], 0,
       "$name: what is left of the take is discarded");
}

# One who has died before it was synced: it is undone, and can be made again.
{
    my ($snap) = snaps(1);

    $address = start($snaps[2], $ids[3]);
    is(($d->run('freeze', $ids[3]))[0], 0, 'frozen');
    my $wait = $d->later(["DRIVE_CHECKPOINT=$snap", 'DRIVE_SYNC_DIES=2',
                          @$shape], 'take', $ids[3]);
    $wait->();
    ok(-s "$disks/$snap.state", 'its taker has died behind the last step');
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$snap", 'DRIVE_SYNC_FAILS=1',
                            @$shape], 'take', $ids[3]);
    like($text, qr/^take \S+ failed .* cannot be synced/m,
         'a checkpoint that cannot be synced') or diag($text);
    ok(!-e "$disks/$snap.state", 'is none any more');
    is(($d->run('thaw', $ids[3]))[0], 0, 'thawed');
    is(digests($ids[3], $address), $planted, 'the sandbox has all it had');
    is(($d->run('freeze', $ids[3]))[0], 0, 'frozen again');
    take($ids[3], $snap);
    my ($child) = $d->ids(1);
    $address = start($snap, $child);
    is(digests($child, $address), $planted, 'nothing is lost');
    is(($d->run('destroy', $child))[0], 0, 'the child ends');
    is(($d->run('discard', $snap))[0], 0, 'discard');
}

# --- torn --------------------------------------------------------------------

sub content {
    my ($file, $new) = @_;

    open(my $fh, defined $new ? '+<:raw' : '<:raw', $file) or die $!;
    print $fh $new if defined $new;
    my $is = do { local $/; <$fh> };
    close $fh or die $!;
    return $is;
}

# A hibernation whose machine is gone: while its checkpoint is whole it may be all
# there is.  One that was torn as it was uploaded has its head, and is none.
{
    my ($snap) = snaps(1);
    my $state = "$disks/$snap.state";
    my @cancel = (["DRIVE_CHECKPOINT=$snap", 'DRIVE_WHOLE=0'], 'cancel',
                  $ids[3]);

    $address = start($snaps[2], $ids[3]);
    take($ids[3], $snap);
    my $whole = content($state);
    like(($d->run(@cancel))[1], qr/failed .* is whole/, 'one that is whole stays');

    (my $foreign = $whole) =~ s/("qemu": ?)\d/${1}3/ or die 'no version';
    substr($foreign, 21, 64) = sha256_hex(substr($foreign, 85));
    content($state, $foreign);
    like(($d->run(["DRIVE_CHECKPOINT=$snap", @$shape], 'start',
                  $ids[3]))[1], qr/another series of QEMU/,
         'one of another QEMU is not started here');
    like(($d->run(@cancel))[1], qr/failed .* is whole/, 'and is whole too');

    content($state, substr($whole, 0, 65536) . "\0" x (length($whole) - 65536));
    ($rc, $text) = $d->run(@cancel);
    is($rc, 0, 'one whose end is missing is cancelled') or diag($text);
    is(scalar(my @parts = glob("$disks/$snap.*")), 0, 'and is gone');
}

# A shape that cannot be synced behind its last step is not kept either.
for my $call (1, 2) {
    ($rc, $text) = $d->run(['DRIVE_MEMORY_MB=160', "DRIVE_SYNC_FAILS=$call"],
                           'keep', 'x');
    like($text, qr/^keep \S+ failed .* cannot be synced: Input/m,
         "a shape, a syncing that fails, number $call") or diag($text);
    is(join(' ', grep { !/\Q$boot\E/ } glob("$disks/boot_*")), '',
       'nothing is left');
}

# --- resumed by one who has lost it ------------------------------------------

mkdir "$t->{dir}/data/crash" or die $!;

# A take that sleeps there, and its source resumed meanwhile: the take's output.
sub disturbed_at {
    my ($point, $snap, $keep, $virsh) = @_;

    $address = start($snaps[2], $ids[3]);
    is(($d->run('freeze', $ids[3]))[0], 0, 'frozen');
    $crash->arm($point, 'sleep 3000');
    my $wait = $d->later(["DRIVE_CHECKPOINT=$snap", "DRIVE_KEEP=$keep", @$shape,
                          'SANDBOX_CRASH_DIR=/run/stack/data/crash'],
                         'take', $ids[3]);
    $crash->reached($point);
    $t->inside(qw(virsh -q -c qemu:///system), $virsh, $ids[3]);
    return $wait->();
}

for my $point ('take.seal.before', 'take.state.before') {
    my ($snap) = snaps(1);

    ($rc, $text) = disturbed_at($point, $snap, 0, 'resume');
    like($text, qr/^take \S+ failed .* does not stand still/m,
         "$point: what was resumed is not taken") or diag($text);
    is(scalar(my @parts = glob("$disks/$snap.*")), 0, 'no part is left');
    is(($d->run('thaw', $ids[3]))[0], 0, 'thawed');
    is(digests($ids[3], $address), $planted, 'the sandbox has all it had');
    goes_on($ids[3], $address, 'the sandbox');
    is(($d->run('destroy', $ids[3]))[0], 0, 'the sandbox ends');
}

# One that has died writes nothing: the checkpoint is all that is left of it.
for my $point ('take.seal.before', 'take.state.before') {
    my ($snap) = snaps(1);
    my ($child) = $d->ids(1);

    ($rc, $text) = disturbed_at($point, $snap, 0, 'destroy');
    is($rc, 0, "$point: what has died is taken") or diag($text);
    $address = start($snap, $child);
    is(digests($child, $address), $planted, 'nothing is lost');
    is(($d->run('destroy', $child))[0], 0, "$point: the child ends");
    is(($d->run('discard', $snap))[0], 0, 'discard');
}

{
    my ($snap) = snaps(1);
    my ($child) = $d->ids(1);

    ($rc, $text) = disturbed_at('flip.after', $snap, 1, 'resume');
    is($rc, 0, 'what goes on is taken the other way') or diag($text);
    like($text, qr/could not be copied.* does not stand still/,
         'a take that goes the other way says why');
    like($text, qr/ way=moved /, 'a take that goes the other way is done');
    is(($d->run('destroy', $ids[3]))[0], 0,
       'the source of a take that went the other way ends');
    $address = start($snap, $child);
    is(digests($child, $address), $planted, 'nothing is lost');
    goes_on($child, $address, 'a child');
    is(($d->run('destroy', $child))[0], 0,
       'the child of a take that went the other way ends');
    is(($d->run('discard', $snap))[0], 0, 'discard');
}

# --- a receiver that dies ----------------------------------------------------

{
    my ($snap) = snaps(1);
    $t->stack('stop', 'memory');
    $address = start($snaps[2], $ids[3]);
    my $wait = $d->later(["DRIVE_CHECKPOINT=$snap", @$shape], 'take', $ids[3]);

    # with the disk full it would end in the same way, by SIGBUS
    ok(wait_for(10, sub {
        return ($t->try_stack('kill', "qemu:$snap"))[0] == 0;
    }), 'the receiver is killed');
    ($rc, $text) = $wait->();
    is($rc, 1, 'nothing is taken') or diag($text);
    is(scalar(my @parts = glob("$disks/$snap.*")), 0, 'no part is left');
    is(digests($ids[3], $address), $planted, 'the sandbox has all it had');
    goes_on($ids[3], $address, 'the sandbox');
    is(($d->run('destroy', $ids[3]))[0], 0,
       'the sandbox whose receiver was killed ends');
    $t->stack('start', 'memory');
}

# --- a taker that dies -------------------------------------------------------

# Disturbs a take after so many ms, repeats it, and looks what has come of it.
sub disturbed {
    my ($name, $ms, $disturb) = @_;
    my ($snap) = snaps(1);
    $address = start($snaps[2], $ids[3]);

    my $wait = $d->later(["DRIVE_CHECKPOINT=$snap", @$shape], 'take', $ids[3]);
    sleep $ms / 1000;
    $disturb->($wait);

    take($ids[3], $snap);
    is(scalar(my @parts = glob("$disks/$snap.*")), 3,
       "$name after $ms ms: three files");
    is(join(' ', $t->domains), '', "$name after $ms ms: no domain is left");

    my ($child) = $d->ids(1);
    $address = start($snap, $child);
    is(digests($child, $address), $planted, 'nothing is lost');
    goes_on($child, $address, "$name after $ms ms");
    is(($d->run('destroy', $child))[0], 0,
       "$name after $ms ms: the child ends");
    is(($d->run('discard', $snap))[0], 0, 'discard');
}

for my $ms (60, 120, 180, 240, 300, 400) {
    disturbed('killed', $ms, sub {
        $t->try_stack('exec-in', 'pkill', '-KILL', '-x', 'drive');
        $_[0]->();
    });
}

for my $ms (60, 150, 300) {
    disturbed('libvirtd killed', $ms, sub {
        $t->stack('kill', 'libvirtd');
        $_[0]->();
        $t->stack('exec-in', "$SandboxTest::top/scripts/libvirt-purge");
        $t->stack('start', 'libvirtd');
    });
}

is(join(' ', $t->domains), '', 'no domain is left');
$t->inside(@pool, 'pool-refresh', $pool); # libvirtd knows all of them
for my $checkpoint (reverse(@snaps), $boot) {
    ($rc, $text) = $d->run('discard', $checkpoint);
    is($rc, 0, "discard $checkpoint") or diag($text);
}
is(join(' ', glob("$disks/*")), '', 'no file is left');

undef $d;
$t->finish;
