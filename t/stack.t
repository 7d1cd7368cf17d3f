#!/usr/bin/perl

# scripts/stack: side by side, conflicts, crashes, and nothing left behind.

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use SandboxTest;

use lib "$FindBin::Bin/../scripts/lib";
use StackProc qw(pid_space pids_in);

my $t = SandboxTest->new(own => 1, up => ['--plain']);
my $stack = "$SandboxTest::top/scripts/stack";
my $base = tempdir('sandbox-test-XXXXXX', CLEANUP => 1,
                   DIR => $ENV{SANDBOX_TEST_TMP} // '/var/tmp');
my $dir = "$base/b";
my $down = guard(sub { run_command($stack, 'down', '--dir', $dir) });

sub mounts {
    open(my $fh, '<', '/proc/self/mountinfo') or return '';
    return join '', sort <$fh>;
}

sub up {
    return run_command($stack, 'up', '--dir', $dir, '--plain', @_);
}

my $mounts = mounts();
my ($links) = (run_command(qw(ip -o link show)))[1];

# --- two ---------------------------------------------------------------------

my ($rc, $text) = up();
is($rc, 0, 'a second stack') or diag($text);
like($text, qr/^export SANDBOX_$_='/m, "prints SANDBOX_$_")
    for qw(API API_KEY TRAFFIC DOMAIN);
is(SandboxLeft::slurp("$dir/env"), $text, 'and writes the same to env');
is((stat "$dir/env")[2] & 077, 0, 'which is for root only');
my ($api) = $text =~ /^export SANDBOX_API='(.*)'/m;
isnt($api, $t->{api}, 'has ports of its own');
is($t->request('GET', '/healthz', to => $api)->{status}, 200, 'answers');
is($t->get('/healthz')->{status}, 200, 'as does the first one');
is(mounts(), $mounts, 'the host\'s mounts are as before');
is((run_command(qw(ip -o link show)))[1], $links, 'and its interfaces');

is((run_command($stack, 'run', '--dir', $dir, '--', 'redis-cli', '-s',
                '/run/redis/redis-server.sock', 'SET', 'a', 'b'))[1], "OK\n",
   'a command inside');
is($t->redis('EXISTS', 'a'), 0, 'the stacks are apart');
is((run_command($stack, 'run', '--dir', $dir, '--', 'sh', '-c',
                'curl -s $SANDBOX_API/healthz; exit 7'))[0], 7,
   'its exit code');
is((run_command($stack, 'run', '--dir', $dir, '--', 'sh', '-c',
                'curl -s $SANDBOX_API/healthz'))[1], "ok\n",
   'the URLs are right inside too');
is((run_command($stack, 'status', '--dir', $dir))[0], 0, 'status');

# --- conflicts ---------------------------------------------------------------

my ($port) = $api =~ /:(\d+)$/;

($rc, $text) = up();
is($rc, 1, 'up where a stack is');
like($text, qr/^stack: .*\Q$dir\E/, 'says so in a line');
is(scalar(() = $text =~ /\n/g), 1, 'and no more');

($rc, $text) = run_command($stack, 'up', '--plain', '--dir', "$base/c",
                           '--port-api', $port);
is($rc, 1, 'a port that is taken');
like($text, qr/^stack: .*\b$port\b.*in use/, 'is named');
ok(!-e "$base/c", 'and nothing is made');

($rc, $text) = run_command($stack, 'up', '--plain', '--dir', "$base/c",
                           '--port-api', 34567, '--port-traffic', 34567);
is($rc, 1, 'a port given twice');
like($text, qr/34567.*twice/, 'is named');

for (['up', '--no-such-option'], ['up', '--port-api', 'x'], ['fly'], []) {
    ($rc, $text) = run_command($stack, @$_);
    is($rc, 2, "stack @$_: wrong usage");
    like($text, qr/^stack: .*--help/, 'is told how');
}

mkdir "$base/full";
open(my $fh, '>', "$base/full/file") or die "$base/full/file: $!";
close $fh;
($rc, $text) = run_command($stack, 'up', '--plain', '--dir', "$base/full");
is($rc, 1, 'a directory that is not empty');
ok(-e "$base/full/file", 'is left alone');
run_command($stack, 'down', '--dir', "$base/full");
ok(-e "$base/full/file", 'by down too');

my $quickstart = "$SandboxTest::top/scripts/quickstart";
for (['no way to run guests', 2, qr/--accel/, '--accel', 'fast'],
     ['a directory that is not empty', 1, qr/in use/, '--dir', "$base/full"],
     ['one that is none', 1, qr/in use/, '--dir', "$base/full/file"]) {
    my ($name, $code, $pattern, @args) = @$_;

    ($rc, $text) = run_command($quickstart, @args);
    is($rc, $code, "quickstart: $name");
    like($text, qr/^quickstart: .*$pattern/, 'is told');
    unlike($text, qr{1/8}, 'before anything is built');
}

# What would make the tree of another Debian only says where.
{
    my $tree = "$SandboxTest::top/scripts/debian-tree";
    my $bin = "$base/bin";
    my %program = (
        'apt-get' => '. /etc/os-release; '
                     . 'echo deb http://localhost/debian $VERSION_CODENAME main',
        mmdebstrap => 'for at; do [ "$at" != - ] || break; root=$at; done; '
                      . 'stat -c "in %n %a %u" "$root"; exit 1');

    mkdir $bin;
    for (keys %program) {
        open(my $fh, '>', "$bin/$_") or die "$bin/$_: $!";
        print $fh "#!/bin/sh\n$program{$_}\n";
        close $fh;
        chmod 0755, "$bin/$_";
    }
    local $ENV{PATH} = "$bin:$ENV{PATH}";

    ($rc, $text) = run_command($tree, 'bookworm', '--', 'true');
    my ($made) = $text =~ m{^in (/var/tmp/debian-tree-\w+) 755 0$}m;
    ok($made, 'debian-tree makes a directory of its own') or diag($text);
    ok(!-e $made, 'and removes it') if $made;

    ($rc, $text) = run_command($tree, '--dir', "$base/tree", 'bookworm', '--',
                               'true');
    like($text, qr{^in \Q$base\E/tree 755 0$}m, 'or the one that it is given');
    ok(!-e "$base/tree", 'and removes that, too');

    mkdir "$base/foreign";
    ($rc, $text) = run_command($tree, '--dir', "$base/foreign", 'bookworm',
                               '--', 'true');
    is($rc, 1, 'one that is there');
    like($text, qr/^debian-tree: .* is not mine$/, 'is refused');
    open(my $fh, '>', "$base/foreign/.sandbox-debian-tree") or die $!;
    close $fh;
    chown 65534, 65534, "$base/foreign";
    ($rc, $text) = run_command($tree, '--dir', "$base/foreign", 'bookworm',
                               '--', 'true');
    like($text, qr/^debian-tree: .* is not mine$/,
         'so is one of somebody else, whatever it says');
    ok(-e "$base/foreign", 'and both are left alone');
}

# --- services ----------------------------------------------------------------

is((run_command($stack, 'kill', '--dir', $dir, 'redis'))[0], 0,
   'redis is killed');
is((run_command($stack, 'status', '--dir', $dir))[0], 1,
   'status says that one is stopped');
is((run_command($stack, 'start', '--dir', $dir, 'redis'))[0], 0, 'start');
($rc, $text) = run_command($stack, 'status', '--dir', $dir);
is($rc, 0, 'all run');
{
    my ($program) = $text =~ /^programs running, pid (\d+)/m;
    my ($locked) = $program
        ? SandboxLeft::slurp("/proc/$program/status") =~ /^VmLck:\s+(\d+)/m : ();
    my $pages = 0;

    $pages += int(((-s $_) + 4095) / 4096)
        for split /\n/, (run_command("$SandboxTest::top/scripts/lock-programs",
                                     '--list'))[1];
    is($locked, 4 * $pages, 'the programs of a start are locked in memory');
}
like($text, qr/^memory running/m, 'the memory broker, too');
is((run_command($stack, 'kill', '--dir', $dir, 'memory'))[0], 0,
   'which is killed');
is((run_command($stack, 'start', '--dir', $dir, 'memory'))[0], 0,
   'and started');
is((run_command($stack, 'restart', '--dir', $dir, 'memory'))[0], 0,
   'and restarted');
like((run_command($stack, 'logs', '--dir', $dir, 'memory'))[1],
     qr/listens\n.*listens\n.*ends\n.*listens\n/s, 'its log');
{
    my $libvirtd = sub {
        my ($pid) = (run_command($stack, 'status', '--dir', $dir))[1]
            =~ /^libvirtd running, pid (\d+)/m;
        return $pid;
    };
    my $first = $libvirtd->();
    is((run_command($stack, 'kill', '--dir', $dir, 'libvirtd', 'ABRT'))[0], 0,
       'libvirtd crashes');
    ok(wait_for(10, sub { ($libvirtd->() // $first) != $first }),
       'and is started again');
    like(SandboxLeft::slurp("$dir/log/stack.log"),
         qr/^libvirtd has crashed by signal 6: started again$/m,
         'which is said');
}
is((run_command($stack, 'restart', '--dir', $dir, 'nginx'))[0], 0,
   'nginx is restarted');
is($t->request('GET', '/healthz', to => $api)->{status}, 200,
   'and answers on the same port');

{
    my $conf = "$dir/etc/nginx.conf";
    my $was = SandboxLeft::slurp($conf);
    # in place: the file is mounted as it is
    my $write = sub {
        open(my $fh, '>', $conf) or die "$conf: $!";
        print $fh shift;
        close $fh;
    };
    my $restore = guard(sub { $write->($was) });

    $write->("no_such_directive;\n$was");
    ($rc, $text) = run_command($stack, 'reload', '--dir', $dir, 'nginx');
    is($rc, 1, 'a configuration that nginx does not take is not reloaded');
    like($text, qr/unknown directive "no_such_directive" in \S+:1$/m,
         'its reason is told');
}
is((run_command($stack, 'reload', '--dir', $dir, 'nginx'))[0], 0,
   'one that it does is');
is((run_command($stack, 'restart', '--dir', $dir, 'nothing'))[0], 1,
   'no such service');

# --- crashes -----------------------------------------------------------------

sub init {
    return (run_command($stack, 'status', '--dir', $dir))[1]
           =~ /is up, pid (\d+)/ ? $1 : die "no stack is up in $dir\n";
}

my $init = init();
my $space = pid_space($init);
cmp_ok(scalar(pids_in($space)), '>', 4, 'a stack has processes');
kill 'KILL', $init;
ok(wait_for(10, sub { !pids_in($space) }),
   'kill -9 of its first process ends all of them');
is((run_command($stack, 'status', '--dir', $dir))[0], 3, 'status: down');
($rc, $text) = up();
is($rc, 1, 'what is left behind is not overwritten');
like($text, qr/down/, 'it says what to do');
is((run_command($stack, 'down', '--dir', $dir))[0], 0, 'down after a crash');
ok(!-e $dir, 'removes the directory');
is((run_command($stack, 'down', '--dir', $dir))[0], 0, 'down again');
is(mounts(), $mounts, 'no mount is left');

# as in a container without CAP_IPC_LOCK
($rc, $text) = run_command(
    qw(setpriv --bounding-set -ipc_lock prlimit --memlock=65536 --), $stack,
    'up', '--dir', $dir, '--plain', '--no-memory-broker');
is($rc, 0, 'up again in the same place') or diag($text);
($rc, $text) = run_command($stack, 'status', '--dir', $dir);
is($rc, 0, 'without a memory broker all run');
unlike($text, qr/^memory/m, 'but that');
unlike($text, qr/^programs/m, 'and what may lock no memory');
like((run_command($stack, 'logs', '--dir', $dir, 'stack', 'programs'))[1],
     qr/goes on without "programs".*mlock/s, 'the logs say why');
($rc, $text) = run_command($stack, 'start', '--dir', $dir, 'memory');
is($rc, 1, 'which cannot be started');
like($text, qr/no service "memory": .* network and nginx are/, 'it says so');
$space = pid_space(init());
{
    # one with much memory still ends when the first one of the stack is gone
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        exec($stack, 'run', '--dir', $dir, '--', 'perl', '-e',
             '$x = "a" x (512 << 20); open(F, ">", $ARGV[0]); sleep 60',
             "$base/large");
    }
    ok(wait_for(20, sub { -e "$base/large" }), 'a large process runs in it');
    is((run_command($stack, 'down', '--dir', $dir))[0], 0, 'down');
    is(join(' ', pids_in($space)), '', 'no process is left');
    waitpid $pid, 0;
}
ok(!-e $dir, 'nor the directory');

# up is interrupted
{
    my $pid = fork() // die "fork: $!";
    if ($pid == 0) {
        open(STDOUT, '>', '/dev/null');
        open(STDERR, '>', '/dev/null');
        exec($stack, 'up', '--dir', $dir, '--plain');
    }
    wait_for(10, sub { -e "$dir/log/stack.log" });
    kill 'TERM', $pid;
    waitpid $pid, 0;
    isnt($?, 0, 'up is interrupted');
    ok(wait_for(5, sub { !-e $dir }), 'and leaves nothing');
}

# a link to a directory is the same stack
symlink $base, "$base-link" or die "symlink: $!";
my $unlink = guard(sub { unlink "$base-link" });
up();
is((run_command($stack, 'status', '--dir', "$base-link/b"))[0], 0,
   'a stack is found by another name of its directory');
run_command($stack, 'down', '--dir', "$base-link/b");
ok(!-e $dir, 'and ended by it');

is($t->get('/healthz')->{status}, 200, 'the first stack has seen nothing');

$t->finish;
