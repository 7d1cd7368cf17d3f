#!/usr/bin/perl

# The memory broker, without a stack: its descriptors, what it refuses, the
# pipes it reads away, and its socket.  What it takes for QEMU is a process of
# this file, of the same user.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;
use Fcntl qw(:DEFAULT :flock :mode);
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX qw(mkfifo);

$> == 0 or plan(skip_all => 'needs root, to be other users');

my $top = $SandboxTest::top;
# where other users may come to, whatever the directory of a run is
my $base = tempdir('sandbox-test-XXXXXX', CLEANUP => 1, DIR => '/var/tmp');
my $socket = "$base/run/socket";
my $client = SandboxLeft::slurp("$top/t/lib/broker-client.py");
my @qemu = qw(setpriv --reuid=libvirt-qemu --regid=libvirt-qemu);
my @guest = (@qemu, '--clear-groups');
my @worker = qw(setpriv --reuid=www-data --regid=www-data --clear-groups);
my ($user, $group) = (scalar getpwnam('libvirt-qemu'),
                      scalar getgrnam('libvirt-qemu'));
my $id = 'sb_abcdefghijklmnopqrst';
my %children;

# what the broker runs under in the place of the sanitizers, such as "valgrind
# -q --error-exitcode=99"
my $under = $ENV{SANDBOX_BROKER_UNDER} // '';

END {
    my $status = $?;
    kill 'KILL', keys %children;
    waitpid $_, 0 for keys %children;
    $? = $status;
}

chmod 0755, $base;

{
    my ($rc, $text) = run_command(
        'sh', '-c', 'cd "$1" && exec gcc -std=gnu11 -Wall -Wextra -Werror -g'
        . ' -O1 $3 -Isrc/core -Isrc/hypervisor src/tools/sandbox_memory_*.c'
        . ' src/core/sandbox_rights.c src/core/sandbox_time.c -o "$2"', 'gcc', $top, "$base/broker",
        $under ne '' ? '' : '-fsanitize=address,undefined'
                            . ' -fno-sanitize-recover=all');
    is($rc, 0, 'the broker builds') or die $text;
}

for (['run', $user, 0755], ['pids', 0, 0755],
     ['memory', scalar getpwnam('www-data'), 02750]) {
    my ($name, $owner, $mode) = @$_;
    mkdir "$base/$name" or die "$base/$name: $!";
    chown $owner, $group, "$base/$name";
    chmod $mode, "$base/$name";
}


sub spawn {
    my ($log, @command) = @_;
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>>', $log);
        open(STDERR, '>&', \*STDOUT);
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    $children{$pid} = 1;
    return $pid;
}


sub end {
    my ($pid, $signal) = @_;

    kill $signal, $pid;
    waitpid $pid, 0;
    delete $children{$pid};
    return $?;
}


sub connects {
    return defined IO::Socket::UNIX->new(Peer => $socket,
                                         Type => SOCK_SEQPACKET);
}


sub broker {
    my $pid = spawn("$base/log", @qemu, '--groups=www-data',
                    split(' ', $under), "$base/broker", '--socket', $socket,
                    '--memory', "$base/memory", '--pids', "$base/pids");

    wait_for(20, \&connects) or die("no broker: " . said());
    return $pid;
}


sub said {
    return SandboxLeft::slurp("$base/log");
}


# The answer to a message, as a worker gets it.
sub ask {
    my ($rc, $text) = run_command(@worker, '/usr/bin/python3', '-c', $client,
                                  $socket, @_);

    chomp $text;
    return $text;
}


# A process that has these arguments, a text in its memory, and a pid file.
sub machine {
    my ($name, $text, $as, @args) = @_;
    my $pid = spawn("$base/machine.log", @$as, '/usr/bin/python3', '-c',
                    'import sys, time; x = bytearray(b"<" + sys.argv[-1][::-1]'
                    . '.encode() + b">"); time.sleep(600)', @args,
                    scalar reverse $text);

    open(my $fh, '>', "$base/pids/$name.pid") or die "$name.pid: $!";
    print $fh "$pid\n";
    close $fh;
    # until it is the program that it will be
    wait_for(10, sub {
        my $line = SandboxLeft::slurp("/proc/$pid/cmdline");
        return $line =~ /python3/ && $line !~ /^setpriv/;
    });
    return $pid;
}


sub descriptors {
    my ($pid) = @_;

    return scalar(() = glob "/proc/$pid/fd/*");
}


sub fifo {
    my ($name) = @_;
    my $path = "$base/memory/$name";

    mkfifo($path, 0600) or die "$path: $!";
    chown scalar getpwnam('www-data'), $group, $path;
    chmod 0640, $path;
    return $path;
}


# A process that writes 4 MiB into a pipe, for whoever reads.
sub writer {
    my ($path) = @_;

    return spawn("$base/machine.log", $^X, '-e',
                 'open(F, "+<", $ARGV[0]) or die; print F "x" x (4 << 20)',
                 $path);
}


sub ended {
    my ($pid, $seconds) = @_;
    my $ended = wait_for($seconds, sub { waitpid($pid, POSIX::WNOHANG) > 0 });

    delete $children{$pid} if $ended;
    return $ended;
}

# --- its socket --------------------------------------------------------------

my $broker = broker();
my @stat = stat $socket;

is(sprintf('%o', S_IMODE($stat[2])), '660', 'the socket is for its group');
is(getgrgid($stat[5]), 'www-data', 'the workers\'');
is((run_command(qw(setpriv --reuid=nobody --regid=nogroup --clear-groups),
                '/usr/bin/python3', '-c', $client, $socket, 'drain'))[0] != 0,
   1, 'nobody else connects');
is((run_command(@qemu, '--groups=www-data', "$base/broker", '--socket',
                $socket))[0], 1, 'a second one does not begin');
ok(connects(), 'and the first one answers');

# --- open ----------------------------------------------------------------------

machine($id, 'a word of the guest', \@guest,
        '-name', "guest=$id,debug-threads=on");

is(ask("open $id", '--flags', '--find', '<a word of the guest>')
       =~ /^ok 3\n[1-9][0-9]*\n0 0 0$/, 1,
   'maps, pagemap and mem, to be read, show a worker the memory');
unlike((run_command(@qemu, '--clear-groups', '/usr/bin/python3', '-c', $client,
                    $socket, "open $id"))[1], qr/^ok/m, 'and QEMU itself none');
my $open = descriptors($broker);
is(ask("open $id", '--times', 200), 'ok 3', 'two hundred times');
is(descriptors($broker), $open, 'and none is left open');

machine('sb_other', '-', \@guest, '-name', "guest=${id}x");
machine('sb_bare', '-', \@guest, '-name', 'guest=sb_bare');
machine('sb_after', '-', \@guest, 'guest=sb_after', '-name');
machine('sb_root', '-', ['env'], '-name', 'guest=sb_root');
machine('sb_worker', '-', \@worker, '-name', 'guest=sb_worker');
run_command('sh', '-c', <<'END', 'pids', "$base/pids", $id);
cd "$1"
echo 0 >sb_zero.pid; echo -1 >sb_minus.pid; echo 12x >sb_text.pid
: >sb_empty.pid; printf '%040d' 1 >sb_long.pid; mkfifo sb_fifo.pid
head -c 100000 /dev/urandom >sb_noise.pid; echo 4194305 >sb_nobody.pid
echo "$(cat "$2.pid")" >sb_alias.pid; cp "$2.pid" ../outside.pid
END

is(ask('open sb_bare'), 'ok 3', 'a name without anything behind it');

for my $name (qw(sb_none sb_other sb_after sb_zero sb_minus sb_text sb_empty
                 sb_long sb_fifo sb_noise sb_nobody sb_alias)) {
    like(ask("open $name"), qr/^error: $name: .* 0$/, "open $name");
}

like(ask("open $_"), qr/^error: .*another user.* 0$/, "open $_")
    for qw(sb_root sb_worker);
like(ask($_), qr/^error: .* 0$/, 'refused: ' . substr($_, 0, 40))
    for '../outside', 'open ../outside', 'open ', 'open', 'open SB_A', 'open a b',
        "open $id/", "open $id\n", 'open ' . 'a' x 64, 'open ' . 'a' x 250,
        'open ' . 'a' x 252, 'x' x 3000, "open \xe9", 'drain it';
is(ask(''), ' 0', 'an empty message is none');
like(ask("open $id", "$base/log"), qr/^error: .* 0$/, 'open with a descriptor');

# --- drain -----------------------------------------------------------------------

mkdir "$base/pipes";
chmod 0777, "$base/pipes";

my $pipe = "$base/pipes/a.fifo";
mkfifo($pipe, 0600);
chown scalar getpwnam('www-data'), -1, $pipe;

like(ask('drain'), qr/^error: .* 0$/, 'drain without a pipe');
like(ask('drain', ($pipe) x 2), qr/^error: .* 0$/, 'with two');
like(ask('drain', ($pipe) x 9), qr/^error: .* 0$/, 'with nine');
like(ask('x', ($pipe) x 250), qr/^error: .* 0$/, 'and 250');
like(ask('drain', "$base/pids/$id.pid"), qr/^error: .* 0$/, 'a file');
like(ask('drain', '/dev/zero'), qr/^error: .* 0$/, 'a device');
like(ask('drain', "rw:$pipe"), qr/^error: .* 0$/,
     'a pipe that may be written to');

my $writer = writer($pipe);
like(ask('drain', "w:$pipe"), qr/^error: .* 0$/, 'a pipe that waits');
is(descriptors($broker), $open, 'of all these none is left open');
ok(!ended($writer, 0.5), 'who writes waits');
is(ask('drain', $pipe), 'ok 0', 'until the pipe is handed over');
ok(ended($writer, 5), 'then all is read away');
ok(wait_for(5, sub { descriptors($broker) == $open }),
   'and the pipe is closed at its end');
is(ask('drain', $pipe), 'ok 0', 'a pipe that nobody writes to');
ok(wait_for(5, sub { descriptors($broker) == $open }), 'is closed at once');

# --- pipes without a reader -------------------------------------------------------

$pipe = fifo('snap_a.fifo');
sysopen(my $held, $pipe, O_RDONLY | O_NONBLOCK) or die "$pipe: $!";
flock($held, LOCK_SH) or die "flock: $!";
$writer = writer($pipe);

ok(!ended($writer, 3), 'a pipe that somebody holds is left alone');
close $held;
ok(ended($writer, 2), 'when he has gone it is read away');
ok(wait_for(5, sub { said() =~ /snap_a\.fifo had no reader; 4194304 bytes/ }),
   'the log says what was read away');
ok(-p $pipe, 'its name stays');

$writer = writer($pipe);
ok(ended($writer, 2), 'one that is used again, too');
fifo('snap_none.fifo');
mkfifo("$base/memory/snap_b", 0666);
open(my $fh, '>', "$base/memory/file.fifo");
close $fh;
symlink($pipe, "$base/memory/link.fifo");
sleep 1.2;
my $before = (split ' ', SandboxLeft::slurp("/proc/$broker/stat"))[13];
sleep 1;
cmp_ok((split ' ', SandboxLeft::slurp("/proc/$broker/stat"))[13] - $before, '<',
       20, 'nothing makes it busy');
is(descriptors($broker), $open, 'nor keeps a descriptor');

# one that is handed over is held until its end
$pipe = fifo('snap_c.fifo');
$writer = spawn("$base/machine.log", $^X, '-e',
                'open(F, "+<", $ARGV[0]) or die; sleep 600', $pipe);
wait_for(5, sub { (readlink("/proc/$writer/fd/3") // '') eq $pipe });
sysopen($held, $pipe, O_RDONLY | O_NONBLOCK) or die "$pipe: $!";
flock($held, LOCK_SH) or die "flock: $!";
sleep 1.2;
is(descriptors($broker), $open, 'a held one');
close $held;
ok(wait_for(3, sub { descriptors($broker) == $open + 1 }), 'is taken');
is(ask('drain', $pipe), 'ok 0', 'and may be handed over all the same');
is(descriptors($broker), $open + 1, 'but is read by one');
end($writer, 'KILL');
ok(wait_for(3, sub { descriptors($broker) == $open }), 'until its writer ends');

# --- those who say nothing -----------------------------------------------------------

{
    my $began = time();
    is(ask("open $id", '--silent', 70), 'ok 3', 'beside 70 silent clients');
    cmp_ok(time() - $began, '<', 6, 'the answer does not take long');
}

# --- its end --------------------------------------------------------------------------

is(end($broker, 'TERM'), 0, 'SIGTERM ends it');
ok(!-e $socket, 'with its socket');

$broker = broker();
end($broker, 'KILL');
ok(-e $socket, 'one that is killed leaves its socket');
$writer = writer(fifo('snap_d.fifo'));
ok(!ended($writer, 1.5), 'meanwhile who writes waits');
$broker = broker();
is(ask("open $id"), 'ok 3', 'which the next one replaces');
ok(ended($writer, 3), 'and reads what has waited for it');
end($broker, 'TERM');

is((run_command(@qemu, '--groups=www-data', "$base/broker", '--socket', $socket,
                '--group', 'nosuchgroup'))[0], 1, 'an unknown group');
is((run_command("$base/broker", '--socket'))[0], 2, 'an option without a value');
is((run_command("$base/broker", '--x', 'y'))[0], 2, 'an unknown one');
is((run_command("$base/broker", '--help'))[0], 0, 'help');

my $rooted = spawn("$base/log", "$base/broker", '--socket', $socket, '--memory',
                   "$base/memory", '--pids', "$base/pids");
wait_for(5, \&connects);
is(ask('open sb_worker'), 'ok 3', 'root opens any user\'s');
like(said(), qr/runs as root/, 'and says that it is root');
end($rooted, 'TERM');
unlike(said(), qr/Sanitizer|runtime error|^==/m, 'no sanitizer complains');

done_testing();
