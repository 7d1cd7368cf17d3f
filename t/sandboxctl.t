#!/usr/bin/perl

# scripts/sandboxctl against a real stack; its "shell" in a real terminal.

use Digest::SHA qw(sha256_hex);
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use lib "$FindBin::Bin/../scripts/lib";
use SandboxTest;
use StackProc qw(slurp);

my $t = SandboxTest->new;
my $tool = "$SandboxTest::top/scripts/sandboxctl";
my $tmp = File::Temp->newdir('sandboxctl-XXXXXX',
                             DIR => $ENV{SANDBOX_TEST_TMP} // '/var/tmp');
my %env = (SANDBOX_API => $t->{api}, SANDBOX_API_KEY => $t->{key},
           SANDBOX_TRAFFIC => $t->{traffic}, SANDBOX_DOMAIN => $t->{domain},
           PYTHONDONTWRITEBYTECODE => 1);
my $said = '';
my $r;

sub write_file {
    my ($path, $data) = @_;

    open(my $fh, '>:raw', $path) or die "$path: $!";
    print $fh $data;
    close $fh;
}

# Starts the tool; a sub that waits for { code, out, err }.  A hash comes
# first for more of the environment; in it, stdin names a file.
sub begin {
    my %o = ref $_[0] ? %{ +shift } : ();
    my @args = @_;
    my ($in, $n) = (delete $o{stdin} // '/dev/null', ++$t->{runs});
    my $pid = fork() // die "cannot fork: $!";

    if ($pid == 0) {
        %ENV = (%ENV, %env, %o);
        delete @ENV{grep { $ENV{$_} eq '' } keys %ENV};
        open(STDIN, '<', $in);
        open(STDOUT, '>', "$tmp/out$n");
        open(STDERR, '>', "$tmp/err$n");
        exec($tool, @args) or POSIX::_exit(127);
    }

    return ($pid, sub {
        waitpid $pid, 0;
        my $code = $? & 127 ? 128 + ($? & 127) : $? >> 8;
        my ($out, $err) = map { slurp("$tmp/$_$n") } 'out', 'err';
        $said .= $out . $err;
        return { code => $code, out => $out, err => $err };
    });
}

sub ctl {
    my (undef, $wait) = begin(@_);

    return $wait->();
}

# The tool does what it should: its output without the last line feed.
sub good {
    my ($name, @args) = @_;
    my $r = ctl(@args);

    is($r->{code}, 0, $name) or diag($r->{err});
    chomp $r->{out};
    return $r->{out};
}

# The tool refuses, with this exit code and this text.
sub bad {
    my ($name, $code, $pattern, @args) = @_;
    my $r = ctl(@args);

    is($r->{code}, $code, $name) or diag($r->{out});
    like($r->{err}, $pattern, 'it says why');
    is(scalar(() = $r->{err} =~ /^sandboxctl: /mg), 1, 'in one line');
    return $r;
}

# What it made is ended with the test.
sub made {
    my ($id) = @_;

    return $t->sandbox({ json => { id => $id } });
}

# A server in front of the API that sends of the nth answer to a client what
# change gives for it: its URL, and what ends it.
sub between {
    my ($change) = @_;
    my $listener = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1')
        or die "listen: $!";
    my $pid = fork() // die "cannot fork: $!";

    if ($pid == 0) {
        for (my $n = 0; my $client = $listener->accept; $n++) {
            my $request = '';
            sysread($client, $request, 65536, length $request) or last
                until $request =~ /\r\n\r\n/
                      && length $' >= ($request =~ /^Content-Length: (\d+)/mi
                                       ? $1 : 0);
            my $server = IO::Socket::INET->new($t->{api} =~ s{^http://}{}r);
            syswrite($server, $request);
            my $answer = do { local $/; <$server> };
            syswrite($client, $change->($n, $answer));
        }
        POSIX::_exit(0);
    }

    return ('http://127.0.0.1:' . $listener->sockport,
            guard(sub { kill KILL => $pid; waitpid $pid, 0 }));
}

# --- usage -------------------------------------------------------------------

is((run_command('env', "PYTHONPYCACHEPREFIX=$tmp", 'python3', '-m',
                'py_compile', $tool))[0], 0, 'sandboxctl compiles');
like(good('--help', '--help'), qr/Exit codes: 0, 1 refused/, 'its help');
is(good('help', 'help'), good('--help', '--help'), 'as a command');
is(good('help url', 'help', 'url'), good('url --help', 'url', '--help'),
   'help of a command');
is(ctl('nothing')->{code}, 2, 'an unknown command');
for (0, 65536, 99999, 'abc', '08', '1e3', '') {
    $r = ctl('url', 'sb_' . 'a' x 20, $_);
    like("$r->{code} $r->{err}", qr/^2 .*"$_" is no port$/s,
         qq(url: port "$_"));
}
$r = ctl('url', 'sb_x', 8000);
like("$r->{code} $r->{err}", qr/^2 .*"sb_x" is no id/s, 'url: no id');
is(ctl('exec', 'sb_x')->{code}, 2, 'no command to run');
is(ctl('create', '--timeout', 'soon')->{code}, 2, 'a time that is none');
bad('no API', 2, qr/SANDBOX_API/, { SANDBOX_API => '' }, 'list');
bad('no key', 2, qr/SANDBOX_API_KEY/, { SANDBOX_API_KEY => '' }, 'list');
bad('a key with an end of line', 2, qr/has a character that no key has/,
    { SANDBOX_API_KEY => "$t->{key}\r" }, 'list');
for ('127.0.0.1', 'ftp://127.0.0.1', 'http://127.0.0.1:99999',
     'http://127.0.0.1:abc', 'http://[::1') {
    bad("the API at $_", 2, qr/"\Q$_\E" is no http or https URL/,
        { SANDBOX_API => $_ }, 'list');
    bad("traffic at $_", 2, qr/"\Q$_\E" is no http or https URL/,
        { SANDBOX_TRAFFIC => $_ }, 'url', 'sb_' . 'a' x 20, 8000);
}
bad('no server', 3, qr/Cannot reach the server: 127\.0\.0\.1:1: .*refused/,
    '--api', 'http://127.0.0.1:1', '--retry', '0', 'list');
bad('a wrong key', 1, qr/\(unauthorized, req_\w+\)/,
    { SANDBOX_API_KEY => 'ns_live_no' }, 'list');
write_file("$tmp/key", "$t->{key}\n");
is(good('a key from a file', { SANDBOX_API_KEY => '' }, '--key-file',
        "$tmp/key", 'list', '-q'), '',
        'a key from a file works, and nothing is there yet');
for my $shell ('bash', 'zsh') {
    write_file("$tmp/completion", good("completion for $shell", 'completion',
                                       $shell) . "\n");
    is((run_command('bash', '-n', "$tmp/completion"))[0], 0,
       "completion for $shell is a script")
        if $shell eq 'bash';
}

# --- the manual --------------------------------------------------------------

{
    my @lines = split /\n/, slurp("$SandboxTest::top/docs/sandboxctl.md");
    my ($common) = join("\n", @lines) =~ /^## Configuration\n(.*?)^## /ms;
    my @commands = slurp("$tmp/completion") =~ /^ +([a-z]+)\) COMPREPLY/mg;

    for my $command (map { $_ eq 'snapshot' ? ('snapshot create', 'snapshot list')
                           : $_ eq 'pool' ? 'pool create' : $_ } @commands) {
        my ($word) = split / /, $command;
        my $manual = join "\n", $common, grep { /`$word[ `]/ } @lines;
        my $help = good("$command: help", split(/ /, $command), '--help');
        my @missing;

        for my $option (grep { !/--help/ } $help =~ /^  (-\S.*)/mg) {
            my @names = $option =~ /(?:^|, )(--?[\w-]+)/g;

            push @missing, $names[0]
                unless grep { $manual =~ /(?<![\w-])$_(?![\w-])/ } @names;
        }

        is("@missing", '', "$command: all options are in the manual");
    }
}

# --- TLS ---------------------------------------------------------------------

{
    my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
               ->sockport;
    run_command(qw(openssl req -x509 -newkey rsa:2048 -nodes -subj
                   /CN=localhost -addext subjectAltName=DNS:localhost -keyout),
                "$tmp/tls.key", '-out', "$tmp/tls.crt");
    my $pid = fork() // die "cannot fork: $!";
    if ($pid == 0) {
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', '/dev/null');
        open(STDERR, '>', '/dev/null');
        exec('openssl', 's_server', '-accept', "127.0.0.1:$port", '-key',
             "$tmp/tls.key", '-cert', "$tmp/tls.crt", '-www')
            or POSIX::_exit(127);
    }
    my $guard = guard(sub { kill KILL => $pid; waitpid $pid, 0 });
    wait_for(10, sub {
        IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")
    });

    my @args = ('--api', "https://localhost:$port", '--retry', 0, 'get', 'x');
    bad('a certificate of nobody', 3, qr/not whom it says it is/, @args);
    bad('one to trust', 1, qr/not JSON/, '--ca-file', "$tmp/tls.crt", @args);
    bad('of another name', 3, qr/not whom it says it is/, '--ca-file',
        "$tmp/tls.crt", '--api', "https://127.0.0.1:$port", 'get', 'x');
}

# --- sandboxes ---------------------------------------------------------------

my @small = ('--memory', 256, '--timeout', '1h');
my @create = ('create', @small, '--metadata', '{"n":1}', '-e', 'COLOUR=blue',
              '--idempotency-key', SandboxTest::idem());
my $id = good('create', @create);
like($id, qr/^sb_[a-z2-7]{20}$/, 'prints its id');
my $s = made($id);
$r = json->decode(good('the same create', @create, '--json'));
is($r->{id}, $id, 'is a replay');
like($r->{traffic_access_token}, qr/^\w{22,}$/,
     'a replay as JSON has the token');

is(good('list', 'list', '-q'), $id, 'ids only');
like(good('list', 'list', '--state', 'running'),
     qr/^ID +STATUS .*\n$id  running +base +1 +256 +\d{4}-/, 'a table');
is(json->decode(good('list as JSON', 'list', '--json', '--metadata',
                     '{"n":1}'))->[0]{id}, $id, 'filtered');
like(good('get', 'get', $id), qr/^metadata +\{"n": 1\}$/m, 'a table');
is(good('url', 'url', $id, 8000),
   $t->{traffic} =~ s{//[^:]+}{'//' . $t->host($id, 8000)}er . '/', 'the URL');
like(good('timeout', 'timeout', $id, '2h'), qr/^\d{4}-.*Z$/, 'the new time');
bad('no such sandbox', 1,
    qr/^sandboxctl: There is no such sandbox\. \(sandbox_not_found, req_\w+\)$/,
    'get', 'sb_' . 'a' x 20);
bad('a bad member', 1, qr/vcpus must be at most 8\. \(invalid_request, req_/,
    'create', '--vcpus', 99);
$r = ctl('--json', 'get', 'sb_none');
is(json->decode($r->{err})->{code}, 'sandbox_not_found', 'an error as JSON');

# --- shapes, the network, pools ----------------------------------------------

like(good('prepare', 'prepare', '--template', 'base', '--memory', 192),
     qr/^base, 1 vcpus, 192 MB: made in \d+\.\d\d s$/, 'says what was made');
$r = json->decode(good('prepare as JSON', 'prepare', '--json', '--memory', 192));
is($r->{memory_mb}, 192, 'prepare as JSON says what was made');
cmp_ok($r->{seconds}, '>', 0, 'prepare as JSON says how long it took');
is(good('list', 'list', '-q'), $id, 'what was prepared is gone again');
bad('a shape there is not', 1, qr/template_not_found/, 'prepare', '--template',
    'none');

like(good('network', 'network', $id, '--deny', '192.0.2.0/24', '--public', 'off'),
     qr/^deny_out +\["192\.0\.2\.0\/24"\]\n(?:.*\n)*allow_public_traffic +False$/m,
     'the policy in force');
like(good('network, empty', 'network', $id, '--deny', '', '--public', 'on'),
     qr/^deny_out +\[\]$/m, 'an empty list');
is(ctl('network', $id, '--internet', 'perhaps')->{code}, 2, 'neither on nor off');

my $pool = good('pool create', 'pool', 'create', 'ctl', '--template', 'base',
                '--memory', 192, '--ready', 0, '--most', 1);
like(good('pool list', 'pool', 'list'),
     qr/^ID .*\n$pool +ctl +base +enabled +0$/, 'a table');
like(good('pool get', 'pool', 'get', $pool),
     qr/^resources +\{.*"memory_mb": 192/m, 'its size');
like(good('pool status', 'pool', 'status', $pool), qr/^ready +0$/m, 'its counts');
bad('a pool in use', 1, qr/\(conflict, /, 'pool', 'rm', $pool);
like(good('pool drain', 'pool', 'drain', $pool), qr/^status +draining$/m,
     'drained');
is(good('pool rm', 'pool', 'rm', $pool), '', 'removed');

# --- commands ----------------------------------------------------------------

is(good('exec', 'exec', $id, '--', 'sh', '-c', 'echo "$COLOUR"'), 'blue',
   'its output');
$r = ctl('exec', '--shell', $id, 'printf "\377\0"; echo no >&2; exit 7');
is_deeply($r, { code => 7, out => "\xff\0", err => "no\n" },
          'exit code, bytes and both streams');
is(json->decode(good('exec as JSON', '--json', 'exec', $id, 'true'))
   ->{exit_code}, 0, 'the answer');
bad('exec that takes too long', 124, qr/exec_timeout/, 'exec', '--timeout', 1,
    $id, 'sleep', '60');

my $large = join '', map { chr int rand 256 } 1 .. 1_000_000;
write_file("$tmp/large", $large);
is(good('exec with input', { stdin => "$tmp/key" }, 'exec', '-i', $id, 'cat'),
   $t->{key}, 'goes along');
$said = '';
$r = ctl({ stdin => "$tmp/large" }, 'run', '--shell', $id,
         'cat; echo err >&2; exit 9');
is($r->{code}, 9, 'run: its exit code');
is(sha256_hex($r->{out}), sha256_hex($large), 'a megabyte there and back');
is($r->{err}, "err\n", 'its errors');

{
    my ($pid, $wait) = begin('run', '-n', $id, '--', 'sh', '-c',
                             'echo on; sleep 60');
    my $out = "$tmp/out$t->{runs}";
    ok(wait_for(20, sub { slurp($out) eq "on\n" }), 'output as it comes');
    kill INT => $pid;
    is($wait->()->{code}, 130, 'Ctrl-C goes to the command');

    ($pid, $wait) = begin('run', '-n', $id, '--', 'sh', '-c',
                          'for i in $(seq 12); do echo $i; sleep 0.1; done');
    $out = "$tmp/out$t->{runs}";
    wait_for(20, sub { slurp($out) ne '' });
    $t->stack('kill', 'workers');
    $r = $wait->();
    is_deeply([$r->{code}, $r->{out}], [0, join '', map { "$_\n" } 1 .. 12],
              'a lost connection loses and repeats nothing') or diag($r->{err});
}

my $pid = good('in the background', 'exec', '--background', '--shell', $id,
               'for i in 1 2 3; do echo $i; sleep 0.2; done; exec sleep 600');
like(good('ps', 'ps', $id), qr/^$pid +running +\S+Z  /m,
     'ps lists a background command');
{
    my (undef, $wait) = begin('logs', '-f', $id, $pid);
    my $out = "$tmp/out$t->{runs}";
    ok(wait_for(20, sub { slurp($out) eq "1\n2\n3\n" }), 'logs -f');
    good('kill', 'kill', '-s', 'KILL', $id, $pid);
    is($wait->()->{code}, 0, 'logs -f ends with the command');
}
is(good('logs', 'logs', $id, $pid), "1\n2\n3", 'what it had printed');
bad('kill of one that is gone', 1, qr/\(conflict, /, 'kill', $id, $pid);
bad('kill of another one', 1, qr/\(not_found, /, 'kill', $id, 1);

# --- files -------------------------------------------------------------------

good('cp', 'cp', "$tmp/large", "$id:/tmp/large");
is(sha256_hex(ctl('cp', "$id:/tmp/large", '-')->{out}), sha256_hex($large),
   'cp to a stream');
{
    # of what has a length, all but the last byte
    my ($url, $guard) = between(sub {
        return $_[1] =~ /^Content-Type: application\/json/mi
               ? $_[1] : substr($_[1], 0, -1);
    });
    for my $to ('-', "$tmp/short") {
        bad("cp that is cut off, to $to", 3, qr/closed early/, '--api', $url,
            'cp', "$id:/tmp/large", $to);
    }
    ok(!-e "$tmp/short", 'leaves no file');
}
good('cp of a stream', { stdin => "$tmp/large" }, 'cp', '-', "$id:stream");
good('cp of that to a file', 'cp', "$id:stream", "$tmp/stream");
is(sha256_hex(slurp("$tmp/stream")), sha256_hex($large), 'the same');

run_command('sh', '-c', 'mkdir -p "$1/d/e" && cd "$1/d" && echo a >e/f'
            . ' && chmod 741 e/f && ln -s e/f link', 'sh', "$tmp");
good('cp of a directory', 'cp', "$tmp/d", "$id:/tmp/d");
like(good('ls', 'ls', '-r', "$id:/tmp/d"),
     qr{^-0741 .* /tmp/d/e/f\n.* /tmp/d/link -> e/f}m, 'modes and links');
good('cp into a directory', 'cp', "$tmp/d", "$id:/tmp/d");
is(good('under its name', 'exec', $id, 'cat', '/tmp/d/d/e/f'), 'a', 'is there');
good('cp back', 'cp', "$id:/tmp/d/d", "$tmp/back");
is((run_command('diff', '-r', "$tmp/d", "$tmp/back"))[1], '',
   'a directory copied there and back is the same');
is((stat "$tmp/back/e/f")[2] & 0777, 0741, 'modes too');

bad('cp of nothing', 1, qr/There is no "\/none"/, 'cp', "$id:/none", $tmp);
bad('cp of no file here', 1, qr/No such file/, 'cp', "$tmp/none", "$id:/a");
bad('cp to nowhere', 1, qr/\(not_found, /, 'cp', "$tmp/key", "$id:/none/a");
bad('cp within this side', 2, qr/ID:PATH/, 'cp', 'a', 'b');

# archives that a guest could make up
my ($rc, $text) = run_command('python3', '-c', <<'END', $tool, "$tmp/evil");
import importlib.machinery, importlib.util, io, os, sys, tarfile
loader = importlib.machinery.SourceFileLoader("ctl", sys.argv[1])
spec = importlib.util.spec_from_loader("ctl", loader)
ctl = importlib.util.module_from_spec(spec)
sys.modules["ctl"] = ctl
loader.exec_module(ctl)

def entry(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info

link, hard = tarfile.SYMTYPE, tarfile.LNKTYPE
for i, entries in enumerate([
        [entry("../out")], [entry("/tmp/out")], [entry("a/../../out")],
        [entry("l", link, ".."), entry("l/out")],
        [entry("l", link, "/"), entry("l/tmp/out")],
        [entry("h", hard, "../../key")], [entry("h", hard, "/etc/passwd")],
        [entry("l", link, "/etc/passwd"), entry("h", hard, "l")]]):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for one in entries:
            archive.addfile(one)
    data.seek(0)
    root = f"{sys.argv[2]}/{i}/root"
    os.makedirs(root)
    try:
        ctl.unpack(data, root)
        print("unpacked", [e.name for e in entries])
    except ctl.Failure:
        pass
    assert not os.path.exists(f"{sys.argv[2]}/{i}/out"), i
END
is("$rc $text", '0 ', 'archives that lead out are refused');

# --- snapshots, forks --------------------------------------------------------

my $snapshot = good('snapshot create', 'snapshot', 'create', $id);
like($snapshot, qr/^snap_/, 'its id');
like(good('snapshot list', 'snapshot', 'list', '--sandbox', $id),
     qr/^$snapshot +$id /m, 'a snapshot is listed');
is(json->decode(good('snapshot get', 'snapshot', 'get', $snapshot, '--json'))
   ->{sandbox_id}, $id, 'its source');
my $child = good('fork', 'fork', $id);
my $forked = made($child);
is(good('what it was', 'exec', $child, 'cat', '/tmp/d/e/f'), 'a',
   'a fork has the files of its source');
good('rm', 'rm', $child);
bad('rm once more, of another tenant', 1, qr/sandbox_not_found/,
    { SANDBOX_API_KEY => $t->key('ctl-other') }, 'rm', $child);

{
    my ($url, $front) = between(sub { $_[0] ? $_[1] : '' });
    my $again = made(good('a create whose answer is lost', '--api', $url,
                          'create', '--snapshot', $snapshot));
    is_deeply([sort split /\n/, good('list', 'list', '-q')],
              [sort $id, $again->{id}], 'there is one');
}
good('snapshot rm', 'snapshot', 'rm', $snapshot);

# --- a terminal --------------------------------------------------------------

my @tmux = ('tmux', '-f', '/dev/null', '-S', "$tmp/tmux");

sub screen { return (run_command(@tmux, 'capture-pane', '-p', '-S', '-'))[1] }

sub type { run_command(@tmux, 'send-keys', @_) }

sub shows {
    my ($pattern, $name) = @_;

    ok(wait_for(20, sub { screen() =~ $pattern }), $name) or diag(screen());
}

local @ENV{keys %env} = values %env;
run_command(@tmux, 'new-session', '-d', '-x', 90, '-y', 25, 'env', 'TERM=xterm',
            'sh', '-c', '"$0" shell "$1"; echo "code $?"; exec sleep 600',
            $tool, $id);
my $end = guard(sub { run_command(@tmux, 'kill-server') });

shows(qr/\w+:\/workspace[#\$] *\n*\z/, 'a shell in the guest');
type('stty size; echo "$TERM"', 'Enter');
shows(qr/^25 90\nxterm$/m,
      'a shell has the size of the terminal, and its name');
run_command(@tmux, 'resize-window', '-x', 100, '-y', 30);
type('stty size', 'Enter');
shows(qr/^30 100$/m, 'a shell has a new size when the terminal has');

type('sleep 601', 'Enter');
ok(wait_for(20, sub {
    ctl('exec', $id, 'pgrep', '-fx', 'sleep 601')->{code} == 0
}), 'a command in it');
type('C-c');
type('echo "ended $?"', 'Enter');
shows(qr/^ended 130$/m, 'Ctrl-C interrupts it');

type('vi /tmp/typed', 'Enter');
shows(qr/^~\n~\n.*typed/ms, 'an editor has the whole screen');
type('iwritten', 'Escape', ':wq', 'Enter');
shows(qr/vi \/tmp\/typed\n/, 'an editor gives the screen back');
is(good('exec', 'exec', $id, 'cat', '/tmp/typed'), 'written',
   'what was typed into an editor was written');

type('for i in $(seq 101 115); do echo "[$i]"; sleep 0.1; done', 'Enter');
shows(qr/^\[103\]$/m, 'output that goes on');
$t->stack('kill', 'workers');
shows(qr/^\[115\]$/m, 'a lost connection comes back by itself');
is_deeply([screen() =~ /^\[(\d+)\]$/mg], [101 .. 115],
          'nothing is lost or repeated');

type('MARK=here', 'Enter');
shows(qr/MARK=here\n.*[#\$] *\n*\z/, 'a variable in the shell');
type('~.');
shows(qr/^sandboxctl: left; it goes on as --session (pty_\w+)\s+code 0/m, '~. leaves it');
my ($session) = screen() =~ /--session (pty_\w+)/;
run_command(@tmux, 'respawn-pane', '-k', 'sh', '-c',
            '"$0" shell --session "$1" "$2"; echo "code $?"; exec sleep 600',
            $tool, $session // 'none', $id);
shows(qr/MARK=here\n.*[#\$] *\n*\z/,
      'a client of that session has its output again');
type('echo "mark $MARK"; exit 6', 'Enter');
shows(qr/^mark here\n.*code 6$/ms, 'the session is found again; its exit code');
undef $end;

# --- asleep ------------------------------------------------------------------

like(good('hibernate', 'hibernate', $id), qr/^snap_/, 'what it is kept as');
bad('a command for one that sleeps', 1, qr/auto_resume_disabled/, 'exec', $id,
    'true');
bad('a stream for it', 1, qr/auto_resume_disabled/, 'run', $id, 'true');
my $next = good('resume', 'resume', $id);
isnt($next, $id, 'a new id');
is(good('its first id leads to it', 'exec', $id, 'cat', '/tmp/typed'),
   'written', 'a resumed sandbox has what it had');
good('rm', 'rm', $next, $id);
is(good('list', 'list', '-q', '--state', 'running,paused'), '', 'all are gone');

unlike($said, qr/\Q$t->{key}\E/, 'the key was never printed');

undef $_ for $s, $forked;
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
