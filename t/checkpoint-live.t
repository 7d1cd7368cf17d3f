#!/usr/bin/perl

# Checkpoints of a sandbox that goes on: taken while its guest writes memory
# and disk as fast as it can, children of children, takers that die, and the
# ways that make it stand still.

use FindBin;
use lib "$FindBin::Bin/lib";
use lib "$FindBin::Bin/../scripts/lib";
use SandboxDrive;
use SandboxTest;
use StackProc qw(slurp);

my $t = SandboxTest->new(own => 1, up => ['--plain', '--userfaultfd']);
my $disks = "$t->{dir}/data/disks";
my $d = SandboxDrive->new($t, '-DSANDBOX_LIVE_PAGES=1');
my $shape = ['DRIVE_MEMORY_MB=192', 'DRIVE_MORE_MB=0'];
my $live = slurp('/proc/sys/vm/unprivileged_userfaultfd') == 1
         ? 'live' : 'still';
my ($rc, $text, $planted);
my $n = 0;
my %at;

diag('userfaultfd is not to be had here') if $live eq 'still';


sub snap {
    my ($id) = $d->ids(1);

    return $id =~ s/^sb_/snap_/r;
}


sub start {
    my ($checkpoint) = @_;
    my ($id) = $d->ids(1);
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape,
                               'DRIVE_ADDRESS=' . $n++], 'start', $id);

    is($rc, 0, "$id started from $checkpoint") or diag($text);
    ($at{$id}) = $text =~ /^configure $id ok .* address=(\S+)/m;
    return $id;
}


sub take {
    my ($id, $checkpoint, @env) = @_;
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", 'DRIVE_KEEP=1',
                               @$shape, @env], 'take', $id);

    is($rc, 0, "$checkpoint taken of $id") or diag($text);
    return $text;
}


sub digests {
    my ($id) = @_;

    return $d->guest($id, $at{$id}, 'sha256sum /dev/shm/memory /root/disk');
}


# What was there is there, what runs goes on and finds no fault.
sub whole {
    my ($id, $name) = @_;
    my $said = $d->guest($id, $at{$id}, <<'END');
sha256sum /dev/shm/memory /root/disk
cat /dev/shm/load
for i in $(seq 100); do
    sleep 0.1
    cmp -s /dev/shm/load /dev/shm/seen || break
done
cat /dev/shm/load
END
    my @lines = split /\n/, $said;
    my @seen = map { [split / /, $_, 4] } @lines[2, 3];

    is(join("\n", @lines[0, 1], ''), $planted, "$name: memory and disk");
    cmp_ok($seen[1][0] // -1, '>=', $seen[0][0] // 0, "$name: it goes on");
    is($seen[1][2], 0, "$name: nothing is of another instant")
        or diag($said);
}


sub files {
    my ($pattern) = @_;

    return map { s{.*/}{}r } glob("$disks/$pattern");
}


# Of domains that end by themselves.
sub domains_are {
    my ($n, $name) = @_;

    ok(wait_for(5, sub { my @d = $t->domains; @d == $n }), $name)
        or diag(join ' ', $t->domains);
}


# --- under load ----------------------------------------------------------------

($rc, $text) = $d->run($shape, 'keep', 'x');
my ($boot) = $text =~ /^keep (\S+) made=1/m;
ok($boot, 'a shape is kept') or diag($text);

my $first = start($boot);
my $load = slurp("$SandboxTest::top/t/hypervisor/load.py");
$planted = $d->guest($first, $at{$first}, <<"END");
head -c 8000000 /dev/urandom > /dev/shm/memory
head -c 8000000 /dev/urandom > /root/disk
cat > /root/load.py <<'EOF'
$load
EOF
setsid python3 /root/load.py 24 >/root/load.log 2>&1 </dev/null &
while ! [ -s /dev/shm/load ]; do sleep 0.1; done
sha256sum /dev/shm/memory /root/disk
END
like($planted, qr/^[0-9a-f]{64} .*\n[0-9a-f]{64} /, 'something to lose');

my @snaps = snap();
$text = take($first, $snaps[0]);
like($text, qr/ way=$live /, $live);
whole($first, 'the source');
is(scalar(files("$snaps[0].*")), 3, 'three files');
is(scalar(files("$first.*")), 1, 'and the new overlay');
like(take($first, $snaps[0]), qr/ok/, 'once more does nothing');
domains_are(1, 'the receiver has ended');

# --- children of children --------------------------------------------------------

my $id = start($snaps[0]);
whole($id, 'a child');

for my $depth (1 .. 10) {
    push @snaps, snap();
    $text = take($id, $snaps[-1], 'DRIVE_DURABLE=0');
    like($text, qr/ way=$live /, "depth $depth");
    my $child = start($snaps[-1]);
    is(($d->run('destroy', $id))[0], 0, 'its parent ends');
    $id = $child;
}

whole($id, 'ten deep');
whole($first, 'the source, after all that');
is(scalar(files("$snaps[-1].*.ram")), 0,
   'one that need not last is not on disk');

# --- hibernated after that -------------------------------------------------------

{
    push @snaps, snap();
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$snaps[-1]", @$shape], 'take',
                           $id);
    is($rc, 0, 'the last one is hibernated') or diag($text);
    $id = start($snaps[-1]);
    whole($id, 'resumed');
    is(($d->run('destroy', $id))[0], 0, 'it ends');
}

# --- a broker that dies, and is not there ------------------------------------------

# what the source still sends is read away by the next one
for my $n (1 .. 3) {
    push @snaps, snap();
    like(take($first, $snaps[-1]), qr/ way=$live /, 'taken');
    $t->stack('kill', 'memory');
    $t->stack('start', 'memory');
    whole($first, "the source, whose broker was killed ($n)");
}

# or by who takes or ends the sandbox next
push @snaps, snap();
take($first, $snaps[-1]);
$t->stack('stop', 'memory');
push @snaps, snap();
$text = take($first, $snaps[-1]);
like($text, qr/log 5: .* by way of another machine.*the memory broker/,
     'with a word');
like($text, qr/ way=moved /, 'without a broker the source stands still');
whole($first, 'the source');
$id = start($snaps[-1]);
whole($id, 'a child of that');
is(($d->run('destroy', $id))[0], 0, 'it ends');

{
    my $snap = snap();
    my $wait = $d->later(["DRIVE_CHECKPOINT=$snap", 'DRIVE_KEEP=1', @$shape],
                         'take', $first);
    ok(wait_for(10, sub {
        return ($t->try_stack('kill', "qemu:$snap"))[0] == 0;
    }), 'the receiver is killed');
    ($rc, $text) = $wait->();
    isnt($rc, 0, 'nothing is taken') or diag($text);
    # but a layer, if the disk was flipped by then
    is(join(' ', grep { !/\.qcow2$/ } files("$snap.*")), '', 'no part is left');
    whole($first, 'the source');
}

$t->stack('start', 'memory');

# --- ended while it still sends ------------------------------------------------------

{
    my $start;

    push @snaps, snap();
    $id = start($snaps[0]);
    like(take($id, $snaps[-1]), qr/ way=$live /, 'a child is taken');
    $start = time();
    is(($d->run('destroy', $id))[0], 0, 'and ends at once');
    cmp_ok(time() - $start, '<', 10, 'without waiting to be killed');
    $id = start($snaps[-1]);
    whole($id, 'its own child');
    is(($d->run('destroy', $id))[0], 0, 'it ends');
}

# --- takers that die ---------------------------------------------------------------

for my $case ([cancel => 60], [take => 120], [cancel => 180], [take => 240],
              [cancel => 300], [take => 360], [cancel => 450], [take => 600])
{
    my ($how, $ms) = @$case;
    my $snap = snap();
    my $wait = $d->later(["DRIVE_CHECKPOINT=$snap", 'DRIVE_KEEP=1', @$shape],
                         'take', $first);

    sleep $ms / 1000;
    $t->try_stack('exec-in', 'pkill', '-KILL', '-x', 'drive');
    $wait->();

    if ($how eq 'take') {
        take($first, $snap);
        push @snaps, $snap;
    } else {
        ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$snap"], 'cancel', $first);
        is($rc, 0, 'it is settled') or diag($text);
        is(join(' ', files("$snap.*.ram"), files("$snap.stat*")), '',
           'no checkpoint is left');
    }

    is(scalar(files("$first.*")), 1, 'one overlay');
    domains_are(1, "killed after $ms ms, $how: one domain");
    whole($first, 'the source');
}

is(($d->run('destroy', $first))[0], 0, 'the source ends');
is(scalar(files('sb_*')), 0, 'no file of a sandbox is left');
is(join(' ', glob("$t->{dir}/data/memory/*.fifo")), '', 'nor a pipe');

# --- without a tmpfs -----------------------------------------------------------------

# all of it while it stands still
{
    my $snap = snap();

    $t->stack('exec-in', 'umount', '-l', '/run/stack/data/memory');
    $id = start($snaps[0]);
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$snap", 'DRIVE_KEEP=1',
                            'DRIVE_DURABLE=0', @$shape], 'take', $id);
    is($rc, 0, 'taken without it') or diag($text);
    like($text, qr/log 5: .* stand still while they are copied/, 'with a word');
    like($text, qr/ way=still /, 'standing still');
    push @snaps, $snap;
    whole($id, 'the source');
    my $child = start($snap);
    whole($child, 'its child');
    is(($d->run('destroy', $id, $child))[0], 0, 'they end');
}

# --- the end -----------------------------------------------------------------------

for my $checkpoint (reverse(@snaps), $boot) {
    ($rc, $text) = $d->run('discard', $checkpoint);
    is($rc, 0, "discard $checkpoint") or diag($text);
}
# a layer of a take that was settled is young, and goes with a later sweep
is(join(' ', grep { !/^snap_[^.]*\.[^.]*\.qcow2$/ } files('*')), '',
   'no file is left but such');
unlink map { "$disks/$_" } files('snap_*.qcow2');
domains_are(0, 'no domain is left');

undef $d;
$t->finish;
