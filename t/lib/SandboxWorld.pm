package SandboxWorld;

# Somewhere to go for the guests of a stack, whose own network leads nowhere: a
# network namespace joined to the stack's by a veth pair, with addresses of
# several kinds.  TCP port 80 and UDP port 53 answer on all of them.
#
#     my $world = SandboxWorld->new($t);
#     my $reached = $world->reached($sandbox, '192.0.2.10', 'udp:9.9.9.9');
#     ok($reached->{'192.0.2.10'}, 'the web is there');
#
# It ends with its object.

use strict;
use warnings;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep);

use SandboxStack qw(run_command);

# What the stack itself is known by there, and its router's address.
use constant HERE => '203.0.113.1';
use constant ROUTER => '203.0.113.2';

# The web, a resolver, a private network and the address for metadata.
our @addresses = qw(192.0.2.10 192.0.2.20 198.51.100.10 9.9.9.9 10.9.9.9
                    169.254.169.254);

my $server = <<'END';
$SIG{PIPE} = 'IGNORE';
# one for each address, so that answers come from where they were asked
%udp = map { $_ => 1 } @udp = map {
    IO::Socket::INET->new(LocalAddr => $_, LocalPort => 53, Proto => 'udp')
        or exit 1
} @ARGV;
$tcp = IO::Socket::INET->new(LocalPort => 80, Listen => 64, ReuseAddr => 1)
    or exit 1;
$s = IO::Select->new(@udp, $tcp);
for (;;) {
    for $h ($s->can_read(0.1)) {
        if ($udp{$h}) {
            $h->send("pong") if $h->recv($x, 1500);
        } elsif ($h == $tcp) {
            $c = $tcp->accept or next;
            $c->blocking(0);
            $s->add($c);
            push @c, $c;
        } elsif (!sysread $h, $x, 1500 and !$!{EAGAIN}) {
            $s->remove($h);
            @c = grep { $_ != $h } @c;
            close $h;
        }
    }
    $! = 0;
    syswrite $_, "tick\n" for @c;
}
END


sub new {
    my ($class, $t) = @_;
    my $init = $t->init;
    my $self = bless { t => $t, init => $init, pids => [], own => $$ }, $class;

    my $space = $self->_spawn(qw(unshare --net sleep 3600));
    my $ours = readlink '/proc/self/ns/net';
    for (1 .. 500) {
        last if (readlink("/proc/$space/ns/net") // $ours) ne $ours;
        sleep 0.01;
    }

    $self->{space} = $space;
    my $there = "nsenter -t $space -n";
    my $here = "nsenter -t $init -n";

    _must("$here ip link add world type veth peer name eth0 netns $space");
    _must("$here ip address add " . HERE . '/30 dev world');
    _must("$here ip link set dev world up");
    _must("$there ip link set dev lo up");
    _must("$there ip address add " . ROUTER . '/30 dev eth0');
    _must("$there ip link set dev eth0 up");
    _must("$there ip address add $_/32 dev lo") for @addresses;
    _must("$here ip route add default via " . ROUTER);
    _must("$there ip route add default via " . HERE);

    $self->_spawn('nsenter', '-t', $space, '-n', $^X, '-MIO::Socket::INET',
                  '-MIO::Select', '-MErrno', '-e', $server, @addresses);
    for (1 .. 500) {
        last if `$there cat /proc/net/tcp` =~ /:0050 00000000:0000 0A/;
        sleep 0.01;
    }

    return $self;
}


sub _must {
    my ($command) = @_;
    my ($rc, $text) = run_command(split ' ', $command);

    $rc == 0 or die "$command: $text";
}


sub _spawn {
    my ($self, @command) = @_;
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    push @{ $self->{pids} }, $pid;
    return $pid;
}


# Which of these a sandbox can reach, all tried at once: "ADDRESS" (port 80),
# "ADDRESS:PORT" or "udp:ADDRESS" (port 53) => 1 or 0.
sub reached {
    my ($self, $sandbox, @targets) = @_;
    my $list = JSON::PP->new->encode(\@targets);
    my $r = $self->{t}->exec($sandbox, ['python3', '-c', <<'END', $list]);
import json, socket, sys, threading
reached = {}
def udp(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.sendto(b'ping', (address, 53))
    return s.recv(9) == b'pong'
def tcp(address, port='80'):
    socket.create_connection((address, int(port)), 1).close()
    return True
def look(target):
    try:
        ok = (udp(target[4:]) if target.startswith('udp:')
              else tcp(*target.split(':')))
    except OSError:
        ok = False
    reached[target] = int(ok)
threads = [threading.Thread(target=look, args=[t])
           for t in json.loads(sys.argv[1])]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(reached))
END

    return eval { JSON::PP->new->decode($r->{stdout}) }
           // { map { $_ => "$r->{stdout}$r->{stderr}" } @targets };
}


# As a list of those that were reached, for is_deeply.
sub reaches {
    my ($self, $sandbox, @targets) = @_;
    my $reached = $self->reached($sandbox, @targets);

    return [grep { $reached->{$_} } @targets];
}


sub DESTROY {
    my ($self) = @_;

    return if $$ != $self->{own};
    local ($@, $?, $!);
    # the kernel takes its time with namespaces
    run_command(qw(nsenter -t), $self->{init}, qw(-n ip link delete world));
    kill 'KILL', @{ $self->{pids} };
    waitpid $_, 0 for @{ $self->{pids} };
}

1;
