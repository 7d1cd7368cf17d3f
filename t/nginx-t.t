#!/usr/bin/perl

# Configuration mistakes are found by "nginx -t", in words that say what to
# change.  No stack: nginx checks, in an empty network namespace.

use FindBin;
use lib "$FindBin::Bin/lib";
use lib "$FindBin::Bin/../scripts/lib";
use File::Temp qw(tempdir);
use SandboxTest;
use StackConf qw(nginx_conf read_file write_file);

$> == 0 or plan(skip_all => 'needs root, for namespaces');

my $top = $SandboxTest::top;
my $module = "$top/build/module/ngx_http_sandbox_module.so";
my $dir = tempdir('sandbox-test-XXXXXX', CLEANUP => 1,
                  DIR => $ENV{SANDBOX_TEST_TMP} // '/var/tmp');

-e $module or BAIL_OUT("there is no $module; run scripts/build");
plan(skip_all => 'the same without sanitizers') if SandboxTest::sanitized();

# --- a template that nginx accepts -------------------------------------------

my %manifest = (
    name => 'base', version => '1', arch => 'x86_64', kernel => 'kernel',
    initrd => 'initrd', disk => 'disk.qcow2', cmdline => 'quiet',
    disk_mb => 512, min_memory_mb => 128, workdir => '/workspace',
    desktop => JSON::PP::false,
);

sub template {
    my ($name, %change) = @_;
    my %m = (%manifest, %change);

    mkdir "$dir/$name";
    mkdir "$dir/$name/base";
    write_file("$dir/$name/base/$_", "x\n") for qw(kernel initrd);
    my ($rc, $text) = run_command(qw(qemu-img create -q -f qcow2),
                                  "$dir/$name/base/disk.qcow2", '512M');
    die $text if $rc;
    delete @m{grep { !defined $m{$_} } keys %m};
    write_file("$dir/$name/base/manifest.json", json->encode(\%m));
}

template('templates');

# --- one configuration, changed for each case --------------------------------

my @main = (
    ['sandbox_zone', 'sandboxes:1m'],
    ['sandbox_redis', 'unix:/run/redis.sock'],
    ['sandbox_libvirt', 'qemu:///system'],
    ['sandbox_accel', 'tcg'],
    ['sandbox_data_dir', '/var/lib/x'],
    ['sandbox_templates', "$dir/templates"],
    ['sandbox_network', 'bridge=sbx0 subnet=10.88.0.0/16 dns=9.9.9.9'],
    ['sandbox_domain', 'sandbox.test'],
    ['sandbox_node', 'node1'],
    ['sandbox_thread_pools', 'quick=quick slow=slow'],
    ['sandbox_limits', 'vcpus=8 memory_mb=1024 disk_mb=4096 sandboxes=9 '
                       . 'timeout=1h'],
    ['sandbox_checkpoints', 'on'],
    ['sandbox_boot_timeout', '60s'],
    ['sandbox_wake_timeout', '30s'],
    ['sandbox_lease', '15s'],
    ['sandbox_reconcile', 'interval=10s grace=30s orphans=keep'],
    ['sandbox_warm_pools', 'parallel=2 interval=5s check=30s'],
    ['sandbox_route_ttl', '10s'],
    ['sandbox_route_stale', '10s'],
    ['sandbox_traffic_limits', 'connections=9 rate=10r/m burst=5 age=1h'],
    ['sandbox_api_limits', 'rate=10r/s burst=5'],
    ['sandbox_wake_limit', '10 1h'],
    ['sandbox_idempotency_wait', '30s'],
    ['sandbox_idempotency_retention', '24h'],
);

# change: directive => arguments (undef: without it), or add, upstream, api,
# traffic => text.
sub conf {
    my (%change) = @_;
    my $http = '';

    for (@main) {
        my ($name, $value) = @$_;
        $value = delete $change{$name} if exists $change{$name};
        $http .= "    $name $value;\n" if defined $value;
    }

    my %text = (
        add => '',
        upstream => 'sandbox_peer; keepalive 4;',
        api => 'sandbox_api on; proxy_pass http://sandboxes;',
        traffic => 'sandbox_traffic on; proxy_pass http://sandboxes;',
        %change,
    );

    return <<"END";
load_module $module;
pid $dir/pid;
error_log stderr;
thread_pool quick threads=1;
thread_pool slow threads=1;
events { }
http {
$http    $text{add}
    upstream sandboxes { $text{upstream} }
    server {
        listen 127.0.0.1:1;
        location / { $text{api} }
        location /traffic/ { $text{traffic} }
    }
}
END
}


sub check {
    my ($text) = @_;

    write_file("$dir/nginx.conf", $text);
    return run_command(qw(unshare --net -- nginx -t -p), $dir, '-c',
                       "$dir/nginx.conf");
}


sub accepted {
    my ($name, %change) = @_;
    my ($rc, $text) = check(conf(%change));

    is($rc, 0, $name) or diag($text);
}


# A mistake: the text that must be in one [emerg] line.
sub refused {
    my ($name, $words, %change) = @_;
    my ($rc, $text) = check(conf(%change));
    my @lines = grep { /\[emerg\]/ } split /\n/, $text;

    is($rc, 1, $name) or diag($text);
    like(join("\n", @lines), $words, 'in clear words');
    is(scalar(@lines), 1, 'and only once') or diag($text);
    unlike($text, qr/Sanitizer|runtime error|signal/, 'without a crash');
}

# --- good ones ---------------------------------------------------------------

accepted('all directives');
accepted('only what is required',
         map { $_ => undef } qw(sandbox_libvirt sandbox_accel sandbox_data_dir
         sandbox_node sandbox_limits sandbox_checkpoints sandbox_boot_timeout
         sandbox_wake_timeout sandbox_lease sandbox_reconcile sandbox_route_ttl
         sandbox_route_stale sandbox_traffic_limits sandbox_api_limits
         sandbox_wake_limit sandbox_warm_pools
         sandbox_idempotency_wait sandbox_idempotency_retention));
accepted('no domain without traffic', sandbox_domain => undef,
         traffic => 'return 204;');
accepted('no directive of ours at all', (map { $_->[0] => undef } @main),
         upstream => 'server 127.0.0.1;', api => 'return 204;',
         traffic => 'return 204;');
accepted('Redis by address', sandbox_redis => '127.0.0.1:6379 db=3 user=u '
         . 'password=p prefix=x: timeout=500ms connect_timeout=2s');
accepted('Redis by name', sandbox_redis => 'localhost');
accepted('Redis by IPv6', sandbox_redis => '[::1]:6379');
accepted('several resolvers', sandbox_network =>
         'bridge=sbx0 subnet=10.0.0.0/8 dns=9.9.9.9 dns=1.1.1.1');
accepted('a data directory below the prefix', sandbox_data_dir => 'data');
accepted('a domain that ends in a dot', sandbox_domain => 'a-1.EXAMPLE.');
accepted('a lease of two timeouts', sandbox_lease => '2s');
accepted('a map in place of a variable of ours', add =>
         'map $http_upgrade $sandbox_connection { default upgrade; "" ""; }');
accepted('shares of threads', sandbox_thread_pools =>
         'quick=quick slow=slow refill=slow tenant_threads=1 tenant_queue=0');
accepted('a small subnet', sandbox_network => 'bridge=b subnet=10.1.1.0/30');

{
    my $text = nginx_conf(top => $top, module => $module, workers => 1,
                          log_level => 'notice', domain => 'sandbox.test',
                          node => 'n', accel => 'tcg', port_api => 1,
                          port_traffic => 2);
    $text =~ s{/run/stack/templates}{$dir/templates};
    $text =~ s{/var/log/nginx/[a-z]+\.log}{/dev/null}g;
    $text =~ s{/run/nginx\.pid}{$dir/pid};
    my ($rc, $out) = check($text);
    is($rc, 0, 'the sample configuration') or diag($out);
}

# --- missing -----------------------------------------------------------------

for my $name (qw(sandbox_zone sandbox_redis sandbox_templates sandbox_network
                 sandbox_domain sandbox_thread_pools)) {
    refused("without $name", qr/need the directive "$name"/, $name => undef);
}

# --- twice -------------------------------------------------------------------

for (@main) {
    my ($name, $value) = @$_;
    refused("$name twice", qr/"$name" directive is duplicate/,
            add => "$name $value;");
}
refused('sandbox_peer twice', qr/"sandbox_peer" directive is duplicate/,
        upstream => 'sandbox_peer; sandbox_peer;');

# --- values ------------------------------------------------------------------

for (['sandbox_zone', 'sandboxes', qr/invalid zone "sandboxes"/],
     ['sandbox_zone', 'sandboxes:x', qr/invalid zone size "sandboxes:x"/],
     ['sandbox_zone', 'sandboxes:1k', qr/"sandboxes(:1k)?" is too small/],
     ['sandbox_redis', 'unix:', qr/in "unix:"/],
     ['sandbox_redis', '127.0.0.1:99999', qr/invalid port in/],
     ['sandbox_redis', 'no-such-host.invalid',
      qr/host not found in "no-such-host\.invalid"/],
     ['sandbox_redis', 'unix:/x db=x', qr/invalid parameter "db=x"/],
     ['sandbox_redis', 'unix:/x db=-1', qr/invalid parameter "db=-1"/],
     ['sandbox_redis', 'unix:/x timeout=0', qr/invalid parameter "timeout=0"/],
     ['sandbox_redis', 'unix:/x timeout=1y2', qr/invalid parameter "timeout=/],
     ['sandbox_redis', 'unix:/x nothing=1',
      qr/invalid parameter "nothing=1"/],
     ['sandbox_redis', 'unix:/x prefix=' . 'x' x 65, qr/prefix.* too long/],
     ['sandbox_redis', 'unix:/x "prefix={}"', qr/"prefix" with braces/],
     ['sandbox_redis', 'unix:/x "prefix=a}b"', qr/"prefix" with braces/],
     ['sandbox_redis', 'unix:/x user=me', qr/"user" without a "password"/],
     ['sandbox_redis', 'unix:/x timeout=8s', qr/twice the "timeout"/],
     ['sandbox_accel', 'fast', qr/invalid value "fast"/],
     ['sandbox_network', 'bridge=sbx0', qr/needs both "bridge=" and "subnet="/],
     ['sandbox_network', 'subnet=10.88.0.0/16',
      qr/needs both "bridge=" and "subnet="/],
     ['sandbox_network', 'bridge= subnet=10.88.0.0/16',
      qr/invalid parameter "bridge="/],
     ['sandbox_network', 'bridge=a-very-long-bridge subnet=10.88.0.0/16',
      qr/invalid parameter "bridge=a-very-long-bridge"/],
     ['sandbox_network', 'bridge=br0.100 subnet=10.88.0.0/16',
      qr/invalid parameter "bridge=br0\.100"/],
     ['sandbox_network', 'bridge=b subnet=10.88.0.0/31',
      qr{invalid parameter "subnet=10\.88\.0\.0/31"}],
     ['sandbox_network', 'bridge=b subnet=8.0.0.0/7',
      qr{invalid parameter "subnet=8\.0\.0\.0/7"}],
     ['sandbox_network', 'bridge=b subnet=fd00::/64',
      qr{invalid parameter "subnet=fd00::/64"}],
     ['sandbox_network', 'bridge=b subnet=10.88.0.0/16 dns=resolver',
      qr/invalid parameter "dns=resolver"/],
     ['sandbox_network', 'bridge=b subnet=10.88.0.0/16 mtu=9000',
      qr/invalid parameter "mtu=9000"/],
     ['sandbox_thread_pools', 'quick=quick slow=missing',
      qr/unknown thread pool "missing"/],
     ['sandbox_thread_pools', 'quick=quick quick=quick',
      qr/needs both "quick=" and "slow="/],
     ['sandbox_thread_pools', 'quick=quick fast=slow',
      qr/invalid parameter "fast=slow"/],
     ['sandbox_thread_pools', 'quick=slow slow=slow', qr/needs two pools/],
     ['sandbox_thread_pools', 'quick=quick slow=slow tenant_threads=0',
      qr/invalid parameter "tenant_threads=0"/],
     ['sandbox_thread_pools', 'quick=quick slow=slow tenant_queue=-1',
      qr/invalid parameter "tenant_queue=-1"/],
     ['sandbox_limits', 'memory_mb=127', qr/less than the template "base"/],
     ['sandbox_limits', 'disk_mb=511', qr/less than the template "base"/],
     ['sandbox_limits', 'vcpus=0', qr/invalid parameter "vcpus=0"/],
     ['sandbox_limits', 'vcpus=99999', qr/invalid parameter "vcpus=99999"/],
     ['sandbox_limits', 'disk_mb=131073',
      qr/invalid parameter "disk_mb=131073"/],
     ['sandbox_limits', 'memory_mb=1g', qr/invalid parameter "memory_mb=1g"/],
     ['sandbox_limits', 'sandboxes=', qr/invalid parameter "sandboxes="/],
     ['sandbox_limits', 'timeout=0', qr/invalid parameter "timeout=0"/],
     ['sandbox_limits', 'gpus=1', qr/invalid parameter "gpus=1"/],
     ['sandbox_boot_timeout', '0', qr/value must be between/],
     ['sandbox_boot_timeout', 'x', qr/invalid value/],
     ['sandbox_wake_timeout', '0', qr/value must be between/],
     ['sandbox_lease', '10ms', qr/value must be between/],
     ['sandbox_traffic_limits', 'connections=65536', qr/invalid parameter/],
     ['sandbox_traffic_limits', 'rate=10', qr/invalid parameter "rate=10"/],
     ['sandbox_traffic_limits', 'rate=0r/s', qr/invalid parameter/],
     ['sandbox_traffic_limits', 'age=-1', qr/invalid parameter "age=-1"/],
     ['sandbox_api_limits', 'connections=1', qr/invalid parameter/],
     ['sandbox_wake_limit', '0', qr/invalid parameter "0"/],
     ['sandbox_wake_limit', '5 10ms', qr/invalid parameter "10ms"/],
     ['sandbox_lease', '1s', qr/twice the "timeout"/],
     ['sandbox_data_dir', '""', qr/"sandbox_data_dir" has no value/],
     ['sandbox_reconcile', 'interval=10ms', qr/invalid parameter "interval/],
     ['sandbox_warm_pools', 'parallel=0', qr/invalid parameter "parallel=0"/],
     ['sandbox_warm_pools', 'interval=1ms', qr/invalid parameter "interval/],
     ['sandbox_warm_pools', 'check=0', qr/invalid parameter "check=0"/],
     ['sandbox_warm_pools', 'size=2', qr/invalid parameter "size=2"/],
     ['sandbox_thread_pools', 'quick=quick slow=slow refill=quick',
      qr/needs two pools/],
     ['sandbox_reconcile', 'grace=-1s', qr/invalid parameter "grace=-1s"/],
     ['sandbox_reconcile', 'orphans=eat', qr/invalid parameter "orphans=eat"/],
     ['sandbox_domain', '""', qr/sandbox_domain/],
     ['sandbox_domain', '.', qr/invalid sandbox_domain/],
     ['sandbox_domain', '*.a', qr/invalid sandbox_domain/],
     ['sandbox_domain', 'a..b', qr/invalid sandbox_domain/],
     ['sandbox_domain', 'a-.b', qr/invalid sandbox_domain/],
     ['sandbox_domain', '-a', qr/invalid sandbox_domain/],
     ['sandbox_domain', 'a-', qr/invalid sandbox_domain/],
     ['sandbox_domain', 'a:80', qr/invalid sandbox_domain/],
     ['sandbox_domain', 'a' x 201, qr/invalid sandbox_domain/],
     ['sandbox_domain', 'a b', qr/invalid number of arguments/],
     ['sandbox_node', '""', qr/sandbox_node/],
     ['sandbox_templates', "$dir/nowhere", qr/\Q$dir\E\/nowhere/]) {
    my ($name, $value, $words) = @$_;
    refused("$name " . substr($value, 0, 40), $words, $name => $value);
}

refused('an empty folder of templates', qr/no template in "\Q$dir\E\/none"/,
        sandbox_templates => do { mkdir "$dir/none"; "$dir/none" });

# --- places ------------------------------------------------------------------

refused('both in one location', qr/"sandbox_api" and "sandbox_traffic" exclu/,
        api => 'sandbox_api on; sandbox_traffic on; '
               . 'proxy_pass http://sandboxes;');
accepted('one below the other of the whole server',
         add => 'sandbox_api on;', api => 'proxy_pass http://sandboxes;');
accepted('and the other way round', add => 'sandbox_traffic on;',
         traffic => 'proxy_pass http://sandboxes;');
refused('both for the whole server', qr/"sandbox_api" and "sandbox_traffic" e/,
        add => 'sandbox_api on; sandbox_traffic on;');
refused('sandbox_api maybe', qr/invalid value "maybe"/,
        api => 'sandbox_api maybe;');
refused('sandbox_metrics maybe', qr/invalid value "maybe"/,
        api => 'sandbox_metrics maybe;');
refused('sandbox_metrics in http {}',
        qr/"sandbox_metrics" directive is not allowed/,
        add => 'sandbox_metrics on;');
refused('metrics of nothing', qr/"sandbox_metrics" has nothing to tell/,
        api => 'sandbox_metrics on;', traffic => 'return 204;');
accepted('metrics beside the API',
         traffic => 'sandbox_metrics on;', sandbox_domain => undef);
refused('metrics and the API in one location',
        qr/"sandbox_metrics" stands in a location of its own/,
        traffic => 'sandbox_api on; sandbox_metrics on;');
accepted('metrics below an API for the whole server', add => 'sandbox_api on;',
         api => '', traffic => 'sandbox_metrics on;');
refused('sandbox_peer after keepalive', qr/must stand before "keepalive"/,
        upstream => 'keepalive 4; sandbox_peer;');
refused('sandbox_peer in a location', qr/"sandbox_peer" directive is not allo/,
        api => 'sandbox_peer;');
refused('sandbox_redis in a location',
        qr/"sandbox_redis" directive is not allowed/,
        api => 'sandbox_redis unix:/x;');

# --- templates ---------------------------------------------------------------

for (['no kernel', qr/"kernel"/, kernel => undef],
     ['a kernel that is not there', qr/"kernel".*nothing/,
      kernel => 'nothing'],
     ['a kernel elsewhere', qr/"kernel"/, kernel => '../../kernel'],
     ['a kernel by its full name', qr/"kernel"/, kernel => '/etc/passwd'],
     ['another name', qr/"name"/, name => 'other'],
     ['another machine', qr/"arch"/, arch => 'riscv64'],
     ['a disk that is none', qr/"disk".*qcow2/, disk => 'kernel'],
     ['a size that is a text', qr/"disk_mb"/, disk_mb => '512'],
     ['a size that is not the disk\'s', qr/"disk_mb"/, disk_mb => 1024],
     ['no memory', qr/"min_memory_mb"/, min_memory_mb => undef],
     ['a member that is not known', qr/"colour"/, colour => 'red']) {
    my ($name, $words, %change) = @$_;
    template('bad', %change);
    refused("a template with $name", $words, sandbox_templates => "$dir/bad");
}

for my $name ('base-', 'a..b') {
    template('odd', name => $name);
    rename("$dir/odd/base", "$dir/odd/$name") or die $!;
    refused("a template \"$name\"", qr/no create can name the template "\Q$name/,
            sandbox_templates => "$dir/odd");
    run_command('rm', '-r', "$dir/odd");
}

write_file("$dir/bad/base/manifest.json", "{\n");
refused('a manifest that is not JSON', qr{bad/base/manifest\.json},
        sandbox_templates => "$dir/bad");

# --- what other modules see of this one --------------------------------------

my ($rc, $symbols) = run_command(qw(nm -D --defined-only), $module);
is($rc, 0, 'the module has a table of symbols') or diag($symbols);
is_deeply([sort $symbols =~ /(\S+)$/mg],
          [qw(ngx_module_names ngx_module_order ngx_modules)],
          'it exports what nginx looks up, and nothing else');

done_testing();
