#!/usr/bin/perl

# Twenty creates at once: each ends in a sandbox or an honest 503, and nginx
# answers other things meanwhile.

use FindBin;
use lib "$FindBin::Bin/lib";
use SandboxTest;

use constant CREATES => 20;

my $t = SandboxTest->new;

sub quantile {
    my ($q, @values) = @_;

    return (sort { $a <=> $b } @values)[int($q * $#values)] // 0;
}

# a child of ours asks for /healthz all the time
pipe(my $out, my $in) or die "pipe: $!";
my $pid = fork() // die "fork: $!";

if ($pid == 0) {
    my $on = 1;
    $SIG{TERM} = sub { $on = 0 };
    close $out;
    my $http = SandboxHttp->new($t->{api}, 30);
    my @times;

    while ($on) {
        my $began = time();
        my $r = $http->request('GET', '/healthz');
        push @times, (time() - $began) * 1000;
        if (!$r || $r->{status} != 200) {
            push @times, 1e9;
            last;
        }
        # a connection serves keepalive_requests requests
        $http = SandboxHttp->new($t->{api}, 30) if @times % 500 == 0;
        sleep 0.01;
    }
    print $in "@times\n";
    close $in;
    POSIX::_exit(0);
}

close $in;
my $guard = guard(sub { kill 'KILL', $pid; waitpid $pid, 0 });

my $began = time();
my @c = map {
    $t->begin('POST', '/v1/sandboxes', body => '{"memory_mb":128}',
              timeout => 180)
} 1 .. CREATES;

my (@made, %status);
for my $http (@c) {
    my $r = $t->end($http);
    $status{$r->{status}}++;

    if ($r->{status} == 201) {
        push @made, $t->sandbox($r);
    } elsif ($r->{status} == 503) {
        ok(($r->{headers}{'retry-after'} // '') =~ /^\d+$/
           && $r->{json}{retryable}, "503 $r->{json}{code} says when to retry");
    } else {
        fail("status $r->{status}");
        diag($r->{body});
    }
}
my $took = time() - $began;

kill 'TERM', $pid;
my @times = split ' ', <$out> // '';

diag(sprintf '%d creates at once: %s in %.1f s', CREATES,
     join(', ', map { "$status{$_} x $_" } sort keys %status), $took);
diag(sprintf '/healthz meanwhile: n=%d median %.1f ms, p95 %.1f, p99 %.1f, '
     . 'max %.1f', scalar(@times), quantile(0.5, @times),
     quantile(0.95, @times), quantile(0.99, @times), quantile(1, @times));

is(($status{201} // 0) + ($status{503} // 0), CREATES, 'all are answered');
cmp_ok(scalar(@made), '>=', 1, 'some are made');
cmp_ok(scalar(@times), '>', 20, 'a plain location answers meanwhile');
cmp_ok(quantile(0.5, @times), '<', 100, 'median below 100 ms');
cmp_ok(quantile(0.95, @times), '<', 500, 'and nearly all below 500 ms');

is(scalar(@{ $t->list('/v1/sandboxes') }), scalar(@made),
   'the list has those that were made');
for my $s (@made) {
    is($t->exec($s, 'echo ok')->{stdout}, "ok\n", "$s->{id} works");
}

my %address = map { $t->exec($_, 'hostname -I')->{stdout} => 1 } @made;
is(scalar(keys %address), scalar(@made), 'all addresses differ');

# and all of them end at once
my @d = map {
    my $http = SandboxHttp->new($t->{api}, 120);
    $http->send($http->format_request('DELETE', "/v1/sandboxes/$_->{id}",
        [Authorization => "Bearer $t->{key}"]));
    $http
} @made;
is(scalar(grep { (($_->read_response // {})->{status} // 0) == 200 } @d),
   scalar(@made), 'all deletes at once');
@made = ();

$t->finish;
