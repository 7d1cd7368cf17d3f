#!/usr/bin/perl

# How vm-images/build publishes parts of a template and which it prunes: its
# own functions, on parts of a few bytes.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;
use File::Temp qw(tempdir);

$> == 0 or plan(skip_all => 'needs root, for namespaces');

my $dir = tempdir('sandbox-image-XXXXXX', DIR => '/var/tmp', CLEANUP => 1);
my $loader = '/lib64/ld-linux-x86-64.so.2';
my $template = "$dir/out/base";

# A build whose parts are made from the given text: all of the script up to
# where it begins to work.
sub build {
    my ($version, $prune) = @_;
    my ($rc, $text) = run_command('bash', '-c', <<'END', 'build',
umask 077
source <(sed '/^parse_arguments "\$@"/,$d' "$1/vm-images/build")
out=$2/out cache=$2/cache prune=$4
kernel_key=k$3 initrd_key=i$3 disk_key=d$3 resolved_key=r$3
declare -A setting=([disk_mb]=100 [min_memory_mb]=128 [workdir]=/ [desktop]=false [cmdline]=)
mkdir -p "$cache"/{kernel/$kernel_key,initrd/$initrd_key,disk/$disk_key}
# a kernel and an initramfs that can be run, to be mapped
{ cat /bin/sleep; echo "kernel $3"; } >"$cache/kernel/$kernel_key/vmlinux"
{ cat /bin/sleep; echo "initrd $3"; } >"$cache/initrd/$initrd_key/initrd.img"
echo "disk $3" >"$cache/disk/$disk_key/disk.qcow2"
echo >"$cache/disk/$disk_key/disk.qcow2.packages"
write_manifest
END
        $SandboxTest::top, $dir, $version, $prune);

    $rc == 0 or BAIL_OUT("build: $text");

    my %part;
    my $manifest = read_file("$template/manifest.json");
    ($part{$_}) = $manifest =~ /"$_": "([^"]+)"/ for qw(kernel initrd disk);

    return \%part;
}

sub read_file {
    my ($file) = @_;

    open(my $fh, '<', $file) or die "$file: $!";
    local $/;
    return scalar <$fh>;
}

sub mode { return sprintf '%o', (stat "$template/$_[0]")[2] & 0777 }

# A program that uses what it is told to, until the guard goes.
sub program {
    my ($ready, @command) = @_;
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        exec(@command) or POSIX::_exit(127);
    }

    my $guard = guard(sub { kill 'KILL', $pid; waitpid $pid, 0 });
    wait_for(5, sub { $ready->($pid) }) or die "@command is not ready";

    return $guard;
}

sub maps {
    my ($pid, $name) = @_;

    return (grep { index($_, $name) >= 0 } split /\n/, read_file("/proc/$pid/maps")) > 1;
}

my $first = build(1, 0);
is(mode('.'), '755', 'under umask 077 a template may be searched');
is(mode($_), '644', "and \"$_\" be read")
    for 'manifest.json', @$first{qw(kernel initrd disk)};

my $mapped = program(sub { maps($_[0], $first->{kernel}) },
                     $loader, "$template/$first->{kernel}", 60);
my $second = build(2, 0);

# under another name, in a mount namespace
mkdir "$dir/other" or die $!;
my $open = program(sub {
    my ($pid) = @_;
    return (readlink("/proc/$pid/fd/7") // '') =~ /\Q$second->{disk}\E$/
           && maps($pid, $second->{initrd});
}, 'unshare', '--mount', '--propagation', 'private', 'sh', '-c',
   'mount --bind "$1" "$2" && exec "$3" "$2/$4" 60 7<"$2/$5"', 'sh',
   $template, "$dir/other", $loader, @$second{qw(initrd disk)});

build(3, 1);
ok(-e "$template/$first->{kernel}", 'a kernel that is only mapped stays');
ok(!-e "$template/$first->{$_}", "its $_, which nobody uses, goes") for qw(initrd disk);
ok(-e "$template/$second->{disk}",
   'a disk that is open in another mount namespace stays');
ok(-e "$template/$second->{initrd}", 'so does an initramfs that is mapped there');
ok(!-e "$template/$second->{kernel}", 'the kernel of then goes');

undef $mapped;
undef $open;
my $last = build(3, 1);
is_deeply([sort map { s{.*/}{}r } glob "\Q$template\E/*-*"], [sort values %$last],
          'what nobody uses any more goes, what the manifest names stays');

done_testing();
