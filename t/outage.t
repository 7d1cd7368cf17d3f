#!/usr/bin/perl

# Redis or libvirtd away: honest answers at once, and no restart afterwards.

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use IO::Socket::UNIX;
use SandboxNginx;
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--set', 'sandbox_lease=5s']);
my $s = $t->create({ timeout_ms => 3600000 }) or $t->finish, exit;
my $id = $s->{id};
my $r;

ok($t->serve($s, 8000, "import http.server as h\n"
    . "h.test(h.SimpleHTTPRequestHandler, port=8000)\n"), 'a server');

sub works {
    my ($name) = @_;

    return subtest($name => sub {
        is($t->get("/v1/sandboxes/$id")->{status}, 200, 'get');
        is($t->exec($s, 'echo 1')->{stdout}, "1\n", 'exec');
        is($t->traffic($s, 8000, 'GET', '/')->{status}, 200, 'traffic');
    });
}

# Which worker answers is not ours to choose, and each finds Redis again by
# itself: no refusal for longer than the longest backoff (2 s) means all have.
sub all_workers_find_redis {
    my $since;

    return wait_for(20, sub {
        if ($t->get('/v1/sandboxes')->{status} != 200) {
            undef $since;
            return 0;
        }

        $since //= time();
        return time() - $since > 3.5;
    });
}

works('before');

# --- Redis -------------------------------------------------------------------

for my $how ('killed', 'stopped') {
    if ($how eq 'killed') {
        $t->stack('kill', 'redis');
    } else {
        $t->stack('kill', 'redis', 'STOP');
    }

    # a stopped one is noticed by the time limit of commands (1s)
    my $bound = $how eq 'killed' ? 0.5 : 3;

    for (['create', sub { $t->post('/v1/sandboxes', json => {}) }],
         ['get', sub { $t->get("/v1/sandboxes/$id") }],
         ['list', sub { $t->get('/v1/sandboxes') }],
         ['delete', sub { $t->delete("/v1/sandboxes/$id") }],
         ['exec', sub { $t->post("/v1/sandboxes/$id/exec",
                                 json => { command => 'true' }) }],
         ['a key that is not cached',
          sub { $t->get('/v1/sandboxes', key => 'ns_live_' . 'x' x 40) }]) {
        my ($name, $code) = @$_;
        $r = $code->();
        $t->is_error($r, 503, 'state_store_unavailable',
                     "Redis is $how: $name");
        cmp_ok($r->{seconds}, '<', $bound, 'at once');
    }

    $r = $t->get('/healthz');
    is($r->{status}, 200, 'a plain location is not touched');
    cmp_ok($r->{seconds}, '<', 0.5, 'nor slow');

    $r = $t->traffic('sb_aaaaaaaaaaaaaaaaaaaa', 8000, 'GET', '/');
    $t->is_error($r, 503, 'state_store_unavailable', 'traffic to who knows');

    if ($how eq 'killed') {
        $t->stack('start', 'redis');
    } else {
        $t->stack('kill', 'redis', 'CONT');
    }

    my $began = time();
    ok(wait_for(15, sub { $t->get('/v1/sandboxes')->{status} == 200 }),
       'it is found again');
    diag(sprintf 'Redis %s: found again after %.1f s', $how, time() - $began);
    ok(all_workers_find_redis(), 'by the other workers too');
    works("after Redis was $how");
}

# --- Redis goes away during a create -----------------------------------------

{
    my $http = SandboxHttp->new($t->{api}, 120);
    my $key = SandboxTest::idem();
    my @headers = (Authorization => "Bearer $t->{key}",
                   'Content-Type' => 'application/json',
                   'Idempotency-Key' => $key);

    $http->send($http->format_request('POST', '/v1/sandboxes', \@headers,
                                      '{"memory_mb":128}'));
    ok(wait_for(20, sub { scalar($t->domains) == 2 }), 'a create has begun');
    $t->stack('kill', 'redis');
    $r = $http->read_response // { status => 0, body => '' };
    is($r->{status}, 503, 'Redis is killed meanwhile: 503')
        or diag($r->{body});
    $t->stack('start', 'redis');
    all_workers_find_redis();

    # "try again with the same key": a join, a replay or one anew
    my $again;
    ok(wait_for(60, sub {
        $again = $t->post('/v1/sandboxes', body => '{"memory_mb":128}',
                          idem => $key);
        $again->{status} == 201
    }), 'the same request succeeds later') or diag($again->{body});

    if ($again->{status} == 201) {
        my $made = $t->sandbox($again);
        is($t->exec($made, 'echo 1')->{stdout}, "1\n", 'and gives one');
        ok(wait_for(60, sub { scalar($t->domains) == 2 }),
           'one and no more') or diag(join ' ', $t->domains);
    }
}

# --- Redis refuses writes ----------------------------------------------------

{
    my $errors = 'sandbox_redis_errors_total';
    my $short = $t->create({ memory_mb => 128, timeout_ms => 8000 });
    my $due = time() + 8;
    my $mark = $t->log_mark;
    my $before = $t->metric($errors);

    is($t->redis('CONFIG', 'SET', 'maxmemory', 1), 'OK', 'Redis is full');
    $t->is_error($t->delete("/v1/sandboxes/$id"), 503,
                 'state_store_unavailable', 'a delete is a write');
    ok(wait_for(5, sub {
        $t->log_text($mark)
            =~ /\[error\] .*: redis \S+ refuses a command: OOM command not/
    }), 'the log says what Redis says');
    works('what runs goes on');
    sleep 0.1 while time() < $due + 3;
    ok(scalar(grep { $_ eq $short->{id} } $t->domains),
       'a deadline ends nothing');
    is($t->metric('sandbox_redis_connected{worker="0",link="commands"}'), 1,
       'while the connection stands');
    cmp_ok($t->metric($errors) - $before, '>', 5, 'the refusals are counted');
    my $lines = () = $t->log_text($mark) =~ /refuses a command/g;
    cmp_ok($lines, '<=', scalar($t->workers), 'and not logged each');

    is($t->redis('CONFIG', 'SET', 'maxmemory', 0), 'OK', 'it has room again');
    ok(wait_for(15, sub {
        !grep { $_ eq $short->{id} } $t->domains
    }), 'the deadline is made up for');
    my $after = $t->metric($errors);
    sleep 1.5;
    is($t->metric($errors), $after, 'and nothing is refused');
    works('after it');
}

# --- Redis says what no script says ------------------------------------------

# Between Redis and a node: while $odd exists, an outcome is another word.
sub relay {
    my ($path, $odd) = @_;
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 64)
        or die "$path: $!";
    my $from = $t->redis_socket;

    chmod 0777, $path;
    defined(my $pid = fork) or die "fork: $!";
    return SandboxTest::guard(sub {
        kill KILL => $pid;
        waitpid $pid, 0;
        unlink $path;
    }) if $pid;

    my $select = IO::Select->new($listener);
    my %to;

    for (;;) {
        for my $socket ($select->can_read) {
            if ($socket == $listener) {
                my $node = $listener->accept;
                my $redis = IO::Socket::UNIX->new(Peer => $from);

                @to{$node, $redis} = ({ to => $redis }, { to => $node, odd => 1 });
                $select->add($node, $redis);
                next;
            }

            next if !$socket->opened;       # the other end has just gone

            my ($way, $bytes) = $to{$socket};

            if (!sysread($socket, $bytes, 65536)) {
                $select->remove($socket, $way->{to});
                close $_ for $socket, $way->{to};
                next;
            }

            $bytes =~ s/^\$4\r\n(?:none|wait)\r$/\$4\r\nwhat\r/mg
                if $way->{odd} && -e $odd;
            syswrite($way->{to}, $bytes);
        }
    }
}

{
    my $data = "$t->{dir}/data";
    my $odd = "$data/odd";
    my $relay = relay("$data/relay.sock", $odd);
    my $agenda = 'sbx:{told}:agenda';

    # all nodes have the bridge's subnet: this one begins where no other comes
    $t->redis('SET', 'sbx:{told}:cursor', 1000);

    my $node = SandboxNginx->new(
        $t, 'told', sandbox_redis => 'unix:/run/stack/data/relay.sock');
    ok(wait_for(10, sub { $node->answers }), 'a node that is told odd things');
    my $made = $node->end($node->begin_create(
        SandboxTest::idem(), '{"memory_mb":128,"timeout_ms":3600000}'))->{json};
    my $one = $made->{id} // '';
    my $deadline = $t->redis('ZSCORE', $agenda, $one);
    my $log = sub { SandboxLeft::slurp("$t->{dir}/log/told-error.log") };

    open(my $fh, '>', $odd) or die "$odd: $!";
    close $fh;
    $t->redis('ZADD', $agenda, 1, $one);
    ok(wait_for(10, sub {
        $log->() =~ /\[error\] .*\Q$one\E: claim\.lua gave the unknown outcome "what"/
    }), 'it says what it was told of one that was due');
    my $gone = $node->end($node->begin(
        'DELETE', '/v1/sandboxes/sb_aaaaaaaaaaaaaaaaaaaa'));
    is($gone->{status}, 503, 'a DELETE of one, of which it is told such a thing');
    is($gone->{json}{code}, 'state_store_unavailable', 'is to be repeated');
    sleep 2;
    ok(scalar(grep { $_ eq $one } $t->domains), 'and ends nothing for that');

    unlink $odd;
    ok(wait_for(15, sub { $t->redis('ZSCORE', $agenda, $one) eq $deadline }),
       'what was due is looked at again, and has its deadline');
    is($node->exec($one, 'echo', 'ok')->{stdout}, "ok\n", 'it runs');
    is($node->end($node->begin('DELETE', "/v1/sandboxes/$one"))->{status}, 200,
       'and ends when it is to');
    $node->stop;
}

# --- libvirtd ----------------------------------------------------------------

$t->stack('kill', 'libvirtd');
$r = $t->post('/v1/sandboxes', json => { memory_mb => 128 });
$t->is_error($r, 503, 'hypervisor_unavailable', 'libvirtd is killed: create');
cmp_ok($r->{seconds}, '<', 10, 'soon');
$t->is_error($t->post("/v1/sandboxes/$id/hibernate"), 503,
             'hypervisor_unavailable', 'hibernate');
works('what runs goes on');
is_deeply($t->ids('/v1/sandboxes'), [$id],
          'nothing is listed that is not there');
ok(wait_for(20, sub { $t->metric('sandbox_hypervisor_away') }),
   'a metric says that libvirt is away');
is($t->metric('sandbox_lost_total'), 0, 'no sandbox is taken for lost');

$t->stack('start', 'libvirtd');
{
    my $new;
    ok(wait_for(30, sub {
        my $r = $t->post('/v1/sandboxes', json => { memory_mb => 128 });
        $new = $t->sandbox($r) if $r->{status} == 201;
        $new
    }), 'libvirtd is back: create');
    is($t->exec($new, 'echo 1')->{stdout}, "1\n", 'works') if $new;
}
works('and so does what ran before');
ok(wait_for(20, sub { $t->get('/metrics')->{body}
                          =~ /^sandbox_hypervisor_away 0$/m }),
   'libvirt is not away');

# --- a delete that libvirtd cannot do now ------------------------------------

{
    my $doomed = $t->create({ memory_mb => 128 });

    if ($doomed) {
        my $name = $doomed->{id};
        $t->stack('kill', 'libvirtd');
        $r = $t->delete("/v1/sandboxes/$name");
        like($r->{status}, qr/^(200|503)$/, 'a delete without libvirtd');
        $t->stack('start', 'libvirtd');
        if ($r->{status} == 200) {
            $t->is_error($t->get("/v1/sandboxes/$name"), 404,
                         'sandbox_not_found', 'what was deleted is gone');
        } else {
            is($t->delete("/v1/sandboxes/$name")->{status}, 200,
               'it is done when repeated');
        }
        my $began = time();
        ok(wait_for(40, sub { scalar($t->domains) == 1 }),
           'the domain ends when libvirtd is back')
            or diag("$name still is, of ", join ' ', $t->domains);
        diag(sprintf 'a delete without libvirtd: done %.1f s after its return',
             time() - $began);
    }
}

# --- libvirtd hangs ----------------------------------------------------------

{
    $t->stack('kill', 'libvirtd', 'STOP');
    my $began = time();
    $r = $t->post('/v1/sandboxes', json => { memory_mb => 128 },
                  timeout => 180);
    is($r->{status}, 503, 'libvirtd hangs: create') or diag($r->{body});
    diag(sprintf 'a hanging libvirtd: answered after %.1f s',
         time() - $began);
    cmp_ok(time() - $began, '<', 70, 'within the boot timeout');
    works('what runs goes on');
    $t->stack('kill', 'libvirtd', 'CONT');

    my $new;
    ok(wait_for(60, sub {
        my $r = $t->post('/v1/sandboxes', json => { memory_mb => 128 });
        $new = $t->sandbox($r) if $r->{status} == 201;
        $new
    }), 'it goes on: create');
}

$t->finish;
