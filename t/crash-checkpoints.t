#!/usr/bin/perl

# A worker dies at each crash point of hibernate, resume, fork and snapshot.
# A client that repeats its request gets what it asked for once, the sandbox
# has what it had, and after the DELETEs nothing is left.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxCrash;
use SandboxTest;

use constant LEASE => 2;

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $crash = SandboxCrash->new($t);
my $points = SandboxCrash->points;
my %body = (memory_mb => 128, timeout_ms => 3_600_000);

sub points_of {
    my ($pattern) = @_;

    return sort grep { /$pattern/ } keys %$points;
}

my @hibernate = points_of(qr/^(?:hibernate|take)\./);
my @resume = (points_of(qr/^resume\./), 'boot.run.after', 'create.commit.before',
              'create.commit.after', 'create.answer.before');
my @fork = points_of(qr/^(?:fork|take)\./);
my @snapshot = points_of(qr/^snapshot\./);
my @delete = points_of(qr/^unsnap\./);

is_deeply([grep { !/^(?:create|boot|destroy|undo|hibernate|resume|fork|take
                      |snapshot|unsnap|untake|settle|checkout|member|tend
                      |network|memory|flatten|flip|agent)\./x }
               sort keys %$points], [],
          'every point is of a known kind');

sub id_of {
    my ($id) = @_;

    return $t->get("/v1/sandboxes/$id")->{json}{id} // '';
}

# --- hibernate, and then resume ----------------------------------------------

for my $i (0 .. (@hibernate > @resume ? $#hibernate : $#resume)) {
    my ($hibernate, $resume) = ($hibernate[$i % @hibernate],
                                $resume[$i % @resume]);

    subtest("killed at $hibernate, then at $resume" => sub {
        my $s = $crash->made;
        my $id = $s->{id};

        $crash->arm($hibernate, 'kill');
        $crash->persist(200, 'POST', "/v1/sandboxes/$id/hibernate");
        if ($hibernate =~ /thaw/) {
            unlink $crash->file_of($hibernate); # only where it goes on
        } else {
            $crash->reached($hibernate);
        }
        is($t->get("/v1/sandboxes/$id")->{json}{status}, 'paused',
           'it is paused');
        $crash->only_listed('and has no place on the node', $id);

        # a resume has no key: the one that was cut off may have done it
        $crash->arm($resume, 'kill');
        my $r = $crash->persist([201, 409], 'POST', "/v1/sandboxes/$id/resume");
        $crash->reached($resume);
        my $new = id_of($id);
        isnt($new, $id, 'it runs under a new id');
        is($r->{json}{id}, $new, 'which the answer has')
            if $r->{status} == 201;
        $crash->only('there is one sandbox', $new);
        $crash->remembers($id, 'with all it had');
        $crash->gone($id);
    });
}

# With a key the answer that was lost comes all the same, and with it the token.
for my $resume (grep { /^create\.commit\./ } @resume) {
    subtest("killed at $resume of a resume with a key" => sub {
        my $s = $crash->made;
        my $path = "/v1/sandboxes/$s->{id}";

        is($t->request('PATCH', "$path/network", json => {
            allow_public_traffic => JSON::PP::false })->{status}, 200, 'private');
        $crash->persist(200, 'POST', "$path/hibernate");
        $crash->arm($resume, 'kill');
        my $r = $crash->persist(201, 'POST', "$path/resume",
                                idem => SandboxTest::idem());
        $crash->reached($resume);
        is($r->{headers}{'idempotent-replayed'},
           $resume =~ /after/ ? 'true' : undef,
           'what it has done is not done again');

        my $new = $t->sandbox($r);
        $crash->only('there is one sandbox', $new->{id});
        for (['another token', 'no' x 16, 403], ['its token', $new->{token}, 502]) {
            my ($name, $token, $status) = @$_;
            is($t->traffic($new, 9999, 'GET', '/', headers =>
                   ['X-Nullspace-Traffic-Access-Token' => $token])->{status},
               $status, $name);
        }
        $crash->remembers($s->{id}, 'it has all it had');
        $crash->gone($s->{id});
    });
}

# The taker sleeps until another process has paused the sandbox; then it wakes.
for my $point ('take.seal.before', 'take.state.before') {
    subtest("a hibernation asleep at $point" => sub {
        my $s = $crash->made;
        my $path = "/v1/sandboxes/$s->{id}";

        $crash->arm($point, 'stop');
        my $first = $crash->reach($point, sub {
            $t->begin('POST', "$path/hibernate");
        });
        my $worker = $crash->stopped_worker
            or return fail('a worker has stopped');
        $crash->persist(200, 'POST', "$path/hibernate");
        kill 'CONT', $worker;
        my $late = $t->end($first);
        ok($late->{status} == 200 || ($late->{json} // {})->{retryable},
           'who wakes late is told to repeat it') or diag($late->{body});

        is($crash->persist(200, 'GET', $path)->{json}{status}, 'paused',
           'it is paused');
        $crash->only_listed('and has no place on the node', $s->{id});
        $crash->persist(201, 'POST', "$path/resume");
        $crash->remembers($s->{id}, 'it is resumed with all it had');
        $crash->gone($s->{id});
    });
}

# --- a memory that is copied while its machine starts ------------------------

# The resident kB of the machine's memory file in its QEMU; -1 if it was not
# found.
sub resident {
    my ($id) = @_;

    for my $dir (glob '/proc/[0-9]*') {
        SandboxLeft::slurp("$dir/cmdline") =~ /guest=\Q$id\E,/ or next;
        my $maps = SandboxLeft::slurp("$dir/smaps");
        return $1 if $maps =~ m{/data/memory/\S+\.ram\n(?:\w.*\n)*?
                                Rss:\s+(\d+)\ kB}x;
    }
    return -1;
}

# How many memories are being copied.
sub drafts {
    return scalar(() = $t->inside('find', '/run/stack/data/memory', '-perm',
                                  '-1000', '-name', '*.ram') =~ /\n/g);
}

subtest('a machine looks into its memory when that is whole' => sub {
    $t->inside('sh', '-c', 'rm -f /run/stack/data/memory/boot_*.ram');
    $crash->arm('memory.copy.before', 'sleep 4000');

    my $http = SandboxHttp->new($t->{api});
    $http->send($http->format_request(
        'POST', '/v1/sandboxes',
        [Authorization => "Bearer $t->{key}",
         'Idempotency-Key' => SandboxTest::idem(),
         'Content-Type' => 'application/json'], json()->encode(\%body)));
    $crash->reached('memory.copy.before');

    my $new = '';
    wait_for(3, sub {
        ($new) = $t->domains;
        $new && $t->inside(qw(virsh -q -c qemu:///system domstate --reason),
                           $new) =~ /^paused \((?!starting)/;
    });
    my $resident = resident($new);

    is(drafts(), 1, 'it is not whole when the machine is there');
    is($resident, 0, 'of which nothing was read or written by then');
    my $r = $http->read_response;
    is($r->{status}, 201, 'then it goes on');
    is(drafts(), 0, 'with one that is whole');
    $crash->gone($new);
});

# --- fork --------------------------------------------------------------------

for my $point (@fork) {
    subtest("a fork killed at $point" => sub {
        my $s = $crash->made;
        my $id = $s->{id};
        my $key = SandboxTest::idem();

        $crash->arm($point, 'kill');
        my $r = $crash->persist(201, 'POST', "/v1/sandboxes/$id/fork",
                                idem => $key);
        $crash->reached($point);
        my $child = $r->{json}{id};
        $crash->only('there are two sandboxes', $id, $child);
        $crash->remembers($child, 'the child has all');
        $crash->remembers($id, 'the source as well');
        is($crash->persist(201, 'POST', "/v1/sandboxes/$id/fork",
                           idem => $key)->{body}, $r->{body},
           'a replay is the same answer');
        $crash->persist(200, 'DELETE', "/v1/sandboxes/$id");
        $crash->remembers($child, 'also without its source');
        $crash->gone($child);
    });
}

# --- snapshot ----------------------------------------------------------------

for my $i (0 .. (@snapshot > @delete ? $#snapshot : $#delete)) {
    my ($point, $delete) = ($snapshot[$i % @snapshot], $delete[$i % @delete]);

    subtest("a snapshot killed at $point, its end at $delete" => sub {
        my $s = $crash->made;
        my $id = $s->{id};
        my $key = SandboxTest::idem();

        $crash->arm($point, 'kill');
        my $r = $crash->persist(201, 'POST', "/v1/sandboxes/$id/snapshots",
                                idem => $key);
        $crash->reached($point);
        my $snapshot = $r->{json}{id};
        is_deeply($crash->ids('/v1/snapshots'), [$snapshot],
                  'there is one snapshot');
        $crash->remembers($id, 'the source goes on');

        my $other = $crash->persist(201, 'POST', '/v1/sandboxes',
                                json => { snapshot_id => $snapshot },
                                idem => SandboxTest::idem());
        $crash->remembers($other->{json}{id}, 'it can be started from');
        $crash->persist(200, 'DELETE', "/v1/sandboxes/$_")
            for $id, $other->{json}{id};

        $crash->arm($delete, 'kill');
        $crash->persist(200, 'DELETE', "/v1/snapshots/$snapshot");
        $crash->reached($delete);
        is_deeply($crash->ids('/v1/snapshots'), [], 'there is none left');
    });
}

# --- a state store that does not say whether it is over ------------------------

{
    my $s = $crash->made;
    my $path = "/v1/sandboxes/$s->{id}";

    $crash->arm('hibernate.pause.before', 'sleep 5000');
    my $http = $crash->reach('hibernate.pause.before', sub {
        $t->begin('POST', "$path/hibernate");
    });
    $t->stack('kill', 'redis', 'STOP');
    my $r = $t->end($http);
    $t->stack('kill', 'redis', 'CONT');
    $t->is_error($r, 503, 'state_store_unavailable',
                 'a hibernate whose outcome is not known');
    ok(wait_for(60, sub {
        ($t->get($path)->{json}{status} // '') eq 'paused'
    }), 'is over by itself');
    $crash->persist(200, 'DELETE', $path);
}

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
