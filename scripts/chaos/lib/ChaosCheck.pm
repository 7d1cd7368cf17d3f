package ChaosCheck;

# The invariants.  Gathers what clients have seen, line by line, and at the
# end what the stack holds; gives a verdict for each invariant.

use strict;
use warnings;
use Time::HiRes qw(time sleep);

# Answers that a client must be ready for, by operation; with "503" whatever
# the code.  No answer (0) is a connection that was cut.
my %contract = (
    create => qr/^(?:0|201|409 (?:idempotency_in_progress|transition_in_progress)|503 .*)$/,
    get => qr/^(?:0|200|404 sandbox_not_found|503 .*)$/,
    'get deleted' => qr/^(?:0|404 sandbox_not_found|503 .*)$/,
    list => qr/^(?:0|200|503 .*)$/,
    exec => qr/^(?:0|200|404 sandbox_not_found|409 .*|502 sandbox_unreachable|503 .*)$/,
    timeout => qr/^(?:0|200|404 sandbox_not_found|409 .*|501 not_implemented|503 .*)$/,
    delete => qr/^(?:0|200|503 .*)$/,
    hibernate => qr/^(?:0|200|404 sandbox_not_found|409 .*|503 .*|504 timeout)$/,
    resume => qr/^(?:0|201|404 sandbox_not_found|409 .*|503 .*)$/,
    fork => qr/^(?:0|201|404 sandbox_not_found|409 .*|503 .*|504 timeout)$/,
    snapshot => qr/^(?:0|201|404 sandbox_not_found|409 .*|503 .*|504 timeout)$/,
    'create of it' => qr/^(?:0|201|409 .*|503 .*)$/,
    'delete snapshot' => qr/^(?:0|200|409 .*|503 .*)$/,
);

# A worker's bounds: three descriptors for each connection to libvirt of the
# sample configuration's threads, and 64; memory it may gain.
use constant DESCRIPTORS => 3 * 38 + 64 + 40;
use constant MEMORY_KB => 65536;


sub new {
    my ($class, %o) = @_;

    return bless { %o, keys => {}, ids => {}, outcomes => {}, times => {},
                   broken => {}, done => 0, memory => {}, stall => undef },
        $class;
}


sub broken {
    my ($self, $invariant, $text) = @_;

    push @{ $self->{broken}{$invariant} }, $text;
    $self->{note}->("BROKEN: $invariant: $text");
}


sub created {
    my ($self, $l) = @_;
    my $k = $self->{keys}{ $l->{key} } //= {};

    $k->{answers}++;

    if (defined $k->{id} && $k->{id} ne $l->{id}) {
        $self->broken('one sandbox per key',
                      "key $l->{key} has $k->{id} and $l->{id}");
    } elsif (defined $k->{body} && $k->{body} ne $l->{body}) {
        $self->broken('equal answers', "key $l->{key} has two bodies");
    }

    my $other = $self->{ids}{ $l->{id} };
    $self->broken('one key per sandbox', "$l->{id}: keys $other, $l->{key}")
        if defined $other && $other ne $l->{key};

    @$k{qw(id body)} = @$l{qw(id body)};
    $self->{ids}{ $l->{id} } = $l->{key};
}


# One line of a client.
sub line {
    my ($self, $l) = @_;
    my $k = defined $l->{key} ? $self->{keys}{ $l->{key} } //= {} : {};

    if ($l->{failed}) {
        $self->broken('the driver works', $l->{failed});
    } elsif ($l->{begun}) {
        @$k{qw(fate racers)} = @$l{qw(fate racers)};
    } elsif ($l->{done}) {
        $k->{done} = 1;
        $self->{done}++;
    } elsif ($l->{gave_up}) {
        $self->broken('every request ends',
                      "key $l->{key}: $l->{op} has no good answer");
    } elsif (defined $l->{there}) {
        $self->broken('an answered sandbox exists',
                      "$l->{id} of key $l->{key}: GET says $l->{there}")
            if $l->{there} != 200 && ($k->{fate} // '') ne 'expire';
    } elsif (defined $l->{kept}) {
        push @{ $self->{kept} }, $l;
    } elsif (defined $l->{exec}) {
        $k->{dead} = $l->{id} if $l->{exec} != 200;
        $self->broken('an answered sandbox works',
                      "$l->{id} of key $l->{key} gives other output")
            if $l->{exec} == 200 && !$l->{right};
    } else {
        $self->outcome($l);
    }
}


sub outcome {
    my ($self, $l) = @_;
    my $word = $l->{status} . (defined $l->{code} ? " $l->{code}" : '');
    my $name = $l->{replayed} ? "$word, replayed"
             : !$l->{status} && $l->{hasty} ? 'hung up'
             : !$l->{status} ? 'cut off' : $word;

    $self->{outcomes}{ $l->{op} }{$name}++;
    push @{ $self->{times}{ $l->{op} } }, $l->{ms} if $l->{status};
    $self->{keys}{ $l->{key} }{unreachable}++ if $l->{status} == 502;
    $self->broken('answers of the contract', "key $l->{key}: $l->{op}: $word")
        if $word !~ $contract{ $l->{op} };
    $self->created($l) if $l->{op} eq 'create' && $l->{status} == 201;
}


# A sandbox whose guest cannot be reached, though nobody killed it.
sub check_dead {
    my ($self, $killed) = @_;

    for my $n (sort keys %{ $self->{keys} }) {
        my $k = $self->{keys}{$n};
        $self->broken('answers of the contract',
                      "key $n: 502 though its QEMU was not killed")
            if $k->{unreachable} && !$killed->{ $k->{id} // '' };
        next if !$k->{dead} || $killed->{ $k->{dead} }
                || ($k->{fate} // '') eq 'expire';
        $self->broken('an answered sandbox works',
                      "$k->{dead} of key $n runs no command");
    }
}


# What was copied or slept has what it had, unless its QEMU was killed.
sub check_kept {
    my ($self, $killed) = @_;

    for my $l (@{ $self->{kept} // [] }) {
        my $id = $self->{keys}{ $l->{key} }{id} // '';

        $self->{outcomes}{"kept by $l->{kept}"}{ $l->{right} ? 'whole'
            : $killed->{ $l->{id} } || $killed->{$id} ? 'killed' : 'lost' }++;
        $self->broken('what was copied is whole',
                      "$l->{id} of key $l->{key}, $l->{kept}: $l->{said}")
            if !$l->{right} && !$killed->{ $l->{id} } && !$killed->{$id};
    }
}


# Memory of workers, and the longest stalls; called now and then.
sub sample {
    my ($self, $stack, $metrics) = @_;

    for my $pid (eval { $stack->workers }) {
        my ($kb) = SandboxLeft::slurp("/proc/$pid/status")
                   =~ /^VmRSS:\s+(\d+)/m or next;
        my $m = $self->{memory}{$pid} //= { first => $kb };
        $m->{last} = $kb;
    }

    for ($metrics =~ /^sandbox_event_loop_stall_seconds_max\S* (\S+)$/mg) {
        $self->{stall} = $_ if !defined $self->{stall}
                               || $_ > $self->{stall};
    }
}


my $states = <<'END';
local out, cursor = {}, '0'
repeat
    local r = redis.call('SCAN', cursor, 'MATCH', '*:sandbox:*', 'COUNT', 500)
    cursor = r[1]
    for _, key in ipairs(r[2]) do
        local state = redis.call('HGET', key, 'state')
        if state and state ~= 'destroyed' then
            out[#out + 1] = key .. ' is ' .. state
        end
    end
until cursor == '0'
for _, kind in ipairs({'addresses', 'guests', 'agenda'}) do
    for _, key in ipairs(redis.call('KEYS', '*:' .. kind)) do
        out[#out + 1] = key
    end
end
return out
END

sub left {
    my ($self, $stack) = @_;

    return map { / is / ? "record $_" : "key $_" }
           split /\n/, $stack->redis('EVAL', $states, 0);
}


# Waits until nothing is left, for at most seconds; what is then broken.
sub check_stack {
    my ($self, $stack, $seconds) = @_;
    my $end = time() + $seconds;
    my $began = time();
    my (@left, @records);

    do {
        @records = eval { $self->left($stack) };
        @records = ("cannot look: $@") if $@;
        sleep 0.5 if @records;
    } while (@records && time() < $end);

    $self->{quiet} = time() - $began;
    @left = $stack->{left}->check;
    $self->broken('no state without an exit', $_) for @records;
    $self->broken('nothing is leaked', $_) for @left;

    my $now = $stack->{left}->descriptors;
    for my $pid (sort keys %$now) {
        $self->{descriptors} = $now->{$pid}
            if $now->{$pid} > ($self->{descriptors} // 0);
        $self->broken('nothing is leaked',
                      "worker $pid has $now->{$pid} descriptors")
            if $now->{$pid} > DESCRIPTORS;
    }

    for my $pid (sort keys %{ $self->{memory} }) {
        my $grown = $self->{memory}{$pid}{last} - $self->{memory}{$pid}{first};
        $self->{grown} = $grown if $grown > ($self->{grown} // 0);
        $self->broken('nothing is leaked', "worker $pid grew by $grown KB")
            if $grown > MEMORY_KB;
    }

    $self->broken('the log is clean', $_) for $stack->bad_log_lines;
}

1;
