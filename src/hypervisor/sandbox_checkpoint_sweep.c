/*
 * How many boot checkpoints are kept, and for how long: makers and removers
 * take turns by a lock, the number of shapes is bounded, and shapes that no
 * present template has are removed, as is what dead makers left.
 */

#include "sandbox_checkpoint_parts.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SWEEP_WAIT_MS 50
#define SWEEP_REFRESH_MS 3600000 /* a name is a kilobyte of libvirtd's */


int
sandbox_checkpoint_lock(int64_t deadline_ms, sandbox_hv_error_t *err)
{
    int fd;

    (void) sandbox_hv_ok(err);

    /* each call opens its own description, so threads exclude each other too */
    fd = open(sandbox_hv_conf()->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd == -1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the data directory cannot be opened: %s",
                              strerror(errno));
        return -1;
    }

    while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                  "the data directory cannot be locked: %s",
                                  strerror(errno));
            (void) close(fd);
            return -1;
        }

        if (sandbox_time_monotonic_ms() >= deadline_ms) {
            (void) sandbox_hv_set(err, SANDBOX_HV_TIMEOUT,
                                  "another checkpoint is being made");
            (void) close(fd);
            return -1;
        }

        sandbox_hv_sleep_ms(SWEEP_WAIT_MS);
    }

    return fd;
}


/* Removes a checkpoint if nothing uses it, and logs why. */
static sandbox_hv_status_t
sweep_remove(sandbox_hv_conn_t *conn, const char *id, const char *why,
             sandbox_hv_error_t *err)
{
    if (sandbox_checkpoint_remove(conn, id, 1, err) == SANDBOX_HV_OK) {
        sandbox_hv_log(SANDBOX_HV_LOG_NOTICE,
                       "the checkpoint \"%s\" is removed: %s", id, why);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_checkpoint_room(sandbox_hv_conn_t *conn, const char *id, size_t max,
                        sandbox_hv_error_t *err)
{
    char other[SANDBOX_ID_SIZE];
    char **names;
    size_t i, n, kept;

    if (sandbox_disk_names(conn, SANDBOX_CHECKPOINT_SHAPE_PREFIX, &names, &n,
                           err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    kept = 0;

    for (i = 0; i < n; i++) {
        kept += sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_SUFFIX);
    }

    for (i = 0; max && kept >= max && i < n; i++) {
        if (sandbox_checkpoint_ends(names[i], SANDBOX_CHECKPOINT_SUFFIX)
            && sandbox_checkpoint_id(other, names[i]) == 0
            && strcmp(other, id) != 0
            && sweep_remove(conn, other, "another shape is asked for", err)
                   == SANDBOX_HV_OK)
        {
            kept--;
        }
    }

    sandbox_disk_names_free(names, n);

    if (max && kept >= max) {
        return sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                              "%zu shapes are kept, and all are in use", kept);
    }

    return sandbox_hv_ok(err);
}


/* 1 if a template would now, on this host, get the same checkpoint id. */
static int
sweep_present(const sandbox_checkpoint_t *c,
              sandbox_template_t *const *templates)
{
    char id[SANDBOX_ID_SIZE];
    size_t i;
    sandbox_hv_error_t err;

    for (i = 0; templates[i]; i++) {
        if (strcmp(templates[i]->name, c->template) != 0) {
            continue;
        }

        /* if that cannot be told, the checkpoint stays */
        if (sandbox_checkpoint_shape(id, templates[i], (int) c->vcpus,
                                     c->memory_mb, &err)
                != SANDBOX_HV_OK
            || strcmp(id, c->id) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* Ends a domain of that id: the lock is held, so its maker has died. */
static void
sweep_domain(sandbox_hv_conn_t *conn, const char *id, sandbox_hv_error_t *err)
{
    char uuid[SANDBOX_UUID_SIZE];
    virDomainPtr domain;

    if (sandbox_id_uuid(uuid, id) != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "no UUID for \"%s\"", id);
        return;
    }

    domain = sandbox_domain_lookup(conn, uuid, err);

    if (domain && !sandbox_domain_is_lost(domain, uuid)) {
        sandbox_hv_log(
            SANDBOX_HV_LOG_NOTICE,
            "the maker of the checkpoint \"%s\" has died: its domain "
            "is ended",
            id);
        (void) sandbox_domain_end(conn, uuid, err);
    }

    if (domain) {
        (void) virDomainFree(domain);
    }
}


static void
sweep_one(sandbox_hv_conn_t *conn, const char *id,
          sandbox_template_t *const *templates, sandbox_hv_error_t *err)
{
    int torn;
    sandbox_accel_t accel;
    sandbox_checkpoint_t c;

    sweep_domain(conn, id, err);

    if (err->status != SANDBOX_HV_OK
        || sandbox_hypervisor_accel(&accel, err) != SANDBOX_HV_OK)
    {
        return;
    }

    switch (sandbox_checkpoint_load(conn, id, accel, &c, NULL, &torn, err)) {
    case SANDBOX_HV_OK:
        if (!sweep_present(&c, templates)) {
            (void) sweep_remove(conn, id, "no present template has it", err);
        }

        sandbox_checkpoint_free(&c);
        break;

    case SANDBOX_HV_NO_CHECKPOINT:
        /* parts, or a checkpoint of another QEMU: it cannot be started */
        (void) sweep_remove(
            conn, id, torn ? "it is torn" : "it cannot be started here", err);
        break;

    default:
        break;
    }
}


static sandbox_hv_status_t
sweep(sandbox_hv_conn_t *conn, sandbox_template_t *const *templates,
      sandbox_hv_error_t *err)
{
    char id[SANDBOX_ID_SIZE], last[SANDBOX_ID_SIZE];
    char **names;
    size_t i, n;

    if (sandbox_disk_names(conn, SANDBOX_CHECKPOINT_SHAPE_PREFIX, &names, &n,
                           err)
        != SANDBOX_HV_OK)
    {
        return err->status;
    }

    last[0] = '\0';

    for (i = 0; i < n && err->status != SANDBOX_HV_UNAVAILABLE; i++) {
        if (sandbox_checkpoint_id(id, names[i]) == 0 && strcmp(id, last) != 0) {
            (void) snprintf(last, sizeof(last), "%s", id);
            sweep_one(conn, id, templates, err);
        }
    }

    sandbox_disk_names_free(names, n);

    /* what other makers of the same shapes have left, whatever its age */
    return err->status == SANDBOX_HV_UNAVAILABLE
               ? err->status
               : sandbox_checkpoint_clean(conn, SANDBOX_CHECKPOINT_SHAPE_PREFIX,
                                          err);
}


static void
sweep_refresh(sandbox_hv_conn_t *conn)
{
    int64_t now;
    static int64_t next;

    now = sandbox_time_monotonic_ms();

    if (now >= next && sandbox_disk_refresh(conn) == 0) {
        next = now + SWEEP_REFRESH_MS;
    }
}


sandbox_hv_status_t
sandbox_checkpoint_sweep(sandbox_template_t *const *templates,
                         sandbox_hv_error_t *err)
{
    int lock;
    sandbox_hv_conn_t *conn;

    conn = sandbox_hv_connection(err);
    if (conn == NULL) {
        return err->status;
    }

    sweep_refresh(conn);
    lock = sandbox_checkpoint_lock(0, err);

    if (lock != -1) {
        (void) sweep(conn, templates, err);
        (void) close(lock);

    } else if (err->status == SANDBOX_HV_TIMEOUT) {
        /* a boot checkpoint is being made */
        (void) sandbox_checkpoint_clean(conn, NULL, err);
    }

    return err->status == SANDBOX_HV_OK ? sandbox_memory_tidy(conn, 0, err)
                                        : err->status;
}
