#!/usr/bin/perl

# A worker dies at each crash point of create and destroy (all that stand in
# the sources), or is stopped there until its lease has run out and somebody
# else has done the work.  A client that repeats its request gets its one
# sandbox, and after its DELETE nothing is left.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

use constant LEASE => 2;
use constant PATIENCE => 60;

my $t = SandboxTest->new(own => 1, up => ['--crash-points', '--set',
                                          'sandbox_lease=' . LEASE . 's']);
my $body = '{"memory_mb":128,"timeout_ms":3600000}';

# Where a guest's death is sure to be noticed by its creator.
my $under_boot = 'boot.channel.after';

my %points;
for my $file (glob("$FindBin::Bin/../src/*/*.c")) {
    my $text = SandboxLeft::slurp($file);
    $points{$_}++ for $text =~ /SANDBOX_CRASH_POINT\("([^"]+)"\)/g;
}

my @create = sort grep { /^(?:create|boot)\./ } keys %points;
my @destroy = sort grep { /^destroy\./ } keys %points;
my @undo = sort grep { /^undo\./ } keys %points;

is_deeply([grep { $points{$_} > 1 } sort keys %points], [],
          'every point has a name of its own');
is(@create + @destroy + @undo, scalar(keys %points),
   'every point is one of a create, its undoing, or a destruction');
ok(@create && @destroy && @undo, 'there are points of each kind');

sub file_of { return "$t->{dir}/data/crash/$_[0]" }

sub arm {
    my ($point, $order) = @_;

    open(my $fh, '>', file_of("$point.new")) or die "$point: $!";
    print $fh $order;
    close $fh;
    rename file_of("$point.new"), file_of($point) or die "$point: $!";
}

sub reached {
    my ($point) = @_;
    my $gone = wait_for(PATIENCE, sub { !-e file_of($point) });

    ok($gone, "$point is reached");
    unlink file_of($point);
    return $gone;
}

sub state_of {
    my ($pid) = @_;

    return SandboxLeft::slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) (\S)/s ? $1
                                                                        : '';
}

sub stopped_worker {
    return wait_for(10, sub {
        (grep { state_of($_) eq 'T' } $t->workers)[0]
    });
}

# Repeats a request until it has the status; the error codes on the way must
# say that repeating is right.
sub persist {
    my ($wanted, $method, $path, %o) = @_;
    my $end = time() + PATIENCE;
    my ($r, @odd);

    do {
        $r = $t->request($method, $path, timeout => PATIENCE, %o);
        push @odd, "$r->{status} $r->{body}"
            unless $r->{status} == 0 || $r->{status} == $wanted
                   || ($r->{json} && $r->{json}{retryable});
        sleep 0.1 unless $r->{status} == $wanted;
    } until ($r->{status} == $wanted || time() > $end);

    is($r->{status}, $wanted, "$method is answered in the end")
        or diag($r->{body});
    is_deeply(\@odd, [], 'no answer forbids a retry');
    return $r;
}

sub post {
    my ($key) = @_;

    return persist(201, 'POST', '/v1/sandboxes', body => $body, idem => $key);
}

# A POST nobody waits for yet.
sub send_post {
    my ($key) = @_;
    my $http = SandboxHttp->new($t->{api}, PATIENCE);

    $http->send($http->format_request('POST', '/v1/sandboxes',
        [Authorization => "Bearer $t->{key}",
         'Content-Type' => 'application/json', 'Idempotency-Key' => $key,
         Connection => 'close'], $body));
    return $http;
}

# What there is, as a list of kinds and ids.
sub there_is {
    my $list = $t->get('/v1/sandboxes');
    return ['no list'] if $list->{status} != 200;

    my @files = map { m{([^/.]+)[^/]*$} ? $1 : () }
                glob("\Q$t->{dir}\E/data/disks/sb_*");
    my ($node) = $t->redis('KEYS', '*:addresses') =~ /^(\S*):addresses$/m;
    my @guests = $node ? split /\n/, $t->redis('HKEYS', "$node:guests") : ();
    my @agenda = $node
        ? split /\n/, $t->redis('ZRANGE', "$node:agenda", 0, -1) : ();

    return [sort map({ "listed $_->{id}" } @{ $list->{json} }),
            map({ "domain $_" } $t->domains), map({ "disk $_" } @files),
            map({ "address $_" } @guests), map({ "agenda $_" } @agenda)];
}

sub only {
    my ($id, $name) = @_;
    my $wanted = [map { "$_ $id" } qw(address agenda disk domain listed)];
    my $have;

    wait_for(PATIENCE, sub { $have = there_is(); "@$have" eq "@$wanted" });
    is_deeply($have, $wanted, $name);
}

sub nothing {
    my ($name) = @_;
    my $have;

    wait_for(PATIENCE, sub { $have = there_is(); !@$have });
    is_deeply($have, [], $name);
}

sub gone {
    my ($id) = @_;

    persist(200, 'DELETE', "/v1/sandboxes/$id");
    nothing('and nothing is left');
}

# --- killed ------------------------------------------------------------------

# A create that dies, and a destruction that dies, of the same sandbox.
for my $i (0 .. (@create > @destroy ? $#create : $#destroy)) {
    my ($create, $destroy) = ($create[$i % @create], $destroy[$i % @destroy]);

    subtest("killed at $create, then at $destroy" => sub {
        my $key = SandboxTest::idem();

        arm($create, 'kill');
        my $r = post($key);
        reached($create);
        my $id = $r->{json}{id};
        only($id, 'there is one sandbox');
        is($t->exec($id, 'echo ok')->{stdout}, "ok\n", 'which works');
        is(post($key)->{body}, $r->{body}, 'a replay is the same answer');

        arm($destroy, 'kill');
        gone($id);
        reached($destroy);
    });
}

# The guest dies under its creator, and then the creator that cleans up.
for my $point (@undo) {
    subtest("killed at $point" => sub {
        my $key = SandboxTest::idem();

        arm($under_boot, 'stop');
        my $first = send_post($key);
        reached($under_boot);
        my $worker = stopped_worker() or return fail('a worker has stopped');
        $t->stack('kill', 'qemu');
        arm($point, 'kill');
        kill 'CONT', $worker;

        my $r = $first->read_response;
        ok(!$r || $r->{status} == 503, 'the client is cut off or told to retry')
            or diag($r->{body});
        reached($point);
        my $id = post($key)->{json}{id};
        only($id, 'a retry makes the one sandbox');
        gone($id);
    });
}

# --- stopped -----------------------------------------------------------------

# The creator sleeps until it has lost its lease and somebody else has made the
# sandbox; then it wakes and goes on.
for my $point (grep { /^boot\..*before$|^create\.(?:boot|commit)\./ } @create) {
    subtest("asleep at $point" => sub {
        my $key = SandboxTest::idem();

        arm($point, 'stop');
        my $first = send_post($key);
        reached($point);
        my $worker = stopped_worker() or return fail('a worker has stopped');

        my $second = post($key);
        my $id = $second->{json}{id};
        kill 'CONT', $worker;

        my $r = $first->read_response;
        my $json = $r ? eval { json->decode($r->{body}) } // {} : {};
        ok($r && ($r->{status} == 201 ? $r->{body} eq $second->{body}
                                      : $json->{retryable}),
           'who wakes late gives the same answer or an error to retry')
            or diag($r ? "$r->{status} $r->{body}" : 'cut off');

        only($id, 'there is one sandbox');
        is(post($key)->{body}, $second->{body}, 'the answer stays the same');
        is($t->exec($id, 'echo ok')->{stdout}, "ok\n", 'which works');
        gone($id);
    });
}

# workers that are killed are worth an alert to nginx
$t->expect_log(qr/worker process \d+ exited on signal 9/,
               qr/\[alert\] .*(shared memory zone|signal 9)/);
$t->finish;
