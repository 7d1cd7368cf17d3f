#!/usr/bin/perl

# A create that fails is undone: no domain, disk, address or record stays, and
# the key is free.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

my $t = SandboxTest->new(own => 1, up => ['--set', 'sandbox_boot_timeout=1s']);
my $key = SandboxTest::idem();

for my $try ('first', 'second') {
    my $r = $t->post('/v1/sandboxes', body => '{"memory_mb":128}',
                     idem => $key);

    $t->is_error($r, 503, 'capacity_exceeded', "no guest boots in 1 s: $try");
    is_deeply($t->get('/v1/sandboxes')->{json}, [], 'nothing is listed');
    is(scalar($t->domains), 0, 'no domain is left');
}

$t->finish;
