#!/usr/bin/perl

# A host that restarts under its sandboxes, a Redis that comes back older than
# it was, and a reload in the middle of a create: what was promised is
# kept or honestly lost, and nothing is left over.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;
use File::Copy qw(copy);

use constant { INTERVAL => 1, GRACE => 3 };
use constant SMALL => { memory_mb => 128, timeout_ms => 3600000 };

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_lease=5s', '--set',
    'sandbox_reconcile=interval=' . INTERVAL . 's grace=' . GRACE . 's']);

# What belongs to sandboxes; the engine may keep other things of its own.
sub machines { return grep { /^sb_/ } $t->domains }
sub disks { return map { m{(sb_[^/]+)\.qcow2$} } glob("\Q$t->{dir}\E/data/disks/*") }

sub status {
    my ($id) = @_;
    my $r = $t->get("/v1/sandboxes/$id");

    return $r->{status} == 200 ? $r->{json}{status} : $r->{status};
}

# Nothing on the host and no address but those of the given ids.
sub only {
    my $want = join ' ', sort @_;

    return join(' ', sort(machines())) eq $want
           && join(' ', sort(disks())) eq $want
           && join(' ', sort split /\n/,
                   $t->redis('EVAL', 'return redis.call("HKEYS", redis.call('
                                     . '"KEYS", "sbx:{*}:guests")[1] or "-")',
                             0)) eq $want;
}

# A create under way: { http, id }.
sub begin {
    my $http = SandboxHttp->new($t->{api}, 120);
    my %known = map { $_ => 1 } machines();
    my $id;

    $http->send($http->format_request('POST', '/v1/sandboxes',
        [Authorization => "Bearer $t->{key}",
         'Content-Type' => 'application/json',
         'Idempotency-Key' => SandboxTest::idem()],
        '{"memory_mb":128,"timeout_ms":3600000}'));
    wait_for(20, sub { ($id) = grep { !$known{$_} } machines() });

    return { http => $http, id => $id };
}

# --- a reload in the middle of a create --------------------------------------

{
    my $c = begin();
    $t->stack('reload', 'nginx');
    my $r = $c->{http}->read_response // { status => 0, body => '' };
    is($r->{status}, 201, 'a reload in the middle of a create: 201')
        or diag($r->{body});
    is(status($c->{id}), 'running', 'the new workers know it');
    is($t->exec($c->{id}, 'echo 1')->{stdout}, "1\n", 'and it works');
    $t->delete("/v1/sandboxes/$c->{id}");
    ok(wait_for(10, sub { only() }), 'and goes');
}

# --- libvirtd restarts in the middle of a create -----------------------------

{
    my $old = $t->create(SMALL);
    my $c = begin();

    $t->stack('restart', 'libvirtd');
    my $r = $c->{http}->read_response // { status => 0, body => '' };
    like($r->{status}, qr/^(?:201|503)$/,
         'libvirtd restarts in the middle of a create: served or refused')
        or diag($r->{body});
    is($t->exec($old, 'echo 1')->{stdout}, "1\n", 'what ran before runs on');

    if ($r->{status} == 201) {
        is($t->exec($c->{id}, 'echo 1')->{stdout}, "1\n", 'the new one works');
        $t->delete("/v1/sandboxes/$c->{id}");
    }

    ok(wait_for(20, sub { only($old->{id}) }), 'nothing else is left')
        or diag(join ' ', $t->domains, disks());
}

# --- Redis comes back older --------------------------------------------------

my ($log) = glob("\Q$t->{dir}\E/redis/appendonlydir/*.incr.aof");

{
    my $old = $t->create(SMALL);
    my $before = -s $log;
    my $new = $t->create(SMALL);

    $t->stack('kill', 'redis');
    truncate($log, $before + 10) or die "$log: $!";
    $t->stack('start', 'redis');

    ok(wait_for(10, sub { status($old->{id}) eq 'running' }),
       'Redis has lost its end: what it knows runs on');
    ok(wait_for(10, sub { status($new->{id}) eq '404' }),
       'what it does not know is gone for its tenant');
    ok(wait_for(GRACE + 15, sub { only($old->{id}) }),
       'and for the host, after the grace')
        or diag(join ' ', $t->domains, disks());
    is($t->exec($old, 'echo 1')->{stdout}, "1\n", 'the other one works');

    my $copy = "$t->{dir}/data/old.aof";
    copy($log, $copy) or die $!;
    is($t->delete("/v1/sandboxes/$old->{id}")->{status}, 200, 'it is deleted');
    $t->stack('kill', 'redis');
    open(my $out, '>', $log) or die "$log: $!";
    copy($copy, $out) or die $!;
    close($out);
    unlink $copy;
    $t->stack('start', 'redis');

    ok(wait_for(15, sub { status($old->{id}) eq 'error' }),
       'Redis comes back from before the delete: state error');
    ok(wait_for(10, sub { only() }), 'and holds nothing');
    is($t->delete("/v1/sandboxes/$old->{id}")->{status}, 200,
       'it is deleted again');
}

# --- the host restarts -------------------------------------------------------

{
    my $long = $t->create(SMALL);
    my $short = $t->create({ memory_mb => 128, timeout_ms => 5000 });
    my $c = begin();

    $t->stack('kill', $_) for qw(nginx workers libvirtd virtlogd redis qemu);
    $t->inside('sh', '-c', 'rm -rf /run/libvirt/*');
    sleep 5;
    $t->stack('start', $_) for qw(redis virtlogd libvirtd nginx);

    my $began = time();
    ok(wait_for(20, sub {
        my $r = eval { $t->get("/v1/sandboxes/$long->{id}") } or return 0;
        $r->{status} == 200 && $r->{json}{status} eq 'error'
            && $r->{json}{error_detail}{reason}
    }), 'the host has restarted: a sandbox is in state error, and says why');
    diag(sprintf 'a restarted host: settled after %.1f s', time() - $began);
    ok(wait_for(15, sub { status($short->{id}) ne 'running' }),
       'so is one whose deadline passed meanwhile');
    ok(wait_for(15, sub { status($short->{id}) =~ /^(?:404|destroyed)$/ }),
       'or it is gone') or diag(status($short->{id}));
    ok(wait_for(20, sub { only() }), 'nothing is left of them')
        or diag(join ' ', $t->domains, disks());
    # it may have been done before its worker was killed
    ok(wait_for(20, sub { status($c->{id}) =~ /^(?:404|destroyed|error)$/ }),
       'the create that was under way is settled') or diag(status($c->{id}));
    is($t->delete("/v1/sandboxes/$_")->{status}, 200, "$_ is deleted")
        for $long->{id}, status($c->{id}) eq 'error' ? $c->{id} : ();

    my $new = $t->create(SMALL);
    is($t->exec($new, 'echo 1')->{stdout}, "1\n", 'and new ones work') if $new;
}

$t->finish;
