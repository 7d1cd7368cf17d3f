/*
 * Processes for blocking work; see the header.  Must not know what they do.
 *
 * The first byte of a message says what it is.  Both directions share a socket,
 * whose kernel buffer is the only one, but for one piece of an answer in the
 * agent.
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

#include "lock.h"
#include "loop.h"
#include "reap.h"
#include "worker.h"

#define WORKERS_MAX 64
#define WORKER_PIECE 32768
#define WORKER_LOCK_FILENO 3

#define WORKER_DATA 'd'
#define WORKER_END 'e'
#define WORKER_HEAD 'h'

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
} worker_head_t;

struct agent_worker_s {
    agent_request_t *request;
    agent_child_t child;
    agent_watch_t watch;
    int peer;
    size_t pos, len;          /* what is left of a piece of the answer */
    unsigned begun : 1;       /* the head of the answer has come */
    unsigned running : 1;     /* the process is not reaped yet */
    unsigned waits_write : 1; /* waits for room in the socket */
    unsigned finishing : 1;   /* the end of the body waits for room */
    char piece[WORKER_PIECE];
};

static unsigned workers;


/* Sends one message; returns as send(2). */
static ssize_t
worker_send(int peer, char kind, const void *data, size_t len, int flags)
{
    struct msghdr msg;
    struct iovec iov[2] = { { &kind, 1 }, { (void *) (uintptr_t) data, len } };

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = iov;
    msg.msg_iovlen = 2;

    return sendmsg(peer, &msg, MSG_NOSIGNAL | flags);
}


/*
 * Receives one message: its first byte into *kind, the rest into buf.  The
 * length of the rest; -1 with errno set, EPIPE at the end.
 */
static ssize_t
worker_recv(int peer, char *kind, void *buf, size_t size, int flags)
{
    ssize_t n;
    struct msghdr msg;
    struct iovec iov[2] = { { kind, 1 }, { buf, size } };

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = iov;
    msg.msg_iovlen = 2;

    /* If the peer left messages unread, one call fails by ECONNRESET. */
    do {
        n = recvmsg(peer, &msg, flags);
    } while (n == -1 && (errno == ECONNRESET || errno == EINTR));

    if (n == 0) {
        errno = EPIPE;
    }

    return n - (n != -1);
}


/* --- the process's side ------------------------------------------------- */

ssize_t
agent_worker_read(int peer, void *buf, size_t size)
{
    char kind;
    ssize_t n;

    n = worker_recv(peer, &kind, buf, size, 0);
    if (n == -1) {
        errno = ECANCELED;
        return -1;
    }

    return kind == WORKER_END ? 0 : n;
}


static int
worker_say(int peer, char kind, const void *data, size_t len)
{
    return worker_send(peer, kind, data, len, 0) == -1 ? -1 : 0;
}


int
agent_worker_begin(int peer, unsigned status, int64_t size, const char *type)
{
    worker_head_t head;

    memset(&head, 0, sizeof(head));
    head.status = status;
    head.size = size;
    snprintf(head.type, sizeof(head.type), "%s", type);

    return worker_say(peer, WORKER_HEAD, &head, sizeof(head));
}


int
agent_worker_write(int peer, const void *data, size_t len)
{
    size_t n;
    const char *p = data;

    for (; len > 0; p += n, len -= n) {
        n = len < WORKER_PIECE ? len : WORKER_PIECE;

        if (worker_say(peer, WORKER_DATA, p, n) == -1) {
            return -1;
        }
    }

    return 0;
}


void
agent_worker_end(int peer)
{
    (void) worker_say(peer, WORKER_END, NULL, 0);
}


void
agent_worker_answer(int peer, unsigned status, sandbox_text_t *body,
                    const char *name, const char *value)
{
    worker_head_t head;

    memset(&head, 0, sizeof(head));
    head.status = status;
    head.size = (int64_t) body->len;
    strcpy(head.type, "application/json");

    if (name != NULL) {
        snprintf(head.name, sizeof(head.name), "%s", name);
        snprintf(head.value, sizeof(head.value), "%s", value);
    }

    if (sandbox_text_failed(body)) {
        agent_worker_error(peer, 503, "capacity_exceeded", NULL, NULL,
                           "The sandbox is out of memory.");

    } else if (worker_say(peer, WORKER_HEAD, &head, sizeof(head)) == 0
               && agent_worker_write(peer, body->data, body->len) == 0)
    {
        agent_worker_end(peer);
    }

    sandbox_text_free(body);
}


void
agent_worker_error(int peer, unsigned status, const char *code,
                   const char *field, const char *reason, const char *fmt, ...)
{
    va_list args;
    worker_head_t head;

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

    (void) worker_say(peer, WORKER_HEAD, &head, sizeof(head));
}


/*
 * Gives up the agent's descriptors but that of locks, its priority and its OOM
 * protection, in a worker.
 */
static void
worker_renounce(int peer)
{
    int fd;

    agent_reap_reset_signals();

    if (dup2(peer, STDIN_FILENO) == -1
        || agent_lock_keep(WORKER_LOCK_FILENO) == -1) {
        _exit(1);
    }

    close_range(WORKER_LOCK_FILENO + 1, ~0U, 0);

    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd != -1) {
        (void) !write(fd, "0", 1);
        close(fd);
    }

    setpriority(PRIO_PROCESS, 0, 0);
}


/* --- the agent's side --------------------------------------------------- */

static void
worker_free(agent_worker_t *worker)
{
    if (!worker->running && worker->request == NULL) {
        workers--;
        free(worker);
    }
}


static void
worker_exited(void *data, int status)
{
    agent_worker_t *worker = data;

    (void) status; /* the worker reports by its messages */

    worker->running = 0;
    worker_free(worker);
}


void
agent_worker_abort(void *ctx)
{
    agent_worker_t *worker = ctx;

    agent_loop_unwatch(&worker->watch);
    close(worker->peer);
    worker->request = NULL;
    worker_free(worker);
}


static void
worker_fail(agent_worker_t *worker, unsigned status, const char *code,
            const char *message, const char *field, const char *reason)
{
    agent_request_t *r;

    r = worker->request;
    agent_worker_abort(worker);
    agent_http_error(r, status, code, message, field, reason);
}


static void
worker_lost(agent_worker_t *worker)
{
    worker_fail(worker, 503, "capacity_exceeded",
                "The sandbox could not finish this: its process was ended.",
                NULL, NULL);
}


/* Watches for messages, and for room if that is waited for; 0 or -1. */
static int
worker_watch(agent_worker_t *worker)
{
    uint32_t events;

    events = EPOLLIN | (worker->waits_write ? EPOLLOUT : 0);
    agent_loop_unwatch(&worker->watch);

    return agent_loop_watch(&worker->watch, worker->peer, events);
}


/* A piece of the answer: the read() of an agent_http_source_t. */
static ssize_t
worker_stream(void *ctx, char *buf, size_t size)
{
    char kind;
    size_t n;
    ssize_t got;
    agent_worker_t *worker = ctx;

    if (worker->pos == worker->len) {
        got = worker_recv(worker->peer, &kind, worker->piece, WORKER_PIECE,
                          MSG_DONTWAIT);

        if (got == -1 && errno == EAGAIN) {
            return worker_watch(worker) == 0 ? 0 : -2;
        }

        if (got == -1 || (got == 0 && kind != WORKER_END)) {
            return -2;
        }

        if (kind == WORKER_END) {
            return -1;
        }

        worker->pos = 0;
        worker->len = (size_t) got;
    }

    n = worker->len - worker->pos < size ? worker->len - worker->pos : size;
    memcpy(buf, worker->piece + worker->pos, n);
    worker->pos += n;

    return (ssize_t) n;
}


static void
worker_head(agent_worker_t *worker)
{
    char kind;
    ssize_t n;
    worker_head_t head;
    static const agent_http_source_t source = { worker_stream,
                                                agent_worker_abort };

    memset(&head, 0, sizeof(head));
    n = worker_recv(worker->peer, &kind, &head, sizeof(head), MSG_DONTWAIT);

    if (n == -1 && errno == EAGAIN) {
        return;
    }

    if (n != sizeof(head) || kind != WORKER_HEAD) {
        worker_lost(worker);
        return;
    }

    if (head.type[0] == '\0') {
        worker_fail(worker, head.status, head.code, head.message,
                    head.field[0] ? head.field : NULL, head.reason);
        return;
    }

    worker->begun = 1;
    agent_loop_unwatch(&worker->watch);
    agent_http_stream_sized(worker->request, head.status, head.size, head.type,
                            &source, worker);

    if (head.name[0] != '\0') {
        agent_http_add_header(worker->request, head.name, head.value);
    }
}


/* 1 if errno says that a message was not sent for want of memory. */
static int
worker_no_memory(void)
{
    return errno == ENOBUFS || errno == ENOMEM;
}


/*
 * Says that the body ends, now or when there is room for it.  0, or -1 if there
 * is no memory to say it.
 */
static int
worker_end_body(agent_worker_t *worker)
{
    if (worker_send(worker->peer, WORKER_END, NULL, 0, MSG_DONTWAIT) != -1) {
        return 0;
    }

    if (errno != EAGAIN) {
        return worker_no_memory() ? -1 : 0;
    }

    worker->waits_write = 1;
    worker->finishing = 1;

    return 0;
}


static void
worker_event(void *data, uint32_t events)
{
    agent_worker_t *worker = data;

    if (worker->begun) {
        agent_loop_unwatch(&worker->watch);
        agent_http_wake(worker->request);
        return;
    }

    if (worker->waits_write && (events & ~(uint32_t) EPOLLIN)) {
        worker->waits_write = 0;

        if (!worker->finishing) {
            agent_http_wake(worker->request);

        } else if (worker_end_body(worker) == -1) {
            worker_lost(worker);
            return;
        }

        if (worker_watch(worker) == -1) {
            worker_lost(worker);
            return;
        }
    }

    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        worker_head(worker);
    }
}


/*
 * Drops the body if the process has ended: the process's answer, or its lack,
 * tells why.
 */
size_t
agent_worker_piece(void *ctx, const char *data, size_t len)
{
    size_t n, sent;
    agent_worker_t *worker = ctx;

    for (sent = 0; sent < len; sent += n) {
        n = len - sent < WORKER_PIECE ? len - sent : WORKER_PIECE;

        if (worker_send(worker->peer, WORKER_DATA, data + sent, n, MSG_DONTWAIT)
            != -1) {
            continue;
        }

        if (worker_no_memory()) {
            worker_lost(worker); /* else the body would lack this piece */
            break;
        }

        if (errno != EAGAIN) {
            return len;
        }

        worker->waits_write = 1;
        if (worker_watch(worker) == -1) {
            worker_lost(worker);
        }

        break;
    }

    return sent;
}


void
agent_worker_finish(void *ctx)
{
    agent_worker_t *worker = ctx;

    if (worker_end_body(worker) == -1
        || (worker->finishing && worker_watch(worker) == -1))
    {
        worker_lost(worker);
    }
}


static void __attribute__((noreturn))
worker_child(int peer, void (*run)(int peer, void *data), void *data)
{
    worker_renounce(peer);
    run(STDIN_FILENO, data);
    _exit(0);
}


static int
worker_fork(agent_worker_t *worker, void (*run)(int peer, void *data),
            void *data)
{
    int fds[2];

    if (agent_lock_open() == -1
        || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
    {
        return -1;
    }

    worker->peer = fds[0];
    worker->watch.fd = -1;
    worker->child.pid = fork();

    if (worker->child.pid == 0) {
        worker_child(fds[1], run, data);
    }

    close(fds[1]);

    if (worker->child.pid == -1) {
        close(fds[0]);
        return -1;
    }

    return 0;
}


int
agent_worker_start(agent_request_t *r, void (*run)(int peer, void *data),
                   void *data)
{
    char message[160];
    agent_worker_t *worker;

    errno = EAGAIN;
    worker = workers < WORKERS_MAX ? calloc(1, sizeof(*worker)) : NULL;

    if (worker == NULL || worker_fork(worker, run, data) == -1) {
        snprintf(message, sizeof(message),
                 "The sandbox cannot do more at once: %s.", strerror(errno));
        agent_http_error(r, 503, "capacity_exceeded", message, NULL, NULL);
        free(worker);
        return -1;
    }

    workers++;
    worker->request = r;
    worker->watch.handler = worker_event;
    worker->watch.data = worker;
    worker->running = 1;
    worker->child.exited = worker_exited;
    worker->child.data = worker;
    agent_reap_watch(&worker->child);

    if (worker_watch(worker) == -1) {
        worker_lost(worker);
        return -1;
    }

    agent_http_set_ctx(r, worker);

    return 0;
}
