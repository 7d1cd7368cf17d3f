#!/usr/bin/perl

# What happens to a create while it runs: the same request again, a delete, a
# client that goes away, a reload.

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
            @{ $t->get('/v1/sandboxes')->{json} })[0];
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
    is(scalar(@{ $t->get('/v1/sandboxes')->{json} }), 1, 'there is one');
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

@made = ();
$t->finish;
