#!/usr/bin/perl

# A member of a warm pool is had exactly once: by many at a time, and while
# workers die that hand it out or that make the next one.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant { LEASE => 2, READY => 3, CLAIMS => 40 };

my $t = SandboxTest->new(own => 1, up => [
    '--crash-points', '--set', 'sandbox_lease=' . LEASE . 's',
    '--set', 'sandbox_warm_pools=parallel=4 interval=1s',
    '--set', 'sandbox_reconcile=interval=1s grace=1s']);
my $crash = SandboxCrash->new($t);
my $root = '/v1/template-warm-pools';
my $r = $t->post($root, json => {
    name => 'claims', template_ref => 'base', min_ready => READY,
    resources => { memory_mb => 128 } });
is($r->{status}, 201, 'a pool') or BAIL_OUT($r->{body});
my $pool = $r->{json}{id};
my ($record) = $t->redis('KEYS', "*:pool:$pool");

sub status { return $t->get("$root/$pool/status")->{json} // {} }

# Full, with as many claimed, and no machine besides.
sub settles {
    my ($claimed, $name) = @_;
    my $is;

    ok(wait_for(60, sub {
        $is = status();
        ($is->{ready} // -1) == READY && $is->{warming} == 0
            && $is->{claimed} == $claimed && $is->{failed} == 0
            && $t->domains == READY + $claimed
    }), $name) or diag(json->encode($is), ' and ', scalar($t->domains),
                       ' domains');
}

# Until when the pool gets no more members, for exact numbers.
sub hold { $t->redis('HSET', $record, 'retry_at', $_[0]) }

sub body {
    my ($mode, $wait) = @_;

    return json->encode({ timeout_ms => 1_800_000,
                          warm_pool => { id => $pool, mode => $mode,
                                         wait_ms => $wait // 0 } });
}

sub send_post {
    my ($body, $key) = @_;
    my $http = SandboxHttp->new($t->{api}, SandboxCrash::PATIENCE);

    $http->send($http->format_request('POST', '/v1/sandboxes',
        [Authorization => "Bearer $t->{key}",
         'Content-Type' => 'application/json', 'Idempotency-Key' => $key,
         Connection => 'close'], $body));
    return $http;
}

# That many creates at a time: their answers.
sub burst {
    my ($n, $body, $key) = @_;
    my @http = map { send_post($body, $key // SandboxTest::idem()) } 1 .. $n;

    return map {
        my $answer = $_->read_response // { status => 0 };
        $answer->{json} = eval { json->decode($answer->{body} // '') };
        $answer;
    } @http;
}

sub hits {
    return grep { $_->{status} == 201
                  && $_->{json}{warm_pool_checkout}{hit} } @_;
}

sub distinct {
    my %ids = map { $_->{json}{id} => 1 } @_;

    return scalar keys %ids;
}

sub gone { $t->delete("/v1/sandboxes/$_->{json}{id}") for @_ }

settles(0, 'it is filled');

# --- many at a time ----------------------------------------------------------

hold('9e15');
my @r = burst(CLAIMS, body('require'));
my @hits = hits(@r);
is(scalar(@hits), READY, 'as many are served as there were');
is(distinct(@hits), READY, 'each with a machine of its own');
is(scalar(grep { $_->{status} == 503
                 && $_->{json}{code} eq 'warm_pool_unavailable'
                 && $_->{headers}{'retry-after'} } @r), CLAIMS - READY,
   'the others are refused');
is(status()->{claimed}, READY, 'and counted');
is(status()->{unavailable}, READY, 'as is what is missing');
hold(0);
settles(READY, 'it is filled again');
gone(@hits);
hold('9e15');
@r = burst(READY + 2, body('prefer'));
is(scalar(grep { $_->{status} == 201 } @r), READY + 2, 'all are served');
is(distinct(@r), READY + 2, 'each with a machine of its own');
is(scalar(hits(@r)), READY, 'as many from the pool as there were');
gone(@r);
hold(0);
settles(0, 'it is filled again');

# --- one key -----------------------------------------------------------------

@r = burst(CLAIMS / 2, body('require'), SandboxTest::idem());
is(scalar(hits(@r)), CLAIMS / 2, 'all who have one key are served');
my %bodies = map { $_->{body} => 1 } @r;
is(scalar(keys %bodies), 1, 'with one answer');
settles(1, 'which took one member');
gone($r[0]);

# Who waits gets what comes.
hold('9e15');
@r = burst(READY, body('require'));
my @waiting = map { send_post(body('require', 60_000), SandboxTest::idem()) }
              1 .. 2;
hold(0);
push @r, map { my $a = $_->read_response; $a->{json} = json->decode($a->{body});
               $a } @waiting;
is(scalar(hits(@r)), READY + 2, 'who waits is served');
is(distinct(@r), READY + 2, 'with a machine of its own');
gone(@r);
settles(0, 'it is filled again');

# --- a Redis that forgets its last second ------------------------------------

# Claimed, and then Redis is as it was before that: another Redis, without it.
subtest('a claim that Redis has forgotten' => sub {
    (my $records = $record) =~ s/:pool:.*/:sandbox:/;
    my @ready = split /\n/, $t->redis('ZRANGE', "$record:ready", 0, -1,
                                      'WITHSCORES');
    my %ready = @ready;
    my %was = map {
        $_ => [split /\n/, $t->redis('HGETALL', "$records$_"), -1]
    } keys %ready;

    hold('9e15');
    my ($first) = burst(1, body('require'));
    my $id = $first->{json}{id} // '';
    ok($ready{$id}, 'one of the members is claimed') or return;

    $t->redis('DEL', "$records$id", split /\n/, $t->redis('KEYS', '*:idem:*'));
    $t->redis('HSET', "$records$id", @{ $was{$id} });
    my ($index) = $records =~ /^(.*:)sandbox:$/;
    $t->redis('ZREM', $_, $id)
        for "$record:claimed", grep { !/:destroyed$|:graves$/ }
            split /\n/, $t->redis('KEYS', "$index" . 'tenant:*');
    $t->redis('ZADD', "$record:ready", $ready{$id}, $id);
    $t->stack('kill', 'redis');
    $t->stack('start', 'redis');

    my $second = $crash->persist(201, 'POST', '/v1/sandboxes',
                                 idem => SandboxTest::idem(),
                                 body => body('prefer'));
    ok(!$ready{ $second->{json}{id} // '' },
       'the next one gets no member from before')
        or diag($second->{body});
    is($t->exec($second->{json}{id}, 'echo ok')->{stdout}, "ok\n",
       'but a sandbox');
    ok(wait_for(20, sub { !grep { $ready{$_} } $t->domains }),
       'their machines are ended, as what Redis has forgotten');
    is($t->get("/v1/sandboxes/$id")->{status}, 404, 'also that one');
    hold(0);
    gone($second);
    settles(0, 'the pool is filled with others');
});

# --- workers that die --------------------------------------------------------

my $points = SandboxCrash->points;
my @checkout = sort grep { /^checkout\./ } keys %$points;
my @refill = sort grep { /^(?:member|tend)\./ } keys %$points;
ok(@checkout && @refill, 'there are points of each kind');

# One who hands a member out, and then one who makes the next.
for my $i (0 .. (@checkout > @refill ? $#checkout : $#refill)) {
    my ($checkout, $refill) = ($checkout[$i % @checkout],
                               $refill[$i % @refill]);

    subtest("killed at $checkout, then at $refill" => sub {
        $crash->arm($_, 'kill') for $checkout, $refill;
        my $r = $crash->persist(201, 'POST', '/v1/sandboxes',
                                idem => SandboxTest::idem(),
                                body => body('require', 10_000));
        $crash->reached($_) for $checkout, $refill;
        is($t->exec($r->{json}{id}, 'echo ok')->{stdout}, "ok\n",
           'a member is had');
        is_deeply($t->ids('/v1/sandboxes'),
                  [$r->{json}{id}], 'and no other');

        my ($node) = $t->redis('KEYS', '*:addresses') =~ /^(\S*):addresses$/m;
        (my $member = $record) =~ s/:pool:.*/:sandbox:$r->{json}{id}/;
        ok(wait_for(20, sub {
            $t->redis('ZSCORE', "$node:agenda", $r->{json}{id})
                <= $t->redis('HGET', $member, 'timeout_at')
        }), 'its deadline is on the agenda');
        settles(1, 'the pool is filled again, and nothing is left');
        gone($r);
    });
}

is($t->post("$root/$pool/drain", json => {})->{status}, 200, 'drained');
ok(wait_for(30, sub { $t->delete("$root/$pool")->{status} == 200 }),
   'and deleted');

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
