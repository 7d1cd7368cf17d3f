/*
 * Taking a checkpoint of a sandbox that was started from one.
 *
 * Its memory is its own, so it cannot stay where it is: a second machine, the
 * receiver, is started with its memory in a file of the new checkpoint, and
 * the sandbox is migrated to it through a pipe.  The receiver never runs; it
 * is then kept as a booted template is, by its device state alone.  So every
 * checkpoint is of one kind and starts in the same time.
 *
 * The disk of the sandbox is renamed to be the checkpoint's: what is called
 * "<sandbox>.*" always belongs to the sandbox, "<checkpoint>.*" never.
 */

#define _GNU_SOURCE

#include "sandbox_checkpoint_parts.h"
#include "sandbox_time.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAKE_DISK "vda"
#define TAKE_PIPE 1048576
#define TAKE_SCRATCH ".tmp"

typedef struct {
    sandbox_checkpoint_take_t *take;
    sandbox_hv_conn_t *conn;
    sandbox_accel_t accel;
    sandbox_checkpoint_t parent;
    sandbox_checkpoint_names_t names;
    int64_t disk_mb;
    virDomainPtr source;
    virDomainPtr receiver;
    char overlay[SANDBOX_HV_PATH_SIZE]; /* the sandbox's disk */
    char scratch[SANDBOX_HV_STEM_SIZE]; /* the receiver's, never used */
    char uuid[SANDBOX_UUID_SIZE];       /* of the receiver */
    int stopped;
    int renamed;
} take_t;


/* What the sandbox was started from, and how large its disk is. */
static sandbox_hv_status_t
take_parent(take_t *t, sandbox_hv_error_t *err)
{
    int torn;
    char *document, *id;
    size_t n;
    virDomainBlockInfo disk;

    document = virDomainGetMetadata(t->source, VIR_DOMAIN_METADATA_ELEMENT,
                                    SANDBOX_HV_NAMESPACE, 0);
    if (document == NULL
        || virDomainGetBlockInfo(t->source, TAKE_DISK, &disk, 0) < 0)
    {
        free(document);
        return sandbox_hv_fail(err, t->conn, "cannot look at \"%s\"",
                               t->take->sandbox);
    }

    t->disk_mb = (int64_t) (disk.capacity / 1048576);
    id = sandbox_domain_xml_find(document, "/*/@checkpoint");
    free(document);

    if (id == NULL) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                              "\"%s\" was not started from a checkpoint",
                              t->take->sandbox);
    }

    (void) sandbox_checkpoint_load(t->conn, id, t->accel, &t->parent, NULL,
                                   &torn, err);
    free(id);

    if (err->status != SANDBOX_HV_OK) {
        return err->status;
    }

    for (n = 0; t->parent.layers[n]; n++) { /* void */
    }

    if (n >= SANDBOX_CHECKPOINT_LAYERS) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the disk of \"%s\" has too many layers",
                              t->take->sandbox);
    }

    return err->status;
}


static sandbox_hv_status_t
take_names(take_t *t, sandbox_hv_error_t *err)
{
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];

    (void) snprintf(name, sizeof(name), "%s.qcow2", t->take->sandbox);

    if (sandbox_checkpoint_names(&t->names, t->take->id) != 0
        || sandbox_disk_path(t->names.disk_path, t->names.disk) != 0
        || sandbox_disk_path(t->overlay, name) != 0
        || sandbox_id_uuid(t->uuid, t->take->id) != 0
        || snprintf(t->scratch, sizeof(t->scratch), "%s" TAKE_SCRATCH,
                    t->names.stem)
               >= (int) sizeof(t->scratch))
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              t->take->id);
    }

    return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
}


/* A machine like the source, waiting for its state. */
static sandbox_hv_status_t
take_receiver(take_t *t, sandbox_hv_error_t *err)
{
    int replaced;
    char scratch[SANDBOX_HV_PATH_SIZE];
    sandbox_domain_ram_t ram;
    sandbox_domain_xml_t host;

    if (sandbox_disk_ram(t->conn, t->names.ram, t->parent.memory_mb,
                         t->names.ram_path, &replaced, err)
            != SANDBOX_HV_OK
        || sandbox_disk_create(t->conn, t->scratch, t->parent.layers[0],
                               t->disk_mb, scratch, &replaced, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    ram.path = t->names.ram_path;
    ram.shared = 1;
    ram.incoming = 1;

    sandbox_domain_host(&host, t->conn, t->accel);
    host.uuid = t->uuid;
    host.disk = scratch;
    host.layers = (const char *const *) t->parent.layers;
    host.ram = &ram;

    t->receiver = sandbox_checkpoint_domain(
        t->conn, &t->parent, t->take->id, &host, VIR_DOMAIN_START_PAUSED, err);
    return err->status;
}


/* Sends one into the other; both have stopped when it returns OK. */
static sandbox_hv_status_t
take_move(take_t *t, sandbox_hv_error_t *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "no pipe");
    }

    /* fewer turns for the two; less is no harm */
    (void) fcntl(ends[1], F_SETPIPE_SZ, TAKE_PIPE);

    /* the receiver shares its memory, and gets it all the same */
    if (sandbox_monitor_capability(t->conn, t->source, "x-ignore-shared", 0,
                                   err)
            == SANDBOX_HV_OK
        && sandbox_monitor_fd(t->conn, t->receiver, SANDBOX_CHECKPOINT_FD,
                              ends[0], err)
               == SANDBOX_HV_OK
        && sandbox_monitor_fd(t->conn, t->source, SANDBOX_CHECKPOINT_FD,
                              ends[1], err)
               == SANDBOX_HV_OK)
    {
        (void) sandbox_monitor_migrate(t->conn, t->receiver, 1,
                                       SANDBOX_CHECKPOINT_FD, err);
    }

    /* theirs alone now: when one of them dies, the other notices */
    (void) close(ends[0]);
    (void) close(ends[1]);

    if (err->status != SANDBOX_HV_OK) {
        return err->status;
    }

    /* also if only the answer is lost */
    t->stopped = 1;

    if (virDomainSuspend(t->source) < 0) {
        return sandbox_hv_fail(err, t->conn, "cannot suspend \"%s\"",
                               t->take->sandbox);
    }

    if (sandbox_monitor_migrate(t->conn, t->source, 0, SANDBOX_CHECKPOINT_FD,
                                err)
            != SANDBOX_HV_OK
        || sandbox_monitor_migrated(t->conn, t->source, t->take->deadline, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    return sandbox_monitor_migrated(t->conn, t->receiver, t->take->deadline,
                                    err);
}


/* The receiver's memory and state become a checkpoint. */
static sandbox_hv_status_t
take_keep(take_t *t, sandbox_hv_error_t *err)
{
    size_t i;
    sandbox_checkpoint_t c;

    /* all of it borrowed, so it is not freed */
    c = t->parent;
    c.id = (char *) t->take->id;
    c.ram = t->names.ram;
    c.disk_mb = t->disk_mb;
    c.lived = 1;
    c.layers[0] = t->names.disk_path;

    for (i = 0; t->parent.layers[i]; i++) {
        c.layers[i + 1] = t->parent.layers[i];
    }

    c.layers[i + 1] = NULL;

    /* nobody writes to it: QEMU let go of it when it had sent its state */
    if (rename(t->overlay, t->names.disk_path) == -1) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the disk of \"%s\" cannot be renamed: the "
                              "directory of disks must be the worker's",
                              t->take->sandbox);
    }

    t->renamed = 1;

    return sandbox_checkpoint_seal(t->conn, t->receiver, &c, err);
}


/*
 * The source goes on as if nothing had been.  -1: the checkpoint may be whole,
 * so that its disk may not go on; all is left for the verb to be repeated.
 */
static int
take_back(take_t *t)
{
    char name[SANDBOX_CHECKPOINT_NAME_SIZE];
    sandbox_hv_error_t failed;

    (void) snprintf(name, sizeof(name), "%s" SANDBOX_CHECKPOINT_SUFFIX,
                    t->take->id);

    if (t->renamed
        && sandbox_disk_remove(t->conn, name, &failed) != SANDBOX_HV_OK) {
        sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                       "\"%s\" stands still until it is taken again: %s",
                       t->take->sandbox, failed.message);
        return -1;
    }

    if (t->renamed && rename(t->names.disk_path, t->overlay) == -1) {
        sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                       "the disk of \"%s\" is called \"%s\" and cannot be "
                       "renamed",
                       t->take->sandbox, t->names.disk_path);
    }

    if (t->stopped && virDomainResume(t->source) < 0) {
        (void) sandbox_hv_fail(&failed, t->conn, "cannot resume \"%s\"",
                               t->take->sandbox);
        sandbox_hv_log(SANDBOX_HV_LOG_WARN, "%s", failed.message);
    }

    return 0;
}


/* "<id>.<random>.qcow2", and not the receiver's "<id>.<random>.tmp.qcow2". */
static int
take_is_disk(const char *name)
{
    return strstr(name, ".qcow2") != NULL && strstr(name, TAKE_SCRATCH) == NULL;
}


/*
 * One file of an earlier try: the disk is the sandbox's again if that has none,
 * anything else is removed.
 */
static sandbox_hv_status_t
take_undo(take_t *t, const char *name, sandbox_hv_error_t *err)
{
    char path[SANDBOX_HV_PATH_SIZE];

    if (!take_is_disk(name) || access(t->overlay, F_OK) == 0) {
        return sandbox_disk_remove(t->conn, name, err);
    }

    if (errno != ENOENT || sandbox_disk_path(path, name) != 0
        || rename(path, t->overlay) == -1)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the disk of \"%s\" is called \"%s\" and cannot "
                              "be renamed",
                              t->take->sandbox, name);
    }

    return sandbox_hv_set(err, SANDBOX_HV_OK, "%s", "");
}


/* What an earlier try, which died, has left: all of it is undone. */
static sandbox_hv_status_t
take_recover(take_t *t, sandbox_hv_error_t *err)
{
    int state;
    size_t i, n;
    char **names;
    char prefix[SANDBOX_HV_STEM_SIZE];

    (void) snprintf(prefix, sizeof(prefix), "%s.", t->take->id);

    if (sandbox_domain_end(t->conn, t->uuid, err) != SANDBOX_HV_OK
        || sandbox_disk_names(t->conn, prefix, &names, &n, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        (void) take_undo(t, names[i], err);
    }

    sandbox_disk_names_free(names, n);

    if (err->status != SANDBOX_HV_OK) {
        return err->status;
    }

    if (virDomainGetState(t->source, &state, NULL, 0) < 0
        || (state == VIR_DOMAIN_PAUSED && virDomainResume(t->source) < 0))
    {
        return sandbox_hv_fail(err, t->conn, "cannot resume \"%s\"",
                               t->take->sandbox);
    }

    return err->status;
}


static int64_t
take_lap(int64_t *start)
{
    int64_t now, lap;

    now = sandbox_time_monotonic_ms();
    lap = now - *start;
    *start = now;

    return lap;
}


static sandbox_hv_status_t
take_run(take_t *t, sandbox_hv_error_t *err)
{
    int64_t start;
    sandbox_hv_error_t ignored;

    if (take_names(t, err) != SANDBOX_HV_OK
        || take_recover(t, err) != SANDBOX_HV_OK
        || take_parent(t, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    start = sandbox_time_monotonic_ms();

    if (take_receiver(t, err) == SANDBOX_HV_OK) {
        t->take->receiver_ms = take_lap(&start);

        if (take_move(t, err) == SANDBOX_HV_OK) {
            t->take->move_ms = take_lap(&start);
            (void) take_keep(t, err);
            t->take->keep_ms = take_lap(&start);
        }
    }

    if (err->status != SANDBOX_HV_OK && take_back(t) != 0) {
        return err->status;
    }

    (void) sandbox_domain_end(t->conn, t->uuid, &ignored);
    (void) sandbox_disk_delete(t->conn, t->scratch, &ignored);

    if (err->status != SANDBOX_HV_OK) {
        (void) sandbox_disk_remove(t->conn, t->names.ram, &ignored);
    }

    return err->status;
}


/*
 * The checkpoint is whole: what an earlier try, which died then, has not
 * ended is ended.
 */
static sandbox_hv_status_t
take_finish(take_t *t, const char *uuid, sandbox_hv_error_t *err)
{
    size_t i, n;
    char **names;
    char prefix[SANDBOX_HV_STEM_SIZE];

    (void) snprintf(prefix, sizeof(prefix), "%s.", t->take->id);

    if (sandbox_id_uuid(t->uuid, t->take->id) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"",
                              t->take->id);
    }

    if (sandbox_domain_end(t->conn, uuid, err) != SANDBOX_HV_OK
        || sandbox_domain_end(t->conn, t->uuid, err) != SANDBOX_HV_OK
        || sandbox_disk_names(t->conn, prefix, &names, &n, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        if (strstr(names[i], TAKE_SCRATCH)) {
            (void) sandbox_disk_remove(t->conn, names[i], err);
        }
    }

    sandbox_disk_names_free(names, n);
    return err->status;
}


/* With the source's turn. */
static sandbox_hv_status_t
take_sandbox(take_t *t, sandbox_hv_error_t *err)
{
    int torn;
    char uuid[SANDBOX_UUID_SIZE];
    sandbox_checkpoint_t c;

    if (sandbox_id_uuid(uuid, t->take->sandbox) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"",
                              t->take->sandbox);
    }

    if (sandbox_checkpoint_load(t->conn, t->take->id, t->accel, &c, NULL, &torn,
                                err)
        == SANDBOX_HV_OK)
    {
        sandbox_checkpoint_free(&c);
        return take_finish(t, uuid, err);
    }

    if (err->status != SANDBOX_HV_NO_CHECKPOINT) {
        return err->status;
    }

    t->source = sandbox_domain_lookup(t->conn, uuid, err);
    if (t->source == NULL) {
        return err->status != SANDBOX_HV_OK
                   ? err->status
                   : sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                    "\"%s\" does not run", t->take->sandbox);
    }

    if (take_run(t, err) == SANDBOX_HV_OK) {
        (void) sandbox_domain_end(t->conn, uuid, err);
    }

    sandbox_checkpoint_free(&t->parent);
    (void) virDomainFree(t->source);

    if (t->receiver) {
        (void) virDomainFree(t->receiver);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_take(sandbox_checkpoint_take_t *take,
                        sandbox_hv_error_t *err)
{
    take_t t;
    sandbox_domain_turn_t turn;

    memset(&t, 0, sizeof(t));
    t.take = take;

    if (sandbox_hypervisor_accel(&t.accel, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    t.conn = sandbox_hv_connection(err);
    if (t.conn == NULL) {
        return err->status;
    }

    sandbox_domain_enter(&turn, take->sandbox);
    (void) take_sandbox(&t, err);
    sandbox_domain_leave(&turn);

    return err->status;
}
