#!/usr/bin/perl

# GET /v1/sandboxes: pages, filters, masks and refusals.  The sandboxes are
# records put into Redis by hand, but for one that really lives and dies.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxRecords;
use SandboxTest;

my $t = SandboxTest->new;
my $socket = $t->redis_socket;
my $base = 1_750_000_000_000;
my ($key, $other) = map { $t->key($_) } qw(lists others);
my $records = SandboxRecords->new($socket, 'lists');
my $r;

sub escape {
    my ($text) = @_;

    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02x', ord $1/ge;
    return $text;
}

sub query {
    my (%o) = @_;

    return '/v1/sandboxes?' . join '&', map { "$_=" . escape($o{$_}) }
                              sort keys %o;
}

# One page: (ids, next token, answer).
sub page {
    my (%o) = @_;
    my $answer = $t->get(query(%o), key => $key);

    if ($answer->{status} != 200) {
        diag("status $answer->{status}: $answer->{body}");
        return ([], undef, $answer);
    }

    return ([map { $_->{id} } @{ $answer->{json}{items} }],
            $answer->{json}{next_token}, $answer);
}

# All pages: (ids, number of pages).  code is called after each page.
sub pages {
    my ($code, %o) = @_;
    my (@ids, $token);

    for my $n (1 .. 1000) {
        my ($ids, $next) = page(%o, $token ? (next_token => $token) : ());
        push @ids, @$ids;
        return (\@ids, $n) if !$next;
        $token = $next;
        $code->($n) if $code;
    }

    return (\@ids, 1000);
}

# --- nothing -----------------------------------------------------------------

$r = $t->get('/v1/sandboxes', key => $key);
is($r->{body}, '[]', 'no sandbox: an empty array');
ok(!exists $r->{headers}{'x-next-token'}, 'and no token');
$r = $t->get('/v1/sandboxes?limit=5', key => $key);
is_deeply($r->{json}, { items => [], next_token => undef },
          'by query: an empty page');

# --- order and pages ---------------------------------------------------------

# 250 in groups of seven that were created in the same millisecond
my @ids = reverse map {
    $records->add(created_at => $base + int($_ / 7),
                  metadata => qq({"n":$_,"odd":) . ($_ % 2 ? 'true' : 'false')
                              . ',"big":1.50}',
                  template => $_ % 50 ? 'base' : 'rare',
                  state => $_ % 10 ? 'running' : 'creating')
} 1 .. 250;
$records->flush;

$r = $t->get('/v1/sandboxes', key => $key);
is_deeply([map { $_->{id} } @{ $r->{json} }], [@ids[0 .. 99]],
          'the bare array has the newest 100');
my $token = $r->{headers}{'x-next-token'};
like($token, qr/^nt_[a-z0-9]+$/, 'and X-Next-Token');
is_deeply((page(next_token => $token))[0], [@ids[100 .. 199]],
          'which leads to the next 100');

$r = $t->request('HEAD', '/v1/sandboxes', key => $key);
is($r->{headers}{'x-next-token'}, $token, 'HEAD has it too');

for my $limit (1, 7, 49, 50, 100) {
    my ($got, $n) = pages(undef, limit => $limit);
    is_deeply($got, \@ids, "all in pages of $limit, each once");
    is($n, int((@ids + $limit - 1) / $limit), 'and in no more pages');
}

# --- between pages: some come, some go ---------------------------------------

{
    my %gone;
    my $new = 0;
    my ($got) = pages(sub {
        my ($n) = @_;

        # the last of the page, the first of the next, and one of its time
        my $at = $n * 10 - 1;
        for my $id (grep { defined } @ids[$at, $at + 1, $at + 12]) {
            $gone{$id} = 1;
        }
        $records->remove(keys %gone);
        $records->add(created_at => $base + 1000 + $new++) for 1 .. 3;
        $records->flush;
    }, limit => 10);

    my %seen;
    $seen{$_}++ for @$got;
    is_deeply([grep { $seen{$_} > 1 } keys %seen], [], 'none is given twice');
    is_deeply([grep { $seen{$_} } @ids], [grep { $seen{$_} || !$gone{$_} } @ids],
              'none that was there throughout is skipped');
    cmp_ok(scalar(keys %gone), '>', 50, 'though many went');

    my @now = grep { !$gone{$_} } @ids;
    my ($all) = pages(undef, limit => 100);
    is(scalar(@$all), @now + $new, 'the next listing has who is there now');
    is_deeply([@$all[$new .. $#$all]], \@now, 'in order');
    @ids = @$all;
}

# --- filters -----------------------------------------------------------------

for my $wanted (['creating'], ['running'], ['running', 'creating'],
                ['paused', 'error']) {
    my $states = join ',', @$wanted;
    my ($got) = pages(undef, state => $states, limit => 13);
    my $expected = $records->command(
        'EVAL', 'local n = 0 for _, id in ipairs(redis.call("ZRANGE", KEYS[1],'
        . ' 0, -1)) do if string.find(ARGV[2], redis.call("HGET", ARGV[1] .. '
        . 'id, "state"), 1, true) then n = n + 1 end end return n', 1,
        $records->index, $records->key('sandbox', ''), $states);
    is(scalar(@$got), $expected, "state=$states: $expected");
    my %seen;
    is_deeply([grep { $seen{$_}++ } @$got], [], 'each once');
}

my ($rare) = pages(undef, template => 'rare', limit => 2);
cmp_ok(scalar(@$rare), '>', 0, 'template=rare');
is_deeply([grep { $t->get("/v1/sandboxes/$_?fields=template",
                          key => $key)->{json}{template} ne 'rare' } @$rare],
          [], 'has no others');
is_deeply((pages(undef, template => 'none'))[0], [], 'template=none');

my ($one) = pages(undef, metadata => '{"n":77}');
is_deeply([map { $t->get("/v1/sandboxes/$_", key => $key)->{json}{metadata}{n} }
           @$one], [77], 'metadata={"n":77}');
my ($odd) = pages(undef, metadata => '{"odd":true, "big": 15e-1}', limit => 9);
my ($even) = pages(undef, metadata => '{"odd":false}', limit => 9);
cmp_ok(scalar(@$odd), '>', 50, 'pairs are all compared, numbers by value');
my ($plain) = pages(undef, metadata => '{}', limit => 100);
is_deeply($plain, \@ids, 'metadata={} is true of all');
my %is_new = map { $_ => 1 } @$odd, @$even;
is(@$odd + @$even, scalar(grep { $is_new{$_} } @ids), 'odd or even');
is_deeply((pages(undef, metadata => '{"odd":true,"n":78}'))[0], [],
          'no one has both');
is_deeply((pages(undef, metadata => '{"n":77}', state => 'running',
                 template => 'base'))[0], $one, 'filters go together');

# --- masks -------------------------------------------------------------------

$r = $t->get(query(limit => 1, fields => 'status,id'), key => $key);
like($r->{body}, qr/^\{"items":\[\{"id":"$ids[0]","status":"running"\}\],/,
     'fields: only these members');
my $whole = $t->get("/v1/sandboxes/$ids[0]", key => $key)->{json};
for my $member (sort keys %$whole) {
    is_deeply($t->get("/v1/sandboxes/$ids[0]?fields=$member",
                      key => $key)->{json}, { $member => $whole->{$member} },
              "get: fields=$member");
}
is($whole->{expires_at}, $whole->{timeout_at}, 'expires_at');
is($whole->{timeout_action}, 'destroy', 'timeout_action');
is_deeply($t->get("/v1/sandboxes/$ids[0]?fields=cwd", key => $key)->{json}, {},
          'a member that it does not have');

# --- refusals ----------------------------------------------------------------

for (['fields=', 'fields'], ['fields=id,', 'fields'], ['fields=id,id', 'fields'],
     ['fields=id,nothing', 'fields'], ['fields=config.vcpus', 'fields'],
     ['fields=traffic_access_token', 'fields']) {
    my ($text, $field) = @$_;
    for my $path ('/v1/sandboxes', "/v1/sandboxes/$ids[0]") {
        $t->is_error($t->get("$path?$text", key => $key), 400,
                     'invalid_fields', "$path?$text", $field);
    }
}
like($t->get('/v1/sandboxes?fields=id,nothing', key => $key)
     ->{json}{error_detail}{reason}, qr/"nothing"/, 'it is named');

for (['limit=0', 'limit'], ['limit=101', 'limit'], ['limit=x', 'limit'],
     ['limit=1&limit=2', 'limit'], ['state=gone', 'state'],
     ['state=running,running', 'state'], ['state=', 'state'],
     ['template=', 'template'], ['metadata=1', 'metadata'],
     ['metadata=%7B', 'metadata'], ['metadata=%7B%7D%00', 'metadata'],
     ['metadata=%ff', 'metadata'], ['limit=%3', 'limit'],
     ['next_token=nt_x', 'next_token'], ['sort=id', 'sort'], ['&', 'query'],
     ['%zz=1', 'query']) {
    my ($text, $field) = @$_;
    $t->is_error($t->get("/v1/sandboxes?$text", key => $key), 400,
                 'invalid_request', $text, $field);
}
$t->is_error($t->get("/v1/sandboxes/$ids[0]?limit=1", key => $key), 400,
             'invalid_request', 'get knows no limit', 'limit');
$t->is_error($t->get(query(next_token => $token), key => $other), 400,
             'invalid_request', 'a token of another tenant', 'next_token');

# --- metadata as large as it may be ------------------------------------------

{
    $records->clear;
    my $big = '{"s":"' . 'x' x 16300 . '"';
    $records->add(created_at => $base + $_, metadata => "$big,\"n\":$_}")
        for 1 .. 400;
    $records->flush;

    $r = $t->get('/v1/sandboxes', key => $key);
    is(scalar(@{ $r->{json} }), 100, 'a page of 100 with 16 KiB each');
    my ($got, $n) = pages(undef, metadata => '{"n":3}');
    is(scalar(@$got), 1, 'a filter finds one of 400 such');
    cmp_ok($n, '<=', 5, "in $n pages");
    $records->clear;
}

# --- the end of a life -------------------------------------------------------

{
    my $s = $t->create({ memory_mb => 128, metadata => { life => 1 },
                         cwd => '/tmp', envs => { SECRET => 'x1y2z3' } },
                       key => $key) or $t->finish, exit;
    my $id = $s->{id};
    my $was = $t->get("/v1/sandboxes/$id", key => $key)->{json};

    is_deeply((page(state => 'destroyed'))[0], [], 'none is destroyed yet');
    is($t->delete("/v1/sandboxes/$id", key => $key)->{status}, 200, 'delete');
    is($t->get('/v1/sandboxes', key => $key)->{body}, '[]', 'not listed');
    is_deeply((page(state => 'creating,running,paused,error'))[0], [],
              'nor by state');

    my ($got, $next, $answer) = page(state => 'destroyed');
    is_deeply($answer->{json}{items}, [{ %$was, status => 'destroyed' }],
              'but for state=destroyed, as it was');
    is_deeply((page(state => 'running,destroyed'))[0], [$id], 'and among others');
    is_deeply((page(state => 'destroyed', metadata => '{"life":1}'))[0], [$id],
              'filters hold there too');
    is($t->get(query(state => 'destroyed'), key => $other)->{body},
       '{"items":[],"next_token":null}', 'another tenant sees nothing');
    $t->is_error($t->get("/v1/sandboxes/$id", key => $key), 404,
                 'sandbox_not_found', 'get is 404');

    my %kept = @{ $records->command('HGETALL', $records->key('sandbox', $id)) };
    is_deeply([sort keys %kept],
              [sort qw(state destroyed_at tenant template vcpus memory_mb
                       disk_mb created_at started_at timeout_ms timeout_at
                       timeout_action metadata cwd)],
              'the tombstone has no token, no address and no variable');
    for my $name ($records->key('sandbox', $id), $records->index . ':destroyed',
                  $records->index . ':graves') {
        my $ttl = $records->command('PTTL', $name);
        ok($ttl > 86_000_000 && $ttl <= 86_400_000, "$name lasts a day");
    }

    # live and destroyed ones in one order, whoever went first
    my @live = map { $records->add(created_at => $base + $_) } 1 .. 3;
    my $between = $records->add(created_at => $base + 2, state => 'destroyed',
                                id => $records->id(1_000_000));
    $records->flush;
    is_deeply((pages(undef, state => 'running,destroyed', limit => 1))[0],
              [$id, $live[2], $between, $live[1], $live[0]],
              'two indexes are one list');

    # what has no tombstone any more is passed over, and trimmed in time
    $records->later('ZADD', $records->index . ':destroyed', 1, 'sb_old');
    $records->later('ZADD', $records->index . ':graves', 1, 'sb_old');
    $records->command('DEL', $records->key('sandbox', $between));
    is_deeply((pages(undef, state => 'destroyed', limit => 1))[0], [$id],
              'tombstones that are over are not listed');
    $records->clear;
    my $last = $t->create({ memory_mb => 128 }, key => $key);
    if ($last) {
        my $end = $last->{id};
        $t->delete("/v1/sandboxes/$end", key => $key);
        is_deeply((page(state => 'destroyed'))[0], [$end, $id],
                  'newest first among the destroyed');
        ok(!defined $records->command('ZSCORE',
                                      $records->index . ':destroyed', 'sb_old'),
           'a burial trims what is over');
    }
}

$t->finish;
