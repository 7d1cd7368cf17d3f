#!/usr/bin/perl
#
# scripts/host-network: what its rules let through and what not.  A host, two
# guests and an outside, each a network namespace of this file, joined by
# veth pairs as guests are by taps.

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use Test::More;

my $script = dirname(dirname(abs_path(__FILE__))) . '/scripts/host-network';
my %space;                              # name => process that holds it

$> == 0 or plan(skip_all => 'needs root, for namespaces');

# This process is the host.
if (!$ENV{HOST_NETWORK_INSIDE}) {
    $ENV{HOST_NETWORK_INSIDE} = 1;
    exec('unshare', '--net', '--mount', '--propagation', 'private',
         $^X, $0) or die "unshare: $!";
}

END {
    my $status = $?;
    kill 'KILL', values %space;
    waitpid $_, 0 for values %space;
    $? = $status;
}


sub command {
    my ($text) = @_;

    my $out = `$text 2>&1`;
    return ($? >> 8, $out);
}


sub must {
    my ($text) = @_;
    my ($rc, $out) = command($text);

    $rc == 0 or BAIL_OUT("$text: $out");
    return $out;
}


sub make_space {
    my ($name) = @_;
    my $ours = readlink '/proc/self/ns/net';
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        exec('unshare', '--net', 'sleep', '600') or POSIX::_exit(127);
    }

    $space{$name} = $pid;
    for (1 .. 500) {
        last if (readlink("/proc/$pid/ns/net") // '') ne $ours;
        select(undef, undef, undef, 0.01);
    }
    must("nsenter -t $pid -n ip link set dev lo up");
}


# Runs Perl code in a namespace; its exit code.
sub inside {
    my ($name, $code) = @_;
    my @enter = $name eq 'host' ? () : ('nsenter', '-t', $space{$name}, '-n');

    return system(@enter, $^X, '-MIO::Socket::INET', '-e', $code) >> 8;
}


# A connection from one to an address where another listens; the client's
# address as the server sees it, or ''.
sub connects {
    my ($from, $to, $address, $options) = @_;

    pipe(my $out, my $in) or die "pipe: $!";
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        open(STDOUT, '>&', $in);
        inside($to, '$| = 1; $s = IO::Socket::INET->new(LocalPort => 5555, '
               . 'Listen => 1, ReuseAddr => 1) or exit 1; print "up\n"; '
               . 'alarm 1; $c = $s->accept and print $c->peerhost, "\n"');
        POSIX::_exit(0);
    }

    close $in;
    <$out>;
    inside($from, "exit !IO::Socket::INET->new(PeerAddr => '$address', "
           . 'PeerPort => 5555, Timeout => 0.5, ' . ($options // '') . ')');
    my $peer = <$out> // '';
    waitpid $pid, 0;
    chomp $peer;

    return $peer;
}


sub pings {
    my ($from, $address) = @_;

    return inside($from, 'use Net::Ping; exit !Net::Ping->new("icmp", 1)'
                  . "->ping('$address')") == 0;
}


# --- usage -----------------------------------------------------------------

my %refused = (
    'up --subnet 10.1.2.3/24' => 'has bits set behind its prefix',
    'up --subnet 10.1.2.0/31' => 'between /8 and /30',
    'up --subnet 10.1.2.300/24' => 'is no subnet',
    'up --bridge sbx0123456789abc' => 'is no interface name',
    'up down' => 'two commands',
    'frob' => 'unknown argument',
    '' => 'no command',
    'up --subnet' => 'needs a value',
    'up --deny 192.0.2.0/24,x' => '"x" of --deny is no IPv4 address or block',
    'up --dns 192.0.2.0/24' => 'of --dns is no IPv4 address',
);

for my $args (sort keys %refused) {
    my ($rc, $out) = command("$script $args");
    is($rc, 2, "\"$args\" is refused");
    like($out, qr/^host-network: .*\Q$refused{$args}\E.*\n\z/, 'in a sentence');
}

# --- up, status, down ------------------------------------------------------

must('mount -t sysfs sysfs /sys');      # this namespace's interfaces
must('ip link set dev lo up');

is((command("$script status"))[0], 1, 'status before');
must("$script up");
is((command("$script status"))[0], 0, 'status after');

my $before = must('ip -o address; nft list ruleset');
must("$script up");
is(must('ip -o address; nft list ruleset'), $before, 'up twice is up once');

my ($rc, $out) = command("$script up --subnet 10.99.0.0/24");
is($rc, 1, 'another subnet for the same bridge is refused');
like($out, qr/has another address than 10\.99\.0\.1\/24/, 'in a sentence');

# An address of the host's that is not understood leaves no hole.
{
    my $dir = tempdir(CLEANUP => 1);
    my ($ip) = grep { -x } map { "$_/ip" } split /:/, $ENV{PATH};

    open(my $fh, '>', "$dir/ip") or BAIL_OUT("$dir/ip: $!");
    print $fh "#!/bin/sh\ncase \"\$*\" in *'scope link'*) echo 192.0.2 dev x ;;"
              . " *) exec $ip \"\$@\" ;; esac\n";
    close $fh;
    chmod 0755, "$dir/ip";

    my ($rc, $out) = command("PATH=$dir:\$PATH $script up");
    isnt($rc, 0, 'up fails if the host has an address that nft would not take');
    like($out, qr/"192\.0\.2" of --deny is no IPv4 address/, 'in a sentence');
    is(must('ip -o address; nft list ruleset'), $before,
       'up that fails leaves the rules as they are');
}

# --- packets ---------------------------------------------------------------

make_space($_) for qw(a b outside);

for my $guest (['a', 2], ['b', 3]) {
    my ($name, $n) = @$guest;

    my $tap = "sbx0a58000$n";
    my $mac = "02:5b:0a:58:00:0$n";

    must("ip link add $tap type veth peer name eth0 address $mac "
         . "netns $space{$name}");
    must("ip link set dev $tap master sbx0 up");
    must("bridge link set dev $tap isolated on");
    must("nft add element bridge sandbox_taps guests "
         . "'{ \"$tap\" . $mac . 10.88.0.$n }'") if $n == 2;
    must("nft add element inet sandbox_sbx0 online '{ 10.88.0.$n }'");
    must("nsenter -t $space{$name} -n sh -c 'ip address add 10.88.0.$n/16 "
         . 'dev eth0; ip link set dev eth0 up; '
         . "ip route add default via 10.88.0.1'");
}

must("ip link add vo type veth peer name eth0 netns $space{outside}");
must('ip address add 192.0.2.1/24 dev vo; ip link set dev vo up');
must("nsenter -t $space{outside} -n sh -c 'ip address add 192.0.2.2/24 "
     . 'dev eth0; ip link set dev eth0 up; '
     . "ip route add 10.88.0.0/16 via 192.0.2.1'");

is(connects('host', 'b', '10.88.0.3'), '',
   'who is in no set is not reached, not even by the host');
ok(!pings('b', '10.88.0.1'), 'and reaches nobody');
must("nft add element bridge sandbox_taps guests "
     . "'{ \"sbx0a580003\" . 02:5b:0a:58:00:03 . 10.88.0.3 }'");
must("nsenter -t $space{b} -n ip neigh flush all");  # failed ones
must('ip neigh flush dev sbx0');
ok(pings('b', '10.88.0.1'), 'but when it is in one');

is(connects('host', 'a', '10.88.0.2'), '10.88.0.1', 'the host reaches a guest');
is(connects('a', 'host', '10.88.0.1'), '', 'a guest reaches no port of the host');
is(connects('a', 'host', '192.0.2.1'), '', 'by no address of it');
ok(pings('a', '10.88.0.1'), 'it may ping the gateway');
ok(!pings('a', '192.0.2.1'), 'but no other address of the host');
is(connects('a', 'b', '10.88.0.3'), '', 'a guest does not reach another');
is(connects('a', 'outside', '192.0.2.2'), '192.0.2.1',
   'a guest goes out, masqueraded');
is(connects('outside', 'a', '10.88.0.2'), '', 'and is not reached from there');

must("nsenter -t $space{a} -n ip route add 10.88.0.3/32 via 10.88.0.1");
is(connects('a', 'b', '10.88.0.3'), '', 'nor through the gateway');

must("nsenter -t $space{a} -n ip address add 198.51.100.9/32 dev eth0");
must('ip route add 198.51.100.9/32 dev sbx0');
must("nsenter -t $space{outside} -n ip route add 198.51.100.9/32 "
     . 'via 192.0.2.1');
is(connects('a', 'outside', '192.0.2.2', "LocalAddr => '198.51.100.9'"), '',
   'nor does it go out under another address');

# --- frames to the bridge itself -------------------------------------------------

# Sends one from a guest as it is.
sub send_frame {
    my ($from, $frame) = @_;

    my ($index) = must("nsenter -t $space{$from} -n ip -o link show dev eth0")
                  =~ /^(\d+):/;

    is(inside($from, 'socket(my $s, 17, 3, 0) or exit 1;'
              . "my \$frame = pack 'H*', '" . unpack('H*', $frame) . "';"
              . "send(\$s, \$frame, 0, pack('SnlSCCa8', 17, 0, $index, 0, 0, 6,"
              . 'substr($frame, 0, 6))) or exit 2'), 0, 'a frame is sent');
}


sub datagram {
    my ($to, $from_mac, $from, $text) = @_;
    my $udp = pack('nnnn', 5556, 5556, 8 + length $text, 0) . $text;
    my $ip = pack('CCnnnCCn', 0x45, 0, 20 + length $udp, 7, 0, 64, 17, 0)
             . $from->[0] . $from->[1];
    my $sum = 0;

    $sum += $_ for unpack 'n*', $ip;
    $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
    substr($ip, 10, 2) = pack 'n', ~$sum & 0xffff;

    return pack('H12 H12 n', $to, $from_mac, 0x0800) . $ip . $udp;
}


sub address { pack 'C4', split /\./, $_[0] }


# The port of the bridge that a MAC address is said to be at.
sub port_of {
    my ($mac) = @_;

    return must('bridge fdb show br sbx0')
           =~ /^$mac dev (\S+) master sbx0 *$/m ? $1 : '';
}


ok(pings('b', '10.88.0.1'), 'the bridge has heard of b');
is(port_of('02:5b:0a:58:00:03'), 'sbx0a580003', 'at its port');

for my $last ('00', '02', '03', '0e', '0f') {
    my $udp = IO::Socket::INET->new(Proto => 'udp', LocalPort => 5556,
                                    ReuseAddr => 1) or BAIL_OUT("udp: $!");

    for my $source ('025b0a580002', '025b0a580003') {
        for my $to ('10.88.0.1', '192.0.2.1') {
            send_frame('a', datagram("0180c20000$last", $source,
                                     [address('10.88.0.2'), address($to)],
                                     'marker'));
        }
    }

    my $ready = '';
    vec($ready, fileno $udp, 1) = 1;
    is(select($ready, undef, undef, 0.2), 0,
       "the host gets nothing that is sent to 01:80:c2:00:00:$last");
    is(port_of('02:5b:0a:58:00:03'), 'sbx0a580003',
       'and nobody takes the place of another');
}

# --- policies ----------------------------------------------------------------

# The answer of a policy, as elements of sets, to "may a reach 192.0.2.2?"
sub with {
    my (%sets) = @_;

    must("nft add element inet sandbox_sbx0 $_ '{ $sets{$_} }'")
        for sort keys %sets;
    my $peer = connects('a', 'outside', '192.0.2.2');
    must("nft delete element inet sandbox_sbx0 $_ '{ $sets{$_} }'")
        for sort keys %sets;

    return $peer ne '' ? 1 : 0;
}

is(with(deny_out => '10.88.0.2 . 192.0.2.0/24'), 0, 'denied');
is(with(deny_out => '10.88.0.2 . 192.0.2.128/25'), 1, 'another block denied');
is(with(deny_out => '10.88.0.3 . 192.0.2.0/24'), 1, 'denied to another guest');
is(with(limited => '10.88.0.2'), 0, 'nothing allowed');
is(with(limited => '10.88.0.2', allow_out => '10.88.0.2 . 192.0.2.2'), 1,
   'allowed');
is(with(limited => '10.88.0.2', allow_out => '10.88.0.2 . 192.0.2.3'), 0,
   'another one allowed');
is(with(limited => '10.88.0.2', allow_out => '10.88.0.2 . 0.0.0.0/0',
        deny_out => '10.88.0.2 . 192.0.2.2'), 0, 'allowed and denied');

must("$script up");
is(connects('a', 'outside', '192.0.2.2'), '',
   'when it comes up again, what the host is attached to is out of reach');
must("$script up --allow 192.0.2.2");
is(connects('a', 'outside', '192.0.2.2'), '192.0.2.1', 'unless it is allowed');
must("$script up --deny 198.51.100.0/24");
must("nsenter -t $space{outside} -n ip address add 198.51.100.7/32 dev eth0");
must('ip route add 198.51.100.7/32 via 192.0.2.2');
is(connects('a', 'outside', '198.51.100.7'), '', 'or more is denied');
must("$script up");
is(connects('a', 'outside', '198.51.100.7'), '192.0.2.1', 'and not otherwise');

# --- room ------------------------------------------------------------------------

# How many connections of a guest the host has in its table.
sub tracked {
    my ($protocol) = @_;

    return scalar grep { /\b$protocol\b.* src=10\.88\.0\.2 / } split /\n/,
                       must('cat /proc/net/nf_conntrack');
}


must("$script up --flows 20 --allow 192.0.2.2");
is(inside('a', 'for my $n (1 .. 200) { my $s = IO::Socket::INET->new(Proto => '
          . '"udp", PeerAddr => "192.0.2.2", PeerPort => 1000 + $n) or exit 1; '
          . 'send($s, "x", 0) }'), 0, 'many datagrams are sent');
cmp_ok(tracked('udp'), '>=', 10, 'some of them make connections');
cmp_ok(tracked('udp'), '<=', 21, 'and no guest fills the table of the host');
is(connects('b', 'outside', '192.0.2.2'), '192.0.2.1',
   'nor takes the room of another');

must("$script up --flows 20");          # begins to count anew
is(inside('a', 'socket(my $s, 2, 3, 1) or exit 1;'
          . 'my $to = sockaddr_in(0, inet_aton("10.88.0.1"));'
          . 'for my $id (1 .. 5000) { my $sum = 0x800 + $id;'
          . 'send($s, pack("CCnnn", 8, 0, ~$sum & 0xffff, $id, 0), 0, $to) }'), 0,
   'many pings are sent to the gateway, each with an id of its own');
cmp_ok(tracked('icmp'), '>=', 10, 'some of them are answered');
cmp_ok(tracked('icmp'), '<=', 21, 'and they do not fill the table either');
ok(pings('b', '10.88.0.1'), 'while another one pings');
must("$script up --flows 20");
ok(pings('a', '10.88.0.1'), 'as the first one may when it has room');

# --- a bridge that is down ---------------------------------------------------

must('ip route add default via 192.0.2.2');
must('ip link set dev sbx0 down');
like((command('ip route get 10.88.0.2'))[1], qr/No route to host|unreachable/,
     'what is for guests goes out nowhere');
is((command("$script status"))[0], 1, 'status tells');
must("$script up");
is((command("$script status"))[0], 0, 'until it is up again');
like(must('ip route get 10.88.0.2'), qr/dev sbx0/, 'with its route');

# --- down ------------------------------------------------------------------

($rc, $out) = command("$script down");
is($rc, 1, 'down is refused while guests are attached');
like($out, qr/"sbx0" has 2 guests attached/, 'in a sentence');

must('nft add table inet other');
must("$script down --force");
is(must('nft list tables'), "table inet other\n", 'down leaves other tables');
is((command('ip link show dev sbx0'))[0], 1, 'and no bridge');
unlike(must('ip route'), qr/unreachable/, 'nor a route');
must("$script down");

done_testing();
