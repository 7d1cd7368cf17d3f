#!/usr/bin/perl

# conf/nginx.conf as it stands, with TLS, on its own paths: "nginx -t" in a
# mount namespace where those paths are empty directories of ours.  And what
# conf/systemd has for a node, as systemd reads it, and what the documentation
# copies from conf/nginx.conf.

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

my $script = <<'END';
set -eu
top=$1
cd "$top"
modules=$(readlink -m /usr/share/nginx/modules)
exec 3<build

for dir in /etc/nginx /var/lib /var/log /run "$(dirname "$modules")"; do
    [ ! -d "$dir" ] || mount -t tmpfs tmpfs "$dir"
done
# where Debian's link leads, unless there is nothing yet
mkdir -p "$modules" 2>/dev/null || {
    mount -t tmpfs tmpfs /usr/share/nginx
    modules=/usr/share/nginx/modules
    mkdir "$modules"
}

mkdir -p /etc/nginx/sandbox /var/log/nginx /var/lib/nginx /run/redis \
    /var/lib/nginx-sandbox/templates
mount --no-canonicalize --bind /proc/self/fd/3/templates \
    /var/lib/nginx-sandbox/templates
cp /proc/self/fd/3/module/ngx_http_sandbox_module.so "$modules/"
cp conf/nginx.conf /etc/nginx/

for name in api traffic; do
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 2 \
        -keyout "/etc/nginx/sandbox/$name.key" \
        -out "/etc/nginx/sandbox/$name.crt" 2>/dev/null
done

exec nginx -t
END

my ($rc, $text) = run_command(
    qw(unshare --mount --net --propagation private --),
    'sh', '-c', $script, 'sample', $top);

is($rc, 0, 'nginx accepts the production sample') or diag($text);

# nginx 1.22 has no other way to say it.
$text =~ s/^.*\Qthe "listen ... http2" directive is deprecated\E.*$//m;
unlike($text, qr/\[(?:warn|error|alert|crit|emerg)\]/, 'without a warning');

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
for name in host-network libvirt-purge sandbox-network-watch \
    sandbox-memory-broker; do
    ln -s /bin/true "$2/$name"
done
find "$2" -type f -exec sed -i "s|/usr/local/sbin|$2|" {} +
cd "$2"
SYSTEMD_UNIT_PATH=$2: exec systemd-analyze verify --man=no ./*.service \
    ./*.mount libvirtd.service libvirtd.socket libvirtd-ro.socket
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

    for my $value ('sbx0', '10.88.0.0/16', '/var/lib/nginx-sandbox') {
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

    return (sort grep { !/^(listen|server_name|ssl_\w+) / }
            map { s/\s+/ /gr =~ s/^ //r } $own =~ /[^;]+;/g),
           'location /', sort map { s/\s+/ /gr } $location =~ /[^;]+;/g;
}

for ('sandbox_api', 'sandbox_traffic') {
    is_deeply([directives('docs/directives.md', $_)],
              [directives('conf/nginx.conf', $_)],
              "the documentation of $_ has all of its server");
}

done_testing();
