/*
 * A group is a directory.  One that still has processes when its command has
 * ended is kept, and watched until the kernel tells that they are gone.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "freeze.h"
#include "group.h"

#define GROUP_NAME_SIZE 24
#define GROUP_ROUNDS_MAX 8 /* of signals to processes forked meanwhile */

struct agent_group_s {
    int fd;
    int events;
    agent_watch_t watch;
    char name[GROUP_NAME_SIZE];
};


static void
group_free(agent_group_t *g)
{
    agent_loop_unwatch(&g->watch);

    if (g->events != -1) {
        close(g->events);
    }

    if (g->fd != -1) {
        close(g->fd);
    }

    free(g);
}


agent_group_t *
agent_group_new(void)
{
    int all;
    agent_group_t *g;
    static unsigned serial;

    all = agent_freeze_group();
    if (all == -1) {
        return NULL;
    }

    g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return NULL;
    }

    g->fd = g->events = g->watch.fd = -1;

    do {
        snprintf(g->name, sizeof(g->name), "c%u", ++serial);
    } while (mkdirat(all, g->name, 0755) == -1 && errno == EEXIST);

    g->fd = openat(all, g->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (g->fd != -1) {
        g->events = openat(g->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    }

    if (g->events == -1) {
        unlinkat(all, g->name, AT_REMOVEDIR);
        group_free(g);
        return NULL;
    }

    return g;
}


pid_t
agent_group_fork(agent_group_t *g)
{
    return agent_freeze_fork(g ? g->fd : -1);
}


static int
group_kill(agent_group_t *g)
{
    int fd, rc;

    fd = openat(g->fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = write(fd, "1", 1) == 1 ? 0 : -1;
    close(fd);

    return rc;
}


/* Signals the processes that are listed; how many of them, or -1. */
static int
group_signal_once(agent_group_t *g, int signal)
{
    int n;
    FILE *ids;
    pid_t pid;

    ids = agent_cgroup_ids(g->fd, "cgroup.procs");
    if (ids == NULL) {
        return -1;
    }

    n = 0;

    while ((pid = agent_cgroup_id(ids)) != -1) {
        /* those of other name spaces are nobody here */
        if (pid > 1 && kill(pid, signal) == 0) {
            n++;
        }
    }

    fclose(ids);

    return n;
}


/*
 * SIGKILL is sent by cgroup.kill if the kernel has it, other signals process by
 * process.  Groups that a command made below its own are reached by cgroup.kill
 * alone.
 */
int
agent_group_signal(agent_group_t *g, int signal)
{
    int n, round;

    if (signal == SIGKILL && group_kill(g) == 0) {
        return 0;
    }

    n = group_signal_once(g, signal);

    for (round = 0; signal == SIGKILL && n > 0 && round < GROUP_ROUNDS_MAX;
         round++) {
        n = group_signal_once(g, signal);
    }

    return n == -1 ? -1 : 0;
}


int
agent_group_populated(agent_group_t *g)
{
    char buf[256];
    ssize_t n;

    n = pread(g->events, buf, sizeof(buf) - 1, 0);
    if (n <= 0) {
        return 0;
    }

    buf[n] = '\0';

    return strstr(buf, "populated 1") != NULL;
}


/* Removes a group that a command made, after those below it. */
static int
group_prune(int group, const char *name, int64_t depth)
{
    char self[NAME_MAX + sizeof("../")];

    if (depth < AGENT_CGROUP_DEPTH) {
        (void) agent_cgroup_each(group, group_prune, depth + 1);
    }

    snprintf(self, sizeof(self), "../%s", name);
    (void) unlinkat(group, self, AT_REMOVEDIR);

    return 0;
}


/* Removes and frees a group; 0, or -1 if it still has processes. */
static int
group_remove(agent_group_t *g)
{
    int all;

    if (agent_group_populated(g)) {
        return -1;
    }

    all = agent_freeze_group();
    (void) agent_cgroup_each(g->fd, group_prune, 1);

    if (unlinkat(all, g->name, AT_REMOVEDIR) == -1 && errno == EBUSY
        && agent_group_populated(g))
    {
        return -1;
    }

    group_free(g);

    return 0;
}


static void
group_event(void *data, uint32_t events)
{
    (void) events;
    group_remove(data);
}


void
agent_group_release(agent_group_t *g)
{
    if (g == NULL || group_remove(g) == 0) {
        return;
    }

    g->watch.handler = group_event;
    g->watch.data = g;

    if (agent_loop_watch(&g->watch, g->events, EPOLLPRI) == -1) {
        group_free(g);
    }
}
