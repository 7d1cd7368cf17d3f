#!/usr/bin/perl

# Hibernate, resume and fork: memory, processes and disk go on, under new ids.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;
use Digest::SHA qw(sha256_hex);

my $t = SandboxTest->new;
my $r;

sub status {
    my ($id) = @_;

    return $t->get("/v1/sandboxes/$id")->{json}{status} // '';
}

sub stdout {
    my ($s, $command) = @_;

    return $t->exec($s, $command)->{stdout} // '';
}

# Something in memory, in a process and on the disk.
sub fill {
    my ($s) = @_;

    return stdout($s, <<'END');
mkdir -p /root/d /dev/shm/m; head -c 3000000 /dev/urandom > /root/d/disk
head -c 3000000 /dev/urandom > /dev/shm/m/memory
setsid sh -c 'i=0; while :; do i=$((i+1)); echo $i >> /dev/shm/m/count; sleep 0.05; done' >/dev/null 2>&1 &
sha256sum /root/d/disk /dev/shm/m/memory
END
}

my $sums = 'sha256sum /root/d/disk /dev/shm/m/memory';
my $count = 'tail -n 1 /dev/shm/m/count';

# --- hibernate ---------------------------------------------------------------

my $s = $t->create({ memory_mb => 128, envs => { COLOUR => 'blue' },
                     metadata => { n => 1 }, timeout_action => 'hibernate',
                     timeout_ms => 600_000 });
my $id = $s->{id};
is($s->{json}{timeout_action}, 'hibernate', 'the action is kept');
my $before = fill($s);
like($before, qr/memory/, 'there is something to keep');
wait_for(10, sub { stdout($s, $count) > 5 });
my $counted = stdout($s, $count);

$r = $t->post("/v1/sandboxes/$id/hibernate");
is($r->{status}, 200, 'hibernate') or diag($r->{body});
my $snapshot = $r->{json}{id};
like($snapshot, qr/^snap_/, 'a snapshot');
is($r->{json}{sandbox_id}, $id, 'of the sandbox');
ok($r->{json}{size_bytes} > 1_000_000, 'its size: ' . $r->{json}{size_bytes});
is(status($id), 'paused', 'the sandbox is paused');
is($t->get("/v1/sandboxes/$id")->{json}{snapshot_id}, $snapshot,
   'its snapshot is told');
is($t->get('/v1/sandboxes?state=paused')->{json}{items}[0]{id}, $id,
   'a hibernated sandbox is listed as paused');
unlike($t->inside('sh', '-c', 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " "'),
       qr/guest=$id/, 'there is no QEMU of it');

$r = $t->post("/v1/sandboxes/$id/hibernate");
is($r->{status}, 200, 'hibernating once more');
is($r->{json}{id}, $snapshot, 'is the same snapshot');
$t->is_error($t->post("/v1/sandboxes/$id/timeout", json => { timeout_ms => 5 }),
             409, 'transition_conflict', 'a deadline for a paused one');
$t->is_error($t->post("/v1/sandboxes/$id/fork", idem => $t->idem), 409,
             'transition_conflict', 'a fork of a paused one');
$t->is_error($t->post("/v1/sandboxes/$id/resume", key => $t->key('others')),
             404, 'sandbox_not_found', 'a stranger resumes');
$t->is_error($t->post("/v1/sandboxes/$id/hibernate", json => { x => 1 }), 400,
             'invalid_request', 'an unknown member', 'x');

# --- resume ------------------------------------------------------------------

$r = $t->post("/v1/sandboxes/$id/resume");
is($r->{status}, 201, 'resume') or diag($r->{body});
my $second = $r->{json}{id};
isnt($second, $id, 'a new id');
is($r->{json}{status}, 'running', 'runs');
isnt($r->{json}{traffic_access_token}, $s->{token}, 'a new token');
is($r->{headers}{location}, "/v1/sandboxes/$second", 'Location');
is($r->{json}{timeout_action}, 'hibernate',
   'a resumed sandbox has the same action');
is_deeply($r->{json}{metadata}, { n => 1 },
          'a resumed sandbox has its metadata');
my $s2 = $t->sandbox($r);

is(stdout($s2, $sums), $before, 'memory and disk are what they were');
ok(wait_for(10, sub { stdout($s2, $count) > $counted + 3 }),
   'its process goes on');
is(stdout($s2, 'echo $COLOUR'), "blue\n", 'variables are what they were');
(my $host = $second) =~ tr/_/-/;
is(stdout($s2, 'hostname'), "$host\n", 'the name is new');

is($t->get("/v1/sandboxes/$id")->{json}{id}, $second,
   'the first id leads to it');
is(stdout($s, 'echo $COLOUR'), "blue\n", 'also for commands');
is_deeply($t->ids('/v1/sandboxes'), [$second],
          'one sandbox is listed');
$t->is_error($t->post("/v1/sandboxes/$id/resume"), 409, 'transition_conflict',
             'a running one cannot be resumed');
$t->is_error($t->post("/v1/sandboxes/$snapshot/resume"), 404,
             'snapshot_not_found', 'its snapshot is gone');

# --- one whose domain does not say what it comes from ---------------------------

{
    my $uri = 'urn:nginx-sandbox:domain:1';
    my @virsh = qw(virsh -q -c qemu:///system);
    my ($was) = $t->inside(@virsh, 'dumpxml', $second)
                =~ m{(<sandbox:domain [^>]*>)};
    (my $cold = $was) =~ s/ (?:checkpoint|xmlns:sandbox)="[^"]*"//g;
    my $set = sub {
        $t->inside(@virsh, 'metadata', $second, '--uri', $uri, '--key',
                   'sandbox', '--live', '--set', shift =~ s/sandbox:domain
                   /domain/xr);
    };

    $set->($cold);
    for my $verb ('fork', 'hibernate', 'snapshots') {
        $r = $t->post("/v1/sandboxes/$second/$verb", idem => $t->idem);
        $t->is_error($r, 409, 'transition_conflict', "$verb of one of unknown origin");
        is($r->{json}{error_detail}{state}, 'running', 'its state');
    }
    $set->($was =~ s/ xmlns:sandbox="[^"]*"//r);
    is(stdout($s2, 'echo on'), "on\n",
       'a sandbox that is not hibernated goes on');
}

# --- again, by the first id and by the snapshot ------------------------------

$r = $t->post("/v1/sandboxes/$id/hibernate");
is($r->{status}, 200, 'hibernate by the first id');
is(status($id), 'paused', 'paused by the first id');
is(status($second), 'paused', 'paused by the second id');
$r = $t->post("/v1/sandboxes/$r->{json}{id}/resume");
is($r->{status}, 201, 'resume by the snapshot') or diag($r->{body});
my $s3 = $t->sandbox($r);
is(stdout($s3, $sums), $before, 'memory and disk once more');
is($t->get("/v1/sandboxes/$_")->{json}{id}, $s3->{id}, "$_ leads to it")
    for $id, $second;
is($t->post("/v1/sandboxes/$id/timeout", json => { timeout_ms => 500_000 })
     ->{json}{id}, $s3->{id}, 'a deadline by the first id');

# --- fork --------------------------------------------------------------------

my $key = $t->idem;
$t->is_error($t->post("/v1/sandboxes/$id/fork"), 400,
             'idempotency_key_required', 'a fork needs a key');
$r = $t->post("/v1/sandboxes/$id/fork", idem => $key);
is($r->{status}, 201, 'fork by the first id') or diag($r->{body});
my $child = $t->sandbox($r);
isnt($child->{id}, $s3->{id}, 'a child of its own');
is_deeply($r->{json}{metadata}, { n => 1 },
          'a fork has the metadata of its source');
is(stdout($child, $sums), $before, 'a fork has memory and disk of its source');
is(stdout($s3, $sums), $before,
   'the source of a fork still has memory and disk');
my $again = $t->post("/v1/sandboxes/$id/fork", idem => $key);
is($again->{body}, $r->{body}, 'a fork is repeated byte for byte');
is($again->{headers}{'idempotent-replayed'}, 'true',
   'a fork that is repeated says so');
$t->is_error($t->post("/v1/sandboxes/$id/fork", idem => $key,
                      json => { metadata => { x => 1 } }),
             422, 'idempotency_key_reused', 'another one with its key');

stdout($child, 'echo child > /root/d/disk; echo child > /dev/shm/m/memory');
is(stdout($s3, $sums), $before, 'the child writes to its own');
isnt(stdout($child, 'head -c 16 /dev/urandom | od -An -tx1'),
     stdout($s3, 'head -c 16 /dev/urandom | od -An -tx1'),
     'their randomness differs');
isnt(stdout($child, 'hostname -I; cat /sys/class/net/*/address'),
     stdout($s3, 'hostname -I; cat /sys/class/net/*/address'),
     'addresses of a fork and its source differ');

$r = $t->post("/v1/sandboxes/$child->{id}/fork", idem => $t->idem,
              json => { metadata => { x => 1.50 } });
is($r->{status}, 201, 'a fork of a fork') or diag($r->{body});
like($r->{body}, qr/"metadata":\{"x":1\.5\b/,
     'a fork of a fork has metadata of its own');
my $grandchild = $t->sandbox($r);
is(stdout($grandchild, 'cat /root/d/disk /dev/shm/m/memory'), "child\nchild\n",
   'has what its parent had');
is($t->destroy($child->{id})->{status}, 200, 'the parent ends first');
is(stdout($grandchild, 'cat /root/d/disk'), "child\n",
   'a fork does not need its parent');
is($t->destroy($grandchild->{id})->{status}, 200, 'the grandchild ends');

# --- a fork that waits, while what it is to have is changed ------------------

{
    my $source = $t->create({ memory_mb => 128, network => {
        mask_request_host => 'masked.test', allow_out => ['192.0.2.0/24'],
        deny_out => ['192.0.2.1/32'] } });
    my ($record) = $t->redis('KEYS', "*:sandbox:$source->{id}");
    my $node = $t->node;
    my $admitted = sub { $t->redis('GET', "sbx:{$node}:cursor") };
    my $was = $admitted->();

    $t->redis('HSET', $record, 'busy_by', 'another', 'busy_until', 4e12);
    my $http = $t->begin('POST', "/v1/sandboxes/$source->{id}/fork",
                         idem => $t->idem);
    ok(wait_for(10, sub { $admitted->() != $was }), 'a fork has read its source');
    is($t->request('PATCH', "/v1/sandboxes/$source->{id}/network", json => {
           mask_request_host => '', allow_out => [], deny_out => [] })->{status},
       200, 'the source of a fork loses its mask and its lists');
    $t->redis('HDEL', $record, 'busy_by', 'busy_until');

    $r = $t->end($http);
    is($r->{status}, 201, 'then it is taken') or diag($r->{body});
    my $late = $t->sandbox($r);
    is_deeply($t->request('PATCH', "/v1/sandboxes/$late->{id}/network",
                          json => {})->{json},
              $t->request('PATCH', "/v1/sandboxes/$source->{id}/network",
                          json => {})->{json},
              'a fork under way loses them, too');
}

# --- the end, by the first id ------------------------------------------------

$r = $t->delete("/v1/sandboxes/$id");
is($r->{status}, 200, 'destroyed by the first id');
is($r->{json}{id}, $id, 'the answer has the id that was asked for');
is($t->get("/v1/sandboxes/$_")->{status}, 404, "$_ is gone")
    for $id, $s3->{id};
is($t->delete("/v1/sandboxes/$id")->{status}, 200, 'a repeated DELETE');

# --- a paused one is destroyed -----------------------------------------------

$s = $t->create({ memory_mb => 128 });
is($t->post("/v1/sandboxes/$s->{id}/hibernate")->{status}, 200, 'hibernate');
is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200,
   'a paused one is destroyed');

# --- one that is being resumed is destroyed ------------------------------------

$s = $t->create({ memory_mb => 128 });
is($t->post("/v1/sandboxes/$s->{id}/hibernate")->{status}, 200, 'hibernate');
{
    my ($record) = $t->redis('KEYS', "*:sandbox:$s->{id}");

    $t->stack('kill', 'libvirtd', 'STOP');
    my $going = guard(sub { $t->stack('kill', 'libvirtd', 'CONT') });
    my $resume = $t->begin('POST', "/v1/sandboxes/$s->{id}/resume");
    ok(wait_for(10, sub { $t->redis('HGET', $record, 'next') }), 'a resume');

    my $new = $t->redis('HGET', $record, 'next');
    is_deeply([grep { $_ eq $new || $_ eq $s->{id} }
               @{ $t->ids('/v1/sandboxes') }], [$s->{id}],
              'meanwhile the paused one alone is listed');

    my $delete = $t->begin('DELETE', "/v1/sandboxes/$new");
    sleep 0.5; # for the DELETE to be there

    undef $going;
    is($t->end($resume)->{status}, 201, 'goes on');
    $r = $t->end($delete);
    is($r->{status}, 200, 'its DELETE by the new id') or diag($r->{body});
    is($r->{json}{id}, $new, 'which it answers');
    is($t->get("/v1/sandboxes/$_")->{status}, 404, "ends $_")
        for $s->{id}, $new;
}

# --- a command waits for a wake, and its key is revoked ------------------------

{
    my $kept = $t->key('leaver');
    my $gone = $t->inside("$SandboxTest::top/scripts/sandbox-key", 'create',
                          '--tenant', 'leaver');
    chomp $gone;
    my $theirs = $t->create({ memory_mb => 128, timeout_action => 'hibernate',
                              auto_resume => JSON::PP::true }, key => $kept);
    my $path = "/v1/sandboxes/$theirs->{id}";
    is($t->post("$path/hibernate", key => $kept)->{status}, 200, 'hibernate');
    my ($record) = $t->redis('KEYS', "*:sandbox:$theirs->{id}");

    $t->stack('kill', 'libvirtd', 'STOP');
    my $going = guard(sub { $t->stack('kill', 'libvirtd', 'CONT') });
    my $command = $t->begin('POST', "$path/exec", key => $gone, json => {
        command => 'touch', args => ['/root/ran'] });
    ok(wait_for(10, sub { $t->redis('HGET', $record, 'next') }), 'a wake');
    $t->inside("$SandboxTest::top/scripts/sandbox-key", 'revoke', $gone);
    sleep 6; # the worker asks for the key within five seconds

    undef $going;
    $t->is_error($t->end($command), 401, 'unauthorized', 'it is refused');
    $r = $t->post("$path/exec", key => $kept,
                  json => { command => 'ls', args => ['/root/ran'] });
    isnt($r->{json}{exit_code} // 0, 0, 'and has not run') or diag($r->{body});
    is($t->delete($path, key => $kept)->{status}, 200, 'destroyed');
}

# --- one whose disk is full ---------------------------------------------------

$s = $t->create({ memory_mb => 128 });
unlike(stdout($s, <<'END'), qr/written/, 'a disk is full');
fallocate -l $(df -B1 --output=avail / | tail -n 1) /root/full
while head -c 4096 /dev/zero >> /root/rest; do :; done 2>/dev/null
dd if=/dev/zero of=/root/more bs=1 count=1 && echo written
END
is($t->post("/v1/sandboxes/$s->{id}/hibernate")->{status}, 200, 'hibernate');
$r = $t->post("/v1/sandboxes/$s->{id}/resume");
is($r->{status}, 201, 'resume: what is new of it needs no room')
    or diag($r->{body});
$s2 = $t->sandbox($r);
($host = $s2->{id}) =~ tr/_/-/;
is(stdout($s2, 'cat /etc/hostname; grep -c "$(hostname)" /etc/hosts'),
   "$host\n1\n", 'its name is in its files');
is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200, 'destroyed');

# --- a disk that fails ---------------------------------------------------------

# with something that is still to be written
$s = $t->create({ memory_mb => 128 });
is(stdout($s, <<'END'), "down\n", 'the disk of a guest fails');
cd /var/tmp
echo before >dirty
disk=$(readlink -f /sys/block/vda/device)
echo "${disk##*/}" >/sys/bus/virtio/drivers/virtio_blk/unbind
echo after >>dirty
echo down
END
$r = $t->post("/v1/sandboxes/$s->{id}/hibernate");
$t->is_error($r, 409, 'transition_conflict',
             'a disk that cannot be written: not hibernated');
like($r->{json}{error}, qr/write to its disk/,
     'a refused hibernation says why');
is(status($s->{id}), 'running', 'the sandbox of a refused hibernation goes on');
is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200, 'destroyed');
$t->expect_log(qr/the guest refused/);

# --- where the directory of disks cannot be read --------------------------------

{
    my $disks = "$t->{dir}/data/disks";
    my $mode = (stat $disks)[2] & 07777;
    my $readable = guard(sub { chmod $mode, $disks });

    $s = $t->create({ memory_mb => 128 });
    stdout($s, 'echo kept > /dev/shm/word');
    chmod 0, $disks or BAIL_OUT("$disks: $!");

    for my $verb ('hibernate', 'snapshots', 'fork') {
        $r = $t->post("/v1/sandboxes/$s->{id}/$verb", idem => $t->idem);
        $t->is_error($r, 503, 'hypervisor_unavailable', "$verb fails");
        is(stdout($s, 'cat /dev/shm/word'), "kept\n",
           "the sandbox goes on after $verb");
    }

    undef $readable;
    is($t->post("/v1/sandboxes/$s->{id}/hibernate")->{status}, 200,
       'once it can, the sandbox is hibernated');
    $r = $t->post("/v1/sandboxes/$s->{id}/resume");
    is($r->{status}, 201, 'resume') or diag($r->{body});
    $s2 = $t->sandbox($r);

    # One that was begun, and whose taker has died, is not known to run.
    my ($record) = $t->redis('KEYS', "*:sandbox:$s2->{id}");
    my ($shard) = $s2->{id} =~ /^sb_(..)/;

    $readable = guard(sub { chmod $mode, $disks });
    chmod 0, $disks or BAIL_OUT("$disks: $!");
    $t->redis('HSET', $record, 'state', 'hibernating', 'lease_at', 1,
              'snapshot_id', "snap_$shard" . 'a' x 18);
    $r = $t->post("/v1/sandboxes/$s2->{id}/hibernate");
    $t->is_error($r, 503, 'hypervisor_unavailable', 'one that was begun');
    like($r->{json}{error}, qr/tried again/, 'is not given up');
    cmp_ok($t->redis('HGET', $record, 'lease_at')
           - 1000 * (split /\n/, $t->redis('TIME'))[0], '<=', 1000,
           'a hibernation that failed leaves no lease to wait for');
    is($t->delete("/v1/sandboxes/$s2->{id}")->{status}, 200,
       'a DELETE does not wait for it');
    ok(!grep({ $_ eq $s2->{id} } $t->domains), 'whose machine is gone');

    undef $readable;
    ok(wait_for(60, sub { $t->redis('HGET', $record, 'state') eq 'destroyed' }),
       'once the directory can be read, the rest of it goes');
}

# --- by its deadline ---------------------------------------------------------

$s = $t->create({ memory_mb => 128, lifecycle => { on_timeout => 'pause' },
                  timeout_ms => 1500 });
ok(wait_for(15, sub { status($s->{id}) eq 'paused' }),
   'a deadline hibernates');
$r = $t->post("/v1/sandboxes/$s->{id}/resume");
is($r->{status}, 201,
   'what a deadline hibernated can be resumed') or diag($r->{body});
$s2 = $t->sandbox($r);
ok(wait_for(15, sub { status($s->{id}) eq 'paused' }),
   'its next deadline counts from then');
is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200, 'destroyed');

# --- on another QEMU -----------------------------------------------------------

# As if its QEMU had been a later version by this.
sub taken_by {
    my ($later) = @_;
    my ($path) = grep { !m{/boot_} } glob("$t->{dir}/data/disks/*.state");

    open(my $fh, '+<:raw', $path) or BAIL_OUT("$path: $!");
    my $text = do { local $/; <$fh> };

    $text =~ s/(?<="qemu":)(\d+)/$1 + $later/e or BAIL_OUT('no "qemu"');
    my ($magic, $body) = $text =~ /^(sandbox-checkpoint 1 )[0-9a-f]{64}(.*)$/s;
    seek $fh, 0, 0;
    print $fh $magic, sha256_hex($body), $body;
    close $fh or BAIL_OUT("$path: $!");
}

$s = $t->create({ memory_mb => 128 });
stdout($s, 'echo kept > /dev/shm/word');
is($t->post("/v1/sandboxes/$s->{id}/hibernate")->{status}, 200, 'hibernated');
taken_by(1000);
$t->is_error($t->post("/v1/sandboxes/$s->{id}/resume"), 409,
             'incompatible_snapshot', 'by another series of QEMU');
taken_by(-1000 + 1);
$r = $t->post("/v1/sandboxes/$s->{id}/resume");
is($r->{status}, 201, 'an update of the same one resumes it') or diag($r->{body});
is(stdout($t->sandbox($r), 'cat /dev/shm/word'), "kept\n", 'as it was');
is($t->delete("/v1/sandboxes/$s->{id}")->{status}, 200, 'destroyed');

$t->finish;
