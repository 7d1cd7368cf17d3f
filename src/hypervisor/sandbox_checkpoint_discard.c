/*
 * The end of checkpoints, and of layers.
 *
 * A discard removes "<id>.state" first, so that nothing begins to start from
 * the checkpoint, then its memory.  Its disk stays as a layer as long as the
 * disk of a domain or of another checkpoint stands on it.  A layer has no
 * record of its own: it is a disk whose checkpoint is gone, and is removed when
 * nothing needs it (sandbox_checkpoint_refs.h).
 *
 * A file whose time of change is within the grace stays, because its domain or
 * its "<id>.state" may be still to come.
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

/* How long a discard waits for the lock of a maker. */
#define CHECKPOINT_LOCK_MS 10000


/* IN_USE if a domain runs from the checkpoint's memory. */
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


typedef struct {
    sandbox_hv_conn_t *conn;
    sandbox_checkpoint_refs_t refs;
    const char *only; /* prefix of names whose age is no matter, or NULL */
    char **names;     /* sorted, from before the first look */
    size_t n;
} checkpoint_clean_t;


/* 1 if the caller has asked for this file, whatever its age. */
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
 * 1 if a listed state was not read and does not exist any more: its discard may
 * still be in progress, and a start from it, with all that needs, not seen yet.
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
 * Removes spare files that end in suffix; *removed counts them.  A file that
 * the caller has not asked for and that cannot be removed stays till the next
 * time.
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


/*
 * 1 if a checkpoint may have a spare file.  names are sorted: those of one
 * checkpoint come one after the other.
 */
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


/* Lists the names first: files that are made later are not judged. */
static sandbox_hv_status_t
checkpoint_clean_begin(checkpoint_clean_t *clean, sandbox_hv_conn_t *conn,
                       const char *only, sandbox_hv_error_t *err)
{
    memset(clean, 0, sizeof(*clean));
    clean->conn = conn;
    clean->only = only;

    return sandbox_disk_names(conn, "", &clean->names, &clean->n, err);
}


/* Looks further, beyond what clean->refs has seen, and removes. */
static sandbox_hv_status_t
checkpoint_clean(checkpoint_clean_t *clean, sandbox_hv_error_t *err)
{
    size_t memories, disks;

    /* the names alone may tell that there is nothing to be removed */
    if (!checkpoint_names_spare(clean->names, clean->n)) {
        return err->status;
    }

    /* nothing is removed as long as it cannot be told what is needed */
    if (sandbox_checkpoint_refs(clean->conn, &clean->refs, err) != SANDBOX_HV_OK
        || clean->refs.unsettled
        || checkpoint_clean_names(clean, SANDBOX_CHECKPOINT_RAM, &memories, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    /*
     * after a discard whose process died, a start from that checkpoint fails
     * without the memory from now on, or its domain is seen here
     */
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


/* Removes "<id>.state", also from the list of names. */
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


/* Called after a first look at the domains. */
static sandbox_hv_status_t
checkpoint_remove(checkpoint_clean_t *clean, const char *id,
                  sandbox_hv_error_t *err)
{
    if (checkpoint_remove_state(clean, id, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    /* no start can begin any more: one that has begun is seen here */
    if (sandbox_checkpoint_refs_domains(clean->conn, &clean->refs, err)
            != SANDBOX_HV_OK
        || checkpoint_unused(&clean->refs, id, err) != SANDBOX_HV_OK
        || checkpoint_remove_memory(clean, id, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    /* a start that has not mapped the memory has failed; others are seen now */
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


/* Ends the domain of a checkpoint whose maker or taker has died. */
static sandbox_hv_status_t
checkpoint_end_maker(checkpoint_clean_t *clean, const char *id,
                     const char *uuid, sandbox_hv_error_t *err)
{
    if (sandbox_domain_end(clean->conn, uuid, err) != SANDBOX_HV_OK
        || !sandbox_checkpoint_refs_domain(&clean->refs, id))
    {
        return err->status;
    }

    /* the domain needs nothing any more: look anew */
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
