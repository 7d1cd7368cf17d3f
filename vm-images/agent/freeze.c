/* The freezer of cgroup v2; see the header. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "console.h"
#include "flush.h"
#include "freeze.h"
#include "sandbox_time.h"

#define GROUP "/sys/fs/cgroup/sandbox"
#define FREEZE_WAIT_MS 2000
#define FREEZE_QUICK_MS 20
#define FREEZE_SLOW_MS 10

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
freeze_done(int events)
{
    char buf[256];
    ssize_t n;

    n = pread(events, buf, sizeof(buf) - 1, 0);
    if (n == -1) {
        return -1;
    }

    buf[n] = '\0';

    return strstr(buf, "frozen 1") != NULL;
}


/*
 * The kernel tells of a change of cgroup.events, but no sooner than 10 ms
 * after the one before: so it is looked at now and then besides.
 */
static int
freeze_wait(int events)
{
    int done, ms;
    int64_t start, waited;
    struct pollfd p;

    start = sandbox_time_monotonic_ms();

    while ((done = freeze_done(events)) == 0) {
        waited = sandbox_time_monotonic_ms() - start;
        if (waited >= FREEZE_WAIT_MS) {
            errno = ETIMEDOUT;
            return -1;
        }

        p.fd = events;
        p.events = POLLPRI;
        ms = waited < FREEZE_QUICK_MS ? 1 : FREEZE_SLOW_MS;
        poll(&p, 1, ms);
    }

    return done == 1 ? 0 : -1;
}


static int
freeze_all(void)
{
    int events, rc, err;

    events = openat(freeze_group, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (events == -1) {
        return -1;
    }

    rc = freeze_write("1");
    if (rc == 0) {
        rc = freeze_wait(events);
    }

    err = errno;
    close(events);
    errno = err;

    return rc;
}


int
agent_freeze_hold(char *error, size_t size)
{
    if (freeze_group == -1 || freeze_all() == 0) {
        return 0;
    }

    snprintf(error, size, "The commands could not be stopped: %s.",
             strerror(errno));

    return -1;
}


int
agent_freeze(int sync, char *error, size_t size)
{
    if (freeze_group == -1) {
        snprintf(error, size, "There is no control group to freeze.");
        return -1;
    }

    if (freeze_all() == -1) {
        snprintf(error, size, "The commands could not be frozen: %s.",
                 strerror(errno));
        freeze_write("0");
        return -1;
    }

    if (sync && agent_flush_wait() == -1) {
        snprintf(error, size, "The file systems could not be written: %s.",
                 strerror(errno));
        freeze_write("0");
        return -1;
    }

    return 0;
}


int
agent_thaw(char *error, size_t size)
{
    if (freeze_group == -1 || freeze_write("0") == 0) {
        return 0;
    }

    snprintf(error, size, "The commands could not go on: %s.", strerror(errno));

    return -1;
}
