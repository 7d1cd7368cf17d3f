/*
 * Processes, from fork to the last descendant.
 *
 * A command ends when its first process does, not when its output pipes close:
 * `sh -c "server &"` answers at once.  What such a server writes to the
 * inherited pipes later is read and thrown away, for a closed pipe would kill
 * it.  What was in the pipes when the first process ended is passed to the
 * owner, as fast as the owner takes it, and only then is the end reported.
 *
 * Past the time limit, or when the owner is gone, the whole command is killed:
 * its control group, which no process leaves.  Without a control group it is
 * the session that is killed: first the process group of the first process by
 * one call, which no fork can escape, then the groups that an interactive shell
 * may have made, by searching /proc until no process is left.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "group.h"
#include "loop.h"
#include "memory.h"
#include "process.h"
#include "reap.h"
#include "session.h"
#include "terminal.h"

#define READ_SIZE 65536
#define INPUT_MAX (4 * 1024 * 1024) /* bytes queued for a command */
#define GRACE_MS 2000               /* from the first signal to SIGKILL */
#define SWEEP_MS 10                 /* between two looks for survivors */
#define SWEEP_SLOW_MS 1000
#define SWEEPS_QUICK 200
#define SWEEPS_MAX 220
#define SETTLE_MS 50      /* for the last output of a terminal */
#define LEFTOVERS_MAX 256 /* ended processes whose pipes are open */

struct agent_process_s {
    agent_child_t child;
    agent_group_t *group;
    agent_watch_t out[2];
    int fd[2];      /* -1 once closed */
    size_t rest[2]; /* bytes to pass on, once the process has ended */
    size_t allowed;
    agent_watch_t in;
    int in_fd; /* -1 once closed */
    int typed; /* the last byte of input to the terminal, or -1 */
    TAILQ_HEAD(process_inputs_s, agent_input_s) inputs;
    size_t queued;  /* bytes of inputs, AGENT_INPUT_COST each included */
    size_t counted; /* bytes of the share of input that they take */
    agent_timer_t timer;
    agent_process_owner_t owner;
    agent_exit_t exit;
    int timeout_signal;
    int sweeps;
    unsigned terminal : 1;
    unsigned exited : 1;
    unsigned killing : 1; /* SIGKILL was sent to the whole command */
    unsigned draining : 1;
    unsigned settled : 1; /* the terminal's last output was waited for */
    unsigned reported : 1;
    TAILQ_ENTRY(agent_process_s) leftover;
};

/* Reported processes, kept while somebody may write to their pipes. */
static TAILQ_HEAD(agent_leftovers_s, agent_process_s)
    process_leftovers = TAILQ_HEAD_INITIALIZER(process_leftovers);
static unsigned process_nleftovers;


static void process_sweep(void *data);
static void process_settled(void *data);
static void process_drain(agent_process_t *p);


static void
process_close(agent_process_t *p, int stream)
{
    if (p->fd[stream] != -1) {
        agent_loop_unwatch(&p->out[stream]);
        close(p->fd[stream]);
        p->fd[stream] = -1;
    }
}


static void
process_dequeue(agent_process_t *p, agent_input_t *in)
{
    TAILQ_REMOVE(&p->inputs, in, link);
    in->queued = 0;
    p->queued -= in->len + AGENT_INPUT_COST;
    (void) agent_memory_count(AGENT_MEMORY_INPUT, &p->counted, p->queued);

    if (TAILQ_EMPTY(&p->inputs)) {
        agent_loop_unwatch(&p->in);
    }
}


/* Closes stdin; queued input ends with EPIPE. */
static void
process_close_input(agent_process_t *p)
{
    agent_input_t *in;

    if (p->in_fd != -1) {
        agent_loop_unwatch(&p->in);
        close(p->in_fd);
        p->in_fd = -1;
    }

    while ((in = TAILQ_FIRST(&p->inputs)) != NULL) {
        process_dequeue(p, in);
        in->done(in->data, EPIPE);
    }
}


static void
process_free(agent_process_t *p)
{
    process_close(p, AGENT_STDOUT);
    process_close(p, AGENT_STDERR);
    process_close_input(p);
    agent_group_release(p->group);
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


/* The most bytes that may be read of a stream now. */
static size_t
process_window(const agent_process_t *p, int stream)
{
    size_t n;

    n = p->allowed < READ_SIZE ? p->allowed : READ_SIZE;

    if (p->draining && p->rest[stream] < n) {
        n = p->rest[stream];
    }

    return p->fd[stream] == -1 ? 0 : n;
}


/* Watches only streams that may be read now: else the loop would spin. */
static void
process_interest(agent_process_t *p)
{
    int i;

    for (i = 0; i < 2; i++) {
        if (process_window(p, i) == 0) {
            agent_loop_unwatch(&p->out[i]);

        } else if (p->out[i].fd == -1
                   && agent_loop_watch(&p->out[i], p->fd[i], EPOLLIN) == -1)
        {
            process_close(p, i);
        }
    }
}


/* Reads once and passes the bytes on; their number, 0 if there were none. */
static size_t
process_read(agent_process_t *p, int stream)
{
    size_t window;
    ssize_t n;
    static char buf[READ_SIZE];

    window = process_window(p, stream);
    if (window == 0) {
        return 0;
    }

    do {
        n = read(p->fd[stream], buf, window);
    } while (n == -1 && errno == EINTR);

    if (n == -1 && errno == EAGAIN) {
        return 0;
    }

    if (n <= 0) {
        process_close(p, stream); /* the end; EIO for a terminal */
        return 0;
    }

    if (p->draining && p->rest[stream] != SIZE_MAX) {
        p->rest[stream] -= n;
    }

    if (p->allowed != SIZE_MAX) {
        p->allowed -= n;
    }

    if (p->owner.output != NULL) {
        p->owner.output(p->owner.data, stream, buf, n);
    }

    return n;
}


static void
process_event(agent_process_t *p, agent_stream_t stream)
{
    process_read(p, stream);

    if (p->reported && p->fd[0] == -1 && p->fd[1] == -1) {
        process_leftover_free(p);
    } else if (p->draining) {
        process_drain(p);
    } else {
        process_interest(p);
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


void
agent_process_allow(agent_process_t *p, size_t n)
{
    p->allowed = n;
    process_interest(p);

    if (p->draining && p->terminal && n > 0 && !p->timer.active) {
        p->timer.handler = process_settled;
        agent_loop_timer(&p->timer, SETTLE_MS);
    }
}


/*
 * Writes to stdin once; the number of bytes.  0 also after an error, by which
 * stdin is closed and all input is gone.
 */
static size_t
process_feed(agent_process_t *p, const char *buf, size_t len)
{
    ssize_t n;

    n = write(p->in_fd, buf, len);

    if (n == -1 && errno != EAGAIN && errno != EINTR) {
        process_close_input(p);
    }

    if (n > 0) {
        p->typed = (unsigned char) buf[n - 1];
    }

    return n > 0 ? (size_t) n : 0;
}


/*
 * Types the end of input to a terminal; 1 when that is done.  If only a part
 * could be written, the next call tells the rest from the last byte written.
 */
static int
process_feed_eof(agent_process_t *p)
{
    size_t n;
    char bytes[2];

    n = agent_terminal_eof(p->in_fd, p->typed, bytes);

    return n == 0 || process_feed(p, bytes, n) == n;
}


static void
process_input_event(void *data, uint32_t events)
{
    int eof;
    size_t n;
    agent_input_t *in;
    agent_process_t *p = data;

    (void) events;

    in = TAILQ_FIRST(&p->inputs);

    if (in->sent < in->len) {
        n = process_feed(p, in->buf + in->sent, in->len - in->sent);
        if (n == 0) {
            return;
        }

        in->sent += n;
    }

    if (in->sent < in->len) {
        return;
    }

    if (in->eof && p->terminal && !process_feed_eof(p)) {
        return;
    }

    process_dequeue(p, in);
    eof = in->eof && !p->terminal;

    if (eof) {
        process_close_input(p);
    }

    in->done(in->data, 0);
}


int
agent_process_write(agent_process_t *p, agent_input_t *in)
{
    size_t queued;
    agent_input_t *last;

    last = TAILQ_LAST(&p->inputs, process_inputs_s);
    queued = p->queued + in->len + AGENT_INPUT_COST;

    if (p->in_fd == -1 || (last != NULL && last->eof && !p->terminal)) {
        errno = EPIPE;
        return -1;
    }

    if (last != NULL && queued > INPUT_MAX) {
        errno = ENOBUFS;
        return -1;
    }

    if (agent_memory_count(AGENT_MEMORY_INPUT, &p->counted, queued) == -1) {
        errno = ENOMEM;
        return -1;
    }

    if (last == NULL && agent_loop_watch(&p->in, p->in_fd, EPOLLOUT) == -1) {
        (void) agent_memory_count(AGENT_MEMORY_INPUT, &p->counted, 0);
        return -1;
    }

    in->sent = 0;
    in->queued = 1;
    p->queued = queued;
    TAILQ_INSERT_TAIL(&p->inputs, in, link);

    return 0;
}


int
agent_process_takes(size_t len)
{
    return len <= agent_memory_left(AGENT_MEMORY_INPUT) + AGENT_MEMORY_FREE
                      - AGENT_INPUT_COST;
}


void
agent_process_cancel(agent_process_t *p, agent_input_t *in)
{
    process_dequeue(p, in);
}


static void
process_report(agent_process_t *p)
{
    agent_process_owner_t owner;

    agent_loop_timer_stop(&p->timer);
    process_close_input(p);
    agent_group_release(p->group);
    p->group = NULL;

    owner = p->owner;
    memset(&p->owner, 0, sizeof(p->owner));
    p->reported = 1;
    p->draining = 0;
    p->allowed = SIZE_MAX;

    if (p->terminal) {
        process_close(p, AGENT_STDOUT);
    }

    process_interest(p);
    TAILQ_INSERT_TAIL(&process_leftovers, p, leftover);
    process_nleftovers++;

    if (owner.done != NULL) {
        owner.done(owner.data, &p->exit);
    }

    if (p->fd[0] == -1 && p->fd[1] == -1) {
        process_leftover_free(p);
    } else if (process_nleftovers > LEFTOVERS_MAX) {
        process_leftover_free(TAILQ_FIRST(&process_leftovers));
    }
}


static void
process_settled(void *data)
{
    agent_process_t *p = data;

    p->settled = 1;
    process_drain(p);
}


/*
 * Passes on the rest of the output, and reports the end after it.  The last
 * output of a terminal becomes readable only a little later, so it is waited
 * for.
 */
static void
process_drain(agent_process_t *p)
{
    int i;

    for (i = 0; i < 2; i++) {
        while (process_read(p, i) > 0) { /* void */
        }

        if (p->fd[i] == -1 || (p->settled && p->allowed > 0)) {
            p->rest[i] = 0;
        }
    }

    if (p->rest[0] == 0 && p->rest[1] == 0) {
        process_report(p);
        return;
    }

    if (p->terminal && p->allowed > 0 && !p->timer.active) {
        p->timer.handler = process_settled;
        agent_loop_timer(&p->timer, SETTLE_MS);
    }

    process_interest(p);
}


static void
process_ended(agent_process_t *p)
{
    int i, n;

    agent_loop_timer_stop(&p->timer);
    process_close_input(p);

    for (i = 0; i < 2; i++) {
        n = 0;
        if (p->fd[i] != -1 && ioctl(p->fd[i], FIONREAD, &n) == -1) {
            n = 0;
        }

        p->rest[i] = p->terminal ? SIZE_MAX : (size_t) n;
    }

    p->draining = 1;
    process_drain(p);
}


/* Kills the processes left of the command; 1 if there are any. */
static int
process_kill(agent_process_t *p)
{
    if (p->group != NULL) {
        agent_group_signal(p->group, SIGKILL);
        return agent_group_populated(p->group);
    }

    /*
     * The kernel does not reuse the session's number while the session has a
     * member, so a living process with that pid does not belong to it.
     */
    if (p->exited && kill(p->child.pid, 0) == 0) {
        return 0;
    }

    if (!p->killing) {
        kill(-p->child.pid, SIGKILL);
    }

    return agent_session_kill(p->child.pid, SIGKILL) > 0;
}


/* Kills the processes left, again and again until none is left. */
static void
process_sweep(void *data)
{
    int left;
    agent_process_t *p = data;

    left = process_kill(p);
    p->killing = 1;
    p->sweeps++;

    if (p->exited && (!left || p->sweeps >= SWEEPS_MAX)) {
        process_ended(p);
        return;
    }

    p->timer.handler = process_sweep;
    agent_loop_timer(&p->timer,
                     p->sweeps < SWEEPS_QUICK ? SWEEP_MS : SWEEP_SLOW_MS);
}


static void
process_exited(void *data, int status)
{
    agent_process_t *p = data;

    p->exited = 1;
    p->exit.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    p->exit.code = p->exit.signal ? 128 + p->exit.signal : WEXITSTATUS(status);

    if (p->exit.timed_out || p->killing) {
        process_sweep(p);
    } else {
        process_ended(p);
    }
}


int
agent_process_signal(agent_process_t *p, int signal)
{
    if (p->exited) {
        return -1;
    }

    if (p->group == NULL || agent_group_signal(p->group, signal) == -1) {
        agent_session_kill(p->child.pid, signal);
    }

    return 0;
}


static void
process_expired(void *data)
{
    agent_process_t *p = data;

    p->exit.timed_out = 1;

    if (p->timeout_signal == SIGKILL) {
        process_sweep(p);
        return;
    }

    agent_process_signal(p, p->timeout_signal);
    p->timer.handler = process_sweep;
    agent_loop_timer(&p->timer, GRACE_MS);
}


void
agent_process_resize(agent_process_t *p, unsigned short cols,
                     unsigned short rows)
{
    if (p->terminal && p->fd[AGENT_STDOUT] != -1) {
        agent_terminal_resize(p->fd[AGENT_STDOUT], cols, rows);
    }
}


/* Makes a pipe whose end of ours is non-blocking, and the child's is not. */
static int
process_pipe(int *ours, int *child, int reads)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) == -1) {
        return -1;
    }

    *ours = ends[reads ? 0 : 1];
    *child = ends[reads ? 1 : 0];

    return fcntl(*ours, F_SETFL, O_NONBLOCK);
}


static int
process_descriptors(agent_process_t *p, const agent_process_spec_t *spec,
                    int child[3])
{
    if (spec->terminal) {
        p->fd[AGENT_STDOUT] = agent_terminal_open(&child[0], spec->user->uid,
                                                  spec->cols, spec->rows);
        if (p->fd[AGENT_STDOUT] == -1) {
            return -1;
        }

        child[1] = child[2] = child[0];
        p->in_fd = fcntl(p->fd[AGENT_STDOUT], F_DUPFD_CLOEXEC, 0);

        return p->in_fd == -1 ? -1 : 0;
    }

    if (spec->input && process_pipe(&p->in_fd, &child[0], 0) == -1) {
        return -1;
    }

    if (process_pipe(&p->fd[AGENT_STDOUT], &child[1], 1) == -1) {
        return -1;
    }

    return process_pipe(&p->fd[AGENT_STDERR], &child[2], 1);
}


static void
process_close_child(int child[3])
{
    int i;

    for (i = 0; i < 3; i++) {
        if (child[i] != -1 && (i == 0 || child[i] != child[i - 1])) {
            close(child[i]);
        }
    }
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

    p->fd[0] = p->fd[1] = p->in_fd = p->typed = -1;
    p->out[0].fd = p->out[1].fd = p->in.fd = -1;
    p->out[AGENT_STDOUT].handler = process_stdout_event;
    p->out[AGENT_STDERR].handler = process_stderr_event;
    p->in.handler = process_input_event;
    p->out[0].data = p->out[1].data = p->in.data = p;
    p->allowed = SIZE_MAX;
    p->owner = *owner;
    p->terminal = spec->terminal;
    p->timeout_signal = spec->timeout_signal;
    p->timer.handler = process_expired;
    p->timer.data = p;
    p->child.pid = -1;
    p->child.exited = process_exited;
    p->child.data = p;
    TAILQ_INIT(&p->inputs);

    return p;
}


agent_process_t *
agent_process_start(const agent_process_spec_t *spec,
                    const agent_process_owner_t *owner)
{
    int err;
    int child[3] = { -1, -1, -1 };
    agent_process_t *p;

    p = process_alloc(spec, owner);
    if (p == NULL) {
        return NULL;
    }

    if (process_descriptors(p, spec, child) == 0) {
        p->group = agent_group_new();
        p->child.pid = agent_group_fork(p->group);
    }

    if (p->child.pid == 0) {
        agent_child_run(spec, child);
    }

    err = errno;
    process_close_child(child);

    if (p->child.pid == -1) {
        process_free(p);
        errno = err;
        return NULL;
    }

    agent_reap_watch(&p->child);
    process_interest(p);

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
    p->allowed = SIZE_MAX;
    p->timer.handler = process_sweep;
    process_sweep(p);
}
