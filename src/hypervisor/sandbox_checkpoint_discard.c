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
#include <sys/stat.h>
#include <unistd.h>

/* How long a discard waits for who makes one. */
#define CHECKPOINT_LOCK_MS 10000


/* IN_USE if a domain runs from its memory. */
static sandbox_hv_status_t
checkpoint_unused(const sandbox_checkpoint_refs_t *refs, const char *id,
                  sandbox_hv_error_t *err)
{
    const sandbox_checkpoint_ref_t *ref;

    ref = sandbox_checkpoint_refs_id(refs, id, 1);

    return ref ? sandbox_hv_set(err, SANDBOX_HV_IN_USE,
                                "\"%s\" runs from \"%s\"", ref->by, id)
               : err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_unused(sandbox_hv_conn_t *conn, const char *id,
                          sandbox_hv_error_t *err)
{
    sandbox_checkpoint_refs_t refs;

    memset(&refs, 0, sizeof(refs));
    refs.memories = 1;

    if (sandbox_checkpoint_refs_domains(conn, &refs, err) == SANDBOX_HV_OK) {
        (void) checkpoint_unused(&refs, id, err);
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
    if (conn == NULL) {
        return err->status;
    }

    memset(&refs, 0, sizeof(refs));

    /* while nobody can tell it is */
    if (sandbox_checkpoint_refs(conn, &refs, err) == SANDBOX_HV_OK) {
        *used = refs.unsettled || sandbox_checkpoint_refs_id(&refs, id, 0);
    }

    sandbox_checkpoint_refs_free(&refs);
    return err->status;
}


typedef struct {
    sandbox_hv_conn_t *conn;
    sandbox_checkpoint_refs_t refs;
    const char *only; /* whatever their age; NULL: there are none such */
    char **names;     /* sorted, from before the first look */
    size_t n;
} checkpoint_clean_t;


/* What it was called to remove. */
static int
checkpoint_is_asked_for(const checkpoint_clean_t *clean, const char *name)
{
    return clean->only && strncmp(clean->only, name, strlen(clean->only)) == 0;
}


/* 1 if the file, a memory or a disk, is to be removed. */
static int
checkpoint_is_spare(const checkpoint_clean_t *clean, const char *name)
{
    char id[SANDBOX_ID_SIZE];

    if (sandbox_checkpoint_id(id, name) != 0
        || sandbox_checkpoint_refs_needed(&clean->refs, clean->names, clean->n,
                                          id, name)
               != SANDBOX_CHECKPOINT_SPARE)
    {
        return 0;
    }

    return checkpoint_is_asked_for(clean, name)
           || sandbox_disk_age(name) >= SANDBOX_CHECKPOINT_GRACE_MS;
}


/*
 * 1 if there is such a state no more: who discards it may not be done, and who
 * starts from it not seen yet, nor what that stands on.
 */
static int
checkpoint_is_going(const checkpoint_clean_t *clean)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];
    struct stat st;

    for (i = 0; i < clean->n; i++) {
        if (sandbox_checkpoint_ends(clean->names[i], SANDBOX_CHECKPOINT_SUFFIX)
            && sandbox_checkpoint_id(id, clean->names[i]) == 0
            && !sandbox_checkpoint_refs_read(&clean->refs, id)
            && sandbox_disk_stat(clean->names[i], &st) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Those that end in suffix; *removed counts them.  What cannot be removed of
 * others stays till the next time.
 */
static sandbox_hv_status_t
checkpoint_clean_names(const checkpoint_clean_t *clean, const char *suffix,
                       size_t *removed, sandbox_hv_error_t *err)
{
    int going;
    size_t i;
    sandbox_hv_error_t failed;

    *removed = 0;
    going = checkpoint_is_going(clean);

    for (i = 0; i < clean->n; i++) {
        if (!sandbox_checkpoint_ends(clean->names[i], suffix)
            || !checkpoint_is_spare(clean, clean->names[i])
            || (going && !checkpoint_is_asked_for(clean, clean->names[i])))
        {
            continue;
        }

        if (sandbox_disk_remove(clean->conn, clean->names[i], &failed)
            == SANDBOX_HV_OK) {
            (*removed)++;
            sandbox_hv_log(SANDBOX_HV_LOG_NOTICE,
                           "\"%s\" is removed: nothing needs it",
                           clean->names[i]);

        } else if (clean->only == NULL
                   || checkpoint_is_asked_for(clean, clean->names[i]))
        {
            *err = failed;
            break;
        }
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


/* First the names: what comes later is not looked at. */
static sandbox_hv_status_t
checkpoint_clean_begin(checkpoint_clean_t *clean, sandbox_hv_conn_t *conn,
                       const char *only, sandbox_hv_error_t *err)
{
    memset(clean, 0, sizeof(*clean));
    clean->conn = conn;
    clean->only = only;

    return sandbox_disk_names(conn, "", &clean->names, &clean->n, err);
}


/* Goes on with what was seen so far. */
static sandbox_hv_status_t
checkpoint_clean(checkpoint_clean_t *clean, sandbox_hv_error_t *err)
{
    size_t memories, disks;

    /* a look at the names may tell that there is nothing to be removed */
    if (!checkpoint_names_spare(clean->names, clean->n)) {
        return err->status;
    }

    /* who cannot tell removes nothing */
    if (sandbox_checkpoint_refs(clean->conn, &clean->refs, err) != SANDBOX_HV_OK
        || clean->refs.unsettled
        || checkpoint_clean_names(clean, SANDBOX_CHECKPOINT_RAM, &memories, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    /* who has begun from one whose discarder died fails now, or shows */
    if (memories
        && (sandbox_checkpoint_refs_domains(clean->conn, &clean->refs, err)
                != SANDBOX_HV_OK
            || clean->refs.unsettled))
    {
        return err->status;
    }

    return checkpoint_clean_names(clean, SANDBOX_CHECKPOINT_DISK, &disks, err);
}


static void
checkpoint_clean_free(checkpoint_clean_t *clean)
{
    sandbox_checkpoint_refs_free(&clean->refs);
    sandbox_disk_names_free(clean->names, clean->n);
}


sandbox_hv_status_t
sandbox_checkpoint_clean(sandbox_hv_conn_t *conn, const char *only,
                         sandbox_hv_error_t *err)
{
    checkpoint_clean_t clean;

    if (checkpoint_clean_begin(&clean, conn, only, err) == SANDBOX_HV_OK) {
        (void) checkpoint_clean(&clean, err);
    }

    checkpoint_clean_free(&clean);
    return err->status;
}


/* The file that vouches for it goes, and is none of the names any more. */
static sandbox_hv_status_t
checkpoint_remove_state(checkpoint_clean_t *clean, const char *id,
                        sandbox_hv_error_t *err)
{
    size_t i, kept;
    char file[SANDBOX_CHECKPOINT_NAME_SIZE];

    (void) snprintf(file, sizeof(file), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    if (sandbox_disk_remove(clean->conn, file, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    SANDBOX_CRASH_POINT("unsnap.state.after");
    kept = 0;

    for (i = 0; i < clean->n; i++) {
        if (strcmp(clean->names[i], file) == 0) {
            free(clean->names[i]);
        } else {
            clean->names[kept++] = clean->names[i];
        }
    }

    clean->n = kept;
    return err->status;
}


static sandbox_hv_status_t
checkpoint_remove_memory(checkpoint_clean_t *clean, const char *id,
                         sandbox_hv_error_t *err)
{
    size_t i, len, kept;
    char *name;

    len = strlen(id);
    kept = 0;

    for (i = 0; i < clean->n; i++) {
        name = clean->names[i];

        if (err->status == SANDBOX_HV_OK && strncmp(name, id, len) == 0
            && name[len] == '.'
            && sandbox_checkpoint_ends(name, SANDBOX_CHECKPOINT_RAM)
            && sandbox_disk_remove(clean->conn, name, err) == SANDBOX_HV_OK)
        {
            free(name);
        } else {
            clean->names[kept++] = name;
        }
    }

    clean->n = kept;
    sandbox_memory_remove(id);

    return err->status;
}


/* After a look at the domains. */
static sandbox_hv_status_t
checkpoint_remove(checkpoint_clean_t *clean, const char *id,
                  sandbox_hv_error_t *err)
{
    if (checkpoint_remove_state(clean, id, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    /* nothing can be started from it any more: who has begun shows here */
    if (sandbox_checkpoint_refs_domains(clean->conn, &clean->refs, err)
            != SANDBOX_HV_OK
        || checkpoint_unused(&clean->refs, id, err) != SANDBOX_HV_OK
        || checkpoint_remove_memory(clean, id, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    /* who has begun since then has failed without its memory, or shows now */
    return checkpoint_clean(clean, err);
}


sandbox_hv_status_t
sandbox_checkpoint_remove(sandbox_hv_conn_t *conn, const char *id, int whole,
                          sandbox_hv_error_t *err)
{
    checkpoint_clean_t clean;

    if (checkpoint_clean_begin(&clean, conn, id, err) == SANDBOX_HV_OK
        && sandbox_checkpoint_refs_domains(conn, &clean.refs, err)
               == SANDBOX_HV_OK
        && (!whole || checkpoint_unused(&clean.refs, id, err) == SANDBOX_HV_OK))
    {
        (void) checkpoint_remove(&clean, id, err);
    }

    checkpoint_clean_free(&clean);
    return err->status;
}


/* The domain of one that was being made or taken when its maker died. */
static sandbox_hv_status_t
checkpoint_end_maker(checkpoint_clean_t *clean, const char *id,
                     const char *uuid, sandbox_hv_error_t *err)
{
    if (sandbox_domain_end(clean->conn, uuid, err) != SANDBOX_HV_OK
        || !sandbox_checkpoint_refs_domain(&clean->refs, id))
    {
        return err->status;
    }

    /* it needs nothing any more */
    sandbox_checkpoint_refs_free(&clean->refs);

    return sandbox_checkpoint_refs_domains(clean->conn, &clean->refs, err);
}


static sandbox_hv_status_t
checkpoint_discard(sandbox_hv_conn_t *conn, const char *id, const char *uuid,
                   sandbox_hv_error_t *err)
{
    checkpoint_clean_t clean;
    sandbox_domain_turn_t turn;

    sandbox_domain_enter(&turn, id);

    if (checkpoint_clean_begin(&clean, conn, id, err) == SANDBOX_HV_OK
        && sandbox_checkpoint_refs_domains(conn, &clean.refs, err)
               == SANDBOX_HV_OK
        && checkpoint_unused(&clean.refs, id, err) == SANDBOX_HV_OK
        && checkpoint_end_maker(&clean, id, uuid, err) == SANDBOX_HV_OK)
    {
        (void) checkpoint_remove(&clean, id, err);
    }

    checkpoint_clean_free(&clean);
    sandbox_domain_leave(&turn);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_discard(const char *id, sandbox_hv_error_t *err)
{
    int lock;
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_hv_conn_t *conn;

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

    return sandbox_checkpoint_clean(conn, NULL, err);
}
