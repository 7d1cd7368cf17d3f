#!/usr/bin/perl

# Warm pools: the resource, what a create gets out of them and what it does
# not, how they are filled, kept fit, rolled and emptied.

use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use SandboxPools;
use SandboxTest;

use constant LIMIT => 8;

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_warm_pools=parallel=2 interval=1s check=2s',
    '--set', 'sandbox_reconcile=interval=2s grace=2s',
    '--set', 'sandbox_limits=sandboxes=' . LIMIT]);
my ($key, $other) = map { $t->key($_) } qw(pools others);
my $pools = SandboxPools->new($t, key => $key, patience => 30);

sub req { return $pools->request(@_) }
sub status { return $pools->status(@_) }
sub becomes { return $pools->becomes(@_) }

# A create from a pool.
sub take {
    my ($pool, $with, %o) = @_;
    my $mode = delete $o{mode};

    return $t->post('/v1/sandboxes', key => $key, %o, json => {
        warm_pool => { id => $pool, $mode ? (mode => $mode) : (),
                       map { $_ => delete $with->{$_} }
                       grep { exists $with->{$_} } qw(wait_ms) },
        %$with });
}

sub is_hit {
    my ($r, $pool, $name, $mode) = @_;

    is($r->{status}, 201, $name) or diag($r->{body});
    is_deeply($r->{json}{warm_pool_checkout},
              { hit => JSON::PP::true, id => $pool, mode => $mode // 'prefer',
                source => 'warm_pool' }, 'from the pool');
    return $t->sandbox($r, key => $key);
}

sub is_miss {
    my ($r, $pool, $name) = @_;

    is($r->{status}, 201, $name) or diag($r->{body});
    my $c = $r->{json}{warm_pool_checkout} // {};
    ok(exists $c->{hit} && !$c->{hit} && $c->{id} eq $pool
       && $c->{source} =~ /^(?:cold|checkpoint)$/, 'not from the pool');
    return $t->sandbox($r, key => $key);
}

# Waits for one: those of an older version count as ready, and are in no set that
# is asked for here.
sub member_key {
    my ($pool, $set) = @_;
    my ($record) = $t->redis('KEYS', "*:pool:$pool");
    my $id;

    wait_for(30, sub {
        ($id) = split /\n/, $t->redis('ZRANGE', "$record:$set", 0, 0);
        return defined $id;
    }) or die "no member of $pool is $set\n";

    (my $member = $record) =~ s/:pool:.*/:sandbox:$id/;
    return ($record, $member, $id);
}

# Seconds of CPU that a process has taken; 0 if it is gone.
sub cpu {
    my ($pid) = @_;
    my $stat = SandboxLeft::slurp("/proc/$pid/stat") // '';
    my @fields = split / /, $stat =~ s/.*\) //rs;

    return @fields && ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# --- the resource ------------------------------------------------------------

my $main = $pools->make('main', min_ready => 2, max_ready => 3,
                labels => { team => 'a' }, metadata => { n => 1 });
my $r = req('GET', "/$main");
is_deeply([@{ $r->{json} }{qw(name status template_ref min_ready max_ready)},
           $r->{json}{resources}{memory_mb}, $r->{json}{labels}{team}],
          ['main', 'enabled', 'base', 2, 3, 128, 'a'], 'it is as it was asked');
is($r->{json}{version_policy}, 'pinned_build', 'with defaults');

$t->is_error(req('POST', '', json => { name => 'main', template_ref => 'base',
                                       min_ready => 0 }),
             409, 'conflict', 'a name is had once', 'name');
$t->is_error(req('POST', '', json => { name => 'x', template_ref => 'nothing',
                                       min_ready => 0 }),
             404, 'template_not_found', 'an unknown template', 'template_ref');
$t->is_error(req('POST', '', json => { name => 'x', template_ref => 'base',
                                       min_ready => 3, max_ready => 2 }),
             400, 'invalid_request', 'too few at most', 'max_ready');
$t->is_error(req('PATCH', "/$main", json => { min_ready => 4 }),
             400, 'invalid_request', 'more than at most, by a patch',
             'max_ready');
$t->is_error(req('PATCH', "/$main", json => { version_policy => 'track_tag' }),
             400, 'invalid_request', 'no tag to track', 'track_tag');
$t->is_error(req('PATCH', "/$main", json => { track_tag => 'latest' }),
             400, 'invalid_request', 'a tag that is not tracked', 'track_tag');
$t->is_error(req('PATCH', "/$main", json => { version_policy => 'track_tag',
                                              track_tag => 'v1' }),
             501, 'not_implemented', 'a tag that no template has', 'track_tag');
$t->is_error(req('PATCH', "/$main", json => { resources => {} }),
             400, 'invalid_request', 'what cannot be changed', 'resources');
$t->is_error(req('POST', "/$main/$_", json => { force => 1 }),
             400, 'invalid_request', "$_ takes no members", 'force')
    for qw(enable disable drain reconcile);
is(req('GET', "/$main")->{json}{status}, 'enabled', 'and has changed nothing');
is(req('PATCH', "/$main", json => { name => 'first' })->{json}{name}, 'first',
   'another name');
is_deeply([map { $_->{name} } @{ req('GET', '')->{json} }], ['first'],
          'the list');
$t->is_error(req('DELETE', "/$main"), 409, 'conflict', 'it is in use');

# to others it does not exist
is_deeply(req('GET', '', key => $other)->{json}, [], 'a list of their own');
for my $what (['GET', ''], ['GET', '/status'], ['DELETE', ''],
              ['PATCH', '', json => {}], ['POST', '/drain', json => {}]) {
    my ($method, $path, @rest) = @$what;

    $t->is_error(req($method, "/$main$path", @rest, key => $other), 404,
                 'warm_pool_not_found', "$method $path of another tenant");
}

# --- filled ------------------------------------------------------------------

becomes('it is filled', $main, target => 2, ready => 2, warming => 0,
        claimed => 0, unavailable => 0);
is_deeply($t->get('/v1/sandboxes', key => $key)->{json}, [],
          'members are nobody\'s');

my (undef, undef, $hidden) = member_key($main, 'ready');
for my $what (['GET', ''], ['DELETE', ''], ['POST', '/exec'],
              ['POST', '/timeout', { timeout_ms => 1 }], ['POST', '/hibernate'],
              ['PATCH', '/network', { internet_access => JSON::PP::false }],
              ['POST', '/fork', {}, SandboxTest::idem()],
              ['POST', '/snapshots', {}, SandboxTest::idem()]) {
    my ($method, $path, $json, $idem) = @$what;

    $t->is_error($t->request($method, "/v1/sandboxes/$hidden$path",
                             key => $key, idem => $idem,
                             $method =~ /^P/ ? (json => $json // {}) : ()),
                 404, 'sandbox_not_found',
                 "$method $path of a member finds nothing");
}
is($t->traffic($hidden, 8080, 'GET', '/')->{status}, 404, 'nor does traffic');

# --- taken -------------------------------------------------------------------

my $idem = SandboxTest::idem();
$r = take($main, { metadata => { a => 'b' }, timeout_ms => 600_000 },
          idem => $idem);
my $s = is_hit($r, $main, 'a create takes a member');
is($s->{id}, $hidden, 'the oldest one');
is($t->exec($s, 'echo ok', key => $key)->{stdout}, "ok\n", 'which works');

my $object = $t->get("/v1/sandboxes/$s->{id}", key => $key)->{json};
my %answer = %{ $r->{json} };
delete @answer{qw(traffic_access_token warm_pool_checkout)};
is_deeply($object, \%answer, 'and is as the answer said');
ok(!exists $object->{warm_pool_checkout}, 'without its origin');
is($t->request('PATCH', "/v1/sandboxes/$s->{id}/network", key => $key,
               json => {})->{status}, 200, 'its network is its owner\'s');

my $again = take($main, { metadata => { a => 'b' }, timeout_ms => 600_000 },
                 idem => $idem);
is($again->{body}, $r->{body}, 'a replay is the same answer');
is($again->{headers}{'idempotent-replayed'}, 'true', 'and says so');
$t->is_error(take($main, {}, idem => $idem), 422, 'idempotency_key_reused',
             'another request with this key');
becomes('it is filled again, to the most', $main, target => 3, ready => 3,
        claimed => 1);
is_deeply($t->ids('/v1/sandboxes', key => $key),
          [$s->{id}], 'which is listed alone');

# The metrics of a pool are as its status when it was looked after last.
sub gauges {
    my ($pool) = @_;

    my $row = qr/sandbox_warm_pool_sandboxes\{pool="\Q$pool\E"/;

    return { $t->get('/metrics')->{body} =~ /^$row,state="(\w+)"\} (\d+)$/mg };
}

my %gauges = (ready => 3, warming => 0, claimed => 1, draining => 0,
              failed => 0, expired => 0);
my $gauges;
ok(wait_for(10, sub {
    $gauges = gauges($main);
    !grep { ($gauges->{$_} // -1) != $gauges{$_} } keys %gauges;
}), 'metrics have its numbers') or diag(json->encode($gauges));
like($t->get('/metrics')->{body},
     qr/^sandbox_warm_pool_target\{pool="\Q$main\E"\} 3$/m, 'and its target');

undef $s;
becomes('its end is counted', $main, claimed => 0);
is($t->get("/v1/sandboxes?state=destroyed", key => $key)->{json}{items}[0]{id},
   $hidden, 'and listed');

# --- not taken ---------------------------------------------------------------

for my $with ({ envs => { A => 'b' } }, { cwd => '/tmp' },
              { network => { allow_public_traffic => JSON::PP::false } },
              { timeout_action => 'hibernate' }, { memory_mb => 256 },
              { disk_mb => 3000 }, { vcpus => 2 }) {
    my ($member) = keys %$with;

    $t->is_error(take($main, { %$with }, mode => 'require'), 503,
                 'warm_pool_unavailable', "$member cannot be had", $member);
}

$s = is_miss(take($main, { envs => { A => 'b' } }), $main,
             'what no pool can serve is made');
is($s->{json}{config}{memory_mb}, 128, 'as large as in the pool');
is($t->exec($s, 'echo $A', key => $key)->{stdout}, "b\n", 'as it was asked');
$r = $t->post('/v1/sandboxes', key => $key, json => {
    memory_mb => 128, warm_pool => { mode => 'bypass' } });
ok(!exists $r->{json}{warm_pool_checkout}, 'bypass considers no pool');
$s = $t->sandbox($r, key => $key);
undef $s;

my $none = $pools->make('none');
$t->is_error(take($none, {}, mode => 'require'), 503, 'warm_pool_unavailable',
             'an empty pool', 'warm_pool.id');
$t->is_error(take('twp_aaaaaaaaaaaaaaaaaaaa', {}), 404, 'warm_pool_not_found',
             'no pool');
$t->is_error($t->post('/v1/sandboxes', key => $other, json => {
    warm_pool => { id => $main } }), 404, 'warm_pool_not_found',
             'another tenant\'s pool');

# demand has filled it by now
$s = is_hit(take($none, { wait_ms => 60_000 }, mode => 'require'), $none,
            'a create waits for a member', 'require');
undef $s;

is(req('POST', "/$none/disable", json => {})->{json}{status}, 'disabled',
   'disabled');
$t->is_error(take($none, {}, mode => 'require'), 503, 'warm_pool_unavailable',
             'a pool that is disabled', 'warm_pool.id');
is_miss(take($none, { wait_ms => 60_000 }), $none, 'nobody waits for it');

# --- kept fit ----------------------------------------------------------------

# A member that hangs, and one whose machine ends.
becomes('there are three', $main, ready => 3, warming => 0);
my ($record, $member, $id) = member_key($main, 'ready');
$t->inside('virsh', '-q', '-c', 'qemu:///system', 'suspend', $id);
{
    # a connection to port 891 that is not answered
    my @workers = $t->workers;
    ok(wait_for(20, sub {
        $t->inside('cat', '/proc/net/tcp') =~ /:037B 02 /;
    }), 'one that hangs is asked');
    my ($master) = grep { $_->[1] =~ /^nginx: master/ } $t->{left}->processes;
    kill 'HUP', $master->[0];
    sleep 0.5;
    my %before = map { $_ => cpu($_) } @workers;
    sleep 0.5;
    my @waits = grep { cpu($_) } @workers;
    is(scalar @waits, 1, 'by a worker that is exiting');
    cmp_ok(cpu($_) - $before{$_}, '<', 0.2, 'which takes no CPU') for @waits;
}
ok(wait_for(40, sub { !grep { $_ eq $id } $t->domains }),
   'a member that does not answer is destroyed');
becomes('and replaced', $main, ready => 3, warming => 0, failed => 0);

($record, $member, $id) = member_key($main, 'ready');
$t->stack('kill', "qemu:$id");
ok(wait_for(40, sub { $t->redis('EXISTS', $member) == 0 }),
   'a member that has ended goes');
becomes('and is replaced', $main, ready => 3, warming => 0, failed => 0);

# Another version: never fewer than three on the way.
my @before = split /\n/, $t->redis('ZRANGE', "$record:ready", 0, -1);
(my $records = $member) =~ s/[^:]*$//;
$t->redis('HSET', "$records$_", 'pool_version', 'older') for @before;
my $least = 3;
ok(wait_for(60, sub {
    my $is = status($main);
    $least = $is->{ready} if $is->{ready} < $least;
    my %now = map { $_ => 1 } split /\n/,
              $t->redis('ZRANGE', "$record:ready", 0, -1);
    keys %now == 3 && !grep { $now{$_} } @before;
}), 'members of an older version are replaced');
is($least, 3, 'one by one');

# The build it is pinned to is gone.
$t->redis('HSET', $record, 'version', 'gone');
becomes('a build that is gone', $main, reason => 'artifact_not_ready');
is(req('PATCH', "/$main", json => { version_policy => 'track_tag',
                                    track_tag => 'latest' })->{status}, 200,
   'the newest one will do');
becomes('and it is made of that', $main, reason => '', ready => 3,
        warming => 0);

# Stale ones, and more than are wanted when nobody comes.
is(req('PATCH', "/$main", json => { idle_timeout_seconds => 1 })->{status},
   200, 'little patience');
becomes('fewer are enough when nobody comes', $main, target => 2, ready => 2,
        expired => 0);
(undef, $member, $id) = member_key($main, 'ready');
$t->redis('HSET', $member, 'ready_at', 1, 'timeout_at', 1);
ok(wait_for(30, sub { $t->redis('EXISTS', $member) == 0 }),
   'one that has become stale goes');
becomes('and is replaced', $main, ready => 2, expired => 0);

# --- emptied -----------------------------------------------------------------

$s = is_hit(take($main, {}), $main, 'one more');
is(req('POST', "/$main/drain", json => {})->{json}{status}, 'draining',
   'drained');
$t->is_error(take($main, {}, mode => 'require'), 503, 'warm_pool_unavailable',
             'a pool that is drained', 'warm_pool.id');
becomes('no member is left', $main, target => 0, ready => 0, warming => 0,
        draining => 0, claimed => 1);
is(req('DELETE', "/$main")->{json}{status}, 'deleted', 'deleted');
is(req('DELETE', "/$main")->{json}{status}, 'deleted', 'twice');
$t->is_error(req('GET', "/$main"), 404, 'warm_pool_not_found', 'gone');
ok(wait_for(10, sub { !%{ gauges($main) } }), 'from the metrics too');
is($t->exec($s, 'echo ok', key => $key)->{stdout}, "ok\n",
   'what was taken from it goes on');
undef $s;

sub end_of {
    my ($pool, $name) = @_;

    is(req('POST', "/$pool/drain", json => {})->{status}, 200,
       "$name is drained");
    ok(wait_for(30, sub { req('DELETE', "/$pool")->{status} == 200 }),
       'and deleted');
}

end_of($none, 'the other one');

# --- a full node -------------------------------------------------------------

my $big = $pools->make('big', min_ready => LIMIT + 1);
becomes('as many as the node takes', $big, ready => LIMIT, unavailable => 1,
        reason => 'no_eligible_hosts');
$s = is_hit(take($big, {}), $big, 'those are had');
undef $s;
end_of($big, 'it');

my $metrics = $t->get('/metrics')->{body};
like($metrics, qr/^sandbox_warm_pool_checkouts_total\{result="$_"\} [1-9]/m,
     "$_ are counted") for qw(hit miss unavailable);
like($metrics, qr/^sandbox_warm_pool_members_total\{outcome="$_"\} [1-9]/m,
     "members that are $_ are counted") for qw(ready failed unfit);

$t->expect_log(qr/exited on signal/);
$t->finish;
