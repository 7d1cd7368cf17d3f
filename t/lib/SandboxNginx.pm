package SandboxNginx;

# Another nginx in a stack, beside the stack's own: a daemon with the same
# configuration but for its node, its files, and one Unix socket that it
# listens on.  Requests go by curl, so that many can be under way.

use strict;
use warnings;
use FindBin;
use JSON::PP;
use SandboxLeft;


# SandboxNginx->new($test, $node, DIRECTIVE => VALUE...): started, with the
# runtime of the sanitizers if the stack's own has it.  clock => SECONDS: the
# host's clock is so wrong for it, ahead or behind.
sub new {
    my ($class, $test, $node, %set) = @_;
    my $data = "$test->{dir}/data";
    my $clock = delete $set{clock};
    my $self = bless { test => $test, node => $node, conf => "$data/$node.conf",
                       socket => "$data/$node.sock", set => \%set }, $class;
    my %preload = map { $_ => 1 }
                  SandboxLeft::slurp('/proc/' . ($test->workers)[0] . '/maps')
                  =~ m{(/\S*/lib(?:asan|ubsan|tirpc)\.so\S*)}g;
    my @preload = sort keys %preload;

    if ($clock) {
        system('cc', '-shared', '-fPIC', '-o', "$data/wrong-clock.so",
               "$FindBin::Bin/lib/wrong-clock.c") == 0 or die "cc: $?";
        push @preload, '/run/stack/data/wrong-clock.so';
    }

    open(my $fh, '>', $self->{conf}) or die "$self->{conf}: $!";
    print $fh $self->_configuration;
    close $fh;
    unlink $self->{socket};             # of one that was killed

    # by its whole path, for an upgrade starts it again by argv[0]
    $test->inside('env', 'LD_PRELOAD=' . join(':', @preload),
                  'ASAN_OPTIONS=detect_leaks=0', 'WRONG_CLOCK=' . ($clock // 0),
                  '/usr/sbin/nginx', '-c', "/run/stack/data/$node.conf");
    return $self;
}


sub _configuration {
    my ($self) = @_;
    my $conf = SandboxLeft::slurp("$self->{test}{dir}/etc/nginx.conf");

    $conf =~ s/sandbox_node [^;]+;/sandbox_node $self->{node};/;
    $conf =~ s{^pid [^;]+;}{pid /run/$self->{node}.pid;}m;
    $conf =~ s{/var/log/nginx/}{/var/log/nginx/$self->{node}-}g;
    # the first server is the API's
    $conf =~ s{listen [^;]+;}
              {listen unix:/run/stack/data/$self->{node}.sock;} or die "listen\n";
    $conf =~ s/^\s*listen (?!unix)[^;]+;[^\n]*\n//mg;
    $conf =~ s/^(\s*$_) [^;]+;/$1 $self->{set}{$_};/m or die "no $_\n"
        for sort keys %{ $self->{set} };

    # a new binary is given no other variables
    return "env LD_PRELOAD;\nenv ASAN_OPTIONS;\n$conf";
}


# A signal for its master, or for the master of before an upgrade.
sub signal {
    my ($self, $signal, $old) = @_;
    my $file = "/run/$self->{node}.pid" . ($old ? '.oldbin' : '');

    $self->{test}->inside('sh', '-c', "kill -$signal \$(cat $file)");
}


# The pids of the host of its workers, by the directory of its master.
sub pid {
    my ($self, $old) = @_;
    my $file = "/run/$self->{node}.pid" . ($old ? '.oldbin' : '');

    return eval { $self->{test}->inside('cat', $file) } // '';
}


# A request that is answered later: a handle for end().
sub begin {
    my ($self, $method, $path, @args) = @_;

    open(my $fh, '-|', 'curl', '-s', '--unix-socket', $self->{socket},
         '-X', $method, '-H', "Authorization: Bearer $self->{test}{key}",
         '-w', "\n%{http_code}", @args, "http://$self->{node}$path")
        or die "curl: $!";
    return $fh;
}


sub begin_create {
    my ($self, $key, $body) = @_;

    return $self->begin('POST', '/v1/sandboxes', '-d', $body,
                        '-H', 'Content-Type: application/json',
                        '-H', "Idempotency-Key: $key");
}


sub end {
    my ($self, $fh) = @_;
    my $text = do { local $/; <$fh> } // '';
    my ($body, $status) = $text =~ /\A(.*)\n(\d+)\z/s;

    return { status => $status // 0, body => $body // '', headers => {},
             json => scalar eval { JSON::PP->new->utf8->decode($body) } };
}


# A command in a sandbox of its node: what is said of it.
sub exec {
    my ($self, $id, $command, @args) = @_;
    my $body = JSON::PP::encode_json({ command => $command, args => \@args });

    return $self->end($self->begin('POST', "/v1/sandboxes/$id/exec",
                                   '-H', 'Content-Type: application/json',
                                   '-d', $body))->{json};
}


sub answers {
    my ($self) = @_;

    return $self->end($self->begin('GET', '/v1/sandboxes'))->{status} == 200;
}


# Kills it and its workers, as a power cut would.
sub kill {
    my ($self) = @_;

    $self->{test}->inside('sh', '-c', "m=\$(cat /run/$self->{node}.pid); "
                                      . 'kill -9 $m $(pgrep -P $m)');
}


# Ends it, and takes its files away.
sub stop {
    my ($self) = @_;

    $self->signal('QUIT');
    unlink $self->{conf}, "$self->{test}{dir}/data/wrong-clock.so";
}

1;
