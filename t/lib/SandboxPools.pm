package SandboxPools;

# Warm pools of a test's stack: made, and waited for.  Tests of it are tests of
# who calls.

use strict;
use warnings;
use JSON::PP;
use Test::More;
use SandboxTest ();

use constant ROOT => '/v1/template-warm-pools';


# SandboxPools->new($test, key => $key, patience => $seconds): with another API
# key than the test's own; waiting that long, 90 if it is not said.
sub new {
    my ($class, $test, %o) = @_;

    return bless { test => $test, patience => 90, %o }, $class;
}


# A request to the path below the root.
sub request {
    my ($self, $method, $path, %o) = @_;

    return $self->{test}->request($method, ROOT . $path,
                                  exists $self->{key} ? (key => $self->{key})
                                                      : (), %o);
}


# The id of a pool of small machines, of which none is to be ready, or as the
# members say.
sub make {
    my ($self, $name, %members) = @_;
    my $r = $self->request('POST', '', json => {
        name => $name, template_ref => 'base', min_ready => 0,
        resources => { memory_mb => 128 }, %members });

    is($r->{status}, 201, "a pool \"$name\"") or BAIL_OUT($r->{body});
    return $r->{json}{id};
}


sub status {
    my ($self, $pool) = @_;

    return $self->request('GET', "/$pool/status")->{json} // {};
}


# Waits until the status of the pool has these values, compares them, and gives
# it.  In place of the pool: code that gets the status.
sub becomes {
    my ($self, $name, $pool, %want) = @_;
    my $is = {};

    SandboxTest::wait_for($self->{patience}, sub {
        $is = ref $pool ? $pool->() : $self->status($pool);
        !grep { ($is->{$_} // '') ne $want{$_} } keys %want;
    });
    is_deeply({ map { $_ => $is->{$_} // '' } keys %want }, \%want, $name)
        or diag(JSON::PP->new->canonical->encode($is));
    return $is;
}

1;
