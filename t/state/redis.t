#!/usr/bin/perl

# The Redis connection (src/state/ngx_http_sandbox_redis*.c) inside a stock
# nginx: commands, bursts, and every way in which Redis goes away.
#
# REDIS_TEST_SANITIZE=1 runs the sanitizer build.  Starts its own redis-server
# and nginx in a temporary directory, and ends them.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(sleep time);

use constant TIMEOUT_MS => 1500;    # longer than a burst takes on a busy host
use constant PASSWORD   => 'a"secret';
use constant DB         => 3;

my $here     = dirname(abs_path($0));
my $sanitize = $ENV{REDIS_TEST_SANITIZE};
my $dir      = tempdir('redis-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $owner    = $$;
my %pids;

$SIG{$_} = sub { exit 1 } for qw(HUP INT TERM);

END {
    if (defined $owner && $$ == $owner) {
        my $status = $?;

        end($_) for qw(nginx fake redis);
        $? = $status;
    }
}

# Whatever its state, with the workers it has.
sub end {
    my ($name) = @_;

    my $pid = $pids{$name} // return;
    my @all = ($pid, split ' ', `cat /proc/$pid/task/$pid/children`);

    kill 'CONT', @all;
    return if defined stop($name, 'TERM', 5);
    kill 'KILL', @all;
    stop($name, 'KILL', 5);
}

sub free_port {
    my $s = IO::Socket::INET->new(
        Listen => 1, LocalAddr => '127.0.0.1', ReuseAddr => 1
    ) or die "no free port: $!";
    return $s->sockport;
}

sub start {
    my ($name, $log, @command) = @_;

    end($name);

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        undef $owner;
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $log or POSIX::_exit(127);
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }

    $pids{$name} = $pid;
}

# Seconds until it ended, or undef.
sub stop {
    my ($name, $signal, $seconds) = @_;

    my $begin = time;
    kill $signal, $pids{$name};

    while (time - $begin < $seconds) {
        if (waitpid($pids{$name}, WNOHANG) > 0) {
            delete $pids{$name};
            return time - $begin;
        }
        sleep 0.01;
    }

    return;
}

# Seconds until the condition held, or undef.
sub within {
    my ($seconds, $condition) = @_;

    my $begin = time;

    while (time - $begin < $seconds) {
        return time - $begin if $condition->();
        sleep 0.02;
    }

    return;
}

my $redis_port = free_port();
my $http_port  = free_port();

sub start_redis {
    my (@more) = @_;

    start('redis', "$dir/redis.log", 'redis-server', '--port', $redis_port,
        '--bind', '127.0.0.1', '--unixsocket', "$dir/redis.sock",
        '--unixsocketperm', '777',
        '--save', '', '--appendonly', 'no', '--daemonize', 'no',
        '--dir', $dir, '--requirepass', PASSWORD, @more);

    within(10, sub { eval { redis('PING') eq '+PONG' } })
        // die "redis-server did not start, see $dir/redis.log";
}

# One command on a connection of its own; the first line of its reply.
sub redis {
    my (@command) = @_;

    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $redis_port, Timeout => 5
    ) or die "redis: $!";

    for my $args (['AUTH', PASSWORD], ['SELECT', DB], [@command]) {
        print $s '*' . @$args . "\r\n",
            map { '$' . length($_) . "\r\n$_\r\n" } @$args;
    }

    my $line;
    $line = <$s> for 1 .. 3;
    $line //= '';
    $line =~ s/\r\n//;
    return $line;
}

sub conf {
    my (%set) = @_;

    my $build = $sanitize ? 't-state-sanitize' : 't-state';
    my $module = abs_path("$here/../..")
        . "/build/$build/ngx_http_redis_test_module.so";
    my $server = $set{server} // "127.0.0.1:$redis_port";
    my $password = $set{password} // PASSWORD;
    $password =~ s/(["\\])/\\$1/g;
    my $timeout = TIMEOUT_MS . 'ms';
    my $db = DB;

    open my $f, '>', "$dir/nginx.conf" or die "nginx.conf: $!";
    print $f <<"END";
daemon off;
user root;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log notice;
load_module $module;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    keepalive_timeout 0;
    redis_test_server $server $timeout $db "$password" events;
    server {
        listen 127.0.0.1:$http_port;
        location / { redis_test; }
        location = /plain { return 200; }
    }
}
END
    close $f;
}

sub start_nginx {
    my @command = ('/usr/sbin/nginx', '-p', $dir, '-c', "$dir/nginx.conf",
        '-e', "$dir/error.log");

    if ($sanitize) {
        my @libs = map { chomp(my $p = `gcc -print-file-name=$_`); $p }
            qw(libasan.so libubsan.so);
        unshift @command, 'env', 'LD_PRELOAD=' . join(':', @libs),
            "ASAN_OPTIONS=detect_leaks=0:log_path=$dir/asan",
            "UBSAN_OPTIONS=print_stacktrace=1:log_path=$dir/ubsan";
    }

    start('nginx', "$dir/stderr.log", @command);
    within(10, sub { get('/plain')->{status} == 200 })
        // die "nginx did not start: " . error_log();
}

sub get {
    my ($path) = @_;

    my $begin = time;
    my $r = HTTP::Tiny->new(timeout => 10)
        ->get("http://127.0.0.1:$http_port$path");
    $r->{time} = time - $begin;
    $r->{content} =~ s/\n\z//;
    return $r;
}

# "status body"
sub answer {
    my $r = get(@_);
    return "$r->{status} $r->{content}";
}

sub seen {
    my ($field) = @_;
    return get('/events')->{content} =~ /\b$field=(\S+)/ ? $1 : undef;
}

sub error_log {
    open my $f, '<', "$dir/error.log" or return '';
    local $/;
    return scalar <$f>;
}

sub logged {
    my ($pattern) = @_;
    my $n = () = error_log() =~ /$pattern/g;
    return $n;
}

# A request in the background; reading from the handle gives the answer.
sub later {
    my ($path) = @_;

    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $http_port, Timeout => 5
    ) or die "nginx: $!";
    print $s "GET $path HTTP/1.0\r\n\r\n";
    return $s;
}

sub finish {
    my ($s) = @_;
    local $/;
    my $text = <$s>;
    return $text =~ /^\S+ (\d+).*\r\n\r\n(.*?)\n?\z/s ? "$1 $2" : $text;
}


system("$here/build" . ($sanitize ? ' --sanitize' : '') . ' >/dev/null') == 0
    or BAIL_OUT('the test module does not build');

start_redis();
conf();
start_nginx();

subtest 'commands' => sub {
    is answer('/command?GET,started'), '200 1', 'sent before the connection';
    is answer('/command?SET,key,value'), '200 OK', 'SET';
    is answer('/command?GET,key'), '200 value', 'GET';
    is answer('/command?GET,nothing'), '200 nil', 'nil';
    is answer('/command?SET,key,'), '200 OK', 'an empty argument';
    is answer('/command?GET,key'), '200 ', 'and back';
    like answer("/command?EVAL,return{err='FULL'..string.char(7)..('x'):rep(300)},0"),
        qr/^500 FULL\x07x{300}/, 'a long error reply';
    is logged('\[error\] .*redis \S+ refuses a command: FULL\?x{195}\n'), 1,
        'has a line in the log';
    like answer('/command?NOSUCH'), qr/^500 ERR unknown command/,
        'an error reply';
    is logged('refuses a command'), 1, 'one a minute';
    is redis('EXISTS', 'key'), ':1', 'in the configured database';
    my $big = 'x' x 6000;
    is answer("/command?SET,big,$big"), '200 OK', 'longer than the first buffer';
    is answer('/command?GET,big'), "200 $big", 'and back';
};

subtest 'pipelining' => sub {
    redis('DEL', 'counter');
    is answer('/burst?1000'), '200 ok=1000 failed=0 none=0 declined=0',
        '1000 at once';
    is redis('GET', 'counter') && answer('/command?GET,counter'), '200 1000',
        'each once';
    is answer('/chain?200'), '200 ok=200 failed=0 none=0 declined=0',
        'sent from handlers';
    is answer('/burst?70000'), '200 ok=65536 failed=0 none=0 declined=4464',
        'bounded';
    is answer('/forget?GET,key'), '200 forgotten', 'forget';
    is answer('/command?GET,key'), '200 ', 'the next is its own reply';
};

# How often Redis has run a command.
sub calls {
    my ($command) = @_;

    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $redis_port, Timeout => 5
    ) or die "redis: $!";
    my $password = PASSWORD;
    print $s '*2', map { "\r\n\$" . length($_) . "\r\n$_" } 'AUTH', $password;
    print $s "\r\n*2\r\n\$4\r\nINFO\r\n\$12\r\ncommandstats\r\n*1\r\n\$4\r\nQUIT\r\n";
    local $/;
    return <$s> =~ /cmdstat_\Q$command\E:calls=(\d+)/ ? $1 : 0;
}

subtest 'equal reads of one turn' => sub {
    redis('HSET', 'shared', 'n', 1);
    my $before = calls('hget');
    is answer('/reads?shared'), '200 111222',
        'before a write the old value, after it the new one';
    is calls('hget') - $before, 2, 'Redis was asked once before and once after';
    is answer('/reads?shared'), '200 222333', 'nothing is kept';
    is calls('hget') - $before, 4, 'the next turn asks again';

    my @s = map { later('/reads?shared') } 1 .. 8;
    my @got = map { finish($_) } @s;
    is scalar(grep { /^200 (\d+)$/ } @got), 8, 'many requests at once';
    is redis('HGET', 'shared', 'n') && answer('/command?HGET,shared,n'), '200 11',
        'each of which wrote';

    $before = calls('hget');
    is answer('/command?HGET,shared,n'), '200 11', 'a read by itself';
    is calls('hget') - $before, 1, 'is one';
    like answer('/command?HGET,key,n'), qr/^500 WRONGTYPE/,
        'errors come through';
};

subtest 'scripts' => sub {
    redis('DEL', 'n');
    is answer('/eval?n,5'), '200 5', 'not known yet: EVAL';
    is answer('/eval?n,5'), '200 10', 'known';
    is redis('SCRIPT', 'FLUSH'), '+OK', 'SCRIPT FLUSH';
    is answer('/eval?n,5'), '200 15', 'runs once after it';
    like answer('/eval?n,x'), qr/^500 .*not an integer/, 'errors come through';
};

subtest 'subscription' => sub {
    ok defined within(5, sub { seen('ready') == 1 }), 'ready';
    is seen('lost'), 0, 'never lost';
    is redis('PUBLISH', 'events', "hello"), ':1', 'published';
    ok defined within(5, sub { seen('messages') == 1 }), 'received';
    is seen('last'), 'hello', 'payload';
    redis('PUBLISH', 'events', "m$_") for 1 .. 50;
    ok defined within(5, sub { seen('messages') == 51 }), '50 more';
    is seen('last'), 'm50', 'in order';
    sleep 2.5 * TIMEOUT_MS / 1000;
    is seen('lost'), 0, 'stays through PINGs';

    redis('CLIENT', 'KILL', 'TYPE', 'pubsub');
    ok defined within(5, sub { seen('lost') == 1 }), 'killed: lost';
    ok defined within(5, sub { seen('ready') == 2 }), 'ready again';
    redis('PUBLISH', 'events', 'again');
    ok defined within(5, sub { seen('last') eq 'again' }), 'received again';
    is answer('/command?PING'), '200 PONG', 'commands were not disturbed';
    is logged('subscription to "events" is lost'), 1, 'one line of the loss';
    is logged('subscribed to "events" again after'), 1, 'one of the recovery';
};

subtest 'a client that goes away' => sub {
    my @s = map { later('/command?BLPOP,nothing,0.1') } 1 .. 3;
    sleep 0.05;
    $_->close for @s;
    sleep 1;
    is answer('/command?PING'), '200 PONG', 'is forgotten';
};

subtest 'the worker stands still' => sub {
    my @workers = split ' ', `cat /proc/$pids{nginx}/task/$pids{nginx}/children`;
    my $lost = seen('lost');
    my @s = map { later('/command?BLPOP,nothing,0.3') } 1 .. 3;
    sleep 0.1;
    kill 'STOP', @workers;
    sleep TIMEOUT_MS / 1000 + 0.5;
    kill 'CONT', @workers;
    is finish($_), '200 nil', 'its replies were there' for @s;
    is seen('lost'), $lost, 'as was its subscription';
    is logged('redis \S+ is away'), 0, 'no connection is dropped';
};

subtest 'Redis is killed' => sub {
    my $lost = seen('lost');
    is logged('redis \S+ is (?:away|back)'), 0, 'not away yet';
    my $ready = seen('ready');
    my $s = later('/command?BLPOP,nothing,1.4');
    sleep 0.1;

    stop('redis', 'KILL', 5);
    my $begin = time;
    is finish($s), '502 no reply', 'the pending command ends';
    cmp_ok time - $begin, '<', 0.5, 'at once';

    for (1 .. 3) {
        my $r = get('/command?PING');
        is $r->{status}, 503, 'declined';
        cmp_ok $r->{time}, '<', 0.5, 'at once';
    }

    is answer('/burst?1000'), '200 ok=0 failed=0 none=0 declined=1000',
        'bursts, too';
    is answer('/reads?shared'), '503 declined', 'and reads';
    is seen('lost'), $lost + 1, 'the subscription is lost, once';

    sleep 3;
    is logged('redis \S+ is away'), 1, 'one line while it is down';
    is logged('connect\(\) failed'), 0, 'no noise';

    start_redis();
    my $took = within(5, sub { answer('/command?PING') eq '200 PONG' });
    ok defined $took, 'comes back by itself';
    ok defined within(5, sub { seen('ready') == $ready + 1 }), 'the subscription, too';
    is logged('redis \S+ is back after'), 1, 'one line';
    is answer('/eval?n,7'), '200 7', 'scripts go on';
    diag sprintf 'back %.2f s after Redis', $took // -1;
};

subtest 'Redis is stopped' => sub {
    my $lost = seen('lost');
    my $ready = seen('ready');
    my $away = logged('redis \S+ is away');
    kill 'STOP', $pids{redis};

    my $r = get('/command?PING');
    is "$r->{status} $r->{content}", '502 no reply', 'deadline';
    cmp_ok $r->{time}, '>=', TIMEOUT_MS / 1000 - 0.05, 'not before it';
    cmp_ok $r->{time}, '<', TIMEOUT_MS / 1000 + 0.5, 'not long after it';

    $r = get('/command?PING');
    is $r->{status}, 503, 'then declined';
    cmp_ok $r->{time}, '<', 0.5, 'at once';
    ok defined within(6, sub { seen('lost') == $lost + 1 }),
        'the silent subscription is noticed';

    kill 'CONT', $pids{redis};
    ok defined within(5, sub { answer('/command?PING') eq '200 PONG' }),
        'recovers';
    is logged('redis \S+ is away'), $away + 1, 'one more line';
    ok defined within(5, sub { seen('ready') == $ready + 1 }), 'subscribed again';
};

subtest 'one command is late' => sub {
    my $s = later('/command?BLPOP,nothing,5');
    my $begin = time;
    is finish($s), '502 no reply', 'deadline';
    cmp_ok time - $begin, '<', TIMEOUT_MS / 1000 + 0.5, 'in time';
    ok defined within(5, sub { answer('/command?PING') eq '200 PONG' }),
        'recovers';
};

subtest 'reload and quit' => sub {
    ok defined within(5, sub { seen('ready') }), 'subscribed';
    my ($old) = split ' ', `cat /proc/$pids{nginx}/task/*/children`;
    my $s = later('/command?BLPOP,nothing,1.2');
    sleep 0.1;
    kill 'HUP', $pids{nginx};
    is finish($s), '200 nil', 'a command under way is answered';
    ok defined within(1, sub { !-e "/proc/$old" }),
        'the old worker is not held up';
    is answer('/burst?10'), '200 ok=10 failed=0 none=0 declined=0',
        'the new one works';

    my %got;
    for (1 .. 3) {
        kill 'HUP', $pids{nginx};
        my $begin = time;
        $got{ get('/command?PING')->{status} }++ while time - $begin < 0.5;
    }
    is join(' ', keys %got), '200', 'no request is refused during reloads';

    kill 'STOP', $pids{redis};
    my $took = stop('nginx', 'QUIT', 5);
    kill 'CONT', $pids{redis};
    ok defined $took && $took < 1, 'quit';
};

is logged('\[(alert|crit|emerg)\]|Sanitizer|open socket'), 0,
    'a clean error log' or diag error_log();

subtest 'Redis away at the start' => sub {
    stop('redis', 'TERM', 5);
    start_nginx();
    ok defined within(2, sub { get('/command?PING')->{status} == 503 }),
        'declined';
    is seen('lost'), 1, 'lost before the subscription stood';
    start_redis();
    ok defined within(5, sub { answer('/command?PING') eq '200 PONG' }),
        'connects later';
    my $took = stop('nginx', 'QUIT', 5);
    ok defined $took && $took < 1, 'quit';
};

subtest 'quit amid an attempt to connect' => sub {
    kill 'STOP', $pids{redis};
    my $away = logged('redis \S+ is away');
    start_nginx();
    within(5, sub { logged('redis \S+ is away') > $away });
    sleep 0.3;
    my $took = stop('nginx', 'QUIT', 5);
    kill 'CONT', $pids{redis};
    ok defined $took && $took < 0.9, 'at once';
};

subtest 'refused by Redis' => sub {
    conf(password => 'wrong');
    start_nginx();
    ok defined within(2, sub { get('/command?PING')->{status} == 503 }),
        'wrong password: declined';
    is logged('redis \S+ is away: WRONGPASS'), 1, 'and why';
    stop('nginx', 'QUIT', 5);

    stop('redis', 'TERM', 5);
    start_redis('--databases', '2');
    conf();
    kill 'STOP', $pids{redis};
    start_nginx();
    my $burst = later('/burst?10');
    sleep 0.1;
    kill 'CONT', $pids{redis};
    is finish($burst), '200 ok=0 failed=0 none=10 declined=0',
        'no such database: what waited for the first attempt fails';
    is redis('EXISTS', 'started', 'counter'), ':0', 'and was not run in another one';
    is logged('is away: ERR DB index'), 1, 'and why';
    stop('nginx', 'QUIT', 5);
    stop('redis', 'TERM', 5);
    start_redis();
};

subtest 'nonsense from the server' => sub {
    my $port = free_port();
    my $fake = <<'END';
        use IO::Socket::INET;
        my ($port, $nonsense) = @ARGV;
        my $l = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
            LocalPort => $port, Listen => 16, ReuseAddr => 1) or die $!;
        while (my $s = $l->accept) {
            sysread $s, my $greeting, 4096;
            my $n = $greeting =~ /SUBSCRIBE/ ? 4 : 3;
            syswrite $s, "+OK\r\n" x $n;
            select undef, undef, undef, 0.05;
            syswrite $s, eval qq("$nonsense");
            select undef, undef, undef, 0.05;
        }
END
    my @nonsense = (
        '+unasked\r\n', '!x\r\n', '$99999999999999999999\r\n', '*-7\r\n',
        '$-9\r\n', ':12x\r\n', '*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n',
        '*3\r\n$-1\r\n$-1\r\n$-1\r\n', '*0\r\n*-1\r\n',
        '*1\r\n' x 12, '*2\r\n$5\r\nab', "\\0" x 3000,
    );

    conf(server => "127.0.0.1:$port");

    for my $nonsense (@nonsense) {
        start('fake', "$dir/fake.log", $^X, '-e', $fake, $port, $nonsense);
        start_nginx() unless $pids{nginx};
        sleep 0.4;
        # 200 if the nonsense came while an answer was awaited
        like get('/command?PING')->{status}, qr/^(?:200|500|502|503)$/,
            'survived ' . substr($nonsense, 0, 40);
    }

    end('fake');
    ok defined stop('nginx', 'QUIT', 5), 'quit';
    is logged('exited on signal'), 0, 'no worker crashed';
};

subtest 'a unix socket' => sub {
    conf(server => "unix:$dir/redis.sock");
    start_nginx();
    is answer('/burst?20000'), '200 ok=20000 failed=0 none=0 declined=0',
        'burst';
    redis('CLIENT', 'KILL', 'TYPE', 'normal');
    ok defined within(5, sub { answer('/command?PING') eq '200 PONG' }),
        'comes back';
    ok defined within(5, sub { seen('ready') }), 'subscribed';
    my $took = stop('nginx', 'QUIT', 5);
    ok defined $took && $took < 1, 'quit';
};

my @reports = glob "$dir/asan.* $dir/ubsan.*";
is scalar @reports, 0, 'no sanitizer report'
    or diag map { `head -n 60 $_` } @reports;
is logged('\[(alert|crit|emerg)\]|Sanitizer|open socket'), 0,
    'a clean error log' or diag error_log();

# Last, since the log is not clean afterwards.
subtest 'more arguments than there is room for' => sub {
    start_nginx();
    my $aborted = 0;

    for (['arguments', 80], ['numbers', 16]) {
        my ($what, $most) = @$_;

        is answer("/$what?$most"), "200 $most", "$most $what";
        is finish(later("/$what?" . ($most + 1))), '', 'one more: no answer';
        $aborted++;
        ok defined within(5, sub { logged('exited on signal 6') == $aborted }),
            'the worker is aborted';
        is logged("\\[alert\\] .*a command has more $what than"), 1, 'and says why';
        ok defined within(5, sub { get('/plain')->{status} == 200 }),
            'another one takes its place';
    }

    ok defined stop('nginx', 'QUIT', 5), 'quit';
};

done_testing();
