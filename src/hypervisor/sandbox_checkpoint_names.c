/*
 * What the files of a checkpoint are called, and their size.  A checkpoint is
 * "<id>.state" in the directory of disks and the files that it names; other
 * files called "<id>.*" are layers that something stands on, or parts.
 */

#include "sandbox_checkpoint_refs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_RANDOM_LEN 8


int
sandbox_checkpoint_names(sandbox_checkpoint_names_t *names, const char *id)
{
    char token[SANDBOX_TOKEN_SIZE];

    if (sandbox_token_make(token) != 0) {
        return -1;
    }

    (void) snprintf(names->stem, sizeof(names->stem), "%s.%.*s", id,
                    NAMES_RANDOM_LEN, token);
    (void) snprintf(names->ram, sizeof(names->ram), "%s.ram", names->stem);
    (void) snprintf(names->disk, sizeof(names->disk), "%s.qcow2", names->stem);

    return 0;
}


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


/* 1 if the file is the checkpoint's own memory, disk or state. */
static int
names_own(const char *files, const char *name)
{
    return strcmp(name, files) == 0
           || strcmp(name, files + strlen(files) + 1) == 0
           || sandbox_checkpoint_ends(name, SANDBOX_CHECKPOINT_SUFFIX);
}


sandbox_hv_status_t
sandbox_checkpoint_size(const char *id, int64_t *bytes, sandbox_hv_error_t *err)
{
    int there;
    char *files;
    size_t i, n;
    char prefix[SANDBOX_CHECKPOINT_NAME_SIZE];
    char **names;
    int64_t length, blocks;
    sandbox_hv_conn_t *conn;

    *bytes = 0;
    (void) snprintf(prefix, sizeof(prefix), "%s.", id);

    conn = sandbox_hv_connection(err);
    if (conn == NULL
        || sandbox_disk_names(conn, prefix, &names, &n, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    (void) sandbox_checkpoint_files(conn, id, &files, &there, err);

    for (i = 0; files && i < n && err->status == SANDBOX_HV_OK; i++) {
        if (names_own(files, names[i])
            && sandbox_disk_size(conn, names[i], &length, &blocks, err)
                   == SANDBOX_HV_OK)
        {
            *bytes += blocks;
        }
    }

    free(files);
    sandbox_disk_names_free(names, n);

    if (err->status == SANDBOX_HV_OK && *bytes == 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                              "there is no checkpoint \"%s\"", id);
    }

    return err->status;
}
