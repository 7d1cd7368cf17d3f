/*
 * Processes, from fork to the last descendant.
 *
 * A command ends when its first process does, not when its output pipes
 * close: `sh -c "server &"` answers at once.  What such a server writes to
 * the inherited pipes later is read and thrown away, for a closed pipe would
 * kill it.
 *
 * Past the time limit, or when the owner is gone, the whole session is
 * killed: the group by one call, which no fork can escape, then the groups
 * that an interactive shell may have made, by looking through /proc until
 * nobody is left.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freeze.h"
#include "loop.h"
#include "process.h"
#include "reap.h"
#include "session.h"

#define READ_SIZE 65536
#define GRACE_MS 2000 /* from the first signal to SIGKILL */
#define SWEEP_MS 10   /* between two looks for survivors */
#define SWEEP_SLOW_MS 1000
#define SWEEPS_QUICK 200
#define SWEEPS_MAX 220
#define LEFTOVERS_MAX 256 /* processes gone whose pipes are still open */
#define FILES_SOFT 1024

struct agent_process_s {
    agent_child_t child;
    agent_watch_t out[2];
    int fd[2]; /* -1 once closed */
    agent_timer_t timer;
    agent_process_owner_t owner;
    int timeout_signal;
    int code;
    int sweeps;
    unsigned exited : 1;
    unsigned killing : 1; /* SIGKILL was sent to the session */
    unsigned timed_out : 1;
    unsigned reported : 1;
    TAILQ_ENTRY(agent_process_s) leftover;
};

static TAILQ_HEAD(agent_leftovers_s, agent_process_s)
    process_leftovers = TAILQ_HEAD_INITIALIZER(process_leftovers);
static unsigned process_nleftovers;


static void process_sweep(void *data);


static void
process_close(agent_process_t *p, int stream)
{
    if (p->fd[stream] != -1) {
        agent_loop_unwatch(&p->out[stream]);
        close(p->fd[stream]);
        p->fd[stream] = -1;
    }
}


/* A reported process stays for as long as somebody may write to its pipes. */
static void
process_free(agent_process_t *p)
{
    process_close(p, AGENT_STDOUT);
    process_close(p, AGENT_STDERR);
    agent_loop_timer_stop(&p->timer);
    free(p);
}


static void
process_leftover_free(agent_process_t *p)
{
    TAILQ_REMOVE(&process_leftovers, p, leftover);
    process_nleftovers--;
    process_free(p);
}


/* Reads what is there, at most `limit` bytes so that others get their turn. */
static void
process_read(agent_process_t *p, agent_stream_t stream, size_t limit)
{
    size_t total;
    ssize_t n;
    static char buf[READ_SIZE];

    for (total = 0; total < limit && p->fd[stream] != -1; total += n) {
        n = read(p->fd[stream], buf, sizeof(buf));
        if (n == -1) {
            if (errno == EINTR) {
                n = 0;
                continue;
            }

            if (errno != EAGAIN) {
                process_close(p, stream);
            }

            return;
        }

        if (n == 0) {
            process_close(p, stream);
            return;
        }

        if (p->owner.output != NULL) {
            p->owner.output(p->owner.data, stream, buf, n);
        }
    }
}


static void
process_event(agent_process_t *p, agent_stream_t stream)
{
    process_read(p, stream, READ_SIZE);

    if (p->reported && p->fd[0] == -1 && p->fd[1] == -1) {
        process_leftover_free(p);
    }
}


static void
process_stdout_event(void *data, uint32_t events)
{
    (void) events;
    process_event(data, AGENT_STDOUT);
}


static void
process_stderr_event(void *data, uint32_t events)
{
    (void) events;
    process_event(data, AGENT_STDERR);
}


static void
process_report(agent_process_t *p)
{
    agent_process_owner_t owner;

    agent_loop_timer_stop(&p->timer);

    /* A pipe holds at most a megabyte: this is all the process has written. */
    process_read(p, AGENT_STDOUT, 1048576);
    process_read(p, AGENT_STDERR, 1048576);

    owner = p->owner;
    memset(&p->owner, 0, sizeof(p->owner));
    p->reported = 1;

    TAILQ_INSERT_TAIL(&process_leftovers, p, leftover);
    process_nleftovers++;

    if (owner.done != NULL) {
        owner.done(owner.data, p->code, p->timed_out);
    }

    if (p->fd[0] == -1 && p->fd[1] == -1) {
        process_leftover_free(p);
    } else if (process_nleftovers > LEFTOVERS_MAX) {
        process_leftover_free(TAILQ_FIRST(&process_leftovers));
    }
}


/* Kills what is left of the session; reports once nothing is. */
static void
process_sweep(void *data)
{
    int left;
    agent_process_t *p = data;

    /*
     * The number of the session is taken as long as it has a member, so a
     * living process that has it as its own number now is a stranger.
     */
    left = 0;
    if (!p->exited || kill(p->child.pid, 0) == -1) {
        if (!p->killing) {
            kill(-p->child.pid, SIGKILL);
        }

        left = agent_session_kill(p->child.pid, SIGKILL);
    }

    p->killing = 1;
    p->sweeps++;

    if (p->exited && (left == 0 || p->sweeps >= SWEEPS_MAX)) {
        process_report(p);
        return;
    }

    agent_loop_timer(&p->timer,
                     p->sweeps < SWEEPS_QUICK ? SWEEP_MS : SWEEP_SLOW_MS);
}


static void
process_exited(void *data, int status)
{
    agent_process_t *p = data;

    p->exited = 1;
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

    if (p->timed_out || p->killing) {
        process_sweep(p);
    } else {
        process_report(p);
    }
}


static void
process_expired(void *data)
{
    agent_process_t *p = data;

    p->timed_out = 1;

    if (p->timeout_signal == SIGKILL) {
        process_sweep(p);
        return;
    }

    agent_session_kill(p->child.pid, p->timeout_signal);
    p->timer.handler = process_sweep;
    agent_loop_timer(&p->timer, GRACE_MS);
}


static void
child_say(const char *command, const char *what)
{
    dprintf(STDERR_FILENO, "%.256s: %s\n", command, what);
}


/* What the agent has for itself, a command must not inherit. */
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
child_descriptors(const int out[2])
{
    int fd;

    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd == -1 || dup2(fd, STDIN_FILENO) == -1
        || dup2(out[AGENT_STDOUT], STDOUT_FILENO) == -1
        || dup2(out[AGENT_STDERR], STDERR_FILENO) == -1)
    {
        return -1;
    }

    return close_range(STDERR_FILENO + 1, ~0U, 0);
}


/* Never returns; what goes wrong is said on the command's stderr. */
static void __attribute__((noreturn))
child_run(const agent_process_spec_t *spec, const int out[2])
{
    setsid();

    if (child_descriptors(out) == -1) {
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

    /* Its own PATH counts, not the agent's. */
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


static int
process_watch(agent_process_t *p)
{
    p->out[AGENT_STDOUT].handler = process_stdout_event;
    p->out[AGENT_STDERR].handler = process_stderr_event;
    p->out[AGENT_STDOUT].data = p;
    p->out[AGENT_STDERR].data = p;

    if (agent_loop_watch(&p->out[AGENT_STDOUT], p->fd[AGENT_STDOUT], EPOLLIN)
        == -1) {
        return -1;
    }

    return agent_loop_watch(&p->out[AGENT_STDERR], p->fd[AGENT_STDERR],
                            EPOLLIN);
}


/* Our ends do not block, the child's do. */
static int
process_pipes(agent_process_t *p, int child[2])
{
    int i;
    int ends[2];

    for (i = 0; i < 2; i++) {
        if (pipe2(ends, O_CLOEXEC) == -1) {
            return -1;
        }

        p->fd[i] = ends[0];
        child[i] = ends[1];

        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1) {
            return -1;
        }
    }

    return process_watch(p);
}


static agent_process_t *
process_alloc(const agent_process_spec_t *spec,
              const agent_process_owner_t *owner)
{
    agent_process_t *p;

    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }

    p->fd[0] = p->fd[1] = -1;
    p->out[0].fd = p->out[1].fd = -1;
    p->owner = *owner;
    p->timeout_signal = spec->timeout_signal;
    p->timer.handler = process_expired;
    p->timer.data = p;
    p->child.exited = process_exited;
    p->child.data = p;

    return p;
}


agent_process_t *
agent_process_start(const agent_process_spec_t *spec,
                    const agent_process_owner_t *owner)
{
    int i, err;
    int child[2] = { -1, -1 };
    agent_process_t *p;

    p = process_alloc(spec, owner);
    if (p == NULL) {
        return NULL;
    }

    p->child.pid = -1;
    if (process_pipes(p, child) == 0) {
        p->child.pid = agent_freeze_fork();
    }

    if (p->child.pid == 0) {
        child_run(spec, child);
    }

    err = errno;

    for (i = 0; i < 2; i++) {
        if (child[i] != -1) {
            close(child[i]);
        }
    }

    if (p->child.pid == -1) {
        process_free(p);
        errno = err;
        return NULL;
    }

    agent_reap_watch(&p->child);

    if (spec->timeout_ms > 0) {
        agent_loop_timer(&p->timer, spec->timeout_ms);
    }

    return p;
}


int64_t
agent_process_pid(const agent_process_t *p)
{
    return p->child.pid;
}


void
agent_process_abandon(agent_process_t *p)
{
    memset(&p->owner, 0, sizeof(p->owner));
    p->timer.handler = process_sweep;
    process_sweep(p);
}
