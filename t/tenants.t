#!/usr/bin/perl

# What belongs to one tenant does not exist for another.

use FindBin;
use lib "$FindBin::Bin/lib";
use lib "$FindBin::Bin/../scripts/lib";
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use SandboxTest;
use StackConf qw(write_file);

my $t = SandboxTest->new;
my %key = map { $_ => $t->key($_) } qw(red blue);
my $idem = SandboxTest::idem();

my $red = $t->create({ memory_mb => 128 }, key => $key{red}, idem => $idem)
    or $t->finish, exit;
my $id = $red->{id};

$t->is_error($t->get("/v1/sandboxes/$id", key => $key{blue}), 404,
             'sandbox_not_found', 'get');
$t->is_error($t->post("/v1/sandboxes/$id/exec", key => $key{blue},
                      json => { command => 'true' }), 404,
             'sandbox_not_found', 'exec');
$t->is_error($t->delete("/v1/sandboxes/$id", key => $key{blue}), 404,
             'sandbox_not_found', 'delete');
is_deeply($t->get('/v1/sandboxes', key => $key{blue})->{json}, [], 'list');

is($t->get("/v1/sandboxes/$id", key => $key{red})->{status}, 200,
   'the owner still has it');
is($t->exec($red, 'echo mine', key => $key{red})->{stdout}, "mine\n",
   'and it runs');

# the same text, another tenant: another scope of idempotency keys
my $blue = $t->create({ memory_mb => 128 }, key => $key{blue},
                      idem => $idem);
if ($blue) {
    isnt($blue->{id}, $id, 'idempotency keys are a tenant\'s own');
    is_deeply($t->ids('/v1/sandboxes', key => $key{blue}), [$blue->{id}],
              'each sees its own');
    is_deeply($t->ids('/v1/sandboxes', key => $key{red}), [$id],
              'and only that');
}

# two keys of one tenant
my $second = $t->inside("$SandboxTest::top/scripts/sandbox-key", 'create',
                        '--tenant', 'red');
chomp $second;
is($t->get("/v1/sandboxes/$id", key => $second)->{status}, 200,
   'another key of the tenant is as good');

# the longest name, and a longer one, which sandbox-key does not make
my $long = $t->create({ memory_mb => 128 }, key => $t->key('x' x 64));
if ($long) {
    is_deeply($t->ids('/v1/sandboxes', key => $t->key('x' x 64)), [$long->{id}],
              'a tenant with a name of 64 characters has its sandbox');
    is($t->exec($long, 'echo mine', key => $t->key('x' x 64))->{stdout},
       "mine\n", 'which runs');
}

my ($longer) = $t->redis('KEYS', '*key:' . sha256_hex($t->key('longer')));
$t->redis('HSET', $longer, 'tenant', 'x' x 65);
is($t->get('/v1/sandboxes', key => $t->key('longer'))->{status}, 401,
   'one of 65 characters is refused');

# revocation, also when Redis gives a key twice, as SCAN may
my $twice = tempdir(CLEANUP => 1);
write_file("$twice/redis-cli", <<'END');
#!/bin/sh
case " $* " in *" --scan "*) /usr/bin/redis-cli "$@" || exit 1 ;; esac
exec /usr/bin/redis-cli "$@"
END
chmod 0755, "$twice/redis-cli";
$t->inside('env', "PATH=$twice:$ENV{PATH}",
           "$SandboxTest::top/scripts/sandbox-key", 'revoke', $second);
ok(wait_for(10, sub {
    $t->get('/v1/sandboxes', key => $second)->{status} == 401
}), 'a revoked key is refused within seconds');

undef $red;
$t->is_error($t->delete("/v1/sandboxes/$id", key => $key{blue}), 404,
             'sandbox_not_found', 'delete of what the owner has destroyed');
is($t->delete("/v1/sandboxes/$id", key => $key{red})->{status}, 200,
   'which the owner may repeat');

$t->finish;
