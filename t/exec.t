#!/usr/bin/perl

# Commands in a sandbox, in the foreground.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new;
my $s = $t->create({ envs => { A => 'sandbox', B => 'sandbox' } })
    or $t->finish, exit;
my $path = "/v1/sandboxes/$s->{id}/exec";
my $r;

# --- answers -----------------------------------------------------------------

$r = $t->post($path, json => { command => 'echo', args => ['a b', '$A', ''] });
is($r->{status}, 200, 'exec');
like($r->{headers}{'x-request-id'}, qr/^req_/, 'has a request id');
like($r->{headers}{'content-type'}, qr{^application/json}, 'is JSON');
is($r->{json}{stdout}, "a b \$A \n", 'arguments are passed as they are');
is($r->{json}{stderr}, '', 'stderr');
is($r->{json}{exit_code}, 0, 'exit_code');
cmp_ok($r->{json}{pid}, '>', 1, 'pid');

my $e = $t->exec($s, 'echo out; echo err >&2; exit 7');
is_deeply([@$e{qw(stdout stderr exit_code)}], ["out\n", "err\n", 7],
          'streams and the exit code');
$e = $t->exec($s, 'kill -9 $$');
is_deeply([@$e{qw(exit_code signal)}], [137, 'KILL'], 'a signal');
ok(!exists $t->exec($s, 'exit 137')->{signal}, 'an exit code that looks so');
like($t->exec($s, ['/no/such/program'])->{exit_code}, qr/^12[67]$/,
     'a program that is not there');
is($t->exec($s, 'cat')->{stdout}, '', 'stdin is empty');
is($t->exec($s, 'cat', stdin => "a \x{20ac}\n")->{stdout}, "a \x{20ac}\n",
   'stdin as text');
is($t->exec($s, ['od', '-An', '-tx1'], stdin_base64 => 'AP8K')->{stdout},
   " 00 ff 0a\n", 'and as bytes');
is($t->exec($s, 'wc -c', stdin => 'x' x 500_000)->{stdout}, "500000\n",
   'much of it');
is($t->exec($s, 'true', stdin => 'x' x 500_000)->{exit_code}, 0,
   'that need not be read');
$e = $t->exec($s, 'printf "\000\377"; printf ok >&2', encoding => 'base64');
is_deeply([@$e{qw(stdout_base64 stderr)}], ['AP8=', 'ok'],
          'output that is no text, as bytes');
ok(!exists $e->{stdout}, 'in place of text');
is($t->exec($s, 'printf "\303\251\342\202\254\377"')->{stdout},
   "\x{e9}\x{20ac}\x{fffd}", 'UTF-8, and what is none');
is($t->exec($s, 'printf "\000\001\177"')->{stdout}, "\0\1\177",
   'control characters');
is($t->exec($s, 'id -un')->{stdout}, "root\n", 'the user');

# --- other spellings of a route ----------------------------------------------
# The agent is asked for what was routed, not for what the client wrote.

for (['POST', "/$path"], ['POST', "/v1/./sandboxes/$s->{id}//exec"],
     ['POST', "/v1/x/../sandboxes/$s->{id}/%65xec"]) {
    my ($method, $spelled) = @$_;
    $r = $t->request($method, $spelled, json => { command => 'echo' });
    is("$r->{status} " . ($r->{json}{stdout} // ''), "200 \n", $spelled);
}

for ("/v1/sandboxes//$s->{id}/processes", "//v1/sandboxes/$s->{id}/processes?",
     "/v1/sandboxes/$s->{id}//processes#x") {
    is($t->get($_)->{status}, 200, "GET $_");
}

# --- environment -------------------------------------------------------------

is($t->exec($s, 'echo $A $B $C', envs => { B => 'request', C => 'c' })
   ->{stdout}, "sandbox request c\n", 'envs of the sandbox and the request');
is($t->exec($s, 'echo $A $B $C')->{stdout}, "sandbox sandbox\n",
   'those of a request are its own');
is($t->exec($s, 'pwd', cwd => '/usr//lib/../bin')->{stdout}, "/usr/bin\n",
   'cwd');
is($t->exec($s, 'pwd', cwd => undef)->{stdout}, "/workspace\n", 'cwd null');
like($t->exec($s, 'echo $HOME:$PATH')->{stdout}, qr{^/root:.*/usr/bin},
     'HOME and PATH');
is($t->exec($s, 'ls -l /proc/self/fd | grep -c ":"')->{exit_code} >= 0, 1,
   'descriptors');
unlike($t->exec($s, 'ls -l /proc/$$/fd')->{stdout}, qr/socket:|virtio|vport/,
       'nothing of the agent is inherited');
unlike($t->exec($s, 'env')->{stdout}, qr/token|ns_live/i,
       'no secret in the environment');

# --- refusals ----------------------------------------------------------------

for (['command', {}], ['command', { command => '' }],
     ['command', { command => 5 }],
     ['args', { command => 'a', args => 'b' }],
     ['args[0]', { command => 'a', args => [1] }],
     ['envs.A', { command => 'a', envs => { A => 1 } }],
     ['args', { command => 'a', args => ['b'], shell => JSON::PP::true }],
     ['shell', { command => 'a', shell => 1 }],
     ['timeout_secs', { command => 'a', timeout_secs => 0 }],
     ['timeout_secs', { command => 'a', timeout_secs => '5' }],
     ['cwd', { command => 'a', cwd => 'x' }],
     ['cwd', { command => 'a', cwd => '/no/such/directory' }],
     ['timeout', { command => 'a', timeout => 5 }]) {
    my ($field, $body) = @$_;
    $t->is_error($t->post($path, json => $body), 400, 'invalid_request',
                 'refused: ' . json->encode($body), $field);
}

$t->is_error($t->post($path, body => '{'), 400, 'invalid_json', 'not JSON',
             'body');
$t->is_error($t->post($path, body => '[]'), 400, 'invalid_json', 'no object',
             'body');
$t->is_error($t->post($path, body => '{"command":"true","command":"false"}'),
             400, 'invalid_json', 'a member that is given twice', 'command');
$t->is_error($t->post($path, body => 'a', type => 'text/plain'), 415,
             'unsupported_media_type', 'not said to be JSON');
$t->is_error($t->post($path, body => '"' . 'x' x (1100 * 1024) . '"'), 413,
             'body_too_large', 'a large body');
$t->is_error($t->post($path, json => { command => 'a' }, key => undef), 401,
             'unauthorized', 'without a key');

# --- time --------------------------------------------------------------------

{
    my $began = time();
    $r = $t->post($path, json => { shell => JSON::PP::true, timeout_secs => 1,
        command => 'trap "" TERM; echo $$ >/tmp/pid; '
                   . 'sleep 301 & setsid sleep 302 & sleep 303' });
    $t->is_error($r, 504, 'exec_timeout', 'a command that takes too long');
    my $took = time() - $began;
    ok($took > 0.9 && $took < 10, "answered after $took s");
    is($t->exec($s, 'for p in /proc/[0-9]*; do '
                    . 'tr "\0" " " <$p/cmdline 2>/dev/null; echo; done '
                    . '| grep -c "^sleep 30[123]"')->{stdout}, "0\n",
       'all of it is dead, also what had left its session');
}

# --- size --------------------------------------------------------------------

$e = $t->exec($s, 'head -c 2000000 /dev/zero | tr "\0" x');
is(length $e->{stdout}, 2000000, 'two million bytes of output');

$r = $t->post($path, json => { command => 'wc', args => ['-c'],
                               envs => { BIG => 'x' x 60000 } });
is($r->{status}, 200, 'a long environment');

$e = $t->exec($s, 'yes | head -c 30000000; echo done >&2');
is($e->{stderr}, "done\n", 'more output than is kept does not block');
cmp_ok(length $e->{stdout}, '<', 30000000, 'and is cut');

# --- the console -------------------------------------------------------------
# A file of the host's, for each sandbox there was.

my @logs;

is($t->exec($s, 'yes | head -c 200000 >/dev/ttyS0; echo the end >/dev/ttyS0')
   ->{exit_code}, 0, 'much is written to the console');
ok(wait_for(10, sub {
    @logs = glob "\Q$t->{dir}\E/log/libvirt/qemu/$s->{id}.log*";
    SandboxLeft::slurp($logs[0]) =~ /^the end\r?$/m;
}), 'the end is in its log');
my $room = 0;
$room += -s $_ for @logs;
cmp_ok($room, '<=', 128 * 1024, 'which does not keep all of it');
cmp_ok($room, '>=', 64 * 1024, 'but what came last');

# --- many --------------------------------------------------------------------

{
    my @c;
    my $began = time();

    for my $n (1 .. 16) {
        push @c, $t->begin('POST', $path, json => {
            shell => JSON::PP::true, timeout_secs => 60,
            command => "sleep 2; echo $n" });
    }

    is_deeply([map { $t->end($_)->{json}{stdout} } @c],
              [map { "$_\n" } 1 .. 16], 'sixteen commands at once');
    cmp_ok(time() - $began, '<', 25, 'do not wait for each other');
}

{
    my $http = $t->begin('POST', $path, json => {
        command => 'sleep', args => ['600'], timeout_secs => 600 });
    ok(wait_for(20, sub {
        $t->exec($s, 'pgrep -fx "sleep 600"')->{exit_code} == 0
    }), 'a long command runs');
    $http->abort;
    ok(wait_for(20, sub {
        $t->exec($s, 'pgrep -fx "sleep 600"')->{exit_code} != 0
    }), 'and ends when its client goes away');
}

$t->exec($s, '(setsid sleep 900 >/dev/null 2>&1 &); exit 0');
is($t->exec($s, 'pgrep -fx "sleep 900"')->{exit_code}, 0,
   'what detaches itself goes on');

$t->finish;
