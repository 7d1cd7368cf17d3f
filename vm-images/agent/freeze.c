/*
 * The freezer of cgroup v2; see the header.
 *
 * Commands may make groups beside their own, as container engines do: so every
 * child of the root group is frozen, with all below it.  Groups that were
 * frozen already must not be thawed afterwards, so the names of the others are
 * remembered, also in a guest that is started from a checkpoint.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup.h"
#include "console.h"
#include "freeze.h"
#include "proc.h"
#include "sandbox_time.h"

#define ROOT "/sys/fs/cgroup"
#define GROUP "sandbox"
#define FREEZE_WAIT_MS 2000
#define FREEZE_STEP_MS 2

typedef struct freeze_held_s freeze_held_t;

struct freeze_held_s {
    STAILQ_ENTRY(freeze_held_s) link;
    char name[];
};

static int freeze_root = -1;
static int freeze_group = -1;
static int freeze_used;  /* a command was started, so there may be groups */
static int freeze_whole; /* all are frozen, also in a guest of a checkpoint */
static STAILQ_HEAD(freeze_list_s, freeze_held_s)
    freeze_held = STAILQ_HEAD_INITIALIZER(freeze_held);


void
agent_freeze_init(void)
{
    freeze_root = open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (freeze_root == -1
        || (mkdirat(freeze_root, GROUP, 0755) == -1 && errno != EEXIST))
    {
        agent_log(ROOT "/" GROUP " could not be made: %s", strerror(errno));
        return;
    }

    freeze_group =
        openat(freeze_root, GROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (freeze_group == -1) {
        agent_log(ROOT "/" GROUP " could not be opened: %s", strerror(errno));
    }
}


int
agent_freeze_group(void)
{
    return freeze_group;
}


/*
 * The child begins in its group: to move it later would wait for all
 * processors, and before it is moved a freeze of the group would not stop it.
 */
pid_t
agent_freeze_fork(int group)
{
    struct clone_args args;

    freeze_used = 1;
    group = group == -1 ? freeze_group : group;

    if (group == -1) {
        return fork();
    }

    memset(&args, 0, sizeof(args));
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = (__u64) group;

    return (pid_t) syscall(SYS_clone3, &args, sizeof(args));
}


static int
freeze_write(int group, const char *value)
{
    int fd, rc;

    fd = openat(group, "cgroup.freeze", O_RDWR | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = write(fd, value, 1) == 1 ? 0 : -1;
    close(fd);

    return rc;
}


static int
freeze_stop(int group, const char *name, int64_t arg)
{
    int fd;
    char now;
    size_t size;
    freeze_held_t *held;

    (void) arg;

    fd = openat(group, "cgroup.freeze", O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return agent_cgroup_gone() ? 0 : -1;
    }

    now = '0';
    if (read(fd, &now, 1) != 1) {
        now = '0';
    }

    close(fd);

    if (now == '1') {
        return 0;
    }

    size = strlen(name) + 1;
    held = malloc(sizeof(*held) + size);
    if (held == NULL) {
        return -1;
    }

    memcpy(held->name, name, size);
    STAILQ_INSERT_TAIL(&freeze_held, held, link);

    return freeze_write(group, "1") == 0 || agent_cgroup_gone() ? 0 : -1;
}


/* 1 if a thread of the group or a group below is runnable; -1: unknown. */
static int
freeze_running(int group, const char *name, int64_t depth)
{
    int n;
    FILE *ids;
    pid_t id;
    agent_proc_t p;

    (void) name;

    ids = agent_cgroup_ids(group, "cgroup.threads");
    if (ids == NULL) {
        return -1;
    }

    n = 0;

    while (n == 0 && (id = agent_cgroup_id(ids)) != -1) {
        n = agent_proc_read(id, &p) == 0 && p.state == 'R';
    }

    fclose(ids);

    if (n == 0) {
        n = depth < AGENT_CGROUP_DEPTH
                ? agent_cgroup_each(group, freeze_running, depth + 1)
                : -1;
    }

    return n;
}


/* 1 if the whole group is frozen, 0 if not yet, -1 with errno set. */
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
 * The kernel tells of a change of cgroup.events, but no sooner than 10 ms after
 * the one before: so the file is read every FREEZE_STEP_MS besides.
 *
 * A thread that waits in the kernel for a disk is not frozen before its wait is
 * over.  It cannot leave the kernel then, so a group that has no runnable
 * thread stands still all the same.
 */
static int
freeze_watch(int group, int events, int64_t until)
{
    int done;
    int64_t now, quick;
    struct pollfd p;

    quick = sandbox_time_monotonic_ms() + FREEZE_STEP_MS;

    while ((done = freeze_done(events)) == 0) {
        now = sandbox_time_monotonic_ms();

        if (now >= quick && freeze_running(group, NULL, 0) == 0) {
            return 0;
        }

        if (now >= until) {
            errno = ETIMEDOUT;
            return -1;
        }

        p.fd = events;
        p.events = POLLPRI;
        poll(&p, 1, FREEZE_STEP_MS);
    }

    return done == 1 ? 0 : -1;
}


static int
freeze_wait(int group, const char *name, int64_t until)
{
    int events, rc, err;

    (void) name;

    events = openat(group, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (events == -1) {
        return agent_cgroup_gone() ? 0 : -1;
    }

    rc = freeze_watch(group, events, until);

    err = errno;
    close(events);
    errno = err;

    return rc == 0 || agent_cgroup_gone() ? 0 : -1;
}


/* Freezes all groups; all are told before one is waited for. */
static int
freeze_all(void)
{
    int64_t until;

    until = sandbox_time_monotonic_ms() + FREEZE_WAIT_MS;

    if (agent_cgroup_each(freeze_root, freeze_stop, 0) == -1) {
        return -1;
    }

    return agent_cgroup_each(freeze_root, freeze_wait, until);
}


/* 0, or -1 with errno set; what could not be thawed stays remembered. */
static int
freeze_end(void)
{
    int group, rc, err;
    freeze_held_t *held;

    while ((held = STAILQ_FIRST(&freeze_held)) != NULL) {
        group =
            openat(freeze_root, held->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        rc = group == -1 ? -1 : freeze_write(group, "0");
        err = errno;

        if (group != -1) {
            close(group);
        }

        errno = err;

        if (rc == -1 && !agent_cgroup_gone()) {
            return -1;
        }

        STAILQ_REMOVE_HEAD(&freeze_held, link);
        free(held);
    }

    return 0;
}


int
agent_freeze(char *error, size_t size)
{
    if (freeze_group == -1) {
        snprintf(error, size, "There is no control group to freeze.");
        return -1;
    }

    freeze_whole = 0;

    if (freeze_all() == -1) {
        snprintf(error, size, "The commands could not be frozen: %s.",
                 strerror(errno));
        return -1;
    }

    freeze_whole = 1;

    return 0;
}


int
agent_freeze_hold(char *error, size_t size)
{
    if (freeze_group == -1 || !freeze_used || freeze_whole) {
        return 0;
    }

    return agent_freeze(error, size);
}


int
agent_thaw(char *error, size_t size)
{
    freeze_whole = 0;

    if (freeze_end() == 0) {
        return 0;
    }

    snprintf(error, size, "The commands could not go on: %s.", strerror(errno));

    return -1;
}
