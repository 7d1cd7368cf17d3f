#!/usr/bin/perl

# Files of a sandbox through the API: bytes both ways, conditions, links,
# directories, archives; and what becomes of bodies when the sandbox sleeps.

use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use SandboxTest;

my $t = SandboxTest->new;
my $s = $t->create({ memory_mb => 128, timeout_ms => 600000,
                     timeout_action => 'hibernate',
                     auto_resume => JSON::PP::true })
    or $t->finish, exit;
my $r;

# A path as a parameter.
sub escape {
    my ($path) = @_;

    $path =~ s/([^A-Za-z0-9\/._-])/sprintf '%%%02X', ord $1/ge;
    return $path;
}

# A request to a route of files; $what is what follows "files".
sub files {
    my ($method, $what, $path, %o) = @_;
    my $query = defined $path ? '?path=' . escape($path) : '';

    $query .= "&$_=" . escape($o{query}{$_}) for sort keys %{ $o{query} // {} };
    return $t->request($method, "/v1/sandboxes/$s->{id}/files$what$query",
                       type => 'application/octet-stream', %o);
}

sub sh { return $t->exec($s, @_)->{stdout} }

# --- bytes ---------------------------------------------------------------------

my $data = join '', map { pack 'N', ($_ * 2654435761) % 2**32 } 1 .. 2**19;
my $sum = sha256_hex($data);

$r = files('PUT', '', '/workspace/a b/file', body => $data);
$t->is_error($r, 404, 'not_found', 'no directory for a file');
$r = files('PUT', '', '/workspace/a b/file', body => $data,
           query => { parents => 'true', mode => '0600' },
           headers => ['X-Content-SHA256' => $sum]);
is($r->{status}, 201, 'a new file of two megabytes') or diag($r->{body});
is_deeply($r->{json}, { path => '/workspace/a b/file', mode => '0600',
                        size => length $data, sha256 => $sum }, 'its object');
like(sh('sha256sum "/workspace/a b/file"'), qr/^$sum /,
     'the new file is in the guest');

my $etag = $r->{headers}{etag};
$r = files('GET', '', '/workspace/a b/file');
is($r->{status}, 200, 'read');
is(sha256_hex($r->{body}), $sum, 'the bytes');
is($r->{headers}{etag}, $etag, 'the tag is that of the write');
is($r->{headers}{'content-type'}, 'application/octet-stream', 'type');
is($r->{headers}{'content-length'}, length $data, 'length');
is($r->{headers}{'accept-ranges'}, 'bytes', 'ranges');
like($r->{headers}{'last-modified'}, qr/ GMT$/, 'date');

my $date = $r->{headers}{'last-modified'};
$r = files('HEAD', '', '/workspace/a b/file');
is("$r->{status} $r->{headers}{'content-length'}", '200 ' . length $data,
   'HEAD');

$r = files('HEAD', '', '/workspace/none');
is("$r->{status} $r->{headers}{'content-type'}", '404 application/json',
   'HEAD of what is not there');

for (['bytes=0-9', 0, 10], ['bytes=2097150-', 2097150, 2],
     ['bytes=-3', 2097149, 3], ['bytes=100-100', 100, 1]) {
    my ($range, $first, $len) = @$_;
    $r = files('GET', '', '/workspace/a b/file', headers => [Range => $range]);
    is("$r->{status} $r->{headers}{'content-range'}",
       sprintf('206 bytes %d-%d/%d', $first, $first + $len - 1, length $data),
       $range);
    ok($r->{body} eq substr($data, $first, $len), "$range: its bytes");
}

$r = files('GET', '', '/workspace/a b/file',
           headers => [Range => 'bytes=2097152-']);
$t->is_error($r, 416, 'range_not_satisfiable', 'behind the end', 'Range');
is($r->{headers}{'content-range'}, 'bytes */2097152', 'says the size');
$r = files('GET', '', '/workspace/a b/file',
           headers => ['If-Range' => '"x"', Range => 'bytes=0-1']);
is($r->{status}, 200, 'If-Range of another one');

# --- conditions -------------------------------------------------------------------

for (['If-None-Match' => $etag, 304], ['If-Modified-Since' => $date, 304],
     ['If-None-Match' => '"x"', 200], ['If-Match' => '"x"', 412],
     ['If-Match' => $etag, 200]) {
    my ($name, $value, $status) = @$_;
    is(files('GET', '', '/workspace/a b/file', headers => [$name => $value])
       ->{status}, $status, "$name: $status");
}

$r = files('PUT', '', '/workspace/a b/file', body => 'x',
           headers => ['If-None-Match' => '*']);
$t->is_error($r, 412, 'conflict', 'not over one that is there');
$r = files('PUT', '', '/workspace/a b/file', body => 'x',
           headers => ['If-Match' => '"other"']);
$t->is_error($r, 412, 'conflict', 'not over another one');
$r = files('PUT', '', '/workspace/a b/file', body => 'x',
           headers => ['X-Content-SHA256' => $sum]);
$t->is_error($r, 409, 'conflict', 'not with another sum', 'X-Content-SHA256');
is(sha256_hex(files('GET', '', '/workspace/a b/file')->{body}), $sum,
   'a file that was refused is as it was');
$r = files('PUT', '', '/workspace/a b/file', body => 'new',
           headers => ['If-Match' => $etag]);
is($r->{status}, 200, 'over the one that is meant');
is($r->{json}{mode}, '0600', 'a file that was replaced keeps the mode');

# Two who replace the same one at a time: the second would undo the first.
{
    my $slow = SandboxHttp->new($t->{api});
    $slow->send("PUT /v1/sandboxes/$s->{id}/files?path=/workspace/a%20b/file "
                . "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $t->{key}\r\n"
                . "If-Match: $r->{headers}{etag}\r\nContent-Length: 4\r\n\r\nsl");
    ok(wait_for(20, sub {
        sh('ls -l /proc/[0-9]*/fd') =~ m{ -> /workspace/a b/#\d+ \(deleted\)}
    }), 'a body that has not come whole');
    is(files('PUT', '', '/workspace/a b/file', body => 'quick',
             headers => ['If-Match' => $r->{headers}{etag}])->{status}, 200,
       'is overtaken by another');
    $slow->send('ow');
    is($slow->read_response->{status}, 412,
       'a slow write is not over the one that is meant any more');
    is(files('GET', '', '/workspace/a b/file')->{body}, 'quick',
       'the faster write is there');
}

# Many who write over the same one at the same time: one of them does.
{
    my $url = "/v1/sandboxes/$s->{id}/files?path=/workspace/counter";
    my ($rounds, $writers, $wrong) = (5, 8, '');

    $r = files('PUT', '', '/workspace/counter', body => '0');
    for my $round (1 .. $rounds) {
        my @all = map { SandboxHttp->new($t->{api}) } 1 .. $writers;
        $_->send("PUT $url HTTP/1.1\r\nHost: x\r\n"
                 . "Authorization: Bearer $t->{key}\r\n"
                 . "If-Match: $r->{headers}{etag}\r\nContent-Length: 1\r\n\r\n"
                 . $round) for @all;
        my @answers = map { $_->read_response } @all;
        my $seen = join ' ', sort map { $_->{status} // 0 } @answers;
        $wrong .= "$seen\n" if $seen ne join ' ', 200, (412) x ($writers - 1);
        $r = files('GET', '', '/workspace/counter');
    }
    is($wrong, '', 'of several with one tag one writes, and the rest are told');

    $t->is_error(files('DELETE', '', '/workspace/counter',
                       headers => ['If-Match' => '"other"']), 412, 'conflict',
                 'no other file is deleted');
    is(files('DELETE', '', '/workspace/counter',
             headers => ['If-Match' => $r->{headers}{etag}])->{status}, 200,
       'the one that is meant is');
    $t->is_error(files('DELETE', '', '/workspace/counter',
                       headers => ['If-Match' => '*']), 404, 'not_found',
                 'if there is one');
}

# An answer without its body leaves nothing that the next one is taken for.
{
    my %status;

    for (1 .. 20) {
        for my $what ('/list', '/archive') {
            $status{files('HEAD', $what, '/workspace')->{status}}++;
            $status{files('GET', '/stat', '/workspace')->{status}}++;
        }
    }
    is_deeply(\%status, { 200 => 80 }, 'HEAD of a list and of an archive');
}

# --- chunked, aborted, bounded --------------------------------------------------------

{
    my $http = SandboxHttp->new($t->{api});
    $http->send("PUT /v1/sandboxes/$s->{id}/files?path=/workspace/chunked "
                . "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $t->{key}\r\n"
                . "Transfer-Encoding: chunked\r\n\r\n");
    for (my $at = 0; $at < length $data; $at += 99_991) {
        my $piece = substr $data, $at, 99_991;
        $http->send(sprintf("%x\r\n%s\r\n", length $piece, $piece));
    }
    $http->send("0\r\n\r\n");
    $r = $http->read_response;
    is($r->{status}, 201, 'a chunked body');
    like(sh('sha256sum /workspace/chunked'), qr/^$sum /, 'is whole');
}

{
    my $http = SandboxHttp->new($t->{api});
    $http->send("PUT /v1/sandboxes/$s->{id}/files?path=/workspace/chunked "
                . "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $t->{key}\r\n"
                . "Content-Length: 2097152\r\n\r\n" . substr $data, 0, 500_000);
    $http->abort;
    ok(wait_for(20, sub {
        sh('pgrep -c "^init$"; ls -A /workspace | wc -l') eq "1\n2\n"
    }), 'one that is cut off leaves nothing') or diag(sh('pgrep -l init; ls -Al /workspace'));
    like(sh('sha256sum /workspace/chunked'), qr/^$sum /,
         'a body that is cut off changes nothing');
}

for my $path ("/v1/sandboxes/$s->{id}/exec",
              "/v1/sandboxes/$s->{id}/files/mkdir", '/v1/sandboxes') {
    my $http = SandboxHttp->new($t->{api});
    my $piece = sprintf "%x\r\n%s\r\n", 65536, ' ' x 65536;
    $http->send("POST $path HTTP/1.1\r\nHost: x\r\n"
                . "Authorization: Bearer $t->{key}\r\nIdempotency-Key: big\r\n"
                . "Content-Type: application/json\r\n"
                . "Transfer-Encoding: chunked\r\n\r\n");
    $http->send($piece) || last for 1 .. 17;
    $r = $http->read_response;
    $r->{json} = eval { json->decode($r->{body}) };
    $t->is_error($r, 413, 'body_too_large', "a chunked body to $path");
}

# --- names ---------------------------------------------------------------------------

for (['path', ''], ['path', 'relative'], ['path', '/../etc'],
     ['path', "/a\0b"], ['path', '/workspace/.nullspace/uploads'],
     ['path', '/workspace/x/../.nullspace']) {
    my ($field, $path) = @$_;
    $r = files('GET', '', $path);
    $t->is_error($r, 400, 'invalid_request', 'refused: ' . escape($path),
                 $field);
}
$t->is_error(files('GET', '', undef), 400, 'invalid_request', 'no path', 'path');
$t->is_error(files('GET', '', '/etc/passwd', query => { tty => 1 }), 400,
             'invalid_request', 'another parameter', 'tty');
$t->is_error(files('PUT', '', '/a', query => { mode => '9' }, body => ''), 400,
             'invalid_request', 'a mode that is none', 'mode');
$t->is_error(files('PUT', '', '/a', query => { user => 'nobody9' }, body => ''),
             400, 'invalid_request', 'a user that is none', 'user');
$t->is_error(files('POST', '', '/a'), 405, 'method_not_allowed', 'a POST');
$t->is_error(files('GET', '', '/workspace'), 409, 'conflict', 'a directory');
$t->is_error(files('GET', '', '/none'), 404, 'not_found', 'nothing');
sh('mkfifo /tmp/fifo; mknod /tmp/null c 1 3; ln -s loop /tmp/loop;'
   . 'ln -s /../../workspace/chunked /tmp/link; ln -s / /tmp/up');
$t->is_error(files('GET', '', $_), 409, 'conflict', "$_ is no file")
    for '/tmp/fifo', '/tmp/null', '/tmp/loop', '/dev/zero';
is(length files('GET', '', '/tmp/link')->{body}, length $data,
   'a link is followed within the root');
is(files('GET', '', '/tmp/up/etc/hostname')->{body}, sh('cat /etc/hostname'),
   'one to a directory, too');
is(files('PUT', '', '/tmp/link', body => 'through')->{status}, 200,
   'written through a link');
is(sh('cat /workspace/chunked; readlink /tmp/link'),
   "through/../../workspace/chunked\n", 'the file it leads to');
is(files('PUT', '', "/workspace/\xc3\xa9\xff", body => 'x')->{status}, 201,
   'a name that is not UTF-8');
is(sh('rm /workspace/$(printf "\303\251\377"); echo $?'), "0\n", 'is that one');

{
    # 4,000 bytes, which are 12,000 as a parameter
    my $long = '/workspace/' . join '/', ("\xe6\xb8\xac" x 82) x 16;
    $long .= '/' . 'x' x (4000 - 1 - length $long);
    is(length $long, 4000, 'a long path');
    is(files('PUT', '', $long, body => 'far', query => { parents => 'true' })
       ->{status}, 201, 'is written to');
    is(files('GET', '', $long)->{body}, 'far', 'a long path is read from');
    my $j = files('GET', '/stat', $long)->{json} // {};
    utf8::encode($j->{path} //= '');
    is($j->{path}, $long, 'a long path is told');
    files('DELETE', '', "/workspace/" . "\xe6\xb8\xac" x 82,
          query => { recursive => 'true' });
}

# --- directories ----------------------------------------------------------------------

is(files('POST', '/mkdir', undef, type => 'application/json',
         json => { path => '/workspace/d/e', parents => JSON::PP::true,
                   mode => '0700' })->{status}, 201, 'mkdir with parents');
$t->is_error(files('POST', '/mkdir', undef, type => 'application/json',
                   json => { path => '/workspace/d' }), 409, 'conflict',
             'mkdir of what is there');
is(files('POST', '/mkdir', undef, type => 'application/json',
         json => { path => '/workspace/d/e', parents => JSON::PP::true }
        )->{body}, '{"path":"/workspace/d/e","mode":"0700"}',
        'mkdir with parents');
is(files('PUT', '', "/workspace/d/$_", body => $_)->{status}, 201, "file $_")
    for 'b', 'a', 'e/x';
sh('ln -s a /workspace/d/l');

$r = files('GET', '/stat', '/workspace/d/l');
is_deeply([@{ $r->{json} }{qw(path type target user group uid)}],
          ['/workspace/d/l', 'symlink', 'a', 'root', 'root', 0],
          'stat of a link');
$r = files('GET', '/stat', '/workspace/d/e');
is("$r->{json}{type} $r->{json}{mode}", 'directory 0700', 'of a directory');
like($r->{json}{modified_at}, qr/^20\d\d-.*Z$/, 'its time');
is(files('GET', '/stat', '/')->{json}{type}, 'directory', 'of the root');

# The path of the request may be spelled anew on its way; the query may not.
for ('/v1/./sandboxes/%s/files/stat', '//v1/sandboxes/%s//files/%%73tat') {
    my $url = sprintf $_, $s->{id};
    is($t->get("$url?path=/etc")->{json}{path}, '/etc', $url);
    is(files('PUT', '', '/workspace/d/a b+%2F?#x', body => 'x')->{status}, 201,
       'an awkward name');
    is($t->get("$url?path=/workspace/d/a+b%2b%252F%3f%23x")->{json}{path},
       '/workspace/d/a b+%2F?#x', 'comes through as it was escaped');
    files('DELETE', '', '/workspace/d/a b+%2F?#x');
}

$r = files('GET', '/list', '/workspace/d', query => { recursive => 'true' });
is_deeply([map { "$_->{path} $_->{type}" } @{ $r->{json}{items} }],
          ['/workspace/d/a file', '/workspace/d/b file',
           '/workspace/d/e directory', '/workspace/d/e/x file',
           '/workspace/d/l symlink'], 'a recursive list is sorted');
ok(!$r->{json}{truncated}, 'a recursive list is whole');
$r = files('GET', '/list', '/workspace/d', query => { limit => 2 });
is(join(' ', map { $_->{path} } @{ $r->{json}{items} }),
   '/workspace/d/a /workspace/d/b', 'a limited one is the beginning');
ok($r->{json}{truncated}, 'a limited list says so');
$r = files('GET', '/list', '/', query => { limit => 5000,
                                           recursive => 'true' });
is(scalar @{ $r->{json}{items} }, 5000, 'five thousand of all there is');
is(join(' ', map { $_->{path} } grep { $_->{path} =~ m{^/proc/} }
        @{ $r->{json}{items} }), '', 'other file systems are not entered');

sub move {
    return files('POST', '/move', undef, type => 'application/json',
                 json => { @_ });
}

$t->is_error(move(from => '/workspace/d/a', to => '/workspace/d/b'), 409,
             'conflict', 'moving over a file');
is(move(from => '/workspace/d/a', to => '/workspace/d/b',
        overwrite => JSON::PP::true)->{status}, 200,
        'moving over a file when told to');
is(files('GET', '', '/workspace/d/b')->{body}, 'a',
   'a file that was moved over is the other one');
$t->is_error(move(from => '/workspace/d', to => '/workspace/d/e/d'), 400,
             'invalid_request', 'into itself', 'to');

# --- archives --------------------------------------------------------------------------

my $dir = tempdir(CLEANUP => 1);
mkdir "$dir/tree";
mkdir "$dir/tree/sub";
for (['tree/one', $data], ['tree/sub/t\xc3\xa9', 'two']) {
    open my $f, '>', "$dir/$_->[0]" or die $!;
    print $f $_->[1];
    close $f;
}
symlink '/etc/passwd', "$dir/tree/sub/abs";
link "$dir/tree/one", "$dir/tree/hard";

sub tar {
    my (@args) = @_;
    open my $pipe, '-|', 'tar', @args or die $!;
    local $/;
    my $text = <$pipe>;
    close $pipe;
    return $text;
}

my $tar = tar('-C', "$dir/tree", '-c', '.');
sh('mkdir /workspace/un');
$r = files('PUT', '/archive', '/workspace/un', body => $tar,
           query => { user => 'nobody' });
is($r->{status}, 200, 'unpacked') or diag($r->{body});
is_deeply($r->{json}, { entries => 6, bytes => length($data) + 3 },
          'entries and bytes');
like(sh('cd /workspace/un; sha256sum one; readlink sub/abs;'
        . 'stat -c %h:%U one; cat sub/t*'),
     qr{^$sum  one\n/etc/passwd\n2:nobody\ntwo$}, 'all that was in it');

$r = files('GET', '/archive', '/workspace/un');
is("$r->{status} $r->{headers}{'content-type'}", '200 application/x-tar',
   'packed');
ok($r->{complete}, 'to its end');
mkdir "$dir/back";
open my $f, '>', "$dir/back.tar" or die $!;
print $f $r->{body};
close $f;
tar('-C', "$dir/back", '-xf', "$dir/back.tar");
is(`diff -r --no-dereference $dir/tree $dir/back`, '', 'the same comes back');

# A link to what is neither in the archive nor there leaves what has its name.
tar('-C', "$dir/tree", '-cf', "$dir/half.tar", 'one', 'hard');
tar('-f', "$dir/half.tar", '--delete', 'one');
sh('cd /workspace/un; rm one hard; echo mine > hard');
$t->is_error(files('PUT', '/archive', '/workspace/un',
                   body => SandboxLeft::slurp("$dir/half.tar")), 404, 'not_found',
             'a hard link to nothing');
is(sh('cat /workspace/un/hard; ls -A /workspace/un'), "mine\nhard\nsub\n",
   'the file is still there, and nothing else');

# Entries that lead out: by name, by a link of the archive, by one that was there.
sh('rm -rf /workspace/un; mkdir /workspace/un; ln -s /etc /workspace/un/there');
mkdir "$dir/evil";
symlink '/tmp', "$dir/evil/out";
my $evil = tar('-C', "$dir/evil", '-c', 'out');
$evil =~ s/\0*\z//;
$evil .= "\0" x (512 - length($evil) % 512) if length($evil) % 512;
for my $name ('out/escaped', 'there/escaped', '/tmp/escaped') {
    open $f, '>', "$dir/body" or die $!;
    print $f 'escaped';
    close $f;
    my $entry = tar('-C', $dir, '-P', '--transform', "s,body,$name,", '-c',
                    'body');
    $r = files('PUT', '/archive', '/workspace/un', body => $evil . $entry);
    like($r->{status}, qr/^(200|404|409)$/, "$name is refused or stays inside");
}
my $up = tar('-C', $dir, '-P', '--transform', 's,body,../escaped,', '-c',
             'body');
$t->is_error(files('PUT', '/archive', '/workspace/un', body => $up), 400,
             'invalid_request', 'a name with ".."', 'body');
is(sh('find / -xdev -name escaped -not -path "/workspace/un/*" | wc -l'),
   "0\n", 'nothing was written outside');
$t->is_error(files('PUT', '/archive', '/workspace/un',
                   body => tar('-C', '/dev', '-c', 'null')), 400,
             'invalid_request', 'a device', 'body');
$t->is_error(files('PUT', '/archive', '/workspace',
                   body => tar('-C', $dir, '--transform',
                               's,body,.nullspace/x/y,', '-c', 'body')), 400,
             'invalid_request', 'a name in what is the sandbox\'s own', 'body');
$t->is_error(files('PUT', '/archive', '/workspace/un', body => 'x' x 5000),
             400, 'invalid_request', 'no archive', 'body');
$t->is_error(files('PUT', '/archive', '/workspace/un',
                   body => substr($tar, 0, 100_000)), 400, 'invalid_request',
             'half an archive', 'body');

# --- deleting -------------------------------------------------------------------------

$t->is_error(files('DELETE', '', '/workspace/d'), 409, 'conflict',
             'a directory that is not empty');
is(files('DELETE', '', '/workspace/d', query => { recursive => 'true' })
   ->{status}, 200, 'a directory with all that is in it');
is(files('DELETE', '', '/workspace/un/there', query => { recursive => 'true' })
   ->{status}, 200, 'a link');
is(sh('ls /etc/passwd; ls -d /workspace/d 2>&1 | wc -l'), "/etc/passwd\n1\n",
   'is not followed');
$t->is_error(files('DELETE', '', '/workspace/d'), 404, 'not_found', 'again');

# --- watching -------------------------------------------------------------------------

{
    my $ws = SandboxHttp->new($t->{api});
    my @seen;
    my $say = sub { $ws->ws_send(json->encode({ @_ })) };
    my $hear = sub {
        my ($opcode, $text);
        do {
            ($opcode, $text) = $ws->ws_read(20);
        } while (($opcode // 0) == 9);
        return defined $text ? json->decode($text) : {};
    };
    # Events up to the one of that kind and path, each once.
    my $until = sub {
        my ($event, $path) = @_;
        my %had;
        @seen = ();
        for (1 .. 100) {
            my $e = $hear->();
            my $line = join ' ', grep { defined } @$e{qw(event path to)};
            push @seen, $line unless $had{$line}++;
            last if !$e->{event} || $line eq "$event $path";
        }
        return join ', ', @seen;
    };

    is($ws->ws_open("/v1/sandboxes/$s->{id}/ws?channel=watch",
                    [Authorization => "Bearer $t->{key}"])->{status}, 101,
       'a socket');
    $say->(type => 'watch_start', stream_id => 'a', path => '/no/such');
    is($hear->()->{code}, 'not_found', 'what is not there');
    $say->(type => 'watch_start', stream_id => 'a', path => 'x');
    is($hear->()->{code}, 'invalid_request', 'a path that is none');

    sh('mkdir -p /workspace/w/sub');
    $say->(type => 'watch_start', stream_id => 'a', path => '/workspace/w',
           recursive => JSON::PP::true);
    is_deeply($hear->(), { type => 'watch_started', stream_id => 'a' },
              'watched');
    files('PUT', '', '/workspace/w/sub/f', body => 'x');
    is($until->('create', '/workspace/w/sub/f'), 'create /workspace/w/sub/f',
       'a new file');
    files('PUT', '', '/workspace/w/sub/f', body => 'y');
    is($until->('modify', '/workspace/w/sub/f'), 'modify /workspace/w/sub/f',
       'one that is replaced');
    files('PUT', '/archive', '/workspace/w/sub',
          body => tar('-C', "$dir/tree/sub", '-c', 'abs'));
    is($until->('create', '/workspace/w/sub/abs'),
       'create /workspace/w/sub/abs', 'a new link of an archive');
    sh('cd /workspace/w; echo z >>sub/f; mv sub/f g; mkdir -p n/m; echo >n/m/o;'
       . 'mv g /tmp/g; rm -r n; mv sub other; echo >other/p; touch last');
    $until->('create', '/workspace/w/last');
    my @want = ('modify /workspace/w/sub/f',
                'rename /workspace/w/sub/f /workspace/w/g',
                'create /workspace/w/n', 'delete /workspace/w/g',
                'delete /workspace/w/n',
                'rename /workspace/w/sub /workspace/w/other',
                'create /workspace/w/last');
    my %wanted = map { $_ => 1 } @want;
    is_deeply([grep { $wanted{$_} } @seen], \@want, 'changes in their order')
        or diag(explain(\@seen));
    sh('echo >>/workspace/w/other/p; touch /workspace/w/very');
    like(join(', ', @seen) . $until->('create', '/workspace/w/very'),
         qr{(?:create|modify) /workspace/w/other/p},
         'a directory that was renamed is watched on');
    $say->(type => 'watch_stop', stream_id => 'a');
    sh('touch /workspace/w/unseen');
    $say->(type => 'watch_start', stream_id => 'a', path => '/workspace/w/g2');
    $until->('', '');
    unlike("@seen", qr/unseen/, 'nothing more after the stop');
    $ws->close;
}

# --- sleep -----------------------------------------------------------------------------

sub hibernate {
    is($t->post("/v1/sandboxes/$s->{id}/hibernate")->{status}, 200,
       'hibernated');
}

# A body that comes while the sandbox is woken.
{
    hibernate();
    my $http = SandboxHttp->new($t->{api});
    $http->send("PUT /v1/sandboxes/$s->{id}/files?path=/workspace/woken "
                . "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $t->{key}\r\n"
                . 'Content-Length: ' . length($data) . "\r\n\r\n"
                . substr $data, 0, 70_000);
    ok(wait_for(20, sub {
        ($t->get("/v1/sandboxes/$s->{id}")->{json}{status} // '') eq 'running'
    }), 'a part of a body wakes it');
    $http->send(substr $data, 70_000);
    is(($http->read_response // {})->{status}, 201,
       'all of a body arrives that has woken a sandbox');
    like(sh('sha256sum /workspace/woken'), qr/^$sum /, 'whole');
}

# A body that is under way when the sandbox is put to sleep.
{
    my $http = SandboxHttp->new($t->{api});
    $http->send("PUT /v1/sandboxes/$s->{id}/files?path=/workspace/cut "
                . "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer $t->{key}\r\n"
                . 'Content-Length: ' . length($data) . "\r\n\r\n"
                . substr $data, 0, 70_000);
    ok(wait_for(20, sub { sh('pgrep -c "^init$"') > 1 }),
       'a body is on its way');
    hibernate();
    $r = $http->read_response;
    $r->{json} = eval { json->decode($r->{body}) };
    $t->is_error($r, 409, 'transition_in_progress',
                 'a body that is cut by a hibernation');
    is(sh('ls -A /workspace | grep -v -e woken -e chunked -e "a b" -e un -e w'), '',
       'a body that is cut by a hibernation leaves nothing');
}

$t->finish;
