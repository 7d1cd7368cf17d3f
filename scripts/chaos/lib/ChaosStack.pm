package ChaosStack;

# A stack of one's own that guests are hibernated, woken and forked in: it is
# brought up, asked, and taken down when the process that made it ends.

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);
use JSON::PP ();

use SandboxHttp;
use SandboxStack qw(run_command);

our @ISA = ('SandboxStack');

my $top = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));
my $json = JSON::PP->new->canonical;
my $main = $$;
my ($base, $serial);

END {
    my $status = $?;

    if ($$ == $main && defined $base) {
        run_command("$top/scripts/stack", 'down', '--dir', "$base/stack");
        run_command('rm', '-rf', $base);
    }
    $? = $status;
}

$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);


sub fail {
    print STDERR 'chaos/', basename($0), ": @_\n";
    exit 1;
}


# Options of "stack up"; one for each process.
sub new {
    my ($class, @options) = @_;

    $base = tempdir('sandbox-chaos-XXXXXX', DIR => '/var/tmp');
    my ($rc, $text) = run_command("$top/scripts/stack", 'up', '--dir',
                                  "$base/stack", @options);
    $rc == 0 or fail($text);

    return (bless {}, $class)->attach("$base/stack");
}


# A directory that goes with the stack.
sub base { return $base }


# One request: { status, headers, body, json }; status 0: no answer.
sub request {
    my ($self, $where, $method, $path, $headers, $body) = @_;
    my $r = eval {
        SandboxHttp->new($where, 120)->request(
            $method, $path, [@$headers, Connection => 'close'], $body)
    } // { status => 0, headers => {}, body => '' };

    $r->{json} = eval { $json->decode($r->{body}) };
    return $r;
}


sub api {
    my ($self, $method, $path, $body) = @_;
    my @headers = (Authorization => "Bearer $self->{key}");

    push @headers, 'Content-Type' => 'application/json',
         'Idempotency-Key' => join('-', 'chaos', $$, ++$serial) if $body;
    return $self->request($self->{api}, $method, "/v1/$path", \@headers,
                          $body ? $json->encode($body) : undef);
}


# A GET of its port 8000, by the host name of a sandbox.
sub traffic {
    my ($self, $id, $path) = @_;
    my $host = "8000-$id.$self->{domain}" =~ tr/_/-/r;

    return $self->request($self->{traffic}, 'GET', $path // '/',
                          [Host => $host]);
}


# A sandbox that hibernates at its deadline, is woken by requests, and has this
# Python program as a server on port 8000: its id.
sub serve {
    my ($self, $program, %body) = @_;
    my $r = $self->api('POST', 'sandboxes', {
        memory_mb => 128, timeout_ms => 4 * 3600 * 1000,
        timeout_action => 'hibernate', auto_resume => JSON::PP::true, %body });
    $r->{status} == 201 or fail("create: $r->{body}");
    my $id = $r->{json}{id};

    (my $quoted = $program) =~ s/'/'\\''/g;
    $r = $self->api('POST', "sandboxes/$id/exec", {
        shell => JSON::PP::true, timeout_secs => 60, command => <<"END2" });
printf %s '$quoted' >/tmp/server.py
(setsid python3 /tmp/server.py >/dev/null 2>&1 </dev/null &)
for i in \$(seq 300); do
    grep -q ':1F40 0*:0000 0A' /proc/net/tcp && exit 0
    sleep 0.1
done
exit 1
END2
    $r->{status} == 200 && $r->{json}{exit_code} == 0
        or fail("server: $r->{body}");
    return $id;
}

1;
