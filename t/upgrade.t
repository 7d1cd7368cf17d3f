#!/usr/bin/perl

# nginx is upgraded in place (USR2, then QUIT) while sandboxes are created: what
# is under way is finished and answered by the old workers.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxNginx;
use SandboxTest;

my $t = SandboxTest->new(own => 1);
my $nginx = SandboxNginx->new($t, 'upgraded');
my $body = '{"memory_mb":128}';

ok(wait_for(10, sub { $nginx->answers }), 'a daemon is up');
my $before = $nginx->pid;

# the shape's first create boots its template: there is time enough
my $key = SandboxTest::idem();
my $first = $nginx->begin_create($key, $body);
ok(wait_for(10, sub {
    my $list = $t->get('/v1/sandboxes')->{json};
    ref $list eq 'ARRAY' && grep { $_->{status} eq 'creating' } @$list
}), 'a sandbox is being created');

$nginx->signal('USR2');
ok(wait_for(20, sub {
    my ($new, $old) = ($nginx->pid, $nginx->pid(1));
    $new && $old && $new ne $old && $old eq $before
}), 'a new master runs beside the old one');

$nginx->signal('QUIT', 1);
my $second = $nginx->begin_create($key, $body);
my @r = map { $nginx->end($_) } $first, $second;
is($r[0]{status}, 201, 'the create is answered') or diag($r[0]{body});
is($r[1]{body}, $r[0]{body}, 'who asks the new workers gets the same');
ok(wait_for(30, sub { !$nginx->pid(1) }), 'the old master ends');

my $s = $t->sandbox($r[0]);
is($nginx->exec($s->{id}, 'echo', 'ok')->{stdout}, "ok\n",
   'the sandbox works');
is($nginx->end($nginx->begin('DELETE', "/v1/sandboxes/$s->{id}"))->{status},
   200, 'the new workers delete it');

$nginx->stop;
ok(wait_for(30, sub { 2 == $t->workers }), 'the daemon ends');
$t->finish;
