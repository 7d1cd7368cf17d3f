#!/usr/bin/perl

# Sandboxes that were booted, not started from a checkpoint, are forked, taken
# snapshots of, hibernated and resumed as others are.

use FindBin;
use lib "$FindBin::Bin/lib";
use lib "$FindBin::Bin/../scripts/lib";
use SandboxTest;
use StackProc qw(slurp);

my $t = SandboxTest->new(own => 1, up => ['--workers', 1, '--userfaultfd',
                                          '--set', 'sandbox_checkpoints=off']);
my $sums = 'cd /; sha256sum root/disk dev/shm/memory';
my $r;

sub stdout {
    my ($s, $command) = @_;

    return $t->exec($s, $command)->{stdout} // '';
}

sub log_has {
    my ($what) = @_;

    return slurp("$t->{dir}/log/error.log") =~ /$what/;
}

# It has what its source had, and what is written to it is its own.
sub same {
    my ($s, $before, $what) = @_;

    is(stdout($s, $sums), $before, "$what: memory and disk");
    is(stdout($s, 'rm /dev/shm/alive; sleep 1; head -n 1 /dev/shm/alive'), "1\n",
       "$what: its process goes on");
    is(stdout($s, 'hostname'), ($s->{id} =~ tr/_/-/r) . "\n",
       "$what: its name");
}

my $s = $t->create({ memory_mb => 192, disk_mb => 3000, vcpus => 2,
                     timeout_action => 'hibernate', timeout_ms => 600_000 });
my $id = $s->{id};
ok(log_has("$id\\b.* created in .* cold:"), 'a sandbox is booted');
my $before = stdout($s, <<'END' . $sums);
head -c 3000000 /dev/urandom > /root/disk
head -c 3000000 /dev/urandom > /dev/shm/memory
setsid sh -c 'while :; do echo 1 >> /dev/shm/alive; sleep 0.1; done' >/dev/null 2>&1 &
END
like($before, qr/memory/, 'it has something to lose');
my $machine = stdout($s, 'nproc; df -m / | tail -n 1 | cut -c 1-30');

# --- fork --------------------------------------------------------------------

$r = $t->post("/v1/sandboxes/$id/fork", idem => $t->idem);
is($r->{status}, 201, 'a fork of it') or diag($r->{body});
my $child = $t->sandbox($r);
same($child, $before, 'the child');
is(stdout($child, 'nproc; df -m / | tail -n 1 | cut -c 1-30'), $machine,
   'of the same size');
stdout($child, 'echo other > /root/disk');
same($s, $before, 'the source');

# one that was started from it has a parent, as all others have
$r = $t->post("/v1/sandboxes/$child->{id}/fork", idem => $t->idem);
is($r->{status}, 201, 'a fork of the child') or diag($r->{body});
my $second = $t->sandbox($r);
is(stdout($second, 'cat /root/disk'), "other\n", 'has what the child wrote');
$t->destroy($_->{id}) for $second, $child;

# --- snapshot ----------------------------------------------------------------

$r = $t->post("/v1/sandboxes/$id/snapshots", idem => $t->idem);
is($r->{status}, 201, 'a snapshot of it') or diag($r->{body});
my $snapshot = $r->{json}{id};
ok(log_has("$snapshot\\b.* taken of $id in \\d+ ms, moved"),
   'its memory is in no file: it is moved');
$child = $t->create({ snapshot_id => $snapshot });
same($child, $before, 'from the snapshot') if $child;

# --- hibernate and resume ----------------------------------------------------

$r = $t->post("/v1/sandboxes/$id/hibernate");
is($r->{status}, 200, 'it is hibernated') or diag($r->{body});
unlike($t->inside('sh', '-c',
                  'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " "'),
       qr/guest=$id/, 'there is no QEMU of it');
$r = $t->post("/v1/sandboxes/$id/resume");
is($r->{status}, 201, 'it is resumed') or diag($r->{body});
my $awake = $t->sandbox($r);
same($awake, $before, 'resumed');

# --- all is let go of ----------------------------------------------------------

$t->destroy($_->{id}) for grep { $_ } $child, $awake;
is($t->request('DELETE', "/v1/snapshots/$snapshot")->{status}, 200,
   'the snapshot is deleted');
ok(wait_for(90, sub { !glob("$t->{dir}/data/disks/{snap_,sb_}*") }),
   'and no file is left')
    or diag(join("\n", glob("$t->{dir}/data/disks/*")));

$t->finish;
