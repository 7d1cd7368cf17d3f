/*
 * The instant of a checkpoint: the source stands still, its disk is flipped,
 * and its memory and devices go where they are to be.
 *
 * Memory and devices are copied out of its process, or moved to the receiver by
 * "migrate", which takes longer and needs nothing but QEMU.
 */

#define _GNU_SOURCE

#include "sandbox_checkpoint_take.h"
#include "sandbox_crash.h"
#include "sandbox_time.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <unistd.h>

#define MOVE_PIPE 1048576


sandbox_hv_status_t
sandbox_taking_source(sandbox_taking_t *t, int fd, sandbox_hv_error_t *err)
{
    /* sends all of the memory, also if it is a shared file */
    if (sandbox_monitor_capability(t->conn, t->source, "x-ignore-shared", 0,
                                   err)
            != SANDBOX_HV_OK
        || sandbox_monitor_unlimited(t->conn, t->source, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_monitor_fd(t->conn, t->source, SANDBOX_CHECKPOINT_FD, fd,
                              err);
}


static sandbox_hv_status_t
move_ends(sandbox_taking_t *t, const int ends[2], sandbox_hv_error_t *err)
{
    if (sandbox_taking_source(t, ends[1], err) != SANDBOX_HV_OK
        || sandbox_monitor_fd(t->conn, t->receiver, SANDBOX_CHECKPOINT_FD,
                              ends[0], err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_monitor_migrate(t->conn, t->receiver, 1,
                                   SANDBOX_CHECKPOINT_URI, err);
}


/*
 * Afterwards only the two QEMUs have the pipe open: if one dies, the other
 * notices.
 */
static sandbox_hv_status_t
move_connect(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no pipe");
    }

    /* fewer switches between writer and reader; a smaller pipe does no harm */
    (void) fcntl(ends[1], F_SETPIPE_SZ, MOVE_PIPE);
    (void) move_ends(t, ends, err);
    (void) close(ends[0]);
    (void) close(ends[1]);

    return err->status;
}


static sandbox_hv_status_t
move_suspend(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (virDomainSuspend(t->source) < 0) {
        return sandbox_hv_fail(err, t->conn, "cannot suspend \"%s\"",
                               t->take->sandbox);
    }

    return sandbox_hv_ok(err);
}


/* Flips the disk of a source that is to go on to its new overlay. */
static sandbox_hv_status_t
move_flip(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (!t->take->keep) {
        return sandbox_hv_ok(err);
    }

    (void) sandbox_disk_flip(t->conn, t->source, t->next, err);
    SANDBOX_CRASH_POINT("flip.after");

    return err->status;
}


/* Called once the source runs again. */
static void
move_resumed(sandbox_taking_t *t, int64_t start)
{
    t->take->pause_ms = sandbox_time_monotonic_ms() - start;

    if (t->take->resumed) {
        t->take->resumed(t->take->data);
    }
}


/* The source goes on while it is copied. */
static sandbox_hv_status_t
move_live(sandbox_taking_t *t, int64_t start, sandbox_hv_error_t *err)
{
    if (sandbox_taking_live_run(t, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    move_resumed(t, start);
    sandbox_taking_woken(t);

    return sandbox_taking_direct_end(t, err);
}


sandbox_hv_status_t
sandbox_taking_was_resumed(const sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    return sandbox_hv_set(
        err, SANDBOX_HV_FAILED,
        "\"%s\" does not stand still: somebody has resumed it",
        t->take->sandbox);
}


sandbox_hv_status_t
sandbox_taking_stands(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int state;

    if (virDomainGetState(t->source, &state, NULL, 0) < 0) {
        return sandbox_hv_fail(err, t->conn, "cannot look at \"%s\"",
                               t->take->sandbox);
    }

    return state == VIR_DOMAIN_PAUSED ? sandbox_hv_ok(err)
                                      : sandbox_taking_was_resumed(t, err);
}


/* The source stands still until all of its memory is copied or moved. */
static sandbox_hv_status_t
move_still(sandbox_taking_t *t, int64_t start, sandbox_hv_error_t *err)
{
    if (t->copy) {
        (void) sandbox_copy_still(t->copy, err);

    } else if (sandbox_monitor_migrate(t->conn, t->source, 0,
                                       SANDBOX_CHECKPOINT_URI, err)
               == SANDBOX_HV_OK)
    {
        (void) sandbox_monitor_migrated(t->conn, t->source,
                                        t->take->deadline_ms, err);
    }

    if (err->status == SANDBOX_HV_OK
        && sandbox_taking_stands(t, err) == SANDBOX_HV_OK && t->take->keep
        && sandbox_taking_resume(t, err) == SANDBOX_HV_OK)
    {
        move_resumed(t, start);
    }

    return err->status;
}


/*
 * 1 if this taker lost the sandbox to another process between its last check
 * and the suspending: then it resumes the sandbox that it has just suspended,
 * which the other may have done with.  If the other is taking it, that take
 * sees that the sandbox does not stand still, and fails.
 */
static int
move_is_lost(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (sandbox_taking_is_ours(t, err)) {
        return 0;
    }

    (void) virDomainResume(t->source);

    return 1;
}


static sandbox_hv_status_t
move_over(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int64_t start;

    /*
     * QEMU flushes the disk when it suspends: leave it little to flush.  An
     * error would not be seen again by what syncs the checkpoint.
     */
    if (t->take->keep && sandbox_disk_sync(t->sync, err) != SANDBOX_HV_OK
        && t->take->durable)
    {
        t->direct = 0;
        return err->status;
    }

    if (t->take->stopping
        && t->take->stopping(t->take->data, err) != SANDBOX_HV_OK) {
        /* another way of copying would fail here too */
        t->direct = 0;
        return err->status;
    }

    start = sandbox_time_monotonic_ms();

    if (move_suspend(t, err) != SANDBOX_HV_OK || move_is_lost(t, err)
        || (t->live && sandbox_taking_direct_look(t, err) != SANDBOX_HV_OK)
        || move_flip(t, err) != SANDBOX_HV_OK
        || (t->copy
            && sandbox_devices_save(&t->devices, t->conn, t->source, err)
                   != SANDBOX_HV_OK))
    {
        return err->status;
    }

    return t->live ? move_live(t, start, err) : move_still(t, start, err);
}


/*
 * Decides again whether a source that had written little is copied while it
 * runs: it may have written more since.
 */
static sandbox_hv_status_t
move_ready(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    (void) sandbox_hv_ok(err);

    if (!t->live) {
        sandbox_taking_live(t);

        if (t->live && sandbox_taking_live_begin(t, err) != SANDBOX_HV_OK) {
            return err->status;
        }
    }

    sandbox_taking_live_ready(t);

    return err->status;
}


sandbox_hv_status_t
sandbox_taking_move(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (t->copy) {
        if (move_ready(t, err) == SANDBOX_HV_OK) {
            (void) move_over(t, err);
        }

    } else if (move_connect(t, err) == SANDBOX_HV_OK
               && move_over(t, err) == SANDBOX_HV_OK)
    {
        (void) sandbox_monitor_migrated(t->conn, t->receiver,
                                        t->take->deadline_ms, err);
    }

    return err->status;
}
