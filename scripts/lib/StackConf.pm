package StackConf;

# Configuration of a stack, made from the production files of conf/.  Owns the
# list of differences between a node and a stack; starts nothing.
#
# A production directive that is not found is an error, so that conf/ and this
# file cannot drift apart unseen.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(nginx_conf libvirt_confs group_file read_file write_file);


sub read_file {
    my ($path) = @_;

    open(my $fh, '<', $path) or die "cannot read $path: $!\n";
    local $/;
    my $text = <$fh>;
    close $fh;

    return $text;
}


sub write_file {
    my ($path, $text, $mode) = @_;

    my $old = umask(0777 & ~($mode // 0644));
    my $ok = open(my $fh, '>', $path);
    umask $old;
    $ok or die "cannot write $path: $!\n";
    print $fh $text or die "cannot write $path: $!\n";
    close $fh or die "cannot write $path: $!\n";
}


# Replaces the arguments of a directive of the main, http or server level.
sub set_directive {
    my ($text, $name, $value) = @_;

    $$text =~ s/^(\s*)\Q$name\E\s[^;]*;/${1}$name $value;/m
        or die "conf/ has no directive \"$name\" of nginx\n";
}


# The server {} blocks of the file, by their braces.
sub each_server {
    my ($text, $change) = @_;
    my $n = 0;

    $$text =~ s{^(\ *)(server\ \{\n.*?^\1\})}{
        $n++; $1 . $change->($2)
    }gmsex;

    return $n;
}


# Plain HTTP on the loopback.  The first socket is inherited from the host's
# network namespace, the second one is nginx's own in the stack's; they are
# two only because of "bind".
sub listen_on {
    my ($server, $port) = @_;

    $server =~ s/^\s*ssl_certificate(_key)? [^;]*;\n//mg;
    $server =~ s/^(\s*)listen [^;]*;
                /$1listen 127.0.0.1:$port bind;\n$1listen *:$port;/mx
        or die "a server of conf\/sandbox.conf has no \"listen\"\n";

    return $server;
}


# Without the module: what is left is a plain nginx that answers /healthz.
sub without_module {
    my ($text) = @_;

    $$text =~ s/^\s*(load_module|thread_pool|sandbox_\w+)\s[^;]*;[^\n]*\n//mg;
    $$text =~ s/^\s*upstream sandboxes \{.*?\}\n//msg;
    $$text =~ s/^(\s*)proxy_pass [^;]*;/$1return 503;/mg;
    $$text =~ s/\$sandbox_request_id/-/;
    $$text =~ s/^\s*proxy_set_header \w+ \$sandbox_\w+;\n//mg;
}


# A container may not raise its limit, and nginx calls that an alert; of more
# connections than it has descriptors it warns.
sub hard_limit_nofile {
    my ($wanted) = @_;
    my ($hard) = read_file('/proc/self/limits')
                 =~ /^Max open files\s+\S+\s+(\d+)/m;

    return defined $hard && $hard < $wanted ? $hard : $wanted;
}


# The sample is three files, as nginx reads it; a stack has one.
sub sample {
    my ($top) = @_;
    my $text = read_file("$top/conf/nginx.conf");
    my %included = ('modules-enabled' => 'sandbox-module.conf',
                    'conf.d' => 'sandbox.conf');

    for my $dir (sort keys %included) {
        my $part = read_file("$top/conf/$included{$dir}");

        $text =~ s{^(\ *)include\ /etc/nginx/\Q$dir\E/\*\.conf;\n}{
            my $indent = $1; $part =~ s/^(?=.)/$indent/gmr
        }mex or die "conf/nginx.conf does not include \"$dir\"\n";
    }

    return $text;
}


# o: top, module ('' for none), workers, log_level, domain, node, accel,
# port_api, port_traffic, crash_points, set (directive => arguments)
sub nginx_conf {
    my (%o) = @_;
    my $text = sample($o{top});
    my %set = (
        worker_processes  => $o{workers},
        error_log         => "/var/log/nginx/error.log $o{log_level}",
        load_module       => "\"$o{module}\"",
        sandbox_accel     => $o{accel},
        sandbox_data_dir  => '/run/stack/data',
        sandbox_templates => '/run/stack/templates',
        sandbox_node      => $o{node},
        worker_rlimit_nofile => hard_limit_nofile(65536),
        worker_connections   => hard_limit_nofile(32768),
        %{ $o{set} // {} },
    );

    set_directive(\$text, $_, $set{$_}) for sort keys %set;

    $text =~ s/sandbox\.example\.net/$o{domain}/g
        or die "conf/sandbox.conf has no domain \"sandbox.example.net\"\n";

    my %seen;
    each_server(\$text, sub {
        my ($server) = @_;
        my $kind = $server =~ /^\s*sandbox_api on;/m ? 'port_api'
                                                     : 'port_traffic';
        $seen{$kind}++;
        return listen_on($server, $o{$kind});
    });

    ($seen{port_api} // 0) == 1 && ($seen{port_traffic} // 0) == 1
        or die "conf/sandbox.conf has not one API and one traffic server\n";

    without_module(\$text) if $o{module} eq '';
    $text = "env SANDBOX_CRASH_DIR=/run/stack/data/crash;\n\n$text"
        if $o{crash_points};

    return "# Made by scripts/stack from conf/nginx.conf.\n\n" . $text;
}


# Returns name => text of the files of /etc/libvirt.
sub libvirt_confs {
    my ($top) = @_;
    my %conf = map { $_ => read_file("$top/conf/libvirt/$_") }
               qw(libvirtd.conf qemu.conf virtlogd.conf);

    # Neither profiles nor cgroups: both would be the host's.
    $conf{'qemu.conf'} .= <<'END';

security_driver = "none"
cgroup_controllers = [ ]
END

    return %conf;
}


# /etc/group with nginx's user where a production node has it too.
sub group_file {
    my $text = read_file('/etc/group');

    for my $group (qw(libvirt redis)) {
        $text =~ s/^(\Q$group\E:[^:]*:[^:]*:)(.*)$/
            $1 . join(',', grep({ $_ ne '' && $_ ne 'www-data' }
                                split(m{,}, $2)), 'www-data')
        /me or die "the group $group is missing; run scripts\/install-deps\n";
    }

    return $text;
}

1;
