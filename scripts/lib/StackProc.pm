package StackProc;

# What runs of a stack, found in /proc by the command line of stack-init.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(anchors host_pids init_pid pid_space pids_in slurp);


# The text of a file, empty if it cannot be read.
sub slurp {
    my ($path) = @_;

    open(my $fh, '<', $path) or return '';
    local $/;
    return scalar(<$fh>) // '';
}


sub is_gone {
    my ($pid) = @_;

    # a zombie has let go of everything but its entry
    return slurp("/proc/$pid/stat") !~ /^\d+ \(.*\) [^ZX]/s;
}


# The processes of dir's stack that stand for all of it: stack-init, as
# [pid, 1], and the unshare(1) that waits for it, as [pid, 0].
sub anchors {
    my ($dir) = @_;
    my @found;

    opendir(my $proc, '/proc') or die "cannot read /proc: $!\n";

    for my $pid (grep { /^[0-9]+$/ } readdir $proc) {
        my @args = split /\0/, slurp("/proc/$pid/cmdline");
        my ($i) = grep { $args[$_] =~ m{/stack-init$} } 0 .. $#args;

        next unless defined $i && ($args[$i + 1] // '') eq '--dir'
                    && ($args[$i + 2] // '') eq $dir && !is_gone($pid);

        # In a container on this host the same name is another directory:
        # its stack is one more level of process ids away.
        my ($levels) = slurp("/proc/$pid/status") =~ /^NSpid:\s*(.*)$/m;
        my $depth = () = ($levels // '') =~ /\d+/g;
        next if $depth > 2;

        push @found, [$pid, $depth == 2 ? 1 : 0];
    }

    return @found;
}


# stack-init itself, by its process id of the host.
sub init_pid {
    my ($dir) = @_;
    my ($found) = grep { $_->[1] } anchors($dir);

    return $found ? $found->[0] : undef;
}


# The pid namespace of a process, '' if there is no such process.  That of one
# that is exiting can be read to its end; its command line cannot.
sub pid_space {
    my ($pid) = @_;

    return readlink("/proc/$pid/ns/pid") // '';
}


# What runs in these pid namespaces, by the host's process ids.
sub pids_in {
    my %spaces = map { $_ => 1 } grep { $_ ne '' } @_;

    opendir(my $proc, '/proc') or die "cannot read /proc: $!\n";

    return grep { $spaces{ pid_space($_) } && !is_gone($_) }
           grep { /^[0-9]+$/ } readdir $proc;
}


# Process ids of the host for those of the stack.
sub host_pids {
    my ($pid) = @_;
    my %host;

    for my $p (pids_in(pid_space($pid))) {
        my ($inner) = slurp("/proc/$p/status") =~ /^NSpid:.*\s(\d+)$/m;
        $host{$inner} = $p if defined $inner;
    }

    return \%host;
}

1;
