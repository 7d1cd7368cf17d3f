#!/usr/bin/perl

# Two nodes on one Redis: an idempotency key is one for all of them, and a
# DELETE reaches the node that has the sandbox.  And two hosts that are one node:
# only that one which is it acts as it.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxNginx;
use SandboxTest;

my $t = SandboxTest->new(own => 1);
my $second = SandboxNginx->new($t, 'node2',
                               sandbox_limits => 'memory_mb=256');

ok(wait_for(10, sub { $second->answers }), 'a second node is up');

# --- one key, two nodes ------------------------------------------------------

my ($key, $body) = (SandboxTest::idem(), '{"memory_mb":128}');
my $later = $second->begin_create($key, $body);
my $one = $t->post('/v1/sandboxes', body => $body, idem => $key);
my $two = $second->end($later);

is_deeply([$one->{status}, $two->{status}], [201, 201],
          'a create sent to both nodes');
is($one->{body}, $two->{body}, 'makes one sandbox');

my $s = $t->sandbox($one);
my $node = $t->redis('HGET', "sbx:{" . substr($s->{id}, 3, 2)
                             . "}:sandbox:$s->{id}", 'node');
like($node, qr/^(stack|node2)$/, 'that one of the nodes has');

# --- a key of what only one of them allows -----------------------------------

{
    my ($key, $large) = (SandboxTest::idem(), '{"memory_mb":512}');
    my $r = $second->end($second->begin_create($key, $large));

    is($r->{status}, 400, 'the second node allows less memory');
    $r = $t->post('/v1/sandboxes', body => $large, idem => $key);
    is($r->{status}, 201, 'the first one does it') or diag($r->{body});
    my $made = $t->sandbox($r);
    my $again = $second->end($second->begin_create($key, $large));
    is_deeply([@$again{qw(status body)}], [@$r{qw(status body)}],
              'and the second one tells it to who asks with the same key');
    $r = $second->end($second->begin_create($key, '{"memory_mb":1024}'));
    is($r->{json}{code}, 'idempotency_key_reused', 'but with another body');
}

# --- DELETE by the other node ------------------------------------------------

for my $by (1, 2) {
    my $d = $by == 1 ? $t->create({ memory_mb => 128 }) : $s;
    my $r = $second->end($second->begin('DELETE', "/v1/sandboxes/$d->{id}"));

    is($r->{status}, 200, "a DELETE sent to the second node ($by)")
        or diag($r->{body});
    ok(!grep({ $_ eq $d->{id} } $t->domains), 'is answered when it is gone');
    $t->is_error($t->get("/v1/sandboxes/$d->{id}"), 404, 'sandbox_not_found',
                 'on the first one too');
}

my $s1 = $t->create({ memory_mb => 128 });
my @deletes = map { $second->begin('DELETE', "/v1/sandboxes/$s1->{id}") } 1 .. 4;
is_deeply([map { $second->end($_)->{status} } @deletes], [(200) x 4],
          'four at once are all answered');
is(scalar($t->domains), 0, 'and nothing is left');

# --- a node that is another host ---------------------------------------------

{
    my $host = 'sbx:{stack}:host';
    my $own = $t->redis('GET', $host);
    my ($due, $doomed, $kept) =
        map { $t->create({ memory_mb => 128, timeout_ms => 3600000 }) } 1 .. 3;
    my $record = sub { 'sbx:{' . substr($_[0], 3, 2) . "}:sandbox:$_[0]" };
    my $foreign = sub {
        my $text = $t->get('/metrics', key => undef)->{body};
        my $n = 0;

        $n += $_ for $text =~ /^sandbox_node_foreign\{[^}]*\} (\d+)/mg;
        return $n;
    };
    my $refused = sub {
        my ($r, $name) = @_;

        $t->is_error($r, 503, 'no_eligible_runtime_host', $name);
        is($r->{json}{error_detail}{node}, 'stack', 'which names the node');
    };

    ok($t->serve($kept, 8000), 'a server in a sandbox');
    is($t->traffic($kept, 8000, 'GET', '/')->{status}, 200, 'is reached');
    is($foreign->(), 0, 'the node is this host');

    my $mark = $t->log_mark;
    $t->expect_log(qr/another host is the node "stack" in this Redis/);
    # its heartbeat, for no host is of that name
    $t->redis('SET', $host, 'f' x 32);
    ok(wait_for(10, sub { $foreign->() == 2 }),
       'then another host is it: all workers know');
    my @lines = $t->log_text($mark) =~ /(another host is the node "stack")/g;
    is(scalar(@lines), 2, 'and have logged it once');

    # an end whose time has come, and is the other host's to bring about
    my $past = int(time() * 1000) - 1000;
    $t->redis('HSET', $record->($due->{id}), 'timeout_at', $past);
    $t->redis('ZADD', 'sbx:{stack}:agenda', $past, $due->{id});

    $refused->($t->post('/v1/sandboxes', json => { memory_mb => 128 }),
               'a create is refused');
    my $r = $second->end($second->begin_create(SandboxTest::idem(), $body));
    is($r->{status}, 201, 'another node does it');
    my $there = $t->sandbox($r);
    is($t->get("/v1/sandboxes/$there->{id}")->{status}, 200,
       'what needs no guest is answered as ever');
    is($t->get("/v1/sandboxes/$kept->{id}")->{status}, 200,
       'also of its own name');
    $r = $t->traffic($kept, 8000, 'GET', '/');
    is($r->{status}, 503, 'no guest is reached: its address may be another\'s');
    is($r->{json}{code}, 'no_eligible_runtime_host', 'and that is said');
    $refused->($t->post("/v1/sandboxes/$kept->{id}/$_->[0]", json => $_->[1],
                        idem => SandboxTest::idem()), "so is $_->[0]")
        for ['exec', { command => 'true' }], ['snapshots', {}], ['fork', {}];
    $refused->($t->post("/v1/sandboxes/$kept->{id}/hibernate"),
               'so is hibernate');
    $refused->($t->request('PATCH', "/v1/sandboxes/$kept->{id}/network",
                           json => { internet_access => JSON::PP::false }),
               'so is a policy');
    is($t->redis('HGET', $record->($kept->{id}), 'state'), 'running',
       'nothing of that is left');

    # by this host, which is not to do it
    my $delete = $t->begin('DELETE', "/v1/sandboxes/$doomed->{id}");
    ok(wait_for(10, sub {
        $t->redis('HGET', $record->($doomed->{id}), 'state') eq 'destroying'
    }), 'a DELETE is noted');
    is($t->redis('HGET', $record->($doomed->{id}), 'owner'), '',
       'for the other host');

    # some looks at the agenda and at what is lost
    sleep 4;
    is_deeply([sort grep { /^sb_/ } $t->domains],
              [sort map { $_->{id} } $due, $doomed, $kept, $there],
              'nothing is ended');
    is($t->redis('HGET', $record->($due->{id}), 'state'), 'running',
       'not even begun to');
    is($t->redis('ZSCORE', 'sbx:{stack}:agenda', $due->{id}), $past,
       'what is due waits for the other host');

    $t->redis('DEL', $host);
    ok(wait_for(10, sub { $t->redis('GET', $host) eq $own }),
       'it is heard of no more: the node is this host again');
    is($t->end($delete)->{status}, 200, 'the DELETE is done');
    ok(wait_for(10, sub { $t->get("/v1/sandboxes/$due->{id}")->{status} == 404 }),
       'and what was due');
    ok(wait_for(10, sub { $foreign->() == 0 }), 'all workers know again');
    is($t->exec($kept, 'echo 1')->{stdout}, "1\n", 'the others run on');
    is($t->traffic($kept, 8000, 'GET', '/')->{status}, 200, 'and are reached');
    ok($t->create({ memory_mb => 128 }), 'and creates are admitted');
}

$second->stop;
ok(wait_for(30, sub { 2 == $t->workers }), 'the second node ends');
$t->finish;
