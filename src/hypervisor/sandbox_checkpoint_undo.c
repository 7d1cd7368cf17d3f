/*
 * Undoing a take that failed or whose taker died, at whatever step: the files
 * and the domains alone tell what is to be done.
 *
 * "<sandbox>.*" always belongs to the sandbox, "<checkpoint>.*" never.  Once
 * the sandbox's disk was flipped to a new overlay it cannot be flipped back:
 * the layer below gets or keeps its name as the checkpoint's disk, and is
 * removed when nothing stands on it any more.
 */

#include "sandbox_checkpoint_take.h"
#include "sandbox_crash.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNDO_MOVE_MS 60000
#define UNDO_RESUME_MS 2000
#define UNDO_POLL_MS 2

/* How long another undoing is waited for, which mostly takes milliseconds. */
#define UNDO_HOLD_MS 10000


static const char *
undo_base(const char *path)
{
    const char *slash;

    slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}


static int
undo_in_chain(const sandbox_disk_chain_t *chain, const char *name)
{
    size_t i;

    for (i = 0; i < chain->n; i++) {
        if (strcmp(undo_base(chain->layers[i]), name) == 0) {
            return 1;
        }
    }

    return 0;
}


/* "<id>.<random>.qcow2", and not the receiver's "<id>.<random>.tmp.qcow2". */
static int
undo_is_disk(const char *name)
{
    return sandbox_checkpoint_ends(name, ".qcow2")
           && strstr(name, SANDBOX_TAKING_SCRATCH ".") == NULL;
}


static sandbox_hv_status_t
undo_rename(sandbox_taking_t *t, const char *from, const char *to,
            sandbox_hv_error_t *err)
{
    if (rename(from, to) == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "a disk of \"%s\" cannot be renamed: the "
                              "directory of disks must be the worker's",
                              t->take->sandbox);
    }

    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_taking_freeze(sandbox_taking_t *t, const char *path,
                      sandbox_hv_error_t *err)
{
    sandbox_disk_chain_t chain;

    if (undo_rename(t, path, t->names.disk_path, err) != SANDBOX_HV_OK
        || !t->take->keep
        || sandbox_disk_chain(t->conn, t->source, &chain, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    (void) sandbox_monitor_backing(t->conn, t->source, chain.node,
                                   t->names.disk_path, err);
    sandbox_disk_chain_free(&chain);

    return err->status;
}


sandbox_hv_status_t
sandbox_taking_resume(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int state;
    int64_t deadline_ms;

    deadline_ms = sandbox_time_monotonic_ms() + UNDO_RESUME_MS;

    /* QEMU says that all is sent a moment before it lets itself be resumed */
    for (;; sandbox_hv_sleep_ms(UNDO_POLL_MS)) {
        if (virDomainGetState(t->source, &state, NULL, 0) == 0
            && (state != VIR_DOMAIN_PAUSED || virDomainResume(t->source) == 0))
        {
            return sandbox_hv_ok(err);
        }

        (void) sandbox_hv_fail(err, t->conn, "cannot resume \"%s\"",
                               t->take->sandbox);

        if (err->status != SANDBOX_HV_FAILED
            || sandbox_time_monotonic_ms() >= deadline_ms)
        {
            return err->status;
        }
    }
}


/* Prepares the source, which does not send any more, for another take. */
static void
undo_quiet(sandbox_taking_t *t)
{
    sandbox_hv_error_t ignored;

    /* QEMU refuses if it has no such descriptor, or no such capability */
    (void) sandbox_monitor_fd_close(t->conn, t->source, SANDBOX_TAKING_READER,
                                    &ignored);
    (void) sandbox_monitor_capability(t->conn, t->source, SANDBOX_MONITOR_LIVE,
                                      0, &ignored);
    sandbox_devices_close(&t->devices, t->conn, t->source);
}


/* Ends whatever the source is sending. */
static sandbox_hv_status_t
undo_move(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (sandbox_checkpoint_sent(t->conn, t->source, t->take->sandbox,
                                t->take->id,
                                sandbox_time_monotonic_ms() + UNDO_MOVE_MS, err)
        == SANDBOX_HV_OK)
    {
        undo_quiet(t);
    }

    return err->status;
}


/* The disk that was renamed to be the checkpoint's; NULL if there is none. */
static const char *
undo_frozen(const sandbox_disk_chain_t *chain, char **names, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (undo_is_disk(names[i]) && !undo_in_chain(chain, names[i])) {
            return names[i];
        }
    }

    return NULL;
}


/*
 * Writes path as the backing file into the header of the source's disk.  The
 * source is resumed before, because QEMU has let go of the disk of a source
 * that had sent all of its state, until that runs.
 */
static sandbox_hv_status_t
undo_backing(sandbox_taking_t *t, sandbox_disk_chain_t *chain, const char *path,
             sandbox_hv_error_t *err)
{
    if (sandbox_taking_resume(t, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    return sandbox_monitor_backing(t->conn, t->source, chain->node, path, err);
}


/* Makes the names of the source's disk and of the layer below right again. */
static sandbox_hv_status_t
undo_disk(sandbox_taking_t *t, sandbox_disk_chain_t *chain, char **names,
          size_t n, sandbox_hv_error_t *err)
{
    char prefix[SANDBOX_HV_STEM_SIZE], path[SANDBOX_HV_PATH_SIZE];
    const char *frozen;

    frozen = undo_frozen(chain, names, n);
    if (frozen && sandbox_disk_path(path, frozen) != 0) {
        frozen = NULL;
    }

    /* the disk was renamed, and the source was to end: rename it back */
    if (access(chain->layers[0], F_OK) == -1) {
        return frozen ? undo_rename(t, path, chain->layers[0], err)
                      : sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                       "\"%s\" has lost its disk",
                                       t->take->sandbox);
    }

    (void) snprintf(prefix, sizeof(prefix), "%s.", t->take->sandbox);

    if (chain->n < 2
        || strncmp(undo_base(chain->layers[1]), prefix, strlen(prefix)) != 0)
    {
        return sandbox_hv_ok(err);
    }

    /*
     * The disk was flipped, and the layer below renamed or not.  A QEMU that
     * has sent all of the machine would end if it had to write a header before
     * it runs again.
     */
    if (sandbox_taking_resume(t, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    if (access(chain->layers[1], F_OK) == -1) {
        if (frozen == NULL) {
            return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                  "\"%s\" has lost a layer of its disk",
                                  t->take->sandbox);
        }

        return undo_backing(t, chain, path, err);
    }

    if (sandbox_checkpoint_names(&t->names, t->take->id) != 0
        || sandbox_disk_path(t->names.disk_path, t->names.disk) != 0)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              t->take->id);
    }

    if (undo_rename(t, chain->layers[1], t->names.disk_path, err)
        != SANDBOX_HV_OK) {
        return err->status;
    }

    return undo_backing(t, chain, t->names.disk_path, err);
}


/* Removes what begins with the id and is not in the chain. */
static sandbox_hv_status_t
undo_files(const sandbox_disk_chain_t *chain, const char *id,
           sandbox_hv_error_t *err)
{
    size_t i, n;
    char **names;
    char prefix[SANDBOX_HV_STEM_SIZE];

    (void) snprintf(prefix, sizeof(prefix), "%s.", id);

    if (sandbox_disk_local(prefix, &names, &n, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (!undo_in_chain(chain, names[i])) {
            (void) sandbox_disk_unlink(names[i], err);
        }
    }

    sandbox_disk_names_free(names, n);
    return err->status;
}


/* The source has a domain: repairs its disk chain, and resumes it. */
static sandbox_hv_status_t
undo_source(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    size_t n;
    char **names;
    char prefix[SANDBOX_HV_STEM_SIZE];
    sandbox_disk_chain_t chain;

    (void) snprintf(prefix, sizeof(prefix), "%s.", t->take->id);

    /* QEMU refuses to write the header of a disk that is being flattened */
    if (undo_move(t, err) != SANDBOX_HV_OK
        || sandbox_checkpoint_unflatten(t->conn, t->source, err)
               != SANDBOX_HV_OK
        || sandbox_disk_chain(t->conn, t->source, &chain, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (sandbox_disk_local(prefix, &names, &n, err) == SANDBOX_HV_OK) {
        (void) undo_disk(t, &chain, names, n, err);
        sandbox_disk_names_free(names, n);
    }

    sandbox_disk_chain_free(&chain);

    if (err->status != SANDBOX_HV_OK
        || sandbox_taking_resume(t, err) != SANDBOX_HV_OK
        || sandbox_disk_chain(t->conn, t->source, &chain, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    SANDBOX_CRASH_POINT("settle.files.before");

    if (undo_files(&chain, t->take->id, err) == SANDBOX_HV_OK) {
        (void) undo_files(&chain, t->take->sandbox, err);
    }

    sandbox_disk_chain_free(&chain);
    return err->status;
}


/*
 * The source has no domain.  It may have been paused since its disk was
 * flipped, and its checkpoint may stand on this disk.  So the disk goes only if
 * nothing needs it; the other files go.
 */
static sandbox_hv_status_t
undo_orphan(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    size_t i, n;
    char **names;
    char prefix[SANDBOX_HV_STEM_SIZE];

    (void) snprintf(prefix, sizeof(prefix), "%s.", t->take->id);

    if (sandbox_disk_local(prefix, &names, &n, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (!undo_is_disk(names[i])) {
            (void) sandbox_disk_unlink(names[i], err);
        }
    }

    sandbox_disk_names_free(names, n);

    return err->status == SANDBOX_HV_OK
               ? sandbox_checkpoint_clean(t->conn, t->take->id, err)
               : err->status;
}


/* With the undoing locked. */
static sandbox_hv_status_t
undo(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];

    (void) snprintf(name, sizeof(name), "%s" SANDBOX_CHECKPOINT_SUFFIX,
                    t->take->id);

    /* the state goes first; then the receiver, which may block the source */
    if (sandbox_disk_remove(t->conn, name, err) != SANDBOX_HV_OK
        || sandbox_domain_end(t->conn, t->uuid, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (t->source && undo_source(t, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    /* not before: this also removes the pipe, which undoing finds by name */
    sandbox_memory_remove(t->take->id);

    return t->source ? err->status : undo_orphan(t, err);
}


sandbox_hv_status_t
sandbox_taking_undo(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int held;

    if (sandbox_checkpoint_hold_undo(t->take->sandbox,
                                     sandbox_time_monotonic_ms() + UNDO_HOLD_MS,
                                     &held, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (sandbox_taking_is_ours(t, err)) {
        (void) undo(t, err);
    }

    if (held != -1) {
        (void) close(held);
    }

    return err->status;
}
