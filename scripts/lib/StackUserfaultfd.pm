package StackUserfaultfd;

# The one thing of the host that stacks change: vm.unprivileged_userfaultfd has
# no namespace.  Who needs it is noted, each stack by a link to its directory;
# what the value was, by whoever was first.

use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Exporter 'import';
use Fcntl qw(LOCK_EX O_RDONLY);

use StackConf qw(write_file);
use StackProc qw(slurp);

our @EXPORT_OK = qw(need_userfaultfd release_userfaultfd);

use constant NOTES => '/run/nginx-sandbox-userfaultfd';
use constant SYSCTL => '/proc/sys/vm/unprivileged_userfaultfd';


sub set_value {
    my ($value) = @_;

    open(my $fh, '>', SYSCTL) or return 0;
    print $fh $value;
    return close $fh;
}


# Calls change with the notes locked; then the value is as who is left needs it.
sub with_notes {
    my ($mark, $change) = @_;

    my $lock;

    # again, if the last one has removed it meanwhile
    do {
        mkdir NOTES, 0700;
        sysopen($lock, NOTES, O_RDONLY) && flock($lock, LOCK_EX)
            or $!{ENOENT} or die 'cannot lock ' . NOTES . ": $!\n";
    } until $lock && ((stat $lock)[1] // 0) == ((stat NOTES)[1] // -1);

    $change->();

    # Those whose directory went without "down" need it no more.
    my @users = grep { -e readlink($_) . "/$mark" or !unlink $_ }
                glob(NOTES . '/user-*');
    my $old = slurp(NOTES . '/old');

    if (@users && $old eq '') {
        $old = slurp(SYSCTL);
        write_file(NOTES . '/old', $old eq '' ? "none\n" : $old);
        set_value("1\n") or print STDERR 'stack: ' . SYSCTL
            . " cannot be set: sandboxes stand still while they are copied\n";
    } elsif (!@users) {
        set_value($old) if $old =~ /^\d/;
        unlink NOTES . '/old';
        rmdir NOTES;
    }
}


sub link_of {
    my ($dir) = @_;

    return NOTES . '/user-' . md5_hex($dir);
}


# The stack in dir needs it, as long as there is a file mark in dir.
sub need_userfaultfd {
    my ($dir, $mark) = @_;

    with_notes($mark, sub { symlink $dir, link_of($dir) });
}


# It needs it no more, if it ever did.
sub release_userfaultfd {
    my ($dir, $mark) = @_;

    with_notes($mark, sub { unlink link_of($dir) }) if -l link_of($dir);
}

1;
