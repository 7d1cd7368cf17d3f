package SandboxCrash;

# A build with crash points: which there are, arming them, and clients that
# repeat their requests until they have an answer.
#
#     my $t = SandboxTest->new(own => 1, up => ['--crash-points', ...]);
#     my $crash = SandboxCrash->new($t);
#     $crash->arm('create.commit.before', 'kill');
#     $crash->persist(201, 'POST', '/v1/sandboxes', body => '{}', idem => $key);
#     $crash->reached('create.commit.before');

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(sleep time);
use FindBin;
use SandboxHttp;
use SandboxLeft;
use SandboxTest ();

use constant PATIENCE => 60;


sub new {
    my ($class, $test) = @_;

    return bless { test => $test }, $class;
}


# name => how often, of all that stand in the sources.
sub points {
    my %points;

    for my $file (glob("$FindBin::Bin/../src/*/*.c")) {
        my $text = SandboxLeft::slurp($file);
        $points{$_}++ for $text =~ /SANDBOX_CRASH_POINT\("([^"]+)"\)/g;
    }

    return \%points;
}


sub file_of {
    my ($self, $point) = @_;

    return $self->{test}->dir . "/data/crash/$point";
}


# order: "kill" or "stop".
sub arm {
    my ($self, $point, $order) = @_;

    open(my $fh, '>', $self->file_of("$point.new")) or die "$point: $!";
    print $fh $order;
    close $fh;
    rename $self->file_of("$point.new"), $self->file_of($point)
        or die "$point: $!";
}


# Waits until somebody came there, which is a test.
sub reached {
    my ($self, $point) = @_;
    my $gone = SandboxTest::wait_for(PATIENCE,
                                     sub { !-e $self->file_of($point) });

    ok($gone, "$point is reached");
    unlink $self->file_of($point);
    return $gone;
}


# Whether a request with this answer, or none, is right to be repeated.
sub _again {
    my ($r) = @_;

    return $r->{status} == 0
        || (ref $r->{json} eq 'HASH' && $r->{json}{retryable});
}


# Sends a request, by a sub that begins one, until one of them comes to the
# point: on a busy host one may have to be given up before it is there.
sub reach {
    my ($self, $point, $begin) = @_;
    my $end = time() + PATIENCE;
    my $http = $begin->();

    while (-e $self->file_of($point) && time() < $end) {
        next unless defined $http->fill(time() + 0.05);
        last unless -e $self->file_of($point);
        my $r = $self->{test}->end($http);
        last unless _again($r);
        note("sent again after $r->{status} $r->{body}");
        sleep 0.1;
        $http = $begin->();
    }

    $self->reached($point);
    return $http;
}


sub _state_of {
    my ($pid) = @_;

    return SandboxLeft::slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) (\S)/s ? $1
                                                                        : '';
}


sub stopped_worker {
    my ($self) = @_;

    return SandboxTest::wait_for(10, sub {
        (grep { _state_of($_) eq 'T' } $self->{test}->workers)[0]
    });
}


# Repeats a request until it has the status, or one of several; the error codes
# on the way must say that repeating is right.
sub persist {
    my ($self, $wanted, $method, $path, %o) = @_;
    my %wanted = map { $_ => 1 } ref $wanted ? @$wanted : $wanted;
    my $end = time() + PATIENCE;
    my ($r, @odd, $done);

    do {
        $r = $self->{test}->request($method, $path, timeout => PATIENCE, %o);
        my $again = _again($r);
        $done = $wanted{$r->{status}} && !$again;
        push @odd, "$r->{status} $r->{body}" unless $done || $again;
        sleep 0.1 unless $done;
    } until ($done || time() > $end);

    ok($done, "$method is answered in the end")
        or diag("$r->{status} $r->{body}");
    is_deeply(\@odd, [], 'no answer forbids a retry');
    return $r;
}


# The ids that a GET lists, in order, as a client that repeats it learns them.
sub ids {
    my ($self, $path) = @_;
    my $list = $self->persist(200, 'GET', $path)->{json};

    return [sort map { $_->{id} } ref $list eq 'ARRAY' ? @$list : ()];
}


# What there is, as a list of kinds and ids.
sub there_is {
    my ($self) = @_;
    my $t = $self->{test};
    my $list = $t->get('/v1/sandboxes');
    return ['no list'] if $list->{status} != 200;

    my $dir = $t->dir;
    my @files = map { m{([^/.]+)[^/]*$} ? $1 : () }
                glob("\Q$dir\E/data/disks/sb_*");
    my ($node) = $t->redis('KEYS', '*:addresses') =~ /^(\S*):addresses$/m;
    my @guests = $node ? split /\n/, $t->redis('HKEYS', "$node:guests") : ();
    my @agenda = $node
        ? split /\n/, $t->redis('ZRANGE', "$node:agenda", 0, -1) : ();

    return [sort map({ "listed $_->{id}" } @{ $list->{json} }),
            map({ "domain $_" } $t->domains), map({ "disk $_" } @files),
            map({ "address $_" } @guests), map({ "agenda $_" } @agenda)];
}


# That there is this sandbox, which has no machine, and nothing of another.
sub only_listed {
    my ($self, $name, $id) = @_;
    my $have;

    SandboxTest::wait_for(PATIENCE, sub {
        $have = $self->there_is;
        "@$have" eq "listed $id";
    });
    is_deeply($have, ["listed $id"], $name);
}


# That there are these running sandboxes, and no part of another.
sub only {
    my ($self, $name, @ids) = @_;
    my $wanted = [sort map { my $id = $_; map { "$_ $id" }
                             qw(address agenda disk domain listed) } @ids];
    my $have;

    SandboxTest::wait_for(PATIENCE, sub {
        $have = $self->there_is;
        "@$have" eq "@$wanted";
    });
    is_deeply($have, $wanted, $name);
}


# A sandbox that remembers a word, in memory and on its disk.
sub made {
    my ($self, %o) = @_;
    my $t = $self->{test};
    my $s = $t->create({ memory_mb => 128, timeout_ms => 3_600_000, %o });

    is($t->exec($s, 'echo word > /dev/shm/a; echo word > /root/b; sync')
         ->{exit_code}, 0, 'it has something to lose');
    return $s;
}


sub remembers {
    my ($self, $id, $name) = @_;

    is($self->{test}->exec($id, 'cat /dev/shm/a /root/b')->{stdout},
       "word\nword\n", $name);
}


sub gone {
    my ($self, $id) = @_;

    $self->persist(200, 'DELETE', "/v1/sandboxes/$id");
    $self->only('and nothing is left');
}

1;
