#!/usr/bin/perl

# A template gets a new build, as vm-images/build makes one: files are added,
# the manifest is replaced, nginx is reloaded.  A warm pool that tracks it is
# rolled, and never has fewer members ready than it is to have; one that is
# pinned keeps what it has.  What a pool has no member for is made of its
# template all the same.

use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use SandboxHttp;
use SandboxPools;
use SandboxTest;

use constant READY => 3;

my $top = "$FindBin::Bin/..";
my $templates = tempdir('sandbox-templates-XXXXXX', CLEANUP => 1,
                        DIR => $ENV{SANDBOX_TEST_TMP} // '/var/tmp');
my $manifest = do {
    open(my $fh, '<', "$top/build/templates/base/manifest.json") or die $!;
    local $/;
    json->decode(<$fh>);
};

mkdir "$templates/$_" or die "$templates/$_: $!" for qw(base other);
chmod 0755, $templates, map { "$templates/$_" } qw(base other);

for my $file (@$manifest{qw(kernel initrd disk)}) {
    copy($file, $file);
    link "$templates/base/$file", "$templates/other/$file" or die $!;
}

write_manifest();
write_manifest({ %$manifest, name => 'other', version => 'other-build',
                 cmdline => "$manifest->{cmdline} sandbox.build=other" });

my $t = SandboxTest->new(own => 1, up => [
    '--templates', $templates,
    '--set', 'sandbox_warm_pools=parallel=2 interval=1s']);
my $pools = SandboxPools->new($t);
my $root = SandboxPools::ROOT;

sub status { return $pools->status(@_) }
sub becomes { return $pools->becomes(@_) }

sub copy {
    my ($from, $to) = @_;
    my ($rc, $text) = run_command('cp', '--reflink=auto', '--sparse=always',
                                  "$top/build/templates/base/$from",
                                  "$templates/base/$to");

    $rc == 0 or die $text;
}

sub write_manifest {
    my ($content) = (@_, $manifest);
    my $file = "$templates/$content->{name}/manifest.json";

    open(my $fh, '>', "$file.new") or die $!;
    print $fh json->encode($content);
    close $fh;
    rename "$file.new", $file or die $!;
}

sub reload {
    my @workers = $t->workers;

    $t->stack('reload', 'nginx');
    ok(wait_for(60, sub {
        my %now = map { $_ => 1 } $t->workers;
        keys %now && !grep { $now{$_} } @workers;
    }), 'nginx is reloaded');
}

# The build that an answer's sandbox runs.
sub build_in {
    my ($r) = @_;
    my $s = $t->sandbox($r);

    return $t->exec($s, 'cat /proc/cmdline')->{stdout}
               =~ /\bsandbox\.build=(\S+)/ ? $1 : 'first';
}

# A member, and the build that it runs.
sub build_of {
    my ($pool) = @_;
    my $r = $t->post('/v1/sandboxes', json => {
        warm_pool => { id => $pool, mode => 'require', wait_ms => 60_000 } });

    is($r->{status}, 201, 'a member is had') or diag($r->{body});
    return build_in($r);
}

sub members {
    my ($pool) = @_;
    my ($record) = $t->redis('KEYS', "*:pool:$pool");

    return map { grep { /./ } split /\n/,
                 $t->redis('ZRANGE', "$record:$_", 0, -1) } qw(ready old);
}

my $tracks = $pools->make('tracks', min_ready => READY,
                          version_policy => 'track_tag', track_tag => 'latest');
my $pinned = $pools->make('pinned', min_ready => 1);

becomes('one that tracks its template is filled', $tracks, ready => READY,
        warming => 0);
becomes('one that is pinned is filled', $pinned, ready => 1, warming => 0);
my %before = map { $_ => 1 } members($tracks);
my ($kept) = members($pinned);
is(build_of($tracks), 'first', 'with the build there is');

# --- a new build -------------------------------------------------------------

my $old = { %$manifest };

copy($manifest->{initrd}, 'initrd-second.img');
$manifest->{initrd} = 'initrd-second.img';
$manifest->{version} = 'second-build';
$manifest->{cmdline} .= ' sandbox.build=second';
write_manifest();

# the member that the claim has left a place for may be one of the old build
becomes('all are ready', $tracks, ready => READY, warming => 0);
reload();

my $http = SandboxHttp->new($t->{api}, 120);
my ($least, $looks, $rolled) = (READY, 0);

ok(wait_for(120, sub {
    my $r = $http->request('GET', "$root/$tracks/status",
                           [Authorization => "Bearer $t->{key}"], undef);

    if (!$r || ($r->{headers}{connection} // '') eq 'close') {
        $http = SandboxHttp->new($t->{api}, 120);
    }
    return if !$r || $r->{status} != 200;

    my $is = json->decode($r->{body});
    $least = $is->{ready} if $is->{ready} < $least;
    return if ++$looks % 10 || $is->{ready} != READY || $is->{warming};

    $rolled = !grep { $before{$_} } members($tracks);
    return $rolled && !status($tracks)->{draining};
}), 'the pool is rolled');
is($least, READY, "never with fewer ready, in $looks looks");
is($t->get("$root/$tracks")->{json}{template_version}, 'second-build',
   'it says which build it has');
is(build_of($tracks), 'second', 'and gives machines of that');
becomes('and goes on so', $tracks, ready => READY, warming => 0, reason => '');

# --- pinned ------------------------------------------------------------------

becomes('the pinned one says that its build is gone', $pinned, ready => 1,
        reason => 'artifact_not_ready');
is(join(' ', members($pinned)), $kept, 'and keeps what it has');
is(build_of($pinned), 'first', 'which is had');
becomes('none is made in its place', $pinned, ready => 0, unavailable => 1,
        claimed => 0);

%$manifest = %$old;
write_manifest();
reload();
becomes('until the build is there again', $pinned, ready => 1, reason => '');
is(build_of($pinned), 'first', 'and made of it');

# --- a miss ------------------------------------------------------------------

# The tag stands in place of that in the reference, which no template has for
# its name.  Nobody gets a member of a pool that is disabled.
my $other = $pools->make('other', template_ref => 'other:v1',
                         version_policy => 'track_tag', track_tag => 'latest');
is($t->post("$root/$other/disable", json => {})->{status}, 200, 'disabled');

sub miss { return $t->post('/v1/sandboxes',
                           json => { warm_pool => { id => $other } }) }

my $r = miss();
is($r->{status}, 201, 'a create that leaves the template out')
    or diag($r->{body});
is($r->{json}{warm_pool_checkout}{hit}, JSON::PP::false, 'gets no member');
is($r->{json}{template}, 'other:v1', 'says that it is of what the pool is of');
is(build_in($r), 'other', 'and is made of that');

unlink "$templates/other/manifest.json" or die $!;
reload();
$t->is_error(miss(), 404, 'template_not_found', 'nor of another one without');

for my $pool ($tracks, $pinned, $other) {
    is($t->post("$root/$pool/drain", json => {})->{status}, 200, 'drained');
    ok(wait_for(60, sub { $t->delete("$root/$pool")->{status} == 200 }),
       'and deleted');
}

$t->finish;
