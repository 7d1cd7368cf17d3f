#!/usr/bin/perl

# What happens to a create while it runs: the same request again, a delete, a
# client that goes away, a reload; and to an exec.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new;
my @made;

sub begin_create {
    my ($key) = @_;

    return $t->begin('POST', '/v1/sandboxes', body => '{"memory_mb":128}',
                     idem => $key);
}

sub end_create {
    my ($http) = @_;
    my $r = $t->end($http);

    push @made, $t->sandbox($r) if $r->{status} == 201;
    return $r;
}

sub creating {
    return (grep { $_->{status} eq 'creating' }
            @{ $t->list('/v1/sandboxes') })[0];
}

# --- the same request at once -----------------------------------------------

{
    my $key = SandboxTest::idem();
    my @c = map { begin_create($key) } 1 .. 8;
    my @r = map { end_create($_) } @c;

    is_deeply([map { $_->{status} } @r], [(201) x 8],
              'the same request at once, eight times');
    is(scalar(keys %{ { map { $_->{body} => 1 } @r } }), 1, 'has one answer');
    is(scalar(grep { $_->{headers}{'idempotent-replayed'} } @r), 7,
       'made once, joined seven times');
    is(scalar(@{ $t->list('/v1/sandboxes') }), 1, 'there is one');
}

# --- the first one fails -----------------------------------------------------

{
    my $key = SandboxTest::idem();

    $t->stack('stop', 'libvirtd');
    my @c = map { begin_create($key) } 1 .. 4;
    for my $r (map { end_create($_) } @c) {
        $t->is_error($r, 503, 'hypervisor_unavailable',
                     'who waited for it fails alike');
    }
    $t->stack('start', 'libvirtd');

    my $r;
    ok(wait_for(30, sub {
        $r = end_create(begin_create($key));
        $r->{status} == 201
    }), 'and the key is free');
    ok(!$r->{headers}{'idempotent-replayed'}, 'for a create of its own');
    @made = ();
}

# --- a delete ----------------------------------------------------------------

{
    my $c = begin_create(SandboxTest::idem());
    my $s = wait_for(10, \&creating);
    is(($s // {})->{status}, 'creating', 'a sandbox is seen being created');

    if ($s) {
        my $path = "/v1/sandboxes/$s->{id}";
        $t->is_error($t->post("$path/exec", json => { command => 'true' }),
                     409, 'sandbox_not_ready', 'exec is too early');
        $t->is_error($t->traffic($s->{id}, 8000, 'GET', '/'), 503,
                     'sandbox_changing', 'traffic too');
        is($t->delete($path)->{status}, 200, 'it is deleted');
        $t->is_error(end_create($c), 409, 'transition_in_progress',
                     'and its create says so');
        $t->is_error($t->get($path), 404, 'sandbox_not_found', 'it is gone');
    }
}

# The channel of a guest that has just been ended: libvirt 11.3 does not survive
# a message into it.
{
    my $messages = sub {
        my $log = do { local (@ARGV, $/) = "$t->{dir}/log/libvirtd.log"; <> };

        return scalar(() = $log =~ /cannot write to stream/g);
    };
    my $before = $messages->();
    my @ends;

    for my $ms (map { 10 * $_ } 0 .. 11) {
        my $c = begin_create(SandboxTest::idem());
        my $s = wait_for(10, \&creating) // last;

        sleep($ms / 1000);
        push @ends, $t->delete("/v1/sandboxes/$s->{id}")->{status};
        end_create($c);
    }

    is_deeply(\@ends, [(200) x 12], 'deleted at any moment of a create');
    is($messages->(), $before, 'no message is sent to a guest that has ended');
    @made = ();
}

# --- a client that goes away -------------------------------------------------

{
    my $key = SandboxTest::idem();
    my $c = begin_create($key);
    my $s = wait_for(10, \&creating);
    $c->abort;

    ok(wait_for(30, sub {
        $t->get("/v1/sandboxes/$s->{id}")->{json}{status} eq 'running'
    }), 'a create goes on without its client');
    my $r = end_create(begin_create($key));
    is(($r->{json} // {})->{id}, $s->{id}, 'who gets it by the same key');
    is($r->{headers}{'idempotent-replayed'}, 'true', 'as a replay');
    is($t->exec($s->{id}, 'echo ok')->{stdout}, "ok\n", 'and it works');
}

# --- a reload ----------------------------------------------------------------

{
    my $c = begin_create(SandboxTest::idem());
    wait_for(10, \&creating);
    $t->stack('reload', 'nginx');
    my $r = end_create($c);
    is($r->{status}, 201, 'a reload does not disturb a create')
        or diag($r->{body});
    ok(wait_for(30, sub { scalar($t->workers) == 2 }),
       'and the old workers end');
    is($t->exec($made[-1], 'echo ok')->{stdout}, "ok\n", 'it works')
        if $r->{status} == 201;
}

# --- what a long request keeps over a reload ---------------------------------

# How many connections to libvirt a process has.
sub libvirt_connections {
    my ($pid) = @_;
    my %own = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]/ ? ($1 => 1) : () }
              glob "/proc/$pid/fd/*";

    return scalar grep { m{/libvirt-sock \d+ \* (\d+)} && $own{$1} }
           map { s/ +/ /gr } split /\n/, $t->inside('ss', '-xH');
}

{
    my $s = pop @made;
    my @old = $t->workers;
    my $http = SandboxHttp->new($t->{api}, 60);
    my @auth = (Authorization => "Bearer $t->{key}");

    # one worker for both
    is($http->request('DELETE', "/v1/sandboxes/$made[0]{id}", [@auth])->{status},
       200, 'a worker ends a machine');
    $http->send($http->format_request(
        'POST', "/v1/sandboxes/$s->{id}/exec",
        [@auth, 'Content-Type' => 'application/json'],
        json->encode({ command => 'touch /tmp/on; until [ -e /tmp/off ]; '
                       . 'do sleep 0.1; done; echo on and off',
                       shell => JSON::PP::true })));
    is($t->exec($s, 'until [ -e /tmp/on ]; do sleep 0.1; done')->{exit_code},
       0, 'then it has a request that goes on');

    my $connections = 0;
    $connections += libvirt_connections($_) for @old;
    cmp_ok($connections, '>', 0, 'and there is a connection to libvirt');

    $t->stack('reload', 'nginx');
    my @left;
    ok(wait_for(20, sub {
        my %now = map { $_ => 1 } $t->workers;
        return keys %now == 3 && (@left = grep { $now{$_} } @old) == 1;
    }), 'it is left over by a reload');
    ok(wait_for(5, sub { @left && libvirt_connections($left[0]) == 0 }),
       'but keeps no connection to libvirt');
    is($t->exec($s, 'touch /tmp/off')->{exit_code}, 0, 'it may end');
    is($t->end($http)->{json}{stdout}, "on and off\n", 'and is answered');
    ok(wait_for(30, sub { scalar($t->workers) == 2 }), 'then the worker ends');
}

@made = ();
$t->finish;
