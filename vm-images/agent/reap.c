/*
 * Signals, by signalfd: SIGCHLD reaps, and those that poweroff, reboot and the
 * like send to the first process power the machine off.  The rest of what a
 * program in the guest may send is ignored by the kernel for PID 1.
 */

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "console.h"
#include "loop.h"
#include "reap.h"

static LIST_HEAD(agent_children_s, agent_child_s)
    reap_children = LIST_HEAD_INITIALIZER(reap_children);
static agent_watch_t reap_signals;

static const int reap_power[] = { SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPWR };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


static void
reap_child(pid_t pid, int status)
{
    agent_child_t *child;

    for (child = LIST_FIRST(&reap_children); child != NULL;
         child = LIST_NEXT(child, link))
    {
        if (child->pid == pid) {
            LIST_REMOVE(child, link);
            child->exited(child->data, status);
            return;
        }
    }
}


static void
reap_event(void *data, uint32_t events)
{
    int status;
    pid_t pid;
    struct signalfd_siginfo info;

    (void) data;
    (void) events;

    while (read(reap_signals.fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGCHLD) {
            agent_log("signal %u: powering off", info.ssi_signo);
            agent_power_off();
        }
    }

    /* Signals of one kind merge: children are reaped until none is left. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        reap_child(pid, status);
    }
}


int
agent_reap_init(void)
{
    int fd;
    size_t i;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (i = 0; i < COUNT(reap_power); i++) {
        sigaddset(&set, reap_power[i]);
    }

    if (sigprocmask(SIG_BLOCK, &set, NULL) == -1
        || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
    {
        return -1;
    }

    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    reap_signals.handler = reap_event;

    return agent_loop_watch(&reap_signals, fd, EPOLLIN);
}


void
agent_reap_watch(agent_child_t *child)
{
    LIST_INSERT_HEAD(&reap_children, child, link);
}


void
agent_reap_reset_signals(void)
{
    int i;
    sigset_t none;

    for (i = 1; i < NSIG; i++) {
        signal(i, SIG_DFL);
    }

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
