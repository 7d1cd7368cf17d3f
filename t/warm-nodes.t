#!/usr/bin/perl

# A warm pool belongs to the node that has its lease: another one takes it when
# that node is gone, fills it again, and nobody gets a machine of the node that
# is gone, or one that somebody else has.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxNginx;
use SandboxPools;
use SandboxTest;

use constant { READY => 2, LEASE => 2 };

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_lease=' . LEASE . 's',
    '--set', 'sandbox_warm_pools=parallel=2 interval=1s',
    '--set', 'sandbox_reconcile=interval=1s grace=1s']);
my $pools = SandboxPools->new($t);
my $root = SandboxPools::ROOT;

my @first = $t->workers;

# Both nodes have the bridge's subnet: one begins where the other does not come.
$t->redis('SET', 'sbx:{node2}:cursor', 1000);
my $second = SandboxNginx->new($t, 'node2');
ok(wait_for(10, sub { $second->answers }), 'a second node is up');

# A pool that the second node makes.
sub pool {
    my ($name, $ready) = @_;
    my $r = $second->end($second->begin(
        'POST', $root, '-H', 'Content-Type: application/json',
        '-d', json->encode({ name => $name, template_ref => 'base',
                             min_ready => $ready,
                             resources => { memory_mb => 128 } })));

    is($r->{status}, 201,
       'the second node makes a pool') or BAIL_OUT($r->{body});
    return $r->{json}{id};
}

my $pool = pool('shared', READY);
my ($record) = $t->redis('KEYS', "*:pool:$pool");
(my $records = $record) =~ s/:pool:.*/:sandbox:/;

sub status { return $pools->status($pool) }
sub becomes { return $pools->becomes(@_) }
sub holder { return $t->redis('HGET', $record, 'node') }
sub fence { return $t->redis('HGET', $record, 'fence') }

sub members {
    return grep { /./ } map {
        split /\n/, $t->redis('ZRANGE', "$record:$_", 0, -1)
    } @_;
}

sub nodes_of {
    my %nodes = map { $t->redis('HGET', "$records$_", 'node') => 1 } @_;

    return join ' ', sort keys %nodes;
}

# The machines there are, and no others, are counted, each once.
sub adds_up {
    my ($name) = @_;
    my ($is, @domains);
    my @sets = qw(ready warming claimed draining failed expired);

    # a machine is made after it is counted, and counted until it is gone
    ok(wait_for(30, sub {
        my $sum = 0;

        $is = status();
        @domains = $t->domains;
        $sum += $is->{$_} for @sets;
        return $sum == @domains;
    }), $name) or diag(json->encode($is), ' and ', scalar(@domains));
}

sub body {
    my ($mode, $wait) = @_;

    return json->encode({ timeout_ms => 1_800_000,
                          warm_pool => { id => $pool, mode => $mode,
                                         wait_ms => $wait // 0 } });
}

sub take {
    my ($mode, $wait) = @_;

    return $t->post('/v1/sandboxes', body => body($mode, $wait));
}

sub take_second {
    return $second->end($second->begin_create(SandboxTest::idem(),
                                              body('require', $_[0])));
}

sub is_hit {
    my ($r, $name) = @_;

    ok($r->{status} == 201 && $r->{json}{warm_pool_checkout}{hit}, $name)
        or diag($r->{body});
    return $r->{json}{id};
}

# --- while its node lives ----------------------------------------------------

becomes('the pool is filled', \&status, ready => READY, warming => 0);
is(holder(), 'node2', 'by the node that made it');
is(nodes_of(members('ready')), 'node2',
   'the members are on the node that made the pool');
my $was = fence();

$t->is_error(take('require'), 503, 'warm_pool_unavailable',
             'the other node has no such machines', 'warm_pool.id');
my $cold = take('prefer');
is($cold->{status}, 201,
   'the other node makes a machine of its own') or diag($cold->{body});
ok(!$cold->{json}{warm_pool_checkout}{hit}, 'that is not from the pool');
is($t->delete("/v1/sandboxes/$cold->{json}{id}")->{status}, 200,
   'a machine that is not from the pool ends');

my $kept = is_hit(take_second(), 'the node that has the pool hands one out');
becomes('the pool is filled again by its node', \&status, ready => READY,
        warming => 0, claimed => 1);
is(fence(), $was, 'under one lease');

# --- its node is killed ------------------------------------------------------

my %left = map { $_ => 1 } members('ready');
my $mark = $t->log_mark;
$second->kill;

# All ask until they are served: at first they are refused, then they wait.
sub begin_take {
    my $http = SandboxHttp->new($t->{api}, 120);

    $http->send($http->format_request('POST', '/v1/sandboxes',
        [Authorization => "Bearer $t->{key}",
         'Content-Type' => 'application/json',
         'Idempotency-Key' => SandboxTest::idem(), Connection => 'close'],
        body('require', 60_000)));
    return $http;
}

my (@ids, %refused);
my $end = time + 120;

while (@ids < 2 * READY && time < $end) {
    for my $http (map { begin_take() } @ids + 1 .. 2 * READY) {
        my $r = $http->read_response // { status => 0, body => '' };
        my $json = eval { json->decode($r->{body}) } // {};

        if ($r->{status} == 201) {
            push @ids, $json->{id};
        } else {
            $refused{$json->{code} // $r->{body}}++;
        }
    }
    sleep 0.1;
}

is(scalar(@ids), 2 * READY, 'who asks meanwhile is served');
is(join(' ', keys %refused), 'warm_pool_unavailable',
   'or refused as long as nobody has the pool');
is(holder(), 'stack', 'the other node has the pool');
is(fence(), $was + 1, 'taking the pool over changes the fence by one');
like($t->log_text($mark), qr/warm pool \Q$pool\E: taken over with fence/,
     'taking the pool over is logged');
becomes('the pool is filled again after its node was killed', \&status,
        ready => READY, warming => 0, unavailable => 0);
is(nodes_of(members('ready')), 'stack',
   'the members are on the node that took the pool');

my %distinct = map { $_ => 1 } @ids, $kept;
is(scalar(keys %distinct), 1 + 2 * READY, 'each with a machine of its own');
is(scalar(grep { $left{$_} } @ids), 0,
   'no machine of the node that is gone is handed out');
is($t->exec($_, 'echo ok')->{stdout}, "ok\n",
   'a machine that was handed out works') for @ids;

becomes('what that node has left is on its way out', \&status,
        draining => READY);
is(join(' ', sort(members('draining'))), join(' ', sort keys %left),
   'all of it');
adds_up('the machines of both nodes are counted');

# --- it comes back -----------------------------------------------------------

$second = SandboxNginx->new($t, 'node2');
ok(wait_for(10, sub { $second->answers }), 'the node is there again');
becomes('what it had left ends', \&status, draining => 0, ready => READY);
is(scalar(grep { $left{$_} } $t->domains), 0, 'on the host');
is(holder(), 'stack', 'the pool stays where it is');
is(fence(), $was + 1, 'under the same lease');
unlike($second->end($second->begin('GET', '/metrics'))->{body},
       qr/warm_pool_\w+\{pool="\Q$pool\E"/, 'in the metrics of no other one');
like($t->get('/metrics')->{body}, qr/warm_pool_\w+\{pool="\Q$pool\E"/,
     'but its own');
is(take_second()->{json}{code}, 'warm_pool_unavailable',
   'the node that had the pool before hands nothing out');
is($second->exec($kept, 'echo', 'ok')->{stdout}, "ok\n",
   'what that one had handed out goes on');
$t->is_error($t->post("/v1/sandboxes/$kept/exec",
                      json => { command => 'echo ok' }),
             503, 'no_eligible_runtime_host',
             'what a node handed out is reached there alone');

# --- the state store sleeps --------------------------------------------------

# Nobody could prolong anything: who had the pool has it.
$t->stack('kill', 'redis', 'STOP');
sleep LEASE + 1;
$t->stack('kill', 'redis', 'CONT');
ok(wait_for(30, sub {
    $t->redis('HGET', $record, 'lease_at') > 1000 * time
}), 'Redis is back after longer than a lease, and the lease is prolonged');
is(holder(), 'stack', 'by who had it');
is(fence(), $was + 1, 'under the same fence');
becomes('the pool has the same members after Redis slept', \&status,
        ready => READY, warming => 0, draining => 0);

# --- the holder sleeps -------------------------------------------------------

# Its workers stop while they make a member, and wake when the pool is another
# one's: nothing of theirs comes into it.
my @hits = (is_hit(take('require', 60_000), 'a machine of the pool'));
ok(wait_for(30, sub { members('warming') }), 'the next one is being made');
kill('STOP', @first);
my @asleep = members(qw(ready old warming));

sub second_status {
    return $second->end($second->begin('GET', "$root/$pool/status"))->{json}
           // {};
}

becomes('the other node takes the pool', \&second_status, ready => READY,
        warming => 0, unavailable => 0);
is(nodes_of(members('ready')), 'node2',
   'the other node fills the pool of the one that sleeps');
is(fence(), $was + 2, 'the pool of the one that sleeps has the next fence');
push @hits, is_hit(take_second(60_000), 'a machine of it');
kill('CONT', @first);

becomes('what the first one had goes', \&status, draining => 0, failed => 0,
        expired => 0, ready => READY, warming => 0);
is(nodes_of(members('ready')), 'node2',
   'what the first node made never comes into the pool');
my %now = map { $_ => 1 } $t->domains;
is(scalar(grep { $now{$_} } @asleep), 0, 'nor stays on the host');
is(scalar(grep { my $id = $_; grep { $_ eq $id } @asleep } @hits[1 .. $#hits]),
   0, 'nobody got it');
adds_up('the machines there are are counted');

# --- the end -----------------------------------------------------------------

is($t->delete("/v1/sandboxes/$_")->{status}, 200, 'a machine ends')
    for @hits, @ids, $kept;

# A pool of a node that does not come back need not stay, not even if no other
# node has what it is of: emptying it takes no template.
my %lacks = (pool('another-build', 1) => 'version',
             pool('another-template', 1) => 'template');
%left = map { $_ => 1 } members('ready');

for my $id (sort keys %lacks) {
    ($record) = $t->redis('KEYS', "*:pool:$id");
    becomes('a pool to be left is filled', $id, ready => 1, warming => 0);
    $t->redis('HSET', $record, $lacks{$id}, 'gone');
    becomes("there is no such $lacks{$id} any more", $id, ready => 1,
            reason => 'artifact_not_ready');
    $left{$_} = 1 for members(qw(ready old));
}

# Nodes that live do not take it from each other.
{
    my $id = pool('nobody-has-it', 1);

    ($record) = $t->redis('KEYS', "*:pool:$id");
    becomes('a pool that nobody has is filled', $id, ready => 1, warming => 0);
    $t->redis('HSET', $record, template => 'gone');
    is($t->post("$root/$id/drain", json => {})->{status}, 200,
       'a pool that nobody has is drained');
    becomes('a pool that was drained is empty', $id, ready => 0, warming => 0,
            draining => 0);

    my $fence = $t->redis('HGET', $record, 'fence');
    sleep 3 * LEASE;
    cmp_ok($t->redis('HGET', $record, 'fence'), '<=', $fence + 1,
           'a drained pool stays with one node');
    is($t->delete("$root/$id")->{status}, 200, 'until it is deleted');
}

$second->kill;
is($t->post("$root/$_/drain", json => {})->{status}, 200,
   'drained while its node is gone') for $pool, keys %lacks;

for my $id ($pool, keys %lacks) {
    ok(wait_for(60, sub { $t->delete("$root/$id")->{status} == 200 }),
       'a pool whose node is gone is deleted');
}

is(scalar(grep { $left{$_} } $t->domains), READY + keys %lacks,
   'whatever that has left');
ok(wait_for(10, sub { !$t->redis('ZCARD', 'sbx:leases') }),
   'nobody looks for its lease any more');

$second = SandboxNginx->new($t, 'node2', sandbox_limits => 'sandboxes=1');
ok(wait_for(30, sub { !$t->domains }),
   'what a node has left ends when it is there again');

# --- a node without room -----------------------------------------------------

# what it had left is counted until it is buried
my $only;
ok(wait_for(30, sub {
    $only = $second->end($second->begin_create(SandboxTest::idem(),
                                               '{"memory_mb":128}'));
    $only->{status} == 201;
}), 'a node has all that it may have') or diag($only->{body});
$pool = pool('moved', 1);
($record) = $t->redis('KEYS', "*:pool:$pool");
becomes('its pool is filled by another one', \&status, ready => 1);
is(nodes_of(members('ready')), 'stack', 'the node with room has the pool now');
is(status()->{reason}, undef, 'nothing is wrong with the pool that has moved');
is($t->post("$root/$pool/drain", json => {})->{status}, 200,
   'the pool that has moved is drained');
ok(wait_for(60, sub { $t->delete("$root/$pool")->{status} == 200 }),
   'the pool that has moved is deleted');
is($second->end($second->begin('DELETE', "/v1/sandboxes/$only->{json}{id}"))
       ->{status}, 200, 'the sandbox ends');

# --- a node that is another host ---------------------------------------------

$pool = pool('of-a-name', 1);
($record) = $t->redis('KEYS', "*:pool:$pool");
becomes('a pool is filled', \&status, ready => 1, warming => 0);
is(holder(), 'node2', 'by the node that made it');
my ($there) = members('ready');
$t->redis('SET', 'sbx:{node2}:host', 'f' x 32);     # and its heartbeat
becomes('that node is another host, of which nothing is heard: the pool goes',
        \&status, draining => 1, ready => 1, warming => 0);
is(holder(), 'stack', 'to the other node');
is(nodes_of(members('ready')), 'stack',
   'the other node fills the pool of another host');
is($t->post("$root/$pool/drain", json => {})->{status}, 200,
   'the pool of another host is drained');
becomes('by that one', \&status, draining => 1, ready => 0, warming => 0);
is(join(' ', $t->domains), $there, 'what the first one had waits for that host');
$t->redis('DEL', 'sbx:{node2}:host');
ok(wait_for(30, sub { !$t->domains }), 'or until the node is this one again');
ok(wait_for(60, sub { $t->delete("$root/$pool")->{status} == 200 }),
   'the pool is deleted');

# --- a node that may not take it ---------------------------------------------

# It comes first, and does not keep the pool from the one that may.
my $few = "$t->{dir}/data/few/other";
mkdir $_ or die "$_: $!" for "$t->{dir}/data/few", $few;
system('qemu-img', 'create', '-q', '-f', 'qcow2', "$few/disk", '2G') == 0
    or die "qemu-img: $?";
my %manifest = (name => 'other', version => '1', arch => 'x86_64',
                kernel => 'vmlinux', initrd => 'initrd', disk => 'disk',
                cmdline => 'quiet', disk_mb => 2048, min_memory_mb => 128,
                workdir => '/', desktop => JSON::PP::false);
my %few = (vmlinux => 'never', initrd => 'started',
           'manifest.json' => json->encode(\%manifest));

for my $name (keys %few) {
    open(my $fh, '>', "$few/$name") or die "$few/$name: $!";
    print $fh $few{$name};
    close $fh;
}

$second->stop;
ok(wait_for(30, sub { 2 == $t->workers }), 'the second node ends');
$second = SandboxNginx->new($t, 'node2',
                            sandbox_templates => '/run/stack/data/few');
ok(wait_for(10, sub { $second->answers }),
   'the second node comes without the template');

$pool = $pools->make('starved', min_ready => 1);
($record) = $t->redis('KEYS', "*:pool:$pool");
becomes('the first node fills its pool', \&status, ready => 1, warming => 0);
kill('STOP', @first);
$t->redis('HSET', $record, node => 'gone', lease_at => 1);
$t->redis('ZADD', 'sbx:leases', 1, $pool);
ok(wait_for(10, sub { $t->redis('ZSCORE', 'sbx:leases', $pool) > 1 }),
   'now it is of a node that is gone, and the second one looks first');
my $seen = time();
sleep 0.3;
cmp_ok($t->redis('ZSCORE', 'sbx:leases', $pool) / 1000 - $seen, '<', 1,
       'in vain, and leaves it to others soon');
kill('CONT', @first);
ok(wait_for(60, sub { holder() eq 'stack' }), 'the first one takes it')
    or diag(holder());
is($t->post("$root/$pool/drain", json => {})->{status}, 200,
   'the pool that one node may not take is drained');
ok(wait_for(60, sub { $t->delete("$root/$pool")->{status} == 200 }),
   'the pool that one node may not take is deleted');
$second->stop;
ok(wait_for(30, sub { 2 == $t->workers }), 'the second node ends');
$t->redis('DEL', 'sbx:{gone}:agenda');
unlink glob("$few/*");
rmdir $_ or die "$_: $!" for $few, "$t->{dir}/data/few";
$t->finish;
