package ChaosReport;

# The report of a run, in Markdown.

use strict;
use warnings;
use Exporter 'import';
use List::Util qw(sum0);

our @EXPORT_OK = qw(report);

my @invariants = (
    'one sandbox per key', 'equal answers', 'one key per sandbox',
    'every request ends', 'answers of the contract',
    'an answered sandbox exists', 'an answered sandbox works',
    'what was copied is whole', 'no state without an exit',
    'nothing is leaked', 'the log is clean', 'the driver works',
);


sub quantile {
    my ($q, @sorted) = @_;

    return $sorted[int($q * $#sorted + 0.5)];
}


sub outcomes {
    my ($check) = @_;
    my $text = "| request | outcomes | p50 ms | p99 ms | max ms |\n"
             . "|---|---|---|---|---|\n";

    for my $op (sort keys %{ $check->{outcomes} }) {
        my $o = $check->{outcomes}{$op};
        my @ms = sort { $a <=> $b } @{ $check->{times}{$op} // [0] };

        $text .= "| $op | "
              . join(', ', map { "$_: $o->{$_}" }
                           sort { $o->{$b} <=> $o->{$a} || $a cmp $b }
                           keys %$o)
              . ' | ' . join(' | ', quantile(0.5, @ms), quantile(0.99, @ms),
                             $ms[-1]) . " |\n";
    }

    return $text;
}


sub kills {
    my ($killer) = @_;
    my $k = $killer->{killed};
    my $p = $killer->{points} // {};
    my $text = "| killed | times |\n|---|---|\n";

    $text .= "| $_ | $k->{$_} |\n" for sort keys %$k;
    $text .= '| **all** | **' . sum0(values %$k) . "** |\n\n";
    $text .= 'Crash points reached: '
          . (join(', ', map { "`$_`" . ($p->{$_} > 1 ? " ($p->{$_})" : '') }
                        sort keys %$p) || 'none') . ".\n";
    $text .= "Reloads: $killer->{reloads}.\n";
    $text .= "Times Redis lost the end of its AOF: $killer->{lost}.\n"
        if $killer->{lose};

    return $text;
}


sub verdicts {
    my ($check, $allowed) = @_;
    my $text = "| invariant | verdict |\n|---|---|\n";

    for my $name (@invariants) {
        my $n = @{ $check->{broken}{$name} // [] };
        my $word = !$n ? 'holds'
                 : $allowed->{$name} ? "given up: $n" : "**BROKEN: $n**";
        $text .= "| $name | $word |\n";
    }

    for my $name (@invariants) {
        my @broken = @{ $check->{broken}{$name} // [] } or next;
        $text .= "\n$name:\n\n" . join('', map { "- $_\n" }
                 @broken[0 .. ($#broken < 19 ? $#broken : 19)]);
    }

    return $text;
}


# check, killer, o (options), seconds, allowed (invariants given up)
sub report {
    my ($check, $killer, $o, $seconds, $allowed) = @_;
    my @keys = grep { defined $_->{fate} } values %{ $check->{keys} };
    my $answers = sum0(map { $_->{answers} // 0 } @keys);

    return sprintf(<<'END',
# Chaos: seed %s

%d keys of %d asked for, by %d racers (1 to 5 a key) of %d clients, in %d s;
%d answers of 201 for %d sandboxes; %s.

%s
%s
Stall of an event loop, longest: %s; more than 20 ms: %d times. The host took
the machine's CPUs away for %.2f s meanwhile (steal). Descriptors of a worker at the end, most:
%d. Memory of a worker, most gained: %d KB. Nothing was left after %.1f s.

%s
END
        $o->{seed}, scalar @keys, $o->{keys},
        sum0(map { $_->{racers} } @keys), $o->{clients}, $seconds, $answers,
        scalar keys %{ $check->{ids} }, $o->{note}, kills($killer),
        outcomes($check),
        defined $check->{stall} ? sprintf('%.1f ms', $check->{stall} * 1000)
                                : 'not measured',
        $o->{stalls}, $o->{steal},
        $check->{descriptors} // 0, $check->{grown} // 0, $check->{quiet} // 0,
        verdicts($check, $allowed));
}

1;
