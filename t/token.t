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
