#!/usr/bin/perl

# Requests that wake a paused sandbox, its id as an alias, and what becomes of
# requests whose guest is hibernated.

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use POSIX ();
use SandboxTest;

use constant HEADER => 'X-Nullspace-Traffic-Access-Token';
use constant CYCLES => 8;

my $t = SandboxTest->new;
my ($r, $seconds);

sub sandbox {
    my (%o) = @_;

    return $t->create({ memory_mb => 128, timeout_ms => 600000,
                        timeout_action => 'hibernate',
                        auto_resume => JSON::PP::true, %o })
        // BAIL_OUT('no sandbox');
}

sub hibernate {
    my ($s) = @_;
    my $r = $t->post("/v1/sandboxes/$s->{id}/hibernate");

    $seconds += $r->{seconds};
    is($r->{status}, 200, 'hibernated') or diag($r->{body});
    return $r;
}

sub state {
    my ($s) = @_;

    return $t->get("/v1/sandboxes/$s->{id}")->{json} // {};
}

# What a WebSocket gives back.
sub said {
    my ($ws) = @_;

    $ws->ws_send('hi');
    return ($ws->ws_read)[1];
}

# Whether a connection is closed soon, whatever was said before.
sub ends {
    my ($http) = @_;
    my $end = time + 5;
    my $n;

    1 while $n = $http->fill($end);
    return defined $n;
}

sub resumes { return $t->metric('sandbox_resumes_total{outcome="done"}') }

# Runs jobs at once, each in a process of its own; what they gave, in order.
sub at_once {
    my (@jobs) = @_;
    my @pipes;

    for my $job (@jobs) {
        my $pid = open(my $pipe, '-|') // die "fork: $!";
        if ($pid == 0) {
            my $value = eval { $job->() };
            print JSON::PP->new->allow_nonref->encode($value);
            close STDOUT;
            POSIX::_exit(0);
        }
        push @pipes, $pipe;
    }

    return map {
        local $/;
        my $text = <$_> // '';
        close $_;
        eval { JSON::PP->new->allow_nonref->decode($text) };
    } @pipes;
}

my $s = sandbox();

$t->serve($s, 8000) or BAIL_OUT('no server in the guest');

# --- a request wakes it -------------------------------------------------------

# How often the guest's network card lost its carrier, or got one.
sub carrier {
    my $r = $t->exec($s, 'cat /sys/class/net/eth0/carrier_changes');

    like($r->{stdout}, qr/^\d+\n$/, 'its card has had a carrier');
    return $r->{stdout};
}

my $carrier = carrier();

hibernate($s);
is(state($s)->{status}, 'paused', 'it is paused');

my $before = resumes();
$r = $t->traffic($s, 8000, 'GET', '/');
is($r->{status}, 200, 'a request wakes it and is answered')
    or diag($r->{body});
cmp_ok($r->{seconds}, '<', 15, sprintf 'after %.2f s', $r->{seconds});
is(resumes() - $before, 1, 'by one resume');
my $now = state($s);
is($now->{status}, 'running', 'its id leads to the new execution');
isnt($now->{id}, $s->{id}, 'which has an id of its own');
is($t->redis('HGET', $t->redis('KEYS', "*:sandbox:$now->{id}"), 'wakes'), 1,
   'and knows that it was woken');
my %ids = map { $_ => 1 } $s->{id}, $now->{id};
is($t->traffic($now, 8000, 'GET', '/')->{status}, 200, 'and is reached by it');

# What a guest sends before it has taken note of a carrier is lost, and who
# gets no answer asks again after a second.
is(carrier() - $carrier, 0, 'the guest has seen no change of its carrier');

$r = $t->traffic($s, 8000, 'GET', '/');
is($r->{status}, 200, 'as by the first one');

# --- bodies --------------------------------------------------------------------

my $body = join '', map { pack 'N', ($_ * 2654435761) % 2**32 } 1 .. 2**19;

sub upload {
    my ($chunked) = @_;
    my $http = SandboxHttp->new($t->{traffic});

    $http->send("POST /echo HTTP/1.1\r\nHost: " . $t->host($s, 8000)
                . "\r\nConnection: close\r\n"
                . ($chunked ? "Transfer-Encoding: chunked\r\n\r\n"
                            : 'Content-Length: ' . length($body)
                              . "\r\n\r\n"));
    if ($chunked) {
        for (my $at = 0; $at < length $body; $at += 100_000) {
            my $part = substr $body, $at, 100_000;
            $http->send(sprintf "%x\r\n%s\r\n", length $part, $part);
        }
        $http->send("0\r\n\r\n");
    } else {
        $http->send($body);
    }
    my $r = $http->read_response // { status => 0, body => '' };
    return { status => $r->{status}, body => $r->{body} };
}

hibernate($s);
for my $r (at_once(sub { upload(0) }, sub { upload(1) })) {
    is($r->{status}, 200, 'a request with a body of 2 MiB')
        or diag($r->{body});
    my $j = eval { json->decode($r->{body}) } // {};
    is($j->{length}, length $body, 'all of it');
    is($j->{sha256}, sha256_hex($body), 'byte for byte');
}
$ids{ state($s)->{id} } = 1;

# --- many at once --------------------------------------------------------------

hibernate($s);
$before = resumes();
my @answers = at_once(map {
    my $exec = $_ % 3 == 0;
    sub {
        my $r = $exec
            ? $t->post("/v1/sandboxes/$s->{id}/exec",
                       json => { command => 'echo', args => ['x' x 1000] })
            : $t->traffic($s, 8000, 'GET', '/');
        return { status => $r->{status}, body => $r->{body},
                 stdout => ($r->{json} // {})->{stdout} };
    }
} 1 .. 30);

is(scalar(grep { $_->{status} == 200 } @answers), 30,
   'thirty requests at once are all answered')
    or diag(join "\n", map { "$_->{status} $_->{body}" } @answers);
is(scalar(grep { ($_->{stdout} // '') eq 'x' x 1000 . "\n" } @answers), 10,
   'commands among them');
is(resumes() - $before, 1, 'and wake it once');

# --- an alias -------------------------------------------------------------------

$ids{ state($s)->{id} } = 1;
is(scalar(keys %ids), 4, 'three more executions by now');

for my $old (sort keys %ids) {
    is(state({ id => $old })->{id}, state($s)->{id},
       'every earlier id leads to the last one');
    is($t->traffic($old, 8000, 'GET', '/')->{status}, 200,
       'as does its host name');
    is($t->exec($old, 'echo hi')->{stdout}, "hi\n", 'and a command by it');
}

{
    $before = $t->metric('sandbox_route_cache_lookups_total{result="miss"}');
    $t->traffic($s, 8000, 'GET', '/') for 1 .. 10;
    is($t->metric('sandbox_route_cache_lookups_total{result="miss"}') - $before, 0,
       'an alias is served from the cache');
}

# --- connections that are open ----------------------------------------------------

{
    my $ws = SandboxHttp->new($t->{traffic});
    $r = $ws->ws_open('/ws', [Host => $t->host($s, 8000)]);
    is($r->{status}, 101, 'a WebSocket') or diag($r->{body});
    is(said($ws), 'hi', 'that talks');

    my $sse = SandboxHttp->new($t->{traffic});
    $sse->send($sse->format_request('GET', '/events',
                                    [Host => $t->host($s, 8000)]));
    is($sse->read_head->{status}, 200, 'and a stream');

    my $slow = SandboxHttp->new($t->{traffic});
    $slow->send($slow->format_request('POST', '/sleep?600',
                                      [Host => $t->host($s, 8000)], 'x'));
    my $call = SandboxHttp->new($t->{api});
    $call->send($call->format_request(
        'POST', "/v1/sandboxes/$s->{id}/exec",
        [Authorization => "Bearer $t->{key}",
         'Content-Type' => 'application/json'],
        '{"command":"sleep","args":["600"],"timeout_secs":900}'));
    sleep 0.5; # until they are in the guest

    hibernate($s);
    my $began = time;
    my ($op, $text) = $ws->ws_read(5);
    is($op, 8, 'the WebSocket is closed') or diag($op // 'nothing');
    is(unpack('n', $text // ''), 1001, 'properly') if defined $op && $op == 8;
    ok($ws->closed(5), 'and its connection');
    ok(ends($sse), 'the stream ends');
    $r = $slow->read_response(timeout => 5);
    is(($r // {})->{status}, 503, 'a POST that was not answered is not repeated');
    like($r->{body}, qr/"sandbox_changing"/, 'but may be') if $r;
    $r = $call->read_response(timeout => 5);
    is(($r // {})->{status}, 409, 'nor is a command');
    like($r->{body}, qr/"transition_in_progress"/, 'likewise') if $r;
    cmp_ok(time - $began, '<', 1, 'all within a second');
    is(state($s)->{status}, 'paused', 'and none of them wakes it');
}

# --- the first request after it, of every kind ---------------------------------------

{
    my $ws = SandboxHttp->new($t->{traffic});
    $r = $ws->ws_open('/ws', [Host => $t->host($s, 8000)]);
    is($r->{status}, 101, 'a WebSocket wakes it') or diag($r->{body});
    is(said($ws), 'hi', 'and talks');

    my $sse = SandboxHttp->new($t->{traffic});
    $sse->send($sse->format_request('GET', '/events',
                                    [Host => $t->host($s, 8000)]));
    is($sse->read_head->{status}, 200, 'a stream');
    ok($sse->read_match(qr/.*data: \d+\n\n/s, 5), 'streams');
}

{
    # still in flight when it is hibernated: one that may be repeated, and one
    # whose body has not come
    my $once = SandboxHttp->new($t->{traffic});
    $once->send($once->format_request('PUT', '/once',
                                      [Host => $t->host($s, 8000)], 'abc'));
    my $call = SandboxHttp->new($t->{api});
    my $text = '{"command":"echo","args":["late"]}';
    $call->send("POST /v1/sandboxes/$s->{id}/exec HTTP/1.1\r\nHost: x\r\n"
                . "Authorization: Bearer $t->{key}\r\n"
                . "Content-Type: application/json\r\nContent-Length: "
                . length($text) . "\r\n\r\n" . substr($text, 0, 10));
    sleep 0.5;
    hibernate($s);
    $r = $once->read_response(timeout => 20);
    is(($r // {})->{status}, 200, 'a PUT in flight is repeated');
    is((eval { json->decode($r->{body}) } // {})->{sha256}, sha256_hex('abc'),
       'with its body');
    $call->send(substr $text, 10);
    $r = $call->read_response(timeout => 20);
    is(($r // {})->{status}, 200, 'a command that came in pieces is run');
    like(($r // {})->{body}, qr/late/, 'whole');
}

{
    # news that was missed
    my $ws = SandboxHttp->new($t->{traffic});
    $ws->ws_open('/ws', [Host => $t->host($s, 8000)]);
    is(said($ws), 'hi', 'a WebSocket');
    my $id = state($s)->{id};
    (my $shard = $id) =~ s/^sb_(..).*/$1/;
    my $key = "sbx:{$shard}:sandbox:$id";
    # with a lease it is left alone by all
    $t->redis('HSET', $key, 'state', 'creating', 'lease_at', '4000000000000');
    ok(!$ws->closed(0.3), 'that nobody was told of');
    $t->redis('CLIENT', 'KILL', 'TYPE', 'pubsub');
    is(($ws->ws_read(5))[0], 8, 'is closed when the events are heard again');
    $t->redis('HSET', $key, 'state', 'running');
    $t->redis('HDEL', $key, 'lease_at');
    $t->redis('PUBLISH', 'sbx:events', "$id running");
}

# --- a client that goes away ----------------------------------------------------------

{
    hibernate($s);
    my $http = SandboxHttp->new($t->{traffic});
    $http->send($http->format_request('GET', '/', [Host => $t->host($s, 8000)]));
    sleep 0.02;
    $http->abort;
    ok(wait_for(20, sub { state($s)->{status} eq 'running' }),
       'the wake of a client that went away goes on');
}

# --- nothing that is refused wakes -----------------------------------------------------

{
    my $closed = sandbox(network => {
        allow_public_traffic => JSON::PP::false });

    hibernate($closed);
    $before = resumes();
    $t->is_error($t->traffic($closed, 8000, 'GET', '/'), 403,
                 'traffic_token_required', 'no token');
    $t->is_error($t->traffic($closed, 8000, 'GET', '/',
                             headers => [HEADER, 'wrong']),
                 403, 'traffic_token_invalid', 'a wrong one');
    $t->is_error($t->traffic($closed, 22, 'GET', '/',
                             headers => [HEADER, $closed->{token}]),
                 403, 'port_not_allowed', 'a port that is never reachable');
    $t->is_error($t->post("/v1/sandboxes/$closed->{id}/exec",
                          key => $t->key('other'),
                          json => { command => 'true' }),
                 404, 'sandbox_not_found', "another tenant's command");
    is(state($closed)->{status}, 'paused', 'wake nothing');
    is(resumes() - $before, 0, 'at all');

    for ('wakes it', 'is right afterwards') {
        # nobody listens there, but that is the guest's word
        $t->is_error($t->traffic($closed, 8000, 'GET', '/',
                                 headers => [HEADER, $closed->{token}]),
                     502, 'port_not_open', "the right token $_");
    }

    $r = $t->delete("/v1/sandboxes/$closed->{id}");
    is($r->{status}, 200, 'it is deleted by its first id');
    $t->is_error($t->traffic($closed, 8000, 'GET', '/',
                             headers => [HEADER, $closed->{token}]),
                 404, 'sandbox_not_found', 'and is gone');
}

{
    my $manual = sandbox(auto_resume => JSON::PP::false);

    hibernate($manual);
    $before = resumes();
    $r = $t->traffic($manual, 8000, 'GET', '/');
    $t->is_error($r, 409, 'sandbox_paused_auto_resume_disabled',
                 'one that does not resume by itself');
    is($r->{json}{retryable}, JSON::PP::false, 'which does not change');
    $t->is_error($t->post("/v1/sandboxes/$manual->{id}/exec",
                          json => { command => 'true' }),
                 409, 'sandbox_paused_auto_resume_disabled', 'nor by a command');
    is(state($manual)->{status}, 'paused', 'stays paused');
    is(resumes() - $before, 0, 'nothing was woken');
    is($t->delete("/v1/sandboxes/$manual->{id}")->{status}, 200, 'deleted');
}

# --- hibernated again and again, under traffic --------------------------------------------

{
    # one that was not woken yet: the limit is 10 in an hour
    my $s = sandbox();
    $t->serve($s, 8000) or BAIL_OUT('no server in the guest');
    my $end = time + 60;
    my %seen;
    my $stop = "$t->{dir}/wake-stop";
    my $clean = guard(sub { unlink $stop });

    my ($cycles, @counts) = at_once(
        sub {
            my $n = 0;
            while ($n < CYCLES && time < $end) {
                my $r = $t->post("/v1/sandboxes/$s->{id}/hibernate");
                $n++ if $r->{status} == 200;
                wait_for(10, sub { state($s)->{status} eq 'running' });
                sleep 0.2;
            }
            open(my $fh, '>', $stop);
            return $n;
        },
        map { my $job = $_; sub {
            my (%seen, $n);
            until (-e $stop || time > $end) {
                my $r = $job == 3
                    ? $t->post("/v1/sandboxes/$s->{id}/exec",
                               json => { command => 'true' })
                    : $t->traffic($s, 8000, 'GET', '/');
                my $code = ($r->{json} // {})->{code} // '';
                $seen{$r->{status} == 200 ? 200 : "$r->{status} $code"}++;
            }
            return \%seen;
        } } 1 .. 3);

    for my $count (@counts) {
        $seen{$_} += $count->{$_} for keys %$count;
    }

    diag(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
    is($cycles, CYCLES, 'hibernated again and again');
    is(join(' ', grep { /^(?:0|500|502|504)/ } keys %seen), '',
       'no request is told of a bad gateway');
    cmp_ok($seen{200} // 0, '>', CYCLES, 'and most are answered');
}

# --- metrics and the end ------------------------------------------------------------------

cmp_ok($t->metric('sandbox_wakes_total{outcome="done"}'), '>', 5, 'wakes');
cmp_ok($t->metric('sandbox_wake_waits_total{outcome="served"}'), '>', 5, 'waits');
cmp_ok($t->metric('sandbox_wake_wait_seconds_count'), '>', 5, 'and their time');

my $hang = SandboxHttp->new($t->{traffic});
$hang->send($hang->format_request('GET', '/sleep?600',
                                  [Host => $t->host($s, 8000)]));
sleep 0.5;
is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200,
   'deleted by its first id');
$r = $hang->read_response(timeout => 5);
is(($r // {})->{status}, 404, 'a request that was at it is not left hanging');
is($t->get("/v1/sandboxes/$s->{id}")->{status}, 404, 'and gone');
$t->is_error($t->traffic($s, 8000, 'GET', '/'), 404, 'sandbox_not_found',
             'for traffic, too');

diag(sprintf '%.1f s of them hibernating', $seconds);
$t->finish;
