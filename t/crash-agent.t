#!/usr/bin/perl

# A sandbox that changes between the read of its record and the use of it, by a
# worker that is slow in between: the request does not go by what it has read.
# Records put into Redis by hand: no guest ever runs here.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxRecords;
use SandboxTest;

use constant POINT => 'agent.read.after';

my $t = SandboxTest->new(own => 1, up => [
    '--crash-points', '--set',
    'sandbox_redis=unix:/run/redis/redis-server.sock timeout=7s']);
my $crash = SandboxCrash->new($t);
my $key = $t->key('sleepers');
my $records = SandboxRecords->new($t->redis_socket, 'sleepers');
my $node = $t->node;

# Whoever is asked at that address refuses the connection.
sub record {
    my $id = $records->add(node => $node, state => 'running', @_,
                           address => unpack('N', pack('C4', 127, 0, 0, 1)));

    $records->flush;
    return $id;
}

sub begin {
    my ($id) = @_;

    return $t->begin('POST', "/v1/sandboxes/$id/exec", key => $key,
                     json => { command => 'true' });
}

# The record of one changes while the worker that has read it does nothing, and
# the other worker hears of it; through is the id that is asked for.
sub changed {
    my ($id, $through) = @_;

    $crash->arm(POINT, 'sleep 2000');
    my $http = begin($through);
    $crash->reached(POINT);
    $records->command('HSET', $records->key('sandbox', $id), state => 'paused');
    # a word that is no news for those who are at a guest
    $t->redis('PUBLISH', 'sbx:events', "$id free");
    return $t->end($http);
}

my $id = record();

$t->is_error($t->end(begin($id)), 502, 'sandbox_unreachable',
             'what runs by its record is asked');
$t->is_error(changed($id, $id), 409, 'sandbox_paused_auto_resume_disabled',
             'not what was paused after that was read');

$id = record();
my $alias = record(state => 'resumed', next => $id);
$t->is_error($t->end(begin($alias)), 502, 'sandbox_unreachable',
             'so by an id of before');

# the second read is that of the record
$crash->arm(POINT, 'sleep 1');
$t->is_error(changed($id, $alias), 409, 'sandbox_paused_auto_resume_disabled',
             'and by that');

$records->clear;
$t->finish;
