package BenchPool;

# A stack with a warm pool, for the benchmarks of pools: one client on one
# connection, creates by their source, and waiting until a pool is full.
#
#     my $b = BenchPool->new($dir, '--set', 'sandbox_checkpoints=off');
#     my $pool = $b->pool('name', 20);
#     $b->fill($pool, 20);
#     my ($ms, $answer) = $b->ask('POST', '/v1/sandboxes', '{}');

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP ();
use SandboxHttp;
use Time::HiRes qw(time sleep);

my $top = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));
my $json = JSON::PP->new->utf8;
my $serial = 0;


sub new {
    my ($class, $dir, @options) = @_;
    my $self = bless { dir => $dir, pid => $$ }, $class;
    my $text = `$top/scripts/stack up --dir \Q$dir\E @{[map { quotemeta }
                                                         @options]}`;

    die "stack up failed\n" if $?;
    @$self{qw(api key)} = map { $text =~ /^export $_='(.*)'$/m ? $1
                                                              : die "no $_\n" }
                          qw(SANDBOX_API SANDBOX_API_KEY);
    return $self;
}


sub stack {
    my ($self, $verb, @args) = @_;

    return system("$top/scripts/stack", $verb, '--dir', $self->{dir}, @args);
}


sub redis {
    my ($self, @command) = @_;

    open(my $out, '-|', "$top/scripts/stack", 'run', '--dir', $self->{dir},
         '--', 'redis-cli', '-s', '/run/redis/redis-server.sock', '--raw',
         @command) or die "redis-cli: $!";
    local $/;
    my $text = <$out> // '';
    close $out;
    $text =~ s/\n\z//;
    return $text;
}


# As bytes; a POST has a key, a new one if none is given.
sub format_request {
    my ($self, $http, $method, $path, $body, $idem) = @_;

    return $http->format_request($method, $path,
        [Authorization => "Bearer $self->{key}",
         defined $body ? ('Content-Type' => 'application/json') : (),
         $method eq 'POST'
             ? ('Idempotency-Key' => $idem // "bench-$$-" . ++$serial) : ()],
        $body);
}


# One request on the connection that is kept: (ms, answer with its JSON).
sub ask {
    my ($self, $method, $path, $body) = @_;
    my $http = $self->{http} //= SandboxHttp->new($self->{api}, 120);
    my $request = $self->format_request($http, $method, $path, $body);
    my $start = time;

    $http->send($request);
    my $r = $http->read_response // die "$method $path: no answer\n";
    my $ms = 1000 * (time - $start);

    # nginx ends a connection after so many requests
    delete $self->{http} if ($r->{headers}{connection} // '') eq 'close';

    $r->{json} = eval { $json->decode($r->{body}) };
    return ($ms, $r);
}


# The same, which must have this status.
sub must {
    my ($self, $status, @request) = @_;
    my ($ms, $r) = $self->ask(@request);

    die "@request: $r->{status} $r->{body}\n" if $r->{status} != $status;
    return wantarray ? ($ms, $r->{json}) : $r->{json};
}


sub pool {
    my ($self, $name, $ready) = @_;

    return $self->must(201, 'POST', '/v1/template-warm-pools', $json->encode({
        name => $name, template_ref => 'base', min_ready => $ready,
        stale_after_seconds => 7200,
        resources => { memory_mb => 128 } }))->{id};
}


sub status {
    my ($self, $pool) = @_;

    return $self->must(200, 'GET', "/v1/template-warm-pools/$pool/status");
}


# Refills wait from now on, or go on.
sub hold {
    my ($self, $pool, $on) = @_;
    my ($record) = $self->redis('KEYS', "*:pool:$pool");

    $self->redis('HSET', $record, 'retry_at', $on ? '9e15' : 0);
}


# Waits until the pool has as many ready, and nothing in the making.
sub fill {
    my ($self, $pool, $ready) = @_;
    my $end = time + 600;

    for (;;) {
        my $is = $self->status($pool);

        return $is if $is->{ready} == $ready && $is->{warming} == 0;
        die "the pool is not filled: ", $json->encode($is), "\n"
            if time > $end;
        sleep 0.2;
    }
}


sub body {
    my ($self, %o) = @_;

    return $json->encode({ memory_mb => 128, %o });
}


sub from_pool {
    my ($self, $pool, $mode) = @_;

    return $self->body(warm_pool => { id => $pool, mode => $mode });
}


sub gone {
    my ($self, @ids) = @_;

    $self->must(200, 'DELETE', "/v1/sandboxes/$_") for @ids;
}


sub down {
    my ($self) = @_;

    $self->stack('down') if $self->{pid} == $$;
}

1;
