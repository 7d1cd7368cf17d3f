#!/usr/bin/perl
#
# What a sandbox may reach: the policy of its create, its change while it runs
# or is paused, its way through fork, snapshot and resume; and that nothing
# runs unfiltered when the hook or the watcher is away.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;
use SandboxWorld;

my ($yes, $no) = (JSON::PP::true, JSON::PP::false);
my @web = qw(192.0.2.10 192.0.2.20 198.51.100.10 udp:9.9.9.9);
my $t = SandboxTest->new(own => 1);
my $world = SandboxWorld->new($t);

sub patch {
    my ($sandbox, $body, %o) = @_;
    my $id = ref $sandbox ? $sandbox->{id} : $sandbox;

    return $t->request('PATCH', "/v1/sandboxes/$id/network", json => $body,
                       %o);
}

sub create {
    my ($internet, %network) = @_;

    return $t->create({ internet_access => $internet, network => \%network });
}

# --- policies of a create ---------------------------------------------------

my $open = $t->create;
is_deeply($world->reaches($open, @web), \@web, 'the internet, and a resolver');

my ($api) = $t->{api} =~ /:(\d+)/;
is_deeply($world->reaches($open, '10.9.9.9', '169.254.169.254', 'udp:10.9.9.9',
                          'udp:10.88.0.1', "10.88.0.1:$api",
                          SandboxWorld::HERE . ":$api", SandboxWorld::ROUTER),
          ['203.0.113.2'], 'private networks, metadata and the host are not in '
          . 'it; what the host was attached to later is');
$t->inside("$SandboxTest::top/scripts/host-network", 'up', '--dns', '10.9.9.9');
is_deeply($world->reaches($open, SandboxWorld::ROUTER, '10.9.9.9',
                          'udp:10.9.9.9', '192.0.2.10'),
          ['udp:10.9.9.9', '192.0.2.10'],
          'until host-network is told; guests that run keep their policy');

my $closed = create($no);
is_deeply($world->reaches($closed, @web, 'udp:10.9.9.9'), [],
          'without internet access, nothing and no resolver');
is($t->exec($closed, 'echo here')->{stdout}, "here\n",
   'but commands are served');

my $some = create($yes, allow_out => ['192.0.2.0/24', '2001:db8::/32'],
                  deny_out => ['192.0.2.20']);
is_deeply($world->reaches($some, @web), ['192.0.2.10'],
          'what is allowed and not denied');
is_deeply(patch($some, {})->{json},
          { internet_access => $yes, deny_out => ['192.0.2.20/32'],
            allow_out => ['192.0.2.0/24', '2001:db8::/32'],
            allow_public_traffic => $yes, mask_request_host => undef },
          'an empty change shows the policy');

# --- another sandbox's path -------------------------------------------------

my $r = $t->exec($some, 'hostname -I');
my ($neighbour) = $r->{stdout} =~ /([\d.]+)/;
is_deeply($world->reaches($open, "$neighbour:22", "$neighbour:8090"), [],
          'no other guest');

# --- a change while it runs -------------------------------------------------

# a connection that ticks ten times a second
ok($t->exec($open, 'nohup python3 -c "
import socket
s = socket.create_connection((\'192.0.2.10\', 80))
while True: open(\'/tmp/ticks\', \'ab\').write(s.recv(99))
" >/dev/null 2>&1 &
for i in $(seq 100); do test -s /tmp/ticks && exit; sleep 0.1; done; exit 1')
       ->{exit_code} == 0,
   'a connection is there');

sub ticks {
    return $t->exec($open, 'a=$(stat -c %s /tmp/ticks); sleep 0.5; '
                    . 'echo $(( $(stat -c %s /tmp/ticks) - a ))')->{stdout};
}

cmp_ok(ticks(), '>', 0, 'a connection to somebody allowed lives');
$r = patch($open, { deny_out => ['192.0.2.0/28'] });
is($r->{status}, 200, 'a block is denied') or diag($r->{body});
is(ticks(), "0\n", 'the connection into it has ended');
is_deeply($world->reaches($open, @web),
          ['192.0.2.20', '198.51.100.10', 'udp:9.9.9.9'], 'and there is no new '
          . 'one, but elsewhere');

is_deeply(patch($open, { internet_access => $no })->{json},
          { internet_access => $no, deny_out => ['192.0.2.0/28'],
            allow_out => [], allow_public_traffic => $yes,
            mask_request_host => undef }, 'no internet access any more');
is_deeply($world->reaches($open, @web), [], 'none');
patch($open, { internet_access => $yes, deny_out => [],
               allow_out => ['198.51.100.0/24'] });
is_deeply($world->reaches($open, @web), ['198.51.100.10'],
          'some are allowed again');

$t->is_error(patch($open, { allow_out => ['10.0.0.0/8', '10.0.0.1/8'] }), 400,
             'invalid_request', 'bits behind the prefix', 'allow_out[1]');
$t->is_error(patch($open, { internet => $yes }), 400, 'invalid_request',
             'an unknown member', 'internet');
$t->is_error(patch($open, {}, key => $t->key('other')), 404,
             'sandbox_not_found', "another tenant's");

# --- traffic ----------------------------------------------------------------

$t->serve($open, 8000, <<'END');
from http.server import *
class H(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        text = self.headers['Host'].encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
ThreadingHTTPServer(('', 8000), H).serve_forever()
END
is($t->traffic($open, 8000, 'GET', '/')->{status}, 200, 'public traffic');
is(patch($open, { allow_public_traffic => $no,
                  mask_request_host => 'localhost:${PORT}' })->{status}, 200,
   'is public no more');
ok(wait_for(5, sub { $t->traffic($open, 8000, 'GET', '/')->{status} == 403 }),
   'a token is needed');
is($t->traffic($open, 8000, 'GET', '/', headers => [
       'x-nullspace-traffic-access-token', $open->{token}])->{body},
   'localhost:8000', 'the host of traffic with a token is masked');
is(patch($open, { allow_public_traffic => $yes, mask_request_host => '' })
       ->{json}{mask_request_host}, undef, 'the mask is taken away');
ok(wait_for(5, sub {
    $t->traffic($open, 8000, 'GET', '/')->{body} eq $t->host($open, 8000)
}), 'traffic is public again');

# --- who comes from it ------------------------------------------------------

$r = $t->post("/v1/sandboxes/$some->{id}/fork", json => {},
              idem => SandboxTest::idem());
my $fork = $t->sandbox($r);
is_deeply($world->reaches($fork, @web), ['192.0.2.10'], 'a fork has it');

$r = $t->post("/v1/sandboxes/$some->{id}/snapshots", json => {},
              idem => SandboxTest::idem());
my $snapshot = $r->{json}{id};
my $child = $t->create({
    snapshot_id => $snapshot, internet_access => $yes,
    network => { allow_out => ['2001:db8::/32', '192.0.2.0/24'] } });
is_deeply($world->reaches($child, @web), ['192.0.2.10'],
          'what is made of a snapshot has it');
for (['internet_access', { internet_access => $no }],
     ['network.allow_out', { network => { allow_out => [] } }],
     ['network.deny_out', { network => { deny_out => ['192.0.2.0/24'] } }]) {
    my ($field, $body) = @$_;
    $t->is_error($t->post('/v1/sandboxes',
                          json => { snapshot_id => $snapshot, %$body }), 400,
                 'invalid_request', "another $field than the snapshot's",
                 $field);
}

is($t->post("/v1/sandboxes/$some->{id}/hibernate", json => {})->{status}, 200,
   'hibernated');
is_deeply(patch($some, { deny_out => [] })->{json}{allow_out},
          ['192.0.2.0/24', '2001:db8::/32'],
          'a paused one gets another policy');
$r = $t->post("/v1/sandboxes/$some->{id}/resume", json => {});
my $resumed = $t->sandbox($r);
is_deeply($world->reaches($resumed, @web), ['192.0.2.10', '192.0.2.20'],
          'a resumed sandbox has the policy');
is(patch($some->{id}, { allow_out => [] })->{status}, 200,
   'an alias leads there');
is_deeply($world->reaches($resumed, @web), \@web,
          'a policy is changed by an alias');

# --- a later owner of the address -------------------------------------------

my ($address) = $t->exec($open, 'hostname -I')->{stdout} =~ /([\d.]+)/;
my $flows = sub { scalar grep { /src=\Q$address\E / } split /\n/,
                  $t->inside('cat', '/proc/net/nf_conntrack') };
cmp_ok($flows->(), '>', 0, 'connections of a sandbox are tracked');
$t->destroy($open->{id});
ok(wait_for(5, sub { $flows->() == 0 }),
   'connections of a sandbox are forgotten with it');

# --- the watcher is away ----------------------------------------------------

$t->stack('kill', 'network');
$t->is_error(patch($closed, { internet_access => $yes }), 503,
             'hypervisor_unavailable', 'nobody puts a policy in force');
is(patch($closed, {})->{json}{internet_access}, $no, 'the old one stays');
my $slow = $t->begin('PATCH', "/v1/sandboxes/$closed->{id}/network",
                     json => { internet_access => $yes });
my $record = 'sbx:{' . substr($closed->{id}, 3, 2) . "}:sandbox:$closed->{id}";
wait_for(3, sub { $t->redis('HGET', $record, 'network_by') });
$t->stack('reload', 'nginx');
$t->is_error($t->end($slow), 503, 'hypervisor_unavailable',
             'one that waits for it is answered by a worker that is to exit');
$t->is_error($t->post('/v1/sandboxes', json => {}), 503,
             'hypervisor_unavailable', 'nobody lets a guest in: none runs');
like($t->log_text, qr/sandbox-network-watch does not answer/,
     'the log says why');
my $starter = fork() // die "fork: $!";
exec("$SandboxTest::top/scripts/stack", 'start', 'network', '--dir', $t->dir)
    if $starter == 0;
my $gone = $t->create;
ok($gone, 'a create waits for one that comes back');
waitpid $starter, 0;
is($?, 0, 'as it has');
is_deeply($world->reaches($closed, @web), [],
          'a watcher that comes back knows the old policy');
is(patch($closed, { internet_access => $yes })->{status}, 200,
   'then another one is put in force');
is_deeply($world->reaches($closed, @web), \@web, 'another policy is in force');

my $lines = $t->inside('sh', '-c', "$SandboxTest::top/build/tools/"
                       . 'sandbox-network-watch 2>&1; echo $?');
like($lines, qr/another one runs\n1$/, 'a second watcher ends');

# One that ends while nobody watches leaves no connections.
$r = $t->exec($gone, 'hostname -I');
($address) = $r->{stdout} =~ /([\d.]+)/;
is_deeply($world->reaches($gone, '192.0.2.10'), ['192.0.2.10'], 'a connection');
cmp_ok($flows->(), '>', 0, 'is tracked');
$t->stack('kill', 'network');
$t->destroy($gone->{id});
cmp_ok($flows->(), '>', 0, 'also after its end, while nobody watches');

# What the kernel knows of its guests is lost.
$t->inside('nft', 'flush', 'set', 'inet', 'sandbox_sbx0', 'online');
is_deeply($world->reaches($closed, '192.0.2.10'), [], 'without an element');
$t->stack('start', 'network');
is_deeply($world->reaches($closed, '192.0.2.10'), ['192.0.2.10'],
          'the watcher makes it anew from the domains when it starts');
is($flows->(), 0, 'the watcher forgets the connections of who has gone');

# What somebody else has done to the sets is found with the next change.
$t->inside('nft', 'flush', 'set', 'inet', 'sandbox_sbx0', 'online');
is(patch($closed, { internet_access => $no })->{status}, 200,
   'a policy is put in force over a set that was emptied');
is_deeply($world->reaches($some = $t->create, '192.0.2.10'), ['192.0.2.10'],
          'guests go on to come in');

# --- ports of the bridge ------------------------------------------------------

my ($ip) = $t->exec($some, 'hostname -I')->{stdout} =~ /([\d.]+)/;
my $tap = sprintf 'sbx%02x%02x%02x%02x', split /\./, $ip;
my $mac = join ':', '02', '5b', map { sprintf '%02x', $_ } split /\./, $ip;
my $port = $t->inside('bridge', '-d', 'link', 'show', 'dev', $tap);

like($port, qr/ learning off /, 'nothing is learnt from a guest');
like($port, qr/ flood off /, 'a guest gets no frames of others');
like($t->inside('bridge', 'fdb', 'show', 'dev', $tap),
     qr/^$mac master sbx0 static$/m,
     'a guest gets its own frames, whatever it says');

# --- all rules are flushed ------------------------------------------------------

$t->inside('nft', 'flush', 'ruleset');
ok(wait_for(5, sub { $t->inside('ip', 'link', 'show', 'sbx0') !~ /[<,]UP[,>]/ }),
   'a bridge whose rules are gone is taken down');
$t->inside("$SandboxTest::top/scripts/host-network", 'up');
ok(wait_for(5, sub { ($world->reaches($some, '192.0.2.10'))->[0] }),
   'with new rules guests are let in again by themselves');
is_deeply($world->reaches($closed, '192.0.2.10'), [],
          'each as its policy says');

for (1 .. 5) {
    $t->inside('sh', '-c', 'nft flush ruleset; exec "$1" up', 'sh',
               "$SandboxTest::top/scripts/host-network");
    ok(wait_for(5, sub { ($world->reaches($some, '192.0.2.10'))->[0] }),
       'also when rules are flushed and made anew at once');
}

# --- libvirtd hangs ---------------------------------------------------------------

# The watcher waits for libvirtd; the rules are checked all the same.
my ($libvirtd) = $t->stack('status') =~ /^\s*libvirtd\s.*?(\d+)/m;
kill 'STOP', $libvirtd;
$t->stack('kill', 'network');
$starter = fork() // die "fork: $!";
exec("$SandboxTest::top/scripts/stack", 'start', 'network', '--dir', $t->dir)
    if $starter == 0;
sleep 2;
$t->inside('nft', 'flush', 'ruleset');
ok(wait_for(5, sub { $t->inside('ip', 'link', 'show', 'sbx0') !~ /[<,]UP[,>]/ }),
   'also then a bridge without rules is taken down');
$t->inside("$SandboxTest::top/scripts/host-network", 'up');
kill 'CONT', $libvirtd;
waitpid $starter, 0;
is($?, 0, 'the watcher goes on with libvirtd');
ok(wait_for(5, sub { ($world->reaches($some, '192.0.2.10'))->[0] }),
   'the watcher lets guests in after libvirtd was away');

# --- a watcher that begins again and again ---------------------------------------

# Without rules it looks at all domains anew, each second.
my ($watcher) = $t->stack('status') =~ /^\s*network\s.*?(\d+)/m;
my $open_files = sub { scalar(() = glob "/proc/$watcher/fd/*") };
my $attempts = sub {
    return scalar grep { /rules of the guests cannot be set/ } split /\n/,
           $t->inside('cat', "$t->{dir}/log/network.log");
};
my ($files, $tried) = ($open_files->(), $attempts->());
cmp_ok($files, '>', 2, 'the watcher has files open');
$t->inside('nft', 'flush', 'ruleset');
$t->stack('restart', 'libvirtd');
ok(wait_for(20, sub { $attempts->() >= $tried + 5 }),
   'the watcher tries five times');
# an attempt of this moment has some
ok(wait_for(5, sub { $open_files->() <= $files }),
   'the watcher keeps nothing of its attempts open');
$t->inside("$SandboxTest::top/scripts/host-network", 'up');
ok(wait_for(5, sub { ($world->reaches($some, '192.0.2.10'))->[0] }),
   'then guests are let in');
ok(wait_for(5, sub { $open_files->() == $files }),
   'the watcher has as many files open as before')
    or diag("$files before, now ", $open_files->());

undef $_ for $open, $closed, $some, $fork, $child, $resumed, $gone;
$t->delete("/v1/snapshots/$snapshot");
undef $world;
$t->finish;
