#!/usr/bin/perl

# docs/openapi.yaml is a document of OpenAPI 3.1, has the routes of the module,
# and is true: each route and each of its errors is provoked, and the answers
# are as it says.  openapi/check.py compares.

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA ();
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
    'rate_limit_exceeded'                  => 'edge.t',
    'createSandbox transition_in_progress' => 'overlap.t',
    'deleteSandbox transition_in_progress' => 'undo.t',
    'deleteSnapshot transition_in_progress' => 'undo.t',
    'createSnapshot transition_in_progress' => 'snapshot.t',
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
found(run_command($checker, 'structure', $document,
                  "$SandboxTest::top/src/api/ngx_http_sandbox_api.c"));

my $documented = json->decode((run_command($checker, 'operations',
                                           $document))[1]);
my $operations = $documented->{operations};

# --- requests ----------------------------------------------------------------

my $t = SandboxTest->new;
my $key = $t->key('openapi');
my $records = SandboxRecords->new($t->redis_socket, 'openapi');
my $node = $t->node;
my $no_sandbox = 'sb_' . 'a' x 20;
my $no_snapshot = "snap_$records->{shard}" . 'a' x 18;
my $offline = { internet_access => JSON::PP::false };
my $octets = 'application/octet-stream';
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

# Messages of one stream over a WebSocket, until the last of them has come.
sub talk {
    my ($path, $last, @messages) = @_;
    my $http = SandboxHttp->new($t->{api}, 60);
    my $head = $http->ws_open($path, [Authorization => "Bearer $key"]);

    push @lines, json->encode({
        method => 'GET', path => $path, status => $head->{status},
        headers => $head->{headers}, body => '',
    });

    for my $message (@messages) {
        $message->{stream_id} = 's';
        push @lines, json->encode({ schema => 'WsClient',
                                    message => $message });
        $http->ws_send(json->encode($message));
    }

    while (my ($opcode, $text) = $http->ws_read) {
        next if $opcode != 1;
        my $message = json->decode($text);
        push @lines, json->encode({ schema => 'WsServer',
                                    message => $message });
        last if $message->{type} eq $last;
    }

    $http->close;
}

sub path_of {
    my ($operation, @ids) = @_;

    return $operation->{path} =~ s/\{\}/shift(@ids)/ger;
}

# Whether a route leads into the guest.
sub wakes {
    return grep { ($_->[1] // '') eq 'sandbox_unreachable' }
           @{ $_[0]{answers} };
}

# A record without a machine.
sub record {
    my (%o) = @_;
    my $id = $records->add(created_at => int(time() * 1000), node => $node,
                           %o);

    $records->flush;
    return $id;
}

# The least body and query of a route, by the last word of its path.
my %body = (timeout => { timeout_ms => 1000 }, exec => { command => 'true' },
            stdin => { data => '' }, mkdir => { path => '/d' },
            move => { from => '/a', to => '/b' }, uploads => { path => '/a' },
            'warm-pools' => { name => 'a', template_ref => 'base',
                              min_ready => 0 });
my %query = map { $_ => '?path=/a' } qw(files stat list archive);

# A request of a route that is well-formed, for these ids.
sub well_formed {
    my ($operation, @ids) = @_;
    my ($method, $path) = @$operation{qw(method path)};
    my ($last) = $path =~ m{([\w-]+|\{\})$};
    my @idem = $operation->{keyed} ? (idem => SandboxTest::idem()) : ();

    $path = path_of($operation, @ids, 1, 1) . ($query{$last} // '');
    return ask($method, $path, @idem, $operation->{json}
               ? (json => $body{$last} // {})
               : $method eq 'PUT' ? (body => 'a', type => $octets) : ());
}

# --- what any route refuses --------------------------------------------------

for my $operation (@$operations) {
    my ($method, $keyed) = @$operation{qw(method keyed)};
    my $id = $operation->{path} =~ m{^/v1/snapshots/} ? $no_snapshot
           : $operation->{path} =~ /warm-pools/ ? 'twp_' . 'a' x 20
           : $no_sandbox;
    my $path = path_of($operation, $id, 1, 1);
    my @idem = $keyed ? (idem => SandboxTest::idem()) : ();

    ask($method, $path, key => undef);
    well_formed($operation, $id) if $operation->{path} =~ /\{\}/;
    # one that a guest answers has to find it first
    my $r = ask($method, "$path?no=1", @idem,
                $operation->{json} ? (json => {}) : ());
    $t->is_error($r, 400, 'invalid_request', "$operation->{name}: a parameter",
                 'no') unless $operation->{queried} && wakes($operation);
    next unless $operation->{json};

    ask($method, $path, body => 'a=b', type => 'text/plain', @idem);
    ask($method, $path, body => '{"a":"' . 'x' x 1048576 . '"}', @idem);
    next if wakes($operation);

    ask($method, $path, json => {}, idem => undef) if $keyed;
    ask($method, $path, body => '{', @idem);
    ask($method, $path, json => { unknown => 1 }, @idem);
}

ask('GET', '/v1/nothing');
ask('PATCH', '/v1/sandboxes');
ask('GET', "/v1/sandboxes$_") for '?fields=', "/$no_sandbox?fields=none";

# --- what states forbid ------------------------------------------------------

{
    my @guest = grep { wakes($_) } @$operations;
    my $lost = "snap_$records->{shard}" . 'b' x 18;
    my $dead = record();

    for my $state ('creating', 'error', 'hibernating') {
        my $id = record(state => $state);

        well_formed($_, $id) for @guest;
        next if $state eq 'hibernating';
        once("/v1/sandboxes/$id/$_")
            for 'hibernate', 'resume', 'fork', 'snapshots';
    }

    for my $state ('creating', 'error', 'hibernating') {
        my $one = '/v1/sandboxes/' . record(state => $state);
        post("$one/timeout", $body{timeout});
        ask('PATCH', "$one/network", json => $offline);
    }

    my $paused = record(state => 'paused', snapshot_id => $lost);
    post("/v1/sandboxes/$paused/resume");
    my $asleep = record(state => 'paused', node => 'far', auto_resume => 1,
                        timeout_action => 'hibernate', snapshot_id => $lost);
    post("/v1/sandboxes/$asleep/resume");

    for my $operation (@guest) {
        well_formed($operation, $_) for $paused, $asleep, $dead;
    }

    my $far = record(node => 'far');
    once("/v1/sandboxes/$far/$_") for 'hibernate', 'fork', 'snapshots';
    ask('PATCH', "/v1/sandboxes/$far/network", json => $offline);

    my $auto = record(auto_resume => 1, timeout_action => 'hibernate');
    post("/v1/sandboxes/$auto/timeout",
         { timeout_ms => 1000, timeout_action => 'destroy' });

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
once('/v1/sandboxes', { volumes => [{ ref => 'v', mount_path => '/v' }] });

post("$path/exec", { command => 'echo', args => ['a'], cwd => '/tmp',
                     envs => { A => 'b' }, user => 'root' });
post("$path/exec", { command => 'sleep 5', shell => JSON::PP::true,
                     timeout_secs => 1 });
post("$path/exec", { no => 'command' });
ask('POST', "$path/exec", body => '{');

post("$path/timeout", { timeout_ms => 600000 });
ask('PATCH', "$path/network", json => $_)
    for $offline, { internet_access => JSON::PP::true, mask_request_host => 'a',
                    allow_out => ['192.0.2.1'], deny_out => ['2001:db8::/32'],
                    allow_public_traffic => JSON::PP::true };
ask('GET', $path);
ask('GET', "$path?fields=id,status");
ask('GET', '/v1/sandboxes');
ask('GET', '/v1/sandboxes?limit=1&state=running&metadata=%7B%7D');

# --- warm pools --------------------------------------------------------------

{
    my $pools = '/v1/template-warm-pools';
    my $body = { name => 'a', template_ref => 'base', min_ready => 0,
                 resources => { memory_mb => 128 }, labels => { a => 'b' } };
    my $id = post($pools, $body)->{json}{id};
    my $other = post($pools, { %$body, name => 'b' })->{json}{id};

    post($pools, $body);
    post($pools, { %$body, name => 'c', template_ref => $_ })
        for 'none', 'base:v1';
    my $index = $records->index . ':pools';
    $records->command('ZADD', $index, map { (0, "full$_") } 1 .. 100);
    post($pools, { %$body, name => 'c' });
    $records->command('ZREM', $index, map { "full$_" } 1 .. 100);

    ask('GET', $pools);
    ask('GET', "$pools/$id");
    ask('GET', "$pools/$id/status");
    ask('PATCH', "$pools/$id", json => $_)
        for { max_ready => 2 }, { name => 'b' }, { template_ref => 'base' },
            { version_policy => 'track_tag', track_tag => 'v1' };
    ask('PATCH', "$pools/$id", body => '{');
    post("$pools/$id/$_") for 'enable', 'disable', 'reconcile';
    for ('enable', 'disable', 'drain', 'reconcile') {
        post("$pools/$id/$_", { no => 1 });
        ask('POST', "$pools/$id/$_", body => '{');
    }
    once('/v1/sandboxes', { warm_pool => { id => $_, mode => 'require' } })
        for $id, 'twp_' . 'a' x 20;
    ask('DELETE', "$pools/$id");

    for ($id, $other) {
        post("$pools/$_/drain");
        ask('DELETE', "$pools/$_");
    }
}

# --- in the guest ------------------------------------------------------------

for my $operation (grep { wakes($_) } @$operations) {
    my $no = ask($operation->{method},
                 path_of($operation, $s->{id}, 1, 1) . '?no=1');

    is($no->{json}{error_detail}{field}, 'no',
       "$operation->{name}: a parameter that is none");
}

{
    my $stdin = post("$path/exec", { command => 'cat',
                                     background => JSON::PP::true });
    my $of = "$path/processes/$stdin->{json}{pid}";

    ask('GET', "$path/processes");
    ask('GET', "$path/processes?no=1");
    post("$of/stdin", { data_base64 => '/w==' });
    post("$of/stdin", $_) for { data => 1 }, { no => 1 };
    post("$of/kill", { signal => 'NONE' });
    ask('POST', "$of/$_", body => '{') for 'stdin', 'kill';
    post("$of/stdin", { data => "a\n", eof => JSON::PP::true });
    ask('GET', "$of/logs?follow=true");
    ask('GET', "$of/logs?offset=1");
    ask('GET', "$of/logs?offset=x");
    post("$of/$_", $body{$_}) for 'stdin', 'kill';
    post("$path/processes/1/$_", $body{$_}) for 'stdin', 'kill';
    ask('GET', "$path/processes/1/logs");

    my $slow = post("$path/exec", { command => 'sleep', args => ['60'],
                                    background => JSON::PP::true });
    post("$path/processes/$slow->{json}{pid}/kill");
    post("$path/exec", { command => 'printf "\\377"; cat; kill $$',
                         shell => JSON::PP::true, stdin => 'a',
                         encoding => $_ }) for 'base64', 'utf-8';
}

talk("$path/ws?channel=exec", 'exec_exit',
     { type => 'exec_signal', signal => 'TERM' },
     { type => 'exec_start', command => 'cat; echo b >&2', args => [],
       shell => JSON::PP::true, stdin => JSON::PP::true, cwd => '/tmp',
       envs => {}, user => 'root', timeout_secs => 60 },
     { type => 'exec_stdin', data => "a\n", eof => JSON::PP::true });
talk("$path/ws?channel=exec", 'exec_exit',
     { type => 'exec_start', command => 'sleep', args => ['60'],
       timeout_secs => 1 });
talk("$path/ws?channel=pty", 'pty_exit',
     { type => 'pty_start', command => 'cat', cols => 90, rows => 30,
       session_id => 'Az0_-' },
     { type => 'pty_resize', cols => 91, rows => 31 },
     { type => 'pty_input', data_base64 => encode_base64("a\n\cD", '') });
post("$path/exec", { shell => JSON::PP::true, background => JSON::PP::true,
                     command => 'for i in $(seq 100); do touch /tmp/$i; sleep 0.1;'
                                . ' done' });
talk("$path/ws?channel=watch", 'watch_event',
     { type => 'watch_start', path => '/tmp', recursive => JSON::PP::true });
ask('GET', "$path/ws?channel=$_") for 'exec', 'none';

{
    my $files = "$path/files";
    my @put = (type => $octets, body => 'hello');

    ask('PUT', "$files?path=/tmp/d/a&parents=true&mode=$_", @put)
        for '600', '04700';
    my $etag = ask('GET', "$files?path=/tmp/d/a")->{headers}{etag};
    ask('GET', "$files?path=/tmp/d/a", headers => $_)
        for [Range => 'bytes=1-2'], [Range => 'bytes=9-'],
            ['If-None-Match' => $etag], ['If-Match' => '"x"'];
    ask('PUT', "$files?path=/tmp/d/a", @put, headers => ['If-None-Match', '*']);
    ask('GET', "$files/list?path=/tmp&recursive=true&limit=100");
    my $tar = ask('GET', "$files/archive?path=/tmp/d")->{body};
    ask('PUT', "$files/archive?path=/tmp/e", type => 'application/x-tar',
        body => $tar);
    post("$files/mkdir", { path => '/tmp/e', mode => '0700' });
    ask('PUT', "$files/archive?path=/tmp/e&user=nobody",
        type => 'application/x-tar', body => $tar);
    post("$files/mkdir", { path => '/tmp/f', mode => '01700' });
    post("$files/mkdir", { path => '/tmp/f' });
    post("$files/mkdir", { path => '/tmp/f', parents => JSON::PP::true });
    post("$files/mkdir", { path => '/tmp/none/g' });
    post("$files/move", { from => '/tmp/d/a', to => '/tmp/d/b' });
    post("$files/move", { from => '/tmp/d/b', to => '/tmp/f' });
    post("$files/move", { from => '/tmp/d/a', to => '/tmp/d/c' });

    for ('/tmp/d', '/tmp/d/b', '/tmp/d/b/c', '/tmp/none/a', 'relative') {
        my @type = (type => 'application/x-tar', body => $tar);

        ask('GET', "$files?path=$_");
        ask('GET', "$files/stat?path=$_");
        ask('GET', "$files/list?path=$_");
        ask('GET', "$files/archive?path=$_");
        ask('PUT', "$files?path=$_", @put);
        ask('PUT', "$files/archive?path=$_", @type) if $_ !~ /none/;
        ask('DELETE', "$files?path=$_") if $_ !~ m{d/b$};
    }

    ask('DELETE', "$files?path=/tmp/d/b", headers => ['If-Match', '"x"']);
    ask('DELETE', "$files?path=/tmp/d&recursive=true");
    ask('POST', "$files/$_", body => '{') for 'mkdir', 'move';
    post("$files/$_", { no => 1 }) for 'mkdir', 'move';
}

{
    my $uploads = "$path/uploads";
    my $once = SandboxTest::idem();
    my $body = { path => '/tmp/u', size => 5, mode => '00644' };
    my $upload = post($uploads, $body, idem => $once)->{json}{id};
    my $of = "$uploads/$upload";

    post($uploads, $body, idem => $once);
    post($uploads, { path => '/tmp/v' }, idem => $once);
    post($uploads, { path => '/tmp/v' });
    once($uploads, { path => '/tmp/none/v' });
    once($uploads, { path => 'relative' });
    once($uploads, { path => '/tmp/w', size => 1 << 50 });
    ask('POST', $uploads, body => '{', idem => SandboxTest::idem());

    once("$of/complete");
    my $sum = Digest::SHA::sha256_hex('hello');
    ask('PUT', "$of/parts/1", type => $octets, body => 'hello',
        headers => ['X-Content-SHA256' => $_])
        for $sum, 'x', Digest::SHA::sha256_hex('');
    ask('GET', $of);
    post("$of/complete", {});
    ask('POST', "$of/complete", body => '{', idem => SandboxTest::idem());
    once("$of/complete", { no => 1 });
    $once = SandboxTest::idem();
    post("$of/complete", { sha256 => $sum, parts => [{ part => 1 }] },
         idem => $once) for 1, 2;
    post("$of/complete", {}, idem => $once);
    ask('DELETE', $of);
    ask('GET', $of);
    ask('DELETE', $of);
    ask('PUT', "$of/parts/1", type => $octets, body => 'a');
    once("$of/complete");
}

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

my $resume_idem = SandboxTest::idem();
post("$path/hibernate");
ask('GET', $path);
$r = post("$path/resume", undef, idem => $resume_idem);
my $again = $t->sandbox($r, key => $key);
post("$path/resume", undef, idem => $resume_idem);
post("/v1/sandboxes/$again->{id}/resume", undef, idem => $resume_idem);
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

is(join(' ', grep { !$seen->{"WsServer $_"} } @{ $documented->{messages} }),
   '', 'all messages of WebSockets were seen');

for my $row (sort keys %elsewhere) {
    my ($code) = $row =~ /(\w+)$/;
    my $where = $elsewhere{$row};
    $text{$where} //= SandboxLeft::slurp("$FindBin::Bin/$where");

    ok($used{$row}, "$row: is seen nowhere here");
    like($text{$where}, qr/\b$code\b/, "but by t/$where");
}

$t->expect_log(qr/snap_/);
$t->finish;
