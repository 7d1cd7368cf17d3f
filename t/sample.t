#!/usr/bin/perl

# The sample of conf/ as it stands, with TLS, on its own paths, in a mount
# namespace where those paths are empty directories of ours: "nginx -t" of a host
# that is only a node, and an nginx with another server that takes the node in.
# And what conf/systemd has for a node, as systemd reads it, and what the
# documentation copies from the sample.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;
use File::Temp qw(tempdir);

$> == 0 or plan(skip_all => 'needs root, for namespaces');

my $top = $SandboxTest::top;
my $module = "$top/build/module/ngx_http_sandbox_module.so";
my @manifests = glob "\Q$top\E/build/templates/*/manifest.json";

-e $module or BAIL_OUT("there is no $module; run scripts/build");
@manifests or BAIL_OUT('there is no template; run vm-images/build');

# Lays the files of a node out, and then does what is in "$2".
my $script = <<'END';
set -eu
top=$1
cd "$top"
modules=$(readlink -m /usr/share/nginx/modules)
exec 3<build 4</etc/nginx

for dir in /etc/nginx /var/lib /var/log /run "$(dirname "$modules")"; do
    [ ! -d "$dir" ] || mount -t tmpfs tmpfs "$dir"
done
# where Debian's link leads, unless there is nothing yet
mkdir -p "$modules" 2>/dev/null || {
    mount -t tmpfs tmpfs /usr/share/nginx
    modules=/usr/share/nginx/modules
    mkdir "$modules"
}

mkdir -p /etc/nginx/sandbox /etc/nginx/modules-enabled /etc/nginx/conf.d \
    /etc/nginx/sites-enabled /var/log/nginx /var/lib/nginx /run/redis \
    /var/lib/nginx-sandbox/templates
mount --no-canonicalize --bind /proc/self/fd/3/templates \
    /var/lib/nginx-sandbox/templates
cp /proc/self/fd/3/module/ngx_http_sandbox_module.so "$modules/"
cp conf/sandbox-module.conf /etc/nginx/modules-enabled/60-sandbox.conf
cp conf/sandbox.conf /etc/nginx/conf.d/

for name in api traffic; do
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 2 \
        -keyout "/etc/nginx/sandbox/$name.key" \
        -out "/etc/nginx/sandbox/$name.crt" 2>/dev/null
done

eval "$2"
END

# Returns the status and the output of commands among these files.
sub among {
    my ($commands) = @_;

    return run_command(qw(unshare --mount --net --propagation private --), 'sh',
                       '-c', $script, 'sample', $top, $commands);
}

# nginx 1.22 has no other way to say it.
sub no_warning {
    my ($text, $name) = @_;

    $text =~ s/^.*\Qthe "listen ... http2" directive is deprecated\E.*$//mg;
    unlike($text, qr/\[(?:warn|error|alert|crit|emerg)\]/, $name);
}

my ($rc, $text) = among('cp conf/nginx.conf /etc/nginx/; exec nginx -t');

is($rc, 0, 'nginx accepts the production sample') or diag($text);
no_warning($text, 'without a warning');

# Debian's own main file, and a server with all that is said once an address.
($rc, $text) = among(<<'END');
cp /proc/self/fd/4/nginx.conf /proc/self/fd/4/mime.types /etc/nginx/
cat >/etc/nginx/sites-enabled/default <<'SITE'
server {
    listen 80 default_server;
    listen 443 ssl http2 default_server;
    server_name www.example.com;
    ssl_certificate /etc/nginx/sandbox/api.crt;
    ssl_certificate_key /etc/nginx/sandbox/api.key;
    location / { return 200 "the site that was there\n"; }
}
SITE
nginx -t
ip link set lo up
nginx
trap 'nginx -s stop' EXIT
get() {
    curl -sS --insecure --max-time 10 --resolve "$1:443:127.0.0.1" "https://$1$2"
}
get www.example.com /
get unknown.example.org /
get api.example.com /healthz
get api.example.com /v1/sandboxes; echo
get 8000-sb-none.sandbox.example.net '/a?token=secret' >/dev/null
cd /var/log/nginx
echo "logs: $(grep -c . access.log) $(grep -c . sandbox.log)"
grep -o '"GET /a.*"' sandbox.log
END

SKIP: {
    -e '/etc/nginx/nginx.conf' or skip('no configuration of Debian here', 3);

    is($rc, 0, 'an nginx with another server takes the node in') or diag($text);
    no_warning($text, 'without a warning');
    like($text, qr/(?:the\ site\ that\ was\ there\n){2} ok\n
                   \{.*"code":"unauthorized".*\}\n .* logs:\ 2\ 2\n
                   "GET\ \/a\ HTTP\/[0-9.]+"$/xms,
         'and both answer, each with a log of its own, without queries')
        or diag($text);
}

{
    my $conf = SandboxLeft::slurp("$top/conf/sandbox.conf");
    my ($domain) = $conf =~ /^sandbox_domain (\S+);/m;
    my ($api) = $conf =~ /^    server_name ([^*;\s]+);/m;
    my ($far, $near) = map { ($_ // '') =~ /([^.]+\.[^.]+)$/ } $domain, $api;

    isnt($near, $far, 'no cookie of a sandbox is for the name of the API');
}

# --- conf/systemd --------------------------------------------------------------

SKIP: {
    my $dir = tempdir('sandbox-units-XXXXXX', DIR => '/var/tmp', CLEANUP => 1);

    -x '/usr/bin/systemd-analyze' or skip('no systemd here', 1);

    ($rc, $text) = run_command('sh', '-c', <<'END', 'units', $top, $dir);
set -eu
cp -r "$1"/conf/systemd/* "$2"
mv "$2/memory.mount" \
    "$2/$(systemd-escape -p --suffix=mount /var/lib/nginx-sandbox/memory)"
# what the steps put into /usr/local/sbin
for name in host-network libvirt-purge lock-programs sandbox-network-watch \
    sandbox-memory-broker; do
    ln -s /bin/true "$2/$name"
done
find "$2" -type f -exec sed -i "s|/usr/local/sbin|$2|" {} +
cd "$2"
SYSTEMD_UNIT_PATH=$2: exec systemd-analyze verify --man=no ./*.service \
    ./*.mount libvirtd.service libvirtd.socket libvirtd-ro.socket \
    nginx.service redis-server.service
END

    is("$rc $text", '0 ', 'systemd accepts the units of a node');
}

{
    chdir $top or die $!;
    open(my $fh, '<', 'docs/stack.md') or die $!;
    my ($steps) = do { local $/; <$fh> } =~ /^## A production node\n(.*?)(?=^## |\z)/ms;
    my @named = map { glob } $steps =~ m{(?<![\w/])((?:conf|scripts|vm-images)/[^\s`):;]+)}g;
    my %named = map { $_ => 1 } @named;
    my @missing = grep { !-e } @named;
    my @unnamed = grep { !$named{$_} } glob 'conf/systemd/*';

    is_deeply(\@missing, [], 'the steps of a node name what is there');
    is_deeply(\@unnamed, [], 'and all that systemd gets');

    for my $value ('sbx0', '10.88.0.0/16', '/var/lib/nginx-sandbox',
                   'www-data') {
        my ($files) = $steps =~ /^\| `\Q$value\E` \| (.*) \|$/m;
        is_deeply([sort(($files // '') =~ m{`(conf/[^`]+)`}g)],
                  [sort grep { SandboxLeft::slurp($_) =~ /\Q$value\E\b/ }
                   grep { -f } glob 'conf/* conf/*/* conf/*/*/*'],
                  "where another $value is to be written");
    }
}

# --- what is copied from it ----------------------------------------------------

# The server {} of a file that has "name on;", itself and its location /: their
# directives, in order of the alphabet.
sub directives {
    my ($file, $name) = @_;
    my $text = SandboxLeft::slurp("$top/$file");

    $text =~ s/\s*#.*//mg;
    $text =~ s/^\s*location (?!\/ ).*?\}//msg;
    my ($server) = grep { /^\s*$name on;/m }
                   $text =~ /^(\ *server\ \{\n.*?\}\n\s*\})/gms;
    my ($own, $location) = ($server // '') =~ /\{(.*)location \/ \{(.*)\}/s
        or return;

    my $of_a_host = qr/^(?:listen|server_name|ssl_\w+|access_log|server_tokens
                         |request_pool_size)\ /x;

    return (sort grep { !/$of_a_host/ }
            map { s/\s+/ /gr =~ s/^ //r } $own =~ /[^;]+;/g),
           'location /', sort map { s/\s+/ /gr } $location =~ /[^;]+;/g;
}

for ('sandbox_api', 'sandbox_traffic') {
    is_deeply([directives('docs/directives.md', $_)],
              [directives('conf/sandbox.conf', $_)],
              "the documentation of $_ has all of its server");
}

done_testing();
