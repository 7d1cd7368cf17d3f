#!/usr/bin/perl

# Resumable uploads: parts in any order and side by side, what is verified,
# what is idempotent, and that they outlive a hibernation.

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use SandboxTest;

my $t = SandboxTest->new;
my $s = $t->create({ memory_mb => 128, timeout_ms => 600000,
                     timeout_action => 'hibernate',
                     auto_resume => JSON::PP::true })
    or $t->finish, exit;
my $r;

my $base = "/v1/sandboxes/$s->{id}/uploads";
my @parts = map { chr(96 + $_) x (300_000 + $_) } 1 .. 4;
my $whole = join '', @parts;
my $sum = sha256_hex($whole);

sub make {
    my ($key, %body) = @_;

    return $t->post($base, json => \%body, idem => $key);
}

sub part {
    my ($id, $n, $data, @headers) = @_;

    return $t->request('PUT', "$base/$id/parts/$n", body => $data,
                       type => 'application/octet-stream',
                       headers => \@headers);
}

sub complete {
    my ($id, $key, %body) = @_;

    return $t->post("$base/$id/complete", json => \%body, idem => $key);
}

sub sh { return $t->exec($s, @_)->{stdout} }

# --- making -----------------------------------------------------------------------

$t->is_error(make(undef, path => '/a'), 400, 'idempotency_key_required', 'without a key',
             'Idempotency-Key');
$t->is_error(make('k0', path => 'a'), 400, 'invalid_request', 'a path', 'path');
$t->is_error(make('k0'), 400, 'invalid_request', 'no path', 'path');
$t->is_error(make('k0', path => '/a', sha256 => 'x'), 400, 'invalid_request',
             'a sum', 'sha256');
$t->is_error(make('k0', path => '/a', user => 'nobody9'), 400,
             'invalid_request', 'a user', 'user');
$t->is_error(make('k0', path => '/a', size => 2**50), 409, 'conflict',
             'more than there is room for');

$t->is_error(make('k0', path => '/workspace/new/file'), 404, 'not_found',
             'no directory for it');
$t->is_error(make('k0', path => '/workspace'), 409, 'conflict', 'a directory');
sh('mkdir /workspace/new');

$r = make('k1', path => '/workspace/new/file', size => length $whole,
          sha256 => $sum, mode => '0640', user => 'nobody');
is($r->{status}, 201, 'made') or diag($r->{body});
my $first = $r->{body};
my $id = $r->{json}{id};
like($id, qr/^upl_[a-z2-7]{26}$/, 'its id');
is("$r->{json}{status} $r->{json}{path} @{ $r->{json}{parts} }",
   'open /workspace/new/file ', 'open');
like($r->{json}{expires_at}, qr/^20\d\d-.*Z$/, 'until when');
$r = make('"k1"', user => 'nobody', mode => '0640', size => length $whole,
          sha256 => $sum, path => '/workspace/new/file');
is("$r->{status} $r->{headers}{'idempotent-replayed'}", '201 true', 'repeated');
is($r->{body}, $first, 'with the same answer');
$t->is_error(make('k2', path => '/' x 150_000 . 'b'), 400, 'invalid_request',
             'a path of many slashes', 'path');
$t->is_error(make('k1', path => '/b'), 422, 'idempotency_key_reused',
             'the key with another request');

# --- parts ------------------------------------------------------------------------

$t->is_error(part($id, $_, 'x'), 400, 'invalid_request', "part $_", 'part')
    for 0, 10001, 'x';
$t->is_error(part($id, '1?n=1', 'x'), 400, 'invalid_request', 'a parameter',
             'n');
$t->is_error(part('upl_' . 'a' x 26, 1, 'x'), 404, 'not_found', 'no session');
$t->is_error(complete($id, 'c1'), 409, 'conflict', 'no part', 'parts');

$r = part($id, 3, $parts[2], 'X-Content-SHA256' => sha256_hex($parts[2]));
is_deeply($r->{json}, { part => 3, size => length $parts[2],
                        sha256 => sha256_hex($parts[2]) }, 'the third first');
part($id, 1, 'something else');
is(part($id, 1, $parts[0])->{status}, 200, 'one that replaces another');
$t->is_error(part($id, 1, 'x', 'X-Content-SHA256' => $sum), 409, 'conflict',
             'one that is not what it says', 'X-Content-SHA256');
is(part($id, 4, $parts[3])->{status}, 200, 'the fourth');
$t->is_error(complete($id, 'c1'), 409, 'conflict', 'one is missing', 'parts');

# One that is cut off is none.
{
    my $http = SandboxHttp->new($t->{api});
    $http->send("PUT $base/$id/parts/2 HTTP/1.1\r\nHost: x\r\n"
                . "Authorization: Bearer $t->{key}\r\n"
                . "Content-Length: 300000\r\n\r\n" . 'y' x 100_000);
    $http->abort;
}

$t->post("/v1/sandboxes/$s->{id}/hibernate");
$r = $t->get("$base/$id");
is_deeply([map { $_->{part} } @{ $r->{json}{parts} }], [1, 3, 4],
          'its parts outlive a hibernation');
is($r->{json}{parts}[0]{sha256}, sha256_hex($parts[0]), 'with their sums');
is("$r->{json}{size} $r->{json}{sha256}", length($whole) . " $sum",
   'and what was said of it');
is(sh('ls -A /workspace/new'), '', 'nothing is there yet');

# --- completing ----------------------------------------------------------------------

is(part($id, 2, $parts[1])->{status}, 200, 'the second');
$t->is_error(complete($id, 'c1', sha256 => sha256_hex('x')), 409, 'conflict',
             'another sum', 'sha256');
$t->is_error(complete($id, 'c1', parts => [{ part => 1 }, { part => 2, sha256 => undef }]),
             409, 'conflict', 'parts of another sum');
$t->is_error(complete($id, 'c1', parts => [{ part => 1, sha256 => $sum }]), 409,
             'conflict', 'a part of another sum', 'parts');
$t->is_error(complete($id, undef), 400, 'idempotency_key_required', 'without a key',
             'Idempotency-Key');
is(sh('ls -A /workspace/new'), '', 'nothing is there yet');

$r = complete($id, 'c1', sha256 => $sum);
is($r->{status}, 200, 'completed') or diag($r->{body});
is_deeply($r->{json}, { path => '/workspace/new/file', size => length $whole,
                        sha256 => $sum }, 'its object');
like(sh('cd /workspace/new; sha256sum file; stat -c %a:%U file; ls -A'),
     qr/^$sum  file\n640:nobody\nfile\n$/, 'the file');
$first = $r->{body};
$r = complete($id, 'c1', sha256 => $sum);
is("$r->{status} $r->{headers}{'idempotent-replayed'} $r->{body}",
   "200 true $first", 'repeated');
$t->is_error(complete($id, 'c1'), 422, 'idempotency_key_reused',
             'the key with another request');
$r = complete($id, 'c2', sha256 => $sum);
is("$r->{status} $r->{body}", "200 $first", 'another key with the same sum');
$t->is_error(complete($id, 'c2', sha256 => sha256_hex('x')), 409, 'conflict',
             'with another sum', 'sha256');
$t->is_error(part($id, 1, 'x'), 409, 'conflict', 'no part after that');
is($t->get("$base/$id")->{json}{status}, 'completed', 'its state');
is(sh("ls /workspace/.nullspace/uploads/$id/parts | wc -l"), "0\n",
   'its parts take no room any more');

# --- the end --------------------------------------------------------------------------

$r = make('k2', path => '/workspace/other');
my $other = $r->{json}{id};
part($other, 1, 'x');
is($t->delete("$base/$other")->{status}, 200, 'deleted');
$t->is_error($t->get("$base/$other"), 404, 'not_found', 'it is gone');
is(make('k2', path => '/workspace/third')->{json}{id}, $other,
   'its key is free');
part($other, 1, 'third');
sh("touch -d '2 days ago' /workspace/.nullspace/uploads/$other/parts");
$t->is_error($t->get("$base/$other"), 404, 'not_found',
             'a day after its last part it is gone');
make('k3', path => '/workspace/fourth');
is(sh("ls /workspace/.nullspace/uploads | grep -c $other"), "0\n",
   'and is cleared away');

$t->finish;
