#!/usr/bin/perl

# Machines started from a checkpoint of one that had lived, without nginx: what
# must differ between them does from the first instruction on, what belongs to
# the earlier life has ended, and the rest goes on.  One that cannot be made
# unique does not go on at all.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxDrive;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $d = SandboxDrive->new($t);
my $shape = ['DRIVE_MEMORY_MB=192', 'DRIVE_MORE_MB=0'];
my @ids = $d->ids(5);
my @snaps = map { s/^sb_/snap_/r } $d->ids(3);
my %at;


sub start {
    my ($checkpoint, $n) = @_;
    my ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape,
                               "DRIVE_ADDRESS=$n"], 'start', $ids[$n]);

    ($at{$n}) = $text =~ /^configure \S+ ok .* address=(\S+)/m;
    return ($rc, $text);
}


sub guest {
    my ($n, $command) = @_;

    return $d->guest($ids[$n], $at{$n} // '0.0.0.0', $command);
}


sub take {
    my ($n, $checkpoint) = @_;
    my ($rc, $text) = $d->run('freeze', $ids[$n]);

    is($rc, 0, "frozen: $ids[$n]") or diag($text);
    sleep 0.5;
    ($rc, $text) = $d->run(["DRIVE_CHECKPOINT=$checkpoint", @$shape],
                           'take', $ids[$n]);
    is($rc, 0, "$checkpoint taken of $ids[$n]") or diag($text);
}


# --- a life ------------------------------------------------------------------

my ($rc, $text) = $d->run($shape, 'keep', 'x');
my ($boot) = $text =~ /^keep (\S+) made=1/m;
ok($boot, 'a shape is kept') or diag($text);
($rc, $text) = start($boot, 0);
is($rc, 0, 'a sandbox') or diag($text);

open(my $fh, '<', "$SandboxTest::top/t/hypervisor/life.py") or die $!;
my $life = do { local $/; <$fh> };
close $fh;
is(guest(0, "cat > /root/life.py <<'END'\n${life}END\n" . <<'END'), "ready\n",
python3 /root/life.py tcp:tcp:7777 udp:udp:10.88.0.1:7778 server:server:8080 \
    pair:alive pair:plain first:first1:0 first:first2:0.001 first:first3:0.1 \
    timer:due:4 timer:later:3600 still:box still:paused \
    >/dev/null 2>/run/log </dev/null
touch /run/later.when
for i in $(seq 300); do
    cd /run && ls tcp.up udp.up server.up alive.up plain.up first1.up \
        first2.up first3.up later.up box.up paused.up >/dev/null 2>&1 \
        && echo ready && break
    sleep 0.05
done
cat /run/log
END
   'its processes');

# A peer on the host, which keeps its connection.
my $peer = fork // die $!;
if ($peer == 0) {
    exec("$SandboxTest::top/scripts/stack", 'exec-in', '--dir', $t->{dir},
         'perl', '-MIO::Socket::INET', '-e',
         'my $s = IO::Socket::INET->new(shift) or die; sleep 60',
         "$at{0}:7777") or POSIX::_exit(127);
}
my $end_peer = guard(sub { kill 'KILL', $peer; waitpid $peer, 0 });
ok(wait_for(5, sub { guest(0, 'ls /run') =~ /^tcp\.at$/m }), 'it has a peer');

my @never = qw(tcp udp due first1 first2 first3);
is(guest(0, "cd /run; ls @never 2>/dev/null; true"), '', 'nothing has ended');
my $before = guest(0, 'cat /etc/machine-id');

# One group is frozen by its owner, and it is his to thaw it.
guest(0, 'echo 1 >/sys/fs/cgroup/paused/cgroup.freeze');

# A command that waits for its disk holds nobody up.
guest(0, <<'END');
python3 /root/life.py disk:disk:3 >/dev/null 2>/run/log </dev/null
for i in $(seq 100); do [ -e /run/disk.up ] && break; sleep 0.05; done
setsid sh -c 'echo written >/root/late' >/dev/null 2>&1 </dev/null &
for i in $(seq 100); do grep -q '^State:.D' /proc/$!/status && break; done
grep ^State: /proc/$!/status >/run/state
END
($rc, $text) = $d->run('halt', $ids[0]);
is($rc, 0, 'frozen, all but what waits for the disk') or diag($text);
cmp_ok(($text =~ /us=(\d+)/)[0] // 'inf', '<', 1000_000, 'soon');
is(($d->run('thaw', $ids[0]))[0], 0, 'thawed');
like(guest(0, 'cat /run/state'), qr/D/, 'it did wait');
ok(wait_for(10, sub { guest(0, 'cat /root/late || true') eq "written\n" }),
   'it has its disk');

# What a route and a neighbour of this life are.
my $set_roads = <<'END';
set -e
to=$(ip -4 -o route show default | cut -d ' ' -f 3)
ip route add 203.0.113.0/24 via "$to"
ip neigh add 10.88.9.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent
END

# What a guest has of these.
sub roads {
    my ($n) = @_;

    return guest($n, 'ip -4 route show 203.0.113.0/24; ip neigh show 10.88.9.9;'
                     . ' ip -4 route show default | wc -l');
}

guest(0, $set_roads);
like(roads(0), qr/via .* PERMANENT\s+1$/s, 'it has a route and a neighbour');

# One that its client waits for.
my $bound = fork // die $!;
if ($bound == 0) {
    open(STDOUT, '>', '/dev/null');
    open(STDERR, '>', '/dev/null');
    guest(0, 'sleep 1234; echo went on > /run/bound');
    POSIX::_exit(0);
}
ok(wait_for(5, sub { guest(0, 'pgrep -fxc "sleep 1234" || true') > 0 }),
   'a command is under way');

my ($due) = guest(0, 'touch /run/due.when; sleep 0.2; date +%s') =~ /(\d+)/;
take(0, $snaps[0]);
kill 'KILL', $bound;
waitpid $bound, 0;
sleep 0.1 until time() > $due + 5;

# --- two children of it ------------------------------------------------------

my $began = time();
for my $n (1, 2) {
    ($rc, $text) = start($snaps[0], $n);
    is($rc, 0, "$ids[$n] started") or diag($text);
}

my (%seen, %id);
for my $n (1, 2) {
    my ($early, $now) = (time(), guest($n, 'date +%s.%N'));
    cmp_ok($now, '>', $early - 0.5, "$n: the clock does not lag");
    cmp_ok($now, '<', time() + 0.5, "$n: and is not ahead");

    my %file = guest($n, <<"END") =~ /^(\S+): (.*)$/mg;
cd /run
for i in \$(seq 20); do ls @never >/dev/null 2>&1 && break; sleep 0.05; done
for f in @never alive plain; do echo "\$f: \$(cat \$f)"; done
echo "box: \$(cat box) \$(cat /sys/fs/cgroup/box/cgroup.freeze)"
echo "paused: \$(cat /sys/fs/cgroup/paused/cgroup.freeze)"
echo "later: \$(ls later 2>&1)"
echo "bound: \$(pgrep -fxc 'sleep 1234') \$(ls bound 2>&1)"
echo "id: \$(cat /etc/machine-id)"
echo "name: \$(hostname) \$(cat /etc/hostname)"
echo "old: \$(ss -Hatun src 10.88.1.0 | wc -l)"
END
    $id{$n} = $file{id} // '';

    my @times;
    for my $name (qw(first1 first2 first3)) {
        my (@random) = split ' ', $file{$name} // '';
        is(scalar(@random), 4, "$n: what a process sees first: @random");
        cmp_ok(pop(@random) // 0, '>', $began - 0.5, "$n: at the present time");
        $seen{$_}++ for @random;
        push @times, (split ' ', $file{$name})[3];
    }
    my ($thawed) = sort { $a <=> $b } @times;

    for my $kind (qw(tcp udp)) {
        my ($why, $at) = ($file{$kind} // '') =~ /^(.*) (\S+)$/;
        like($why, qr/abort/, "$n: its $kind connection has ended");
        cmp_ok(abs(($at // 0) - $thawed), '<', 1, "$n: at once");
    }

    my $at = (split ' ', $file{due} // '')[1];
    cmp_ok(abs(($at // 0) - $thawed), '<', 1, "$n: a timer of then fired");
    like($file{later}, qr/No such file/, "$n: one that is not due did not");
    my ($still, $frozen) = split ' ', $file{box} // '';
    cmp_ok($still // 0, '>', 0.4, "$n: another group was frozen as well");
    is($frozen, 0, "$n: and is no more");
    is($file{paused}, 1, "$n: the one that was before still is");
    like($file{bound}, qr/^0 .*No such file/, "$n: an exec ended unheard");
    is($file{old}, 0, "$n: no socket of the old address");
    is(roads($n), "1\n", "$n: no route or neighbour but its own");
    is($file{name}, join(' ', ('sb-' . substr($ids[$n], 3)) x 2), "$n: a name");
    like($file{id}, qr/^[0-9a-f]{32}$/, "$n: a machine id");
    is($t->inside('perl', '-MIO::Socket::INET', '-e',
                  'print scalar readline(IO::Socket::INET->new(shift))',
                  "$at{$n}:8080"), "hello\n", "$n: who listened does so");

    for my $kind (qw(alive plain)) {
        my ($n1) = ($file{$kind} // '') =~ /^whole (\d+)$/;
        my ($n2) = guest($n, "sleep 0.3; cat /run/$kind") =~ /^whole (\d+)$/;
        cmp_ok($n2 // 0, '>', $n1 // 'inf', "$n: what has no client lives on");
    }
}

is(scalar(keys %seen), 2 * 3 * 3, 'no two random values are equal');
isnt($id{1}, $id{2}, 'the machine ids differ');
isnt("$id{$_}\n", $before, 'from the earlier one too') for 1, 2;

# --- one that cannot be made unique ------------------------------------------

# Whether the rules let a guest in.
sub is_in {
    my ($n) = @_;
    my $tap = sprintf 'sbx0a5801%02x', $n;

    return $t->inside('nft', 'list', 'set', 'bridge', 'sandbox_taps', 'guests')
        =~ /"$tap"/ ? 1 : 0;
}

# What a guest writes to its console.
sub console {
    my ($n) = @_;

    open(my $log, '<', "$t->{dir}/log/libvirt/qemu/$ids[$n].log") or return '';
    local $/;
    return scalar <$log>;
}

guest(1, <<'END');
rm /etc/machine-id && mkdir -p /etc/machine-id/x
setsid sh -c 'while sleep 0.05; do echo alive >/dev/ttyS0; done' \
    >/dev/null 2>&1 </dev/null &
END
ok(wait_for(5, sub { console(1) =~ /^alive/m }), 'a guest is heard');
take(1, $snaps[1]);

($rc, $text) = start($snaps[1], 3);
is($rc, 1, 'it is not configured');
like($text, qr/machine id could not be written: /, 'and says why');
($rc, $text) = $d->run('thaw', $ids[3]);
is($rc, 1, 'it does not go on when asked to');
like($text, qr/The last configuration failed/, 'for that reason');
ok(wait_for(5, sub { console(3) =~ /not configured: / }), 'its agent is heard');
sleep 0.5;
unlike(console(3), qr/^alive/m, 'and nobody else');

# With the addresses of its earlier life it is in no network, also for a watcher
# that makes all elements anew.
ok(is_in(2) && !is_in(3), 'nothing of it passes');
$t->inside('nft', 'flush', 'set', 'bridge', 'sandbox_taps', 'guests');
$t->stack('restart', 'network');
ok(wait_for(10, sub { is_in(2) }), 'another one is let in again');
ok(!is_in(3), 'it is not');

# --- one with an address more ------------------------------------------------

guest(2, "ip addr add 198.51.100.2/24 dev eth0; $set_roads");
like(roads(2), qr/via .* PERMANENT\s+1$/s, 'routes beside another address');
take(2, $snaps[2]);
($rc, $text) = start($snaps[2], 4);
is($rc, 0, 'started') or diag($text);
is(roads(4), "1\n", 'they are gone');
my @addresses = guest(4, 'ip -4 -o addr show eth0') =~ m{inet (\S+)/}g;
is_deeply([sort @addresses], [sort $at{4}, '198.51.100.2'],
          'the address is left');

is(($d->run('destroy', @ids[3 .. 4]))[0], 0, 'they end');
is(($d->run('discard', $_))[0], 0, "discard $_") for reverse($boot, @snaps);

undef $d;
$t->finish;
