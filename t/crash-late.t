#!/usr/bin/perl

# Somebody is at a step for longer than his lease: another one takes over, and
# who comes late spoils nothing.  One worker, so that both are in one process,
# where they take turns at a sandbox.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxRecords;
use SandboxTest;

use constant { LEASE => 2, LONG => 12, LATE => 3000 };

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--workers', 1,
                                          '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $crash = SandboxCrash->new($t);
my $redis = SandboxRecords->new($t->redis_socket, 'default');

# A paused sandbox: it is resumed, and ended.
sub comes_back {
    my ($s) = @_;

    is($crash->persist(201, 'POST', "/v1/sandboxes/$s->{id}/resume")->{status},
       201, 'it can be resumed');
    $crash->remembers($s->{id}, 'with all it had');
    $crash->gone($s->{id});
}

# --- a hibernation -----------------------------------------------------------

# Before what vouches for the checkpoint is looked at for the last time, and
# after that.
for my $point ('take.seal.before', 'take.state.before') {
    subtest("a hibernation that is late at $point" => sub {
        my $s = $crash->made;
        my $path = "/v1/sandboxes/$s->{id}";

        $crash->arm($point, 'sleep ' . LATE);
        my $first = $crash->reach($point, sub {
            $t->begin('POST', "$path/hibernate");
        });
        $redis->command('HSET', $redis->key('sandbox', $s->{id}),
                        'lease_at', 0);
        $crash->persist(200, 'POST', "$path/hibernate");
        my $late = $t->end($first);
        ok($late->{status} == 200 || ($late->{json} // {})->{retryable},
           'who is late is told to repeat it') or diag($late->{body});

        is($t->get($path)->{json}{status}, 'paused', 'it is paused');
        $crash->only_listed('and has no place on the node', $s->{id});
        comes_back($s);
    });
}

# --- a claim that Redis has lost ---------------------------------------------

# As if Redis had died right after the claim, and come back without it.
sub unclaimed {
    my ($id, $state, @gone) = @_;
    my $record = $redis->key('sandbox', $id);

    $redis->command('HSET', $record, 'state', $state);
    $redis->command('HINCRBY', $record, 'fence', -1);
    $redis->command('HDEL', $record, 'owner', 'lease_at', @gone);
}

{
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";

    # until a renewal has told it, too
    $crash->arm('hibernate.take.after', 'sleep 1500');
    my $first = $crash->reach('hibernate.take.after', sub {
        $t->begin('POST', "$path/hibernate");
    });
    unclaimed($s->{id}, 'running', 'snapshot_id');
    my $r = $t->end($first);
    is($r->{status}, 200, 'a hibernation whose claim is lost ends well')
        or diag($r->{body});
    is($t->get($path)->{json}{snapshot_id}, $r->{json}{id},
       'the sandbox is paused');
    comes_back($s);
}

# Its deadline had come, which somebody has moved since, or something is taken of
# it; or it was called lost by then.
for my $found ([running => timeout_at => 4e12],
               [running => timeout_at => 4e12, timeout_action => 'destroy'],
               [running => busy_by => 'x', busy_until => 4e12],
               [error => error_detail => '{"reason":"x"}']) {
    my ($state, %fields) = @$found;
    my $s = $crash->made(timeout_action => 'hibernate');
    my $path = "/v1/sandboxes/$s->{id}";
    my $record = $redis->key('sandbox', $s->{id});

    $crash->arm('hibernate.take.after', 'sleep 1500');
    $redis->command('HSET', $record, 'timeout_at', 1);
    $redis->command('ZADD', @{ $redis->command('KEYS', '*:agenda') }, 1,
                    $s->{id});
    $crash->reached('hibernate.take.after');
    unclaimed($s->{id}, $state, 'snapshot_id');
    $redis->command('HSET', $record, %fields);
    ok(wait_for(20, sub { $t->get($path)->{json}{status} eq 'paused' }),
       "hibernated at its deadline, and found $state: @{[sort keys %fields]}")
        or diag($t->get($path)->{body});
    $redis->command('HDEL', $record, 'busy_by', 'busy_until');
    is($t->get($path)->{json}{error_detail}, undef, 'nothing is wrong with it');
    comes_back($s);
}

# Redis is away when the machine has ended, and has forgotten all of that when
# it is back.
{
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";

    $crash->arm('hibernate.take.after', 'sleep 5000');
    my $first = $crash->reach('hibernate.take.after', sub {
        $t->begin('POST', "$path/hibernate");
    });
    unclaimed($s->{id}, 'running', 'snapshot_id');
    $t->stack('kill', 'redis');
    $t->is_error($t->end($first), 503, 'state_store_unavailable',
                 'a hibernation that ends without Redis says so');
    $t->stack('start', 'redis');
    $redis = SandboxRecords->new($t->redis_socket, 'default');
    ok(wait_for(30, sub {
        ($t->get($path)->{json}{status} // '') eq 'paused'
    }), 'and pauses the sandbox when Redis is back')
        or diag($t->get($path)->{body});
    comes_back($s);
}

# --- a create that is deleted while it is made -------------------------------

# Who waits with its key is told the same, and makes no other.
{
    my @create = ('POST', '/v1/sandboxes', body => '{}',
                  idem => SandboxTest::idem());

    $crash->arm('create.boot.before', 'sleep ' . LATE);
    my $first = $crash->reach('create.boot.before', sub { $t->begin(@create) });
    my $second = $t->begin(@create);
    ok(!defined $second->read_head(0.5), 'a second request waits');
    my ($id) = @{ $crash->ids('/v1/sandboxes') };
    is($t->delete("/v1/sandboxes/$id")->{status}, 200, 'it is deleted');
    $t->is_error($t->end($_), 409, 'transition_in_progress', 'which is told')
        for $second, $first;
    $crash->only('nothing is left, and nothing made');
}

# The sandbox has another execution by now, which is not what was hibernated.
{
    my $s = $crash->made;
    my $next = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";
    my $record = $redis->key('sandbox', $s->{id});

    $crash->arm('hibernate.take.after', 'sleep 1500');
    my $first = $crash->reach('hibernate.take.after', sub {
        $t->begin('POST', "$path/hibernate");
    });
    unclaimed($s->{id}, 'resumed');
    $redis->command('HSET', $record, 'next', $next->{id});
    $t->is_error($t->end($first), 409, 'transition_in_progress',
                 'a hibernation that finds its sandbox resumed is given up');
    is($t->get("/v1/sandboxes/$next->{id}")->{json}{status}, 'running',
       'what it was resumed as goes on');
    $crash->remembers($next->{id}, 'with all it had');

    $redis->command('HSET', $record, 'state', 'hibernating');
    $redis->command('HDEL', $record, 'next');
    $crash->persist(200, 'POST', "$path/hibernate");
    $crash->persist(200, 'DELETE', $path);
    $crash->gone($next->{id});
}

for my $state ('running', 'paused', 'forgotten') {
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";
    my @index = map { $redis->key('tenant', "default$_") } '', ':destroyed';

    is($t->post("$path/hibernate")->{status}, 200, 'hibernated')
        if $state eq 'paused';
    $crash->arm('destroy.bury.before', 'sleep 1500');
    my $first = $crash->reach('destroy.bury.before', sub {
        $t->begin('DELETE', $path);
    });
    if ($state eq 'forgotten') {
        $redis->command('DEL', $redis->key('sandbox', $s->{id}));
        $redis->command('ZREM', $_, $s->{id}) for @index;

    } else {
        unclaimed($s->{id}, $state);
        $redis->command('ZADD', $index[0], 1, $s->{id});
        $redis->command('ZREM', $index[1], $s->{id});
    }
    is($t->end($first)->{status}, 200,
       "a DELETE of one that was $state, whose claim is lost, ends well");
    is($t->get($path)->{status}, 404, 'the sandbox is gone');
    $crash->only('and nothing is left');
}

# --- a snapshot --------------------------------------------------------------

# Its source is busy as long as somebody renews the lease.
{
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";
    my $record = $redis->key('sandbox', $s->{id});

    $crash->arm('take.seal.before', 'sleep ' . LATE);
    my $first = $crash->reach('take.seal.before', sub {
        $t->begin('POST', "$path/snapshots", body => '{}',
                  idem => SandboxTest::idem());
    });
    $redis->command('HSET', $record, 'busy_until', 1);
    ok(wait_for(LEASE, sub {
        $redis->command('HGET', $record, 'busy_until') > time() * 1000
    }), 'the source of a snapshot that takes long stays busy');
    my $r = $t->end($first);
    is($r->{status}, 201, 'and the snapshot is taken') or diag($r->{body});
    is($redis->command('HGET', $record, 'busy_until'), undef,
       'then it is busy no longer');
    $crash->persist(200, 'DELETE', "/v1/snapshots/$r->{json}{id}");
    $crash->gone($s->{id});
}

# Nobody refers to its memory before it is whole: one that is late finds it
# renewed, or sees that it is gone.
for my $gone (0, 1) {
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";

    $crash->arm('take.seal.before', 'sleep ' . LATE);
    my $first = $crash->reach('take.seal.before', sub {
        $t->begin('POST', "$path/snapshots", body => '{}',
                  idem => SandboxTest::idem());
    });
    my ($ram) = glob("\Q$t->{dir}\E/data/disks/snap_*.ram");
    my $then = (stat $ram)[10];

    unlink $ram or die "$ram: $!" if $gone;
    my $r = $t->end($first);

    if ($gone) {
        $t->is_error($r, 503, 'hypervisor_unavailable',
                     'a snapshot without its memory is none');
        is_deeply([glob("\Q$t->{dir}\E/data/disks/snap_*.state")], [],
                  'nothing vouches for it');
    } else {
        is($r->{status}, 201, 'one with it is taken') or diag($r->{body});
        cmp_ok((stat $ram)[10], '>', $then, 'and its memory is as of now');
        $crash->persist(200, 'DELETE', "/v1/snapshots/$r->{json}{id}");
    }
    is($t->get($path)->{json}{status}, 'running', 'the source goes on');
    $crash->remembers($s->{id}, 'with all it had');
    $crash->gone($s->{id});
}

# --- a fork ------------------------------------------------------------------

# The lease runs out before its source is taken, and nobody has taken over yet.
{
    my $s = $crash->made;
    my $idem = SandboxTest::idem();
    my @fork = ('POST', "/v1/sandboxes/$s->{id}/fork");

    $crash->arm('fork.take.before', 'sleep ' . LATE);
    my $first = $crash->reach('fork.take.before', sub {
        $t->begin(@fork, body => '{}', idem => $idem);
    });
    $t->stack('kill', 'redis', 'STOP');
    my $late = $t->end($first);
    $t->stack('kill', 'redis', 'CONT');
    $t->is_error($late, 409, 'transition_in_progress',
                 'a fork whose lease is lost is given up');

    my $child = $crash->persist(201, @fork, body => '{}', idem => $idem);
    $crash->remembers($child->{json}{id}, 'repeated, it has all of its source');
    $crash->persist(200, 'DELETE', "/v1/sandboxes/$child->{json}{id}");
    $crash->gone($s->{id});
}

# Who ends it waits for a thread until his lease is over: he leaves its source
# to the next one.
{
    my $s = $crash->made;

    $crash->arm('fork.take.after', 'kill');
    my $first = $crash->reach('fork.take.after', sub {
        $t->begin('POST', "/v1/sandboxes/$s->{id}/fork", body => '{}',
                  idem => SandboxTest::idem());
    });
    $crash->arm('destroy.teardown.before', 'sleep ' . LATE);
    $first->read_response;
    $crash->reached('destroy.teardown.before');
    my ($record) = grep {
        $redis->command('HEXISTS', $_, 'fork_of')
    } grep { !/:aliases$/ } @{ $redis->command('KEYS', '*:sandbox:sb_*') };
    ok($record, 'a fork is being undone') or die;
    $redis->command('HINCRBY', $record, 'fence', 1);
    ok(wait_for(20, sub {
        $t->log_text =~ /cannot be destroyed yet: the lease has passed/
    }), 'who has lost the lease does not touch its source');
    $crash->only('the next one does', $s->{id});
    $crash->remembers($s->{id}, 'and it goes on');
    $crash->gone($s->{id});
}

# --- a network policy --------------------------------------------------------

sub patch {
    my ($id, @deny) = @_;

    return $t->begin('PATCH', "/v1/sandboxes/$id/network",
                     json => { deny_out => \@deny });
}

# What the hypervisor has of it: generation and what is denied.
sub policy {
    my ($id) = @_;
    my $text = $t->inside(qw(virsh -q -c qemu:///system metadata), $id,
                          '--uri', 'urn:nginx-sandbox:network:1', '--live');

    return $text =~ /generation="(\d+)".* deny="([^"]*)"/s;
}

{
    my $s = $t->create({ memory_mb => 128, timeout_ms => 3_600_000 });
    my $id = $s->{id};

    # a claim lasts twenty seconds
    $crash->arm('network.apply.before', 'sleep 22000');
    my $first = patch($id, '192.0.2.1/32');
    $crash->reached('network.apply.before');
    sleep 20;
    $crash->persist(200, 'PATCH', "/v1/sandboxes/$id/network",
                    json => { deny_out => ['192.0.2.2/32'] });
    my ($generation) = policy($id);
    my $late = $t->end($first);
    $t->is_error($late, 503, 'capacity_exceeded',
                 'a change that waited for too long is not begun');
    is_deeply([policy($id)], [$generation, '192.0.2.2/32'],
              'and leaves alone what was asked for since');

    # as if a later one had come between the look at the clock and the change
    my $xml = $t->inside(qw(virsh -q -c qemu:///system metadata), $id,
                         '--uri', 'urn:nginx-sandbox:network:1', '--live');
    $xml =~ s/generation="\d+"/'generation="' . ($generation + 1e9) . '"'/e;
    $t->inside(qw(virsh -q -c qemu:///system metadata), $id, '--uri',
               'urn:nginx-sandbox:network:1', '--key', 'sandboxnet', '--live',
               '--set', $xml);
    is($t->end(patch($id, '192.0.2.3/32'))->{status}, 503,
       'one that is older than what is in force is refused');
    is_deeply([policy($id)], [$generation + 1e9, '192.0.2.2/32'],
              'and changes nothing');
    $t->expect_log(qr/has a later policy by now/);
    $crash->gone($id);
}

# --- a state store that dies -------------------------------------------------

# It may have lost the last renewal when it is back.

my $conf = "$t->{dir}/etc/nginx.conf";
my ($old) = $t->workers;
(my $text = SandboxLeft::slurp($conf)) =~ s/(sandbox_lease) \w+;/$1 ${\LONG}s;/
    or die 'no lease';
open(my $fh, '>', $conf) or die "$conf: $!";
print $fh $text;
close $fh;
$t->stack('reload', 'nginx');
ok(wait_for(20, sub { !grep { $_ == $old } $t->workers }), 'a longer lease');

# Begins a snapshot of $s that sleeps for a while, and kills Redis after the
# first renewal of its lease, which is a third of the lease after its begin:
# the request, the snapshot's record, and when the lease was renewed.
sub renewed_once {
    my ($s, $ms) = @_;

    $crash->arm('snapshot.take.before', "sleep $ms");
    my $http = $crash->reach('snapshot.take.before', sub {
        $t->begin('POST', "/v1/sandboxes/$s->{id}/snapshots", body => '{}',
                  idem => SandboxTest::idem());
    });
    my ($record) = grep {
        ($redis->command('HGET', $_, 'state') // '') eq 'taking'
    } grep { !/:lives$/ } @{ $redis->command('KEYS', '*:snapshot:snap_*') };
    my $first = $redis->command('HGET', $record, 'lease_at');
    my $then;

    ok(wait_for(LONG / 2, sub {
        $then = $redis->command('HGET', $record, 'lease_at');
        $then > $first
    }), 'a lease is renewed');
    $t->stack('kill', 'redis');
    return ($http, $record, $then / 1000 - LONG);
}

sub redis_again {
    $t->stack('start', 'redis');
    $redis = SandboxRecords->new($t->redis_socket, 'default');
}

{
    my $s = $crash->made;
    my ($http, $record, $then) = renewed_once($s, 1100 * LONG);
    my $at;

    # a third of the lease later Redis is away, which is not left to the next one
    sleep 0.05 while time() < $then + 0.37 * LONG;
    redis_again();
    ok(wait_for(LONG, sub {
        $at = $redis->command('HGET', $record, 'lease_at') / 1000 - LONG;
        $at > $then + 1
    }), 'renewed when Redis is back');
    cmp_ok($at, '<', $then + 0.62 * LONG, 'at once')
        or diag($at - $then);
    my $r = $t->end($http);
    is($r->{status}, 201, 'the snapshot is taken') or diag($r->{body});
    $crash->persist(200, 'DELETE', "/v1/snapshots/$r->{json}{id}");
    $crash->gone($s->{id});
}

# Redis does not come back: only what it heard before that counts.
{
    my $s = $crash->made;
    my ($http) = renewed_once($s, 1170 * LONG);

    $t->is_error($t->end($http), 409, 'transition_in_progress',
                 'a snapshot whose lease may be lost is given up');
    redis_again();
    $crash->persist(200, 'DELETE', "/v1/sandboxes/$s->{id}");
}

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
