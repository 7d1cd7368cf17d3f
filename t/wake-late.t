#!/usr/bin/perl

# Requests for sandboxes that do not wake, by records put into Redis by hand:
# no guest ever runs here.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxRecords;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--set', 'sandbox_wake_timeout=1s']);
my $key = $t->key('sleepers');
my $records = SandboxRecords->new($t->redis_socket, 'sleepers');
my $node = $t->node;
my $r;

sub record {
    my (%o) = @_;
    my $id = $records->add(node => $node, traffic_token => 'y' x 32,
                           auto_resume => 1, timeout_action => 'hibernate', %o);

    $records->flush;
    return $id;
}

sub visit {
    my ($id, %o) = @_;

    return $t->traffic($id, 8000, 'GET', '/', %o);
}

sub command {
    my ($id) = @_;

    return $t->post("/v1/sandboxes/$id/exec", key => $key,
                    json => { command => 'true' });
}

# --- it takes too long ----------------------------------------------------------

for my $state ('resuming', 'hibernating') {
    my $id = record(state => $state);

    for (['traffic', \&visit], ['a command', \&command]) {
        my ($what, $ask) = @$_;
        my $r = $ask->($id);
        $t->is_error($r, 503, 'sandbox_changing', "$what, $state");
        is($r->{headers}{'retry-after'}, 5, 'is told when to come again');
        like($r->{json}{suggested_action} // '', qr/Retry-After/, 'in words');
        cmp_ok($r->{seconds}, '>', 0.9, 'after its wait');
        cmp_ok($r->{seconds}, '<', 3, 'and not much later');
    }
}

cmp_ok($t->metric('sandbox_wake_waits_total{outcome="late"}')
       + $t->metric('sandbox_wake_waits_total{outcome="failed"}'), '==', 4,
       'which is counted');

{
    my $id = record(state => 'resuming');
    my $http = SandboxHttp->new($t->{traffic});
    $http->send($http->format_request('GET', '/', [Host => $t->host($id, 80)]));
    sleep 0.3;
    $http->abort;
    ok(wait_for(3, sub { $t->metric('sandbox_wake_waits_total{outcome="left"}') }),
       'as is a client that went away');
}

# --- one that has waited, and waits again -------------------------------------------

# A server in place of the guest; the sandbox goes through its states by hand.
{
    my $address = '127.0.0.92';
    my $server = "$t->{dir}/guest-server.py";
    open(my $out, '>', $server) or die "$server: $!";
    print $out SandboxLeft::slurp($SandboxTest::guest_server);
    close $out;

    my $pid = $t->inside('sh', '-c', "python3 $server 8000 $address "
                         . '>/dev/null 2>&1 </dev/null & echo $!');
    chomp $pid;
    my $clean = guard(sub {
        eval { $t->inside('kill', $pid) };
        unlink $server;
    });
    my $listens = sprintf '%08X:1F40 .* 0A ',
                          unpack 'V', pack('C4', split /\./, $address);
    ok(wait_for(60, sub {
        ($t->try_stack('run', '--', 'grep', '-q', $listens,
                       '/proc/net/tcp'))[0] == 0
    }), 'it listens');

    my $id = record(state => 'resuming',
                    address => unpack('N', pack('C4', split /\./, $address)),
                    execution => sprintf('%016x', rand 2**48));
    my $becomes = sub {
        my ($state) = @_;
        $records->command('HSET', $records->key('sandbox', $id),
                          state => $state);
        $records->command('PUBLISH', 'sbx:events', "$id $state");
    };
    my $waits = sub {
        return $t->metric('sandbox_wake_waits_total{outcome="served"}');
    };
    my $served = $waits->();

    my $http = SandboxHttp->new($t->{traffic});
    $http->send($http->format_request('PUT', '/once',
                                      [Host => $t->host($id, 8000)], 'abc'));
    sleep 0.3;
    $becomes->('running');
    ok(wait_for(5, sub { $waits->() == $served + 1 }), 'a PUT wakes it');
    sleep 1.5; # sandbox_wake_timeout and more, unanswered

    $becomes->('resuming');
    $records->command('PUBLISH', 'sbx:events', "$id paused");
    sleep 0.3;
    $becomes->('running');
    $r = $http->read_response(timeout => 10);
    is(($r // {})->{status}, 200, 'taken back, it is woken for again')
        or diag(explain $r);
}

# --- without auto_resume ----------------------------------------------------------

for my $state ('resuming', 'hibernating') {
    my $id = record(state => $state, auto_resume => 0);

    $r = visit($id);
    $t->is_error($r, 503, 'sandbox_changing', "traffic, $state, by others");
    cmp_ok($r->{seconds}, '<', 0.9, 'at once');
    for (['a command', command($id)],
         ['a deadline', $t->post("/v1/sandboxes/$id/timeout", key => $key,
                                 json => { timeout_ms => 60_000 })],
         ['a policy', $t->request('PATCH', "/v1/sandboxes/$id/network",
                                  key => $key,
                                  json => { internet_access => \0 })]) {
        my ($what, $r) = @$_;
        my ($status, $done) = @{ { hibernating => ['running', 'hibernated'],
                                   resuming => ['paused', 'resumed'] }->{$state} };

        $t->is_error($r, 409, 'transition_in_progress', "and $what");
        is($r->{json}{error_detail}{state}, $status, 'the status it has');
        like($r->{json}{error}, qr/is being $done/, 'and what is being done');
    }
    next if $state eq 'resuming';

    for my $verb ('hibernate', 'resume', 'fork') {
        my $lease = int(time() * 1000) + 60_000;
        $records->command('HSET', $records->key('sandbox', $id),
                          lease_at => $lease);
        $t->is_error($t->post("/v1/sandboxes/$id/$verb", key => $key,
                              idem => SandboxTest::idem()), 409,
                     'transition_in_progress', "$verb waits, and gives up");
    }
}

{
    my $id = record(state => 'paused', auto_resume => 0);

    $r = visit($id);
    $t->is_error($r, 409, 'sandbox_paused_auto_resume_disabled', 'paused');
    like($r->{json}{suggested_action} // '', qr/resume/, 'what to do');
    $t->is_error(command($id), 409, 'sandbox_paused_auto_resume_disabled',
                 'likewise a command');
}

# --- it was woken too often -----------------------------------------------------------

{
    my %paused = (state => 'paused',
                  snapshot_id => "snap_$records->{shard}aaaaaaaaaaaaaaaaaa");
    my %tired = (%paused, wakes => 10,
                 wakes_since => int(time() * 1000) - 3_000_000);
    my $id = record(%tired);

    $r = visit($id);
    $t->is_error($r, 503, 'wake_limit_exceeded', 'woken ten times in an hour');
    cmp_ok($r->{headers}{'retry-after'}, '>', 500, 'it is left alone');
    cmp_ok($r->{headers}{'retry-after'}, '<', 602, 'until that is over');
    is($t->metric('sandbox_limited_total{limit="wakes"}'), 1, 'counted');
    is($records->command('HGET', $records->key('sandbox', $id), 'state'),
       'paused', 'and not touched');

    # one that waited for it would wake it as soon as it is paused
    $id = record(%tired, state => 'hibernating');
    $t->is_error(visit($id), 503, 'sandbox_changing',
                 'one that is about to be paused is not waited for');
    $records->command('HSET', $records->key('sandbox', $id),
                      state => 'paused');
    $t->is_error(visit($id), 503, 'wake_limit_exceeded',
                 'nor woken when it is');
    is($t->metric('sandbox_limited_total{limit="wakes"}'), 2, 'counted');
    is($records->command('HGET', $records->key('sandbox', $id), 'state'),
       'paused', 'it stays so');

    for (record(%paused, wakes => 9, wakes_since => int(time() * 1000)),
         record(%paused, wakes => 10, wakes_since => 1)) {
        isnt((visit($_, timeout => 30)->{json} // {})->{code},
             'wake_limit_exceeded', 'one that was not is woken');
    }
}

# --- it cannot be woken ------------------------------------------------------------

{
    my $id = record(state => 'paused', node => 'elsewhere',
                    snapshot_id => "snap_$records->{shard}aaaaaaaaaaaaaaaaaa");

    # the owner is told which, a visitor is not
    my $far = sub {
        my ($visit, $command, $name) = @_;
        $t->is_error($_, 503, 'no_eligible_runtime_host', $name)
            for $visit, $command;
        is_deeply([map { $_->{json}{error_detail} } $visit, $command],
                  [undef, { node => 'elsewhere' }], 'to whom it is named');
    };

    $far->(visit($id), command($id), 'kept on another node');

    # whoever answers at that address here is not it
    $id = record(node => 'elsewhere',
                 address => unpack('N', pack('C4', 127, 0, 0, 1)));
    $far->(visit($id), command($id), 'running there');

    for (['POST', 'hibernate', {}], ['POST', 'fork', {}],
         ['PATCH', 'network', { internet_access => JSON::PP::false }]) {
        my ($method, $verb, $body) = @$_;
        my $r = $t->request($method, "/v1/sandboxes/$id/$verb", key => $key,
                            idem => $t->idem, json => $body);
        $t->is_error($r, 503, 'no_eligible_runtime_host', $verb);
        is($r->{json}{error_detail}{node}, 'elsewhere', 'with its node');
    }
}

{
    my $id = record(state => 'paused',
                    snapshot_id => "snap_$records->{shard}aaaaaaaaaaaaaaaaaa");

    $r = visit($id, timeout => 30);
    like($r->{status}, qr/^(?:409|503)$/, 'what it is to be made of is lost')
        or diag($r->{body});
    is(($r->{json} // {})->{code}, 'incompatible_snapshot', 'its code');
    is($t->get("/v1/sandboxes/$id", key => $key)->{json}{status}, 'paused',
       'it is paused as before');
    $t->expect_log(qr/snap_/);
}

# --- aliases that lead nowhere ------------------------------------------------------

{
    my ($first, $second) = map { record(state => 'resumed') } 1, 2;
    my $lost = record(state => 'resumed');

    $records->command('HSET', $records->key('sandbox', $first),
                      next => $second);
    $records->command('HSET', $records->key('sandbox', $second),
                      next => $first);

    for ($first, $second, $lost) {
        $t->is_error(visit($_), 404, 'sandbox_not_found', 'a ring or a void');
        $t->is_error(visit($_), 404, 'sandbox_not_found', 'also when cached');
        $t->is_error(command($_), 404, 'sandbox_not_found', 'for commands');
    }
}

$records->clear;
$t->finish;
