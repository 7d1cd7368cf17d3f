#!/usr/bin/perl

# Scripts of src/state on a real Redis, where a race is only seen in what they
# answer, and what is left over only in the sets: who keeps a source busy, and
# for how long; who is in the sets of a snapshot and of a warm pool; what becomes
# of a pool in another Redis; whose a node is.  Starts a redis-server of its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(sleep);
use SandboxRecords;

use constant LEASE => 60_000;

my $dir = tempdir('scripts-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $socket = "$dir/redis.sock";
my $owner = $$;
my $pid = fork // die "fork: $!";

if ($pid == 0) {
    open STDOUT, '>', "$dir/log" or POSIX::_exit(127);
    exec 'redis-server', '--port', 0, '--unixsocket', $socket, '--save', '',
         '--dir', $dir;
}

END {
    if ($owner == $$) {
        my $status = $?;

        kill 'TERM', $pid;
        waitpid $pid, 0;
        $? = $status;
    }
}

for (1 .. 200) {
    last if IO::Socket::UNIX->new(Peer => $socket);
    sleep 0.05;
}

my $r = SandboxRecords->new($socket, 'acme');
my $body = 'a' x 17;
my ($snap, $other) = map { "snap_$r->{shard}$body$_" } 'a', 'b';
my ($source, $child) = map { "sb_$r->{shard}$body$_" } 'a', 'b';
my %key = (map({ $_ => $r->key('snapshot', $_) } $snap, $other),
           map({ $_ => $r->key('sandbox', $_) } $source, $child));

# run(script, [keys], args...): its answer.
sub run {
    my ($name, $keys, @args) = @_;
    open(my $fh, '<', "$FindBin::Bin/../../src/state/$name.lua") or die "$name: $!";
    my $text = do { local $/; <$fh> };

    return $r->command('EVAL', $text, scalar(@$keys), @$keys, @args);
}

sub now {
    my $time = $r->command('TIME');

    return $time->[0] * 1000 + int($time->[1] / 1000);
}

sub put {
    my ($id, %fields) = @_;

    $r->command('DEL', $key{$id});
    $r->command('HSET', $key{$id}, %fields);
}

sub field { return $r->command('HGET', $key{ $_[0] }, $_[1]) }

# How many ms from now, about.
sub is_in {
    my ($at, $ms, $name) = @_;

    cmp_ok(abs(($at // 0) - now() - $ms), '<', 5000, $name);
}

# --- agendas -----------------------------------------------------------------

my $agenda = 'sbx:{here}:agenda';

sub schedule { return run('schedule', [$agenda], @_) }
sub at { return $r->command('ZSCORE', $agenda, $_[0]) }

is(schedule($source, 1000, 'hasten')->[1], 0,
          'one that is not there is not hastened');
is(at($source), undef, 'nor put there');

my $a = schedule($source, 10 * LEASE, '');
is_in($a->[0], 10 * LEASE, 'a time from now');
is($a->[1], 1, 'it was not there');
is(at($source), $a->[0], 'and is');
$a = schedule($source, LEASE, '');
is($a->[1], 0, 'it was there');
is(at($source), $a->[0], 'and is moved, as asked');

$a = schedule($source, 2 * LEASE, 'hasten');
is_in(at($source), LEASE, 'an earlier time stays');
$a = schedule($source, -500, 'hasten');
is(at($source), $a->[0], 'a later one does not');

schedule($child, LEASE, '');
$a = run('due', [$agenda], LEASE, 10);
is_in($a->[0], 0, 'the time is told');
is($a->[1][0], $source, 'what is due');
cmp_ok($a->[1][1], '>=', 500, 'and since when');
is(@{ $a->[1] }, 2, 'nothing else');
is_in(at($source), LEASE, 'it is due again, should its taker die');
$r->command('DEL', $agenda);

# --- renew -------------------------------------------------------------------

sub renew {
    my ($id, $fence) = @_;

    return run('renew', [$key{$id}], 'me', $fence // 1, LEASE, $id);
}

put($snap, state => 'taking', owner => 'me', fence => 1, lease_at => 1,
    sandbox_id => $source);
put($source, state => 'running', busy_by => $snap, busy_until => now() + 1000);
is(renew($snap), 1, 'a snapshot is renewed');
is_in(field($snap, 'lease_at'), LEASE, 'for a lease');
is_in(field($source, 'busy_until'), 2 * LEASE,
      'its source is busy for as long, and until the agenda has settled it');

$r->command('HSET', $key{$source}, 'busy_until', now() + 10 * LEASE);
renew($snap);
is_in(field($source, 'busy_until'), 10 * LEASE, 'or longer, as it was');

for (['is busy for another one', state => 'running', busy_by => $other],
     ['is busy for nobody', state => 'running'],
     ['is being hibernated', state => 'hibernating', busy_by => $snap],
     ['is paused', state => 'paused', busy_by => $snap])
{
    my ($how, @fields) = @$_;

    $r->command('HSET', $key{$snap}, 'lease_at', 1);
    put($source, @fields, busy_until => 7);
    is(renew($snap), 0, "not whose source $how");
    is(field($snap, 'lease_at'), 1, 'its lease stays over');
    is(field($source, 'busy_until'), 7, 'and its source as it is');
}

put($child, state => 'creating', owner => 'me', fence => 1,
    fork_of => $source);
put($source, state => 'running', busy_by => $child, busy_until => 7);
is(renew($child), 1, 'a fork is renewed');
is_in(field($source, 'busy_until'), 2 * LEASE, 'its source is busy');

put($child, state => 'creating', owner => 'me', fence => 1);
is(renew($child), 1, 'one that is no fork is renewed');

# Who settles keeps the source that its claim has made busy, and no other.
for (['', busy_by => $snap, busy_until => now() + 1000],
     ['of another one', busy_by => $other, busy_until => now() + 1000],
     ['that was not kept', busy_by => $snap, busy_until => 7])
{
    my ($which, %busy) = @$_;

    put($snap, state => 'taking', owner => 'me', fence => 2, lease_at => 1,
        sandbox_id => $source, settle_until => now() + 10 * LEASE);
    put($source, state => 'running', %busy);
    is(renew($snap, 2), 1, 'who settles is renewed');
    is_in(field($snap, 'lease_at'), LEASE, 'for a lease');
    $which
        ? is(field($source, 'busy_until'), $busy{busy_until},
             "a source $which is busy no longer than it was")
        : is_in(field($source, 'busy_until'), LEASE,
                'its source is busy for as long');
}

put($snap, state => 'taking', owner => 'me', fence => 2, lease_at => 1,
    sandbox_id => $source, settle_until => now() + 5000);
put($source, state => 'running', busy_by => $snap, busy_until => now() + 1000);
is(renew($snap, 2), 1, 'who settles for very long is renewed');
is_in(field($source, 'busy_until'), 5000, 'but keeps the source no longer');

put($child, state => 'destroying', owner => 'me', fence => 2, lease_at => 1,
    fork_of => $source, settle_until => now() + 10 * LEASE);
put($source, state => 'hibernating', busy_by => $child,
    busy_until => now() + 1000);
is(renew($child, 2), 1, 'who ends a fork is renewed');
is_in(field($source, 'busy_until'), LEASE,
      'its source is busy, whatever becomes of that');

put($snap, state => 'taking', owner => 'me', fence => 4, lease_at => 1,
    sandbox_id => $source);
put($source, state => 'running', busy_by => $snap, busy_until => 7);
is(renew($snap), 0, 'who was fenced off renews nothing');
is(field($snap, 'lease_at'), 1, 'not the lease');
is(field($source, 'busy_until'), 7, 'nor how long the source is busy');

# --- keys of requests ----------------------------------------------------------

use constant KEPT => 100 * LEASE;

my $idem = $r->key('idem', 'acme:create:1');

# Reserves a sandbox, or a snapshot, and ends it well.
my %keyed = (
    'a sandbox' => [
        sub {
            $r->command('DEL', $key{$child});
            return run('reserve', [$key{$child}, $r->key('tenant', 'acme'), $idem],
                       'print', $child, 'me', LEASE, now() + LEASE, 0, KEPT,
                       tenant => 'acme');
        },
        sub {
            return run('commit', [$key{$child}, $idem], 'me', 1, $child,
                       'events', LEASE, 201, '{}', ' creating ', 'running',
                       started_at => 1);
        }, $child, 'creating', 'running'],
    'a snapshot' => [
        sub {
            $r->command('DEL', $key{$snap});
            put($source, state => 'running', tenant => 'acme', node => 'here');
            return run('snapshot_reserve',
                       [$key{$snap}, $r->key('tenant', 'acme:snapshots'), $idem,
                        $key{$source}], 'print', $snap, 'me', LEASE,
                       now() + LEASE, 'acme', $source, 'here', ' running ',
                       LEASE, 'reusable', '{}', KEPT);
        },
        sub {
            return run('snapshot_commit', [$key{$snap}, $idem, $key{$source}],
                       'me', 1, $snap, 'events', LEASE, 201, '{}', 1, $source);
        }, $snap, 'taking', 'ready'],
);

sub kept_for {
    my ($ms, $name) = @_;

    is_in(now() + $r->command('PTTL', $idem), $ms, $name);
}

for my $what (sort keys %keyed) {
    my ($reserve, $commit, $id, $during, $then) = @{ $keyed{$what} };

    $r->command('DEL', $idem);
    is($reserve->()->[0], 'new', "the key of $what is reserved");
    kept_for(KEPT, 'should nobody end it, it expires');
    is($commit->(), 1, 'it ends well');
    is(field($id, 'state'), $then, 'and is there');
    kept_for(LEASE, 'its answer is kept for as long as it says');

    for my $whose ('nobody', $other) {
        $r->command('DEL', $idem);
        $reserve->();
        $r->command('DEL', $idem);
        $r->command('HSET', $idem, fingerprint => 'print', state => 'running',
                    id => $other) if $whose eq $other;
        is($commit->(), 0, "not one whose key has expired and is ${whose}'s");
        is(field($id, 'state'), $during, 'which is to be undone');
        is($r->command('HGET', $idem, 'answer'), undef, 'no answer is kept');
    }
}

# --- a fork that ends well ------------------------------------------------------

for (['free.lua was lost: its source', $child, undef],
     ['a source that is busy for another one', $other, $other])
{
    my ($what, $by, $then) = @$_;

    $r->command('DEL', $idem);
    $r->command('HSET', $idem, id => $child);
    put($child, state => 'creating', owner => 'me', fence => 1,
        fork_of => $source);
    put($source, state => 'running', busy_by => $by, busy_until => KEPT);
    is($keyed{'a sandbox'}[1]->(), 1, 'a fork ends well');
    is(field($child, 'fork_of'), undef, 'it is a sandbox like others');
    is(field($source, 'busy_by'), $then,
       $what . ($then ? ' stays so' : ' is free'));
    is(field($source, 'busy_until'), $then && KEPT, 'at once');
}

$r->command('DEL', $idem);

# --- the settling of a snapshot ----------------------------------------------

sub settle {
    put($snap, state => 'taking', owner => 'dead', fence => 1, lease_at => 1,
        kind => 'reusable', node => 'here', sandbox_id => $source);
    put($source, @_);
    return run('snapshot_claim', [$key{$snap}], $snap, '', 'me', LEASE, 'here',
               $r->key('sandbox', ''), ' running ', 6);
}

$a = settle(state => 'running', busy_by => $snap, busy_until => 7);
is_deeply($a, ['claimed', 2, 'taking', $source, 1], 'it is claimed');
is_in(field($source, 'busy_until'), LEASE, 'and its source busy');

for (['another snapshot', state => 'running', busy_by => $other,
      busy_until => now() + 1000, 1000],
     ['one that is at it for long', state => 'running', busy_by => $other,
      busy_until => now() + 10 * LEASE, LEASE],
     ['a hibernation', state => 'hibernating', lease_at => now() + 2000, 2000])
{
    my ($who, @fields) = @$_;
    my $ms = pop @fields;

    $a = settle(@fields);
    is($a->[0], 'wait', "$who is at its source: it waits");
    is_in($a->[1], $ms, 'as long as that takes, or a lease');
    is(field($snap, 'fence'), 1, 'and fences nobody off');
    is(field($snap, 'owner'), 'dead', 'nor is it anybody\'s');
}

is_deeply(settle(state => 'running', busy_by => $other, busy_until => 7),
          ['claimed', 2, 'taking', $source, 0],
          'whoever has died at its source is not waited for');
is(settle(state => 'paused')->[0], 'claimed', 'nor a source that is paused');
is_deeply(settle(state => 'hibernating', lease_at => 7),
          ['claimed', 2, 'taking', $source, 0],
          'nor a hibernation whose worker has died');
is_in(field($source, 'busy_until'), LEASE, 'which waits for this claim');

# A claim counts as a try unless that is taken back.
sub claim_again {
    $r->command('HSET', $key{$snap}, 'lease_at', 1);
    return run('snapshot_claim', [$key{$snap}], $snap, '', 'me', LEASE, 'here',
               $r->key('sandbox', ''), ' running ', 6);
}

sub untried {
    return run('snapshot_end', [$key{$snap}], 'me', $_[0], $snap, 'events',
               $r->key('sandbox', ''), $r->key('tenant', ''), 'untried', '',
               LEASE);
}

settle(state => 'running', busy_by => $snap, busy_until => 7);
$r->command('HSET', $key{$snap}, 'idem', $idem);
$r->command('HSET', $idem, 'id', $snap);
$a = claim_again(), untried($a->[1]) for 1 .. 9;
is_deeply($a, ['claimed', 11, 'taking', $source, 1],
          'its source is kept for whoever claims it next');
is_in(field($snap, 'settle_until'), 10 * LEASE, 'for ten leases at most');
is(untried(10), 0, 'who was fenced off takes nothing back');
is(field($snap, 'state'), 'taking', 'it is still to be undone');
is($r->command('HGET', $idem, 'id'), $snap, 'under its key');

for my $n (2 .. 6) {
    $a = claim_again();
    is($a->[4], 1, "kept for try $n");
    is(field($source, 'busy_by'), $snap, 'and its source busy');
}

$a = claim_again();
is($a->[4], 0, 'and then no more');
$r->command('DEL', $idem);

# --- the end of a fork that is being taken -----------------------------------

sub destroy {
    my ($state, @source) = @_;

    put($child, state => $state, tenant => 'acme', node => 'here', fence => 1,
        owner => 'dead', lease_at => 1, created_at => 1, fork_of => $source,
        checkpoint => $snap);
    put($source, @source);
    return run('claim', [$key{$child}], $child, '', 'me', LEASE, 'events',
               $r->key('tenant', ''), ' creating destroying ', 'destroying',
               'here', LEASE, 0);
}

for my $state ('creating', 'destroying') {
    $a = destroy($state, state => 'running', busy_by => $child,
                 busy_until => 7);
    is($a->[0], 'claimed', "a fork that is $state is claimed");
    is($a->[6], $source, 'with its source');
    is_in(field($source, 'busy_until'), LEASE, 'which is busy');

    $a = destroy($state, state => 'hibernating', busy_by => $child,
                 busy_until => 7, lease_at => now() + 2000);
    is($a->[0], 'wait', 'it waits for a hibernation of its source');
    is_in($a->[1], 2000, 'as long as that has a worker');
    is(field($child, 'fence'), 1, 'and fences nobody off');

    $a = destroy($state, state => 'hibernating', busy_by => $child,
                 busy_until => 7, lease_at => 7);
    is($a->[0], 'claimed', 'but for one whose worker has died');
    is_in(field($source, 'busy_until'), LEASE, 'which waits for this');

    $a = destroy($state, state => 'running', busy_by => $other,
                 busy_until => now() + LEASE);
    is($a->[0], 'claimed', 'it does not wait for what else is taken of it');
    is($a->[6], '', 'and leaves its source alone');
}

# --- a DELETE of what is being resumed -----------------------------------------

# A DELETE of $child, which $source is resumed as.
sub delete_resumed {
    my ($by, %paused) = @_;

    put($child, state => 'creating', tenant => 'acme', node => 'here', fence => 1,
        owner => 'other', lease_at => now() + LEASE, created_at => 1,
        resume_of => $source);
    put($source, tenant => 'acme', %paused);
    return run('claim', [$key{$child}], $child, $by, 'me', LEASE, 'events',
               $r->key('tenant', ''), ' creating destroying ', 'destroying',
               'here', LEASE, 0);
}

is_deeply(delete_resumed('acme', state => 'resuming', next => $child),
          ['alias', $source], 'a DELETE of what is being resumed is the old one\'s');
is(field($child, 'state'), 'creating', 'and fences nobody off');
is(delete_resumed('other', state => 'resuming', next => $child)->[0], 'none',
   'a stranger\'s is nobody\'s');
is(delete_resumed('', state => 'resuming', next => $child)->[0], 'wait',
   'the agenda waits for its lease');
is(delete_resumed('acme', state => 'paused')->[0], 'claimed',
   'one that the paused sandbox knows nothing of is claimed');

# --- a network policy -----------------------------------------------------------

# A PATCH of $source; its generation.
sub patch {
    my $a = run('network_claim', [$key{$source}], 'acme', 'me', -1, ' running ');

    is($a->[0], 'claimed', 'a policy is claimed');
    return $a->[1];
}

put($source, state => 'running', tenant => 'acme', node => 'here');
my $generation = patch();
$r->command('HDEL', $key{$source}, 'network_generation');
sleep 0.01;
cmp_ok(patch(), '>', $generation, 'a generation that Redis lost is not used again');
put($source, state => 'running', tenant => 'acme', node => 'here',
    network_generation => 4e12);
is(patch(), 4e12 + 2, 'nor one that is later than the clock');
is(field($source, 'network_generation'), 4e12 + 2, 'which is noted');

# --- the end of a sandbox that others know by its first id ----------------------

my $lives = "$key{$snap}:lives";
my $pool_id = "twp_$r->{shard}${body}a";
my $pool = $r->key('pool', $pool_id);
my ($first, $second, $third) = map { "sb_$r->{shard}$body$_" } 'x', 'y', 'z';
$key{$_} = $r->key('sandbox', $_) for $first, $second, $third;

sub claimed { return $r->command('ZRANGE', "$pool:claimed", 0, -1) }
sub lives { return $r->command('SMEMBERS', $lives) }

# The sets of a sandbox that came from a snapshot, and from a pool, which no
# sandbox does at once; and the records of its executions.
sub executions {
    my %records = @_;

    $r->command('DEL', $lives, "$pool:claimed", values %key);
    $r->command('SADD', $lives, $first);
    $r->command('ZADD', "$pool:claimed", now(), $first);
    put($_, tenant => 'acme', created_at => 1, %{ $records{$_} })
        for keys %records;
}

sub bury {
    return run('bury', [$key{ $_[0] }], 'me', 1, LEASE, $_[0], 'events',
               $r->key('tenant', ''));
}

my %of = (lives => $lives, claimed_from => $pool);
my %ending = (state => 'destroying', owner => 'me', fence => 1);

executions($first => { %ending, %of });
is(bury($first), 1, 'a first execution ends');
is_deeply([lives(), claimed()], [[], []], 'it is in no set');

executions($first => { %ending, %of, snapshot_id => $other });
is(bury($first), 1, 'a paused one that was never woken ends');
is_deeply([lives(), claimed()], [[], []], 'it is in no set');

executions($first => { state => 'resumed', next => $third, %of },
           $second => { state => 'resumed', next => $first, origin => $first },
           $third => { %ending, origin => $first });
is(run('bury', [$key{$third}], 'other', 1, LEASE, $third, 'events',
       $r->key('tenant', '')), 0, 'who was fenced off ends nothing');
is_deeply([lives(), claimed()], [[$first], [$first]], 'it is in its sets');
is(bury($third), 1, 'a later execution ends');
is(field($first, 'state'), 'destroyed', 'and with it the first one');
is_deeply([lives(), claimed()], [[], []], 'which is in no set');

executions($first => { state => 'resumed', next => $third, %of },
           $third => { %ending, snapshot_id => $other, origin => $first });
is(bury($third), 1, 'and one that is paused');
is_deeply([lives(), claimed()], [[], []], 'is in no set either');

executions($first => { state => 'paused', %of },
           $second => { %ending, origin => $first });
is(bury($second), 1, 'an execution that never ran ends');
is(field($first, 'state'), 'paused', 'the first one does not');
is_deeply([lives(), claimed()], [[$first], [$first]], 'and stays in its sets');

executions($first => { state => 'resumed', next => $second, %of },
           $second => { state => 'paused', origin => $first },
           $third => { %ending, origin => $first });
is(bury($third), 1, 'nor does it with one that came after others');
is_deeply([lives(), claimed()], [[$first], [$first]], 'it stays in its sets');

# --- the ids between the first and the newest -----------------------------------

# The nth execution, as an id.
sub execution { return $r->id(10_000 + $_[0]) }

# A paused sandbox with an id more is resumed, by commit.lua after resume.lua.
sub resumed {
    my ($old, $new) = @_;
    my $to = $r->key('sandbox', $new);

    $r->command('HSET', $to, state => 'creating', owner => 'me', fence => 1,
                tenant => 'acme', resume_of => $old, origin => execution(0),
                created_at => 7, metadata => '{}');
    return run('commit', [$to, $r->key('tenant', 'acme'), $key{$snap}], 'me', 1,
               $new, 'events', LEASE, 201, '', ' creating ', 'running',
               started_at => 1);
}

sub of_execution {
    my ($command, $n, @args) = @_;

    return $r->command($command, $r->key('sandbox', execution($n)), @args);
}

my $aliases = $r->key('sandbox', execution(0) . ':aliases');

of_execution('HSET', 0, state => 'resuming', tenant => 'acme');
$r->command('ZADD', $r->key('tenant', 'acme'), 1, execution(0));
resumed(execution($_ - 1), execution($_)) for 1 .. 101;
is_deeply($r->command('ZRANGE', $r->key('tenant', 'acme'), 0, -1, 'WITHSCORES'),
          [execution(101), 7], 'the newest alone is listed, as what was made then');
is(of_execution('HGET', 0, 'next'), execution(101), 'the first leads to the newest');
is(of_execution('PTTL', 0), -1, 'and is kept');
is(of_execution('HGET', $_, 'next'), execution(0), "number $_ leads to the first")
    for 1, 100;
is(of_execution('PTTL', $_), -1, "number $_ is kept") for 1, 100;
is(of_execution('HGET', 100, 'metadata'), undef, 'less what is not needed');

resumed(execution(101), execution(102));
cmp_ok(of_execution('PTTL', 1), '>', LEASE - 5000, 'beyond a hundred the oldest');
cmp_ok(of_execution('PTTL', 1), '<=', LEASE, 'goes, after a while');
is(of_execution('PTTL', $_), -1, "number $_ is kept") for 2, 101;
is($r->command('LLEN', $aliases), 100, 'they are a hundred');

of_execution('HSET', 102, %ending);
$key{ execution(102) } = $r->key('sandbox', execution(102));
is(bury(execution(102)), 1, 'the newest ends');
is(of_execution('HGET', 0, 'state'), 'destroyed', 'and the first');
is(scalar(grep { of_execution('PTTL', $_) < 0 } 0 .. 102), 0,
   'with all ids in between');
is($r->command('EXISTS', $aliases), 0, 'and what knew them');

# --- the deletion of a snapshot ------------------------------------------------

sub delete_snapshot {
    put($snap, state => 'ready', kind => 'reusable', node => 'here', fence => 1,
        tenant => 'acme', sandbox_id => $source);
    return run('snapshot_claim', [$key{$snap}], $snap, 'acme', 'me', LEASE,
               'here', $r->key('sandbox', ''), ' running resumed ', 6);
}

executions($first => { state => 'resumed' });
$r->command('SADD', $lives, $second, map { $r->id($_) } 1 .. 50);
put($second, state => 'destroyed');
is_deeply(delete_snapshot(), ['in_use', $first],
          'a snapshot is in use, whoever else is in its set');
put($first, state => 'destroyed');
is(delete_snapshot()->[0], 'claimed', 'and is not when nobody of them lives');
is_deeply(lives(), [], 'they are in its set no more');

# --- a warm pool that is changed --------------------------------------------------

{
    my $change = sub {
        return run('pool_change', [$pool, "$pool:of", "$pool:names"], $pool_id,
                   '', '', @_);
    };

    $r->command('ZADD', "$pool:of", 1, $pool_id);
    $r->command('HSET', $pool, qw(name a node here state enabled min_ready 0
                                  max_ready 1 version_policy track_tag
                                  track_tag latest));
    $change->(min_ready => 1);
    is($r->command('HGET', $pool, 'track_tag'), 'latest',
       'a pool keeps the tag that it tracks');
    $change->(version_policy => 'pinned_build');
    is($r->command('HGET', $pool, 'track_tag'), '',
       'and has none when it tracks none');
    is_deeply($change->(version_policy => 'track_tag'),
              ['invalid', 'track_tag'], 'so it cannot track it again unasked');
    $r->command('DEL', $pool, "$pool:of", "$pool:names");
}

# --- those that were claimed from a warm pool -----------------------------------

sub tend {
    return run('pool_tend', [$pool], $pool_id, 'here', 'v1', 5000, 2, 15000, 8,
               LEASE, 3500);
}

sub looked_at {
    return $r->command('ZCOUNT', "$pool:claimed", now() - 5000, '+inf');
}

$r->command('HSET', $pool, state => 'enabled', node => 'here', fence => 1,
            min_ready => 0, max_ready => 1, idle_timeout_ms => 1000,
            stale_after_ms => LEASE, version => 'v1',
            version_policy => 'pinned_build', lease_at => now() + LEASE);
executions($first => { state => 'resumed' }, $second => { state => 'destroyed' });
$r->command('ZADD', "$pool:claimed", now() - 1000, $second);
$a = tend();
is($a->[8][2], 2, 'those that were looked at within a minute are believed');

$r->command('ZADD', "$pool:claimed", now() - 61_000, $_) for $first, $second;
$a = tend();
is($a->[8][2], 1, 'one that Redis had kept goes a minute later');
is_deeply(claimed(), [$first], 'one that lives stays');
is(looked_at(), 1, 'and is not looked at again at once');

$r->command('DEL', "$pool:claimed");
for my $n (1 .. 1000) {
    my $id = $r->id($n);

    $r->later('HSET', $r->key('sandbox', $id), state => 'paused')
        unless $n % 10 == 0;
    $r->later('ZADD', "$pool:claimed", $n, $id);
}

$a = tend();
is($a->[8][2], 998, 'of many a few are looked at');
is(looked_at(), 18, 'no more than twenty');
$a = tend() for 1 .. 49;
is($a->[8][2], 900, 'until all were');
is_deeply([grep { !$r->command('EXISTS', $r->key('sandbox', $_)) } @{ claimed() }],
          [], 'and those without a record are gone');

# --- a Redis that was restarted ----------------------------------------------

{
    my $index = $r->key('tenant', 'acme');
    my $idem = 0;
    my $checkout = sub {
        return run('checkout', [$pool, $index, $r->key('idem', ++$idem)], 'print',
                   $pool_id, 'here', now(), '', '', 0, 0, 0, LEASE, 'events',
                   ' pooled ', 'running', '}', 'timeout_ms', LEASE);
    };
    my $add = sub {
        my ($id, $set) = @_;

        put($id, state => 'pooled', node => 'here', member => $pool,
            pool_version => 'v1', ready_at => now(), checked_at => now(),
            timeout_at => now() + LEASE, address => 1);
        $r->command('ZADD', "$pool:$set", now(), $id);
    };
    my $fill = sub {
        $r->command('DEL', map { "$pool:$_" } qw(ready old draining claimed));
        $add->(@$_) for [$first, 'ready'], [$second, 'old'], [$source, 'ready'];
    };

    $r->command('HSET', $pool, tenant => 'acme', head => '"x":1', max_ready => 8,
                last_claim => now(), idle_timeout_ms => LEASE, target => 8);
    tend();
    my $run = $r->command('HGET', $pool, 'redis_run');
    like($r->command('INFO', 'server'), qr/run_id:\Q$run\E\r/,
         'a pool knows which Redis it was tended in');
    $fill->();
    is_deeply(tend()->[8], [3, 0, 0, 0, 0, 0, 8], 'there it keeps its members');
    is($checkout->()->[0], 'hit', 'and hands them out');

    $fill->();
    $r->command('HSET', $pool, redis_run => 'f' x 40);
    is_deeply([@{ $checkout->() }[0, 1]], ['miss', 'empty'],
              'in another one it has none to hand out');
    is_deeply(tend()->[8], [0, 0, 0, 3, 0, 0, 8], 'and lets them go');
    is_deeply([sort @{ $r->command('ZRANGE', "$pool:draining", 0, -1) }],
              [sort $first, $second, $source], 'all of them');
    ok(field($first, 'timeout_at') <= now(), 'at once');
    $r->command('DEL', "$pool:draining");
    is_deeply([@{ $checkout->() }[0, 1]], ['miss', 'empty'], 'it is empty');

    $add->($child, 'ready');
    is_deeply([@{ $checkout->() }[0, 1]], ['hit', $child],
              'a new member is handed out');
}

# --- whose a node is ---------------------------------------------------------

{
    my %node = map { $_ => "sbx:{node}:$_" }
               qw(agenda addresses guests cursor reconcile host);
    my $id = $r->id(1);
    my $lead = sub {
        return run('lead', [@node{qw(reconcile host)}], 'worker', LEASE, $_[0],
                   LEASE);
    };
    my $admit = sub {
        return run('admit', [@node{qw(agenda addresses guests cursor host)}],
                   $id, LEASE, 2, 8, 8, $_[0])->[0];
    };
    my $due = sub {
        return run('due', [@node{qw(agenda host)}], LEASE, 8, $_[0]);
    };
    my $free = sub { $r->command('DEL', values %node) };

    is($admit->('this'), 3, 'a node that is nobody yet admits');
    is($lead->('this'), 1, 'it becomes a host');
    $free->();
    is($lead->('that'), 1, 'one that is another host');
    is($lead->('this'), -1, 'is led by none but that');
    is($admit->('this'), -2, 'admits nothing for another');
    is($r->command('EXISTS', @node{qw(agenda addresses guests cursor)}), 0,
       'and nothing is left of that');
    is($admit->('that'), 3, 'but for that one');
    is($admit->(''), 3, 'and for one that has no name to tell them apart');

    $r->command('ZADD', $node{agenda}, 7, $id);
    is($due->('this'), -1, 'what is due is told to no other host');
    is($r->command('ZSCORE', $node{agenda}, $id), 7, 'and waits');
    is($due->('that')->[1][0], $id, 'for that one');
    $r->command('ZADD', $node{agenda}, 7, $id);
    is($due->('')->[1][0], $id, 'or one without a name');
    $r->command('ZADD', $node{agenda}, 7, $id);
    is(run('due', [$node{agenda}], LEASE, 8)->[1][0], $id,
       'a list of no node is for all');
    $free->();
}

done_testing;
