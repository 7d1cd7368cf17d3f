package SandboxStack;

# A stack that stands: scripts/stack's verbs, what is in it, and its log.  For
# tests and for scripts/chaos; sends no request.

use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use POSIX ();

use SandboxLeft;

our @EXPORT_OK = qw(run_command);

my $top = dirname(dirname(dirname(abs_path(__FILE__))));


# Runs a command: (exit code, stdout and stderr together).
sub run_command {
    my (@command) = @_;

    my $pid = open(my $out, '-|') // croak "cannot fork: $!";

    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDERR, '>&', \*STDOUT);
        exec { $command[0] } @command or POSIX::_exit(127);
    }

    local $/;
    my $text = <$out> // '';
    close $out;
    my $status = $?;

    return ($status & 127 ? 128 + ($status & 127) : $status >> 8, $text);
}


# Takes over the stack in dir; dies if it is not up.
sub attach {
    my ($self, $dir) = @_;
    my $env = SandboxLeft::slurp("$dir/env");

    $self->{dir} = $dir;
    @$self{qw(api key traffic domain)} = map {
        $env =~ /^export SANDBOX_$_='(.*)'$/m ? $1
            : die "no SANDBOX_$_ in $dir/env\n"
    } qw(API API_KEY TRAFFIC DOMAIN);

    $self->{log_at} = -s "$dir/log/error.log" // 0;
    $self->{left} = SandboxLeft->new($self);

    return $self;
}


sub dir { return $_[0]{dir} }


# scripts/stack VERB --dir DIR ...: its output; dies if it fails.
sub stack {
    my ($self, $verb, @args) = @_;
    my ($rc, $text) = $self->try_stack($verb, @args);

    $rc == 0 or croak "stack $verb @args: $text";
    return $text;
}


sub try_stack {
    my ($self, $verb, @args) = @_;

    return run_command("$top/scripts/stack", $verb, '--dir', $self->{dir},
                       @args);
}


# A command inside the stack: its output; dies if it fails.
sub inside {
    my ($self, @command) = @_;

    return $self->stack('run', '--', @command);
}


# The pid of the stack's init, as the host sees it; undef if none is up.
sub init {
    my ($self) = @_;

    return ($self->stack('status') =~ /is up, pid (\d+)/)[0];
}


# Where the host finds the socket of the stack's Redis.
sub redis_socket {
    my ($self) = @_;

    return '/proc/' . $self->init . '/root/run/redis/redis-server.sock';
}


# The name of the node that the stack's nginx is.
sub node {
    my ($self) = @_;

    return ($self->inside('cat', '/etc/nginx/nginx.conf')
            =~ /^\s*sandbox_node\s+(\S+);/m)[0];
}


sub redis {
    my ($self, @command) = @_;

    my $text = $self->inside('redis-cli', '-s',
                             '/run/redis/redis-server.sock', '--raw',
                             @command);
    chomp $text;
    return $text;
}


# Names of the domains that libvirt knows.
sub domains {
    my ($self) = @_;

    return grep { /\S/ } split /\n/,
           $self->inside(qw(virsh -q -c qemu:///system list --all --name));
}


# Pids, as the host sees them, of nginx's workers.
sub workers {
    my ($self) = @_;

    return $self->{left}->workers;
}


# What nginx has logged since the file began, or since a mark of log_mark().
sub log_text {
    my ($self, $mark) = @_;

    open(my $fh, '<', "$self->{dir}/log/error.log") or return '';
    seek($fh, $mark // $self->{log_at}, 0);
    local $/;
    return scalar(<$fh>) // '';
}


sub log_mark {
    my ($self) = @_;

    return -s "$self->{dir}/log/error.log" // 0;
}


# Allows lines of the log that match, for files that cause them on purpose.
sub expect_log {
    my ($self, @patterns) = @_;

    push @{ $self->{expected} }, @patterns;
}


sub bad_log_lines {
    my ($self) = @_;
    my @bad = grep {
        / \[(?:alert|crit|emerg)\] /
        || /ERROR: (?:Address|Leak|Thread)Sanitizer/
        || /LeakSanitizer|SUMMARY: \w+Sanitizer/ || /runtime error:/
    } split /\n/, $self->log_text;

    for my $pattern (@{ $self->{expected} // [] }) {
        @bad = grep { !/$pattern/ } @bad;
    }

    return @bad;
}

1;
