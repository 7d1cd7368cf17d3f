/*
 * What there is in the directory of disks, and who needs it.  The product asks
 * none of this for itself, so the answers are put together here, of private
 * functions of the room.
 */

#include "drive.h"

#include "sandbox_checkpoint_refs.h"

#include <stdio.h>
#include <string.h>


/* The blocks of the files called "<id>.*", in bytes. */
static sandbox_hv_status_t
drive_blocks(sandbox_hv_conn_t *conn, const char *id, int64_t *bytes,
             sandbox_hv_error_t *err)
{
    size_t i, n;
    int64_t length, blocks;
    char prefix[SANDBOX_HV_STEM_SIZE];
    char **names;

    *bytes = 0;
    (void) snprintf(prefix, sizeof(prefix), "%s.", id);

    if (sandbox_disk_names(conn, prefix, &names, &n, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (sandbox_disk_size(conn, names[i], &length, &blocks, err)
            == SANDBOX_HV_OK) {
            *bytes += blocks;
        }
    }

    sandbox_disk_names_free(names, n);
    return err->status;
}


/*
 * whole=0: only parts (being made, or failed), or a layer.  bytes: of memory,
 * disk and state; left: of other files of its name.
 */
static sandbox_hv_status_t
drive_checkpoint(sandbox_hv_conn_t *conn, sandbox_accel_t accel, const char *id,
                 sandbox_hv_error_t *err)
{
    int whole, torn;
    int64_t bytes, all;
    sandbox_checkpoint_t c;

    if (sandbox_checkpoint_size(id, &bytes, err) != SANDBOX_HV_OK
        && err->status != SANDBOX_HV_NO_CHECKPOINT)
    {
        return err->status;
    }

    if (drive_blocks(conn, id, &all, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    whole = 0;

    if (sandbox_checkpoint_load(conn, id, accel, &c, NULL, &torn, err)
        == SANDBOX_HV_OK)
    {
        sandbox_checkpoint_free(&c);
        whole = 1;

    } else if (err->status == SANDBOX_HV_NO_CHECKPOINT) {
        /* a checkpoint that only another host could start is whole too */
        whole = bytes > 0 && !torn;

    } else {
        return err->status;
    }

    (void) printf("checkpoint %s whole=%d bytes=%lld left=%lld\n", id, whole,
                  (long long) bytes, (long long) (all - bytes));

    return sandbox_hv_ok(err);
}


int
drive_checkpoints(void)
{
    size_t i, n;
    char id[SANDBOX_ID_SIZE], last[SANDBOX_ID_SIZE];
    char **names;
    sandbox_accel_t accel;
    sandbox_hv_conn_t *conn;
    sandbox_hv_error_t err;

    conn = sandbox_hv_connection(&err);

    if (conn == NULL || sandbox_hypervisor_accel(&accel, &err) != SANDBOX_HV_OK
        || sandbox_disk_names(conn, "", &names, &n, &err) != SANDBOX_HV_OK)
    {
        return drive_failed("checkpoints", "-", &err);
    }

    last[0] = '\0';

    /* sorted, so the files of one follow each other */
    for (i = 0; i < n && err.status == SANDBOX_HV_OK; i++) {
        if (sandbox_checkpoint_id(id, names[i]) == 0 && strcmp(id, last) != 0) {
            (void) snprintf(last, sizeof(last), "%s", id);
            (void) drive_checkpoint(conn, accel, id, &err);
        }
    }

    sandbox_disk_names_free(names, n);

    return err.status == SANDBOX_HV_OK ? 0
                                       : drive_failed("checkpoints", "-", &err);
}


/* So many times. */
int
drive_collect(int times)
{
    sandbox_hv_conn_t *conn;
    sandbox_hv_error_t err;

    while (times-- > 0) {
        conn = sandbox_hv_connection(&err);

        if (conn == NULL
            || sandbox_checkpoint_clean(conn, NULL, &err) != SANDBOX_HV_OK) {
            return drive_failed("collect", "-", &err);
        }
    }

    return 0;
}


/*
 * 1: a domain runs from the checkpoint's memory, the disk of a domain or of
 * another checkpoint stands on its disk, or that cannot be told.
 */
int
drive_used(const drive_job_t *job)
{
    int used;
    sandbox_hv_conn_t *conn;
    sandbox_hv_error_t err;
    sandbox_checkpoint_refs_t refs;

    memset(&refs, 0, sizeof(refs));
    conn = sandbox_hv_connection(&err);

    if (conn == NULL
        || sandbox_checkpoint_refs(conn, &refs, &err) != SANDBOX_HV_OK) {
        sandbox_checkpoint_refs_free(&refs);
        return drive_failed("used", job->id, &err);
    }

    used = refs.unsettled || sandbox_checkpoint_refs_id(&refs, job->id, 0);
    sandbox_checkpoint_refs_free(&refs);

    (void) printf("used %s %d\n", job->id, used);
    return 0;
}


static sandbox_hv_status_t
drive_disk_size(const char *sandbox, int64_t *bytes, sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv_connection(err);

    return conn ? drive_blocks(conn, sandbox, bytes, err) : err->status;
}


/* What the checkpoint takes, or the disk of the sandbox. */
int
drive_size(const drive_job_t *job)
{
    int64_t bytes;
    sandbox_hv_error_t err;

    if ((strncmp(job->id, "sb_", 3) == 0
             ? drive_disk_size(job->id, &bytes, &err)
             : sandbox_checkpoint_size(job->id, &bytes, &err))
        != SANDBOX_HV_OK)
    {
        return drive_failed("size", job->id, &err);
    }

    (void) printf("size %s %lld\n", job->id, (long long) bytes);
    return 0;
}
