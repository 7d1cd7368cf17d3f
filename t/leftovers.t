#!/usr/bin/perl

# A thousand leftovers: 500 records that run, with an overlay and without a
# domain, as a restarted host leaves them, and 500 overlays without a record, are
# settled within five seconds of nginx's start.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

use constant { EACH => 500, SECONDS => 5 };

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_limits=sandboxes=2000 timeout=24h',
    '--set', 'sandbox_reconcile=interval=10s grace=0s']);

my ($node) = $t->inside('cat', '/etc/nginx/nginx.conf')
    =~ /sandbox_node\s+(\S+);/;

sub id {
    my ($letter, $n) = @_;
    my $text = $letter x 15;

    for (1 .. 3) {
        $text .= chr(ord('a') + $n % 26);
        $n = int($n / 26);
    }

    return "sb_aa$text";
}

sub disks {
    my @files = glob("\Q$t->{dir}\E/data/disks/sb_*");

    return @files;
}

my $seed = <<'END';
local node, now = ARGV[1], tonumber(ARGV[2])
for i = 3, #ARGV do
    local id = ARGV[i]
    redis.call('HSET', 'sbx:{aa}:sandbox:' .. id, 'state', 'running',
               'tenant', 'x', 'node', node, 'timeout_at', now + 3600000,
               'address', i, 'execution', '00', 'fence', 1)
    redis.call('ZADD', 'sbx:{' .. node .. '}:agenda', now + 3600000, id)
    redis.call('HSET', 'sbx:{' .. node .. '}:guests', id, i)
    redis.call('HSET', 'sbx:{' .. node .. '}:addresses', i, id)
end
END

my $count = <<'END';
local n = 0
for i = 2, #ARGV do
    if redis.call('HGET', 'sbx:{aa}:sandbox:' .. ARGV[i], 'state')
       == 'error'
    then
        n = n + 1
    end
end
return n .. ' ' .. redis.call('HLEN', 'sbx:{' .. ARGV[1] .. '}:guests')
END

# its master kills a worker that is asked to stop while it waits for libvirtd
$t->expect_log(qr/worker process \d+ exited on signal 9/);
$t->stack('stop', 'nginx');

# such a one also leaves its lock, whose end is not what is measured
$t->redis('DEL', "sbx:{$node}:reconcile");

my @records = map { id('r', $_) } 1 .. EACH;
my @orphans = map { id('d', $_) } 1 .. EACH;

$t->redis('EVAL', $seed, 0, $node, int(time() * 1000), @records);

$t->inside('sh', '-c', "cd /run/stack/data/disks && touch "
                       . join(' ', map { "$_.qcow2" } @records, @orphans));
is(scalar(disks()), 2 * EACH, 2 * EACH . ' overlays');
is($t->redis('HLEN', "sbx:{$node}:guests"), EACH,
   EACH . ' records without a domain');

my $began = time();
my $what;
$t->stack('start', 'nginx');
ok(wait_for(30, sub {
    $what = $t->redis('EVAL', $count, 0, $node, @records);
    $what eq EACH . ' 0' && !disks()
}), 'nginx starts: all of them are settled')
    or diag("$what, ", scalar(disks()),
            grep { /reconcile|no record in/ } split /^/, $t->log_text);
my $took = time() - $began;
diag(sprintf '%d leftovers: settled after %.2f s', 2 * EACH, $took);
cmp_ok($took, '<', SECONDS, 'in time');

$t->redis('EVAL', 'for i = 1, #ARGV do redis.call("DEL", "sbx:{aa}:sandbox:"'
          . ' .. ARGV[i]) end', 0, @records);
$t->redis('DEL', "sbx:{$node}:agenda");
$t->finish;
