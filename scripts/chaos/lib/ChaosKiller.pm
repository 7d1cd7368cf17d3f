package ChaosKiller;

# Kills parts of a stack and brings back what does not come back by itself.
# Remembers what it did, for the report; judges nothing.

use strict;
use warnings;
use Time::HiRes qw(time sleep);

# Time that Redis's appendfsync everysec may lose.
use constant LOSS => 1;


# stack (a SandboxStack), lose (cut Redis's file back at each of its kills),
# note (called with a line of text)
sub new {
    my ($class, %o) = @_;

    return bless { %o, killed => {}, armed => {}, sizes => [], guests => {},
                   lost => 0, reloads => 0 }, $class;
}


sub crash_file { return "$_[0]{stack}{dir}/data/crash/$_[1]" }


# Armed points that have been reached since; each was one kill.
sub reap_points {
    my ($self) = @_;

    for my $point (keys %{ $self->{armed} }) {
        next if -e $self->crash_file($point);
        delete $self->{armed}{$point};
        $self->{killed}{point}++;
        $self->{points}{$point}++;
        $self->{note}->("crash point $point");
    }
}


sub disarm {
    my ($self) = @_;

    $self->reap_points;
    unlink $self->crash_file($_) for keys %{ $self->{armed} };
    $self->{armed} = {};
}


sub arm {
    my ($self, $point) = @_;
    my $file = $self->crash_file($point);

    open(my $fh, '>', "$file.new") or die "$file: $!\n";
    print $fh 'kill';
    close $fh;
    rename "$file.new", $file or die "$file: $!\n";
    $self->{armed}{$point} = time();
}


# The one file of the AOF that is written now, and its size.
sub aof {
    my ($self) = @_;
    my @files = sort { -M $a <=> -M $b }
                glob("\Q$self->{stack}{dir}\E/redis/appendonlydir/*.incr.aof");

    return @files ? ($files[0], -s $files[0]) : ();
}


# Called now and then: how long the AOF was when.
sub sample {
    my ($self) = @_;

    $self->reap_points;
    return unless $self->{lose};
    my ($file, $size) = $self->aof or return;
    my $sizes = $self->{sizes};

    push @$sizes, [time(), $file, $size];
    shift @$sizes while @$sizes > 2 && $sizes->[1][0] < time() - LOSS;
}


sub cut_aof {
    my ($self) = @_;
    my ($file, $size) = $self->aof or return;
    my ($before) = grep { $_->[1] eq $file } @{ $self->{sizes} };

    return unless $before && $before->[2] < $size;
    truncate $file, $before->[2] or die "$file: $!\n";
    $self->{lost}++;
    $self->{note}->(($size - $before->[2]) . ' bytes of the AOF are lost');
}


my %ways = (
    worker => sub {
        my ($self, $kill) = @_;
        my @pids = $self->{stack}->workers or return 0;
        return kill 'KILL', $pids[$kill->{r} * @pids];
    },
    workers => sub {
        my ($self) = @_;
        return kill('KILL', $self->{stack}->workers) ? 1 : 0;
    },
    nginx => sub {
        my ($self, $kill) = @_;
        $self->{stack}->stack('kill', 'nginx');
        sleep $kill->{r};
        $self->{stack}->stack('start', 'nginx');
        return 1;
    },
    libvirtd => sub {
        my ($self, $kill) = @_;
        $self->{stack}->stack('kill', 'libvirtd');
        sleep 2 * $kill->{r};
        $self->{stack}->stack('start', 'libvirtd');
        return 1;
    },
    redis => sub {
        my ($self, $kill) = @_;
        $self->{stack}->stack('kill', 'redis');
        $self->cut_aof if $self->{lose};
        sleep 2 * $kill->{r};
        $self->{stack}->stack('start', 'redis');
        return 1;
    },
    qemu => sub {
        my ($self, $kill) = @_;
        my @guests = sort map { $_->[1] =~ /-name guest=([\w-]+)/ ? $1 : () }
                     $self->{stack}{left}->processes;
        return 0 unless @guests;
        my $guest = $guests[$kill->{r} * @guests];
        $self->{guests}{$guest} = 1;
        return ($self->{stack}->try_stack('kill', "qemu:$guest"))[0] == 0;
    },
    reload => sub {
        my ($self) = @_;
        $self->{stack}->stack('reload', 'nginx');
        $self->{reloads}++;
        return 0;
    },
);


# Does one of the plan's kills.
sub strike {
    my ($self, $kill) = @_;

    if ($kill->{kind} eq 'point') {
        $self->{note}->("arms $kill->{point}");
        $self->arm($kill->{point});
        return;
    }

    my $done = eval { $ways{ $kill->{kind} }->($self, $kill) };

    # no guest runs just now
    return $self->strike({ %$kill, kind => 'worker' })
        if !$done && $kill->{kind} eq 'qemu';

    $self->{note}->("$kill->{kind}: " . ($done // $@));
    $self->{killed}{ $kill->{kind} }++ if $done;
}

1;
