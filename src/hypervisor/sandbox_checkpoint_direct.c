/*
 * Taking a checkpoint without a receiver: the memory is copied out of the
 * source's process, and its devices are saved beside that.
 *
 * For a source that goes on, QEMU also sends the memory into a pipe, one page
 * after the other, changed or not; that takes longer than the copying.  The
 * broker reads away what is left to be sent then.
 */

#define _GNU_SOURCE

#include "sandbox_broker.h"
#include "sandbox_checkpoint_take.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define DIRECT_SAY_MS 60000

/* A look at more MiB takes longer than the flip of the disk beside it. */
#define DIRECT_LOOK_MB 512


/* Logs once a minute at most: brokers come and go. */
static void
direct_not(const char *why)
{
    int64_t now, before;
    static int64_t next;

    now = sandbox_time_monotonic_ms();
    before = __atomic_load_n(&next, __ATOMIC_RELAXED);

    if (now >= before
        && __atomic_compare_exchange_n(&next, &before, now + DIRECT_SAY_MS, 0,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    {
        sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                       "a sandbox was copied by way of another machine, which "
                       "takes longer: %s",
                       why);
    }
}


void
sandbox_taking_direct(sandbox_taking_t *t)
{
    sandbox_hv_error_t err;

    t->direct = 0;

    if (t->origin == -1 || t->ram == NULL) {
        direct_not("it was booted, not started from a checkpoint");
        return;
    }

    t->copy = sandbox_copy_open(t->take->sandbox, t->ram, t->kind.memory_mb,
                                t->take->deadline_ms, &err);

    if (t->copy
        && sandbox_devices_open(&t->devices, t->conn, t->source, t->origin,
                                t->kind.memory_mb, &err)
               != SANDBOX_HV_OK)
    {
        sandbox_copy_close(t->copy);
        t->copy = NULL;
    }

    t->direct = t->copy != NULL;

    if (t->copy == NULL) {
        direct_not(err.message);
    }
}


sandbox_hv_status_t
sandbox_taking_direct_base(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    t->to = t->memory != -1 ? fcntl(t->memory, F_DUPFD_CLOEXEC, 0)
                            : open(t->names.ram_path, O_WRONLY | O_CLOEXEC);

    if (t->to == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "\"%s\": %s",
                              t->names.ram_path, strerror(errno));
    }

    return sandbox_copy_base(t->copy, t->to, err);
}


static void *
direct_look(void *data)
{
    sandbox_taking_t *t = data;

    (void) sandbox_copy_look(t->copy, &t->looked);

    return NULL;
}


sandbox_hv_status_t
sandbox_taking_direct_look(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    (void) sandbox_hv_ok(&t->looked);

    if (t->kind.memory_mb > DIRECT_LOOK_MB) {
        return sandbox_hv_ok(err);
    }

    t->looking = sandbox_hv_thread(&t->looker, direct_look, t) == 0;

    return t->looking
               ? sandbox_hv_ok(err)
               : sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no thread");
}


sandbox_hv_status_t
sandbox_taking_direct_looked(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    sandbox_taking_join(&t->looking, t->looker);
    *err = t->looked;

    return err->status;
}


/*
 * Once all is copied the pipe belongs to no take any more, and is renamed after
 * the sandbox: the next verb that takes or ends the sandbox drains it first.
 */
static void *
direct_copy(void *data)
{
    int pipe;
    sandbox_taking_t *t = data;
    sandbox_hv_error_t err;

    pipe = t->pipe.ends[1];

    if (sandbox_copy_live(t->copy, pipe, &t->stop, &t->copied) == SANDBOX_HV_OK
        && sandbox_memory_fifo_rename(t->take->id, t->take->sandbox) == 0
        && sandbox_broker_drain(pipe, &err) == SANDBOX_HV_OK)
    {
        return NULL;
    }

    __atomic_store_n(&t->broken, t->copied.status != SANDBOX_HV_OK,
                     __ATOMIC_RELAXED);

    /* at the deadline, unlock the pipe, so that the broker reads it away */
    if (!sandbox_checkpoint_read_away(pipe, t->take->deadline_ms, &t->stop)) {
        (void) flock(pipe, LOCK_UN);
    }

    return NULL;
}


sandbox_hv_status_t
sandbox_taking_direct_start(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    t->copying = sandbox_hv_thread(&t->copier, direct_copy, t) == 0;

    return t->copying
               ? sandbox_hv_ok(err)
               : sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no thread");
}


int
sandbox_taking_direct_broken(const sandbox_taking_t *t)
{
    return __atomic_load_n(&t->broken, __ATOMIC_RELAXED);
}


sandbox_hv_status_t
sandbox_taking_direct_end(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    sandbox_taking_join(&t->copying, t->copier);
    *err = t->copied;

    return err->status;
}


int
sandbox_taking_direct_state(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int state;

    state = sandbox_devices_join(&t->devices, err);
    sandbox_devices_close(&t->devices, t->conn, t->source);

    return state;
}


void
sandbox_taking_direct_close(sandbox_taking_t *t)
{
    __atomic_store_n(&t->stop, 1, __ATOMIC_RELAXED);
    sandbox_taking_join(&t->looking, t->looker);
    sandbox_taking_join(&t->copying, t->copier);

    if (t->to != -1) {
        (void) close(t->to);
        t->to = -1;
    }

    sandbox_copy_close(t->copy);
    t->copy = NULL;

    /* after a failure QEMU might not answer before the take is settled */
    sandbox_devices_close(&t->devices, t->conn, NULL);

    t->stop = 0;
    t->broken = 0;
}
