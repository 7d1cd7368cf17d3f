/*
 * Connections to libvirt: the event loop thread, one connection for each
 * thread at work, and the one place where virError becomes our status.  Knows
 * nothing of domains.
 *
 * virConnectOpen has no time limit and keepalive starts only after it, so a
 * stopped libvirtd would hold every thread that asks for a connection.  All
 * opening is therefore done by one thread, the opener; others wait for it
 * with a limit, and while it is stuck they fail at once.  The opener also
 * closes connections that no thread will use any more.
 */

#include "sandbox_hv.h"
#include "sandbox_qmp.h"

#include "sandbox_time.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SANDBOX_HV_OPEN_MS 5000

/* A silent peer is dead after interval * (count + 1) = 20 s. */
#define SANDBOX_HV_KEEPALIVE_INTERVAL_S 5
#define SANDBOX_HV_KEEPALIVE_COUNT 3

/* A request for a connection, held by the waiting thread and the opener. */
typedef struct sandbox_hv_wish_s sandbox_hv_wish_t;

struct sandbox_hv_wish_s {
    sandbox_hv_wish_t *next;
    sandbox_hv_conn_t *conn; /* the result, NULL if it failed */
    sandbox_hv_error_t error;
    unsigned done : 1;
    unsigned abandoned : 1;
};

static struct {
    const sandbox_hypervisor_conf_t *conf;
    void (*log)(int level, const char *message);

    pthread_t loop;
    pthread_t opener;
    pthread_key_t key;
    int key_made;

    pthread_mutex_t mutex; /* for what follows */
    pthread_cond_t wished;
    pthread_cond_t granted;
    sandbox_hv_wish_t *first;
    sandbox_hv_wish_t **last;
    sandbox_hv_conn_t *idle; /* without a thread, the last one given first */
    int64_t opening_ms; /* monotonic: the opener entered libvirt; 0: not in */
    int leaving;        /* 1: idle connections are closed */
    int running;
} sandbox_hv = { .mutex = PTHREAD_MUTEX_INITIALIZER };


const sandbox_hypervisor_conf_t *
sandbox_hv_conf(void)
{
    return sandbox_hv.conf;
}


int
sandbox_hv_is_local(void)
{
    return sandbox_qmp_local(sandbox_hv.conf->uri);
}


void
sandbox_hv_log(int level, const char *fmt, ...)
{
    char message[512];
    va_list args;

    if (sandbox_hv.log == NULL) {
        return;
    }

    va_start(args, fmt);
    (void) vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);

    sandbox_hv.log(level, message);
}


void
sandbox_hv_sleep_ms(int ms)
{
    struct timespec ts;

    ts.tv_sec = ms / 1000;
    ts.tv_nsec = (long) (ms % 1000) * 1000000;

    while (nanosleep(&ts, &ts) == -1 && errno == EINTR) {
        /* go on with what is left */
    }
}


sandbox_hv_status_t
sandbox_hv_set(sandbox_hv_error_t *err, sandbox_hv_status_t status,
               const char *fmt, ...)
{
    va_list args;

    err->status = status;

    va_start(args, fmt);
    (void) vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);

    return status;
}


/* libvirt has no code for a full host: QEMU's and qemu-img's words. */
static int
sandbox_hv_no_capacity(virErrorPtr e)
{
    size_t i;
    static const char *words[] = {
        "Cannot allocate memory", "No space left on device",
        "Disk quota exceeded",    "Resource temporarily unavailable",
        "Too many open files",
    };

    if (e->code == VIR_ERR_NO_MEMORY) {
        return 1;
    }

    for (i = 0; e->message && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(e->message, words[i])) {
            return 1;
        }
    }

    return 0;
}


static sandbox_hv_status_t
sandbox_hv_status(sandbox_hv_conn_t *conn, virErrorPtr e)
{
    /* a call that failed by a dying daemon may carry no error at all */
    if (conn && virConnectIsAlive(conn->virt) != 1) {
        return SANDBOX_HV_UNAVAILABLE;
    }

    if (e == NULL) {
        return SANDBOX_HV_FAILED;
    }

    switch (e->code) {
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
    case VIR_ERR_RPC:
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_NO_SERVER:
        return SANDBOX_HV_UNAVAILABLE;

    case VIR_ERR_SYSTEM_ERROR:
    case VIR_ERR_INTERNAL_ERROR:
        if (e->domain == VIR_FROM_RPC || e->domain == VIR_FROM_REMOTE) {
            return SANDBOX_HV_UNAVAILABLE;
        }
        break;

    default:
        break;
    }

    return sandbox_hv_no_capacity(e) ? SANDBOX_HV_NO_CAPACITY
                                     : SANDBOX_HV_FAILED;
}


sandbox_hv_status_t
sandbox_hv_fail(sandbox_hv_error_t *err, sandbox_hv_conn_t *conn,
                const char *fmt, ...)
{
    char what[160];
    va_list args;
    virErrorPtr e;
    sandbox_hv_status_t status;

    va_start(args, fmt);
    (void) vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);

    /* a copy: the next call into libvirt forgets the error */
    e = virSaveLastError();

    status =
        sandbox_hv_set(err, sandbox_hv_status(conn, e), "%s: %s", what,
                       e && e->message ? e->message : "libvirt gave no reason");
    virFreeError(e);

    return status;
}


static void
sandbox_hv_silent(void *data, virErrorPtr e)
{
    /* libvirt would print every error to stderr; ours go with the result */
    (void) data;
    (void) e;
}


/* Closes a connection, and the dead ones whose place it took. */
static void
sandbox_hv_close(void *data)
{
    sandbox_hv_conn_t *conn = data, *dead;

    while (conn) {
        dead = conn->dead;
        (void) virConnectClose(conn->virt);
        free(conn);
        conn = dead;
    }
}


/* In the opener: the connection, or NULL with *err set. */
static sandbox_hv_conn_t *
sandbox_hv_open(sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;

    conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        return NULL;
    }

    conn->virt = virConnectOpen(sandbox_hv.conf->uri);
    if (conn->virt == NULL) {
        (void) sandbox_hv_fail(err, NULL, "cannot connect to libvirt at \"%s\"",
                               sandbox_hv.conf->uri);
        err->status = SANDBOX_HV_UNAVAILABLE;
        free(conn);
        return NULL;
    }

    if (virConnectSetKeepAlive(conn->virt, SANDBOX_HV_KEEPALIVE_INTERVAL_S,
                               SANDBOX_HV_KEEPALIVE_COUNT)
        < 0)
    {
        (void) sandbox_hv_fail(err, conn, "cannot set keepalive");
        err->status = SANDBOX_HV_UNAVAILABLE;
        sandbox_hv_close(conn);
        return NULL;
    }

    return conn;
}


/* With the mutex held: grants one wish, or drops it if nobody waits. */
static void
sandbox_hv_grant(sandbox_hv_wish_t *wish)
{
    if (!wish->abandoned) {
        sandbox_hv.opening_ms = sandbox_time_monotonic_ms();
        (void) pthread_mutex_unlock(&sandbox_hv.mutex);

        wish->conn = sandbox_hv_open(&wish->error);

        (void) pthread_mutex_lock(&sandbox_hv.mutex);
        sandbox_hv.opening_ms = 0;
    }

    if (!wish->abandoned) {
        wish->done = 1;
        (void) pthread_cond_broadcast(&sandbox_hv.granted);
        return;
    }

    (void) pthread_mutex_unlock(&sandbox_hv.mutex);
    sandbox_hv_close(wish->conn);
    free(wish);
    (void) pthread_mutex_lock(&sandbox_hv.mutex);
}


/* With the mutex held; NULL: there is none. */
static sandbox_hv_conn_t *
sandbox_hv_pop(void)
{
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv.idle;

    if (conn) {
        sandbox_hv.idle = conn->next;
    }

    return conn;
}


/* In the opener, with the mutex held: closes an idle connection. */
static void
sandbox_hv_drop(void)
{
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv_pop();
    sandbox_hv.opening_ms = sandbox_time_monotonic_ms();
    (void) pthread_mutex_unlock(&sandbox_hv.mutex);

    sandbox_hv_close(conn);

    (void) pthread_mutex_lock(&sandbox_hv.mutex);
    sandbox_hv.opening_ms = 0;
}


static void *
sandbox_hv_opener(void *data)
{
    sandbox_hv_wish_t *wish;

    (void) data;
    (void) pthread_mutex_lock(&sandbox_hv.mutex);

    while (sandbox_hv.running) {
        wish = sandbox_hv.first;

        if (wish == NULL && sandbox_hv.leaving && sandbox_hv.idle) {
            sandbox_hv_drop();
            continue;
        }

        if (wish == NULL) {
            (void) pthread_cond_wait(&sandbox_hv.wished, &sandbox_hv.mutex);
            continue;
        }

        sandbox_hv.first = wish->next;
        if (sandbox_hv.first == NULL) {
            sandbox_hv.last = &sandbox_hv.first;
        }

        sandbox_hv_grant(wish);
    }

    (void) pthread_mutex_unlock(&sandbox_hv.mutex);
    return NULL;
}


/* With the mutex held: until the wish is done or its time is over. */
static void
sandbox_hv_await(sandbox_hv_wish_t *wish)
{
    int64_t deadline_ms;
    struct timespec ts;

    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_HV_OPEN_MS;
    ts.tv_sec = (time_t) (deadline_ms / 1000);
    ts.tv_nsec = (long) (deadline_ms % 1000) * 1000000;

    while (!wish->done && sandbox_hv.running) {
        if (pthread_cond_timedwait(&sandbox_hv.granted, &sandbox_hv.mutex, &ts)
            == ETIMEDOUT)
        {
            return;
        }
    }
}


static sandbox_hv_conn_t *
sandbox_hv_wish(sandbox_hv_error_t *err)
{
    int64_t now;
    sandbox_hv_conn_t *conn;
    sandbox_hv_wish_t *wish;

    wish = calloc(1, sizeof(*wish));
    if (wish == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        return NULL;
    }

    conn = NULL;
    now = sandbox_time_monotonic_ms();
    (void) pthread_mutex_lock(&sandbox_hv.mutex);

    if (!sandbox_hv.running
        || (sandbox_hv.opening_ms
            && now - sandbox_hv.opening_ms > SANDBOX_HV_OPEN_MS))
    {
        (void) pthread_mutex_unlock(&sandbox_hv.mutex);
        free(wish);
        (void) sandbox_hv_set(err, SANDBOX_HV_UNAVAILABLE,
                              "libvirt at \"%s\" does not answer",
                              sandbox_hv.conf ? sandbox_hv.conf->uri : "");
        return NULL;
    }

    *sandbox_hv.last = wish;
    sandbox_hv.last = &wish->next;
    (void) pthread_cond_signal(&sandbox_hv.wished);

    sandbox_hv_await(wish);

    if (wish->done) {
        conn = wish->conn;
        *err = wish->error;
        free(wish);

    } else {
        wish->abandoned = 1;
        (void) sandbox_hv_set(err, SANDBOX_HV_UNAVAILABLE,
                              "libvirt at \"%s\" does not answer within %d ms",
                              sandbox_hv.conf->uri, SANDBOX_HV_OPEN_MS);
    }

    (void) pthread_mutex_unlock(&sandbox_hv.mutex);
    return conn;
}


/* A connection that a thread has given back and that is alive, or NULL. */
static sandbox_hv_conn_t *
sandbox_hv_take(void)
{
    sandbox_hv_conn_t *conn;

    for (;;) {
        (void) pthread_mutex_lock(&sandbox_hv.mutex);
        conn = sandbox_hv_pop();
        (void) pthread_mutex_unlock(&sandbox_hv.mutex);

        if (conn == NULL || virConnectIsAlive(conn->virt) == 1) {
            return conn;
        }

        sandbox_hv_close(conn);
    }
}


/* A new connection, with the facts of the host; NULL with *err set. */
static sandbox_hv_conn_t *
sandbox_hv_make(sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv_wish(err);

    if (conn && sandbox_hv_facts_read(conn, err) != SANDBOX_HV_OK) {
        sandbox_hv_close(conn);
        return NULL;
    }

    return conn;
}


sandbox_hv_conn_t *
sandbox_hv_connection(sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn, *old;

    (void) sandbox_hv_ok(err);

    if (!sandbox_hv.key_made) {
        (void) sandbox_hv_set(err, SANDBOX_HV_UNAVAILABLE,
                              "the hypervisor was not started");
        return NULL;
    }

    old = pthread_getspecific(sandbox_hv.key);

    if (old && virConnectIsAlive(old->virt) == 1) {
        return old;
    }

    conn = sandbox_hv_take();

    if (conn && sandbox_hv_facts_renew(conn, err) != SANDBOX_HV_OK) {
        sandbox_hv_close(conn);
        return NULL;
    }

    if (conn == NULL) {
        conn = sandbox_hv_make(err);
    }

    if (conn == NULL) {
        return NULL;
    }

    if (pthread_setspecific(sandbox_hv.key, conn) != 0) {
        sandbox_hv_close(conn);
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        return NULL;
    }

    /* a verb further up the stack may still hold it: closed at the task's end
     */
    conn->dead = old;

    return conn;
}


void
sandbox_hypervisor_release(void)
{
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv.key_made ? pthread_getspecific(sandbox_hv.key) : NULL;

    if (conn == NULL) {
        return;
    }

    (void) pthread_setspecific(sandbox_hv.key, NULL);
    sandbox_hv_close(conn->dead);
    conn->dead = NULL;

    (void) pthread_mutex_lock(&sandbox_hv.mutex);

    conn->next = sandbox_hv.idle;
    sandbox_hv.idle = conn;

    if (sandbox_hv.leaving) {
        (void) pthread_cond_signal(&sandbox_hv.wished);
    }

    (void) pthread_mutex_unlock(&sandbox_hv.mutex);
}


void
sandbox_hypervisor_leave(void)
{
    (void) pthread_mutex_lock(&sandbox_hv.mutex);
    sandbox_hv.leaving = 1;
    (void) pthread_cond_signal(&sandbox_hv.wished);
    (void) pthread_mutex_unlock(&sandbox_hv.mutex);
}


static void *
sandbox_hv_loop(void *data)
{
    int running;

    (void) data;

    do {
        if (virEventRunDefaultImpl() < 0) {
            sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                           "the libvirt event loop failed: %s",
                           virGetLastErrorMessage());
            sandbox_hv_sleep_ms(100);
        }

        (void) pthread_mutex_lock(&sandbox_hv.mutex);
        running = sandbox_hv.running;
        (void) pthread_mutex_unlock(&sandbox_hv.mutex);
    } while (running);

    return NULL;
}


static void
sandbox_hv_tick(int timer, void *data)
{
    /* adding a timer is what wakes the loop; once is enough */
    (void) data;
    (void) virEventRemoveTimeout(timer);
}


int
sandbox_hv_thread(pthread_t *thread, void *(*run)(void *data), void *data)
{
    int rc;
    sigset_t all, old;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(thread, NULL, run, data);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    return rc == 0 ? 0 : -1;
}


static int
sandbox_hv_threads(void)
{
    int rc;

    rc = sandbox_hv_thread(&sandbox_hv.loop, sandbox_hv_loop, NULL);

    if (rc == 0) {
        rc = sandbox_hv_thread(&sandbox_hv.opener, sandbox_hv_opener, NULL);

        if (rc != 0) {
            sandbox_hv.running = 0;
            (void) virEventAddTimeout(0, sandbox_hv_tick, NULL, NULL);
            (void) pthread_join(sandbox_hv.loop, NULL);
        }
    }

    return rc;
}


int
sandbox_hypervisor_start(const sandbox_hypervisor_conf_t *conf,
                         void (*log)(int level, const char *message))
{
    pthread_condattr_t attr;

    virSetErrorFunc(NULL, sandbox_hv_silent);

    /* libxml2 wants this before threads use it */
    xmlInitParser();

    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
        return -1;
    }

    sandbox_hv.conf = conf;
    sandbox_hv.log = log;
    sandbox_hv.first = NULL;
    sandbox_hv.last = &sandbox_hv.first;
    sandbox_hv.idle = NULL;
    sandbox_hv.running = 1;
    sandbox_hv.opening_ms = 0;
    sandbox_hv.leaving = 0;

    if (!sandbox_hv.key_made) {
        if (pthread_condattr_init(&attr) != 0) {
            return -1;
        }

        (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&sandbox_hv.wished, &attr);
        (void) pthread_cond_init(&sandbox_hv.granted, &attr);
        (void) pthread_condattr_destroy(&attr);

        if (pthread_key_create(&sandbox_hv.key, sandbox_hv_close) != 0) {
            return -1;
        }

        sandbox_hv.key_made = 1;
    }

    return sandbox_hv_threads() == 0 ? 0 : -1;
}


void
sandbox_hypervisor_stop(void)
{
    int stuck;
    sandbox_hv_conn_t *conn;

    if (!sandbox_hv.key_made) {
        return;
    }

    sandbox_hypervisor_release();

    (void) pthread_mutex_lock(&sandbox_hv.mutex);
    sandbox_hv.running = 0;
    stuck = sandbox_hv.opening_ms != 0;
    (void) pthread_cond_broadcast(&sandbox_hv.wished);
    (void) pthread_cond_broadcast(&sandbox_hv.granted);
    (void) pthread_mutex_unlock(&sandbox_hv.mutex);

    /* an opener inside libvirt may never come back: exit takes it along */
    if (stuck) {
        (void) pthread_detach(sandbox_hv.opener);

    } else {
        (void) pthread_join(sandbox_hv.opener, NULL);

        while ((conn = sandbox_hv_take()) != NULL) {
            sandbox_hv_close(conn);
        }
    }

    (void) virEventAddTimeout(0, sandbox_hv_tick, NULL, NULL);
    (void) pthread_join(sandbox_hv.loop, NULL);

    /* what the loop was still asked to free */
    (void) virEventAddTimeout(0, sandbox_hv_tick, NULL, NULL);
    (void) virEventRunDefaultImpl();
}
