package SandboxDrive;

# The driver of the VM engine (t/hypervisor), built with the sanitizers and run
# inside a stack.
#
#     my $d = SandboxDrive->new($t);                  # and options for gcc
#     my ($rc, $text) = $d->run('boot', $id);
#     my $wait = $d->later(['DRIVE_MORE_MB=0'], 'boot', $id);  # in parallel
#     ($rc, $text) = $wait->();

use strict;
use warnings;
use SandboxTest;

my @letters = ('a' .. 'z', 2 .. 7);


sub new {
    my ($class, $t, @options) = @_;
    my $self = bless { t => $t, file => "$t->{base}/drive", pid => $$ }, $class;

    my ($rc, $text) = run_command(
        'bash', '-c', 'cd "$1" && exec gcc -std=gnu11 -Wall -Wextra -Werror'
        . ' -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all'
        . ' -Isrc/hypervisor -Isrc/guest -Isrc/core -I/usr/include/libxml2'
        . ' "${@:3}" t/hypervisor/*.c src/{hypervisor,guest,core}/*.c'
        . ' -lvirt -lvirt-qemu -lxml2 -lcrypto -lpthread -o "$2"',
        'bash', $SandboxTest::top, $self->{file}, @options);
    is($rc, 0, 'the driver builds') or BAIL_OUT($text);

    return $self;
}


# An array of variables may come first.  Whole stacks of what leaks: libraries are
# built without frame pointers, and only what is above them says whose it is.
sub command {
    my ($self, @args) = @_;
    my $env = ref $args[0] ? shift @args : [];

    return ("$SandboxTest::top/scripts/stack", 'run', '--dir',
            $self->{t}{dir}, '--', 'env', 'DRIVE_DATA=/run/stack/data',
            'DRIVE_BRIDGE=sbx0', 'DRIVE_TEMPLATE=/run/stack/templates/base',
            'ASAN_OPTIONS=fast_unwind_on_malloc=0',
            "LSAN_OPTIONS=print_suppressions=0:suppressions=$SandboxTest::top"
            . '/t/hypervisor/lsan.supp',
            @$env, $self->{file}, @args);
}


# (exit code, output)
sub run {
    my ($self, @args) = @_;

    return run_command($self->command(@args));
}


# Starts the driver; gives a sub that waits for (exit code, output).
sub later {
    my ($self, @args) = @_;
    my @command = $self->command(@args);

    my $pid = open(my $out, '-|') // die "cannot fork: $!";
    if ($pid == 0) {
        open(STDERR, '>&', \*STDOUT);
        exec @command or POSIX::_exit(127);
    }

    return sub {
        local $/;
        my $said = <$out> // '';
        close $out;
        return ($? >> 8, $said);
    };
}


# One command in a guest that the driver has configured; what it printed.
sub guest {
    my ($self, $id, $address, $command) = @_;
    my $body = json()->encode({ command => $command, shell => JSON::PP::true,
                                timeout_secs => 60 });
    my $answer = $self->{t}->inside('curl', '-s', '-m', '60',
        '-H', "Authorization: Bearer $id",
        '-H', 'Content-Type: application/json', '-d', $body,
        "http://$address:891/v1/sandboxes/$id/exec");
    my $said = eval { json()->decode($answer) } // {};

    defined $said->{exit_code} && $said->{exit_code} == 0
        or diag("$command: $answer");
    return $said->{stdout} // '';
}


sub ids {
    my ($self, $n) = @_;

    return map { 'sb_' . join('', map { $letters[rand @letters] } 1 .. 20) }
           1 .. $n;
}


sub DESTROY {
    my ($self) = @_;

    unlink $self->{file} if $self->{pid} == $$;
}

1;
