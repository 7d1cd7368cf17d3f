#!/usr/bin/perl

# Scripts of src/state on a real Redis, where a race is only seen in what they
# answer: who keeps a source busy, and for how long.  Starts a redis-server of
# its own.

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

# Who settles has a bound, which renewing must not take away.
put($snap, state => 'taking', owner => 'me', fence => 7, lease_at => 1,
    sandbox_id => $source);
put($source, state => 'running', busy_by => $snap, busy_until => 7);
is(renew($snap, 7), 1, 'who settles is renewed');
is_in(field($snap, 'lease_at'), LEASE, 'for a lease');
is(field($source, 'busy_until'), 7, 'its source is busy no longer than it was');

put($snap, state => 'taking', owner => 'me', fence => 4, lease_at => 1,
    sandbox_id => $source);
is(renew($snap), 0, 'who was fenced off renews nothing');
is(field($snap, 'lease_at'), 1, 'not the lease');
is(field($source, 'busy_until'), 7, 'nor how long the source is busy');

# --- the settling of a snapshot ----------------------------------------------

sub settle {
    put($snap, state => 'taking', owner => 'dead', fence => 1, lease_at => 1,
        kind => 'reusable', node => 'here', sandbox_id => $source);
    put($source, @_);
    return run('snapshot_claim', [$key{$snap}], $snap, '', 'me', LEASE, 'here',
               $r->key('sandbox', ''), ' running ', 6);
}

my $a = settle(state => 'running', busy_by => $snap, busy_until => 7);
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

done_testing;
