/*
 * Channels: a byte stream to a guest, through libvirt, with deadlines.
 *
 * A libvirt stream that blocks knows no time limit.  Ours does not block: the
 * event loop thread reads it and wakes the waiter.
 *
 * libvirt takes off the wire all that a guest sends and queues it without a
 * limit, whether somebody waits or not.  So the loop thread reads always, into
 * a buffer, and ends the stream of a guest that fills it.
 */

#include "sandbox_agent.h"
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
 * Bytes that wait to be read.  More than a conversation puts up with
 * (SANDBOX_GUEST_NOISE_MAX and a line), so that its reader finds the fault.
 */
#define SANDBOX_CHANNEL_BUFFER 131072

/* How long is waited before a message that libvirt did not take is repeated. */
#define SANDBOX_CHANNEL_TURN_MS 10

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
    int unanswered;        /* 1: nothing was read since the last message */
    pthread_mutex_t mutex; /* for what follows, and for reading the stream */
    pthread_cond_t ready;
    int64_t rests_ms; /* the stream must not be ended before; monotonic */
    int full;         /* the guest has sent too much: nothing is written */
    int ended;        /* the stream gives no more, and may be gone */
    size_t len;
    char data[SANDBOX_CHANNEL_BUFFER]; /* len bytes, not read yet */
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


/*
 * With the mutex: nothing more is read.  Readiness is level-triggered, and the
 * loop would spin on the end of a stream.
 */
static void
sandbox_channel_end(sandbox_channel_t *ch)
{
    ch->ended = 1;
    (void) virStreamEventUpdateCallback(ch->stream, 0);
    (void) pthread_cond_signal(&ch->ready);
}


/*
 * With the mutex: reads what has arrived.  What comes once the guest has sent
 * too much is thrown away, until the stream may be ended.
 */
static void
sandbox_channel_fill(sandbox_channel_t *ch)
{
    int n;
    static char ignored[SANDBOX_CHANNEL_BUFFER]; /* by the loop thread alone */

    n = ch->full ? virStreamRecv(ch->stream, ignored, sizeof(ignored))
                 : virStreamRecv(ch->stream, ch->data + ch->len,
                                 sizeof(ch->data) - ch->len);

    if (n > 0 && !ch->full) {
        ch->len += (size_t) n;
        ch->full |= ch->len == sizeof(ch->data);
        (void) pthread_cond_signal(&ch->ready);

        /* -2 is nothing to read yet, 0 the end of the stream */
    } else if (n <= 0 && n != -2) {
        sandbox_channel_end(ch);
    }
}


/*
 * In the loop thread.  libvirt allows that a stream is ended in its callback,
 * as virsh does with a console: no lock of its own is held.
 */
static void
sandbox_channel_event(virStreamPtr stream, int events, void *data)
{
    sandbox_channel_t *ch = data;

    (void) pthread_mutex_lock(&ch->mutex);

    if (!ch->ended && ch->full && sandbox_time_monotonic_ms() >= ch->rests_ms) {
        ch->ended = 1;
        (void) virStreamEventRemoveCallback(stream);
        (void) virStreamAbort(stream);

    } else if (!ch->ended) {
        sandbox_channel_fill(ch);

        if (!ch->ended && (events & SANDBOX_CHANNEL_ENDED)) {
            sandbox_channel_end(ch);
        }
    }

    (void) pthread_mutex_unlock(&ch->mutex);
}


/* With the mutex.  1: look again; 0: the deadline passed; -1: broken. */
static int
sandbox_channel_wait(sandbox_channel_t *ch, int64_t deadline_ms)
{
    int active;
    int64_t until_ms;
    struct timespec ts;

    until_ms = sandbox_time_monotonic_ms() + SANDBOX_CHANNEL_LOOK_MS;
    if (until_ms > deadline_ms) {
        until_ms = deadline_ms;
    }

    ts.tv_sec = (time_t) (until_ms / 1000);
    ts.tv_nsec = (long) (until_ms % 1000) * 1000000;

    if (pthread_cond_timedwait(&ch->ready, &ch->mutex, &ts) == 0) {
        return 1;
    }

    if (until_ms == deadline_ms) {
        return 0;
    }

    (void) pthread_mutex_unlock(&ch->mutex);
    active = virDomainIsActive(ch->domain);
    (void) pthread_mutex_lock(&ch->mutex);

    return active == 1 ? 1 : -1;
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

        if (virStreamEventAddCallback(
                stream, VIR_STREAM_EVENT_READABLE | SANDBOX_CHANNEL_ENDED,
                sandbox_channel_event, ch, NULL)
            == 0)
        {
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
    if (virDomainOpenChannel(domain, SANDBOX_AGENT_CHANNEL, stream,
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
    int alive;

    if (virDomainIsActive(ch->domain) != 1) {
        return 0;
    }

    (void) pthread_mutex_lock(&ch->mutex);

    if (!ch->ended && !ch->full) {
        sandbox_channel_fill(ch);
    }

    alive = !ch->ended;
    (void) pthread_mutex_unlock(&ch->mutex);

    return alive;
}


/* As virStreamSend(): the bytes taken, -2: not now, -1: broken. */
static int
sandbox_channel_send(sandbox_channel_t *ch, const char *data, size_t len)
{
    int n, may;

    (void) pthread_mutex_lock(&ch->mutex);

    may = !ch->ended && !ch->full;
    if (may) {
        ch->rests_ms = INT64_MAX;
    }

    (void) pthread_mutex_unlock(&ch->mutex);

    if (!may) {
        return -1;
    }

    /* without the mutex: it may block, and the loop thread must not */
    n = virStreamSend(ch->stream, data, len);

    (void) pthread_mutex_lock(&ch->mutex);
    ch->rests_ms = sandbox_time_monotonic_ms() + SANDBOX_CHANNEL_REST_MS;
    (void) pthread_mutex_unlock(&ch->mutex);

    return n;
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
        n = sandbox_channel_send(c, data, piece);

        if (n > 0) {
            data += n;
            len -= (size_t) n;
            continue;
        }

        /* libvirt's remote streams take all, or block */
        if (n == -1 || sandbox_time_monotonic_ms() >= deadline_ms) {
            return -1;
        }

        sandbox_hv_sleep_ms(SANDBOX_CHANNEL_TURN_MS);
    }

    return 0;
}


int64_t
sandbox_channel_read(void *ch, char *data, size_t size, int64_t deadline_ms)
{
    int rc;
    int64_t n;
    sandbox_channel_t *c = ch;

    (void) pthread_mutex_lock(&c->mutex);

    rc = 1;
    while (c->len == 0 && !c->full && !c->ended && rc == 1) {
        rc = sandbox_channel_wait(c, deadline_ms);
    }

    if (c->len == 0) {
        n = rc == 1 ? -1 : rc;

    } else {
        n = (int64_t) (size < c->len ? size : c->len);
        memcpy(data, c->data, (size_t) n);
        c->len -= (size_t) n;
        memmove(c->data, c->data + n, c->len);
        c->unanswered = 0;
    }

    (void) pthread_mutex_unlock(&c->mutex);

    return n;
}


void
sandbox_channel_close(sandbox_channel_t *ch)
{
    if (ch == NULL) {
        return;
    }

    /* the callback may be called still, and leaves the stream alone then */
    (void) pthread_mutex_lock(&ch->mutex);
    ch->ended = 1;
    (void) pthread_mutex_unlock(&ch->mutex);

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
