/*
 * What checkpoints there are, and their removal.  A checkpoint is all files
 * "<id>.*" of the directory of disks; "<id>.state" vouches for the others, so
 * it goes first.
 */

#include "sandbox_checkpoint_parts.h"
#include "sandbox_time.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long a discard waits for who makes one. */
#define CHECKPOINT_LOCK_MS 10000


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


static int
checkpoint_is_shape(const char *id)
{
    return strncmp(id, SANDBOX_CHECKPOINT_SHAPE_PREFIX,
                   sizeof(SANDBOX_CHECKPOINT_SHAPE_PREFIX) - 1)
           == 0;
}


/* 1 if the domain runs from the checkpoint. */
static int
checkpoint_domain_uses(virDomainPtr domain, const char *id)
{
    int uses;
    char *document, *value;

    document = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                    SANDBOX_HV_NAMESPACE, 0);
    if (document == NULL) {
        return 0;
    }

    value = sandbox_domain_xml_find(document, "/*/@checkpoint");
    uses = value && strcmp(value, id) == 0;

    free(value);
    free(document);

    return uses;
}


static sandbox_hv_status_t
checkpoint_unused_by_domains(sandbox_hv_conn_t *conn, const char *id,
                             sandbox_hv_error_t *err)
{
    int i, count;
    virDomainPtr *domains;

    count = virConnectListAllDomains(conn->virt, &domains, 0);
    if (count < 0) {
        return sandbox_hv_fail(err, conn, "cannot list the domains");
    }

    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

    for (i = 0; i < count; i++) {
        if (err->status == SANDBOX_HV_OK
            && checkpoint_domain_uses(domains[i], id)) {
            (void) sandbox_hv_set(err, SANDBOX_HV_IN_USE,
                                  "\"%s\" runs from \"%s\"",
                                  virDomainGetName(domains[i]), id);
        }

        (void) virDomainFree(domains[i]);
    }

    free(domains);

    /* a domain that could not be asked counts as none: not when all are */
    if (err->status == SANDBOX_HV_OK && virConnectIsAlive(conn->virt) != 1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_UNAVAILABLE,
                              "libvirt went away while listing");
    }

    return err->status;
}


/* 1 if a layer of c is a file of the checkpoint id. */
static int
checkpoint_stands_on(const sandbox_checkpoint_t *c, const char *id)
{
    size_t i;
    char other[SANDBOX_ID_SIZE];
    const char *name;

    for (i = 0; c->layers[i]; i++) {
        name = strrchr(c->layers[i], '/');

        if (name && sandbox_checkpoint_id(other, name + 1) == 0
            && strcmp(other, id) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * OK, or IN_USE if the checkpoint in the file name stands on id, or may do so:
 * one that cannot be read, and has children that run.
 */
static sandbox_hv_status_t
checkpoint_unused_by(sandbox_hv_conn_t *conn, const char *name, const char *id,
                     sandbox_hv_error_t *err)
{
    size_t size, len;
    const char *reason;
    char other[SANDBOX_ID_SIZE];
    unsigned char *data;
    const unsigned char *state;
    sandbox_checkpoint_t c;

    /* shapes stand on templates alone */
    if (sandbox_checkpoint_id(other, name) != 0 || strcmp(other, id) == 0
        || checkpoint_is_shape(other))
    {
        return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
    }

    if (sandbox_disk_get(conn, name, SANDBOX_CHECKPOINT_STATE_MAX, &data, &size,
                         err)
            != SANDBOX_HV_OK
        || data == NULL)
    {
        return err->status;
    }

    if (sandbox_checkpoint_read(&c, data, size, &state, &len, &reason) == 0) {
        if (checkpoint_stands_on(&c, id)) {
            (void) sandbox_hv_set(err, SANDBOX_HV_IN_USE,
                                  "the disk of \"%s\" stands on \"%s\"", other,
                                  id);
        }

        sandbox_checkpoint_free(&c);

    } else {
        /* nothing will start from it, but what has may stand on id */
        (void) checkpoint_unused_by_domains(conn, other, err);
    }

    free(data);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_unused(sandbox_hv_conn_t *conn, const char *id,
                          sandbox_hv_error_t *err)
{
    size_t i, n;
    char **names;

    if (checkpoint_unused_by_domains(conn, id, err) != SANDBOX_HV_OK
        || sandbox_disk_names(conn, "", &names, &n, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_SUFFIX)) {
            (void) checkpoint_unused_by(conn, names[i], id, err);
        }
    }

    sandbox_disk_names_free(names, n);
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

    (void) snprintf(file, sizeof(file), "%s.", id);

    /* nothing can be started from it any more: who has begun shows here */
    if (checkpoint_unused_by_domains(conn, id, err) != SANDBOX_HV_OK
        || sandbox_disk_names(conn, file, &names, &n, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        (void) sandbox_disk_remove(conn, names[i], err);
    }

    sandbox_disk_names_free(names, n);
    return err->status;
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

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    if (sandbox_id_uuid(uuid, id) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"", id);
    }

    lock = -1;

    if (checkpoint_is_shape(id)) {
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


/* The entry of id, made at its end if there is none; list has room. */
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


static sandbox_hv_status_t
checkpoint_inform(sandbox_hv_conn_t *conn, const char *name,
                  sandbox_checkpoint_info_t *info, sandbox_hv_error_t *err)
{
    int torn;
    int64_t length, blocks;
    sandbox_accel_t accel;
    sandbox_checkpoint_t c;

    if (sandbox_disk_size(conn, name, &length, &blocks, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    info->bytes += blocks;

    if (!sandbox_checkpoint_ends(name, SANDBOX_CHECKPOINT_SUFFIX)
        || sandbox_hypervisor_accel(&accel, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (sandbox_checkpoint_load(conn, info->id, accel, &c, NULL, &torn, err)
        == SANDBOX_HV_OK)
    {
        sandbox_checkpoint_free(&c);
        info->whole = 1;

    } else if (err->status == SANDBOX_HV_NO_CHECKPOINT) {
        /* one that another host could start is whole too */
        info->whole = !torn;
        (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_list(sandbox_checkpoint_info_t **list, size_t *n,
                        sandbox_hv_error_t *err)
{
    size_t i, nnames;
    char id[SANDBOX_ID_SIZE];
    char **names;
    sandbox_hv_conn_t *conn;

    *list = NULL;
    *n = 0;

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

    for (i = 0; i < nnames && err->status == SANDBOX_HV_OK; i++) {
        if (sandbox_checkpoint_id(id, names[i]) == 0) {
            (void) checkpoint_inform(conn, names[i],
                                     checkpoint_entry(*list, n, id), err);
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
