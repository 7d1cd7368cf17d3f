package ChaosPlan;

# What a run does, decided by its seed alone: for each key who asks for it,
# when and how often, and what becomes of the sandbox; and the kills.  Knows
# no stack and sends nothing.

use strict;
use warnings;
use Digest::SHA qw(sha256);
use Exporter 'import';
use List::Util qw(sum0);

our @EXPORT_OK = qw(plan_key plan_kills kinds);

# Kinds of kills and how often each is drawn.
my %weights = (
    worker => 8, workers => 2, point => 14, nginx => 3, libvirtd => 4,
    redis => 4, qemu => 5,
);


sub kinds { return sort keys %weights }


# A generator of numbers in [0, 1) that only its name decides, the same on
# every machine.
sub generator {
    my ($name) = @_;
    my $n = 0;

    return sub { unpack('N', sha256($name . '/' . $n++)) / 2**32 };
}


# { racers => [{ at, abort }...], fate, list, timeout, sleep, fork, snapshot }
# of key i
sub plan_key {
    my ($seed, $i) = @_;
    my $r = generator("$seed/key/$i");
    my $racers = 1 + int($r->() * 5);
    my @racers = map {
        # seconds after the first one; seconds after which it hangs up
        { at => $_ == 1 || $r->() < 0.4 ? 0 : $r->() * 4,
          abort => $r->() < 0.15 ? 0.2 + $r->() * 2 : undef }
    } 1 .. $racers;
    my $fate = $r->();

    return {
        racers => \@racers,
        fate => $fate < 0.7 ? 'delete' : $fate < 0.85 ? 'delete twice'
                                                      : 'expire',
        list => $r->() < 0.2, timeout => $r->() < 0.2,
        sleep => $r->() < 0.3, fork => $r->() < 0.2, snapshot => $r->() < 0.15,
    };
}


# Kills in order: { at => number of keys that are done by then, kind, r }.
sub plan_kills {
    my ($seed, $keys, $kills, $reloads, @points) = @_;
    my $r = generator("$seed/kills");
    my @kinds = kinds();
    my $all = sum0(values %weights);
    my @plan;

    for (1 .. $kills) {
        my ($draw, $kind) = ($r->() * $all);

        for (@kinds) {
            $kind = $_;
            last if ($draw -= $weights{$_}) < 0;
        }

        push @plan, { at => $r->() * $keys * 0.95, kind => $kind,
                      r => $r->(), point => $points[$r->() * @points] };
    }

    push @plan, { at => $r->() * $keys * 0.95, kind => 'reload', r => 0 }
        for 1 .. $reloads;

    return sort { $a->{at} <=> $b->{at} } @plan;
}

1;
