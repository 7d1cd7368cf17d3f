#!/usr/bin/perl

# A thousand leftovers, as a host that was restarted and a Redis that lost its
# memory leave them: 500 records that run, with an overlay and without a
# domain, and 500 domains that run, with an overlay and without a record, are
# settled within twenty seconds of nginx's start.
#
# The domains are libvirt's, of an emulator that weighs nothing
# (t/lib/light-emulator.c): libvirt starts, watches and ends a process for each
# as it does for others.

use Digest::SHA qw(sha256);
use File::Path qw(remove_tree);
use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

use constant { EACH => 500, SECONDS => 20, SHELLS => 3 };

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_limits=sandboxes=2000 timeout=24h',
    '--set', 'sandbox_reconcile=interval=10s grace=0s']);

my $node = $t->node;
my $data = "$t->{dir}/data";

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
    my @files = glob("\Q$data\E/disks/sb_*");

    return @files;
}

# The UUID of a sandbox's domain.
sub uuid {
    my ($id) = @_;

    my $sha = sha256($id);
    vec($sha, 6, 8) = vec($sha, 6, 8) & 0x0f | 0x80;
    vec($sha, 8, 8) = vec($sha, 8, 8) & 0x3f | 0x80;

    return join '-', unpack 'A8A4A4A4A12', unpack 'H*', $sha;
}

sub domain_xml {
    my ($id) = @_;

    my $uuid = uuid($id);

    return <<"END";
<domain type='qemu'>
 <name>$id</name>
 <uuid>$uuid</uuid>
 <memory unit='MiB'>1</memory>
 <os><type arch='x86_64'>hvm</type></os>
 <metadata>
  <sandbox:domain xmlns:sandbox='urn:nginx-sandbox:domain:1' id='$id'
                  tenant='x' operation='x' node='sbx:{$node}'/>
 </metadata>
 <devices>
  <emulator>/run/stack/data/light/emulator</emulator>
  <controller type='usb' model='none'/>
  <memballoon model='none'/>
 </devices>
</domain>
END
}

sub write_text {
    my ($path, $text) = @_;

    open(my $fh, '>', $path) or die "$path: $!";
    print $fh $text;
    close($fh) or die "$path: $!";
}

# All of them run when this returns.
sub start_domains {
    my (@ids) = @_;

    my $light = "$data/light";
    mkdir $light or die "$light: $!";
    system('gcc', '-O1', '-static', '-o', "$light/emulator",
           "$FindBin::Bin/lib/light-emulator.c") == 0
        or die 'the emulator cannot be built';

    my @shells;

    for my $i (0 .. $#ids) {
        write_text("$light/$ids[$i].xml", domain_xml($ids[$i]));
        $shells[$i % SHELLS] .= "create /run/stack/data/light/$ids[$i].xml\n";
    }

    write_text("$light/$_", $shells[$_]) for 0 .. $#shells;
    $t->inside('sh', '-c', join(' ', map {
        "virsh -q -c qemu:///system </run/stack/data/light/$_ >/dev/null &"
    } 0 .. $#shells) . ' wait');
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

start_domains(@orphans);
is(scalar($t->domains), EACH, EACH . ' domains without a record');

# Processes of the emulator, those of other stacks too.
sub emulators {
    return scalar grep { (readlink($_) // '') =~ m{/light/emulator$} }
           glob('/proc/[0-9]*/exe');
}

cmp_ok(emulators(), '>=', EACH, 'with a process each');

my $began = time();
my $what = 'nothing was looked at';
$t->stack('start', 'nginx');

# first what costs least: looking must not be what takes the time
ok(wait_for(60, sub {
    return 0 if disks();
    $what = $t->redis('EVAL', $count, 0, $node, @records);
    $what eq EACH . ' 0' && !$t->domains
}), 'nginx starts: all of them are settled')
    or diag("$what, ", scalar(disks()), ' overlays, ', scalar($t->domains),
            ' domains, ',
            grep { /reconcile|no record in/ } split /^/, $t->log_text);
my $took = time() - $began;
diag(sprintf '%d leftovers: settled after %.2f s', 2 * EACH, $took);
cmp_ok($took, '<', SECONDS, 'in time');

$t->redis('EVAL', 'for i = 1, #ARGV do redis.call("DEL", "sbx:{aa}:sandbox:"'
          . ' .. ARGV[i]) end', 0, @records);
$t->redis('DEL', "sbx:{$node}:agenda");
remove_tree("$data/light");
$t->finish;
