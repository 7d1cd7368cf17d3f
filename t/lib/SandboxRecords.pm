package SandboxRecords;

# Records of sandboxes that never ran, put into Redis by hand: what a test or
# a benchmark needs many of.  Speaks to Redis' socket, without redis-cli.
#
#     my $records = SandboxRecords->new($socket, 'acme');
#     my $id = $records->add(created_at => 1e12, metadata => '{"n":1}');
#     $records->flush;                                # written by now
#     $records->clear;                                # and gone

use strict;
use warnings;
use Carp qw(croak);
use IO::Socket::UNIX;

use constant PREFIX => 'sbx:';
use constant WINDOW => 1000;            # commands without a read

my @base32 = ('a' .. 'z', 2 .. 7);


sub new {
    my ($class, $path, $tenant) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $path)
        or croak "cannot connect to $path: $!";

    return bless {
        socket => $socket, tenant => $tenant, shard => shard($tenant),
        out => [], serial => 0, ids => [],
    }, $class;
}


# The same digest as sandbox_id_shard().
sub shard {
    my ($tenant) = @_;
    my $hash = 2166136261;

    $hash = (($hash ^ ord) * 16777619) & 0xffffffff for split //, $tenant;
    return join '', map { $base32[($hash >> ($_ * 5 + 10)) & 31] } 0, 1;
}


# The nth id of the tenant; they sort as their numbers do.
sub id {
    my ($self, $n) = @_;
    my $text = '';

    # digits sort before letters
    for (1 .. 18) {
        $text = ('a' .. 'z')[$n % 26] . $text;
        $n = int($n / 26);
    }

    return "sb_$self->{shard}$text";
}


sub key {
    my ($self, $kind, $name) = @_;

    return PREFIX . "{$self->{shard}}:$kind:$name";
}


sub index { return $_[0]->key('tenant', $_[0]{tenant}) }


# One reply.
sub _reply {
    my ($self) = @_;
    my $line = readline($self->{socket}) // croak 'Redis went away';
    my ($type, $text) = $line =~ /^(.)(.*)\r\n$/s or croak "odd reply: $line";

    croak "Redis: $text" if $type eq '-';
    return $text if $type eq '+' || $type eq ':';
    return if $text == -1;

    if ($type eq '*') {
        return [map { scalar $self->_reply } 1 .. $text];
    }

    read($self->{socket}, my $data, $text + 2);
    return substr($data, 0, -2);
}


sub _send {
    my ($self, @commands) = @_;
    my $text = '';

    for my $command (@commands) {
        $text .= '*' . @$command . "\r\n";
        $text .= '$' . length($_) . "\r\n$_\r\n" for @$command;
    }

    my $socket = $self->{socket};
    print {$socket} $text;
    $socket->flush;
}


# Runs one command, after what is pending: its reply.
sub command {
    my ($self, @command) = @_;

    $self->flush;
    $self->_send(\@command);
    return scalar $self->_reply;
}


# Adds a command whose reply does not matter.
sub later {
    my ($self, @command) = @_;

    push @{ $self->{out} }, \@command;
    $self->flush if @{ $self->{out} } >= WINDOW;
}


sub flush {
    my ($self) = @_;
    my @out = splice @{ $self->{out} };

    $self->_send(@out) if @out;
    $self->_reply for @out;
}


# Adds a record, running unless it says otherwise: its id.
sub add {
    my ($self, %o) = @_;
    my $id = delete $o{id} // $self->id(++$self->{serial});
    my $index = $self->index;
    my %record = (
        state => 'running', tenant => $self->{tenant}, template => 'base',
        vcpus => 1, memory_mb => 128, disk_mb => 2048, fence => 1,
        created_at => 1.7e12, started_at => 1.7e12, timeout_ms => 3600000,
        timeout_at => 4e12, timeout_action => 'destroy', metadata => '{}',
        address => 0, execution => '0' x 16, agent_token => 'x' x 32,
        traffic_sha256 => '0' x 64, public_traffic => 1, %o,
    );

    $index .= ':destroyed' if $record{state} eq 'destroyed';
    $self->later('HSET', $self->key('sandbox', $id), %record);
    $self->later('ZADD', $index, $record{created_at}, $id);
    push @{ $self->{ids} }, $id;

    return $id;
}


# Takes a record away, as if it had never been.
sub remove {
    my ($self, @ids) = @_;

    for my $id (@ids) {
        $self->later('DEL', $self->key('sandbox', $id));
        $self->later('ZREM', $self->index . $_, $id) for '', ':destroyed';
    }

    $self->flush;
}


sub clear {
    my ($self) = @_;

    $self->remove(splice @{ $self->{ids} });
}

1;
