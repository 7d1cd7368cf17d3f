/*
 * How the state of a machine's devices gets out of QEMU and into it.
 *
 * Over a descriptor of a copy in memory, so that QEMU loads exactly the bytes
 * whose digest was checked, and the worker needs no right to any file.  A
 * connection to another host passes no descriptors; there a QEMU that knows
 * "file:" is given a name.
 */

#define _GNU_SOURCE

#include "sandbox_checkpoint_parts.h"
#include "sandbox_qmp.h"
#include "sandbox_time.h"
#include "sandbox_write.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first version of QEMU that has "file:" with an offset. */
#define STATE_FILE_SINCE 8002000


int
sandbox_checkpoint_memory(const unsigned char *data, size_t len)
{
    int fd;

    fd = memfd_create(SANDBOX_CHECKPOINT_FD, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    /* QEMU may have the memfd open while it is mapped and read here */
    if (fd != -1
        && (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == -1
            || sandbox_write(fd, data, len, 0) == -1))
    {
        (void) close(fd);
        return -1;
    }

    return fd;
}


const unsigned char *
sandbox_checkpoint_map(int fd, size_t *len)
{
    void *map;
    struct stat st;

    if (fstat(fd, &st) == -1 || st.st_size <= 0
        || st.st_size > SANDBOX_CHECKPOINT_STATE_MAX)
    {
        return NULL;
    }

    *len = (size_t) st.st_size;
    map = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);

    return map == MAP_FAILED ? NULL : map;
}


static sandbox_hv_status_t
state_move(sandbox_hv_conn_t *conn, virDomainPtr domain, int incoming,
           const char *uri, sandbox_hv_error_t *err)
{
    int64_t deadline_ms;

    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_CHECKPOINT_STATE_MS;

    return sandbox_monitor_migrate(conn, domain, incoming, uri, err)
                   == SANDBOX_HV_OK
               ? sandbox_monitor_migrated(conn, domain, deadline_ms, err)
               : err->status;
}


/* As state_move(), with a file of the directory of disks, from an offset on. */
static sandbox_hv_status_t
state_move_file(sandbox_hv_conn_t *conn, virDomainPtr domain, int incoming,
                const char *path, int64_t offset, sandbox_hv_error_t *err)
{
    char uri[SANDBOX_QMP_URI_SIZE];

    if (conn->facts.qemu < STATE_FILE_SINCE) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "this version of QEMU moves no state over a "
                              "connection to another host");
    }

    if (sandbox_qmp_file(uri, path, offset) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "QEMU cannot be told of \"%s\"", path);
    }

    return state_move(conn, domain, incoming, uri, err);
}


/*
 * Saves through a file of QEMU's user, which is named as a memory is, so that
 * the sweep removes one that is left behind.
 */
static int
state_save_file(sandbox_hv_conn_t *conn, virDomainPtr domain, const char *id,
                sandbox_hv_error_t *err)
{
    int fd, replaced;
    size_t size;
    unsigned char *data;
    sandbox_hv_error_t ignored;
    sandbox_checkpoint_names_t names;

    if (sandbox_checkpoint_names(&names, id) != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the host has no randomness");
        return -1;
    }

    if (sandbox_disk_ram(conn, names.ram, 1, names.ram_path, &replaced, err)
        != SANDBOX_HV_OK)
    {
        return -1;
    }

    fd = -1;
    data = NULL;

    if (state_move_file(conn, domain, 0, names.ram_path, 0, err)
            == SANDBOX_HV_OK
        && sandbox_disk_get(conn, names.ram, SANDBOX_CHECKPOINT_STATE_MAX,
                            &data, &size, err)
               == SANDBOX_HV_OK)
    {
        fd = data ? sandbox_checkpoint_memory(data, size) : -1;

        if (fd == -1) {
            (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                  "QEMU's device state of \"%s\" cannot be "
                                  "read",
                                  id);
        }
    }

    free(data);
    (void) sandbox_disk_remove(conn, names.ram, &ignored);
    return fd;
}


int
sandbox_checkpoint_save(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *id, sandbox_hv_error_t *err)
{
    int fd;

    /* the memory is in its file already */
    if (sandbox_monitor_capability(conn, domain, "x-ignore-shared", 1, err)
            != SANDBOX_HV_OK
        || sandbox_monitor_unlimited(conn, domain, err) != SANDBOX_HV_OK)
    {
        return -1;
    }

    if (!sandbox_hv_is_local()) {
        return state_save_file(conn, domain, id, err);
    }

    fd = sandbox_checkpoint_memory(NULL, 0);

    if (fd == -1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");

    } else if (sandbox_monitor_fd(conn, domain, SANDBOX_CHECKPOINT_FD, fd, err)
                   != SANDBOX_HV_OK
               || state_move(conn, domain, 0, SANDBOX_CHECKPOINT_URI, err)
                      != SANDBOX_HV_OK)
    {
        (void) close(fd);
        fd = -1;
    }

    return fd;
}


/*
 * Loads from the checkpoint's own file, at whose end the state lies.  That file
 * was read and checked before.  If the checkpoint was made anew since, its
 * memory has another name, and the loaded state may be another one.
 */
static sandbox_hv_status_t
state_receive_file(sandbox_hv_conn_t *conn, virDomainPtr domain,
                   const sandbox_checkpoint_t *c, sandbox_accel_t accel,
                   int state, sandbox_hv_error_t *err)
{
    int torn, same;
    off_t len;
    char name[SANDBOX_CHECKPOINT_NAME_SIZE], path[SANDBOX_HV_PATH_SIZE];
    int64_t length, blocks;
    sandbox_checkpoint_t again;

    len = lseek(state, 0, SEEK_END);
    (void) snprintf(name, sizeof(name), "%s" SANDBOX_CHECKPOINT_SUFFIX, c->id);

    if (len == -1 || sandbox_disk_path(path, name) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "no names for \"%s\"",
                              c->id);
    }

    if (sandbox_disk_size(conn, name, &length, &blocks, err) != SANDBOX_HV_OK
        || state_move_file(conn, domain, 1, path, length - len, err)
               != SANDBOX_HV_OK
        || sandbox_checkpoint_load(conn, c->id, accel, &again, NULL, &torn, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    same = strcmp(again.ram, c->ram) == 0;
    sandbox_checkpoint_free(&again);

    return same ? err->status
                : sandbox_hv_set(err, SANDBOX_HV_NO_CHECKPOINT,
                                 "\"%s\" was made anew meanwhile", c->id);
}


sandbox_hv_status_t
sandbox_checkpoint_receive(sandbox_hv_conn_t *conn, virDomainPtr domain,
                           const sandbox_checkpoint_t *c, sandbox_accel_t accel,
                           int state, sandbox_hv_error_t *err)
{
    /*
     * The guest gets another MAC address anyway.  And Linux 6.12 hangs when it
     * is asked to announce its card while that is taken down.
     */
    if (sandbox_monitor_capability(conn, domain, "x-ignore-shared", 1, err)
            != SANDBOX_HV_OK
        || sandbox_monitor_unannounced(conn, domain, err) != SANDBOX_HV_OK)
    {
        return err->status;
    }

    if (!sandbox_hv_is_local()) {
        return state_receive_file(conn, domain, c, accel, state, err);
    }

    return sandbox_monitor_fd(conn, domain, SANDBOX_CHECKPOINT_FD, state, err)
                   == SANDBOX_HV_OK
               ? state_move(conn, domain, 1, SANDBOX_CHECKPOINT_URI, err)
               : err->status;
}
