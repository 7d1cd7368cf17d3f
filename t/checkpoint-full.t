#!/usr/bin/perl

# A file system with no room left, without nginx: what cannot be made leaves
# nothing, what runs goes on, and what is not needed can be removed.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxDrive;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $small = '/run/stack/small';
my $image = "$t->{base}/small.img";

# A loop device of the host, mounted in the stack alone.  On a tmpfs reading
# the holes of a memory takes room, so that would be another test.
my ($rc, $text) = run_command('sh', '-c', <<'END', 'sh', $image);
set -e
truncate -s 400M "$1"
mkfs.ext4 -q -m 0 "$1"
losetup --find --show "$1"
END
my $loop = $rc == 0 && $text =~ m{^/dev/loop(\d+)$}m ? $1 : undef;

if (defined $loop) {
    ($rc, $text) = $t->try_stack('exec-in', 'sh', '-c', <<'END', 'sh', $loop,
set -e
mknod /dev/small b 7 "$1"
mkdir "$2"
mount /dev/small "$2"
mkdir -m 711 "$2/disks"
chmod 711 "$2"
chown www-data:www-data "$2" "$2/disks"
END
                                 $small);

    # it goes with the stack, which has it mounted
    run_command('losetup', '--detach', "/dev/loop$loop");
}

unlink $image;

if ($rc != 0) {
    diag("there can be no small file system here: $text");
    ok(1, 'skipped');
    $t->finish;
    exit 0;
}

my $d = SandboxDrive->new($t, '-DSANDBOX_CHECKPOINT_GRACE_MS=0');
my $env = ["DRIVE_DATA=$small", 'DRIVE_MEMORY_MB=160', 'DRIVE_MORE_MB=0'];
my @ids = $d->ids(3);
my @snaps = map { s/^sb_/snap_/r } $d->ids(3);


sub run {
    my ($more, @args) = @_;

    return $d->run([@$env, @$more], @args);
}


sub files {
    return $t->inside('ls', "$small/disks");
}


# Leaves so many MiB.
sub fill {
    my ($left) = @_;

    $t->inside('sh', '-c', <<'END', 'sh', $small, $left);
rm -f "$1/fill"
free=$(df --output=avail -m "$1" | tail -n 1)
[ "$free" -le "$2" ] || fallocate -l "$((free - $2))M" "$1/fill" || true
END
}


sub empty {
    $t->inside('rm', '-f', "$small/fill");
}


sub is_refused {
    my ($name, $status, @run) = @_;
    my $before = files();
    my $domains = join ' ', sort $t->domains;
    my ($rc, $text) = run(@run);

    is($rc, 1, "$name: refused");
    like($text, qr/status=(?:$status) /, 'as it should be') or diag($text);
    is(files(), $before, 'nothing is left');
    is(join(' ', sort $t->domains), $domains, 'and no other domain');
}


# --- nothing can be made -----------------------------------------------------

fill(2);
is_refused('a shape without room', 2, [], 'keep', 'x');
is_refused('a cold boot', 2, [], 'boot', $ids[1]);
fill(40);
is_refused('a shape with too little', '[2-5]', [], 'keep', 'x');
empty();

($rc, $text) = run([], 'keep', 'x');
my ($boot) = $text =~ /^keep (\S+) made=1/m;
ok($boot, 'with room it is made') or diag($text);

# --- a sandbox goes on -------------------------------------------------------

($rc, $text) = run(["DRIVE_CHECKPOINT=$boot"], 'start', $ids[0]);
is($rc, 0, 'a sandbox') or diag($text);
my ($address) = $text =~ /^configure \S+ ok .* address=(\S+)/m;
my $said = $d->guest($ids[0], $address, <<'END');
head -c 8000000 /dev/urandom > /dev/shm/memory
head -c 8000000 /dev/urandom > /root/file
sync; sha256sum /dev/shm/memory /root/file
END

sub goes_on {
    my ($name) = @_;

    is($d->guest($ids[0], $address, 'sha256sum /dev/shm/memory /root/file'),
       $said, "$name: the sandbox has what it had");
}

sub is_not_taken {
    my ($name, $status, $keep) = @_;

    is((run([], 'freeze', $ids[0]))[0], 0, 'frozen');
    is_refused($name, $status,
               ["DRIVE_CHECKPOINT=$snaps[0]", "DRIVE_KEEP=$keep"], 'take',
               $ids[0]);
    is((run([], 'thaw', $ids[0]))[0], 0, 'thawed');
    goes_on($name);
}

fill(2);
is_not_taken('a take without room', 2, $_) for 0, 1;
is_refused('a start', 2, ["DRIVE_CHECKPOINT=$boot"], 'start', $ids[1]);
fill(30);
is_not_taken('a take with too little', '[2-5]', 0);

# --- a sandbox that writes ---------------------------------------------------

# the error is the guest's: it is not stopped, and nobody has to let it go on
fill(10);
like($d->guest($ids[0], $address, <<'END'), qr/^rc=1$/m, 'a write fails');
dd if=/dev/urandom of=/root/more bs=1M count=30 conv=fsync >/dev/null 2>&1
echo rc=$?
END
like($t->inside(qw(virsh -c qemu:///system domstate), $ids[0]), qr/^running/,
     'the sandbox runs');
goes_on('a disk that is full');

# --- room is made ------------------------------------------------------------

# what could not be written is told to the first who writes all of it
($rc, $text) = run([], 'freeze', $ids[0]);
like($text, qr/could not be written/, 'a lost write is told') if $rc;
($rc, $text) = run([], 'freeze', $ids[0]) if $rc;
is($rc, 0, 'frozen') or diag($text);
empty();
($rc, $text) = run(["DRIVE_CHECKPOINT=$snaps[1]"], 'take', $ids[0]);
is($rc, 0, 'with room it is taken') or diag($text);
fill(0);
is((run([], 'discard', $boot))[0], 0, 'a full one does not keep a checkpoint');
unlike(files(), qr/^$boot\..*\.(?:ram|state)$/m, 'its memory is gone');
is((run([], 'discard', $snaps[1]))[0], 0, 'nor another');
is(files(), '', 'nothing is left');

undef $d;
$t->finish;
