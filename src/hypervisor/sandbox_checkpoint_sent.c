/*
 * The end of the sending by a sandbox that is copied while it runs.  That
 * migration must not be cancelled, nor fail: QEMU 7.2 would leave the memory
 * protected for ever, and a vCPU that writes to it would wait for ever.  So the
 * rest is read away, from the pipe found by its name, even if other processes
 * read it as well.
 */

#include "sandbox_checkpoint_parts.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define SENT_POLL_MS 10
#define SENT_PIPES 2


int
sandbox_checkpoint_read_away(int pipe, int64_t deadline_ms, const int *stop)
{
    ssize_t n;
    char piece[65536];
    struct pollfd p = { pipe, POLLIN, 0 };

    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)
           && sandbox_time_monotonic_ms() < deadline_ms)
    {
        n = read(pipe, piece, sizeof(piece));

        /* QEMU closes its end when it has sent all, or when it ends */
        if (n == 0 || (n == -1 && errno != EAGAIN)) {
            return 1;
        }

        /* read() first: poll() does not report a writer that has gone */
        if (n == -1) {
            (void) poll(&p, 1, SENT_POLL_MS);
        }
    }

    return 0;
}


static int
sent_open(const char *id)
{
    int ends[3];

    return id && sandbox_memory_fifo(id, 0, ends) == 0 ? ends[2] : -1;
}


int
sandbox_checkpoint_drain(const char *sandbox, int64_t deadline_ms)
{
    int pipe, ended;
    static const int never = 0;

    pipe = sent_open(sandbox);
    if (pipe == -1) {
        return 1;
    }

    ended = sandbox_checkpoint_read_away(pipe, deadline_ms, &never);
    (void) close(pipe);

    return ended;
}


typedef struct {
    int pipes[SENT_PIPES]; /* of which one has a writer at most; -1: none */
    int64_t deadline_ms;
    int stop;
} sent_drain_t;


/* In a thread of its own: QEMU may answer the monitor only after this. */
static void *
sent_drain(void *data)
{
    int i;
    sent_drain_t *drain = data;

    for (i = 0; i < SENT_PIPES; i++) {
        if (drain->pipes[i] != -1) {
            (void) sandbox_checkpoint_read_away(
                drain->pipes[i], drain->deadline_ms, &drain->stop);
        }
    }

    return NULL;
}


sandbox_hv_status_t
sandbox_checkpoint_sent(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *sandbox, const char *id,
                        int64_t deadline_ms, sandbox_hv_error_t *err)
{
    int i, live;
    pthread_t thread;
    sent_drain_t drain;

    /* in this order: a taker may be handing it over, under the second name */
    drain.pipes[0] = sent_open(id);
    drain.pipes[1] = sent_open(sandbox);
    drain.deadline_ms = deadline_ms;
    drain.stop = 0;
    thread = pthread_self(); /* joined only if there is another */
    live = drain.pipes[0] != -1 || drain.pipes[1] != -1;

    if (live && sandbox_hv_thread(&thread, sent_drain, &drain) != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no thread");

    } else {
        (void) sandbox_monitor_cancel(conn, domain, live, deadline_ms, err);

        if (live) {
            __atomic_store_n(&drain.stop, 1, __ATOMIC_RELAXED);
            (void) pthread_join(thread, NULL);
        }
    }

    for (i = 0; i < SENT_PIPES; i++) {
        if (drain.pipes[i] != -1) {
            (void) close(drain.pipes[i]);
        }
    }

    if (live && err->status == SANDBOX_HV_OK) {
        sandbox_memory_fifo_remove(sandbox);
    }

    return err->status;
}
