#!/usr/bin/perl

# A boot checkpoint from which guests start and never answer, and what dead
# makers left: creates go on, and the host is cleaned.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--workers', 1, '--set',
                                          'sandbox_boot_timeout=30s']);
my $disks = "$t->{dir}/data/disks";
my $body = { memory_mb => 128 };


sub logged {
    my ($what) = @_;
    my $log = do { local (@ARGV, $/) = "$t->{dir}/log/error.log"; <> };

    return $log =~ /$what/;
}


sub put {
    my ($file, $text) = @_;

    open(my $fh, '>:raw', $file) or die $!;
    print $fh $text;
    close $fh or die $!;
}

# --- guests that never answer ------------------------------------------------

$t->destroy($t->create($body)->{id});

# the agent does not understand the host any more
my ($ram) = glob("$disks/boot_*.ram");
my $memory = do { local (@ARGV, $/) = $ram; <> };
cmp_ok($memory =~ s/\0nonce\0/\0n0nce\0/g, '>', 0, 'the memory is damaged');
open(my $fh, '+<:raw', $ram) or die $!;
print $fh $memory;
close $fh or die $!;
$t->inside('sh', '-c', 'rm -f /run/stack/data/memory/boot_*'); # a copy

my $r = $t->post('/v1/sandboxes', json => $body);
$t->is_error($r, 503, 'capacity_exceeded', 'a guest that never answers');
ok(logged('the checkpoint of its shape fails, cold boots'), 'it is said why');

my $s = $t->create($body);
ok($s, 'the next one comes up');
ok(logged('created in .* cold:'), 'booted cold');
is($t->exec($s, 'echo ok')->{stdout}, "ok\n", 'and works') if $s;
$t->destroy($s->{id}) if $s;

# --- what nobody needs -------------------------------------------------------

my $dead = 'boot_' . 'a' x 20;
my $torn = 'boot_' . 'b' x 20;
my $snap = 'snap_' . 'c' x 20;

put("$disks/$dead.abcdefgh.$_", 'part') for qw(ram qcow2);
put("$disks/$torn.abcdefgh.ram", 'part');
put("$disks/$torn.state", 'torn');
put("$disks/$snap.state", 'torn');

$t->try_stack('restart', 'nginx');
ok(wait_for(30, sub { !(() = glob("$disks/{$dead,$torn}.*")) }),
   'parts of dead makers are removed when nginx starts')
    or diag(join ' ', glob("$disks/*"));
ok(logged("the checkpoint \"$_\" is removed: "), "and that of $_ is logged")
    for $dead, $torn;
ok(-e "$disks/$snap.state", 'what is no boot checkpoint stays');
ok(-e $ram, 'so does one that a template has');
unlink "$disks/$snap.state";

$t->finish;
