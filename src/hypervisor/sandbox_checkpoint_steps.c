/*
 * The steps of a take, up to a whole checkpoint: what the source is, files and
 * receiver, the move, and what has come of it kept.  Nothing is undone here.
 */

#include "sandbox_checkpoint_take.h"
#include "sandbox_crash.h"
#include "sandbox_domain_files.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEPS_DISK "vda"


/* Finds the file that the source's memory maps, if there is one. */
static void
steps_ram(sandbox_taking_t *t, const char *xml)
{
    sandbox_domain_files_t files;

    if (sandbox_domain_files_read(&files, xml) == 0) {
        t->ram = files.memory;
        files.memory = NULL;
        sandbox_domain_files_free(&files);
    }
}


/* Describes the machine by the checkpoint it was started from, or its XML. */
static sandbox_hv_status_t
steps_kind(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int torn;
    char *xml, *id;

    xml = virDomainGetXMLDesc(t->source, 0);
    if (xml == NULL) {
        return sandbox_hv_fail(err, t->conn, "cannot look at \"%s\"",
                               t->take->sandbox);
    }

    steps_ram(t, xml);
    id = sandbox_domain_xml_find(xml, "/domain/metadata/*/@checkpoint");

    if (id) {
        if (sandbox_checkpoint_load(t->conn, id, t->accel, &t->kind, &t->origin,
                                    &torn, err)
            != SANDBOX_HV_OK)
        {
            t->origin = -1;
        }
    } else {
        (void) sandbox_checkpoint_booted(t->conn, t->source, xml, t->accel,
                                         &t->kind, err);
    }

    free(id);
    free(xml);

    return err->status;
}


/* Reads what the source is, and its disk chain. */
static sandbox_hv_status_t
steps_source(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    virDomainBlockInfo disk;

    if (virDomainGetBlockInfo(t->source, STEPS_DISK, &disk, 0) < 0) {
        return sandbox_hv_fail(err, t->conn, "cannot look at \"%s\"",
                               t->take->sandbox);
    }

    t->disk_mb = (int64_t) (disk.capacity / 1048576);

    if (steps_kind(t, err) != SANDBOX_HV_OK
        || sandbox_disk_chain(t->conn, t->source, &t->chain, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (t->chain.n < 2 || t->chain.n > SANDBOX_CHECKPOINT_LAYERS) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the disk of \"%s\" has %zu layers",
                              t->take->sandbox, t->chain.n);
    }

    return err->status;
}


static sandbox_hv_status_t
steps_names(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    if (sandbox_checkpoint_names(&t->names, t->take->id) != 0
        || sandbox_disk_path(t->names.disk_path, t->names.disk) != 0)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              t->take->id);
    }

    return sandbox_hv_ok(err);
}


/*
 * Makes the file of the new memory: on tmpfs if possible, because a child that
 * runs from there can be copied while it runs.
 */
static sandbox_hv_status_t
steps_memory(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int replaced;

    if (t->copy && t->take->keep) {
        t->memory = sandbox_memory_make(
            t->conn, t->names.ram, t->kind.memory_mb, t->names.ram_path, err);
        t->tmpfs = t->memory != -1;
        if (t->tmpfs) {
            return err->status;
        }
    }

    return sandbox_disk_ram(t->conn, t->names.ram, t->kind.memory_mb,
                            t->names.ram_path, &replaced, err);
}


/* Copies the new memory to disk, if it was made on tmpfs and is durable. */
static sandbox_hv_status_t
steps_store(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int replaced;
    char path[SANDBOX_HV_PATH_SIZE];

    if (t->memory == -1 || !t->take->durable) {
        return sandbox_hv_ok(err);
    }

    if (sandbox_disk_ram(t->conn, t->names.ram, t->kind.memory_mb, path,
                         &replaced, err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_memory_store(t->memory, t->names.ram, t->kind.memory_mb,
                                err);
}


static sandbox_hv_status_t
steps_scratch(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int replaced;
    char stem[SANDBOX_HV_STEM_SIZE];

    if (snprintf(stem, sizeof(stem), "%s" SANDBOX_TAKING_SCRATCH, t->names.stem)
        >= (int) sizeof(stem))
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              t->take->id);
    }

    return sandbox_disk_create(t->conn, stem, t->chain.layers[1], t->disk_mb,
                               t->scratch, &replaced, err);
}


/* Starts a machine like the source, which waits for the source's state. */
static sandbox_hv_status_t
steps_receiver(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    sandbox_domain_ram_t ram;
    sandbox_domain_xml_t host;

    ram.path = t->names.ram_path;
    ram.shared = 1;
    ram.incoming = 1;

    sandbox_domain_host(&host, t->conn, t->accel);
    host.uuid = t->uuid;
    host.disk = t->scratch;
    host.layers = (const char *const *) &t->chain.layers[1];
    host.ram = &ram;

    t->receiver = sandbox_checkpoint_domain(
        t->conn, &t->kind, t->take->id, &host, VIR_DOMAIN_START_PAUSED, err);
    return err->status;
}


/* Makes the overlay that a sandbox which goes on will write to. */
static sandbox_hv_status_t
steps_next(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int replaced;
    sandbox_checkpoint_names_t names;

    if (!t->take->keep) {
        return sandbox_hv_ok(err);
    }

    if (sandbox_checkpoint_names(&names, t->take->sandbox) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              t->take->sandbox);
    }

    return sandbox_disk_create(t->conn, names.stem, t->chain.layers[0],
                               t->disk_mb, t->next, &replaced, err);
}


/*
 * Renews the change time of the memory on disk, which nothing refers to yet:
 * the syncing may have taken longer than SANDBOX_CHECKPOINT_GRACE_MS.
 */
static int
steps_renew(const sandbox_taking_t *t)
{
    char path[SANDBOX_HV_PATH_SIZE];

    /* on tmpfs alone: its lock protects it */
    if (t->memory != -1 && !t->take->durable) {
        return 1;
    }

    return sandbox_disk_path(path, t->names.ram) == 0
           && utimensat(AT_FDCWD, path, NULL, 0) == 0;
}


/*
 * 1 with *err if somebody has resumed a source that is to end: it writes to its
 * disk again, which is the checkpoint's by now.  One that has died meanwhile
 * writes nothing, and the checkpoint may be all that is left of it.
 */
static int
steps_goes_on(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int state;

    if (t->take->keep || virDomainGetState(t->source, &state, NULL, 0) < 0
        || state != VIR_DOMAIN_RUNNING)
    {
        return 0;
    }

    (void) sandbox_taking_was_resumed(t, err);

    return 1;
}


/*
 * Asked before "<id>.state" is made: if another process has taken over, it must
 * not find a checkpoint that it did not make.
 */
static sandbox_hv_status_t
steps_may_seal(void *data, sandbox_hv_error_t *err)
{
    sandbox_taking_t *t = data;

    if (!sandbox_taking_is_ours(t, err)) {
        return err->status;
    }

    if (steps_goes_on(t, err)) {
        return err->status;
    }

    if (!steps_renew(t)) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "\"%s\" is gone",
                              t->names.ram);
    }

    SANDBOX_CRASH_POINT("take.state.before");
    return sandbox_hv_ok(err);
}


static int
steps_state(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    return t->copy ? sandbox_taking_direct_state(t, err)
                   : sandbox_checkpoint_save(t->conn, t->receiver, t->take->id,
                                             err);
}


/* Memory, devices and disk become a checkpoint. */
static sandbox_hv_status_t
steps_keep(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int state;
    size_t i;
    char *const *below;
    sandbox_checkpoint_t c;

    /* all of it borrowed, so it is not freed */
    c = t->kind;
    c.id = (char *) t->take->id;
    c.ram = t->names.ram;
    c.disk_mb = t->disk_mb;
    c.lived = 1;
    c.layers[0] = t->names.disk_path;

    below = &t->chain.layers[1];

    for (i = 0; below[i]; i++) {
        c.layers[i + 1] = below[i];
    }

    c.layers[i + 1] = NULL;

    /* nobody writes to it: the disk is flipped, or the source is suspended */
    if (sandbox_taking_freeze(t, t->chain.layers[0], err) != SANDBOX_HV_OK
        || steps_store(t, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    SANDBOX_CRASH_POINT("take.seal.before");

    state = steps_state(t, err);

    if (state != -1) {
        (void) sandbox_checkpoint_seal(t->conn, state, &c,
                                       sandbox_taking_is_durable(t), t->sync,
                                       steps_may_seal, t, err);
        (void) close(state);
    }

    if (err->status == SANDBOX_HV_OK) {
        (void) steps_goes_on(t, err);
    }

    return err->status;
}


static int64_t
steps_lap(int64_t *start)
{
    int64_t now, lap;

    now = sandbox_time_monotonic_ms();
    lap = now - *start;
    *start = now;

    return lap;
}


static sandbox_checkpoint_way_t
steps_way(const sandbox_taking_t *t)
{
    return t->copy == NULL ? SANDBOX_CHECKPOINT_MOVED
           : t->live       ? SANDBOX_CHECKPOINT_LIVE
                           : SANDBOX_CHECKPOINT_STILL;
}


sandbox_hv_status_t
sandbox_taking_steps(sandbox_taking_t *t, sandbox_hv_error_t *err)
{
    int64_t start;

    start = sandbox_time_monotonic_ms();

    if (steps_source(t, err) != SANDBOX_HV_OK
        || steps_names(t, err) != SANDBOX_HV_OK)
    {
        /* the other way of copying would fail here too */
        t->direct = 0;
        return err->status;
    }

    if (t->direct) {
        sandbox_taking_direct(t);
    }

    sandbox_taking_live(t);

    if (steps_memory(t, err) != SANDBOX_HV_OK
        || (t->copy == NULL && steps_scratch(t, err) != SANDBOX_HV_OK)
        || steps_next(t, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (!sandbox_taking_is_ours(t, err)) {
        return err->status;
    }

    if (sandbox_taking_live_begin(t, err) != SANDBOX_HV_OK
        || (t->copy ? sandbox_taking_direct_base(t, err)
                    : steps_receiver(t, err))
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    t->take->prepare_ms = steps_lap(&start);

    if (sandbox_taking_move(t, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    t->direct = 0;
    t->take->move_ms = steps_lap(&start);
    t->take->way = steps_way(t);

    if (!sandbox_taking_is_ours(t, err)) {
        return err->status;
    }

    (void) steps_keep(t, err);
    t->take->keep_ms = steps_lap(&start);

    return err->status;
}


void
sandbox_taking_reset(sandbox_taking_t *t)
{
    sandbox_taking_direct_close(t);
    sandbox_taking_live_close(t);
    sandbox_checkpoint_free(&t->kind);
    sandbox_disk_chain_free(&t->chain);
    free(t->ram);
    t->ram = NULL;

    if (t->origin != -1) {
        (void) close(t->origin);
        t->origin = -1;
    }

    if (t->receiver) {
        (void) virDomainFree(t->receiver);
        t->receiver = NULL;
    }

    if (t->memory != -1) {
        (void) close(t->memory);
        t->memory = -1;
    }
}
