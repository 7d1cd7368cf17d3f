/*
 * Which checkpoints there are, and their sizes.  A checkpoint is "<id>.state"
 * in the directory of disks and the files that it names; other files called
 * "<id>.*" are layers that something stands on, or parts.
 */

#include "sandbox_checkpoint_refs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int
sandbox_checkpoint_id(char id[SANDBOX_ID_SIZE], const char *name)
{
    size_t len, prefix;
    char start[SANDBOX_ID_SIZE];

    len = strcspn(name, ".");
    prefix = strcspn(name, "_");

    if (prefix >= len || len >= SANDBOX_ID_SIZE) {
        return -1;
    }

    (void) snprintf(start, sizeof(start), "%.*s", (int) prefix, name);

    /* "sb_….qcow2" is the overlay of a sandbox */
    if (strcmp(start, "sb") == 0 || sandbox_id_parse(id, start, name, len) != 0)
    {
        return -1;
    }

    return 0;
}


int
sandbox_checkpoint_ends(const char *name, const char *suffix)
{
    size_t len, n;

    len = strlen(name);
    n = strlen(suffix);

    return len > n && strcmp(name + len - n, suffix) == 0;
}


int
sandbox_checkpoint_is_shape(const char *id)
{
    return strncmp(id, SANDBOX_CHECKPOINT_SHAPE_PREFIX,
                   sizeof(SANDBOX_CHECKPOINT_SHAPE_PREFIX) - 1)
           == 0;
}


/* The entry of id, appended to the list, which has room, if there is none. */
static sandbox_checkpoint_info_t *
checkpoint_entry(sandbox_checkpoint_info_t *list, size_t *n, const char *id)
{
    size_t i;

    for (i = 0; i < *n; i++) {
        if (strcmp(list[i].id, id) == 0) {
            return &list[i];
        }
    }

    memset(&list[*n], 0, sizeof(list[*n]));
    (void) snprintf(list[*n].id, sizeof(list[*n].id), "%s", id);

    return &list[(*n)++];
}


/* 1 if the file is the checkpoint's own memory, disk or state. */
static int
checkpoint_owns(const char *files, const char *name)
{
    return strcmp(name, files) == 0
           || strcmp(name, files + strlen(files) + 1) == 0
           || sandbox_checkpoint_ends(name, SANDBOX_CHECKPOINT_SUFFIX);
}


/* names: all files of the directory. */
static sandbox_hv_status_t
checkpoint_sum(sandbox_hv_conn_t *conn, char **names, size_t n,
               sandbox_checkpoint_info_t *info, sandbox_hv_error_t *err)
{
    int there;
    char *files;
    size_t i, len;
    int64_t length, blocks;

    len = strlen(info->id);

    if (sandbox_checkpoint_files(conn, info->id, &files, &there, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (strncmp(names[i], info->id, len) != 0 || names[i][len] != '.'
            || sandbox_disk_size(conn, names[i], &length, &blocks, err)
                   != SANDBOX_HV_OK)
        {
            continue;
        }

        if (files && checkpoint_owns(files, names[i])) {
            info->bytes += blocks;
        } else {
            info->left += blocks;
        }
    }

    free(files);
    return err->status;
}


static sandbox_hv_status_t
checkpoint_inform(sandbox_hv_conn_t *conn, sandbox_accel_t accel,
                  sandbox_checkpoint_info_t *info, sandbox_hv_error_t *err)
{
    int torn;
    sandbox_checkpoint_t c;

    if (sandbox_checkpoint_load(conn, info->id, accel, &c, NULL, &torn, err)
        == SANDBOX_HV_OK)
    {
        sandbox_checkpoint_free(&c);
        info->whole = 1;

    } else if (err->status == SANDBOX_HV_NO_CHECKPOINT) {
        /* a checkpoint that only another host could start is whole too */
        info->whole = info->bytes > 0 && !torn;
        (void) sandbox_hv_ok(err);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_size(const char *id, int64_t *bytes, sandbox_hv_error_t *err)
{
    size_t n;
    char prefix[SANDBOX_CHECKPOINT_NAME_SIZE];
    char **names;
    sandbox_hv_conn_t *conn;
    sandbox_checkpoint_info_t info;

    *bytes = 0;
    memset(&info, 0, sizeof(info));
    (void) snprintf(info.id, sizeof(info.id), "%s", id);
    (void) snprintf(prefix, sizeof(prefix), "%s.", id);

    conn = sandbox_hv_connection(err);
    if (conn == NULL
        || sandbox_disk_names(conn, prefix, &names, &n, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    (void) checkpoint_sum(conn, names, n, &info, err);
    sandbox_disk_names_free(names, n);

    if (err->status == SANDBOX_HV_OK && info.bytes == 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                              "there is no checkpoint \"%s\"", id);
    }

    *bytes = info.bytes;
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_list(sandbox_checkpoint_info_t **list, size_t *n,
                        sandbox_hv_error_t *err)
{
    size_t i, nnames;
    char id[SANDBOX_ID_SIZE];
    char **names;
    sandbox_accel_t accel;
    sandbox_hv_conn_t *conn;

    *list = NULL;
    *n = 0;

    if (sandbox_hypervisor_accel(&accel, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    conn = sandbox_hv_connection(err);
    if (conn == NULL
        || sandbox_disk_names(conn, "", &names, &nnames, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    *list = calloc(nnames + 1, sizeof(**list));
    if (*list == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    for (i = 0; *list && i < nnames; i++) {
        if (sandbox_checkpoint_id(id, names[i]) == 0) {
            (void) checkpoint_entry(*list, n, id);
        }
    }

    for (i = 0; i < *n && err->status == SANDBOX_HV_OK; i++) {
        if (checkpoint_sum(conn, names, nnames, &(*list)[i], err)
            == SANDBOX_HV_OK) {
            (void) checkpoint_inform(conn, accel, &(*list)[i], err);
        }
    }

    sandbox_disk_names_free(names, nnames);

    if (err->status != SANDBOX_HV_OK) {
        free(*list);
        *list = NULL;
        *n = 0;
    }

    return err->status;
}
