/*
 * The end of what a sandbox sends that is copied as it runs.  It may not be
 * cancelled, nor fail: QEMU 7.2 leaves the memory protected for ever then, and
 * who writes to it waits for ever.  So the rest is read away, by the name of
 * the pipe, whoever else is at that.
 */

#include "sandbox_checkpoint_parts.h"
#include "sandbox_memory.h"

#include <pthread.h>
#include <unistd.h>

#define SENT_PIPES 2


typedef struct {
    int fds[SENT_PIPES]; /* -1: none */
    int stop;
} sent_drain_t;


/* In a thread of its own: who asks the source may have to wait for this. */
static void *
sent_drain(void *data)
{
    int i, idle;
    char piece[65536];
    sent_drain_t *drain = data;

    while (!__atomic_load_n(&drain->stop, __ATOMIC_RELAXED)) {
        idle = 1;

        for (i = 0; i < SENT_PIPES; i++) {
            if (drain->fds[i] != -1
                && read(drain->fds[i], piece, sizeof(piece)) > 0) {
                idle = 0;
            }
        }

        if (idle) {
            sandbox_hv_sleep_ms(1);
        }
    }

    return NULL;
}


static int
sent_open(const char *id)
{
    int ends[3];

    return id && sandbox_memory_fifo(id, 0, ends) == 0 ? ends[2] : -1;
}


sandbox_hv_status_t
sandbox_checkpoint_sent(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *sandbox, const char *id, int64_t deadline,
                        sandbox_hv_error_t *err)
{
    int i, live;
    pthread_t thread;
    sent_drain_t drain;

    drain.fds[0] = sent_open(sandbox);
    drain.fds[1] = sent_open(id);
    drain.stop = 0;
    live = drain.fds[0] != -1 || drain.fds[1] != -1;

    if (live && sandbox_hv_thread(&thread, sent_drain, &drain) != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no thread");

    } else {
        (void) sandbox_monitor_cancel(conn, domain, live, deadline, err);

        if (live) {
            __atomic_store_n(&drain.stop, 1, __ATOMIC_RELAXED);
            (void) pthread_join(thread, NULL);
        }
    }

    for (i = 0; i < SENT_PIPES; i++) {
        if (drain.fds[i] != -1) {
            (void) close(drain.fds[i]);
        }
    }

    if (live && err->status == SANDBOX_HV_OK) {
        sandbox_memory_fifo_remove(sandbox);
    }

    return err->status;
}
