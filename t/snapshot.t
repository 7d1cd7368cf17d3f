#!/usr/bin/perl

# Reusable snapshots: taken of a sandbox that goes on, listed, started from,
# deleted; and what is left when the one who takes or deletes one dies.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxRecords;
use SandboxTest;

use constant LEASE => 4;

my $t = SandboxTest->new(own => 1, up => ['--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $socket = $t->redis_socket;
my $records = SandboxRecords->new($socket, 'snaps');
my ($key, $other) = map { $t->key($_) } qw(snaps others);
my $node = $t->node;
my $agenda = "sbx:{$node}:agenda";
my $r;

sub take {
    my ($id, $body, %o) = @_;

    return $t->post("/v1/sandboxes/$id/snapshots", key => $key,
                    idem => SandboxTest::idem(), body => $body // '{}', %o);
}

sub field {
    my ($kind, $id, @names) = @_;
    my $values = $records->command('HMGET', $records->key($kind, $id), @names);

    return wantarray ? @$values : $values->[0];
}

# Something that counts, and keeps what it has counted.
sub count_in {
    my ($s) = @_;

    $t->exec($s, 'setsid sh -c "i=0; while :; do i=\$((i+1)); echo \$i'
             . ' >>/dev/shm/count; sleep 0.02; done" >/dev/null 2>&1 &',
             key => $key);
    return wait_for(20, sub { counted($s) > 5 });
}

sub counted {
    my ($s) = @_;

    return int($t->exec($s, 'tail -n 1 /dev/shm/count', key => $key)->{stdout} || 0);
}

sub goes_on {
    my ($s, $name) = @_;
    my $now = counted($s);

    ok($now && wait_for(10, sub { counted($s) > $now + 5 }), $name);
}

# Nothing of a snapshot that is being taken is left, nor of its files.
sub settled {
    my ($id) = @_;
    my $busy = field('sandbox', $id, 'busy_by');
    my @agenda = grep { /^snap_/ }
                 @{ $records->command('ZRANGE', $agenda, 0, -1) };

    return !defined $busy && !@agenda;
}

sub states {
    my ($name) = @_;

    return map { m{/(snap_[a-z2-7]+)\.state$} ? $1 : () }
           glob("\Q$t->{dir}\E/data/disks/snap_*");
}

# --- one ---------------------------------------------------------------------

my $s = $t->create({ memory_mb => 128, timeout_ms => 3_600_000 }, key => $key);
my $id = $s->{id};
ok(count_in($s), 'a sandbox that counts');

my $idem = SandboxTest::idem();
my $body = '{ "metadata": {"z":1.10, "a" : [1e3,12345678901234567890], '
           . '"s":"\u0041\/"} }';
my $mark = $t->log_mark;
my $first = take($id, $body, idem => $idem);
is($first->{status}, 201, 'a snapshot') or diag($first->{body});
my $snap = $first->{json}{id};
like($snap, qr/^snap_[a-z2-7]{20}$/, 'its id');
is($first->{headers}{location}, "/v1/snapshots/$snap", 'Location');
is_deeply([sort keys %{ $first->{json} }],
          [sort qw(id sandbox_id size_bytes created_at metadata)], 'members');
is($first->{json}{sandbox_id}, $id, 'its source');
ok($first->{json}{size_bytes} > 1_000_000, 'its size');
like($first->{json}{created_at}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/, 'its time');
like($first->{body}, qr/"metadata":\{"z":1\.10, "a" : \[1e3,12345678901234567890\], "s":"\\u0041\\\/"\}/,
     'metadata byte for byte');
goes_on($s, 'the source goes on');
is($t->get("/v1/sandboxes/$id", key => $key)->{json}{status}, 'running',
   'the source of a snapshot is said to run');
ok(settled($id), 'nothing is under way any more');
my ($line) = $t->log_text($mark) =~ /snapshot $snap: (taken of \S+ in .*)/;
like($line // '', qr/^taken of $id in \d+ ms, (live|standing still|moved): queue \d+, flush \d+, take \d+, commands stood still \d+, the machine \d+, commit \d+; \d+ bytes/,
     'a line in the log');
diag($line);

# --- the same request again --------------------------------------------------

$r = take($id, $body, idem => $idem);
is($r->{status}, 201, 'a replay');
is($r->{body}, $first->{body}, 'byte for byte');
is($r->{headers}{'idempotent-replayed'}, 'true', 'Idempotent-Replayed');
is($r->{headers}{location}, "/v1/snapshots/$snap", 'Location');
$r = take($id, '{"metadata":{"s":"A/","a":[1000,12345678901234567890],'
               . '"z":1.1}}', idem => $idem);
is($r->{body}, $first->{body}, 'a body that says the same is the same');
$t->is_error(take($id, '{}', idem => $idem), 422, 'idempotency_key_reused',
             'another body');

my $two = $t->create({ memory_mb => 128, timeout_ms => 3_600_000 },
                     key => $key);
$t->is_error(take($two->{id}, $body, idem => $idem), 422,
             'idempotency_key_reused', 'another sandbox');
$t->is_error(take('sb_' . 'a' x 20, $body, idem => $idem), 422,
             'idempotency_key_reused', 'even one that there is not');

# another tenant's, or another route's, is another key
is($t->create({ memory_mb => 128 }, key => $key, idem => $idem)->{response}
   {status}, 201, 'the same key for a create');

# --- refusals ----------------------------------------------------------------

$t->is_error(take($id, '{}', idem => undef), 400, 'idempotency_key_required',
             'without a key', 'Idempotency-Key');
$t->is_error(take($id, '{}', idem => "\x07"), 400, 'invalid_request',
             'a malformed key', 'Idempotency-Key');
$t->is_error(take($id, '{"name":"x"}'), 400, 'invalid_request',
             'an unknown member', 'name');
$t->is_error(take($id, '{"metadata":[]}'), 400, 'invalid_request',
             'metadata that is no object', 'metadata');
$t->is_error(take($id, '{"metadata":{"s":"' . 'x' x 16384 . '"}}'), 400,
             'invalid_request', 'metadata that is too long', 'metadata');
$t->is_error(take($id, '['), 400, 'invalid_json', 'no JSON', 'body');
$t->is_error(take('sb_' . 'a' x 20), 404, 'sandbox_not_found',
             'no such sandbox');
$t->is_error(take('nothing'), 404, 'sandbox_not_found', 'no id at all');
$t->is_error(take($id, '{}', key => $other), 404, 'sandbox_not_found',
             "another tenant's sandbox");
$t->is_error($t->get("/v1/sandboxes/$id/snapshots", key => $key), 405,
             'method_not_allowed', 'GET of that path');

for my $case (['creating', 409, 'sandbox_not_ready'],
              ['paused', 409, 'transition_conflict'],
              ['error', 409, 'transition_conflict'],
              ['destroying', 404, 'sandbox_not_found'],
              ['destroyed', 404, 'sandbox_not_found']) {
    my ($state, $status, $code) = @$case;
    my $one = $records->add(state => $state, created_at => 1e12,
                            node => $node);
    $records->flush;
    my $answer = take($one);
    $t->is_error($answer, $status, $code, "of one that is $state");
    is($answer->{json}{error_detail}{state}, $state, 'its state is told')
        if $status == 409;
}

{
    my $one = $records->add(created_at => 1e12, node => 'another');
    $records->flush;
    $r = take($one);
    $t->is_error($r, 503, 'no_eligible_runtime_host', 'of one on another node');
    is($r->{json}{error_detail}{node}, 'another',
       'the node that has the source is named');

    $one = $records->add(created_at => 1e12, node => $node, busy_by => 'x',
                         busy_until => int(time() * 1000) + 60_000);
    $records->flush;
    my $answer = take($one);
    $t->is_error($answer, 409, 'transition_in_progress', 'of a busy one');
    ok($answer->{seconds} > 4 && $answer->{seconds} < 8,
       'after a wait: ' . sprintf('%.1f s', $answer->{seconds}));

    # an alias leads to the execution that runs
    my $alias = $records->add(created_at => 1e12, state => 'resumed',
                              next => $two->{id});
    $records->flush;
    $r = take($alias, '{"metadata":{"alias":true}}');
    is($r->{status}, 201, 'of an alias') or diag($r->{body});
    is($r->{json}{sandbox_id}, $two->{id},
       'a snapshot of an alias is of the execution that runs');
    is($t->delete("/v1/snapshots/$r->{json}{id}", key => $key)->{status}, 200,
       'a snapshot can be deleted though its source runs');

    # one that becomes an alias while it is waited for, and whose events go on
    my $resuming = $records->add(created_at => 1e12, state => 'resuming');
    $records->flush;
    my $http = $t->begin('POST', "/v1/sandboxes/$resuming/snapshots",
                         key => $key, idem => SandboxTest::idem(),
                         body => '{}');
    sleep 0.3;
    $records->later('HSET', $records->key('sandbox', $resuming),
                    state => 'resumed', next => $two->{id});
    for (1 .. 500) {
        $records->later('PUBLISH', 'sbx:events', "$resuming resumed")
            for 1 .. 10;
        $records->flush;
    }
    $r = $t->end($http);
    is($r->{status}, 201, 'of one that was resumed meanwhile')
        or diag($r->{body});
    is($r->{json}{sandbox_id}, $two->{id},
       'a snapshot of one resumed meanwhile is of the one that runs');
    is($t->delete("/v1/snapshots/$r->{json}{id}", key => $key)->{status}, 200,
       'a snapshot of one resumed meanwhile can be deleted');
    $records->clear;
}
is_deeply([grep { /^snap_/ } @{ $records->command('ZRANGE', $agenda, 0, -1) }],
          [], 'refusals leave nothing on the agenda');

# --- at once -----------------------------------------------------------------

{
    my $same = SandboxTest::idem();
    my @http = map {
        my $http = SandboxHttp->new($t->{api}, 60);
        $http->send($http->format_request('POST',
            "/v1/sandboxes/$id/snapshots",
            [Authorization => "Bearer $key", 'Idempotency-Key' => $_,
             'Content-Type' => 'application/json'], '{"metadata":{"n":1}}'));
        $http
    } $same, $same, $same, SandboxTest::idem();
    my @r = map { $_->read_response } @http;

    is_deeply([map { $_->{status} } @r], [(201) x 4], 'four at once');
    is($r[1]{body}, $r[0]{body}, 'those with the same key');
    is($r[2]{body}, $r[0]{body}, 'are one');
    isnt($r[3]{body}, $r[0]{body}, 'one with another key waits and is another');
    goes_on($s, 'the source goes on');

    for my $answer (@r[0, 3]) {
        my $one = json->decode($answer->{body})->{id};
        is($t->delete("/v1/snapshots/$one", key => $key)->{status}, 200,
           'deleted');
    }
}

# --- get and list ------------------------------------------------------------

$r = $t->get("/v1/snapshots/$snap", key => $key);
is($r->{status}, 200, 'get');
is($r->{body}, $first->{body}, 'is what was answered');
(my $spelled = $snap) =~ tr/_/-/;
is($t->get("/v1/snapshots/$spelled", key => $key)->{body}, $first->{body},
   'spelled as in host names');
for my $bad ('snap_' . 'a' x 20, 'x', $id) {
    $t->is_error($t->get("/v1/snapshots/$bad", key => $key), 404,
                 'snapshot_not_found', "get $bad");
}
$t->is_error($t->get("/v1/snapshots/$snap", key => $other), 404,
             'snapshot_not_found', "another tenant's");
$t->is_error($t->get("/v1/snapshots/$snap?x=1", key => $key), 400,
             'invalid_request', 'get knows no parameter', 'x');

my $second = take($two->{id}, '{"metadata":{"n":2}}');
is($second->{status}, 201, 'one of another sandbox') or diag($second->{body});
$r = $t->get('/v1/snapshots', key => $key);
is($r->{body}, "[$second->{body},$first->{body}]", 'the list, newest first');
ok(!exists $r->{headers}{'x-next-token'}, 'all of it');
is($t->get('/v1/snapshots', key => $other)->{body}, '[]', 'of another tenant');
is($t->get("/v1/snapshots?sandbox_id=$id", key => $key)->{body},
   "[$first->{body}]", 'by sandbox_id');
is($t->get('/v1/snapshots?metadata=%7B%22n%22:2.0%7D', key => $key)->{body},
   "[$second->{body}]", 'by metadata');
is($t->get("/v1/snapshots?metadata=%7B%22n%22:2%7D&sandbox_id=$id",
           key => $key)->{body}, '[]', 'by both');
$r = $t->get('/v1/snapshots?limit=1', key => $key);
is_deeply($r->{json}{items}, [$second->{json}], 'a page');
$r = $t->get("/v1/snapshots?limit=1&next_token=$r->{json}{next_token}",
             key => $key);
is_deeply($r->{json}, { items => [$first->{json}], next_token => undef },
          'the last page has the first snapshot');
for my $bad ('limit=0', 'next_token=nt_x', 'state=ready', 'fields=id',
             'sandbox_id=x', 'metadata=1') {
    my ($name) = $bad =~ /^(\w+)/;
    $t->is_error($t->get("/v1/snapshots?$bad", key => $key), 400,
                 'invalid_request', $bad, $name);
}

# pages of many, put there by hand
{
    my $many = SandboxRecords->new($socket, 'many');
    my $reader = $t->key('many');
    my $index = $many->index . ':snapshots';
    my @ids = map {
        my $one = $many->id($_);
        $one =~ s/^sb_/snap_/;
        $many->later('HSET', $many->key('snapshot', $one), tenant => 'many',
                     node => $node, kind => 'reusable', sandbox_id => $id,
                     created_at => 1.7e12 + int($_ / 7), size_bytes => 1,
                     metadata => '{}',
                     state => $_ % 10 ? 'ready' : 'taking');
        $many->later('ZADD', $index, 1.7e12 + int($_ / 7), $one);
        $one
    } 1 .. 250;
    $many->flush;
    my @ready = reverse map { $_ % 10 ? $ids[$_ - 1] : () } 1 .. 250;

    $r = $t->get('/v1/snapshots', key => $reader);
    is_deeply([map { $_->{id} } @{ $r->{json} }], [@ready[0 .. 99]],
              'the bare array has the newest 100 that are ready');
    my $token = $r->{headers}{'x-next-token'};
    my @got;
    while ($token) {
        $r = $t->get("/v1/snapshots?limit=49&next_token=$token",
                     key => $reader);
        push @got, map { $_->{id} } @{ $r->{json}{items} };
        $token = $r->{json}{next_token};
    }
    is_deeply(\@got, [@ready[100 .. $#ready]],
              'the next pages have the rest, each once');

    $many->later('DEL', map { $many->key('snapshot', $_) } @ids);
    $many->later('DEL', $index);
    $many->flush;
}

# --- lives -------------------------------------------------------------------

my $child = $t->create({ snapshot_id => $snap, timeout_ms => 3_600_000 },
                       key => $key);
goes_on($child, 'what is started from it goes on');
$t->is_error($t->delete("/v1/snapshots/$snap", key => $key), 409,
             'snapshot_in_use', 'a snapshot with a child is in use');
is($t->get("/v1/snapshots/$snap", key => $key)->{status}, 200,
   'a snapshot that is in use stays');
$t->is_error($t->delete("/v1/snapshots/$snap", key => $other), 404,
             'snapshot_not_found', 'for a stranger there is none');

$r = $t->post("/v1/sandboxes/$child->{id}/hibernate", key => $key);
is($r->{status}, 200, 'its child hibernates') or diag($r->{body});
my $hibernated = $r->{json}{id};
$t->is_error($t->delete("/v1/snapshots/$snap", key => $key), 409,
             'snapshot_in_use',
             'a child that hibernates keeps its snapshot in use');
$t->is_error($t->delete("/v1/snapshots/$hibernated", key => $key), 404,
             'snapshot_not_found', 'whose own snapshot is not to be deleted');
$r = $t->post("/v1/sandboxes/$child->{id}/resume", key => $key);
is($r->{status}, 201, 'the child is resumed') or diag($r->{body});
$t->is_error($t->delete("/v1/snapshots/$snap", key => $key), 409,
             'snapshot_in_use', 'its later execution, too');

# a record that says that one lives, without a machine
{
    my $life = $records->add(created_at => 1e12, state => 'paused');
    $records->later('SADD', $records->key('snapshot', "$second->{json}{id}:lives"),
                    $life);
    $records->flush;
    $t->is_error($t->delete("/v1/snapshots/$second->{json}{id}", key => $key),
                 409, 'snapshot_in_use', 'a paused life');
    $records->clear;
    is($t->delete("/v1/snapshots/$second->{json}{id}", key => $key)->{status},
       200, 'when its record is gone, it is none');
}

is($t->destroy($child->{id})->{status}, 200, 'the child ends');
is_deeply($records->command('SMEMBERS', $records->key('snapshot', "$snap:lives")),
          [], 'a child that has ended is no life any more');
$r = $t->delete("/v1/snapshots/$snap", key => $key);
is($r->{status}, 200,
   'a snapshot without lives can be deleted') or diag($r->{body});
is($r->{body}, qq({"id":"$snap","status":"deleted"}), 'the answer');
is($t->delete("/v1/snapshots/$snap", key => $key)->{body}, $r->{body},
   'once more');
$t->is_error($t->delete("/v1/snapshots/$snap", key => $other), 404,
             'snapshot_not_found', 'for a stranger there was none');
$t->is_error($t->delete('/v1/snapshots/snap_' . 'a' x 20, key => $key), 404,
             'snapshot_not_found', 'another one');
$t->is_error($t->get("/v1/snapshots/$snap", key => $key), 404,
             'snapshot_not_found', 'a snapshot that was deleted is gone');
$t->is_error($t->post('/v1/sandboxes', key => $key,
                      json => { snapshot_id => $snap }), 404,
             'snapshot_not_found', 'nothing starts from it');
is(take($id, $body, idem => $idem)->{body}, $first->{body},
   'a replay is answered still');
is($t->get('/v1/snapshots', key => $key)->{body}, '[]', 'none is left');
is_deeply([states()], [], 'no state of a snapshot is left');
goes_on($s, 'the source, whose disk stands on them, goes on');

# --- a guest that is mute ----------------------------------------------------

{
    my ($qemu) = map { $_->[0] } grep { $_->[1] =~ /guest=$id\b/ }
                 $t->{left}->processes;
    my $again = SandboxTest::idem();

    for (['a snapshot', sub { take($id, '{}', idem => $again, timeout => 60) }],
         ['a fork', sub {
             $t->post("/v1/sandboxes/$id/fork", key => $key, idem => $t->idem,
                      timeout => 60);
         }]) {
        my ($what, $ask) = @$_;
        kill 'STOP', $qemu;
        my $wake = guard(sub { kill 'CONT', $qemu });
        my $began = time();
        my $answer = $ask->();
        my $took = time() - $began;
        undef $wake;

        like($answer->{status}, qr/^50[34]$/, "$what of a guest that is mute");
        like($answer->{json}{code}, qr/^(?:timeout|hypervisor_unavailable)$/,
             'its code');
        ok($took < 20, sprintf('a mute guest is known soon: %.1f s', $took));
        goes_on($s, 'the source goes on');
        ok(wait_for(LEASE + 5, sub { settled($id) }), 'nothing is left of it');
    }

    is($t->get('/v1/snapshots', key => $key)->{body}, '[]', 'nor listed');

    my $answer = take($id, '{}', idem => $again);
    is($answer->{status}, 201, 'the key is free') or diag($answer->{body});
    $t->delete("/v1/snapshots/$answer->{json}{id}", key => $key);
}

# --- who takes it dies -------------------------------------------------------

# how long one takes when nobody disturbs it
$r = take($id);
my $usual = $r->{seconds};
diag(sprintf 'an undisturbed snapshot takes %.1f s', $usual);
is($t->delete("/v1/snapshots/$r->{json}{id}", key => $key)->{status}, 200,
   'deleted');

for my $when (0.02, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95) {
    my $name = sprintf 'workers killed after %.0f %% of a snapshot',
                       $when * 100;

    subtest($name => sub {
        my $again = SandboxTest::idem();
        my $http = SandboxHttp->new($t->{api}, 60);
        $http->send($http->format_request('POST',
            "/v1/sandboxes/$id/snapshots",
            [Authorization => "Bearer $key", 'Idempotency-Key' => $again,
             'Content-Type' => 'application/json'], '{}'));
        sleep $when * $usual;
        $t->stack('kill', 'workers');
        my $killed = time();
        my $cut = $http->read_response;
        ok(!$cut || $cut->{status} == 201, 'the client is cut off or served')
            or diag($cut->{body});

        ok(wait_for(LEASE + 20, sub {
            my $list = eval { $t->get('/v1/snapshots', key => $key) };
            $list && $list->{status} == 200 && settled($id)
        }), 'all is settled in time')
            or diag(explain([$records->command('HGETALL',
                        $records->key('sandbox', $id))]));
        my $list = $t->ids('/v1/snapshots', key => $key);
        cmp_ok(scalar(@$list), '<=', 1, 'one snapshot or none');
        is_deeply([states()], $list,
                  'there are states of the listed snapshots alone');
        diag(sprintf '%s: %s after %.1f s', $name,
             @$list ? 'a snapshot' : 'nothing', time() - $killed);
        goes_on($s, 'the source goes on');

        my $answer;
        ok(wait_for(20, sub {
            $answer = take($id, '{}', idem => $again);
            $answer->{status} == 201
        }), 'the same request gives a snapshot') or diag($answer->{body});
        is($answer->{json}{id}, $list->[0], 'the one that was there')
            if @$list;
        is_deeply([states()], [$answer->{json}{id}],
                  'the snapshot of a repeated request is the only one');
        is($t->delete("/v1/snapshots/$answer->{json}{id}", key => $key)
           ->{status}, 200, 'deleted');
    });
}

# --- who deletes it dies -----------------------------------------------------

for my $when (0.005, 0.03) {
    my $one = take($id)->{json}{id};
    my $http = SandboxHttp->new($t->{api}, 60);
    $http->send($http->format_request('DELETE', "/v1/snapshots/$one",
                                      [Authorization => "Bearer $key"]));
    sleep $when;
    $t->stack('kill', 'workers');
    ok(wait_for(LEASE + 20, sub {
        my $list = eval { $t->get('/v1/snapshots', key => $key) };
        $list && $list->{status} == 200 && settled($id)
    }), 'workers killed during a delete') or diag(
        explain($records->command('HGETALL', $records->key('snapshot', $one))));
    is($t->delete("/v1/snapshots/$one", key => $key)->{status}, 200,
       'a delete whose workers were killed may be repeated');
    is($t->get('/v1/snapshots', key => $key)->{body}, '[]',
       'a repeated delete is done');
    is_deeply([states()], [], 'no files');
}

# --- deleted by another node -------------------------------------------------

{
    my $one = take($id)->{json}{id};
    $records->command('HSET', $records->key('snapshot', $one), node => 'far');
    my $http = SandboxHttp->new($t->{api}, 60);
    $http->send($http->format_request('DELETE', "/v1/snapshots/$one",
                                      [Authorization => "Bearer $key"]));
    ok(wait_for(10, sub {
        defined $records->command('ZSCORE', 'sbx:{far}:agenda', $one)
    }), 'the other node finds it on its agenda');
    is(field('snapshot', $one, 'state'), 'deleting',
       'a snapshot of another node is to be deleted');
    ok(!defined $records->command('ZSCORE', $agenda, $one),
       'this node has no place on its agenda for it');

    # as if that node had been this one all the time
    $records->command('HSET', $records->key('snapshot', $one), node => $node);
    $records->command('DEL', 'sbx:{far}:agenda');
    $records->command('ZADD', $agenda, 1, $one);
    my $answer = $http->read_response;
    is($answer->{status}, 200, 'the client is answered when it is gone');
    is_deeply([states()], [],
              'the state of what another node has deleted is gone');
}

# --- metrics -----------------------------------------------------------------

$r = $t->request('GET', '/metrics', key => undef);
if ($r->{status} == 200) {
    like($r->{body}, qr/^sandbox_snapshots_total\{outcome="created"\} [1-9]/m,
         'snapshots are counted');
    like($r->{body}, qr/^sandbox_snapshots_total\{outcome="refused"\} [1-9]/m,
         'refused ones too');
    like($r->{body}, qr/^sandbox_snapshots_total\{outcome="replayed"\} [1-9]/m,
         'replays are counted');
    like($r->{body}, qr/^sandbox_snapshot_pause_seconds_count [1-9]/m,
         'their pauses');
    like($r->{body}, qr/^sandbox_snapshot_seconds_count [1-9]/m, 'their times');
    like($r->{body}, qr/^sandbox_takes_total\{way="still"\} [1-9]/m,
         'ways of takes are counted');
}

# layers are swept a while after the last that stood on them
undef $_ for $s, $two, $child;
ok(wait_for(200, sub { !glob("\Q$t->{dir}\E/data/disks/snap_*") }),
   'no file is left in the end');

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
