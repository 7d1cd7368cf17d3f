#!/usr/bin/perl

# Redis, libvirt and the disks made to disagree by hand: the node settles it,
# and leaves alone what is right.

use FindBin;
use lib "$FindBin::Bin/lib";
use lib "$FindBin::Bin/../scripts/lib";
use SandboxTest;
use StackConf qw(read_file write_file);
use Digest::SHA qw(sha256);
use POSIX ();

use constant { INTERVAL => 1, GRACE => 3 };

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_lease=5s', '--set',
    'sandbox_reconcile=interval=' . INTERVAL . 's grace=' . GRACE . 's']);
my $sb = $t->create({ memory_mb => 128, timeout_ms => 3600000 })
    or $t->finish, exit;
my $id = $sb->{id};
my ($node) = $t->redis('KEYS', 'sbx:{*}:guests') =~ /^(.*):guests$/m;

sub key { return 'sbx:{' . substr($_[0], 3, 2) . "}:sandbox:$_[0]" }
# What belongs to sandboxes; the engine may keep other things of its own.
sub machines { return grep { /^sb_/ } $t->domains }
sub disks { return map { m{(sb_[^/.]+)\.qcow2$} } glob("\Q$t->{dir}\E/data/disks/*") }
sub ids { return [sort @_] }

# Nothing but $id is on the host, and its address is the only one given.
sub only_one_left {
    return "@{ ids(machines()) }" eq $id && "@{ ids(disks()) }" eq $id
           && $t->redis('HKEYS', "$node:guests") eq $id
           && $t->redis('HLEN', "$node:addresses") == 1;
}

# How often Redis was asked for something.
sub calls {
    my ($command) = @_;

    return $t->redis('INFO', 'commandstats')
        =~ /cmdstat_$command:calls=(\d+)/ ? $1 : 0;
}

# Publishes again and again that a sandbox cannot be reached, as workers do
# while clients ask for it, until the returned guard is dropped.
sub suspect {
    my ($id, $name) = @_;
    my $pid = fork() // die "fork: $!";

    ($name) = $node =~ /\{(.*)\}/ if !defined $name;

    if ($pid == 0) {
        exec("$SandboxTest::top/scripts/stack", 'run', '--dir', $t->dir, '--',
             'sh', '-c', "while :; do echo PUBLISH sbx:events '\"$id suspect "
             . "$name\"'; sleep 0.02; done "
             . '| redis-cli -s /run/redis/redis-server.sock >/dev/null')
            or POSIX::_exit(127);
    }

    return guard(sub {
        $t->inside('pkill', '-f', "PUBLISH sbx:events '\"$id suspect");
        waitpid $pid, 0;
    });
}

# Somebody goes on telling.
sub goes_on {
    my $before = calls('publish');

    return wait_for(10, sub { calls('publish') > $before + 50 });
}

sub works {
    my ($name) = @_;

    is($t->exec($sb, 'echo 1')->{stdout}, "1\n", $name);
}

# --- the machine ends --------------------------------------------------------

{
    my $doomed = $t->create({ memory_mb => 128, timeout_ms => 3600000 });
    my $lost = $doomed->{id};
    my $began = time();

    $t->stack('kill', "qemu:$lost");
    my $r;
    ok(wait_for(INTERVAL + 5, sub {
        $r = $t->get("/v1/sandboxes/$lost");
        $r->{json}{status} eq 'error'
    }), 'QEMU is killed: the sandbox is in state error') or diag($r->{body});
    diag(sprintf 'a killed QEMU: known after %.1f s', time() - $began);
    ok(wait_for(3, sub { $t->metric('sandbox_lost_total') == 1 }), 'is counted');
    like($r->{json}{error_detail}{reason} // '', qr/machine/, 'and says why');
    like($r->{json}{error_detail}{at} // '', qr/^\d{4}-.*Z$/, 'and when');
    ok(wait_for(5, \&only_one_left), 'overlay and address are free');
    is_deeply([map { $_->{status} } grep { $_->{id} eq $lost }
               @{ $t->list('/v1/sandboxes') }], ['error'], 'it is listed');
    $t->is_error($t->post("/v1/sandboxes/$lost/exec",
                          json => { command => 'true' }),
                 409, 'transition_conflict', 'exec is refused');
    $r = $t->traffic($lost, 8000, 'GET', '/');
    cmp_ok($r->{status}, '>=', 500, 'traffic too') or diag($r->{body});
    is($r->{json}{code}, 'sandbox_unreachable', 'truthfully');
    cmp_ok($t->redis('ZSCORE', "$node:agenda", $lost), '>', time() * 1000,
           'its deadline stands');

    is($t->delete("/v1/sandboxes/$lost")->{status}, 200, 'it can be deleted');
    $t->is_error($t->get("/v1/sandboxes/$lost"), 404, 'sandbox_not_found',
                 'and is gone');
    works('the other one is not touched');
}

{
    my $doomed = $t->create({ memory_mb => 128, timeout_ms => 8000 });
    my $lost = $doomed->{id};

    $t->stack('kill', "qemu:$lost");
    ok(wait_for(INTERVAL + 5, sub {
        $t->get("/v1/sandboxes/$lost")->{json}{status} eq 'error'
    }), 'another one ends');
    ok(wait_for(12, sub { $t->get("/v1/sandboxes/$lost")->{status} == 404 }),
       'the deadline ends what is in state error');
}

{
    my $doomed = $t->create({ memory_mb => 128, timeout_ms => 3600000 });
    my $lost = $doomed->{id};
    my $shout = suspect($lost);
    ok(goes_on(), 'a sandbox is suspected all the time');
    $t->stack('kill', "qemu:$lost");
    ok(wait_for(10 * INTERVAL, sub {
        $t->get("/v1/sandboxes/$lost")->{json}{status} eq 'error'
    }), 'it is looked at all the same');
    ok(goes_on(), 'and still suspected');
    undef $shout;
    $t->delete("/v1/sandboxes/$lost");
}

# Guests that answer nothing do not make their node compare all it has.
{
    my $doomed = $t->create({ memory_mb => 128, timeout_ms => 3600000 });
    my $lost = $doomed->{id};
    my $before = calls('hgetall');

    reloaded(sub { s/(sandbox_reconcile [^;]*?interval=)\w+/${1}600s/ });
    ok(wait_for(20, sub { calls('hgetall') > $before }),
       'a node compares what it has when it starts');
    sleep 3;    # also the workers that are new
    $before = calls('hgetall');

    {
        my $shout = suspect($id);
        ok(goes_on(), 'a sandbox is suspected whose machine runs');
        sleep 3;
    }
    {
        my $shout = suspect($lost, 'another');
        $t->stack('kill', "qemu:$lost");
        ok(goes_on(), 'and one by its machine on another node');
        sleep 3;
    }

    is(calls('hgetall'), $before, 'it compares nothing for that');

    my $shout = suspect($lost);
    ok(wait_for(10, sub {
        $t->get("/v1/sandboxes/$lost")->{json}{status} eq 'error'
    }), 'but for one whose machine is gone');
    undef $shout;
    reloaded(sub { s/(sandbox_reconcile [^;]*?interval=)\w+/$1${\INTERVAL}s/ });
    works('and the other one is not touched');
}

# --- things that nobody knows of ---------------------------------------------

{
    # a machine with our mark under an id that nobody has
    my $orphan = 'sb_' . substr($id, 3, 2) . 'a' x 18;
    my ($mark) = $t->inside(qw(virsh -c qemu:///system dumpxml), $id)
        =~ m{(<sandbox:domain.*?/>)}s;
    my $path = "$t->{dir}/data/orphan.xml";
    my $sha = sha256($orphan);
    vec($sha, 6, 8) = vec($sha, 6, 8) & 0x0f | 0x80;
    vec($sha, 8, 8) = vec($sha, 8, 8) & 0x3f | 0x80;
    my $uuid = join '-', unpack 'A8A4A4A4A12', unpack 'H*', $sha;

    $mark =~ s/\Q$id\E/$orphan/;
    open(my $fh, '>', $path) or die $!;
    print $fh "<domain type='qemu'><name>$orphan</name><uuid>$uuid</uuid>"
        . "<memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type>"
        . "</os><metadata>$mark</metadata></domain>";
    close($fh);
    my $began = time();
    $t->inside(qw(virsh -c qemu:///system create),
               '/run/stack/data/orphan.xml');
    unlink $path;

    my $file = 'sb_' . substr($id, 3, 2) . 'b' x 18;
    $t->inside('touch', "/run/stack/data/disks/$file.qcow2");

    my $seen = 0;
    ok(wait_for(GRACE + 10, sub {
        $seen = time() if grep { $_ eq $orphan } $t->domains;
        only_one_left()
    }), 'a domain and an overlay without a record are destroyed')
        or diag(join ' ', $t->domains, disks());
    cmp_ok($seen - $began, '>', GRACE - 2, 'not before the grace is over');
    diag(sprintf 'an orphan: gone after %.1f s', time() - $began);
    works('the one with a record is not touched');
}

# --- what Redis lost in part -------------------------------------------------

{
    my $address = $t->redis('HGET', "$node:guests", $id);
    my $due = $t->redis('ZSCORE', "$node:agenda", $id);

    $t->redis('DEL', "$node:agenda", "$node:guests",
              "$node:addresses");
    ok(wait_for(INTERVAL + 5, sub {
        $t->redis('HGET', "$node:guests", $id) eq $address
    }), 'the keys of the node are lost: the address is held again');
    is($t->redis('HGET', "$node:addresses", $address), $id, 'both ways');
    is($t->redis('ZSCORE', "$node:agenda", $id), $due,
       'and the deadline is on the agenda');

    my $nobody = 'sb_' . substr($id, 3, 2) . 'c' x 18;
    $t->redis('HSET', "$node:guests", $nobody, $address + 1);
    $t->redis('HSET', "$node:addresses", $address + 1, $nobody);
    ok(wait_for(GRACE + 5, \&only_one_left),
       'an address that nobody has is given back');

    $t->redis('ZADD', "$node:agenda", (time() + 9000) * 1000, $id);
    ok(wait_for(INTERVAL + 5, sub {
        $t->redis('ZSCORE', "$node:agenda", $id) == $due
    }), 'an agenda that would miss the deadline is put right');
    works('and it runs on');
}

# --- another host of that name -----------------------------------------------

{
    my $mark = $t->log_mark;
    my $own = $t->redis('GET', "$node:host");

    like($own, qr/^[0-9a-f]{32}$/, 'the node is this host');
    $t->redis('SET', "$node:host", 'f' x 32, 'PX', 6000);
    ok(wait_for(5, sub {
        $t->log_text($mark) =~ /another host is the node "\w+" in this Redis/
    }), 'another host has its name: the log says so');
    $t->redis('ZADD', "$node:agenda", (time() + 9000) * 1000, $id);
    ok(wait_for(7, sub { !$t->redis('GET', "$node:reconcile") }),
       'nobody here compares anything');
    ok(wait_for(10, sub { $t->redis('GET', "$node:host") eq $own }),
       'until it is heard of no more');
    ok(wait_for(INTERVAL + 5, sub {
        $t->redis('ZSCORE', "$node:agenda", $id) < (time() + 8000) * 1000
    }), 'then all goes on');
}

# --- orphans=keep ------------------------------------------------------------

sub orphans {
    my ($what) = @_;

    reloaded(sub {
        s/(sandbox_reconcile [^;]*?)( orphans=\w+)?;/$1 orphans=$what;/
    });
}

# Workers with another configuration, changed in $_.
sub reloaded {
    my ($change) = @_;
    my $file = "$t->{dir}/etc/nginx.conf";
    my @old = $t->workers;

    local $_ = read_file($file);
    $change->() or die 'no such directive';
    write_file($file, $_);
    $t->stack('reload', 'nginx');
    wait_for(20, sub {
        my %now = map { $_ => 1 } $t->workers;
        %now && !grep { $now{$_} } @old
    }) or die 'the workers stay';
}

{
    my $key = key($id);
    my $mark = $t->log_mark;

    orphans('keep');
    $t->redis('RENAME', $key, "$key.away");
    $t->redis('ZADD', "$node:agenda", int(time() * 1000), $id);
    ok(wait_for(10, sub {
        $t->log_text($mark) =~ /\Q$id\E: has no record and is kept/
    }), 'orphans=keep: what is due and has no record is kept');
    is($t->redis('ZSCORE', "$node:agenda", $id), '', 'and off the agenda');
    isnt($t->redis('HGET', "$node:guests", $id), '', 'its address is held');
    $t->redis('RENAME', "$key.away", $key);
    ok(wait_for(3 * INTERVAL + 5, sub {
        $t->redis('ZSCORE', "$node:agenda", $id)
    }), 'its record is found again, and the deadline comes back');
    works('and it runs on');
    orphans('destroy');
}

# --- Redis is emptied --------------------------------------------------------

{
    my $began = time();
    $t->redis('FLUSHALL');
    sleep GRACE - 2;
    is_deeply([machines()], [$id], 'Redis is emptied: nothing happens at once');
    ok(wait_for(GRACE + 10, sub { !machines() && !disks() }),
       'after the grace, all without a record is gone')
        or diag(join ' ', $t->domains, disks());
    diag(sprintf 'an empty Redis: gone after %.1f s', time() - $began);
    like($t->log_text, qr/1 sandboxes of this node have no record in Redis and are destroyed/,
         'the log has said so before');
    ok(wait_for(5, sub { $t->redis('HLEN', "$node:guests") == 0 }),
       'nothing is left in Redis');
}

$t->finish;
