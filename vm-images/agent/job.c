/*
 * Processes for blocking work; see the header.  Must not know what they do.
 *
 * Messages: the first byte says what one is.  Both directions share the
 * socket, whose kernel buffer is the only one between them.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "job.h"
#include "loop.h"
#include "reap.h"

#define JOBS_MAX 64
#define JOB_PIECE 32768

#define JOB_DATA 'd'
#define JOB_END 'e'
#define JOB_HEAD 'h'

typedef struct {
    int64_t size;
    unsigned status;
    char type[64]; /* "" for an error */
    char name[32]; /* of a header, "" for none */
    char value[160];
    char code[48];
    char message[512];
    char field[128];
    char reason[256];
} job_head_t;

struct agent_job_s {
    agent_request_t *request;
    agent_child_t child;
    agent_watch_t watch;
    int peer;
    size_t pos, len;          /* what is left of a piece of the answer */
    unsigned begun : 1;       /* the answer has */
    unsigned broken : 1;      /* it cannot be watched */
    unsigned running : 1;     /* the process is not reaped */
    unsigned waits_write : 1; /* for room in the socket */
    unsigned finishing : 1;   /* for room to say that the body ends */
    char piece[JOB_PIECE];
};

static unsigned jobs;


/* As send(2), of one message. */
static ssize_t
job_send(int peer, char kind, const void *data, size_t len, int flags)
{
    struct msghdr msg;
    struct iovec iov[2] = { { &kind, 1 }, { (void *) (uintptr_t) data, len } };

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = iov;
    msg.msg_iovlen = 2;

    return sendmsg(peer, &msg, MSG_NOSIGNAL | flags);
}


/*
 * As recv(2), of one message without its first byte; -1 with EPIPE at the
 * end.
 */
static ssize_t
job_recv(int peer, char *kind, void *buf, size_t size, int flags)
{
    ssize_t n;
    struct msghdr msg;
    struct iovec iov[2] = { { kind, 1 }, { buf, size } };

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = iov;
    msg.msg_iovlen = 2;

    /* A peer that left with messages unread makes one call fail, no more. */
    do {
        n = recvmsg(peer, &msg, flags);
    } while (n == -1 && (errno == ECONNRESET || errno == EINTR));

    if (n == 0) {
        errno = EPIPE;
    }

    return n - (n != -1);
}


/* --- the process's side ---------------------------------------------------- */

ssize_t
agent_job_read(int peer, void *buf, size_t size)
{
    char kind;
    ssize_t n;

    n = job_recv(peer, &kind, buf, size, 0);
    if (n == -1) {
        errno = ECANCELED;
        return -1;
    }

    return kind == JOB_END ? 0 : n;
}


static int
job_say(int peer, char kind, const void *data, size_t len)
{
    return job_send(peer, kind, data, len, 0) == -1 ? -1 : 0;
}


int
agent_job_begin(int peer, unsigned status, int64_t size, const char *type)
{
    job_head_t head;

    memset(&head, 0, sizeof(head));
    head.status = status;
    head.size = size;
    snprintf(head.type, sizeof(head.type), "%s", type);

    return job_say(peer, JOB_HEAD, &head, sizeof(head));
}


int
agent_job_write(int peer, const void *data, size_t len)
{
    size_t n;
    const char *p = data;

    for (; len > 0; p += n, len -= n) {
        n = len < JOB_PIECE ? len : JOB_PIECE;

        if (job_say(peer, JOB_DATA, p, n) == -1) {
            return -1;
        }
    }

    return 0;
}


void
agent_job_end(int peer)
{
    (void) job_say(peer, JOB_END, NULL, 0);
}


void
agent_job_answer(int peer, unsigned status, sandbox_text_t *body,
                 const char *name, const char *value)
{
    job_head_t head;

    memset(&head, 0, sizeof(head));
    head.status = status;
    head.size = (int64_t) body->len;
    strcpy(head.type, "application/json");

    if (name != NULL) {
        snprintf(head.name, sizeof(head.name), "%s", name);
        snprintf(head.value, sizeof(head.value), "%s", value);
    }

    if (sandbox_text_failed(body)) {
        agent_job_error(peer, 503, "capacity_exceeded", NULL, NULL,
                        "The sandbox is out of memory.");

    } else if (job_say(peer, JOB_HEAD, &head, sizeof(head)) == 0
               && agent_job_write(peer, body->data, body->len) == 0)
    {
        agent_job_end(peer);
    }

    sandbox_text_free(body);
}


void
agent_job_error(int peer, unsigned status, const char *code, const char *field,
                const char *reason, const char *fmt, ...)
{
    va_list args;
    job_head_t head;

    memset(&head, 0, sizeof(head));
    head.status = status;
    snprintf(head.code, sizeof(head.code), "%s", code);

    va_start(args, fmt);
    vsnprintf(head.message, sizeof(head.message), fmt, args);
    va_end(args);

    if (field != NULL) {
        snprintf(head.field, sizeof(head.field), "%s", field);
        snprintf(head.reason, sizeof(head.reason), "%s", reason);
    }

    (void) job_say(peer, JOB_HEAD, &head, sizeof(head));
}


/* What the agent has for itself does not go on in a job. */
static void
job_renounce(int peer)
{
    int fd;

    agent_reap_reset_signals();

    if (dup2(peer, STDIN_FILENO) == -1) {
        _exit(1);
    }

    close_range(STDERR_FILENO + 1, ~0U, 0);

    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd != -1) {
        (void) !write(fd, "0", 1);
        close(fd);
    }

    setpriority(PRIO_PROCESS, 0, 0);
}


/* --- the agent's side ------------------------------------------------------ */

static void
job_free(agent_job_t *job)
{
    if (!job->running && job->request == NULL) {
        jobs--;
        free(job);
    }
}


static void
job_exited(void *data, int status)
{
    agent_job_t *job = data;

    (void) status; /* what it has to say it says */

    job->running = 0;
    job_free(job);
}


void
agent_job_abort(void *ctx)
{
    agent_job_t *job = ctx;

    agent_loop_unwatch(&job->watch);
    close(job->peer);
    job->request = NULL;
    job_free(job);
}


static void
job_fail(agent_job_t *job, unsigned status, const char *code,
         const char *message, const char *field, const char *reason)
{
    agent_request_t *r;

    r = job->request;
    agent_job_abort(job);
    agent_http_error(r, status, code, message, field, reason);
}


static void
job_lost(agent_job_t *job)
{
    job_fail(job, 503, "capacity_exceeded",
             "The sandbox could not finish this: its process was ended.", NULL,
             NULL);
}


/* 0 or -1. */
static int
job_watch(agent_job_t *job)
{
    uint32_t events;

    events = EPOLLIN | (job->waits_write ? EPOLLOUT : 0);
    agent_loop_unwatch(&job->watch);

    return agent_loop_watch(&job->watch, job->peer, events);
}


/* A piece of the answer: the read() of an agent_http_source_t. */
static ssize_t
job_stream(void *ctx, char *buf, size_t size)
{
    char kind;
    size_t n;
    ssize_t got;
    agent_job_t *job = ctx;

    if (job->pos == job->len) {
        got = job_recv(job->peer, &kind, job->piece, JOB_PIECE, MSG_DONTWAIT);

        if (got == -1 && errno == EAGAIN) {
            return job_watch(job) == 0 ? 0 : -2;
        }

        if (got == -1 || (got == 0 && kind != JOB_END)) {
            return -2;
        }

        if (kind == JOB_END) {
            return -1;
        }

        job->pos = 0;
        job->len = (size_t) got;
    }

    n = job->len - job->pos < size ? job->len - job->pos : size;
    memcpy(buf, job->piece + job->pos, n);
    job->pos += n;

    return (ssize_t) n;
}


static void
job_head(agent_job_t *job)
{
    char kind;
    ssize_t n;
    job_head_t head;
    static const agent_http_source_t source = { job_stream, agent_job_abort };

    n = job_recv(job->peer, &kind, &head, sizeof(head), MSG_DONTWAIT);

    if (n == -1 && errno == EAGAIN) {
        return;
    }

    if (n != sizeof(head) || kind != JOB_HEAD) {
        job_lost(job);
        return;
    }

    if (head.type[0] == '\0') {
        job_fail(job, head.status, head.code, head.message,
                 head.field[0] ? head.field : NULL, head.reason);
        return;
    }

    job->begun = 1;
    agent_loop_unwatch(&job->watch);
    agent_http_stream_sized(job->request, head.status, head.size, head.type,
                            &source, job);

    if (head.name[0] != '\0') {
        agent_http_add_header(job->request, head.name, head.value);
    }
}


/* Says that the body ends, now or when there is room for it. */
static void
job_end_body(agent_job_t *job)
{
    if (job_send(job->peer, JOB_END, NULL, 0, MSG_DONTWAIT) == -1
        && errno == EAGAIN)
    {
        job->waits_write = 1;
        job->finishing = 1;
    }
}


static void
job_event(void *data, uint32_t events)
{
    agent_job_t *job = data;

    if (job->begun) {
        agent_loop_unwatch(&job->watch);
        agent_http_wake(job->request);
        return;
    }

    if (job->waits_write && (events & ~(uint32_t) EPOLLIN)) {
        job->waits_write = 0;

        if (job->finishing) {
            job_end_body(job);
        } else {
            agent_http_wake(job->request);
        }

        if (job_watch(job) == -1) {
            job_lost(job);
            return;
        }
    }

    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        job_head(job);
    }
}


/* Of a process that has ended no more is taken: its end tells why. */
size_t
agent_job_piece(void *ctx, const char *data, size_t len)
{
    size_t n, sent;
    agent_job_t *job = ctx;

    for (sent = 0; sent < len; sent += n) {
        n = len - sent < JOB_PIECE ? len - sent : JOB_PIECE;

        if (job_send(job->peer, JOB_DATA, data + sent, n, MSG_DONTWAIT) != -1) {
            continue;
        }

        if (errno != EAGAIN) {
            return len;
        }

        job->waits_write = 1;
        if (job_watch(job) == -1) {
            job_lost(job);
        }

        break;
    }

    return sent;
}


void
agent_job_finish(void *ctx)
{
    agent_job_t *job = ctx;

    job_end_body(job);

    if (job->finishing && job_watch(job) == -1) {
        job_lost(job);
    }
}


static void __attribute__((noreturn))
job_child(int peer, void (*run)(int peer, void *data), void *data)
{
    job_renounce(peer);
    run(STDIN_FILENO, data);
    _exit(0);
}


static int
job_fork(agent_job_t *job, void (*run)(int peer, void *data), void *data)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1) {
        return -1;
    }

    job->peer = fds[0];
    job->watch.fd = -1;
    job->child.pid = fork();

    if (job->child.pid == 0) {
        job_child(fds[1], run, data);
    }

    close(fds[1]);

    if (job->child.pid == -1) {
        close(fds[0]);
        return -1;
    }

    return 0;
}


int
agent_job_start(agent_request_t *r, void (*run)(int peer, void *data),
                void *data)
{
    char message[160];
    agent_job_t *job;

    errno = EAGAIN;
    job = jobs < JOBS_MAX ? calloc(1, sizeof(*job)) : NULL;

    if (job == NULL || job_fork(job, run, data) == -1) {
        snprintf(message, sizeof(message),
                 "The sandbox cannot do more at once: %s.", strerror(errno));
        agent_http_error(r, 503, "capacity_exceeded", message, NULL, NULL);
        free(job);
        return -1;
    }

    jobs++;
    job->request = r;
    job->watch.handler = job_event;
    job->watch.data = job;
    job->running = 1;
    job->child.exited = job_exited;
    job->child.data = job;
    agent_reap_watch(&job->child);

    if (job_watch(job) == -1) {
        job_lost(job);
        return -1;
    }

    agent_http_set_ctx(r, job);

    return 0;
}
