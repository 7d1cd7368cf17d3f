/*
 * Moving a running machine's memory and devices into another one, the
 * receiver, through a pipe.
 *
 * QEMU has two ways.  "migrate" of a machine that stands still sends what is
 * there.  With the capability "background-snapshot" QEMU stops the machine
 * itself, write-protects its memory, lets it run again and sends the memory as
 * it was: who writes to a page waits until that page is sent.  The second one
 * is for a source that goes on; where it cannot be had the first one does,
 * with a longer pause.
 */

#define _GNU_SOURCE

#include "sandbox_checkpoint_take.h"
#include "sandbox_time.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <unistd.h>

#define MOVE_PIPE 1048576
#define MOVE_LIVE "background-snapshot"


/*
 * The pipe is theirs alone afterwards: when one of them dies, the other
 * notices.
 */
static sandbox_hv_status_t
move_connect(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no pipe");
    }

    /* fewer turns for the two; less is no harm */
    (void) fcntl(ends[1], F_SETPIPE_SZ, MOVE_PIPE);

    /* the receiver shares its memory, and gets it all the same */
    if (sandbox_monitor_capability(t->conn, t->source, "x-ignore-shared", 0,
                                   err)
            == SANDBOX_HV_OK
        && sandbox_monitor_unlimited(t->conn, t->source, err) == SANDBOX_HV_OK
        && sandbox_monitor_fd(t->conn, t->receiver, SANDBOX_CHECKPOINT_FD,
                              ends[0], err)
               == SANDBOX_HV_OK
        && sandbox_monitor_fd(t->conn, t->source, SANDBOX_CHECKPOINT_FD,
                              ends[1], err)
               == SANDBOX_HV_OK)
    {
        (void) sandbox_monitor_migrate(t->conn, t->receiver, 1,
                                       SANDBOX_CHECKPOINT_FD, err);
    }

    (void) close(ends[0]);
    (void) close(ends[1]);

    return err->status;
}


static sandbox_hv_status_t
move_suspend(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    if (virDomainSuspend(t->source) < 0) {
        return sandbox_hv_fail(err, t->conn, "cannot suspend \"%s\"",
                               t->take->sandbox);
    }

    return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
}


/* The source stands still, and its memory goes over. */
static sandbox_hv_status_t
move_still(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    if (sandbox_monitor_migrate(t->conn, t->source, 0, SANDBOX_CHECKPOINT_FD,
                                err)
            != SANDBOX_HV_OK
        || sandbox_monitor_migrated(t->conn, t->source, t->take->deadline, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return t->take->keep ? sandbox_take_resume(t, err) : err->status;
}


sandbox_hv_status_t
sandbox_take_move(sandbox_take_t *t, sandbox_hv_error_t *err)
{
    int64_t start;

    if (move_connect(t, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    start = sandbox_time_monotonic_ms();

    if (move_suspend(t, err) != SANDBOX_HV_OK
        || (t->take->keep
            && sandbox_disk_flip(t->conn, t->source, t->next, err)
                   != SANDBOX_HV_OK)
        || move_still(t, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    t->take->pause_ms = sandbox_time_monotonic_ms() - start;

    return sandbox_monitor_migrated(t->conn, t->receiver, t->take->deadline,
                                    err);
}
