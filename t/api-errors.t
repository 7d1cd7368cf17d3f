#!/usr/bin/perl

# Errors of the API: routes, methods, bodies, API keys and the create schema.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxRecords;
use SandboxTest;

my $t = SandboxTest->new;
my $r;

# --- routes and methods ------------------------------------------------------

for my $path ('/', '/v1', '/v1/', '/v1/nothing', '/v1/sandboxes/',
              '/v1/sandboxes/sb_x/nothing', '/v1/sandboxes/sb_x/exec/more',
              '/v2/sandboxes') {
    $t->is_error($t->get($path), 404, 'not_found', "GET $path");
}

for (['PUT', '/v1/sandboxes', 'GET, HEAD, POST'],
     ['DELETE', '/v1/sandboxes', 'GET, HEAD, POST'],
     ['OPTIONS', '/v1/sandboxes', 'GET, HEAD, POST'],
     ['POST', '/v1/sandboxes/sb_x', 'DELETE, GET, HEAD'],
     ['PATCH', '/v1/sandboxes/sb_x', 'DELETE, GET, HEAD'],
     ['GET', '/v1/sandboxes/sb_x/exec', 'POST']) {
    my ($method, $path, $allow) = @$_;
    $r = $t->request($method, $path);
    $t->is_error($r, 405, 'method_not_allowed', "$method $path");
    is(join(', ', sort split /, */, $r->{headers}{allow} // ''), $allow,
       'its Allow');
}

for my $route ('GET /v1/volumes', 'POST /v1/volumes', 'DELETE /v1/volumes',
               'GET /v1/sandboxes/sb_x/volumes',
               'POST /v1/sandboxes/sb_x/volumes',
               'POST /v1/sandboxes/sb_x/host',
               'POST /v1/sandboxes/sb_x/ports/80/signed-preview-url') {
    my ($method, $path) = split / /, $route;
    $t->is_error($t->request($method, "$path?a=b"), 501, 'not_implemented',
                 $route);
    $t->is_error($t->request($method, $path, key => undef), 401,
                 'unauthorized', 'only with a key');
}

# --- queries, of routes that have none -----------------------------------------

for (['POST', '/v1/sandboxes'],
     (map { ['POST', "/v1/sandboxes/sb_x/$_"] } 'timeout', 'hibernate',
          'resume', 'fork', 'snapshots', 'exec', 'uploads', 'files/mkdir'),
     ['PATCH', '/v1/sandboxes/sb_x/network'], ['DELETE', '/v1/sandboxes/sb_x'],
     ['DELETE', '/v1/snapshots/snap_x'], ['POST', '/v1/template-warm-pools'],
     (map { [$_, '/v1/template-warm-pools/twp_x'] } 'PATCH', 'DELETE'),
     ['POST', '/v1/template-warm-pools/twp_x/drain']) {
    my ($method, $path) = @$_;
    $t->is_error($t->request($method, "$path?timeout_ms=1"), 400,
                 'invalid_request', "$method $path with a query", 'timeout_ms');
}

$t->is_error($t->delete('/v1/sandboxes/sb_x?%zz'), 400, 'invalid_request',
             'one that is malformed', 'query');
$t->is_error($t->delete('/v1/sandboxes/sb_x?'), 404, 'sandbox_not_found',
             'an empty one is none');

# --- queries that agents read ------------------------------------------------

for (['GET', 'files?path=/a%zz', 'path'], ['PUT', 'files?path=/a%2', 'path'],
     ['DELETE', 'files?path=%', 'path'], ['GET', 'files/stat?a%2g', 'query'],
     ['HEAD', 'files/list?path=%'], ['GET', 'files/archive?a=%2F&b=%', 'b'],
     ['PUT', 'files/archive?path=%%41', 'path'],
     ['GET', 'processes/1/logs?follow=%f', 'follow'],
     ['GET', 'ws?channel=%', 'channel']) {
    my ($method, $what, $field) = @$_;
    $r = $t->request($method, "/v1/sandboxes/sb_x/$what");
    $field ? $t->is_error($r, 400, 'invalid_request', "$method $what", $field)
           : is($r->{status}, 400, "$method $what");
}

$t->is_error($t->get('/v1/sandboxes/sb_x/files?path=%2f%e9&%41=%00'), 404,
             'sandbox_not_found', 'other escapes are for the agent to judge');

# --- ids -----------------------------------------------------------------------

for my $id ('sb_aaaaaaaaaaaaaaaaaaaa', 'sb-aaaaaaaaaaaaaaaaaaaa', 'x',
            'sb_' . 'a' x 200, 'sb_%C3%A9', 'snap_aaaaaaaaaaaaaaaaaaaa',
            'sb_AAAAAAAAAAAAAAAAAAAA', 'sb_aaaaaaaaaaaaaaaaaaa%0a') {
    $t->is_error($t->get("/v1/sandboxes/$id"), 404, 'sandbox_not_found',
                 'GET of ' . substr($id, 0, 30));
}

# one that could be of this tenant
my $snap = 'snap_' . SandboxRecords::shard('default') . 'a' x 18;
$t->is_error($t->delete("/v1/snapshots/$snap"), 404, 'snapshot_not_found',
             'DELETE of a snapshot');
my $node = $t->node;
ok(wait_for(5, sub { $t->redis('ZSCORE', "sbx:{$node}:agenda", $snap) eq '' }),
   'for which nobody looks later');

$t->is_error($t->delete('/v1/sandboxes/sb_aaaaaaaaaaaaaaaaaaaa'), 404,
             'sandbox_not_found', 'DELETE of no sandbox');
$t->is_error($t->post('/v1/sandboxes/sb_aaaaaaaaaaaaaaaaaaaa/exec',
                      json => { command => 'true' }), 404,
             'sandbox_not_found', 'exec in no sandbox');

$r = $t->request('HEAD', '/v1/sandboxes');
is($r->{status}, 200, 'HEAD of the list');
is($r->{body}, '', 'has no body');
$r = $t->request('HEAD', '/v1/sandboxes/sb_aaaaaaaaaaaaaaaaaaaa');
is($r->{status}, 404, 'HEAD of no sandbox');

# --- what nginx refuses before it knows a location ---------------------------

# A request as it is written, and its answer.
sub raw {
    my ($to, $text) = @_;
    my $http = SandboxHttp->new($to);

    $http->send($text);
    return $t->end($http);
}

my $end = "Host: x\r\nConnection: close\r\n\r\n";

for my $to ($t->{api}, $t->{traffic}) {
    my $name = $to eq $t->{api} ? 'API' : 'traffic';

    for (['a URI of 40 KiB', 414, 'invalid_request',
          'GET /v1/sandboxes?' . 'x' x 40960 . " HTTP/1.1\r\n$end"],
         ['a header of 40 KiB', 400, 'invalid_request',
          "GET /v1/sandboxes HTTP/1.1\r\nX: " . 'x' x 40960 . "\r\n$end"],
         ['a NUL', 400, 'invalid_request', "GET /%00 HTTP/1.1\r\n$end"],
         ['no request', 400, 'invalid_request', "\x16\x03\x01\r\n\r\n"],
         ['no Host', 400, 'invalid_request', "GET / HTTP/1.1\r\n\r\n"],
         ['TRACE', 405, 'method_not_allowed', "TRACE / HTTP/1.1\r\n$end"],
         ['a coding', 501, 'not_implemented',
          "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n$end"],
         ['another version', 505, 'internal_error',
          "GET / HTTP/3.0\r\n$end"]) {
        my ($what, $status, $code, $text) = @$_;
        $t->is_error(raw($to, $text), $status, $code, "$name: $what");
    }
}

# what may be said fits: a path of 4095 bytes is three times as long, escaped
$t->is_error($t->get('/v1/sandboxes?x=' . 'x' x 9000), 400, 'invalid_request',
             'a URI of 9 KiB is read', 'x');
is($t->get('/v1/sandboxes?metadata='
           . join('%22', '{', 'a', ':', 'x' x 16000, '}'))->{status}, 200,
   'a long filter');

# --- keys --------------------------------------------------------------------

for (['no key', key => undef],
     ['an unknown key', key => 'ns_live_' . 'a' x 40],
     ['an empty key', key => ''],
     ['a long key', key => 'ns_live_' . 'a' x 3000],
     ['another scheme', key => undef,
      headers => [Authorization => "Basic $t->{key}"]],
     ['no scheme', key => undef, headers => [Authorization => $t->{key}]],
     ['a key with a tail', key => "$t->{key}x"]) {
    my ($name, @o) = @$_;
    $r = $t->get('/v1/sandboxes', @o);
    $t->is_error($r, 401, 'unauthorized', $name);
    like($r->{headers}{'www-authenticate'} // '', qr/^Bearer\b/,
         'with WWW-Authenticate');
}

is($t->get('/v1/sandboxes', key => undef,
           headers => [Authorization => "bearer $t->{key}"])->{status}, 200,
   'the scheme in lower case');
$t->is_error($t->post('/v1/sandboxes', key => undef, body => '{'), 401,
             'unauthorized', 'a key is asked for before the body is read');

# --- request ids -------------------------------------------------------------

{
    my $mark = $t->log_mark;
    my $first = $t->get('/v1/nothing');
    my $second = $t->get('/v1/nothing',
                         headers => ['X-Request-Id' => 'req_mine']);
    my $id = $first->{headers}{'x-request-id'};

    isnt($id, $second->{headers}{'x-request-id'}, 'request ids differ');
    isnt($second->{headers}{'x-request-id'}, 'req_mine',
         'and are not taken from the client');
    ok(wait_for(5, sub { $t->log_text($mark) =~ /\Q$id\E/ }),
       'the request id is in the error log');
    ok((grep { /\Q$id\E/ && /404/ } split /\n/, $t->log_text($mark)),
       'on the line of that request');
    like($t->get('/v1/sandboxes')->{headers}{'x-request-id'},
         qr/^req_[a-z0-9]+$/, 'answers of 2xx have one as well');
}

# --- bodies ------------------------------------------------------------------

for (['text', type => 'text/plain', body => '{}'],
     ['no type', type => undef, body => '{}'],
     ['a form', type => 'application/x-www-form-urlencoded', body => 'a=b'],
     ['nearly JSON', type => 'application/jsonx', body => '{}']) {
    my ($name, @o) = @$_;
    $t->is_error($t->post('/v1/sandboxes', @o), 415,
                 'unsupported_media_type', "a body of $name");
}

{
    my $large = '{"metadata":{"a":"' . 'x' x (1024 * 1024) . '"}}';

    $t->is_error($t->post('/v1/sandboxes', body => $large), 413,
                 'body_too_large', 'a large body');

    my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
                  unpack '(a60000)*', $large;
    $t->is_error($t->post('/v1/sandboxes', body => "${chunked}0\r\n\r\n",
                          headers => ['Transfer-Encoding' => 'chunked']),
                 413, 'body_too_large', 'a large body in chunks');
    $t->is_error($t->post('/v1/sandboxes', body => '{', headers => [
                              'Content-Length' => 2 * 1024 * 1024 * 1024]),
                 413, 'body_too_large', 'a body that only says it is large');
}

for ('{', '{"vcpus":1,}', '{"vcpus":1} {}', "{\"cwd\":\"\xff\"}", '[]', '7',
     '{"a":1,"a":1}', '[' x 100000, '{"cwd":"\u0000"}', '{"cwd":"\ud800"}') {
    $t->is_error($t->post('/v1/sandboxes', body => $_), 400, 'invalid_json',
                 'not JSON: ' . substr($_, 0, 20));
}

{
    my $http = SandboxHttp->new($t->{api});
    my @headers = (Authorization => "Bearer $t->{key}",
                   'Content-Type' => 'application/json',
                   'Idempotency-Key' => 'slow');
    my $body = '{"vcpus": 0}';

    $http->send($http->format_request('POST', '/v1/sandboxes',
        [@headers, 'Content-Length' => length $body]));
    for (split //, $body) {
        $http->send($_);
        sleep 0.02;
    }
    $r = $http->read_response;
    is($r->{status}, 400, 'a body that comes byte by byte');

    my $bad = $http->format_request('POST', '/v1/sandboxes', \@headers, $body);
    my $get = $http->format_request('GET', '/v1/nothing', \@headers);
    $http->send($bad . $get . $bad);
    is_deeply([map { ($http->read_response // {})->{status} } 1 .. 3],
              [400, 404, 400], 'pipelined requests, with bodies, in order');

    for (1 .. 20) {
        my $c = SandboxHttp->new($t->{api});
        $c->send($c->format_request('POST', '/v1/sandboxes',
            [@headers, 'Content-Length' => 1000]) . '{"vcpus"');
        $c->abort;
        $c = SandboxHttp->new($t->{api});
        $c->send($c->format_request('GET', '/v1/sandboxes', \@headers));
        $c->abort;
    }
    is($t->get('/v1/sandboxes')->{status}, 200, 'aborted requests do no harm');
}

# --- the schema --------------------------------------------------------------
# Each member's bounds are tested in t/unit/test_create.c.

for (['timeout', { timeout => 5 }], ['network.x', { network => { x => 1 } }],
     ['vcpus', { vcpus => 1.5 }], ['vcpus', { vcpus => 0 }],
     ['vcpus', { vcpus => 100000 }], ['vcpus', { vcpus => '1' }],
     ['memory_mb', { memory_mb => 1 }], ['disk_mb', { disk_mb => 100 }],
     ['timeout_ms', { timeout_ms => 1e12 }], ['envs.1', { envs => { 1 => '' }}],
     ['cwd', { cwd => 'relative' }], ['metadata', { metadata => [] }],
     ['metadata', { metadata => { a => 'x' x 16384 } }],
     ['network.deny_out[0]', { network => { deny_out => ['x'] } }],
     ['network.allow_out[1]',
      { network => { allow_out => ['192.0.2.0/24', '192.0.2.1/24'] } }],
     ['auto_resume', { auto_resume => JSON::PP::true }],
     ['template', { template => '../etc' }],
     ['desktop', { desktop => {} }]) {
    my ($field, $body) = @$_;
    $t->is_error($t->post('/v1/sandboxes', json => $body), 400,
                 'invalid_request', "a bad $field", $field);
}

like($t->post('/v1/sandboxes', json => { vcpus => 100000 })
     ->{json}{error_detail}{reason}, qr/at most 8\b/, 'the bound is named');
$t->is_error($t->post('/v1/sandboxes', json => { template => 'none' }), 404,
             'template_not_found', 'an unknown template', 'template');
for my $image ('base:v1', 'docker.io/library/x:1', 'x@sha256:' . 'a' x 64) {
    $t->is_error($t->post('/v1/sandboxes', json => { template => $image }), 501,
                 'not_implemented', $image, 'template');
    $t->is_error($t->post('/v1/template-warm-pools', json => {
                     name => 'a', min_ready => 0, template_ref => $image }),
                 501, 'not_implemented', 'nor in a warm pool', 'template_ref');
}

$t->is_error($t->post('/v1/sandboxes', json => { snapshot_id => 'snap_aaaa' }),
             404, 'snapshot_not_found', 'an unknown snapshot');

$t->is_error($t->post('/v1/sandboxes', json => {
                 volumes => [{ ref => 'v', mount_path => '/v' }] }), 501,
             'not_implemented', 'volumes are not built yet', 'volumes');

$t->finish;
