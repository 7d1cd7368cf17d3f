#!/usr/bin/perl

# Idempotency-Key: which keys there are, what a repeated request gets, and
# whose keys they are.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

use constant RACERS => 12;

my $t = SandboxTest->new;
my $body = '{"memory_mb":128}';

# Sends a create and does not wait for its answer.
sub begin_create {
    my ($key) = @_;

    return $t->begin('POST', '/v1/sandboxes', body => $body, idem => $key);
}

sub create {
    my ($key, $text, %o) = @_;

    return $t->post('/v1/sandboxes', body => $text // $body, idem => $key, %o);
}

sub is_replay {
    my ($r, $first, $name) = @_;

    return subtest($name => sub {
        is($r->{status}, 201, 'status') or diag($r->{body});
        is($r->{body}, $first->{body}, 'the same bytes');
        is($r->{headers}{'idempotent-replayed'}, 'true',
           'Idempotent-Replayed');
        is($r->{headers}{location}, $first->{headers}{location}, 'Location');
        isnt($r->{headers}{'x-request-id'}, $first->{headers}{'x-request-id'},
             'a request id of its own');
    });
}

# --- no key, and what is none ------------------------------------------------

$t->is_error(create(undef), 400, 'idempotency_key_required',
             'no Idempotency-Key', 'Idempotency-Key');

for (['empty', ''], ['only quotes', '""'], ['one quote', '"'],
     ['a quote that is not closed', '"a'], ['a parameter', '"a";b=1'],
     ['a quote inside quotes', '"a"b"'], ['an escape that is none', '"a\b"'],
     ['a quote that is escaped at the end', '"a\"'],
     ['a blank', 'a b'], ['a blank in quotes', '"a b"'],
     ['256 characters', 'x' x 256],
     ['256 characters in quotes', '"' . 'x' x 256 . '"'],
     ['not ASCII', "\xc3\xa9"], ['a tab', "a\tb"], ['DEL', "a\x7fb"]) {
    my ($name, $key) = @$_;
    $t->is_error(create($key), 400, 'invalid_request',
                 "Idempotency-Key: $name", 'Idempotency-Key');
}

$t->is_error(create('a', $body, headers => ['Idempotency-Key' => $_]), 400,
             'invalid_request', "Idempotency-Key twice, the second \"$_\"",
             'Idempotency-Key') for 'a', 'b', '';

# --- replays -----------------------------------------------------------------

# 255 characters, of them one that is escaped in quotes and one that is not
my $key = substr('a"\\' . SandboxTest::idem() . 'x' x 255, 0, 255);
(my $quoted = $key) =~ s/(["\\])/\\$1/g;
my $text = '{"memory_mb":128,"metadata":{"b": 1.10, "a":"\u00e9","n":null}}';

for (['invalid', 400, '{"vcpus":0}'], ['not JSON', 400, '{"vcpus":'],
     ['of an unknown template', 404, '{"template":"none"}'],
     ['of something not built', 501, '{"volumes":[{"ref":"v","mount_path":"/v"}]}']) {
    my ($name, $status, $refused) = @$_;
    is(create($key, $refused)->{status}, $status,
       "a request that is $name leaves its key free");
}

my $first = create($key, $text);
is($first->{status}, 201, 'a create with that key') or diag($first->{body});
ok(!exists $first->{headers}{'idempotent-replayed'}, 'is no replay');
my $sandbox = $t->sandbox($first);

for (['again', $text, $key], ['with the key in quotes', $text, "\"$quoted\""],
     ['of an equal body',
      ' { "metadata": {"n":null,"a":"\u00E9","b":11e-1}, "memory_mb":1.28e2,'
      . "\n\"cwd\" : null } ", $key]) {
    my ($name, $same, $idem) = @$_;
    is_replay(create($idem, $same), $first, "a replay $name");
}

for (['another value', '{"memory_mb":129}'],
     ['another number deep inside',
      '{"memory_mb":128,"metadata":{"b":1.101,"a":"\u00e9","n":null}}'],
     ['a null less in metadata',
      '{"memory_mb":128,"metadata":{"b":1.1,"a":"\u00e9"}}'],
     ['no body', '']) {
    my ($name, $other) = @$_;
    $t->is_error(create($key, $other), 422, 'idempotency_key_reused',
                 "the key with $name");
}

my $shorter = substr($key, 0, 254);
is(create($shorter, '{"vcpus":0}')->{status}, 400,
   'a key that is a part of another one is another key');

is(scalar(grep { $_->{id} eq $sandbox->{id} }
          @{ $t->list('/v1/sandboxes') }), 1, 'there is one sandbox');

my $id = $sandbox->{id};
undef $sandbox;
$t->is_error($t->get("/v1/sandboxes/$id"), 404, 'sandbox_not_found',
             'the sandbox is destroyed');
is_replay(create($key, $text), $first, 'and a replay is still the same');
$t->is_error(create($key), 422, 'idempotency_key_reused',
             'so is the refusal of another body');

# --- a key that expires while its create runs --------------------------------

{
    my $key = $t->idem;
    my $running = sub {
        for my $name (split /\n/, $t->redis('KEYS', '*:idem:*')) {
            return $name if $t->redis('HGET', $name, 'state') eq 'running';
        }
        return;
    };

    # it makes no machine before the key has gone
    $t->stack('kill', 'libvirtd', 'STOP');
    my $http = begin_create($key);
    my $name = wait_for(10, $running);

    ok($name, 'a create runs');
    my $ms = $t->redis('PTTL', $name);
    cmp_ok($ms, '>', 23 * 3600_000, 'its key outlives any create');
    cmp_ok($ms, '<', 3 * 24 * 3600_000, 'but not its node for ever');

    $t->redis('DEL', $name);
    $t->stack('kill', 'libvirtd', 'CONT');
    my $r = create($key);
    is($r->{status}, 201, 'when it has expired, it makes another one')
        or diag($r->{body});
    my $sandbox = $t->sandbox($r);
    $t->is_error($t->end($http), 409, 'transition_in_progress',
                 'and the first one is undone');
    is_replay(create($key), $r, 'the key is the second one\'s');
    is_deeply($t->ids('/v1/sandboxes'),
              [$sandbox->{id}], 'which is the only one');
}

# --- another tenant ----------------------------------------------------------

{
    my $other = $t->key('idempotency-other');
    my $r = create($key, $text, key => $other);
    is($r->{status}, 201, 'the same key and body of another tenant')
        or diag($r->{body});
    ok(!exists $r->{headers}{'idempotent-replayed'}, 'is no replay');
    my $s = $t->sandbox($r, key => $other);
    isnt($s->{id}, $id, 'but a sandbox of its own');
}

# --- of a resume, which may have one -------------------------------------------

{
    my $s = $t->create({ memory_mb => 128 });
    my $path = "/v1/sandboxes/$s->{id}";
    my $one = SandboxTest::idem();
    my $resume = sub {
        my ($idem, %o) = @_;
        return $t->post("$path/resume", idem => $idem, %o);
    };

    $t->is_error($resume->('a b'), 400, 'invalid_request', 'a key that is none',
                 'Idempotency-Key');
    $t->is_error($resume->($one), 409, 'transition_conflict',
                 'a resume of one that runs');
    is($t->post("$path/hibernate")->{status}, 200, 'hibernate');

    my @c = map { $t->begin('POST', "$path/resume", idem => $one) } 1 .. RACERS;
    my @r = map { $t->end($_) } @c;
    is_deeply([map { $_->{status} } @r], [(201) x RACERS],
              'with its key, which is free, ' . RACERS . ' resumes at once');
    is(scalar(grep { ($_->{headers}{'idempotent-replayed'} // '') eq 'true' }
              @r), RACERS - 1, 'all but one are replays');
    my ($first) = grep { !$_->{headers}{'idempotent-replayed'} } @r;
    is(scalar(grep { $_->{body} eq $first->{body} } @r), RACERS,
       'with the same bytes');
    my $new = $t->sandbox($first);
    is_deeply($t->ids('/v1/sandboxes'), [$new->{id}], 'there is one sandbox');

    is_replay($resume->($one, body => '{ }'), $first, 'a replay later');
    $t->is_error($t->post("/v1/sandboxes/$new->{id}/resume", idem => $one), 422,
                 'idempotency_key_reused', 'the key for another id');
    $t->is_error($resume->(SandboxTest::idem()), 409, 'transition_conflict',
                 'another key');
    $t->is_error($t->post("$path/resume"), 409, 'transition_conflict', 'no key');

    is($t->post("$path/hibernate")->{status}, 200, 'hibernate once more');
    is_replay($resume->($one), $first, 'a replay starts nothing');
    is($t->get($path)->{json}{status}, 'paused', 'it is paused');
    my $r = $resume->(SandboxTest::idem());
    is($r->{status}, 201, 'a new key does') or diag($r->{body});
    isnt($r->{json}{id}, $new->{id}, 'a new execution');
}

# --- at once -----------------------------------------------------------------

{
    my $race = SandboxTest::idem();
    my @c = map { begin_create($_ % 2 ? $race : "\"$race\"") } 1 .. RACERS;
    my $r = create($race, '{"memory_mb":129}', timeout => 60);

    $t->is_error($r, 422, 'idempotency_key_reused',
                 'another body while the first one runs');
    cmp_ok($r->{seconds}, '<', 1, 'is refused at once');

    my @r = map { $t->end($_) } @c;
    my ($made) = grep { !$_->{headers}{'idempotent-replayed'} } @r;
    is_deeply([map { $_->{status} } @r], [(201) x RACERS],
              RACERS . ' of the same at once: all are answered 201');
    my $s = $made ? $t->sandbox($made) : undef;

    is(scalar(grep { ($_->{headers}{'idempotent-replayed'} // '') eq 'true' }
              @r), RACERS - 1, 'all but one as replays');
    is(scalar(keys %{ { map { $_->{body} => 1 } @r } }), 1,
       'with the same bytes');
    is_deeply($t->ids('/v1/sandboxes'),
              [$s ? $s->{id} : 'none'], 'there is one sandbox');
    is(scalar(grep { $_ eq $s->{id} } $t->domains), 1, 'and one domain')
        if $s;

    # its first client is gone, and so are those who joined
    undef $s;
}

{
    my $gone = SandboxTest::idem();
    my $c = begin_create($gone);
    my $seen = wait_for(10, sub {
        (grep { $_->{status} eq 'creating' }
         @{ $t->list('/v1/sandboxes') })[0]
    });
    $c->abort;

    my $r = create($gone);
    is($r->{status}, 201, 'the retry of a client that went away');
    my $s = $t->sandbox($r);
    is($s->{id}, ($seen // {})->{id}, 'gets the sandbox of its first try');
    is($r->{headers}{'idempotent-replayed'}, 'true', 'as a replay');
}

$t->finish;
