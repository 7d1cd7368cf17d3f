/* The freezer of cgroup v2; see the header. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "console.h"
#include "freeze.h"

#define GROUP "/sys/fs/cgroup/sandbox"
#define FREEZE_WAIT_MS 2000
#define FREEZE_STEP_MS 1

static int freeze_group = -1;


void
agent_freeze_init(void)
{
    if (mkdir(GROUP, 0755) == -1 && errno != EEXIST) {
        agent_log("%s could not be made: %s", GROUP, strerror(errno));
        return;
    }

    freeze_group = open(GROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (freeze_group == -1) {
        agent_log("%s could not be opened: %s", GROUP, strerror(errno));
    }
}


/*
 * Moving a process into a group later would wait for all processors, and a
 * frozen one could not take it in before its first instruction.
 */
pid_t
agent_freeze_fork(void)
{
    struct clone_args args;

    if (freeze_group == -1) {
        return fork();
    }

    memset(&args, 0, sizeof(args));
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = (__u64) freeze_group;

    return (pid_t) syscall(SYS_clone3, &args, sizeof(args));
}


static int
freeze_write(const char *value)
{
    int fd, rc;

    fd = openat(freeze_group, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = write(fd, value, 1) == 1 ? 0 : -1;
    close(fd);

    return rc;
}


/* 1 if all of the group stands still, 0 if not yet, -1. */
static int
freeze_done(void)
{
    int fd;
    char buf[256];
    ssize_t n;

    fd = openat(freeze_group, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, buf, sizeof(buf) - 1);
    close(fd);

    if (n == -1) {
        return -1;
    }

    buf[n] = '\0';

    return strstr(buf, "frozen 1") != NULL;
}


static int
freeze_wait(void)
{
    int done, waited;
    struct timespec step = { 0, FREEZE_STEP_MS * 1000000L };

    for (waited = 0; (done = freeze_done()) == 0; waited += FREEZE_STEP_MS) {
        if (waited >= FREEZE_WAIT_MS) {
            errno = ETIMEDOUT;
            return -1;
        }

        nanosleep(&step, NULL);
    }

    return done == 1 ? 0 : -1;
}


int
agent_freeze(int on, char *error, size_t size)
{
    int err;

    if (!on) {
        if (freeze_group == -1 || freeze_write("0") == 0) {
            return 0;
        }

        snprintf(error, size, "The commands could not go on: %s.",
                 strerror(errno));
        return -1;
    }

    if (freeze_group != -1 && freeze_write("1") == 0 && freeze_wait() == 0) {
        sync();
        return 0;
    }

    err = freeze_group == -1 ? ENOSYS : errno;
    snprintf(error, size, "The commands could not be frozen: %s.",
             strerror(err));

    if (freeze_group != -1) {
        freeze_write("0");
    }

    return -1;
}
