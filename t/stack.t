#!/usr/bin/perl
#
# scripts/stack itself: sentences for what is wrong, crashes at any moment,
# several at once, and nothing left of any of them.  The stacks run a plain
# nginx, so this needs neither module nor template.

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);

my $stack = dirname(dirname(abs_path(__FILE__))) . '/scripts/stack';

$> == 0 or plan(skip_all => 'needs root, for namespaces');

my $base = tempdir('sandbox-stack-XXXXXX', DIR => '/var/tmp');
my $dir = "$base/one";

END {
    my $status = $?;
    if (defined $base) {
        run('down', '--dir', $_) for grep { -d } glob("$base/*");
        rmdir $base;
    }
    $? = $status;
}


sub slurp {
    my ($path) = @_;

    open(my $fh, '<', $path) or return '';
    local $/;
    return scalar(<$fh>) // '';
}


# scripts/stack with arguments: (exit code, all of its output)
sub run {
    my (@args) = @_;

    my $pid = open(my $out, '-|') // die "fork: $!";

    if ($pid == 0) {
        open(STDERR, '>&', \*STDOUT);
        exec($stack, @args) or POSIX::_exit(127);
    }

    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? & 127 ? 128 + ($? & 127) : $? >> 8, $text);
}


sub refused {
    my ($code, $pattern, $name, @args) = @_;
    my ($rc, $text) = run(@args);

    is($rc, $code, "$name: exit code");
    like($text, qr/\Astack: [^\n]*$pattern[^\n]*\n\z/, "$name: one sentence");
}


sub up_ok {
    my ($where, @options) = @_;
    my ($rc, $text) = run('up', '--plain', '--dir', $where, @options);

    is($rc, 0, 'up') or BAIL_OUT($text);
    return { map { /^export SANDBOX_(\w+)='(.*)'$/ ? ($1 => $2) : () }
             split /\n/, $text };
}


# The status line of GET /healthz, or ''.
sub health {
    my ($env) = @_;
    my ($address) = $env->{API} =~ m{//(.*)};
    my $s = IO::Socket::INET->new(PeerAddr => $address, Timeout => 2)
        or return '';

    print $s "GET /healthz HTTP/1.0\r\n\r\n";
    return scalar(<$s>) // '';
}


# What a stack could leave on the host.  Processes and namespaces are told by
# the directory, which is in a command line or among the mounts of them.
sub left {
    my @found = map { "file $_" } glob("$base/* $base/*/.[a-z]* $base/*/*");

    for my $proc (glob '/proc/[0-9]*') {
        next if "$proc" eq "/proc/$$" || slurp("$proc/stat") =~ /\) Z/;
        push @found, "process $proc: " . slurp("$proc/cmdline")
            if slurp("$proc/cmdline") =~ /\Q$base\E/;
        push @found, "mounts of $proc"
            if slurp("$proc/mountinfo") =~ /\Q$base\E/;
    }

    return @found;
}


sub nothing_left {
    my ($name) = @_;
    my @left = left();

    is(scalar(@left), 0, "$name: nothing is left") or diag(join "\n", @left);
}


my $mounts = slurp('/proc/self/mountinfo');
my $links = join ' ', sort map { s{.*/}{}r } glob '/sys/class/net/*';
my $cgroups = join ' ', sort glob '/sys/fs/cgroup/*/machine*';

# --- what is refused -------------------------------------------------------

my @dir = ('--dir', $dir);

refused(2, 'no command', 'no command');
refused(2, 'unknown command "frob"', 'another command', 'frob');
refused(2, 'unknown option: frob', 'another option', 'up', '--frob');
refused(2, 'needs a port, not "http"', 'no port', 'up', @dir,
        '--port-api', 'http');
refused(1, 'port 9999 is given twice', 'a port twice', 'up', '--plain', @dir,
        qw(--port-api 9999 --port-traffic 9999));
refused(1, 'there is no module /nowhere.so; run scripts/build', 'no module',
        'up', @dir, '--module', '/nowhere.so', '--templates',
        do { mkdir "$base/t"; mkdir "$base/t/base";
             open(my $fh, '>', "$base/t/base/manifest.json"); "$base/t" });
refused(1, 'there is no template in /var/empty', 'no template', 'up', @dir,
        '--templates', '/var/empty');
unlink "$base/t/base/manifest.json";
rmdir "$base/t/base";
rmdir "$base/t";

{
    my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1);
    my $port = $taken->sockport;

    refused(1, "port $port for the API is in use", 'a port in use', 'up',
            '--plain', @dir, '--port-api', $port);
}

refused(1, 'no stack is up', 'run', 'run', @dir, '--', 'true');
refused(1, 'no stack is up', 'kill', 'kill', @dir, 'nginx');
is((run('status', @dir))[0], 3, 'status of none');
is((run('down', @dir))[0], 0, 'down of none');

{
    my $text = `setpriv --reuid=65534 --clear-groups $^X $stack up 2>&1`;
    like($text, qr/\Astack: must run as root[^\n]*\n\z|permission denied/i,
         'not root');
}

mkdir $dir;
open(my $mine, '>', "$dir/mine");
refused(1, 'is not empty', 'a directory of somebody', 'up', '--plain', @dir);
run('down', @dir);
ok(-e "$dir/mine", 'down leaves the directory of somebody');
unlink "$dir/mine";
rmdir $dir;

nothing_left('refusals');

# --- a life ----------------------------------------------------------------

my $env = up_ok($dir);

is_deeply([sort keys %$env], [qw(API API_KEY DOMAIN TRAFFIC)], 'variables');
like($env->{API_KEY}, qr/^ns_live_[a-z2-7]{40}$/, 'an API key');
is((stat "$dir/env")[2] & 077, 0, 'which is nobody\'s else');
like(health($env), qr/ 200 /, 'nginx answers on the host');
is((run('status', @dir))[0], 0, 'status');
refused(1, "a stack is up in $dir", 'up twice', 'up', '--plain', @dir);

my ($rc, $text) = run('run', @dir, '--', 'sh', '-c',
                      'curl -s $SANDBOX_API/healthz; exit 7');
is($rc, 7, 'run gives the exit code');
is($text, "ok\n", 'and the same URL works inside');

is((run('exec-in', @dir, qw(setpriv --reuid=www-data --regid=www-data
                            --init-groups virsh -q -c qemu:///system list)))[0],
   0, 'a worker\'s user may use libvirt');

for my $service (qw(redis virtlogd libvirtd nginx)) {
    is((run('kill', @dir, $service))[0], 0, "kill $service");
    is((run('status', @dir))[0], 1, 'status says that it is stopped');
    is((run('start', @dir, $service))[0], 0, "start $service");
}

is((run('kill', @dir, 'libvirtd', 'STOP'))[0], 0, 'stop libvirtd by a signal');
is((run('restart', @dir, 'libvirtd'))[0], 0, 'restart it');
is((run('kill', @dir, 'worker'))[0], 0, 'kill a worker');
is((run('reload', @dir, 'nginx'))[0], 0, 'reload nginx');
is((run('status', @dir))[0], 0, 'all services run');
like(health($env), qr/ 200 /, 'and answer');
refused(1, 'there is no service "frob"', 'another service', 'stop', @dir,
        'frob');

is((run('down', @dir))[0], 0, 'down');
nothing_left('a life');

# --- several ---------------------------------------------------------------

my @dirs = map { "$base/$_" } 1 .. 3;
my @children = map {
    my $where = $_;
    my $pid = fork() // die "fork: $!";
    POSIX::_exit((run('up', '--plain', '--dir', $where))[0]) if $pid == 0;
    $pid;
} @dirs;

is(do { waitpid $_, 0; $? }, 0, 'up beside others') for @children;
run('kill', '--dir', $dirs[0], 'nginx');
is((run('status', '--dir', $dirs[1]))[0], 0, 'one does not mind another');
run('down', '--dir', $_) for @dirs;
nothing_left('three at once');

# --- crashes ---------------------------------------------------------------

up_ok($dir);
my ($init) = (run('status', @dir))[1] =~ /pid (\d+)/;
my @inside = grep { (readlink("$_/ns/pid") // '')
                    eq (readlink("/proc/$init/ns/pid") // 'none') }
             glob '/proc/[0-9]*';
kill 'KILL', $init;

# the kernel is done with a namespace when its PID 1 is a zombie or gone
for (1 .. 500) {
    last if slurp("/proc/$init/stat") !~ /\) [^ZX]/;
    sleep 0.01;
}
cmp_ok(scalar(@inside), '>', 5, 'a stack is many processes');
is(scalar(grep { slurp("$_/stat") =~ /\) [^ZX]/ } @inside), 0,
   'all of which end with its PID 1');
like((run('status', @dir))[1], qr/is dead/, 'status says so');
refused(1, 'run scripts/stack down', 'up on its remains', 'up', '--plain',
        @dir);
run('down', @dir);
nothing_left('PID 1 killed');

for my $signal (qw(KILL TERM INT)) {
    for my $delay (0.03, 0.1, 0.2, 0.3) {
        my $pid = fork() // die "fork: $!";

        if ($pid == 0) {
            open(STDOUT, '>', '/dev/null');
            open(STDERR, '>&', \*STDOUT);
            exec($stack, 'up', '--plain', @dir) or POSIX::_exit(127);
        }

        sleep $delay;
        kill $signal, $pid;
        waitpid $pid, 0;
        run('down', @dir) if $signal eq 'KILL' || $? == 0;

        # stack-init sees a moment later that up is gone
        for (1 .. 100) {
            last unless left();
            sleep 0.02;
        }
        nothing_left("up ended by SIG$signal after $delay s");
    }
}

is(slurp('/proc/self/mountinfo'), $mounts, 'the host has its mounts');
is(join(' ', sort map { s{.*/}{}r } glob '/sys/class/net/*'), $links,
   'its interfaces');
is(join(' ', sort glob '/sys/fs/cgroup/*/machine*'), $cgroups,
   'and its cgroups');

done_testing();
