package SandboxTest;

# One page for all prove files: a stack, requests to it, and the check at the
# end of each file that the log is clean and nothing is left over.
#
#     use lib 't/lib';
#     use SandboxTest;
#
#     my $t = SandboxTest->new;
#     my $sandbox = $t->create({ vcpus => 1 });       # ends with its scope
#     is($t->exec($sandbox, 'echo hi')->{stdout}, "hi\n", 'a command runs');
#     $t->finish;                                     # in place of done_testing
#
# With SANDBOX_TEST_DIR the file uses the stack that stands there, else it
# brings up its own and ends it; files that break things pass own => 1.
# SANDBOX_TEST_UP has options for "stack up", such as "--sanitize".

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time sleep);

use SandboxHttp;
use SandboxStack qw(run_command);

our @ISA = ('SandboxStack');

our $top = dirname(dirname(dirname(abs_path(__FILE__))));
our $guest_server = "$top/t/lib/guest-server.py";
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $serial = 0;
my @stacks;


sub import {
    my $package = caller;

    strict->import;
    warnings->import;
    Test::More->export_to_level(1, $package, @Test::More::EXPORT);

    no strict 'refs';
    *{"${package}::$_"} = \&$_ for qw(guard wait_for run_command sleep time);
    *{"${package}::json"} = sub { $json };
}


# --- small tools -----------------------------------------------------------

# Runs code when the last reference to what it gives goes away.
sub guard {
    my ($code) = @_;

    return bless { code => $code, pid => $$ }, 'SandboxTest::Guard';
}


# Polls until code gives a true value, which it returns; undef after seconds.
sub wait_for {
    my ($seconds, $code) = @_;
    my $end = time() + $seconds;

    for (;;) {
        my $value = $code->();
        return $value if $value;
        return if time() > $end;
        sleep 0.05;
    }
}


# 1 if the module under test has the sanitizers, whose own memory counts as its.
sub sanitized {
    return ($ENV{SANDBOX_TEST_UP} // '') =~ /--sanitize/ ? 1 : 0;
}


# --- a stack ---------------------------------------------------------------

# own => 1: not the shared stack; up => [options of "stack up"].
sub new {
    my ($class, %o) = @_;
    my $dir = $o{own} ? undef : $ENV{SANDBOX_TEST_DIR};
    my $self = bless {
        own => !defined $dir, pid => $$, keys => {}, strays => [],
    }, $class;

    $> == 0 or plan(skip_all => 'needs root, for namespaces');

    if ($self->{own}) {
        $self->{base} = tempdir('sandbox-test-XXXXXX',
                                DIR => $ENV{SANDBOX_TEST_TMP} // '/var/tmp');
        $dir = "$self->{base}/stack";
        push @stacks, $self;
        my ($rc, $text) = run_command(
            "$top/scripts/stack", 'up', '--dir', $dir,
            split(' ', $ENV{SANDBOX_TEST_UP} // ''), @{ $o{up} // [] });
        $rc == 0 or BAIL_OUT("stack up: $text");
    }

    eval { $self->attach($dir); 1 } or BAIL_OUT($@);

    return $self;
}


# The API key of a tenant, made at first use.
sub key {
    my ($self, $tenant) = @_;

    return $self->{keys}{$tenant} //= do {
        my $text = $self->inside("$top/scripts/sandbox-key", 'create',
                                 '--tenant', $tenant, '--name', 'test');
        chomp $text;
        $text;
    };
}


# --- requests --------------------------------------------------------------

# A fresh idempotency key.
sub idem {
    return sprintf 'test-%d-%d-%d', $$, time() * 1000, ++$serial;
}


# Sends an API request on a connection of its own, a SandboxHttp, whose answer
# end() waits for.  Options: json (any value), body (text), type,
# headers => [name, value...], key (undef: none), idem (undef: none; creates get
# a fresh one), to, timeout.
sub begin {
    my ($self, $method, $path, %o) = @_;
    my @headers;

    my $body = exists $o{json} ? $json->encode($o{json}) : $o{body};
    my $key = exists $o{key} ? $o{key} : $self->{key};
    push @headers, Authorization => "Bearer $key" if defined $key;

    if (defined $body) {
        my $type = exists $o{type} ? $o{type} : 'application/json';
        push @headers, 'Content-Type' => $type if defined $type;
    }

    my $idem = exists $o{idem} ? $o{idem}
        : $method eq 'POST' && $path eq '/v1/sandboxes' ? idem() : undef;
    push @headers, 'Idempotency-Key' => $idem if defined $idem;
    push @headers, @{ $o{headers} // [] }, Connection => 'close';

    my $http = SandboxHttp->new($o{to} // $self->{api}, $o{timeout} // 120);
    $http->send($http->format_request($method, $path, \@headers, $body));
    return $http;
}


# { status, headers, body, json, complete }; status 0: there was none.
# Options: head (to a HEAD), timeout.
sub end {
    my ($self, $http, %o) = @_;
    my $r = $http->read_response(%o)
        // { status => 0, headers => {}, body => '', complete => 0 };

    $r->{json} = eval { $json->decode($r->{body}) };
    return $r;
}


# One API request, as begin(), and its answer, with the seconds that it took.
sub request {
    my ($self, $method, $path, %o) = @_;
    my $began = time();
    my $r = $self->end($self->begin($method, $path, %o),
                       head => $method eq 'HEAD');

    $r->{seconds} = time() - $began;
    return $r;
}


sub get { my $self = shift; return $self->request('GET', @_) }
sub post { my $self = shift; return $self->request('POST', @_) }
sub delete { my $self = shift; return $self->request('DELETE', @_) }


# What a GET lists, as [{ id, status, ... }]; fails the test if it lists nothing.
sub list {
    my ($self, $path, %o) = @_;
    my $r = $self->get($path, %o);

    return $r->{json} if ref $r->{json} eq 'ARRAY';

    fail("GET $path gives a list");
    diag("$r->{status} $r->{body}");
    return [];
}


# The ids of it, in order.
sub ids {
    my $self = shift;

    return [sort map { $_->{id} } @{ $self->list(@_) }];
}


# The value of a series of the metrics, 0 if there is none.
sub metric {
    my ($self, $series) = @_;

    return $self->get('/metrics')->{body} =~ /^\Q$series\E ([0-9.]+)$/m
        ? $1 : 0;
}


# Creates a sandbox and fails the test if that fails.  What it gives ends the
# sandbox when it goes out of scope: { id, token, response, json }.
sub create {
    my ($self, $body, %o) = @_;
    my $r = $self->post('/v1/sandboxes', json => $body // {}, %o);

    if ($r->{status} != 201) {
        fail('a sandbox is created');
        diag("status $r->{status}: $r->{body}");
        return;
    }

    return $self->sandbox($r, %o);
}


# The same for an answer of 201 that a test has got itself.
sub sandbox {
    my ($self, $r, %o) = @_;
    my $id = $r->{json}{id};

    $self->{sandboxes}{$id} = exists $o{key} ? $o{key} : $self->{key};
    return bless {
        id => $id, token => $r->{json}{traffic_access_token}, response => $r,
        json => $r->{json}, test => $self, pid => $$,
    }, 'SandboxTest::Sandbox';
}


sub destroy {
    my ($self, $id) = @_;
    my $key = delete $self->{sandboxes}{$id} // return;

    return $self->delete("/v1/sandboxes/$id", key => $key);
}


# Runs a shell command, or [program, args], in a sandbox; its JSON answer.
sub exec {
    my ($self, $sandbox, $command, %o) = @_;
    my $id = ref $sandbox ? $sandbox->{id} : $sandbox;
    my %request = ref $command
        ? (command => $command->[0],
           args => [@$command[1 .. $#$command]])
        : (command => $command, shell => JSON::PP::true);
    my $key = delete $o{key} // $self->{key};

    my $r = $self->post("/v1/sandboxes/$id/exec",
                        json => { %request, timeout_secs => 60, %o },
                        key => $key);

    if ($r->{status} != 200 || ref $r->{json} ne 'HASH') {
        diag("exec: status $r->{status}: $r->{body}");
        return { exit_code => -1, stdout => '', stderr => $r->{body},
                 status => $r->{status} };
    }

    return { %{ $r->{json} }, status => 200 };
}


# Starts a server in a sandbox that outlives the command, guest-server.py or
# another Python program, whose text is given, and waits until it listens on
# port.
sub serve {
    my ($self, $sandbox, $port, $program) = @_;

    $program //= SandboxLeft::slurp($guest_server);
    (my $quoted = $program) =~ s/'/'\\''/g;
    my $hex = sprintf '%04X', $port;
    my $r = $self->exec($sandbox, <<"END");
printf %s '$quoted' >/tmp/server-$port.py
(setsid python3 /tmp/server-$port.py $port >/tmp/server-$port.log 2>&1 </dev/null &)
for i in \$(seq 300); do
    grep -q ':$hex 0*:0000 0A' /proc/net/tcp && exit 0
    sleep 0.1
done
cat /tmp/server-$port.log
exit 1
END

    if ($r->{exit_code} != 0) {
        diag("server on port $port: ", $r->{stdout}, $r->{stderr});
        return 0;
    }

    return 1;
}


# The host name of a port of a sandbox.
sub host {
    my ($self, $sandbox, $port) = @_;
    (my $id = ref $sandbox ? $sandbox->{id} : $sandbox) =~ tr/_/-/;

    return "$port-$id.$self->{domain}";
}


# A request to a port of a sandbox, through the traffic listener.
sub traffic {
    my ($self, $sandbox, $port, $method, $path, %o) = @_;

    return $self->request($method, $path, key => undef, %o,
                          to => $self->{traffic}, headers => [
                              Host => $self->host($sandbox, $port),
                              @{ $o{headers} // [] },
                          ]);
}


# --- assertions ------------------------------------------------------------

# An error of the API: status, code, and an envelope as it must be.
sub is_error {
    my ($self, $r, $status, $code, $name, $field) = @_;

    return subtest($name => sub {
        my $j = ref $r->{json} eq 'HASH' ? $r->{json} : {};

        is($r->{status}, $status, 'status') or diag($r->{body});
        is($j->{code}, $code, 'code');
        like($r->{headers}{'content-type'} // '', qr{^application/json\b},
             'content type');
        ok(defined $j->{error} && !ref $j->{error}
           && $j->{error} =~ /^\S.*\S\.?$/, 'error is a sentence');
        like($j->{request_id} // '', qr/^req_[a-z0-9]{16,}$/, 'request id');
        is($r->{headers}{'x-request-id'}, $j->{request_id},
           'X-Request-Id is the one of the body');
        ok(!exists $j->{retryable} || JSON::PP::is_bool($j->{retryable}),
           'retryable is a boolean');

        if ($j->{retryable}) {
            like($r->{headers}{'retry-after'} // '', qr/^[0-9]+$/,
                 'Retry-After');
        } else {
            ok(!exists $r->{headers}{'retry-after'}, 'no Retry-After');
        }

        if (defined $field) {
            is(ref $j->{error_detail} eq 'HASH' ? $j->{error_detail}{field}
                                                : undef, $field, 'field');
            ok(length(($j->{error_detail} // {})->{reason} // ''), 'reason');
        }

        my %known = map { $_ => 1 } qw(error code request_id error_detail
                                       retryable suggested_action);
        is_deeply([grep { !$known{$_} } sort keys %$j], [],
                  'no other members');
    });
}


# The end of a file.
sub finish {
    my ($self) = @_;

    $self->_clean_up;

    my @bad = $self->bad_log_lines;
    is(scalar(@bad), 0, 'no alerts and no sanitizer reports in the log')
        or diag(join "\n", @bad[0 .. ($#bad < 19 ? $#bad : 19)]);

    my @left = $self->{left}->check;
    is(scalar(@left), 0, 'nothing is left over') or diag(join "\n", @left);

    $self->{finished} = 1;
    $self->_down;
    done_testing();
}


sub _clean_up {
    my ($self) = @_;

    for my $id (keys %{ $self->{sandboxes} // {} }) {
        eval { $self->destroy($id) };
    }
}


sub _down {
    my ($self) = @_;

    return if !$self->{own} || $self->{pid} != $$ || $self->{gone};

    $self->{gone} = 1;
    my ($rc, $text) = $self->try_stack('down');
    diag("stack down: $text") if $rc;
    rmdir $self->{base} or diag("$self->{base} is not empty: $!");
}


# A file that dies or is interrupted leaves no stack and no sandbox either.
END {
    my $status = $?;

    for my $self (@stacks) {
        next if $self->{pid} != $$;
        if (!$self->{finished} && $ENV{SANDBOX_TEST_KEEP}) {
            diag("the stack is kept: $self->{dir}");
            next;
        }
        $self->_down;
    }

    $? = $status;
}


sub DESTROY {
    my ($self) = @_;

    return if $self->{pid} != $$ || $self->{finished} || $self->{own};
    local ($@, $?);
    eval { $self->_clean_up };
}


$SIG{$_} = sub { exit 130 } for qw(INT TERM HUP);


package SandboxTest::Guard;

sub DESTROY {
    my ($self) = @_;

    return if $self->{pid} != $$;
    local ($@, $?, $!);
    eval { $self->{code}->() };
}


package SandboxTest::Sandbox;

sub DESTROY {
    my ($self) = @_;

    return if $self->{pid} != $$ || !$self->{test};
    local ($@, $?, $!);
    eval { $self->{test}->destroy($self->{id}) };
}

1;
