package SandboxHttp;

# HTTP/1.1 and WebSocket over a plain socket, with nothing in between: a test
# can send what no client library would.  Knows no stack and no sandbox.

use strict;
use warnings;
use Carp qw(croak);
use Errno qw(EINTR EAGAIN);
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(time);

use constant TIMEOUT => 60;


# SandboxHttp->new($url or "host:port"[, timeout])
sub new {
    my ($class, $where, $timeout) = @_;

    $where =~ s{^http://}{};
    $where =~ s{/.*$}{};

    my $socket = IO::Socket::INET->new(PeerAddr => $where, Proto => 'tcp',
                                       Timeout => 10)
        or croak "cannot connect to $where: $!";
    binmode $socket;
    $socket->blocking(0);

    return bless {
        socket => $socket, where => $where, in => '',
        timeout => $timeout // TIMEOUT,
    }, $class;
}


sub socket { return $_[0]{socket} }


sub close {
    my ($self) = @_;

    close $self->{socket} if $self->{socket};
    delete $self->{socket};
}


# Ends the connection with a reset, as a client that dies does.
sub abort {
    my ($self) = @_;

    setsockopt($self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    $self->close;
}


sub _wait {
    my ($self, $write, $end) = @_;
    my ($bits, $r, $w) = '';

    vec($bits, fileno($self->{socket}), 1) = 1;
    my $left = $end - time();
    return 0 if $left <= 0;
    select($r = $write ? undef : $bits, $w = $write ? $bits : undef, undef,
           $left);
    return 1;
}


# Sends bytes as they are; 0 if the peer takes no more.
sub send {
    my ($self, $data) = @_;
    my $end = time() + $self->{timeout};

    local $SIG{PIPE} = 'IGNORE';

    while (length $data) {
        my $n = syswrite($self->{socket}, $data);

        if (defined $n) {
            substr($data, 0, $n) = '';
        } elsif ($! != EINTR && $! != EAGAIN) {
            return 0;
        } elsif (!$self->_wait(1, $end)) {
            return 0;
        }
    }

    return 1;
}


# More bytes into the buffer: their number, 0 at the end, undef when the time
# is over.
sub fill {
    my ($self, $end) = @_;

    for (;;) {
        my $n = sysread($self->{socket}, $self->{in}, 65536,
                        length $self->{in});
        return $n if defined $n;
        return 0 if $! != EINTR && $! != EAGAIN;
        return unless $self->_wait(0, $end);
    }
}


# Reads until the pattern matches and takes it off the buffer.
sub read_match {
    my ($self, $pattern, $timeout) = @_;
    my $end = time() + ($timeout // $self->{timeout});

    for (;;) {
        return $1 if $self->{in} =~ s/\A($pattern)//s;
        return unless $self->fill($end);
    }
}


sub read_bytes {
    my ($self, $n, $timeout) = @_;
    my $end = time() + ($timeout // $self->{timeout});

    while (length $self->{in} < $n) {
        return unless $self->fill($end);
    }

    return substr($self->{in}, 0, $n, '');
}


# Whether the peer has closed, with nothing more to say.
sub closed {
    my ($self, $timeout) = @_;
    my $n = $self->fill(time() + ($timeout // 5));

    return defined $n && $n == 0 && $self->{in} eq '';
}


# The text of a request.  headers: array of name, value pairs, sent in order;
# Host and Content-Length are added unless they are in it.
sub format_request {
    my ($self, $method, $path, $headers, $body) = @_;
    my @headers = @{ $headers // [] };
    my %have;

    for (my $i = 0; $i < @headers; $i += 2) {
        $have{lc $headers[$i]} = 1;
    }

    unshift @headers, Host => $self->{where} unless $have{host};

    if (defined $body && !$have{'content-length'}
        && !$have{'transfer-encoding'}) {
        push @headers, 'Content-Length' => length $body;
    }

    my $text = "$method $path HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    return "$text\r\n" . ($body // '');
}


# Status line and headers: { status, headers (lower case; several of one name
# joined by ", "), all => [[name, value]...] }, or undef.
sub read_head {
    my ($self, $timeout) = @_;
    my $head = $self->read_match(qr/.*?\r\n\r\n/s, $timeout) // return;
    my ($first, @lines) = split /\r\n/, $head;
    my ($status) = $first =~ m{^HTTP/1\.[01] ([0-9]{3})} or return;
    my (%headers, @all);

    for (@lines) {
        my ($name, $value) = /^([^:]+):[ \t]*(.*)$/ or next;
        push @all, [$name, $value];
        $name = lc $name;
        $headers{$name} = exists $headers{$name}
            ? "$headers{$name}, $value" : $value;
    }

    return { status => $status + 0, headers => \%headers, all => \@all };
}


sub _read_chunked {
    my ($self, $timeout) = @_;
    my $body = '';

    for (;;) {
        my $line = $self->read_match(qr/[0-9a-fA-F]+[^\r\n]*\r\n/, $timeout)
            // return ($body, 0);
        my ($size) = $line =~ /^([0-9a-fA-F]+)/;
        my $chunk = $self->read_bytes(hex($size) + 2, $timeout)
            // return ($body, 0);
        return ($body, 1) if hex($size) == 0;
        $body .= substr($chunk, 0, -2);
    }
}


# A whole response; complete is 0 if it was cut off.  head: after HEAD.
sub read_response {
    my ($self, %o) = @_;
    my $r = $self->read_head($o{timeout}) // return;

    $r = $self->read_head($o{timeout}) // return while $r->{status} == 100;

    my $h = $r->{headers};
    @$r{qw(body complete)} = ('', 1);

    if ($o{head} || $r->{status} == 204 || $r->{status} == 304
        || $r->{status} == 101) {
        return $r;
    }

    if (($h->{'transfer-encoding'} // '') =~ /chunked/) {
        @$r{qw(body complete)} = $self->_read_chunked($o{timeout});

    } elsif (defined $h->{'content-length'}) {
        my $n = $h->{'content-length'};
        my $body = $self->read_bytes($n, $o{timeout});
        @$r{qw(body complete)} = defined $body ? ($body, 1)
                                               : ($self->{in}, 0);

    } else {
        my $end = time() + ($o{timeout} // $self->{timeout});
        1 while $self->fill($end);
        @$r{qw(body complete)} = ($self->{in}, 1);
        $self->{in} = '';
    }

    return $r;
}


sub request {
    my ($self, $method, $path, $headers, $body, %o) = @_;

    $self->send($self->format_request($method, $path, $headers, $body));
    return $self->read_response(%o, head => $method eq 'HEAD');
}


# --- WebSocket, the client's side -------------------------------------------

# Upgrades; the head of the answer.
sub ws_open {
    my ($self, $path, $headers) = @_;
    my $key = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');

    $self->send($self->format_request('GET', $path, [
        @{ $headers // [] }, Upgrade => 'websocket', Connection => 'Upgrade',
        'Sec-WebSocket-Version' => 13, 'Sec-WebSocket-Key' => $key,
    ]));
    return $self->read_response;
}


# A masked frame.  opcode: 1 text, 2 binary, 8 close, 9 ping, 10 pong.
sub ws_send {
    my ($self, $payload, $opcode, %o) = @_;
    my $mask = pack 'N', int rand 2**32;
    my $n = length $payload;
    my $head = pack 'C', (($o{fin} // 1) ? 0x80 : 0) | ($opcode // 1);

    $head .= $n < 126 ? pack('C', 0x80 | $n)
           : $n < 65536 ? pack('Cn', 0x80 | 126, $n)
           : pack('CQ>', 0x80 | 127, $n);
    my $pad = substr($mask x (int($n / 4) + 1), 0, $n);

    return $self->send($head . $mask . ($payload ^ $pad));
}


# The next frame as (opcode, payload); nothing at the end.
sub ws_read {
    my ($self, $timeout) = @_;
    my $head = $self->read_bytes(2, $timeout) // return;
    my ($first, $n) = unpack 'CC', $head;

    if (($n & 0x7f) == 126) {
        $n = unpack 'n', $self->read_bytes(2, $timeout) // return;
    } elsif (($n & 0x7f) == 127) {
        $n = unpack 'Q>', $self->read_bytes(8, $timeout) // return;
    }

    my $payload = $n ? $self->read_bytes($n, $timeout) // return : '';
    return ($first & 0x0f, $payload);
}

1;
