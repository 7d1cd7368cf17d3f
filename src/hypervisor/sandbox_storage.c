/* The directory of disks as a whole; see the header. */

#include "sandbox_storage.h"

#include "sandbox_checkpoint_refs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    sandbox_storage_look_t *look;
    sandbox_hv_conn_t *conn;
    sandbox_checkpoint_refs_t refs;
    char **names;
    size_t n;
} storage_t;


static void
storage_kind(sandbox_storage_file_t *file)
{
    if (sandbox_id_parse(file->id, "sb", file->name, strcspn(file->name, "."))
            == 0
        && sandbox_checkpoint_ends(file->name, SANDBOX_CHECKPOINT_DISK))
    {
        file->kind = SANDBOX_STORAGE_OVERLAY;

    } else if (sandbox_checkpoint_id(file->id, file->name) != 0) {
        file->id[0] = '\0';

    } else if (sandbox_checkpoint_ends(file->name, SANDBOX_CHECKPOINT_SUFFIX)) {
        file->kind = SANDBOX_STORAGE_STATE;

    } else if (sandbox_checkpoint_ends(file->name, SANDBOX_CHECKPOINT_RAM)) {
        file->kind = SANDBOX_STORAGE_MEMORY;

    } else if (sandbox_checkpoint_ends(file->name, SANDBOX_CHECKPOINT_DISK)) {
        file->kind = SANDBOX_STORAGE_LAYER;

    } else {
        file->id[0] = '\0';
    }
}


static void
storage_needed(sandbox_storage_file_t *file, const char *by, const char *why)
{
    file->need = SANDBOX_STORAGE_NEEDED;
    file->why = why;
    (void) snprintf(file->by, sizeof(file->by), "%s", by);
}


static void
storage_spare(const storage_t *s, sandbox_storage_file_t *file, const char *why)
{
    file->need = file->age_ms >= s->look->grace_ms ? SANDBOX_STORAGE_SPARE
                                                   : SANDBOX_STORAGE_YOUNG;
    file->why = why;
}


static void
storage_judge_overlay(const storage_t *s, sandbox_storage_file_t *file)
{
    const sandbox_checkpoint_ref_t *ref;

    ref = sandbox_checkpoint_refs_file(&s->refs, file->name);

    if (ref || sandbox_checkpoint_refs_domain(&s->refs, file->id)) {
        storage_needed(file, ref ? ref->by : file->id, "the disk of");
    } else {
        storage_spare(s, file, "its sandbox does not run");
    }
}


static void
storage_judge_state(const storage_t *s, sandbox_storage_file_t *file)
{
    const sandbox_checkpoint_ref_t *ref;

    ref = sandbox_checkpoint_refs_id(&s->refs, file->id, 1);

    if (ref) {
        storage_needed(file, ref->by, "runs from it:");

    } else if (sandbox_checkpoint_refs_domain(&s->refs, file->id)) {
        storage_needed(file, "", "it is being made");

    } else if (!sandbox_checkpoint_refs_read(&s->refs, file->id)) {
        storage_spare(s, file, "it is torn");

    } else if (sandbox_checkpoint_is_shape(file->id)) {
        storage_needed(file, "", "a boot checkpoint");

    } else if (s->look->known == NULL) {
        storage_needed(file, "", "a checkpoint");

    } else if (s->look->known(s->look->data, file->id)) {
        storage_needed(file, "", "a checkpoint that has a record");

    } else {
        storage_spare(s, file, "a checkpoint without a record");
    }
}


static void
storage_judge_part(const storage_t *s, sandbox_storage_file_t *file)
{
    const sandbox_checkpoint_ref_t *ref;

    switch (sandbox_checkpoint_refs_needed(&s->refs, s->names, s->n, file->id,
                                           file->name))
    {
    case SANDBOX_CHECKPOINT_NEEDED:
        ref = sandbox_checkpoint_refs_file(&s->refs, file->name);
        storage_needed(file, ref->by,
                       ref->domain ? "runs from it:" : "is part of");
        break;

    case SANDBOX_CHECKPOINT_MAKING:
        storage_needed(file, "", "it is being made");
        break;

    case SANDBOX_CHECKPOINT_UNREAD:
        storage_needed(file, file->id, "goes with");
        break;

    default:
        if (s->refs.unsettled) {
            storage_needed(file, "", "a sandbox is being taken");
        } else {
            storage_spare(s, file, "nothing needs it");
        }
    }
}


/* 1 for a checkpoint without a record that no domain runs from, past grace. */
static int
storage_is_forgotten(const storage_t *s, const char *id)
{
    char state[SANDBOX_CHECKPOINT_NAME_SIZE];

    (void) snprintf(state, sizeof(state), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    return s->look->known && !sandbox_checkpoint_is_shape(id)
           && !s->look->known(s->look->data, id)
           && sandbox_checkpoint_refs_id(&s->refs, id, 1) == NULL
           && !sandbox_checkpoint_refs_domain(&s->refs, id)
           && sandbox_disk_age(state) >= s->look->grace_ms;
}


/*
 * Marks the references made by such checkpoints as not counted, so that their
 * files are spare, too.
 */
static void
storage_forget(storage_t *s)
{
    size_t i;
    sandbox_checkpoint_ref_t *ref;

    for (i = 0; i < s->refs.n; i++) {
        ref = &s->refs.list[i];

        if (!ref->domain && storage_is_forgotten(s, ref->by)) {
            ref->forgotten = 1;
        }
    }
}


static sandbox_hv_status_t
storage_judge(const storage_t *s, const char *name,
              sandbox_storage_file_t *file, sandbox_hv_error_t *err)
{
    int64_t length;

    memset(file, 0, sizeof(*file));
    (void) snprintf(file->name, sizeof(file->name), "%s", name);
    file->age_ms = sandbox_disk_age(name);
    file->why = "not ours";

    if (sandbox_disk_size(s->conn, name, &length, &file->bytes, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    storage_kind(file);

    switch (file->kind) {
    case SANDBOX_STORAGE_OVERLAY:
        storage_judge_overlay(s, file);
        break;
    case SANDBOX_STORAGE_STATE:
        storage_judge_state(s, file);
        break;
    case SANDBOX_STORAGE_MEMORY:
    case SANDBOX_STORAGE_LAYER:
        storage_judge_part(s, file);
        break;
    default:
        break;
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_storage_list(sandbox_storage_look_t *look,
                     sandbox_storage_file_t **list, size_t *n,
                     sandbox_hv_error_t *err)
{
    size_t i;
    storage_t s;

    *list = NULL;
    *n = 0;
    memset(&s, 0, sizeof(s));
    s.look = look;

    s.conn = sandbox_hv_connection(err);
    if (s.conn == NULL
        || sandbox_disk_names(s.conn, "", &s.names, &s.n, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (sandbox_checkpoint_refs(s.conn, &s.refs, err) == SANDBOX_HV_OK) {
        look->unsettled = s.refs.unsettled;
        storage_forget(&s);
        *list = calloc(s.n + 1, sizeof(**list));

        if (*list == NULL) {
            (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        }

        for (i = 0; i < s.n && err->status == SANDBOX_HV_OK; i++) {
            (void) storage_judge(&s, s.names[i], &(*list)[i], err);
        }

        *n = s.n;
    }

    sandbox_checkpoint_refs_free(&s.refs);
    sandbox_disk_names_free(s.names, s.n);

    if (err->status != SANDBOX_HV_OK) {
        free(*list);
        *list = NULL;
        *n = 0;
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_storage_remove(const sandbox_storage_file_t *file,
                       sandbox_hv_error_t *err)
{
    sandbox_hv_conn_t *conn;

    if (file->need != SANDBOX_STORAGE_SPARE) {
        return sandbox_hv_set(err, SANDBOX_HV_IN_USE, "\"%s\" is needed",
                              file->name);
    }

    if (file->kind == SANDBOX_STORAGE_STATE) {
        return sandbox_checkpoint_discard(file->id, err);
    }

    conn = sandbox_hv_connection(err);

    return conn ? sandbox_disk_remove(conn, file->name, err) : err->status;
}
