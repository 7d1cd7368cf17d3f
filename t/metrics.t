#!/usr/bin/perl

# /metrics: the format, that each number moves when it should and survives
# reloads and kills, and that a stall of a worker is told from a busy host.

use FindBin;
use lib "$FindBin::Bin/lib";
use lib "$FindBin::Bin/../scripts/lib";
use POSIX ();
use SandboxPools;
use SandboxTest;
use StackConf qw(read_file write_file);

my $t = SandboxTest->new(own => 1, up => [
    '--set', 'sandbox_reconcile=interval=1s grace=30s']);
my $dir = $t->dir;

# The page: { 'name{labels}' => value }.
sub metrics {
    my $r = $t->get('/metrics', key => undef);

    $r->{status} == 200 or BAIL_OUT("/metrics: $r->{status} $r->{body}");
    return { map { /^([^#].*) (\S+)$/ ? ($1 => $2) : () }
             split /\n/, $r->{body} };
}


# Those whose name begins so, summed up.
sub total {
    my ($m, $prefix) = @_;
    my $sum = 0;

    $sum += $m->{$_} for grep { /^\Q$prefix\E(?:\{|$)/ } keys %$m;
    return $sum;
}


# The page as soon as a sample has grown so much: a request is counted when it
# has been answered.
sub metrics_after {
    my ($before, $sample, $by) = @_;
    my $m;

    wait_for(3, sub {
        $m = metrics();
        return $m->{$sample} - $before->{$sample} >= $by;
    });
    return $m;
}


sub workers_are_new {
    my (@old) = @_;
    my %old = map { $_ => 1 } @old;

    return wait_for(20, sub {
        my @now = $t->workers;
        return @now == @old && !grep { $old{$_} } @now;
    });
}


sub grows {
    my ($sample, $by, $name, $code) = @_;
    my $before = metrics();

    exists $before->{$sample} or die "there is no $sample";
    $code->();
    my $after = metrics_after($before, $sample, $by);
    is($after->{$sample} - $before->{$sample}, $by, $name);
}

# --- the page ----------------------------------------------------------------

my $page = $t->get('/metrics', key => undef);
is($page->{headers}{'content-type'}, 'text/plain; version=0.0.4', 'its type');

my (%type, %help, @bad, %seen, $family);

for (split /\n/, $page->{body}) {
    if (/^# HELP ([a-z_]+) (\S.*\S)$/) {
        $family = $1;
        push @bad, "$_ (twice)" if $help{$family}++;
    } elsif (/^# TYPE ([a-z_]+) (counter|gauge|histogram)$/) {
        push @bad, "$_ (no help)" if $1 ne $family;
        $type{$1} = $2;
    } elsif (m{^([a-z_]+)
              (\{[a-z]+="[^"\\]+"(?:,[a-z]+="[^"\\]+")*\})?
              \ [0-9]+(?:\.[0-9]+)?$}x) {
        my ($name, $labels) = ($1, $2 // '');
        push @bad, "$_ (twice)" if $seen{$name . $labels}++;
        $name =~ s/_(?:bucket|sum|count)$// if $type{$family} eq 'histogram';
        push @bad, "$_ (not of $family)" if $name ne $family;
    } else {
        push @bad, $_;
    }
}

is_deeply(\@bad, [], 'each line is one of the format');
is_deeply([sort keys %type], [sort keys %help], 'each metric has a type');
is_deeply([grep { /_total$/ xor $type{$_} eq 'counter' } keys %type], [],
          'counters, and nothing else, end in _total');

for my $name (grep { $type{$_} eq 'histogram' } sort keys %type) {
    my $m = metrics();
    my @counts = map { $m->{$_} }
        sort { (($a =~ /le="([0-9.]+)/)[0] // 1e9)
               <=> (($b =~ /le="([0-9.]+)/)[0] // 1e9) }
        grep { /^${name}_bucket/ } keys %$m;
    my @sorted = sort { $a <=> $b } @counts;
    is_deeply(\@counts, \@sorted, "$name is cumulative");
    is($counts[-1], $m->{"${name}_count"}, 'and ends with its count');
}

my $head = $t->request('HEAD', '/metrics', key => undef);
is($head->{status}, 200, 'HEAD');
is($head->{body}, '', 'has no body');
is($t->post('/metrics', key => undef, body => 'x')->{status}, 405,
   'POST is refused');

my $docs = read_file("$SandboxTest::top/docs/metrics.md");
my %documented = $docs =~ /^\| `(sandbox_\w+)` \| (\w+) \|/mg;
is_deeply(\%documented, \%type, 'docs/metrics.md has the same metrics');

my ($version) = $page->{body} =~ /^sandbox_build_info\{version="(\S+)"\} 1$/m;
like($version // '', qr/^\w[\w.+-]*$/,
     'the version of the module');
my @started = $t->log_text(0) =~ /\[notice\] .*: sandbox: version (\S+)$/mg;
is_deeply(\@started, [$version], 'is in the log, once');

# --- creates, destroys, API requests -----------------------------------------

my $idem = $t->idem;
my %body = (json => { memory_mb => 128, timeout_ms => 12_000 });
my $api = 'sandbox_api_requests_total';
my $before = metrics();
my $r = $t->post('/v1/sandboxes', %body, idem => $idem);
my $born = time();
is($r->{status}, 201, 'a sandbox is created');
metrics_after($before, 'sandbox_creates_total{outcome="created"}', 1);
my $after = metrics_after($before, "$api\{route=\"POST /v1/sandboxes\","
                          . 'status="2xx"}', 1);

for (['sandbox_creates_total{outcome="created"}', 1],
     ['sandbox_create_seconds_count', 1],
     ["$api\{route=\"POST /v1/sandboxes\",status=\"2xx\"}", 1],
     ['sandbox_creates_total{outcome="replayed"}', 0]) {
    is($after->{$_->[0]} - $before->{$_->[0]}, $_->[1], $_->[0]);
}

my %timing = $r->{headers}{'server-timing'} =~ /(\w+);dur=(\d+)/g;
my %step = map { $_ => sprintf '%.0f', 1000 * $after->{
                 "sandbox_create_step_seconds_total{step=\"$_\"}"} }
           grep { $_ ne 'total' } keys %timing;
is_deeply(\%step, { map { $_ => $timing{$_} } keys %step },
          'its steps are those of Server-Timing');
my $steps = -$timing{total};
$steps += $_ for values %timing;
cmp_ok($steps, '>=', 0.8 * $timing{total}, 'they are most of it')
    or diag($r->{headers}{'server-timing'});
cmp_ok($timing{checkpoint}, '>', $timing{total} / 2,
       'the first of its shape makes the checkpoint');
is(sprintf('%.0f', 1000 * $after->{sandbox_create_seconds_sum}),
   $timing{total}, 'and so is its time');

grows('sandbox_creates_total{outcome="replayed"}', 1, 'a replay',
      sub { $t->post('/v1/sandboxes', %body, idem => $idem) });
grows('sandbox_creates_total{outcome="refused"}', 3, 'three refusals', sub {
    $t->post('/v1/sandboxes', json => {}, idem => $idem);
    $t->post('/v1/sandboxes', json => {}, idem => undef);
    $t->post('/v1/sandboxes', json => { memory_mb => 1 });
});
grows('sandbox_creates_total{outcome="refused"}', 2, 'and two of forks', sub {
    $t->post("/v1/sandboxes/$r->{json}{id}/fork", idem => undef);
    $t->post('/v1/sandboxes/' . 'sb_' . 'a' x 20 . '/fork', idem => $t->idem);
});
grows("$api\{route=\"POST /v1/sandboxes\",status=\"4xx\"}", 1, 'a 4xx',
      sub { $t->post('/v1/sandboxes', body => '{') });
grows("$api\{route=\"GET /v1/sandboxes/{id}\",status=\"2xx\"}", 2,
      'GET of any id is one route', sub {
    $t->get("/v1/sandboxes/$r->{json}{id}") for 1 .. 2;
});
ok(wait_for(5, sub { metrics()->{sandbox_sandboxes} == 1 }),
   'it has a place on the node');
is(metrics()->{sandbox_sandboxes_max},
   (read_file("$dir/etc/nginx.conf") =~ /^[^#]*\bsandboxes=(\d+)/m)[0] // 256,
   'which has so many');
is($t->post("/v1/sandboxes/$r->{json}{id}/timeout",
            json => { timeout_ms => 12_000 })->{status}, 200,
   'its deadline is moved');
$born = time();
grows("$api\{route=\"none\",status=\"4xx\"}", 2, 'no route at all', sub {
    $t->get('/v1/nothing');
    $t->request('PATCH', '/v1/sandboxes');
});

# --- traffic -----------------------------------------------------------------

my $id = $r->{json}{id};
my $traffic = 'sandbox_traffic_requests_total';
grows("$traffic\{outcome=\"unreachable\"}", 2, 'a closed port', sub {
    $t->traffic($id, 8000, GET => '/') for 1 .. 2;
});
grows("$traffic\{outcome=\"refused\"}", 1, 'a port that is not allowed',
      sub { $t->traffic($id, 22, GET => '/') });
grows("$traffic\{outcome=\"not_found\"}", 1, 'an unknown sandbox', sub {
    $t->request('GET', '/', key => undef, to => $t->{traffic},
                headers => [Host => "80-sb-nothing.$t->{domain}"]);
});
grows('sandbox_route_cache_lookups_total{result="hit"}', 1, 'a hit',
      sub { $t->traffic($id, 8000, GET => '/') });

# --- its end by the deadline -------------------------------------------------

ok(wait_for(3, sub { total(metrics(), 'sandbox_operations') == 0 }),
   'no operation is in flight');
ok(wait_for(20 + $born + 12 - time(), sub {
    metrics()->{'sandbox_destroys_total{cause="deadline"}'} == 1
}), 'its end is counted as the deadline\'s');

ok(wait_for(5, sub { metrics()->{sandbox_sandboxes} == 0 }),
   'its place is free');

my $m = metrics();
cmp_ok($m->{sandbox_agenda_lateness_seconds_count}, '>=', 1,
       'who looked at the agenda');
cmp_ok($m->{sandbox_agenda_lateness_seconds_sum}
       / ($m->{sandbox_agenda_lateness_seconds_count} || 1), '<', 5, 'was in time');
is($m->{'sandbox_destroys_total{cause="api"}'}, 0, 'no DELETE');

# --- more members than there is room for ---------------------------------------

my @workers = $t->workers;
my $usual = read_file("$dir/etc/nginx.conf");
my $tight = $usual;
$tight =~ s/(thread_pool sandbox_refill) .*;/$1 threads=1 max_queue=1;/
    && $tight =~ s/(sandbox_warm_pools) .*;/$1 parallel=4 interval=1s;/
    or die 'no sandbox_refill, or no sandbox_warm_pools';
write_file("$dir/etc/nginx.conf", $tight);
$t->stack('reload', 'nginx');
ok(workers_are_new(@workers), 'one thread for members, and a queue of one');

my $pools = SandboxPools->new($t);
my $overflows = 'sandbox_thread_pool_overflows_total';
$before = metrics();
my $pool = $pools->make('tight', min_ready => 4, max_ready => 4);
$after = metrics_after($before, "$overflows\{pool=\"refill\"}", 1);
cmp_ok($after->{"$overflows\{pool=\"refill\"}"}, '>=', 1,
       'members that are too many overflow their own pool of threads');
is($after->{"$overflows\{pool=\"$_\"}"}, 0, "and not \"$_\"")
    for 'quick', 'slow';
is($pools->request('POST', "/$pool/drain", json => {})->{status}, 200,
   'drained');
ok(wait_for(60, sub {
    $pools->request('DELETE', "/$pool")->{status} == 200
}), 'and deleted');
write_file("$dir/etc/nginx.conf", $usual);

# --- a busy worker and a busy host -------------------------------------------

my $conf = read_file("$dir/etc/nginx.conf");
$conf =~ s{(\ *location\ =\ /metrics\ \{)}{
        location = /nowhere/ { sandbox_traffic on; }
        location = /burn {
            if (\$arg_a ~ "^(a|a)*\$") { return 200 one; }
            if (\$arg_a ~ "^(a|a)*\$") { return 200 two; }
            if (\$arg_a ~ "^(a|a)*\$") { return 200 three; }
            return 200 none;
        }

$1}x or die 'no location = /metrics';
write_file("$dir/etc/nginx.conf", $conf);

@workers = $t->workers;
$before = metrics();
$t->stack('reload', 'nginx');
ok(workers_are_new(@workers), 'a reload replaces the workers');
$after = metrics();
is($after->{$_}, $before->{$_}, "$_ is kept")
    for 'sandbox_creates_total{outcome="created"}',
        'sandbox_create_seconds_sum',
        "$api\{route=\"POST /v1/sandboxes\",status=\"4xx\"}";
is(scalar(grep { /^sandbox_operations/ } keys %$after), 2,
   'gauges are those of the new workers');

grows("$traffic\{outcome=\"failed\"}", 1, 'traffic without proxy_pass', sub {
    is($t->get('/nowhere/', key => undef)->{status}, 500,
       'a location that leads nowhere');
});

# Regular expressions that try all ways to fail, with a longer text until it
# takes long enough; from some length on PCRE gives up.  On a busy host, part of
# each is a wait for a CPU, which is no stall: it is tried until one shows.
my $n = 14;
my $mark = $t->log_mark;
my $stalls = 'sandbox_event_loop_stalls_total';
my @lines;
$before = metrics();

for (1 .. 40) {
    $t->get('/burn?a=' . 'a' x $n . 'b', key => undef);
    sleep 0.1;
    my $text = $t->log_text($mark);
    @lines = ();
    while ($text =~ /stood still for (\d+) ms, on a CPU for (\d+) ms/g) {
        push @lines, { still => $1, ran => $2 };
    }
    last if grep { $_->{still} >= 30 && $_->{ran} >= 15 } @lines;
    $n++ if $n < 20;
}

my ($line) = sort { $b->{still} <=> $a->{still} }
             grep { $_->{ran} >= 15 } @lines;
cmp_ok($line->{still} // 0, '>=', 30,
       'a request that computes has a line in the log, which says so');
$after = metrics_after($before, $stalls, scalar @lines);
is($after->{$stalls} - $before->{$stalls}, scalar @lines,
   'each line is a stall');
cmp_ok((sort { $b <=> $a } map { $after->{$_} }
        grep { /^sandbox_event_loop_stall_seconds_max/ } keys %$after)[0],
       '>=', ($line->{still} // 30) / 1000, 'with its length');

# Stopped while it waits for events: late, and not its own fault.  One that is
# caught at work has stalled, so it is tried until one was waiting.
sub while_stopped {
    kill STOP => @_;
    sleep 0.3;
    kill CONT => @_;
    sleep 0.1;
}

my $lag = 'sandbox_event_loop_lag_seconds_bucket{le="0.200000"}';
my $inf = 'sandbox_event_loop_lag_seconds_bucket{le="+Inf"}';
@workers = $t->workers;
for (1 .. 5) {
    $before = metrics();
    while_stopped($workers[0]);
    $after = metrics();
    last if $after->{$stalls} == $before->{$stalls};
}
cmp_ok($after->{$inf} - $after->{$lag}, '>', $before->{$inf} - $before->{$lag},
       'a worker that was stopped has a lag');
is($after->{$stalls}, $before->{$stalls}, 'and no stall');

# A CPU with others on it, all of them more important than the worker.
sub hogs {
    my ($cpu, $n) = @_;
    my @pids;

    for (1 .. $n) {
        my $pid = fork() // die "cannot fork: $!";
        if ($pid == 0) {
            exec('taskset', '-c', $cpu, $^X, '-e',
                 'my $end = time + 20; 1 while time < $end')
                or POSIX::_exit(127);
        }
        push @pids, $pid;
    }

    return guard(sub { kill KILL => @pids; waitpid($_, 0) for @pids });
}

@workers = $t->workers;
my $cpu = (split /[-,]/, (grep { s/^Cpus_allowed_list:\s*// }
                          split /\n/, read_file('/proc/self/status'))[0])[0];
run_command('taskset', '-a', '-p', '-c', $cpu, $_) for @workers;
run_command('chrt', '--idle', '-p', '0', $_) for @workers;
my $lags = 'sandbox_event_loop_lag_seconds_sum';
$before = metrics();
{
    my $busy = hogs($cpu, 3);
    my $load = SandboxHttp->new($t->{api});
    my $end = time() + 15;
    while (time() < $end) {
        $load->request('GET', '/v1/nothing') or last;
        last if metrics()->{$lags} - $before->{$lags} > 0.3;
    }
}
$after = metrics();
cmp_ok($after->{$lags} - $before->{$lags}, '>', 0.3,
       'a worker without a CPU is late');
cmp_ok($after->{$stalls} - $before->{$stalls}, '<=', 1,
       'which is no stall of its own');

# --- kill -9 -----------------------------------------------------------------

$before = metrics();
$t->expect_log(qr/worker process \d+ exited on signal 9/);
kill KILL => @workers;
ok(workers_are_new(@workers), 'killed workers are replaced');
wait_for(10, sub { total(metrics(), 'sandbox_redis_connected') == 4 });
$after = metrics();
is($after->{$_}, $before->{$_}, "$_ is kept")
    for 'sandbox_creates_total{outcome="created"}', $stalls,
        'sandbox_destroys_total{cause="deadline"}';
is_deeply([sort grep { /^sandbox_operations/ } keys %$after],
          ['sandbox_operations{worker="0"}', 'sandbox_operations{worker="1"}'],
          'the new ones take the places of the dead');

# --- Redis -------------------------------------------------------------------

is(total($after, 'sandbox_redis_connected'), 4, 'all connections stand');
$t->stack('stop', 'redis');
ok(wait_for(10, sub { total(metrics(), 'sandbox_redis_connected') == 0 }),
   'none does without Redis');
$t->stack('start', 'redis');
ok(wait_for(20, sub { total(metrics(), 'sandbox_redis_connected') == 4 }),
   'all are back');
my $reconnects = 'sandbox_redis_reconnects_total';
is(metrics()->{$_} - $after->{$_}, 2, $_)
    for "$reconnects\{link=\"commands\"}", "$reconnects\{link=\"events\"}";

my ($redis) = $t->stack('status') =~ /^redis running, pid (\d+)/m;
is(metrics()->{sandbox_redis_timeouts_total}, 0, 'all was answered in time');
kill STOP => $redis;
my $proxied = "$traffic\{outcome=\"proxied\"}";
$before = metrics();
my $gone = SandboxHttp->new($t->{traffic});
$gone->send($gone->format_request('GET', '/', [Host => $t->host($id, 8000)]));
sleep 0.2;
$gone->close;
$t->get("/v1/sandboxes/$id");
is(metrics()->{$proxied}, $before->{$proxied},
   'a client that leaves before there is an answer is not counted as proxied');
my $left = "$traffic\{outcome=\"left\"}";
is(metrics()->{$left}, $before->{$left} + 1, 'but as one who left');
ok(wait_for(5, sub { metrics()->{sandbox_redis_timeouts_total} }),
   'a command that is not answered');
kill CONT => $redis;
ok(wait_for(20, sub { total(metrics(), 'sandbox_redis_connected') == 4 }),
   'and Redis is back');

# --- the steps of a fork -----------------------------------------------------

my $source = $t->create({ memory_mb => 128 });
my $take = 'sandbox_create_step_seconds_total{step="take"}';
$before = metrics();
$r = $t->post("/v1/sandboxes/$source->{id}/fork", idem => $t->idem);
is($r->{status}, 201, 'a fork') or diag($r->{body});
my $fork = $t->sandbox($r);
%timing = $r->{headers}{'server-timing'} =~ /(\w+);dur=(\d+)/g;
cmp_ok($timing{take}, '>', 0, 'its source is taken');
is(sprintf('%.0f', 1000 * (metrics()->{$take} - $before->{$take})),
   $timing{take}, 'which counts');
$steps = -$timing{total};
$steps += $_ for values %timing;
cmp_ok($steps, '>=', 0.8 * $timing{total}, 'the steps are most of it')
    or diag($r->{headers}{'server-timing'});
undef $fork;
undef $source;

$t->finish;
