/*
 * Chains of disks that have become too deep.  QEMU copies, while the guest
 * runs, what the layers between the overlay and a base hold into the overlay (a
 * block job, "stream"), and lets go of them at the end.  At any moment before
 * that the chain is as it was, with some of it copied: so the job may be broken
 * off, or its caller die, and a new job be begun.
 *
 * The job is QEMU's and goes on without us.  Nobody has the sandbox's turn for
 * as long as the job takes, so destroy and take need not wait for it.
 *
 * A take breaks the job off, and no job may begin before that take is done, in
 * whatever process: the disk could not be flipped, or would not stand on the
 * layers that the checkpoint names.  So takers hold a shared lock on the
 * sandbox's chain, and a flattening holds it exclusively while it looks at the
 * disk and begins the job.
 *
 * At the end libvirt has the name of the base written into the overlay's
 * header, and knows a layer that was renamed under the domain by its old name
 * only: so a layer can be the base only if libvirt has its present name.
 */

#define _GNU_SOURCE

#include "sandbox_checkpoint_parts.h"
#include "sandbox_crash.h"
#include "sandbox_domain_files.h"
#include "sandbox_flatten.h"
#include "sandbox_time.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLATTEN_DISK "vda"
#define FLATTEN_POLL_MS 100

/* A file for locks alone: a sandbox locks two bytes, nothing is written. */
#define FLATTEN_CHAINS ".chains"
#define FLATTEN_UNDO ((off_t) 1 << 32) /* the first of those for undoing */
#define FLATTEN_CHAIN_POLL_MS 5

/* Bytes a second: a disk of today hardly notices, nor does a guest on it. */
#ifndef FLATTEN_BANDWIDTH
#define FLATTEN_BANDWIDTH 33554432
#endif

/* The expected rate of a job without a limit. */
#define FLATTEN_URGENT_BANDWIDTH (4LL * FLATTEN_BANDWIDTH)

/* How often the budget is doubled at most. */
#define FLATTEN_DOUBLINGS 16

typedef struct {
    sandbox_hv_conn_t *conn;
    virDomainPtr domain;
    const char *id;
    size_t max; /* layers, the template's disk not counted */
    int urgent;
    int64_t deadline_ms;
} sandbox_flatten_t;


/* 1: the lock is ours; 0: others hold it; -1 with errno. */
static int
flatten_lock(int fd, off_t place, int alone)
{
    struct flock lock;

    memset(&lock, 0, sizeof(lock));
    lock.l_type = alone ? F_WRLCK : F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = place;
    lock.l_len = 1;

    /* the open file description owns the lock, so threads exclude each other */
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        return 1;
    }

    return errno == EAGAIN || errno == EACCES || errno == EINTR ? 0 : -1;
}


static sandbox_hv_status_t
flatten_hold(const char *sandbox, off_t first, int alone, int64_t deadline_ms,
             int *fd, sandbox_hv_error_t *err)
{
    int rc;
    off_t place;
    char path[SANDBOX_HV_PATH_SIZE], uuid[SANDBOX_UUID_SIZE];

    *fd = -1;
    (void) sandbox_hv_ok(err);

    if (!sandbox_hv_is_local()) {
        return err->status;
    }

    if (sandbox_id_uuid(uuid, sandbox) != 0
        || sandbox_disk_path(path, FLATTEN_CHAINS) != 0)
    {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              sandbox);
    }

    /* two sandboxes with the same place only wait for each other */
    place = first + (off_t) strtoul(uuid, NULL, 16);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    while ((rc = *fd == -1 ? -1 : flatten_lock(*fd, place, alone)) == 0
           && sandbox_time_monotonic_ms() < deadline_ms)
    {
        sandbox_hv_sleep_ms(FLATTEN_CHAIN_POLL_MS);
    }

    if (rc == 1) {
        return err->status;
    }

    if (rc == 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                              "the disk of \"%s\" is held by who takes it, "
                              "settles a take of it or makes it flatter",
                              sandbox);
    } else {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" cannot be locked: %s", path,
                              strerror(errno));
    }

    if (*fd != -1) {
        (void) close(*fd);
        *fd = -1;
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_hold_chain(const char *sandbox, int alone,
                              int64_t deadline_ms, int *fd,
                              sandbox_hv_error_t *err)
{
    return flatten_hold(sandbox, 0, alone, deadline_ms, fd, err);
}


sandbox_hv_status_t
sandbox_checkpoint_hold_undo(const char *sandbox, int64_t deadline_ms, int *fd,
                             sandbox_hv_error_t *err)
{
    return flatten_hold(sandbox, FLATTEN_UNDO, 1, deadline_ms, fd, err);
}


/* The chain of the domain's disk as libvirt's XML has it. */
static sandbox_hv_status_t
flatten_files(const sandbox_flatten_t *f, sandbox_domain_files_t *files,
              sandbox_hv_error_t *err)
{
    int rc;
    char *xml;

    memset(files, 0, sizeof(*files));
    xml = virDomainGetXMLDesc(f->domain, 0);

    if (xml == NULL) {
        return sandbox_hv_fail(err, f->conn, "cannot look at \"%s\"", f->id);
    }

    rc = sandbox_domain_files_read(files, xml);
    free(xml);

    return sandbox_hv_set(err, rc == 0 ? SANDBOX_HV_OK : SANDBOX_HV_FAILED,
                          rc == 0 ? "%s" : "the disk of \"%s\" is unreadable",
                          rc == 0 ? "" : f->id);
}


/* 1: a job is in progress; 0: none; -1 with *err. */
static int
flatten_goes_on(sandbox_hv_conn_t *conn, virDomainPtr domain,
                sandbox_hv_error_t *err)
{
    int rc;
    const char *name;
    virDomainBlockJobInfo info;

    name = virDomainGetName(domain);
    rc = virDomainGetBlockJobInfo(domain, FLATTEN_DISK, &info, 0);

    if (rc < 0) {
        (void) sandbox_hv_fail(err, conn, "cannot look at the disk of \"%s\"",
                               name);
    }

    return rc;
}


sandbox_hv_status_t
sandbox_checkpoint_unflatten(sandbox_hv_conn_t *conn, virDomainPtr domain,
                             sandbox_hv_error_t *err)
{
    const char *name;

    (void) sandbox_hv_ok(err);
    name = virDomainGetName(domain);

    if (flatten_goes_on(conn, domain, err) <= 0
        || virDomainBlockJobAbort(domain, FLATTEN_DISK, 0) == 0)
    {
        return err->status;
    }

    (void) sandbox_hv_fail(err, conn, "cannot stop flattening \"%s\"", name);

    /* the job may have ended by itself */
    if (virDomainGetBlockJobInfo(domain, FLATTEN_DISK,
                                 &(virDomainBlockJobInfo){ 0 }, 0)
        == 0)
    {
        (void) sandbox_hv_ok(err);
    }

    return err->status;
}


/*
 * The bytes that can be copied till the deadline.  A job that is not urgent may
 * go on after that, so its budget is larger, the more so the deeper the disk.
 */
static int64_t
flatten_budget(const sandbox_flatten_t *f, size_t n)
{
    int64_t ms;
    size_t doublings;

    ms = f->deadline_ms - sandbox_time_monotonic_ms();

    if (f->urgent) {
        return ms * FLATTEN_URGENT_BANDWIDTH / 1000;
    }

    /* layers beyond max, without the template's disk, after the first one */
    doublings = n - 2 - f->max;

    if (doublings > FLATTEN_DOUBLINGS) {
        doublings = FLATTEN_DOUBLINGS;
    }

    return ms * FLATTEN_BANDWIDTH / 1000 * (1 << doublings);
}


/* Chooses the base's path; NULL with OK: nothing is to be merged. */
static sandbox_hv_status_t
flatten_base(const sandbox_flatten_t *f, const sandbox_domain_files_t *files,
             const char **base, sandbox_hv_error_t *err)
{
    size_t i;
    const char *name;
    sandbox_disk_chain_t chain;
    sandbox_flatten_layer_t layers[SANDBOX_DISK_LAYERS];

    *base = NULL;

    if (sandbox_disk_chain(f->conn, f->domain, &chain, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    if (chain.n != files->n) {
        sandbox_disk_chain_free(&chain);
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the disk of \"%s\" is changing", f->id);
    }

    for (i = 0; i < chain.n; i++) {
        name = strrchr(chain.layers[i], '/');
        layers[i].bytes = name ? sandbox_disk_blocks(name + 1) : 0;
        layers[i].named = strcmp(chain.layers[i], files->layers[i]) == 0;
    }

    i = sandbox_flatten_base(layers, chain.n, flatten_budget(f, chain.n),
                             f->urgent);
    if (i) {
        *base = files->layers[i];
    }

    sandbox_disk_chain_free(&chain);
    return err->status;
}


/* 1: a job is in progress; 0: there is nothing to be done; -1 with *err. */
static int
flatten_begin(const sandbox_flatten_t *f, const sandbox_domain_files_t *files,
              sandbox_hv_error_t *err)
{
    int rc;
    const char *base;

    rc = flatten_goes_on(f->conn, f->domain, err);

    /* join the job: the process that began it may have died */
    if (rc == 1 && f->urgent) {
        (void) virDomainBlockJobSetSpeed(f->domain, FLATTEN_DISK, 0, 0);
    }

    if (rc != 0) {
        return rc;
    }

    if (flatten_base(f, files, &base, err) != SANDBOX_HV_OK) {
        return -1;
    }

    SANDBOX_CRASH_POINT("flatten.begin.before");

    if (base == NULL
        || virDomainBlockRebase(f->domain, FLATTEN_DISK, base,
                                f->urgent ? 0 : FLATTEN_BANDWIDTH,
                                VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES)
               == 0)
    {
        return base != NULL;
    }

    (void) sandbox_hv_fail(err, f->conn, "cannot flatten the disk of \"%s\"",
                           f->id);

    /* another process has begun a job meanwhile */
    if (virDomainGetBlockJobInfo(f->domain, FLATTEN_DISK,
                                 &(virDomainBlockJobInfo){ 0 }, 0)
        == 1)
    {
        (void) sandbox_hv_ok(err);
        return 1;
    }

    return -1;
}


/* Waits till the deadline; a job without a limit is broken off then. */
static sandbox_hv_status_t
flatten_wait(const sandbox_flatten_t *f, sandbox_hv_error_t *err)
{
    while (flatten_goes_on(f->conn, f->domain, err) == 1) {
        if (sandbox_time_monotonic_ms() < f->deadline_ms) {
            sandbox_hv_sleep_ms(FLATTEN_POLL_MS);
            continue;
        }

        if (f->urgent
            && sandbox_checkpoint_unflatten(f->conn, f->domain, err)
                   != SANDBOX_HV_OK)
        {
            break;
        }

        return sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                              "the disk of \"%s\" is not flatter yet", f->id);
    }

    return err->status;
}


/* 1: a job is in progress, on a disk of *depth layers; 0: none needed; -1. */
static int
flatten_look(const sandbox_flatten_t *f, size_t *depth, sandbox_hv_error_t *err)
{
    int rc;
    sandbox_domain_files_t files;

    if (flatten_files(f, &files, err) != SANDBOX_HV_OK) {
        return -1;
    }

    rc = files.n > f->max + 1 ? flatten_begin(f, &files, err) : 0;
    *depth = files.n;
    sandbox_domain_files_free(&files);

    return rc;
}


/* As flatten_look(), with the chain held: no take is in progress or begins. */
static int
flatten_begun(const sandbox_flatten_t *f, size_t *depth,
              sandbox_hv_error_t *err)
{
    int rc, chain;

    /* QEMU might not answer while it still sends for the last take */
    if (!sandbox_checkpoint_drain(f->id, f->deadline_ms)) {
        (void) sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                              "\"%s\" still sends what was copied of it",
                              f->id);
        return -1;
    }

    if (sandbox_checkpoint_hold_chain(f->id, 1, 0, &chain, err)
        != SANDBOX_HV_OK) {
        return -1;
    }

    rc = flatten_look(f, depth, err);

    if (chain != -1) {
        (void) close(chain);
    }

    return rc;
}


static sandbox_hv_status_t
flatten(const sandbox_flatten_t *f, sandbox_hv_error_t *err)
{
    int rc;
    size_t depth;
    sandbox_domain_turn_t turn;
    sandbox_domain_files_t files;

    sandbox_domain_enter(&turn, f->id);
    rc = flatten_begun(f, &depth, err);
    sandbox_domain_leave(&turn);

    if (rc != 1 || flatten_wait(f, err) != SANDBOX_HV_OK
        || flatten_files(f, &files, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (files.n >= depth) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "flattening the disk of \"%s\" was broken off",
                              f->id);
    }

    sandbox_domain_files_free(&files);
    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_flatten(const char *sandbox, size_t max_layers, int urgent,
                           int64_t deadline_ms, sandbox_hv_error_t *err)
{
    sandbox_flatten_t f = { .id = sandbox,
                            .max = max_layers,
                            .urgent = urgent,
                            .deadline_ms = deadline_ms };

    f.domain = sandbox_domain_of(&f.conn, sandbox, err);

    if (f.domain) {
        (void) flatten(&f, err);
        (void) virDomainFree(f.domain);
    }

    return err->status;
}
