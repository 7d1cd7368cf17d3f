#!/usr/bin/perl

# Traffic that is not public, masked host names, and the path form.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

use constant HEADER => 'X-Nullspace-Traffic-Access-Token';

my $t = SandboxTest->new;

sub ask {
    my ($s, @tokens) = @_;

    return $t->traffic($s, 8000, 'GET', '/',
                       headers => [map { (HEADER, $_) } @tokens]);
}

# A request to the path form, on the listener of the API.
sub edge {
    my ($path, @headers) = @_;

    return $t->get("/__ns-edge/$path", key => undef, headers => \@headers);
}

my $s = $t->create({ memory_mb => 128, network => {
    allow_public_traffic => JSON::PP::false,
    mask_request_host => 'localhost:${PORT}' } });
my $open = $t->create({ memory_mb => 128,
                        network => { mask_request_host => 'fixed.test' } });
$t->serve($s, 8000) && $t->serve($open, 8000)
    or BAIL_OUT('no server in the guest');

# --- the token ---------------------------------------------------------------

for my $round ('read', 'cached') {
    $t->is_error(ask($s), 403, 'traffic_token_required', "no token ($round)");
    $t->is_error(ask($s, "$s->{token}x"), 403, 'traffic_token_invalid',
                 "a longer one ($round)");
    $t->is_error(ask($s, substr($s->{token}, 0, -1)), 403,
                 'traffic_token_invalid', "a shorter one ($round)");
    $t->is_error(ask($s, $open->{token}), 403, 'traffic_token_invalid',
                 "another sandbox's ($round)");
    $t->is_error(ask($s, ''), 403, 'traffic_token_invalid',
                 "an empty one ($round)");
    $t->is_error(ask($s, $s->{token}, $s->{token}), 403,
                 'traffic_token_invalid', "two ($round)");

    my $r = ask($s, $s->{token});
    is($r->{status}, 200, "the right one ($round)") or diag($r->{body});
    ok(!grep({ /nullspace/ } keys %{ $r->{json}{headers} }),
       'which the guest does not see');
    unlike($r->{body}, qr/\Q$s->{token}/, 'under no name');
}

is(ask($open)->{status}, 200, 'public traffic needs none');
is(ask($open, 'any')->{status}, 200, 'and bears any');

for my $path ("/v1/sandboxes/$s->{id}", '/v1/sandboxes') {
    unlike($t->get($path)->{body}, qr/\Q$s->{token}/, "$path has no token");
}
unlike($t->log_text, qr/\Q$s->{token}/, 'nor has the log');

# --- a browser ---------------------------------------------------------------

{
    my $r = $t->traffic($s, 8000, 'GET', '/', headers => [
        Accept => 'text/html,application/xhtml+xml,*/*;q=0.8']);

    is($r->{status}, 403, 'a browser without a token');
    is($r->{headers}{'content-type'}, 'text/html; charset=utf-8',
       'gets a page');
    is($r->{headers}{vary}, 'Accept', 'as it accepts it');
    like($r->{body}, qr{<code>traffic_token_required</code>.*
                        <code>\Q$r->{headers}{'x-request-id'}\E</code>}sx,
         'with the code and the request');
    $t->is_error($t->get('/v1/nothing', headers => [Accept => 'text/html']),
                 404, 'not_found', 'which the API never does');
}

# --- the host ----------------------------------------------------------------

is(ask($s, $s->{token})->{json}{headers}{host}, 'localhost:8000',
   'a masked host with its port');
my $r = ask($open);
is($r->{json}{headers}{host}, 'fixed.test', 'a fixed one');
is($r->{json}{headers}{'x-forwarded-host'}, $t->host($open, 8000),
   'the real one is forwarded');

# --- traffic that becomes private ----------------------------------------------

{
    my $host = $t->host($open, 8000);
    my $public = sub {
        my ($value) = @_;
        my $r = $t->request('PATCH', "/v1/sandboxes/$open->{id}/network",
                            json => { allow_public_traffic => $value });
        is($r->{status}, 200, $value ? 'public' : 'private') or diag($r->{body});
    };
    my $visit = sub {
        my ($path, @headers) = @_;
        my $c = SandboxHttp->new($t->{traffic}, 20);
        $c->send($c->format_request('GET', $path, [Host => $host, @headers]));
        return $c;
    };
    # a worker hears of a change a moment after the answer of another
    my $let_in = sub {
        my ($name, $try) = @_;
        my $c;
        ok(wait_for(5, sub { $c = $try->() }), $name);
        return $c;
    };
    my $socket = sub {
        my @headers = (Host => $host, @_);
        return $let_in->('a WebSocket', sub {
            my $c = SandboxHttp->new($t->{traffic}, 20);
            return $c->ws_open('/ws', \@headers)->{status} == 101 ? $c : undef;
        });
    };
    my $stream = sub {
        return $let_in->('a stream', sub {
            my $c = $visit->('/events');
            return ($c->read_head // { status => 0 })->{status} == 200 ? $c : undef;
        });
    };
    my @token = (HEADER, $open->{token});

    $public->(JSON::PP::false);
    my @known = (map({ $socket->(@token) } 1 .. 2));
    $public->(JSON::PP::true);
    my @sockets = map { $socket->() } 1 .. 4;
    my @streams = map { $stream->() } 1 .. 4;
    my @waiting = map { $visit->('/sleep?60') } 1 .. 2;
    my $known = $visit->('/sleep?3', @token);
    sleep 1;
    $public->(JSON::PP::false);

    for (@sockets) {
        my ($op, $data) = $_->ws_read(5);
        is_deeply([$op, unpack('n', $data // '')], [8, 1001],
                  'ends who was let in without a token');
        ok($_->closed(5), 'and the connection');
    }
    for (@streams) {
        my $end = time() + 5;
        my $n;
        1 while $n = $_->fill($end);
        is($n, 0, 'a stream likewise');
    }
    $t->is_error($t->end($_), 403, 'traffic_token_required',
                 'who has no answer yet is refused') for @waiting;
    is($t->end($known)->{status}, 200, 'unless there was a token');

    for (@known) {
        $_->ws_send('still here');
        is_deeply([$_->ws_read(5)], [1, 'still here'],
                  'who came by token stays');
    }
    $public->(JSON::PP::true);
    for (@known) {
        $_->ws_send('and here');
        is_deeply([$_->ws_read(5)], [1, 'and here'], 'also when it is public');
    }
    ok(wait_for(5, sub { ask($open)->{status} == 200 }), 'public again');
}

# --- the path form -----------------------------------------------------------

(my $dashed = $open->{id}) =~ tr/_/-/;
for (["sandboxes/$open->{id}/ports/8000/a/b?c=%2Fd", '/a/b?c=%2Fd'],
     ["sandboxes/$dashed/ports/8000/%61/x", '/%61/x'],
     ["sandboxes/$open->{id}/ports/8000", '/'],
     ["sandboxes/$open->{id}/ports/8000?q", '/?q']) {
    my ($path, $seen) = @$_;
    my $r = edge($path);
    is($r->{status}, 200, $path) or diag($r->{body});
    is($r->{json}{path}, $seen, 'as the guest sees it');
}

for (["Bearer $t->{key}", undef], ['bearer ns_live_other', undef],
     ["Bearer   $t->{key}", undef],
     ['Bearer of-the-guest', 'Bearer of-the-guest'],
     ['Basic bnNfbGl2ZQ==', 'Basic bnNfbGl2ZQ==']) {
    my ($sent, $seen) = @$_;
    my $r = edge("sandboxes/$open->{id}/ports/8000/", Authorization => $sent);
    is($r->{json}{headers}{authorization}, $seen,
       $seen ? 'credentials for the guest' : 'a key of the API stays here');
}

is(edge("sandboxes/$s->{id}/ports/8000/", HEADER, $s->{token})->{status}, 200,
   'with a token');
$t->is_error(edge("sandboxes/$s->{id}/ports/8000/"), 403,
             'traffic_token_required', 'without it');
$t->is_error(edge("sandboxes/$open->{id}/ports/22/"), 403, 'port_not_allowed',
             'a port that is never reachable');
# Its origin is shared, with the API as well: nobody speaks for all of it.
{
    my @whole = qw(service-worker-allowed clear-site-data alt-svc
                   strict-transport-security nel report-to
                   reporting-endpoints accept-ch);
    my $given = sub {
        my ($r) = @_;
        return join ' ', grep { exists $r->{headers}{$_} } @whole;
    };
    my $r = edge("sandboxes/$open->{id}/ports/8000/origin");

    is($r->{status}, 200, 'a guest that speaks for its origin');
    is($given->($r), '', 'is not heard');
    is_deeply([@{ $r->{headers} }{qw(x-guest set-cookie)}], ['yes', 'a=b'],
              'but for its own path');
    is($given->($t->traffic($open, 8000, 'GET', '/origin')), "@whole",
       'under a name of its own it is');
}

for ('sandboxes', "sandboxes/$open->{id}/", "sandboxes/$open->{id}/ports/0/",
     "sandboxes/sb_nobody/ports/8000/",
     "x/../sandboxes/$open->{id}/ports/8000/",
     "sandboxes/$open->{id}/ports/8000/%2e%2e/8001/",
     "sandboxes/$open->{id}/ports/800/../8000/") {
    $t->is_error(edge($_), 404, 'sandbox_not_found', $_);
}

$t->finish;
