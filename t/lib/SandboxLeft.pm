package SandboxLeft;

# What a stack must not have when no sandbox is left in it: domains, QEMU
# processes, taps, admitted guests, overlays, Redis keys that never expire, and
# descriptors of workers that only ever get more.  Looks, and changes nothing.

use strict;
use warnings;
use File::Basename qw(dirname);
use Scalar::Util qw(weaken);
use Time::HiRes qw(time sleep);

use lib dirname(__FILE__) . '/../../scripts/lib';
use StackProc qw(pid_space pids_in slurp);

# Destruction may go on after it was answered.
use constant SECONDS => 20;

# A worker may have this many more descriptors than at the beginning: one
# connection to libvirt (a socket and two for waking) for each thread of the
# sample configuration's pools, and idle connections to guests.
use constant DESCRIPTORS => 3 * 38 + 64;

# Keys that have no expiry by design.
my @permanent = (
    qr/^sbx:key:[0-9a-f]{64}$/,             # API keys
    qr/^sbx:\{[^}]+\}:cursor$/,             # the last address given out
);


sub new {
    my ($class, $test) = @_;
    my $self = bless { test => $test }, $class;

    weaken($self->{test});              # we are a part of it
    $self->{descriptors} = $self->descriptors;

    return $self;
}


# Process ids of the host for processes of the stack: [pid, command line].
sub processes {
    my ($self) = @_;
    my $init = $self->{test}->init;
    my @found;

    for my $pid (pids_in(pid_space($init // 0))) {
        (my $line = slurp("/proc/$pid/cmdline")) =~ tr/\0/ /;
        push @found, [$pid, $line];
    }

    return @found;
}


sub workers {
    my ($self) = @_;

    return map { $_->[0] }
           grep { $_->[1] =~ /^nginx: worker process/ } $self->processes;
}


# pid => number of descriptors, of each worker.
sub descriptors {
    my ($self) = @_;
    my %count;

    for my $pid (eval { $self->workers }) {
        opendir(my $dh, "/proc/$pid/fd") or next;
        $count{$pid} = grep { /^[0-9]+$/ } readdir $dh;
    }

    return \%count;
}


sub _domains {
    my ($self) = @_;

    return map { "domain $_" } $self->{test}->domains;
}


sub _qemu {
    my ($self) = @_;

    # libvirt asks QEMU about itself now and then: that is no guest
    return map { "process $_->[0]: " . substr($_->[1], 0, 80) }
           grep { $_->[1] =~ m{^\S*qemu-system-\S+ .*-name guest=} }
           $self->processes;
}


sub _taps {
    my ($self) = @_;
    my @links = split /\n/, $self->{test}->inside(qw(ip -o link show));

    return map { "interface $_" } grep { $_ ne 'lo' && $_ ne 'sbx0' }
           map { /^\d+: ([^:@]+)/ ? $1 : () } @links;
}


# What lets guests into the network.
sub _network {
    my ($self) = @_;
    my $text = $self->{test}->inside(
        'sh', '-c', 'nft list table bridge sandbox_taps; '
        . 'nft list table inet sandbox_sbx0');
    my @left;

    while ($text =~ /set (guests|online|limited|allow_out|deny_out) \{([^}]*)/g)
    {
        my ($set, $rest) = ($1, $2);
        push @left, "$set: $1" if $rest =~ /elements = \{\s*(.*)/;
    }

    return map { "network $_" } @left;
}


# The answer of the probe for KVM is kept in data/accel; what crash points
# have not been reached stands in data/crash; data/memory is a tmpfs.
sub _files {
    my ($self) = @_;
    my $dir = $self->{test}->dir;
    my @memories = split /\n/,
                   $self->{test}->inside('find', '/run/stack/data/memory',
                                         '-type', 'f');

    my @disks = glob("\Q$dir\E/data/disks/*");
    my %whole = map { m{/(snap_[a-z2-7]+)\.state$} ? ($1 => 1) : () } @disks;

    # Boot checkpoints are kept for those who come later, and the disk of one
    # that was discarded goes with the next sweep.
    return map { "file $_" }
           grep({ !m{/boot_[a-z2-7]+\.[^/]*$}
                  && !(m{/(snap_[a-z2-7]+)\.[a-z2-7]{8}\.qcow2$}
                       && !$whole{$1}) } @disks, @memories),
           grep({ !m{/(?:disks|memory|accel|crash)$} }
                glob("\Q$dir\E/data/*"));
}


my $lua = <<'END';
local out, cursor = {}, '0'
repeat
    local r = redis.call('SCAN', cursor, 'COUNT', 500)
    cursor = r[1]
    for _, key in ipairs(r[2]) do
        if redis.call('PTTL', key) == -1 then
            out[#out + 1] = key
        end
    end
until cursor == '0'
return out
END

sub _keys {
    my ($self) = @_;
    my @keys = split /\n/, $self->{test}->redis('EVAL', $lua, 0);

    for my $pattern (@permanent) {
        @keys = grep { !/$pattern/ } @keys;
    }

    return map { "Redis key $_" } @keys;
}


sub _descriptors {
    my ($self) = @_;
    my $now = $self->descriptors;
    my @grown;

    for my $pid (sort keys %$now) {
        my $before = $self->{descriptors}{$pid} // next;
        next if $now->{$pid} <= $before + DESCRIPTORS;
        push @grown, "worker $pid: $before descriptors have become "
                     . $now->{$pid};
    }

    return @grown;
}


# What is left over, as lines; waits for what is still on its way out.
sub check {
    my ($self) = @_;
    my $end = time() + SECONDS;

    for (;;) {
        my @left = eval {
            map { $self->$_ } qw(_domains _qemu _taps _network _files _keys
                                 _descriptors)
        };
        return "cannot look: $@" if $@;
        return @left if !@left || time() > $end;
        sleep 0.3;
    }
}

1;
