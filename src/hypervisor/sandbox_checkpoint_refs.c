/* Which domains and checkpoints need which file; see the header. */

#include "sandbox_checkpoint_refs.h"
#include "sandbox_domain_files.h"
#include "sandbox_sorted.h"
#include "sandbox_state_cache.h"
#include "sandbox_time.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REFS_DRAIN_MS 5000
#define REFS_ROOM 64          /* entries that a list grows by */
#define REFS_HEAD (64 * 1024) /* bytes read of a state: enough, as a rule */
#define REFS_LOOKS 4          /* at the states, if they change meanwhile */

/* A later change has another time than this age, by any file system's clock. */
#define REFS_SETTLED_MS 2000


/* Both lists begin with a name in each entry, by which they are sorted. */
static int
refs_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}


/* By file; for one file, domains before checkpoints, to be reported first. */
static int
refs_compare_files(const void *a, const void *b)
{
    int rc;
    const sandbox_checkpoint_ref_t *one = a, *other = b;

    rc = strcmp(one->file, other->file);
    if (rc == 0) {
        rc = (int) other->domain - (int) one->domain;
    }
    if (rc == 0) {
        rc = strcmp(one->by, other->by);
    }

    return rc ? rc : (int) one->memory - (int) other->memory;
}


/* Sorts both lists, and drops references that more than one look has found. */
static void
refs_sort(sandbox_checkpoint_refs_t *refs)
{
    size_t i, kept;

    if (refs->nseen) {
        qsort(refs->seen, refs->nseen, sizeof(*refs->seen), refs_compare);
    }

    if (refs->n == 0) {
        return;
    }

    qsort(refs->list, refs->n, sizeof(*refs->list), refs_compare_files);
    kept = 1;

    for (i = 1; i < refs->n; i++) {
        if (refs_compare_files(&refs->list[i], &refs->list[kept - 1]) != 0) {
            refs->list[kept++] = refs->list[i];
        }
    }

    refs->n = kept;
}


/* Enlarges a list that is full; NULL with *err. */
static void *
refs_grow(void *list, size_t *size, size_t entry, sandbox_hv_error_t *err)
{
    list = realloc(list, (*size + REFS_ROOM) * entry);

    if (list == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    } else {
        *size += REFS_ROOM;
    }

    return list;
}


static sandbox_hv_status_t
refs_see(sandbox_checkpoint_refs_t *refs, const char *id, int number,
         sandbox_hv_error_t *err)
{
    sandbox_checkpoint_seen_t *seen;

    if (refs->nseen == refs->seen_size) {
        seen = refs_grow(refs->seen, &refs->seen_size, sizeof(*seen), err);
        if (seen == NULL) {
            return err->status;
        }

        refs->seen = seen;
    }

    seen = &refs->seen[refs->nseen++];
    (void) snprintf(seen->id, sizeof(seen->id), "%s", id);
    seen->number = number;

    return err->status;
}


static sandbox_hv_status_t
refs_add(sandbox_checkpoint_refs_t *refs, const char *file, const char *by,
         int domain, int memory, sandbox_hv_error_t *err)
{
    sandbox_checkpoint_ref_t *ref;

    /* no file name of ours is as long */
    if (strlen(file) >= SANDBOX_CHECKPOINT_NAME_SIZE) {
        return err->status;
    }

    if (refs->n == refs->size) {
        ref = refs_grow(refs->list, &refs->size, sizeof(*ref), err);
        if (ref == NULL) {
            return err->status;
        }

        refs->list = ref;
    }

    ref = &refs->list[refs->n++];
    memset(ref, 0, sizeof(*ref));
    (void) snprintf(ref->file, sizeof(ref->file), "%s", file);
    (void) snprintf(ref->by, sizeof(ref->by), "%s", by);
    ref->domain = domain ? 1 : 0;
    ref->memory = memory ? 1 : 0;

    return err->status;
}


static const char *
refs_last(const char *path)
{
    const char *name;

    name = strrchr(path, '/');
    return name ? name + 1 : path;
}


/* Adds a path by its last part alone: the directory may have been renamed. */
static sandbox_hv_status_t
refs_path(sandbox_checkpoint_refs_t *refs, const char *path, const char *by,
          int memory, sandbox_hv_error_t *err)
{
    return refs_add(refs, refs_last(path), by, 1, memory, err);
}


/* 1 if path is in the directory of disks, and no such file exists. */
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
 * 1 if libvirt's names of the layers are out of date: a layer was renamed when
 * it became a checkpoint's.  Only the overlay of a domain is named after a
 * sandbox, so a layer below with such a name was renamed.
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


/* Adds the chain as the headers of the files have it, by asking QEMU. */
static sandbox_hv_status_t
refs_chain(sandbox_checkpoint_refs_t *refs, virDomainPtr domain,
           sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    size_t i;
    sandbox_hv_error_t failed;
    sandbox_disk_chain_t chain;

    /* QEMU might not answer while it still sends for the last take */
    if (!sandbox_checkpoint_drain(virDomainGetName(domain),
                                  sandbox_time_monotonic_ms() + REFS_DRAIN_MS)
        || sandbox_disk_chain(conn, domain, &chain, &failed) != SANDBOX_HV_OK)
    {
        /* the domain may have ended, and need nothing, but that is not sure */
        refs->unsettled = 1;
        return err->status;
    }

    for (i = 0; i < chain.n; i++) {
        (void) refs_path(refs, chain.layers[i], virDomainGetName(domain), 0,
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
               sandbox_hv_conn_t *conn, int number, sandbox_hv_error_t *err)
{
    int rc;
    char *xml;
    size_t i;
    const char *name;
    sandbox_domain_files_t files;

    name = virDomainGetName(domain);
    xml = virDomainGetXMLDesc(domain, 0);

    if (xml == NULL) {
        /* a domain that has ended meanwhile needs nothing */
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

    /* the XML of a domain that is being started may lack the layers */
    (void) refs_see(refs, name, refs->memories || files.n > 1 ? number : -1,
                    err);

    if (files.memory) {
        (void) refs_path(refs, files.memory, name, 1, err);
    }

    for (i = 0; !refs->memories && i < files.n; i++) {
        (void) refs_path(refs, files.layers[i], name, 0, err);
    }

    if (!refs->memories && refs_is_stale(&files)) {
        (void) refs_chain(refs, domain, conn, err);
    }

    sandbox_domain_files_free(&files);
    return err->status;
}


/*
 * 1 if the domain is among the first n, which are sorted, with this number (one
 * that was started again has another number).  A domain without a number, or
 * seen as starting (-1), is looked at again.
 */
static int
refs_has_seen(const sandbox_checkpoint_refs_t *refs, size_t n, const char *id,
              int number)
{
    size_t i;

    if (number <= 0) {
        return 0;
    }

    for (i = sandbox_sorted_place(refs->seen, n, sizeof(*refs->seen), id);
         i < n && strcmp(refs->seen[i].id, id) == 0; i++)
    {
        if (refs->seen[i].number == number) {
            return 1;
        }
    }

    return 0;
}


sandbox_hv_status_t
sandbox_checkpoint_refs_domains(sandbox_hv_conn_t *conn,
                                sandbox_checkpoint_refs_t *refs,
                                sandbox_hv_error_t *err)
{
    int i, count, number;
    size_t sorted;
    virDomainPtr *domains;

    (void) sandbox_hv_ok(err);

    count = virConnectListAllDomains(conn->virt, &domains, 0);
    if (count < 0) {
        return sandbox_hv_fail(err, conn, "cannot list the domains");
    }

    sorted = refs->nseen;

    for (i = 0; i < count; i++) {
        number = (int) virDomainGetID(domains[i]);

        if (err->status == SANDBOX_HV_OK
            && !refs_has_seen(refs, sorted, virDomainGetName(domains[i]),
                              number))
        {
            (void) refs_of_domain(refs, domains[i], conn, number, err);
        }

        (void) virDomainFree(domains[i]);
    }

    free(domains);
    refs_sort(refs);
    return err->status;
}


/* *there: the state exists; *found: it could be read into *c. */
static sandbox_hv_status_t
refs_read(sandbox_hv_conn_t *conn, const char *name, sandbox_checkpoint_t *c,
          int *there, int *found, sandbox_hv_error_t *err)
{
    size_t size, len;
    const char *reason;
    unsigned char *data;
    const unsigned char *part;

    *there = 0;
    *found = 0;
    memset(c, 0, sizeof(*c));

    if (sandbox_disk_head(conn, name, REFS_HEAD, &data, &size, err)
            != SANDBOX_HV_OK
        || data == NULL)
    {
        return err->status;
    }

    *there = 1;
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
        *there = 0;
        return err->status;
    }

    *found = sandbox_checkpoint_read(c, data, size, &part, &len, &reason) == 0;
    free(data);

    return err->status;
}


/* The names as sandbox_checkpoint_files() returns them; NULL: no memory. */
static char *
refs_names(const sandbox_checkpoint_t *c)
{
    char *names, *p;
    size_t i, len;

    len = strlen(c->ram) + 2;

    for (i = 0; c->layers[i]; i++) {
        len += strlen(refs_last(c->layers[i])) + 1;
    }

    names = malloc(len);
    if (names == NULL) {
        return NULL;
    }

    p = stpcpy(names, refs_last(c->ram)) + 1;

    for (i = 0; c->layers[i]; i++) {
        p = stpcpy(p, refs_last(c->layers[i])) + 1;
    }

    *p = '\0';
    return names;
}


sandbox_hv_status_t
sandbox_checkpoint_files(sandbox_hv_conn_t *conn, const char *id, char **files,
                         int *there, sandbox_hv_error_t *err)
{
    int known, settled, found;
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];
    struct stat st;
    sandbox_checkpoint_t c;

    (void) sandbox_hv_ok(err);
    (void) snprintf(name, sizeof(name), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    known = sandbox_disk_stat(name, &st);
    *there = known == 1;
    *files = known == 1 ? sandbox_state_cache_get(id, &st) : NULL;

    if (known == 0 || *files) {
        return err->status;
    }

    /* asked before reading: a later change gives the file another time */
    settled = known == 1 && sandbox_disk_age(name) >= REFS_SETTLED_MS;

    if (refs_read(conn, name, &c, there, &found, err) != SANDBOX_HV_OK
        || !found) {
        return err->status;
    }

    *files = refs_names(&c);
    sandbox_checkpoint_free(&c);

    if (*files == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    if (settled) {
        sandbox_state_cache_put(id, &st, *files);
    }

    return err->status;
}


/* Adds a checkpoint's files; *gone is set if its state does not exist now. */
static sandbox_hv_status_t
refs_of_checkpoint(sandbox_hv_conn_t *conn, sandbox_checkpoint_refs_t *refs,
                   const char *id, int *gone, sandbox_hv_error_t *err)
{
    int there;
    char *files;
    const char *name;

    if (sandbox_checkpoint_files(conn, id, &files, &there, err)
        != SANDBOX_HV_OK) {
        return err->status;
    }

    if (!there) {
        *gone = 1;
    }

    if (files) {
        (void) refs_see(refs, id, 0, err);
    }

    for (name = files; name && *name; name += strlen(name) + 1) {
        (void) refs_add(refs, name, id, 0, name == files, err);
    }

    free(files);
    return err->status;
}


static sandbox_hv_status_t
refs_checkpoints(sandbox_hv_conn_t *conn, sandbox_checkpoint_refs_t *refs,
                 char **names, size_t n, int *gone, sandbox_hv_error_t *err)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];

    *gone = 0;
    sandbox_state_cache_trim(names, n);

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_SUFFIX)
            && sandbox_checkpoint_id(id, names[i]) == 0)
        {
            (void) refs_of_checkpoint(conn, refs, id, gone, err);
        }
    }

    refs_sort(refs);
    return err->status;
}


/* 1 if there is a state among the names that is not among those before. */
static int
refs_is_news(char **names, size_t n, char **before, size_t nbefore)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_SUFFIX)
            && !sandbox_disk_names_have(before, nbefore, names[i]))
        {
            return 1;
        }
    }

    return 0;
}


/*
 * A state that was not listed may be the successor of a listed state or of an
 * unseen domain that has gone since, and stand on the same disks.  So the
 * states are listed again until there is no new one.
 */
static sandbox_hv_status_t
refs_all_checkpoints(sandbox_hv_conn_t *conn, sandbox_checkpoint_refs_t *refs,
                     sandbox_hv_error_t *err)
{
    int i, gone, settled;
    char **names, **before;
    size_t n, nbefore;

    gone = 1;
    settled = 0;
    before = NULL;
    nbefore = 0;

    for (i = 0; i < REFS_LOOKS && !settled; i++) {
        if (sandbox_disk_names(conn, "", &names, &n, err) != SANDBOX_HV_OK) {
            break;
        }

        settled = !gone && !refs_is_news(names, n, before, nbefore);
        sandbox_disk_names_free(before, nbefore);
        before = names;
        nbefore = n;

        if (!settled
            && (refs_checkpoints(conn, refs, names, n, &gone, err)
                    != SANDBOX_HV_OK
                || sandbox_checkpoint_refs_domains(conn, refs, err)
                       != SANDBOX_HV_OK))
        {
            break;
        }
    }

    if (!settled) {
        refs->unsettled = 1;
    }

    sandbox_disk_names_free(before, nbefore);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_refs(sandbox_hv_conn_t *conn,
                        sandbox_checkpoint_refs_t *refs,
                        sandbox_hv_error_t *err)
{
    if (sandbox_checkpoint_refs_domains(conn, refs, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    return refs_all_checkpoints(conn, refs, err);
}


void
sandbox_checkpoint_refs_free(sandbox_checkpoint_refs_t *refs)
{
    free(refs->list);
    free(refs->seen);
    memset(refs, 0, sizeof(*refs));
}


const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_file(const sandbox_checkpoint_refs_t *refs,
                             const char *file)
{
    size_t i;

    for (i = sandbox_sorted_place(refs->list, refs->n, sizeof(*refs->list),
                                  file);
         i < refs->n && strcmp(refs->list[i].file, file) == 0; i++)
    {
        if (!refs->list[i].forgotten) {
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
    char start[SANDBOX_ID_SIZE + 1];
    const sandbox_checkpoint_ref_t *ref;

    len = (size_t) snprintf(start, sizeof(start), "%s.", id);

    for (i = sandbox_sorted_place(refs->list, refs->n, sizeof(*refs->list),
                                  start);
         i < refs->n && strncmp(refs->list[i].file, start, len) == 0; i++)
    {
        ref = &refs->list[i];

        if (strcmp(ref->by, id) != 0 && (ref->memory || !memory_only)
            && !ref->forgotten)
        {
            return ref;
        }
    }

    return NULL;
}


/* 1 if a domain (domain 1) or a checkpoint (0) of that id was seen. */
static int
refs_saw(const sandbox_checkpoint_refs_t *refs, const char *id, int domain)
{
    size_t i;

    for (i = sandbox_sorted_place(refs->seen, refs->nseen, sizeof(*refs->seen),
                                  id);
         i < refs->nseen && strcmp(refs->seen[i].id, id) == 0; i++)
    {
        if ((refs->seen[i].number != 0) == domain) {
            return 1;
        }
    }

    return 0;
}


int
sandbox_checkpoint_refs_domain(const sandbox_checkpoint_refs_t *refs,
                               const char *name)
{
    return refs_saw(refs, name, 1);
}


int
sandbox_checkpoint_refs_read(const sandbox_checkpoint_refs_t *refs,
                             const char *id)
{
    return refs_saw(refs, id, 0);
}


/* 1 if the checkpoint's state is listed, but could not be read. */
static int
refs_is_unread(const sandbox_checkpoint_refs_t *refs, char **names, size_t n,
               const char *id)
{
    char state[SANDBOX_CHECKPOINT_NAME_SIZE];

    (void) snprintf(state, sizeof(state), "%s" SANDBOX_CHECKPOINT_SUFFIX, id);

    return !sandbox_checkpoint_refs_read(refs, id)
           && sandbox_disk_names_have(names, n, state);
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
