/*
 * The end of checkpoints, and of layers.
 *
 * A checkpoint is discarded by itself: "<id>.state" goes first, so that nothing
 * begins to start from it, then its memory.  Its disk stays as a layer as long
 * as a domain's disk or another checkpoint's stands on it.  A layer has no
 * record of its own: it is a disk whose checkpoint is gone, and goes when
 * nobody needs it (sandbox_checkpoint_refs.h).
 *
 * What is made, is young: a file whose time of change is within the grace
 * stays, because its domain or its "<id>.state" may be still to come.
 */

#include "sandbox_checkpoint_refs.h"
#include "sandbox_crash.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long a discard waits for who makes one. */
#define CHECKPOINT_LOCK_MS 10000


sandbox_hv_status_t
sandbox_checkpoint_unused(sandbox_hv_conn_t *conn, const char *id,
                          sandbox_hv_error_t *err)
{
    sandbox_checkpoint_refs_t refs;
    const sandbox_checkpoint_ref_t *ref;

    if (sandbox_checkpoint_refs_domains(conn, &refs, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    ref = sandbox_checkpoint_refs_id(&refs, id, 1);

    if (ref) {
        (void) sandbox_hv_set(err, SANDBOX_HV_IN_USE, "\"%s\" runs from \"%s\"",
                              ref->by, id);
    }

    sandbox_checkpoint_refs_free(&refs);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_used(const char *id, int *used, sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;
    sandbox_checkpoint_refs_t refs;

    *used = 0;

    conn = sandbox_hv_connection(err);
    if (conn == NULL
        || sandbox_checkpoint_refs(conn, &refs, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    /* while nobody can tell it is */
    *used = refs.unsettled || sandbox_checkpoint_refs_id(&refs, id, 0);
    sandbox_checkpoint_refs_free(&refs);

    return err->status;
}


typedef struct {
    sandbox_hv_conn_t *conn;
    sandbox_checkpoint_refs_t refs;
    const char *only; /* of such checkpoints alone, whatever their age */
    int64_t grace_ms; /* else of all, as old as that */
    char **names;
    size_t n;
} checkpoint_clean_t;


/* 1 if the file is to be removed. */
static int
checkpoint_is_spare(const checkpoint_clean_t *clean, const char *name)
{
    char id[SANDBOX_ID_SIZE];

    if ((!sandbox_checkpoint_ends(name, SANDBOX_CHECKPOINT_DISK)
         && !sandbox_checkpoint_ends(name, SANDBOX_CHECKPOINT_RAM))
        || sandbox_checkpoint_id(id, name) != 0
        || sandbox_checkpoint_refs_needed(&clean->refs, clean->names, clean->n,
                                          id, name)
               != SANDBOX_CHECKPOINT_SPARE)
    {
        return 0;
    }

    if (clean->only) {
        return strncmp(clean->only, id, strlen(clean->only)) == 0;
    }

    return sandbox_disk_age(name) >= clean->grace_ms;
}


static sandbox_hv_status_t
checkpoint_clean_names(const checkpoint_clean_t *clean, sandbox_hv_error_t *err)
{
    size_t i;

    for (i = 0; i < clean->n; i++) {
        if (!checkpoint_is_spare(clean, clean->names[i])) {
            continue;
        }

        if (sandbox_disk_remove(clean->conn, clean->names[i], err)
            != SANDBOX_HV_OK) {
            return err->status;
        }

        sandbox_hv_log(SANDBOX_HV_LOG_NOTICE,
                       "\"%s\" is removed: nothing needs it", clean->names[i]);
    }

    return err->status;
}


typedef struct {
    char id[SANDBOX_ID_SIZE];
    unsigned whole : 1; /* has a state */
    unsigned disks;
    unsigned memories;
} checkpoint_group_t;


static int
checkpoint_group_spares(const checkpoint_group_t *group)
{
    return group->disks + group->memories > (group->whole ? 2 : 0);
}


/* names are sorted: those of a checkpoint come one after the other. */
static int
checkpoint_names_spare(char **names, size_t n)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];
    checkpoint_group_t group;

    memset(&group, 0, sizeof(group));

    for (i = 0; i < n; i++) {
        if (sandbox_checkpoint_id(id, names[i]) != 0) {
            continue;
        }

        if (strcmp(id, group.id) != 0) {
            if (checkpoint_group_spares(&group)) {
                return 1;
            }

            memset(&group, 0, sizeof(group));
            (void) snprintf(group.id, sizeof(group.id), "%s", id);
        }

        group.whole |=
            sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_SUFFIX);
        group.disks +=
            sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_DISK);
        group.memories +=
            sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_RAM);
    }

    return checkpoint_group_spares(&group);
}


/* 0: a look at the names tells that there is nothing to be removed. */
static int
checkpoint_may_spare(sandbox_hv_conn_t *conn, const char *only)
{
    int spare;
    size_t n;
    char **names;
    sandbox_hv_error_t ignored;

    if (sandbox_checkpoint_names_of(conn, only, &names, &n, &ignored)
        != SANDBOX_HV_OK)
    {
        return 1;
    }

    spare = checkpoint_names_spare(names, n);
    sandbox_disk_names_free(names, n);

    return spare;
}


sandbox_hv_status_t
sandbox_checkpoint_clean(sandbox_hv_conn_t *conn, const char *only,
                         int64_t grace_ms, sandbox_hv_error_t *err)
{
    checkpoint_clean_t clean;

    if (!checkpoint_may_spare(conn, only ? only : "")) {
        return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
    }

    memset(&clean, 0, sizeof(clean));
    clean.conn = conn;
    clean.only = only;
    clean.grace_ms = grace_ms;

    /* first the names: what comes later is not looked at */
    if (sandbox_checkpoint_names_of(conn, "", &clean.names, &clean.n, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (sandbox_checkpoint_refs(conn, &clean.refs, err) == SANDBOX_HV_OK) {
        /* who cannot tell removes nothing */
        if (!clean.refs.unsettled) {
            (void) checkpoint_clean_names(&clean, err);
        }

        sandbox_checkpoint_refs_free(&clean.refs);
    }

    sandbox_disk_names_free(clean.names, clean.n);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_remove(sandbox_hv_conn_t *conn, const char *id,
                          sandbox_hv_error_t *err)
{
    size_t i, n;
    char **names;
    char file[SANDBOX_CHECKPOINT_NAME_SIZE];

    (void) snprintf(file, sizeof(file), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    if (sandbox_disk_remove(conn, file, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    SANDBOX_CRASH_POINT("unsnap.state.after");
    (void) snprintf(file, sizeof(file), "%s.", id);

    /* nothing can be started from it any more: who has begun shows here */
    if (sandbox_checkpoint_unused(conn, id, err) != SANDBOX_HV_OK
        || sandbox_checkpoint_names_of(conn, file, &names, &n, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_RAM)) {
            (void) sandbox_disk_remove(conn, names[i], err);
        }
    }

    sandbox_disk_names_free(names, n);
    sandbox_memory_remove(id);

    /* who has begun since then has failed without its memory, or shows now */
    return err->status == SANDBOX_HV_OK
               ? sandbox_checkpoint_clean(conn, id, 0, err)
               : err->status;
}


static sandbox_hv_status_t
checkpoint_discard(sandbox_hv_conn_t *conn, const char *id, const char *uuid,
                   sandbox_hv_error_t *err)
{
    sandbox_domain_turn_t turn;

    sandbox_domain_enter(&turn, id);

    if (sandbox_checkpoint_unused(conn, id, err) == SANDBOX_HV_OK
        && sandbox_domain_end(conn, uuid, err) == SANDBOX_HV_OK)
    {
        (void) sandbox_checkpoint_remove(conn, id, err);
    }

    sandbox_domain_leave(&turn);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_discard(const char *id, sandbox_hv_error_t *err)
{
    int lock;
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_hv_conn_t *conn;
    sandbox_hv_error_t ignored;

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    if (sandbox_id_uuid(uuid, id) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"", id);
    }

    lock = -1;

    if (sandbox_checkpoint_is_shape(id)) {
        lock = sandbox_checkpoint_lock(
            sandbox_time_monotonic_ms() + CHECKPOINT_LOCK_MS, err);
        if (lock == -1) {
            return err->status;
        }
    }

    (void) checkpoint_discard(conn, id, uuid, err);

    if (lock != -1) {
        (void) close(lock);
    }

    /* what it alone stood on; what is left of that goes with a sweep */
    if (err->status == SANDBOX_HV_OK) {
        (void) sandbox_checkpoint_collect(&ignored);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_collect(sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    return sandbox_checkpoint_clean(conn, NULL, SANDBOX_CHECKPOINT_GRACE_MS,
                                    err);
}
