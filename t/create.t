#!/usr/bin/perl

# A sandbox from its create to its end.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new;
my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

sub milliseconds {
    my ($text) = @_;
    my ($y, $mon, $d, $h, $m, $s, $ms) = $text =~ /(\d+)/g;

    require Time::Local;
    return Time::Local::timegm($s, $m, $h, $d, $mon - 1, $y) * 1000 + $ms;
}

# --- with defaults -----------------------------------------------------------

my $plain = $t->create({}) or $t->finish, exit;
my $r = $plain->{response};
my $o = $plain->{json};

is($r->{headers}{location}, "/v1/sandboxes/$o->{id}", 'Location');
like($r->{headers}{'content-type'}, qr{^application/json}, 'content type');
is_deeply([sort keys %$o],
          [sort qw(id status config template created_at metadata started_at
                   timeout_ms timeout_at expires_at timeout_action
                   traffic_access_token)], 'members');
like($o->{id}, qr/^sb_[a-z0-9]{16,}$/, 'id');
is($o->{status}, 'running', 'status');
is_deeply($o->{config}, { vcpus => 1, memory_mb => 256,
                          disk_mb => $o->{config}{disk_mb} }, 'config');
cmp_ok($o->{config}{disk_mb}, '>=', 512, 'the disk has the template\'s size');
is($o->{template}, 'base', 'template');
is_deeply($o->{metadata}, {}, 'metadata');
is($o->{timeout_ms}, 300000, 'timeout_ms');
is($o->{timeout_action}, 'destroy', 'timeout_action');
like($o->{$_}, $time, $_) for qw(created_at started_at timeout_at expires_at);
is($o->{expires_at}, $o->{timeout_at}, 'expires_at is timeout_at');
is(milliseconds($o->{timeout_at}) - milliseconds($o->{started_at}), 300000,
   'the lifetime counts from started_at');
cmp_ok(milliseconds($o->{created_at}), '<=', milliseconds($o->{started_at}),
       'created before started');
cmp_ok(abs(milliseconds($o->{started_at}) - time() * 1000), '<', 60000,
       'the clock is right');
cmp_ok(length $o->{traffic_access_token}, '>=', 22,
       'the token has room for 128 bits');
like($r->{body}, qr/"vcpus":1\b/, 'numbers are numbers');
diag('Server-Timing: ', $r->{headers}{'server-timing'} // 'none');

my $e = $t->exec($plain, ['python3', '-c', 'print(6*7)']);
is($e->{stdout}, "42\n", "python3 -c 'print(6*7)'");
is($e->{exit_code}, 0, 'its exit code');
is($t->exec($plain, 'pwd')->{stdout}, "/workspace\n",
   'the working directory is the template\'s');
(my $hostname = $plain->{id}) =~ tr/_/-/;
is($t->exec($plain, 'hostname')->{stdout}, "$hostname\n", 'the host name');
is($t->exec($plain, 'cat /proc/net/if_inet6')->{stdout} =~ tr/\n//, 1,
   'IPv6 over loopback alone');
cmp_ok(abs($t->exec($plain, 'date +%s')->{stdout} - time()), '<', 5,
       'the guest\'s clock');
is($t->exec($plain, 'nproc')->{stdout}, "1\n", 'one CPU');
my ($total) = $t->exec($plain, 'cat /proc/meminfo')->{stdout}
              =~ /^MemTotal:\s+(\d+)/m;
ok($total > 150 * 1024 && $total <= 256 * 1024, "memory: $total KiB");
for my $program (qw(bash python3 curl git)) {
    is($t->exec($plain, "command -v $program")->{exit_code}, 0,
       "there is $program");
}

# --- with everything ---------------------------------------------------------

my $metadata = '{"z": 1.10,  "a":[1e3, 12345678901234567890, null],'
             . '"\u00e9\/":"\"\\\\\u20ac", "nested":{"b":true,"a":{}}}';
my $text = '{"vcpus":2,"memory_mb":384,"disk_mb":3072,"timeout_ms":120000,'
         . '"template":"base","timeout_action":"destroy","auto_resume":false,'
         . '"envs":{"GREETING":"hello \u00e9\n$HOME \'x\'","EMPTY":""},'
         . '"cwd":"/tmp//a/../","internet_access":true,"volumes":[],'
         . '"network":{"allow_public_traffic":true,"allow_out":[]},'
         . '"lifecycle":{"on_timeout":"destroy"},"desktop":null,'
         . '"warm_pool":{"mode":"bypass"},"metadata":' . $metadata . '}';
$r = $t->post('/v1/sandboxes', body => $text);
is($r->{status}, 201, 'a create with all members') or diag($r->{body});
my $full = $t->sandbox($r);
$o = $full->{json};

is_deeply($o->{config}, { vcpus => 2, memory_mb => 384, disk_mb => 3072 },
          'its config');
is($o->{cwd}, '/tmp', 'cwd is normalised');
is($o->{timeout_ms}, 120000, 'timeout_ms');
ok(index($r->{body}, "\"metadata\":$metadata") > 0,
   'metadata comes back verbatim');
isnt($o->{traffic_access_token}, $plain->{json}{traffic_access_token},
     'tokens differ');
is($t->exec($full, 'pwd')->{stdout}, "/tmp\n", 'it is the cwd of commands');
is($t->exec($full, 'printf %s "$GREETING"; echo "[${EMPTY-unset}]"')->{stdout},
   "hello \x{e9}\n\$HOME 'x'[]\n", 'envs');
is($t->exec($full, 'nproc')->{stdout}, "2\n", 'two CPUs');
my ($size) = $t->exec($full, 'df -BM --output=size / | tail -n 1')->{stdout}
             =~ /(\d+)/;
cmp_ok($size // 0, '>', 2700, "the root file system has grown: $size MB");
is($t->exec($full, 'dd if=/dev/zero of=/big bs=1M count=8 status=none && '
                   . 'sync && rm /big')->{exit_code}, 0, 'and can be written');

# --- apart from each other ---------------------------------------------------

isnt($t->exec($plain, 'head -c 16 /dev/urandom | od -An -tx1')->{stdout},
     $t->exec($full, 'head -c 16 /dev/urandom | od -An -tx1')->{stdout},
     'randomness differs');
isnt($t->exec($plain, 'hostname -I')->{stdout},
     $t->exec($full, 'hostname -I')->{stdout}, 'addresses differ');
$t->exec($full, 'touch /only-here');
is($t->exec($plain, 'test -e /only-here')->{exit_code}, 1,
   'files of one are not seen by the other');
my ($address) = $t->exec($full, 'hostname -I')->{stdout} =~ /^(\S+)/;
isnt($t->exec($plain, "curl -s -m 3 http://$address:891/")->{exit_code}, 0,
     'and neither reaches the other');

# --- get and list ------------------------------------------------------------

$r = $t->get("/v1/sandboxes/$full->{id}");
is($r->{status}, 200, 'get');
my %expected = %$o;
delete $expected{traffic_access_token};
is_deeply($r->{json}, \%expected, 'gives the object without its token');
ok(index($r->{body}, "\"metadata\":$metadata") > 0, 'metadata verbatim');

(my $dashed = $full->{id}) =~ tr/_/-/;
is($t->get("/v1/sandboxes/$dashed")->{json}{id}, $full->{id},
   'the id with a hyphen');

$r = $t->get('/v1/sandboxes');
is($r->{status}, 200, 'list');
is(ref $r->{json}, 'ARRAY', 'is a bare array');
my @ids = map { $_->{id} } @{ $r->{json} };
is_deeply([grep { $_ eq $plain->{id} || $_ eq $full->{id} } @ids],
          [$full->{id}, $plain->{id}], 'newest first');
is_deeply((grep { $_->{id} eq $full->{id} } @{ $r->{json} })[0], \%expected,
          'of the same objects');

is_deeply([grep { $_ ne '' } $t->domains] > 1, 1, 'libvirt has the domains');

# --- the end -----------------------------------------------------------------

my $id = $full->{id};
for my $n ('first', 'second') {
    $r = $t->delete("/v1/sandboxes/$id");
    is($r->{status}, 200, "the $n delete");
    is_deeply($r->{json}, { id => $id, status => 'destroyed' }, 'its answer');
}
$t->is_error($t->get("/v1/sandboxes/$id"), 404, 'sandbox_not_found',
             'get afterwards');
$t->is_error($t->post("/v1/sandboxes/$id/exec", json => { command => 'true' }),
             404, 'sandbox_not_found', 'exec afterwards');
is_deeply([grep { $_->{id} eq $id } @{ $t->list('/v1/sandboxes') }], [],
          'the list is without it');
is($t->get("/v1/sandboxes/$plain->{id}")->{status}, 200,
   'the other one is still there');

# --- a lifetime --------------------------------------------------------------

my $short = $t->create({ timeout_ms => 3000, memory_mb => 128 });
if ($short) {
    my $end = milliseconds($short->{json}{timeout_at}) / 1000;
    ok(wait_for(30, sub {
        $t->get("/v1/sandboxes/$short->{id}")->{status} == 404
    }), 'a sandbox ends with its lifetime');
    cmp_ok(time(), '>=', $end - 0.1, 'not before');
    cmp_ok(time(), '<', $end + 10, 'and not long after');
}

$t->finish;
