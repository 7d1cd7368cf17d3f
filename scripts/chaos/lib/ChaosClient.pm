package ChaosClient;

# One client: takes keys in turn, lets racers ask for each sandbox on
# connections of their own, uses it and gives it back.  Writes what happened
# as lines of JSON to a pipe; judges nothing.

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time sleep);

use ChaosPlan qw(plan_key);
use SandboxHttp;

use constant PATIENCE => 240;   # seconds, for one request and its retries

my $json = JSON::PP->new->utf8->canonical;


# api, key (of the API), pipe, seed, run (a name), patience
sub new {
    my ($class, %o) = @_;

    return bless { %o }, $class;
}


# Lines of less than PIPE_BUF bytes are written as a whole.
sub note {
    my ($self, %line) = @_;

    syswrite($self->{pipe}, $json->encode({ t => time(), %line }) . "\n");
}


# One request, one answer or none: { status, body, json, headers }.
sub once {
    my ($self, $key, $op, $method, $path, %o) = @_;
    my @headers = (Authorization => "Bearer $self->{key}",
                   Connection => 'close');
    my $began = time();

    push @headers, 'Content-Type' => 'application/json' if defined $o{body};
    push @headers, 'Idempotency-Key' => $o{idem} if defined $o{idem};

    my $r = eval {
        SandboxHttp->new($self->{api}, $o{timeout} // 90)
            ->request($method, $path, \@headers, $o{body});
    };

    $r = { status => 0, body => '', headers => {} }
        if !$r || !$r->{complete};
    $r->{json} = eval { $json->decode($r->{body}) };

    my $code = ref $r->{json} eq 'HASH' ? $r->{json}{code} : undef;
    $self->note(key => $key, op => $op, status => $r->{status},
                ms => int((time() - $began) * 1000),
                $r->{status} >= 400 ? (code => $code // '?') : (),
                $r->{headers}{'idempotent-replayed'} ? (replayed => 1) : (),
                $o{timeout} ? (hasty => 1) : (),
                $op eq 'create' && $r->{status} == 201
                    ? (id => $r->{json}{id}, body => sha256_hex($r->{body}))
                    : ());
    return $r;
}


# Repeats a request until it is answered with a status of wanted; final: not by
# an answer that says that repeating helps.  The first try may hang up early.
sub persist {
    my ($self, $wanted, @request) = @_;
    my ($key, $op, $method, $path, %o) = @request;
    my $end = time() + $self->{patience};
    my ($abort, $final) = delete @o{qw(abort final)};

    for (;;) {
        my $r = $self->once($key, $op, $method, $path, %o,
                            defined $abort ? (timeout => $abort) : ());
        undef $abort;
        return $r if !($final && ref $r->{json} eq 'HASH'
                       && $r->{json}{retryable})
                     && grep { $_ == $r->{status} } @$wanted;

        if (time() > $end) {
            $self->note(key => $key, op => $op, gave_up => 1);
            return;
        }

        sleep 0.1 + rand 0.4;
    }
}


# Runs each of the codes in a process of its own and waits for all.
sub together {
    my ($self, @codes) = @_;
    my @pids;

    for my $code (@codes) {
        my $pid = fork() // die "cannot fork: $!\n";

        if ($pid == 0) {
            srand($$ ^ int(time() * 1000));
            eval { $code->(); 1 } or $self->note(failed => "$@");
            POSIX::_exit(0);
        }

        push @pids, $pid;
    }

    waitpid($_, 0) for @pids;
}


sub create {
    my ($self, $i, $plan) = @_;
    my $body = $json->encode({
        memory_mb => 128, metadata => { key => $i },
        timeout_ms => $plan->{fate} eq 'expire' ? 8000 : 3600000,
    });
    my @request = ($i, 'create', 'POST', '/v1/sandboxes', body => $body,
                   idem => "chaos-$self->{run}-$i");

    $self->together(map {
        my $racer = $_;
        sub {
            sleep $racer->{at};
            $self->persist([201], @request, abort => $racer->{abort});
        }
    } @{ $plan->{racers} });

    # one more, to learn the sandbox: a replay
    return $self->persist([201], @request);
}


sub use_it {
    my ($self, $i, $plan, $id) = @_;
    my $there = $self->persist([200, 404], $i, 'get', 'GET',
                               "/v1/sandboxes/$id");

    $self->note(key => $i, id => $id, there => $there->{status}) if $there;
    return if !$there || $there->{status} == 404;

    my $r = $self->persist([200, 404, 409], $i, 'exec', 'POST',
                           "/v1/sandboxes/$id/exec", body => $json->encode({
                               command => 'echo', args => [$id],
                               timeout_secs => 30 }));
    $self->note(key => $i, id => $id, exec => $r->{status},
                right => ($r->{json}{stdout} // '') eq "$id\n" ? 1 : 0)
        if $r;

    $self->once($i, 'list', 'GET', '/v1/sandboxes') if $plan->{list};
    $self->once($i, 'timeout', 'POST', "/v1/sandboxes/$id/timeout",
                body => '{"timeout_ms":3600000}')
        if $plan->{timeout} && $plan->{fate} ne 'expire';
}


# A command in a sandbox: its output, or undef.
sub run {
    my ($self, $i, $id, $command) = @_;
    my $r = $self->persist([200, 404, 409], $i, 'exec', 'POST',
                           "/v1/sandboxes/$id/exec", final => 1,
                           body => $json->encode({
                               command => $command, shell => JSON::PP::true,
                               timeout_secs => 30 })) or return;

    return $r->{status} == 200 ? $r->{json}{stdout} : undef;
}


# It has what was written down before it was copied.
sub kept {
    my ($self, $i, $id, $how) = @_;
    my $said = $self->run($i, $id, 'cat /dev/shm/word /root/word');

    $self->note(key => $i, id => $id, kept => $how, said => $said // 'nothing',
                right => ($said // '') eq "$self->{run}-$i\n" x 2 ? 1 : 0);
}


# A fork, or a snapshot and a sandbox made of it; both go again.
sub copy {
    my ($self, $i, $id, $what) = @_;
    my @key = (idem => "chaos-$self->{run}-$i-$what", final => 1);
    my $r = $self->persist([201, 404, 409], $i, $what, 'POST',
                           "/v1/sandboxes/$id/" . ($what eq 'fork'
                               ? 'fork' : 'snapshots'),
                           body => '{}', @key);
    return if !$r || $r->{status} != 201;

    my $snapshot = $what eq 'snapshot' ? $r->{json}{id} : undef;
    if (defined $snapshot) {
        $r = $self->persist([201, 404, 409], $i, 'create of it', 'POST',
                            '/v1/sandboxes', final => 1,
                            body => $json->encode({
                                snapshot_id => $snapshot }),
                            idem => "chaos-$self->{run}-$i-of-it");
    }

    if ($r && $r->{status} == 201) {
        my $child = $r->{json}{id};
        $self->kept($i, $child, $what);
        $self->persist([200], $i, 'delete', 'DELETE',
                       "/v1/sandboxes/$child");
    }
    $self->persist([200], $i, 'delete snapshot', 'DELETE',
                   "/v1/snapshots/$snapshot", final => 1)
        if defined $snapshot;
}


# Hibernated and resumed; the id it then has.
sub sleep_once {
    my ($self, $i, $id) = @_;
    my $path = "/v1/sandboxes/$id";
    my $r = $self->persist([200, 404, 409], $i, 'hibernate', 'POST',
                           "$path/hibernate", final => 1);
    return $id if !$r || $r->{status} != 200;

    # it has no key: one that was cut off may have done it
    $self->persist([201, 404, 409], $i, 'resume', 'POST', "$path/resume",
                   final => 1);
    $r = $self->persist([200, 404], $i, 'get', 'GET', $path);
    $id = $r->{json}{id} if $r && $r->{status} == 200;
    $self->kept($i, $id, 'resume');

    return $id;
}


sub keep_it {
    my ($self, $i, $plan, $id) = @_;
    my @copies = grep { $plan->{$_} } qw(fork snapshot);

    return if $plan->{fate} eq 'expire' || !(@copies || $plan->{sleep});
    return if !defined $self->run($i, $id, "echo $self->{run}-$i "
                                  . '| tee /dev/shm/word >/root/word; sync');

    $self->copy($i, $id, $_) for @copies;
    $self->sleep_once($i, $id) if $plan->{sleep};
}


sub end {
    my ($self, $i, $plan, $id) = @_;
    my $delete = sub {
        $self->persist([200], $i, 'delete', 'DELETE', "/v1/sandboxes/$id");
    };

    return if $plan->{fate} eq 'expire';
    $self->together(($delete) x ($plan->{fate} eq 'delete twice' ? 2 : 1));
    $self->persist([200, 404], $i, 'get deleted', 'GET', "/v1/sandboxes/$id");
}


# All of one key.
sub serve {
    my ($self, $i) = @_;
    my $plan = plan_key($self->{seed}, $i);

    $self->note(key => $i, begun => 1, fate => $plan->{fate},
                racers => scalar @{ $plan->{racers} });
    my $r = $self->create($i, $plan);

    if ($r) {
        $self->use_it($i, $plan, $r->{json}{id});
        $self->keep_it($i, $plan, $r->{json}{id});
        $self->end($i, $plan, $r->{json}{id});
    }

    $self->note(key => $i, done => 1);
}

1;
