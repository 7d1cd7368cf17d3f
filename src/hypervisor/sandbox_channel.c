/*
 * Channels: a byte stream to a guest, through libvirt, with deadlines.
 *
 * A libvirt stream that blocks knows no time limit.  Ours does not block: the
 * event loop thread watches it while somebody waits, and wakes the waiter.
 * Readiness is level-triggered and the loop would spin on it, so the callback
 * first disarms itself and then reports; whoever waits arms it again.
 */

#include "sandbox_hv.h"
#include "sandbox_time.h"

#include <libvirt/virterror.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bytes that one message to libvirtd carries; more is cut into pieces. */
#define SANDBOX_CHANNEL_PIECE 65536

/*
 * The stream reports the end of a guest, but not always: after a QEMU was
 * killed libvirt showed its domain as ended while the stream stayed silent.
 */
#define SANDBOX_CHANNEL_LOOK_MS 1000

/*
 * libvirtd 11.3 (9.0 does not) comes to harm by a message that it cannot pass
 * on to the guest: it queues its answer twice, and spins for ever if the end of
 * the stream comes right behind.  So the guest's end is looked for before each
 * message, and a message that was not answered has this time before the stream
 * is ended.
 */
#define SANDBOX_CHANNEL_REST_MS 50

#define SANDBOX_CHANNEL_ENDED (VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP)

struct sandbox_channel_s {
    virStreamPtr stream;
    virDomainPtr domain;
    pthread_mutex_t mutex; /* for what follows */
    pthread_cond_t ready;
    int events; /* seen since the waiter last armed */
    int byte;   /* read ahead; -1: none; this and the rest: without the mutex */
    int unanswered; /* 1: nothing was read since the last message */
};


static sandbox_channel_t *
sandbox_channel_alloc(void)
{
    pthread_condattr_t attr;
    sandbox_channel_t *ch;

    ch = calloc(1, sizeof(*ch));
    if (ch == NULL) {
        return NULL;
    }

    if (pthread_condattr_init(&attr) != 0) {
        free(ch);
        return NULL;
    }

    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&ch->ready, &attr);
    (void) pthread_condattr_destroy(&attr);
    (void) pthread_mutex_init(&ch->mutex, NULL);
    ch->byte = -1;

    return ch;
}


static void
sandbox_channel_free(sandbox_channel_t *ch)
{
    (void) pthread_mutex_destroy(&ch->mutex);
    (void) pthread_cond_destroy(&ch->ready);
    free(ch);
}


/* In the loop thread, when no callback of the stream can be running. */
static void
sandbox_channel_bury(int timer, void *data)
{
    (void) virEventRemoveTimeout(timer);
    sandbox_channel_free(data);
}


/* In the loop thread. */
static void
sandbox_channel_event(virStreamPtr stream, int events, void *data)
{
    sandbox_channel_t *ch = data;

    (void) virStreamEventUpdateCallback(stream, 0);

    (void) pthread_mutex_lock(&ch->mutex);
    ch->events |= events;
    (void) pthread_cond_signal(&ch->ready);
    (void) pthread_mutex_unlock(&ch->mutex);
}


/* 1 if something happened before the time (monotonic ms). */
static int
sandbox_channel_sleep(sandbox_channel_t *ch, int64_t until_ms)
{
    int seen;
    struct timespec ts;

    ts.tv_sec = (time_t) (until_ms / 1000);
    ts.tv_nsec = (long) (until_ms % 1000) * 1000000;

    (void) pthread_mutex_lock(&ch->mutex);

    while (ch->events == 0
           && pthread_cond_timedwait(&ch->ready, &ch->mutex, &ts) == 0)
    {
        /* woken for nothing: go on waiting */
    }

    seen = ch->events;
    (void) pthread_mutex_unlock(&ch->mutex);

    return seen != 0;
}


/* 1: something happened, look; 0: the deadline passed; -1: broken. */
static int
sandbox_channel_wait(sandbox_channel_t *ch, int events, int64_t deadline_ms)
{
    int64_t until_ms;

    (void) pthread_mutex_lock(&ch->mutex);
    ch->events = 0;
    (void) pthread_mutex_unlock(&ch->mutex);

    if (virStreamEventUpdateCallback(ch->stream, events | SANDBOX_CHANNEL_ENDED)
        < 0)
    {
        return -1;
    }

    for (;;) {
        until_ms = sandbox_time_monotonic_ms() + SANDBOX_CHANNEL_LOOK_MS;

        if (until_ms >= deadline_ms) {
            return sandbox_channel_sleep(ch, deadline_ms);
        }

        if (sandbox_channel_sleep(ch, until_ms)) {
            return 1;
        }

        if (virDomainIsActive(ch->domain) != 1) {
            return -1;
        }
    }
}


/* Wraps a stream, which it then owns; NULL with *err, the stream freed. */
static sandbox_channel_t *
sandbox_channel_wrap(sandbox_hv_conn_t *conn, virDomainPtr domain,
                     virStreamPtr stream, sandbox_hv_error_t *err)
{
    sandbox_channel_t *ch;

    ch = sandbox_channel_alloc();

    if (ch == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");

    } else {
        ch->stream = stream;
        ch->domain = domain;
        (void) virDomainRef(domain);

        if (virStreamEventAddCallback(stream, 0, sandbox_channel_event, ch,
                                      NULL)
            == 0) {
            return ch;
        }

        (void) sandbox_hv_fail(err, conn, "cannot watch a channel");
        (void) virDomainFree(domain);
        sandbox_channel_free(ch);
    }

    (void) virStreamAbort(stream);
    (void) virStreamFree(stream);
    return NULL;
}


static sandbox_hv_status_t
sandbox_channel_attach(sandbox_channel_t **ch, sandbox_hv_conn_t *conn,
                       virDomainPtr domain, const char *id,
                       sandbox_hv_error_t *err)
{
    virStreamPtr stream;

    stream = virStreamNew(conn->virt, VIR_STREAM_NONBLOCK);
    if (stream == NULL) {
        return sandbox_hv_fail(err, conn, "cannot make a stream for \"%s\"",
                               id);
    }

    /* by force: the previous owner may have died with the channel open */
    if (virDomainOpenChannel(domain, SANDBOX_HV_CHANNEL, stream,
                             VIR_DOMAIN_CHANNEL_FORCE)
        < 0)
    {
        (void) sandbox_hv_fail(err, conn, "cannot open the channel of \"%s\"",
                               id);
        (void) virStreamFree(stream);
        return err->status;
    }

    *ch = sandbox_channel_wrap(conn, domain, stream, err);
    return err->status;
}


sandbox_hv_status_t
sandbox_channel_open(sandbox_channel_t **ch, const char *id,
                     sandbox_hv_error_t *err)
{
    virDomainPtr domain;
    sandbox_hv_conn_t *conn;

    *ch = NULL;

    domain = sandbox_domain_of(&conn, id, err);
    if (domain == NULL) {
        return err->status;
    }

    (void) sandbox_channel_attach(ch, conn, domain, id, err);
    (void) virDomainFree(domain);

    return err->status;
}


/*
 * 1 if the guest has not ended as far as libvirtd knows.  What libvirtd said of
 * the stream before it answered is there with its answer.
 */
static int
sandbox_channel_alive(sandbox_channel_t *ch)
{
    int n;
    char byte;

    if (virDomainIsActive(ch->domain) != 1) {
        return 0;
    }

    if (ch->byte != -1) {
        return 1;
    }

    n = virStreamRecv(ch->stream, &byte, 1);
    if (n == 1) {
        ch->byte = (unsigned char) byte;
    }

    return n == 1 || n == -2;
}


int
sandbox_channel_write(void *ch, const char *data, size_t len,
                      int64_t deadline_ms)
{
    int n;
    size_t piece;
    sandbox_channel_t *c = ch;

    if (!sandbox_channel_alive(c)) {
        return -1;
    }

    c->unanswered = 1;

    while (len) {
        piece = len < SANDBOX_CHANNEL_PIECE ? len : SANDBOX_CHANNEL_PIECE;
        n = virStreamSend(c->stream, data, piece);

        if (n > 0) {
            data += n;
            len -= (size_t) n;
            continue;
        }

        if (n == -1
            || sandbox_channel_wait(c, VIR_STREAM_EVENT_WRITABLE, deadline_ms)
                   != 1)
        {
            return -1;
        }
    }

    return 0;
}


int64_t
sandbox_channel_read(void *ch, char *data, size_t size, int64_t deadline_ms)
{
    int n, rc;
    sandbox_channel_t *c = ch;

    if (size > SANDBOX_CHANNEL_PIECE) {
        size = SANDBOX_CHANNEL_PIECE;
    }

    if (c->byte != -1 && size) {
        *data = (char) c->byte;
        c->byte = -1;
        return 1;
    }

    for (;;) {
        n = virStreamRecv(c->stream, data, size);

        if (n > 0) {
            c->unanswered = 0;
            return n;
        }

        /* 0 is the end of the stream, -2 nothing to read yet */
        if (n != -2) {
            return -1;
        }

        rc = sandbox_channel_wait(c, VIR_STREAM_EVENT_READABLE, deadline_ms);
        if (rc != 1) {
            return rc;
        }
    }
}


void
sandbox_channel_close(sandbox_channel_t *ch)
{
    if (ch == NULL) {
        return;
    }

    (void) virStreamEventRemoveCallback(ch->stream);

    if (ch->unanswered) {
        sandbox_hv_sleep_ms(SANDBOX_CHANNEL_REST_MS);
    }

    /* not finish: that waits until the guest has read what is under way */
    (void) virStreamAbort(ch->stream);
    (void) virStreamFree(ch->stream);
    (void) virDomainFree(ch->domain);

    /*
     * The callback may be running still, and libvirt 9.0 never calls the free
     * function of a remote stream's callback: the loop thread frees, after
     * it.  Without memory for a timer this leaks, which is the lesser evil.
     */
    (void) virEventAddTimeout(0, sandbox_channel_bury, ch, NULL);
}
