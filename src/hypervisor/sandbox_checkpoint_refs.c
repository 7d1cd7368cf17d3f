/* Who needs which file; see the header. */

#include "sandbox_checkpoint_refs.h"
#include "sandbox_domain_files.h"
#include "sandbox_time.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFS_DRAIN_MS 5000
#define REFS_ROOM 64          /* how many are added at once */
#define REFS_HEAD (64 * 1024) /* of a state: its JSON is shorter, as a rule */


static sandbox_hv_status_t
refs_add(sandbox_checkpoint_refs_t *refs, const char *file, const char *by,
         int domain, int memory, sandbox_hv_error_t *err)
{
    sandbox_checkpoint_ref_t *ref, *list;

    /* none of ours is as long */
    if (strlen(file) >= SANDBOX_CHECKPOINT_NAME_SIZE) {
        return err->status;
    }

    if (refs->n == refs->size) {
        list = realloc(refs->list, (refs->size + REFS_ROOM) * sizeof(*list));
        if (list == NULL) {
            return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        }

        refs->list = list;
        refs->size += REFS_ROOM;
    }

    ref = &refs->list[refs->n++];
    memset(ref, 0, sizeof(*ref));
    (void) snprintf(ref->file, sizeof(ref->file), "%s", file);
    (void) snprintf(ref->by, sizeof(ref->by), "%s", by);
    ref->domain = domain ? 1 : 0;
    ref->memory = memory ? 1 : 0;

    return err->status;
}


/* By its last part alone, whatever the directory was called when it began. */
static sandbox_hv_status_t
refs_path(sandbox_checkpoint_refs_t *refs, const char *path, const char *by,
          int domain, int memory, sandbox_hv_error_t *err)
{
    const char *name;

    name = strrchr(path, '/');
    return refs_add(refs, name ? name + 1 : path, by, domain, memory, err);
}


/* 1 if it should be in our directory and is not. */
static int
refs_is_missing(const char *path)
{
    size_t len;
    char directory[SANDBOX_HV_PATH_SIZE];

    if (sandbox_disk_path(directory, "") != 0) {
        return 0;
    }

    len = strlen(directory);

    return strncmp(path, directory, len) == 0 && strchr(path + len, '/') == NULL
           && access(path, F_OK) == -1 && errno == ENOENT;
}


/*
 * 1 if libvirt does not know what the disk stands on: a layer was renamed when
 * it became a checkpoint's.  What is called after a sandbox is one's own disk
 * only.
 */
static int
refs_is_stale(const sandbox_domain_files_t *files)
{
    size_t i;
    const char *name;

    for (i = 0; i < files->n; i++) {
        name = strrchr(files->layers[i], '/');

        if ((i && name && strncmp(name, "/sb_", 4) == 0)
            || refs_is_missing(files->layers[i]))
        {
            return 1;
        }
    }

    return 0;
}


/* As the headers of the files have it. */
static sandbox_hv_status_t
refs_chain(sandbox_checkpoint_refs_t *refs, virDomainPtr domain,
           sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    size_t i;
    sandbox_hv_error_t failed;
    sandbox_disk_chain_t chain;

    /* what it still sends might keep it from answering */
    if (!sandbox_checkpoint_drain(virDomainGetName(domain),
                                  sandbox_time_monotonic_ms() + REFS_DRAIN_MS)
        || sandbox_disk_chain(conn, domain, &chain, &failed) != SANDBOX_HV_OK)
    {
        /* one that has ended needs nothing, but who can tell */
        refs->unsettled = 1;
        return err->status;
    }

    for (i = 0; i < chain.n; i++) {
        (void) refs_path(refs, chain.layers[i], virDomainGetName(domain), 1, 0,
                         err);

        if (refs_is_missing(chain.layers[i])) {
            refs->unsettled = 1;
        }
    }

    sandbox_disk_chain_free(&chain);
    return err->status;
}


static sandbox_hv_status_t
refs_of_domain(sandbox_checkpoint_refs_t *refs, virDomainPtr domain,
               sandbox_hv_conn_t *conn, int disks, sandbox_hv_error_t *err)
{
    int rc;
    char *xml;
    size_t i;
    const char *name;
    sandbox_domain_files_t files;

    name = virDomainGetName(domain);
    xml = virDomainGetXMLDesc(domain, 0);

    if (xml == NULL) {
        /* one that has ended meanwhile needs nothing */
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN
                   ? err->status
                   : sandbox_hv_fail(err, conn, "cannot look at \"%s\"", name);
    }

    rc = sandbox_domain_files_read(&files, xml);
    free(xml);

    if (rc != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the files of \"%s\" cannot be read", name);
    }

    (void) refs_add(refs, "", name, 1, 0, err);

    if (files.memory) {
        (void) refs_path(refs, files.memory, name, 1, 1, err);
    }

    for (i = 0; disks && i < files.n; i++) {
        (void) refs_path(refs, files.layers[i], name, 1, 0, err);
    }

    if (disks && refs_is_stale(&files)) {
        (void) refs_chain(refs, domain, conn, err);
    }

    sandbox_domain_files_free(&files);
    return err->status;
}


static sandbox_hv_status_t
refs_domains(sandbox_hv_conn_t *conn, sandbox_checkpoint_refs_t *refs,
             int disks, sandbox_hv_error_t *err)
{
    int i, count;
    virDomainPtr *domains;

    count = virConnectListAllDomains(conn->virt, &domains, 0);
    if (count < 0) {
        return sandbox_hv_fail(err, conn, "cannot list the domains");
    }

    for (i = 0; i < count; i++) {
        if (err->status == SANDBOX_HV_OK) {
            (void) refs_of_domain(refs, domains[i], conn, disks, err);
        }

        (void) virDomainFree(domains[i]);
    }

    free(domains);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_head(sandbox_hv_conn_t *conn, const char *id,
                        sandbox_checkpoint_t *c, int *found,
                        sandbox_hv_error_t *err)
{
    size_t size, len;
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];
    const char *reason;
    unsigned char *data;
    const unsigned char *part;

    *found = 0;
    memset(c, 0, sizeof(*c));
    (void) snprintf(name, sizeof(name), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    if (sandbox_disk_head(conn, name, REFS_HEAD, &data, &size, err)
            != SANDBOX_HV_OK
        || data == NULL)
    {
        return err->status;
    }

    *found = sandbox_checkpoint_read_head(c, data, size) == 0;
    free(data);

    if (*found || size < REFS_HEAD) {
        return err->status;
    }

    if (sandbox_disk_get(conn, name, SANDBOX_CHECKPOINT_STATE_MAX, &data, &size,
                         err)
            != SANDBOX_HV_OK
        || data == NULL)
    {
        return err->status;
    }

    *found = sandbox_checkpoint_read(c, data, size, &part, &len, &reason) == 0;
    free(data);

    return err->status;
}


static sandbox_hv_status_t
refs_of_checkpoint(sandbox_hv_conn_t *conn, sandbox_checkpoint_refs_t *refs,
                   const char *id, sandbox_hv_error_t *err)
{
    int found;
    size_t i;
    sandbox_checkpoint_t c;

    if (sandbox_checkpoint_head(conn, id, &c, &found, err) != SANDBOX_HV_OK
        || !found)
    {
        return err->status;
    }

    (void) refs_path(refs, c.ram, id, 0, 1, err);

    for (i = 0; c.layers[i]; i++) {
        (void) refs_path(refs, c.layers[i], id, 0, 0, err);
    }

    sandbox_checkpoint_free(&c);
    return err->status;
}


static int
refs_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


/* "." and "..", which libvirt does not list, nor other hidden ones. */
static void
refs_drop_hidden(char **names, size_t *n)
{
    size_t i, kept;

    kept = 0;

    for (i = 0; i < *n; i++) {
        if (names[i][0] == '.') {
            free(names[i]);
        } else {
            names[kept++] = names[i];
        }
    }

    *n = kept;
}


sandbox_hv_status_t
sandbox_checkpoint_names_of(sandbox_hv_conn_t *conn, const char *prefix,
                            char ***names, size_t *n, sandbox_hv_error_t *err)
{
    if (sandbox_disk_local(prefix, names, n, err) != SANDBOX_HV_OK) {
        return sandbox_disk_names(conn, prefix, names, n, err);
    }

    if (*n > 1) {
        qsort(*names, *n, sizeof(**names), refs_compare);
    }

    refs_drop_hidden(*names, n);
    return err->status;
}


static sandbox_hv_status_t
refs_checkpoints(sandbox_hv_conn_t *conn, sandbox_checkpoint_refs_t *refs,
                 sandbox_hv_error_t *err)
{
    size_t i, n;
    char id[SANDBOX_ID_SIZE];
    char **names;

    if (sandbox_checkpoint_names_of(conn, "", &names, &n, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_SUFFIX)
            && sandbox_checkpoint_id(id, names[i]) == 0)
        {
            (void) refs_of_checkpoint(conn, refs, id, err);
        }
    }

    sandbox_disk_names_free(names, n);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_refs(sandbox_hv_conn_t *conn,
                        sandbox_checkpoint_refs_t *refs,
                        sandbox_hv_error_t *err)
{
    memset(refs, 0, sizeof(*refs));
    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

    if (refs_domains(conn, refs, 1, err) != SANDBOX_HV_OK
        || refs_checkpoints(conn, refs, err) != SANDBOX_HV_OK
        || refs_domains(conn, refs, 1, err) != SANDBOX_HV_OK)
    {
        sandbox_checkpoint_refs_free(refs);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_refs_domains(sandbox_hv_conn_t *conn,
                                sandbox_checkpoint_refs_t *refs,
                                sandbox_hv_error_t *err)
{
    memset(refs, 0, sizeof(*refs));
    (void) sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");

    if (refs_domains(conn, refs, 0, err) != SANDBOX_HV_OK) {
        sandbox_checkpoint_refs_free(refs);
    }

    return err->status;
}


void
sandbox_checkpoint_refs_free(sandbox_checkpoint_refs_t *refs)
{
    free(refs->list);
    memset(refs, 0, sizeof(*refs));
}


const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_file(const sandbox_checkpoint_refs_t *refs,
                             const char *file)
{
    size_t i;

    for (i = 0; i < refs->n; i++) {
        if (strcmp(refs->list[i].file, file) == 0) {
            return &refs->list[i];
        }
    }

    return NULL;
}


const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_id(const sandbox_checkpoint_refs_t *refs,
                           const char *id, int memory_only)
{
    size_t i, len;
    const sandbox_checkpoint_ref_t *ref;

    len = strlen(id);

    for (i = 0; i < refs->n; i++) {
        ref = &refs->list[i];

        if (strncmp(ref->file, id, len) == 0 && ref->file[len] == '.'
            && strcmp(ref->by, id) != 0 && (ref->memory || !memory_only))
        {
            return ref;
        }
    }

    return NULL;
}


int
sandbox_checkpoint_refs_domain(const sandbox_checkpoint_refs_t *refs,
                               const char *name)
{
    size_t i;

    for (i = 0; i < refs->n; i++) {
        if (refs->list[i].domain && strcmp(refs->list[i].by, name) == 0) {
            return 1;
        }
    }

    return 0;
}


/* 1 if there is a state that the look has read nothing in. */
static int
refs_is_unread(const sandbox_checkpoint_refs_t *refs, char **names, size_t n,
               const char *id)
{
    size_t i;
    char state[SANDBOX_CHECKPOINT_NAME_SIZE];

    (void) snprintf(state, sizeof(state), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    for (i = 0; i < refs->n; i++) {
        if (!refs->list[i].domain && strcmp(refs->list[i].by, id) == 0) {
            return 0;
        }
    }

    for (i = 0; i < n; i++) {
        if (strcmp(names[i], state) == 0) {
            return 1;
        }
    }

    return 0;
}


sandbox_checkpoint_need_t
sandbox_checkpoint_refs_needed(const sandbox_checkpoint_refs_t *refs,
                               char **names, size_t n, const char *id,
                               const char *file)
{
    if (sandbox_checkpoint_refs_file(refs, file)) {
        return SANDBOX_CHECKPOINT_NEEDED;
    }

    if (sandbox_checkpoint_refs_domain(refs, id)) {
        return SANDBOX_CHECKPOINT_MAKING;
    }

    return refs_is_unread(refs, names, n, id) ? SANDBOX_CHECKPOINT_UNREAD
                                              : SANDBOX_CHECKPOINT_SPARE;
}
