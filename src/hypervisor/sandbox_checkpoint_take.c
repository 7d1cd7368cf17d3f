/*
 * Taking a checkpoint of a sandbox.
 *
 * The sandbox's memory is private to its QEMU process, so it is copied out of
 * that into a file of the new checkpoint.  Where that cannot be done a second
 * machine, the receiver, is started with its memory in that file, and the
 * sandbox is migrated to it.  The receiver never runs, and is kept as a booted
 * template is, by its device state alone.  So every checkpoint is of one kind
 * and starts in the same time.
 *
 * The disk of the sandbox is renamed to be the checkpoint's; a sandbox that
 * goes on has got a new overlay above it by then.
 */

#include "sandbox_checkpoint_take.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long cancel waits for the pipe to be drained, and for the chain. */
#define TAKE_DRAIN_MS 20000


int
sandbox_taking_is_ours(const sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (t->take->ours == NULL || t->take->ours(t->take->data)) {
        return 1;
    }

    (void) sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                          "\"%s\" may be taken by somebody else by now",
                          t->take->sandbox);
    return 0;
}


int
sandbox_taking_is_durable(const sandbox_taking_t *t)
{
    return t->take->durable || !t->take->keep;
}


static void
take_unsettled(const sandbox_taking_t *t, const sandbox_hv_error_t *failed)
{
    sandbox_hv_log(SANDBOX_HV_LOG_WARN, "the take of \"%s\" is not settled: %s",
                   t->take->sandbox, failed->message);
}


/*
 * One try: afterwards the checkpoint is whole, or undone and the source goes
 * on, unless the undoing failed or another process has taken over.
 */
static sandbox_hv_status_t
take_try(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    sandbox_hv_error_t failed;

    if (sandbox_taking_steps(t, err) == SANDBOX_HV_OK) {
        return SANDBOX_HV_OK;
    }

    sandbox_taking_reset(t);

    if (!sandbox_taking_is_ours(t, &failed)) {
        t->direct = 0;
        sandbox_taking_woken(t);
        return err->status;
    }

    if (sandbox_taking_undo(t, &failed) != SANDBOX_HV_OK) {
        take_unsettled(t, &failed);
        t->direct = 0;
    }

    sandbox_taking_woken(t);
    return err->status;
}


static sandbox_hv_status_t
take_run(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (!sandbox_hv_is_local()) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" runs on another host: it cannot be taken",
                              t->take->sandbox);
    }

    if (!sandbox_taking_is_ours(t, err)) {
        return err->status;
    }

    /* QEMU may still be sending the memory for the last take */
    if (!sandbox_checkpoint_drain(t->take->sandbox, t->take->deadline_ms)) {
        return sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                              "\"%s\" still sends what was copied of it",
                              t->take->sandbox);
    }

    /* from here to the end of the take nobody flattens the disk */
    if (sandbox_checkpoint_hold_chain(t->take->sandbox, 0, t->take->deadline_ms,
                                      &t->held_chain, err)
            != SANDBOX_HV_OK
        || sandbox_taking_undo(t, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    t->begun = 1;
    t->direct = 1;

    /* the other way would have no more time, and no more room on disk */
    if (take_try(t, err) == SANDBOX_HV_OK || !t->direct
        || err->status == SANDBOX_HV_TIMEOUT
        || (err->status == SANDBOX_HV_NO_CAPACITY && !t->tmpfs))
    {
        return err->status;
    }

    sandbox_hv_log(SANDBOX_HV_LOG_WARN, "\"%s\" could not be copied%s: %s",
                   t->take->sandbox, t->live ? " while it runs" : "",
                   err->message);
    t->direct = 0;

    return take_try(t, err);
}


/*
 * Tells the receiver, which has just answered, to quit.  If the source goes on,
 * the caller then need not wait for libvirt, which looks for the end of a
 * process every 200 ms: discard, too, ends a receiver that is left.
 */
static int
take_quits(sandbox_taking_t *t)
{
    sandbox_hv_error_t ignored;

    return t->receiver
           && sandbox_monitor_quit(t->conn, t->receiver, &ignored)
                  == SANDBOX_HV_OK;
}


/* Resumes or ends the source, and ends the receiver. */
static sandbox_hv_status_t
take_domains(sandbox_taking_t *t, const char *uuid, sandbox_hv_error_t *err)
{
    int quits;

    /* the checkpoint is whole: the process that took over ends the source */
    if (!t->take->keep && !sandbox_taking_is_ours(t, err)) {
        return err->status;
    }

    quits = take_quits(t);

    if (!t->take->keep) {
        (void) sandbox_domain_end(t->conn, uuid, err);

    } else if (t->source) {
        (void) sandbox_taking_resume(t, err);

    } else {
        (void) sandbox_hv_ok(err);
    }

    if (err->status == SANDBOX_HV_OK && !(quits && t->take->keep)) {
        (void) sandbox_domain_end(t->conn, t->uuid, err);
    }

    return err->status;
}


/*
 * The checkpoint is whole: removes what only the take needed, also if an
 * earlier taker left it when it died.
 */
static sandbox_hv_status_t
take_finish(sandbox_taking_t *t, const char *uuid, sandbox_hv_error_t *err)
{
    size_t i, n;
    char **names;
    char prefix[SANDBOX_HV_STEM_SIZE];

    (void) snprintf(prefix, sizeof(prefix), "%s.", t->take->id);

    if (take_domains(t, uuid, err) != SANDBOX_HV_OK
        || sandbox_disk_local(prefix, &names, &n, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    sandbox_memory_fifo_remove(t->take->id);
    t->take->bytes = 0;

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (strstr(names[i], SANDBOX_TAKING_SCRATCH ".")) {
            (void) sandbox_disk_unlink(names[i], err);
        } else {
            t->take->bytes += sandbox_disk_blocks(names[i]);
        }
    }

    sandbox_disk_names_free(names, n);
    return err->status;
}


/*
 * A whole checkpoint that cannot be synced is none, as long as its source is
 * there: the next take of it finds nothing, and begins anew.
 */
static void
take_unseal(sandbox_taking_t *t)
{
    sandbox_hv_error_t failed;

    if (sandbox_checkpoint_hold_chain(t->take->sandbox, 0, t->take->deadline_ms,
                                      &t->held_chain, &failed)
            != SANDBOX_HV_OK
        || sandbox_taking_undo(t, &failed) != SANDBOX_HV_OK)
    {
        take_unsettled(t, &failed);
    }
}


/* Called with the source's turn held. */
static sandbox_hv_status_t
take_sandbox(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int torn;
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_checkpoint_t c;

    if (sandbox_id_uuid(uuid, t->take->sandbox) != 0
        || sandbox_id_uuid(t->uuid, t->take->id) != 0)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"",
                              t->take->sandbox);
    }

    t->source = sandbox_domain_lookup(t->conn, uuid, err);
    if (err->status != SANDBOX_HV_OK) {
        return err->status;
    }

    if (sandbox_checkpoint_load(t->conn, t->take->id, t->accel, &c, NULL, &torn,
                                err)
        == SANDBOX_HV_OK)
    {
        sandbox_checkpoint_free(&c);
        t->begun = 1;

        /* who has made it may have died before it was synced */
        if (!sandbox_taking_is_durable(t)
            || sandbox_disk_sync(t->sync, err) == SANDBOX_HV_OK)
        {
            return take_finish(t, uuid, err);
        }

        /* others may run from one of a sandbox that goes on */
        if (t->source && !t->take->keep) {
            take_unseal(t);
        }

        return err->status;

    } else if (err->status != SANDBOX_HV_NO_CHECKPOINT) {
        return err->status;
    }

    if (t->source == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "\"%s\" does not run",
                              t->take->sandbox);
    }

    if (take_run(t, err) == SANDBOX_HV_OK) {
        (void) take_finish(t, uuid, err);
    }

    return err->status;
}


/* 1 if this take has begun nothing; the undoing before was an earlier one's. */
static int
take_untouched(const sandbox_taking_t *t)
{
    int state;

    return !t->begun && t->source
           && virDomainGetState(t->source, &state, NULL, 0) == 0
           && state == VIR_DOMAIN_RUNNING;
}


static void
take_free(sandbox_taking_t *t)
{
    sandbox_taking_reset(t);

    if (t->held_chain != -1) {
        (void) close(t->held_chain);
    }

    if (t->sync != -1) {
        (void) close(t->sync);
    }

    if (t->source) {
        (void) virDomainFree(t->source);
    }
}


static void
take_init(sandbox_taking_t *t, sandbox_checkpoint_take_t *take)
{
    memset(t, 0, sizeof(*t));
    t->take = take;
    t->memory = -1;
    t->held = -1;
    t->held_chain = -1;
    t->sync = -1;
    t->origin = -1;
    t->to = -1;
    sandbox_devices_init(&t->devices);
    t->pipe.ends[0] = -1;
    t->pipe.ends[1] = -1;
    t->pipe.ends[2] = -1;
}


sandbox_hv_status_t
sandbox_checkpoint_take(sandbox_checkpoint_take_t *take,
                        sandbox_hv_error_t *err)
{
    sandbox_taking_t t;
    sandbox_domain_turn_t turn;

    take_init(&t, take);

    if (sandbox_hypervisor_accel(&t.accel, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    t.conn = sandbox_hv_connection(err);
    if (t.conn == NULL) {
        return err->status;
    }

    t.sync = sandbox_disk_sync_open();

    sandbox_domain_enter(&turn, take->sandbox);
    take->untouched =
        take_sandbox(&t, err) != SANDBOX_HV_OK && take_untouched(&t);
    sandbox_domain_leave(&turn);
    take_free(&t);

    return err->status;
}


/*
 * OK if the checkpoint is not whole.  Called with the turn held, because an
 * earlier taker may have finished while this thread waited for the turn.
 */
static sandbox_hv_status_t
take_unsealed(const char *id, sandbox_hv_error_t *err)
{
    int64_t bytes;

    switch (sandbox_checkpoint_whole(id, &bytes, err)) {
    case SANDBOX_HV_NO_CHECKPOINT:
        return sandbox_hv_ok(err);
    case SANDBOX_HV_OK:
        return sandbox_hv_set(err, SANDBOX_HV_IN_USE,
                              "\"%s\" is whole: it is not cancelled", id);
    default:
        return err->status;
    }
}


static sandbox_hv_status_t
take_cancel(sandbox_taking_t *t, int whole, sandbox_hv_error_t *err)
{
    char uuid[SANDBOX_UUID_SIZE];

    if (sandbox_id_uuid(uuid, t->take->sandbox) != 0
        || sandbox_id_uuid(t->uuid, t->take->id) != 0)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"",
                              t->take->sandbox);
    }

    if (!whole && take_unsealed(t->take->id, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    t->source = sandbox_domain_lookup(t->conn, uuid, err);

    /* QEMU might not answer while it still sends the memory */
    if (err->status == SANDBOX_HV_OK && t->source) {
        (void) sandbox_checkpoint_drain(
            t->take->sandbox, sandbox_time_monotonic_ms() + TAKE_DRAIN_MS);
        (void) sandbox_checkpoint_hold_chain(
            t->take->sandbox, 0, sandbox_time_monotonic_ms() + TAKE_DRAIN_MS,
            &t->held_chain, err);
    }

    /*
     * While its pipe exists the checkpoint is not whole, so nothing runs from
     * it; and the source might not answer.
     */
    if (err->status == SANDBOX_HV_OK
        && (sandbox_memory_fifo_exists(t->take->id)
            || sandbox_checkpoint_unused(t->conn, t->take->id, err)
                   == SANDBOX_HV_OK))
    {
        (void) sandbox_taking_undo(t, err);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_cancel(const char *id, const char *sandbox, int whole,
                          int (*ours)(void *data), void *data,
                          sandbox_hv_error_t *err)
{
    sandbox_taking_t t;
    sandbox_domain_turn_t turn;
    sandbox_checkpoint_take_t take;

    memset(&take, 0, sizeof(take));
    take.id = id;
    take.sandbox = sandbox;
    take.keep = 1;
    take.ours = ours;
    take.data = data;

    take_init(&t, &take);

    t.conn = sandbox_hv_connection(err);
    if (t.conn == NULL) {
        return err->status;
    }

    sandbox_domain_enter(&turn, sandbox);
    (void) take_cancel(&t, whole, err);
    sandbox_domain_leave(&turn);
    take_free(&t);

    return err->status;
}
