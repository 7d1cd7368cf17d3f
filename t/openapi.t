#!/usr/bin/perl

# docs/openapi.yaml is a document of OpenAPI 3.1, has the routes of the module,
# and is true: each route and each of its errors is provoked, and the answers
# are as it says.  openapi/check.py compares.

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp;
use MIME::Base64 qw(encode_base64);
use SandboxRecords;
use SandboxTest;

# Errors that a healthy stack does not give, and the prove file that provokes
# them; with or without a route.
my %elsewhere = (
    'capacity_exceeded'                    => 'undo.t',
    'hypervisor_unavailable'               => 'outage.t',
    'state_store_unavailable'              => 'outage.t',
    'idempotency_in_progress'              => 'idempotency-limits.t',
    'timeout'                              => 'snapshot.t',
    'createSandbox transition_in_progress' => 'overlap.t',
    'deleteSandbox transition_in_progress' => 'undo.t',
    'deleteSnapshot transition_in_progress' => 'undo.t',
    'hibernateSandbox transition_in_progress' => 'wake-late.t',
    'resumeSandbox transition_in_progress' => 'wake-late.t',
    'forkSandbox transition_in_progress'   => 'wake-late.t',
    'sandbox_changing'                     => 'wake-late.t',
);

my $checker = "$FindBin::Bin/openapi/check.py";
my $document = "$SandboxTest::top/docs/openapi.yaml";
my $tmp = File::Temp->newdir('openapi-XXXXXX',
                             DIR => $ENV{SANDBOX_TEST_TMP} // '/var/tmp');

# Passes on what the checker has found; the names of what was right.
sub found {
    my ($rc, $text) = @_;
    my %right;

    is($rc, 0, 'the checker runs') or diag($text);

    while ($text =~ /^(not )?ok (.*)\n((?:# .*\n)*)/mg) {
        my ($wrong, $name, $why) = ($1, $2, $3);
        ok(!$wrong, $name) or diag($why);
        $right{$name} = 1 unless $wrong;
    }

    return \%right;
}

# --- the document ------------------------------------------------------------

is((run_command('env', "PYTHONPYCACHEPREFIX=$tmp", 'python3', '-m',
                'py_compile', $checker))[0], 0, 'the checker compiles');
my $form = found(run_command($checker, 'structure', $document,
                             "$SandboxTest::top/src/api/ngx_http_sandbox_api.c"));
keys %$form == 6 or BAIL_OUT('the document is no document');

my $operations = json->decode((run_command($checker, 'operations',
                                           $document))[1]);

# --- requests ----------------------------------------------------------------

my $t = SandboxTest->new;
my $key = $t->key('openapi');
my ($init) = $t->stack('status') =~ /is up, pid (\d+)/;
my $records = SandboxRecords->new(
    "/proc/$init/root/run/redis/redis-server.sock", 'openapi');
my ($node) = $t->inside('cat', '/etc/nginx/nginx.conf')
             =~ /^\s*sandbox_node\s+(\S+);/m;
my $no_sandbox = 'sb_' . 'a' x 20;
my $no_snapshot = "snap_$records->{shard}" . 'a' x 18;
my @lines;

# One request of a tenant of our own, kept for the checker.
sub ask {
    my ($method, $path, %o) = @_;
    my $r = $t->request($method, $path, key => $key, %o);

    push @lines, json->encode({
        method => $method, path => $path, status => $r->{status},
        headers => $r->{headers}, request => $o{json},
        body => encode_base64($r->{body}, ''),
    });
    return $r;
}

sub post {
    my ($path, $json, %o) = @_;

    return ask('POST', $path, json => $json // {}, %o);
}

# With a key of its own.
sub once {
    my ($path, $json) = @_;

    return post($path, $json, idem => SandboxTest::idem());
}

sub path_of {
    my ($operation, @ids) = @_;

    return $operation->{path} =~ s/\{\}/shift(@ids)/ger;
}

# A record without a machine.
sub record {
    my (%o) = @_;
    my $id = $records->add(created_at => int(time() * 1000), node => $node,
                           %o);

    $records->flush;
    return $id;
}

# The least body of a route, by the last word of its path.
my %body = (timeout => { timeout_ms => 1000 }, exec => { command => 'true' });

# --- what any route refuses --------------------------------------------------

for my $operation (@$operations) {
    my ($method, $keyed, $last) = (@$operation{qw(method keyed)},
                                   $operation->{path} =~ /(\w+)$/);
    my $path = path_of($operation,
                       $operation->{path} =~ m{^/v1/snapshots/} ? $no_snapshot
                                                               : $no_sandbox);
    my @idem = $keyed ? (idem => SandboxTest::idem()) : ();

    ask($method, $path, key => undef);
    ask($method, $path, $operation->{json} ? (json => $body{$last // ''} // {})
                                           : (), @idem) if $path =~ /a{18}/;
    ask($method, "$path?no=1") if $method eq 'GET';

    next unless $operation->{json};

    ask($method, $path, body => 'a=b', type => 'text/plain', @idem);
    ask($method, $path, body => '{"a":"' . 'x' x 1048576 . '"}', @idem);
    ask($method, $path, json => {}, idem => undef) if $keyed;

    next if $operation->{name} eq 'exec';

    ask($method, $path, body => '{', @idem);
    ask($method, $path, json => { unknown => 1 }, @idem);
}

ask('GET', '/v1/nothing');
ask('PATCH', '/v1/sandboxes');
ask('GET', "/v1/sandboxes$_") for '?fields=', "/$no_sandbox?fields=none";

# --- what states forbid ------------------------------------------------------

{
    for my $state ('creating', 'error', 'hibernating') {
        my $id = record(state => $state);

        for my $what ('timeout', 'exec', 'hibernate', 'resume', 'fork',
                      'snapshots') {
            next if $state eq 'hibernating'
                    && $what =~ /^(?:hibernate|resume|fork|snapshots)$/;
            once("/v1/sandboxes/$id/$what", $body{$what});
        }
    }

    my $lost = "snap_$records->{shard}" . 'b' x 18;
    my $paused = record(state => 'paused', snapshot_id => $lost);
    post("/v1/sandboxes/$paused/exec", $body{exec});
    post("/v1/sandboxes/$paused/resume");

    my $far = record(node => 'far');
    once("/v1/sandboxes/$far/$_") for 'hibernate', 'fork', 'snapshots';

    my $asleep = record(state => 'paused', node => 'far', auto_resume => 1,
                        timeout_action => 'hibernate', snapshot_id => $lost);
    post("/v1/sandboxes/$asleep/exec", $body{exec});
    post("/v1/sandboxes/$asleep/resume");

    my $auto = record(auto_resume => 1, timeout_action => 'hibernate');
    post("/v1/sandboxes/$auto/timeout",
         { timeout_ms => 1000, timeout_action => 'destroy' });

    my $busy = record(busy_by => 'x',
                      busy_until => int(time() * 1000) + 60_000);
    once("/v1/sandboxes/$busy/snapshots");

    for (['c', $node], ['d', 'far']) {
        my ($letter, $where) = @$_;
        my $snapshot = "snap_$records->{shard}" . $letter x 18;
        my $name = $records->key('snapshot', $snapshot);

        $records->command('HSET', $name, state => 'ready', kind => 'reusable',
                          tenant => 'openapi', node => $where,
                          template => 'base', vcpus => 1, memory_mb => 128,
                          disk_mb => 2048, created_at => int(time() * 1000),
                          size_bytes => 1, metadata => '{}',
                          sandbox_id => $no_sandbox);
        once('/v1/sandboxes', { snapshot_id => $snapshot });
        post("/v1/sandboxes/$snapshot/resume");
        $records->command('DEL', $name);
    }

    post("/v1/sandboxes/$no_snapshot/resume");
    post("/v1/sandboxes/" . record() . '/exec', $body{exec});
    $records->clear;
}

# --- what goes well ----------------------------------------------------------

my $create = { memory_mb => 128, metadata => { purpose => 'test' },
               network => { allow_public_traffic => JSON::PP::false },
               timeout_ms => 600000, cwd => undef };
my $idem = SandboxTest::idem();
my $r = post('/v1/sandboxes', $create, idem => $idem);
my $s = $t->sandbox($r, key => $key);
my $path = "/v1/sandboxes/$s->{id}";

post('/v1/sandboxes', $create, idem => $idem);
post('/v1/sandboxes', {}, idem => $idem);
once('/v1/sandboxes', { template => 'none' });
once('/v1/sandboxes', { snapshot_id => $no_snapshot });
once('/v1/sandboxes', { internet_access => JSON::PP::false });

post("$path/exec", { command => 'echo', args => ['a'], cwd => '/tmp',
                     envs => { A => 'b' }, user => 'root' });
post("$path/exec", { command => 'sleep 5', shell => JSON::PP::true,
                     timeout_secs => 1 });
post("$path/exec", { command => 'true', background => JSON::PP::true });
post("$path/exec", { no => 'command' });
ask('POST', "$path/exec", body => '{');

post("$path/timeout", { timeout_ms => 600000 });
ask('GET', $path);
ask('GET', "$path?fields=id,status");
ask('GET', '/v1/sandboxes');
ask('GET', '/v1/sandboxes?limit=1&state=running&metadata=%7B%7D');

my $snap_idem = SandboxTest::idem();
$r = post("$path/snapshots", { metadata => { a => 1 } }, idem => $snap_idem);
my $snapshot = $r->{json}{id};
post("$path/snapshots", {}, idem => $snap_idem);
ask('GET', '/v1/snapshots');
ask('GET', "/v1/snapshots?limit=1&sandbox_id=$s->{id}");
ask('GET', "/v1/snapshots/$snapshot");
post("/v1/sandboxes/$snapshot/resume");

my $two = $t->sandbox(once('/v1/sandboxes', { snapshot_id => $snapshot }),
                      key => $key);
ask('DELETE', "/v1/snapshots/$snapshot");
undef $two;

my $fork_idem = SandboxTest::idem();
my $child = $t->sandbox(post("$path/fork", {}, idem => $fork_idem),
                        key => $key);
post("$path/fork", { metadata => { b => 2 } }, idem => $fork_idem);
post("$path/resume");
undef $child;

post("$path/hibernate");
ask('GET', $path);
$r = post("$path/resume");
my $again = $t->sandbox($r, key => $key);
ask('DELETE', $path);
ask('DELETE', "/v1/snapshots/$snapshot");
undef $_ for $s, $again;

# --- the comparison ----------------------------------------------------------

open(my $file, '>', "$tmp/lines") or die "lines: $!";
print $file "$_\n" for @lines;
close $file;
my $seen = found(run_command('sh', '-c', 'exec "$1" answers "$2" <"$3"', 'sh',
                             $checker, $document, "$tmp/lines"));
my (%used, %text);

for my $operation (@$operations) {
    my $name = $operation->{name};
    my @missing;

    for (@{ $operation->{answers} }) {
        my ($status, $code) = @$_;

        next if $seen->{defined $code ? "$name $status $code"
                                      : "$name $status"};

        my ($row) = grep { exists $elsewhere{$_} }
                    defined $code ? ("$name $code", $code) : ();
        if (defined $row) {
            $used{$row} = 1;
        } else {
            push @missing, $status . (defined $code ? " $code" : '');
        }
    }

    is("@missing", '', "$name: all that is documented was seen");
}

for my $row (sort keys %elsewhere) {
    my ($code) = $row =~ /(\w+)$/;
    my $where = $elsewhere{$row};
    $text{$where} //= SandboxLeft::slurp("$FindBin::Bin/$where");

    ok($used{$row}, "$row: is seen nowhere here");
    like($text{$where}, qr/\b$code\b/, "but by t/$where");
}

$t->expect_log(qr/snap_/);
$t->finish;
