#!/usr/bin/perl

# Two nodes on one Redis: an idempotency key is one for all of them, and a
# DELETE reaches the node that has the sandbox.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new(own => 1);
my $socket = "$t->{dir}/data/node2.sock";

# The configuration of the stack for a second nginx: other node, other files.
sub second_conf {
    my $conf = SandboxLeft::slurp("$t->{dir}/etc/nginx.conf");

    $conf =~ s/sandbox_node [^;]+;/sandbox_node node2;/;
    $conf =~ s{^pid [^;]+;}{pid /run/node2.pid;}m;
    $conf =~ s{/var/log/nginx/}{/var/log/nginx/node2-}g;
    $conf =~ s{listen [^;]+default_server[^;]*;}
              {listen unix:/run/stack/data/node2.sock;};
    $conf =~ s/^\s*listen (?!unix)[^;]+;\n//mg;
    return $conf;
}

# With the runtime of the sanitizers, if the first one has it.
sub start_second {
    my %preload = map { $_ => 1 }
                  SandboxLeft::slurp('/proc/' . ($t->workers)[0] . '/maps')
                  =~ m{(/\S*/lib(?:asan|ubsan|tirpc)\.so\S*)}g;

    open(my $fh, '>', "$t->{dir}/data/node2.conf") or die $!;
    print $fh second_conf();
    close $fh;
    $t->inside('env', 'LD_PRELOAD=' . join(':', sort keys %preload),
               'ASAN_OPTIONS=detect_leaks=0',
               'nginx', '-c', '/run/stack/data/node2.conf');
}

# A request to the second node that is answered later: a handle for end().
sub begin {
    my ($method, $path, @args) = @_;

    open(my $fh, '-|', 'curl', '-s', '--unix-socket', $socket, '-X', $method,
         '-H', "Authorization: Bearer $t->{key}", '-w', "\n%{http_code}",
         @args, "http://node2$path") or die $!;
    return $fh;
}

sub end {
    my ($fh) = @_;
    my $text = do { local $/; <$fh> };
    my ($body, $status) = $text =~ /\A(.*)\n(\d+)\z/s;

    return { status => $status, body => $body,
             json => eval { json->decode($body) } };
}

sub both_create {
    my $key = SandboxTest::idem();
    my $body = '{"memory_mb":128}';
    my $second = begin('POST', '/v1/sandboxes', '-d', $body,
                       '-H', 'Content-Type: application/json',
                       '-H', "Idempotency-Key: $key");
    my $first = $t->post('/v1/sandboxes', body => $body, idem => $key);

    return ($first, end($second));
}

start_second();
ok(wait_for(10, sub { end(begin('GET', '/v1/sandboxes'))->{status} == 200 }),
   'a second node is up');

# --- one key, two nodes ------------------------------------------------------

my ($one, $two) = both_create();
is_deeply([$one->{status}, $two->{status}], [201, 201],
          'a create sent to both nodes');
is($one->{body}, $two->{body}, 'makes one sandbox');

my $s = $t->sandbox($one);
my $node = $t->redis('HGET', "sbx:{" . substr($s->{id}, 3, 2)
                             . "}:sandbox:$s->{id}", 'node');
like($node, qr/^(stack|node2)$/, 'that one of the nodes has');

# --- DELETE by the other node ------------------------------------------------

for my $by (1, 2) {
    my $d = $by == 1 ? $t->create({ memory_mb => 128 }) : $s;
    my $r = end(begin('DELETE', "/v1/sandboxes/$d->{id}"));

    is($r->{status}, 200, "a DELETE sent to the second node ($by)")
        or diag($r->{body});
    ok(!grep({ $_ eq $d->{id} } $t->domains), 'is answered when it is gone');
    $t->is_error($t->get("/v1/sandboxes/$d->{id}"), 404, 'sandbox_not_found',
                 'on the first one too');
}

my $s1 = $t->create({ memory_mb => 128 });
my @deletes = map { begin('DELETE', "/v1/sandboxes/$s1->{id}") } 1 .. 4;
is_deeply([map { end($_)->{status} } @deletes], [(200) x 4],
          'four at once are all answered');
is(scalar($t->domains), 0, 'and nothing is left');

$t->inside('sh', '-c', 'kill -QUIT $(cat /run/node2.pid)');
ok(wait_for(30, sub { !-e $socket || 2 == $t->workers }),
   'the second node ends');
unlink("$t->{dir}/data/node2.conf");
$t->finish;
