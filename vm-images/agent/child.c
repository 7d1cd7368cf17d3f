/*
 * What a command is and has before its program is loaded.  Must not know how
 * its parent goes on.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "reap.h"

#define FILES_SOFT 1024


static void
child_say(const char *command, const char *what)
{
    dprintf(STDERR_FILENO, "%.256s: %s\n", command, what);
}


/*
 * Gives up the agent's signal handling, OOM protection, priority and limit of
 * files, which a command must not inherit.
 */
static void
child_renounce(const char *command)
{
    int fd;
    struct rlimit files;

    agent_reap_reset_signals();

    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd != -1 && write(fd, "0", 1) != 1) {
        child_say(command, "the memory score could not be reset");
    }

    setpriority(PRIO_PROCESS, 0, 0);

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = FILES_SOFT;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}


static int
child_descriptors(const int fds[3], int terminal)
{
    int in;

    in = fds[0];
    if (in == -1) {
        in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }

    if (in == -1 || dup2(in, STDIN_FILENO) == -1
        || dup2(fds[1], STDOUT_FILENO) == -1
        || dup2(fds[2], STDERR_FILENO) == -1
        || (terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) == -1))
    {
        return -1;
    }

    return close_range(STDERR_FILENO + 1, ~0U, 0);
}


void
agent_child_run(const agent_process_spec_t *spec, const int fds[3])
{
    setsid();

    if (child_descriptors(fds, spec->terminal) == -1) {
        _exit(126);
    }

    child_renounce(spec->argv[0]);

    if (setgroups(spec->user->ngroups, spec->user->groups) == -1
        || setgid(spec->user->gid) == -1 || setuid(spec->user->uid) == -1)
    {
        child_say(spec->argv[0], "the user could not be changed");
        _exit(126);
    }

    if (chdir(spec->cwd) == -1) {
        child_say(spec->cwd, strerror(errno));
        _exit(126);
    }

    /* The command's PATH counts, not the agent's. */
    environ = (char **) spec->envp;
    execvp(spec->argv[0], spec->argv);

    if (errno == ENOENT || errno == ENOTDIR) {
        child_say(spec->argv[0], strchr(spec->argv[0], '/')
                                     ? "no such file or directory"
                                     : "command not found");
        _exit(127);
    }

    child_say(spec->argv[0], strerror(errno));
    _exit(126);
}
