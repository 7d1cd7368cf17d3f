/*
 * Disks: one qcow2 overlay for each sandbox, made and removed by libvirtd, so
 * that an unprivileged worker may do it and remote hosts work.  Knows nothing
 * of domains; the caller sees to it that nobody uses an overlay.
 *
 * data_dir/disks is a transient directory pool: nothing is written to
 * libvirt's configuration, a reboot of the host forgets the pool, and the first
 * verb that needs it makes it anew.
 */

#include "sandbox_crash.h"
#include "sandbox_hv.h"
#include "sandbox_time.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SANDBOX_DISK_SUFFIX ".qcow2"
#define SANDBOX_DISK_NAME_SIZE                                                 \
    (SANDBOX_HV_STEM_SIZE + sizeof(SANDBOX_DISK_SUFFIX))

/* How long a volume may be busy (still being written) before we give up. */
#define SANDBOX_DISK_BUSY_MS 10000

/* What must be left of the file system, in per cent and at most in bytes. */
#define SANDBOX_DISK_RESERVE 2
#define SANDBOX_DISK_RESERVE_MAX 1073741824


static int
sandbox_disk_directory(char *path)
{
    int n;

    n = snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/disks",
                 sandbox_hv_conf()->data_dir);

    return n < 0 || n >= SANDBOX_HV_PATH_SIZE ? -1 : 0;
}


int
sandbox_disk_path(char *path, const char *name)
{
    int n;

    n = snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/disks/%s",
                 sandbox_hv_conf()->data_dir, name);

    return n < 0 || n >= SANDBOX_HV_PATH_SIZE ? -1 : 0;
}


static void
sandbox_disk_name(char name[SANDBOX_DISK_NAME_SIZE], const char *stem)
{
    (void) snprintf(name, SANDBOX_DISK_NAME_SIZE, "%s" SANDBOX_DISK_SUFFIX,
                    stem);
}


/* The running pool over dir; NULL if there is none. */
static virStoragePoolPtr
sandbox_disk_pool_find(sandbox_hv_conn_t *conn, const char *dir)
{
    virStoragePoolPtr pool;

    pool = virStoragePoolLookupByTargetPath(conn->virt, dir);

    if (pool && virStoragePoolIsActive(pool) != 1
        && virStoragePoolCreate(pool, VIR_STORAGE_POOL_CREATE_NORMAL) < 0)
    {
        /* an operator has defined the pool and stopped it: theirs to repair */
        (void) virStoragePoolFree(pool);
        pool = NULL;
    }

    return pool;
}


/* FNV-1a: names differ where directories differ, no secret is kept. */
static void
sandbox_disk_pool_name(char name[32], const char *dir)
{
    uint64_t hash;

    hash = 14695981039346656037u;

    while (*dir) {
        hash ^= (unsigned char) *dir++;
        hash *= 1099511628211u;
    }

    (void) snprintf(name, 32, "sandbox-%016llx", (unsigned long long) hash);
}


virStoragePoolPtr
sandbox_disk_pool(sandbox_hv_conn_t *conn, sandbox_hv_error_t *err)
{
    int attempt;
    char *xml;
    char dir[SANDBOX_HV_PATH_SIZE], name[32];
    virStoragePoolPtr pool;

    if (sandbox_disk_directory(dir) != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the data directory's name is too long");
        return NULL;
    }

    pool = sandbox_disk_pool_find(conn, dir);
    if (pool) {
        return pool;
    }

    sandbox_disk_pool_name(name, dir);

    xml = sandbox_domain_xml_pool(name, dir);
    if (xml == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" cannot be written as XML", dir);
        return NULL;
    }

    /* another thread or process may be doing the same: look again */
    for (attempt = 0; pool == NULL && attempt < 20; attempt++) {
        pool = virStoragePoolCreateXML(conn->virt, xml,
                                       VIR_STORAGE_POOL_CREATE_WITH_BUILD);
        if (pool == NULL) {
            (void) sandbox_hv_fail(err, conn,
                                   "cannot make the disk pool \"%s\"", dir);
            if (err->status == SANDBOX_HV_UNAVAILABLE) {
                break;
            }

            sandbox_hv_sleep_ms(attempt * 10);
            pool = sandbox_disk_pool_find(conn, dir);
        }
    }

    free(xml);

    if (pool) {
        (void) sandbox_hv_ok(err);
    }

    return pool;
}


/* 1 if the directory is on this host, and the worker may look into it. */
static int
sandbox_disk_is_seen(void)
{
    char dir[SANDBOX_HV_PATH_SIZE];

    return sandbox_hv_is_local() && sandbox_disk_directory(dir) == 0
           && access(dir, R_OK | X_OK) == 0;
}


int
sandbox_disk_stat(const char *name, struct stat *st)
{
    char path[SANDBOX_HV_PATH_SIZE];

    if (!sandbox_disk_is_seen() || sandbox_disk_path(path, name) != 0) {
        return -1;
    }

    if (stat(path, st) == 0) {
        return 1;
    }

    return errno == ENOENT ? 0 : -1;
}


/*
 * The volume by name, also if libvirtd does not know the file yet: a file that
 * was renamed, or that a killed libvirtd left, is found by a look into the
 * directory (refresh).  libvirtd then reads the head of every image there, so
 * no refresh is asked for if the file does not exist.  libvirtd refuses a
 * refresh while any volume is being made, some ten milliseconds; if it refuses
 * till the deadline, the error is not "no such volume" but another one.
 */
virStorageVolPtr
sandbox_disk_find(virStoragePoolPtr pool, const char *name, int refresh)
{
    int64_t deadline_ms;
    struct stat st;
    virStorageVolPtr volume;

    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_DISK_BUSY_MS;

    for (;; sandbox_hv_sleep_ms(5)) {
        volume = virStorageVolLookupByName(pool, name);

        if (volume || !refresh
            || virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL
            || sandbox_disk_stat(name, &st) == 0)
        {
            return volume;
        }

        if (virStoragePoolRefresh(pool, 0) == 0) {
            return virStorageVolLookupByName(pool, name);
        }

        /* a refused refresh has libvirt's code for all other errors */
        if (virGetLastErrorCode() != VIR_ERR_INTERNAL_ERROR
            || sandbox_time_monotonic_ms() >= deadline_ms)
        {
            return NULL;
        }
    }
}


/*
 * Removes, by the worker's own rights, a file that libvirtd does not know; 1 if
 * there is none afterwards.  Such a file was renamed, or made by a worker, so
 * libvirtd is not making it.  libvirtd itself would first have to look into all
 * of the directory.
 */
static int
sandbox_disk_drop_unknown(const char *name, int *existed)
{
    struct stat st;
    sandbox_hv_error_t ignored;

    switch (sandbox_disk_stat(name, &st)) {
    case 0:
        return 1;

    case 1:
        *existed = sandbox_disk_unlink(name, &ignored) == SANDBOX_HV_OK;
        return *existed;

    default:
        return 0;
    }
}


/* Removes the volume; waits while libvirtd is still writing it. */
static sandbox_hv_status_t
sandbox_disk_drop(sandbox_hv_conn_t *conn, virStoragePoolPtr pool,
                  const char *name, int refresh, int *existed,
                  sandbox_hv_error_t *err)
{
    int code;
    int64_t deadline_ms;
    virStorageVolPtr volume;

    *existed = 0;
    deadline_ms = sandbox_time_monotonic_ms() + SANDBOX_DISK_BUSY_MS;

    for (;; sandbox_hv_sleep_ms(50)) {
        volume = sandbox_disk_find(pool, name, 0);

        if (volume == NULL && refresh
            && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        {
            if (sandbox_disk_drop_unknown(name, existed)) {
                return SANDBOX_HV_OK;
            }

            volume = sandbox_disk_find(pool, name, 1);
        }

        if (volume == NULL) {
            if (virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL) {
                return SANDBOX_HV_OK;
            }
            return sandbox_hv_fail(err, conn, "cannot look up the disk \"%s\"",
                                   name);
        }

        if (virStorageVolDelete(volume, 0) == 0) {
            (void) virStorageVolFree(volume);
            *existed = 1;
            return SANDBOX_HV_OK;
        }

        code = virGetLastErrorCode();
        (void) sandbox_hv_fail(err, conn, "cannot remove the disk \"%s\"",
                               name);
        (void) virStorageVolFree(volume);

        /* OPERATION_INVALID: the volume is in use or being made: try again */
        if (err->status == SANDBOX_HV_UNAVAILABLE
            || (code != VIR_ERR_OPERATION_INVALID
                && code != VIR_ERR_NO_STORAGE_VOL)
            || sandbox_time_monotonic_ms() >= deadline_ms)
        {
            return err->status;
        }
    }
}


/*
 * Keeps the last of the room for guests that run: a guest that cannot write
 * gets a broken file system.  If the directory is on another host, its room is
 * not known, and nothing is refused.
 */
static sandbox_hv_status_t
sandbox_disk_room(const char *name, sandbox_hv_error_t *err)
{
    uint64_t room, reserve;
    char dir[SANDBOX_HV_PATH_SIZE];
    struct statvfs fs;

    if (sandbox_disk_directory(dir) == 0 && statvfs(dir, &fs) == 0) {
        room = (uint64_t) fs.f_bavail * fs.f_frsize;
        reserve =
            (uint64_t) fs.f_blocks * fs.f_frsize / 100 * SANDBOX_DISK_RESERVE;

        if (reserve > SANDBOX_DISK_RESERVE_MAX) {
            reserve = SANDBOX_DISK_RESERVE_MAX;
        }

        if (room < reserve) {
            return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY,
                                  "there is no room for \"%s\": %llu MiB of "
                                  "the file system are left",
                                  name, (unsigned long long) room >> 20);
        }
    }

    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_disk_make(sandbox_hv_conn_t *conn, virStoragePoolPtr pool,
                  const char *name, const char *xml, int *replaced,
                  sandbox_hv_error_t *err)
{
    int code;
    virStorageVolPtr volume;

    *replaced = 0;

    if (sandbox_disk_room(name, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    volume = virStorageVolCreateXML(pool, xml, 0);

    if (volume == NULL) {
        code = virGetLastErrorCode();
        (void) sandbox_hv_fail(err, conn, "cannot make the disk \"%s\"", name);

        /* OPERATION_INVALID: there is a file that libvirtd has not seen yet */
        if (code != VIR_ERR_STORAGE_VOL_EXIST
            && code != VIR_ERR_OPERATION_INVALID) {
            return err->status;
        }

        if (sandbox_disk_drop(conn, pool, name, 1, replaced, err)
            != SANDBOX_HV_OK) {
            return err->status;
        }

        volume = virStorageVolCreateXML(pool, xml, 0);
        if (volume == NULL) {
            return sandbox_hv_fail(err, conn, "cannot make the disk \"%s\"",
                                   name);
        }
    }

    (void) virStorageVolFree(volume);

    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_disk_create(sandbox_hv_conn_t *conn, const char *stem,
                    const char *backing, int64_t mb, char *path, int *replaced,
                    sandbox_hv_error_t *err)
{
    char *xml;
    char name[SANDBOX_DISK_NAME_SIZE];
    virStoragePoolPtr pool;

    sandbox_disk_name(name, stem);

    if (sandbox_disk_path(path, name) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the data directory's name is too long");
    }

    pool = sandbox_disk_pool(conn, err);
    if (pool == NULL) {
        return err->status;
    }

    xml = sandbox_domain_xml_volume(name, backing, mb * 1048576, "0600",
                                    conn->facts.owner, conn->facts.group);
    if (xml == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the disk of \"%s\" cannot be written as XML",
                              stem);
    } else {
        SANDBOX_CRASH_POINT("boot.overlay.before");
        (void) sandbox_disk_make(conn, pool, name, xml, replaced, err);
        SANDBOX_CRASH_POINT("boot.overlay.after");
    }

    free(xml);
    (void) virStoragePoolFree(pool);
    return err->status;
}


static sandbox_hv_status_t
sandbox_disk_end(sandbox_hv_conn_t *conn, const char *name, int refresh,
                 sandbox_hv_error_t *err)
{
    int existed;
    sandbox_hv_status_t status;
    virStoragePoolPtr pool;

    pool = sandbox_disk_pool(conn, err);
    if (pool == NULL) {
        return err->status;
    }

    status = sandbox_disk_drop(conn, pool, name, refresh, &existed, err);
    (void) virStoragePoolFree(pool);

    return status == SANDBOX_HV_OK ? sandbox_hv_set(err, status, "%s", "")
                                   : status;
}


/* Removes overlays that the sandbox got in takes: "<id>.<random>.qcow2". */
static sandbox_hv_status_t
sandbox_disk_delete_later(const char *id, sandbox_hv_error_t *err)
{
    size_t i, n;
    char prefix[SANDBOX_DISK_NAME_SIZE];
    char **names;

    (void) snprintf(prefix, sizeof(prefix), "%s.", id);

    /* takes need a readable directory: without it there are no such files */
    if (sandbox_disk_local(prefix, &names, &n, err) != SANDBOX_HV_OK) {
        return sandbox_disk_is_seen() ? err->status : sandbox_hv_ok(err);
    }

    for (i = 0; i < n && err->status == SANDBOX_HV_OK; i++) {
        (void) sandbox_disk_unlink(names[i], err);
    }

    sandbox_disk_names_free(names, n);
    return err->status;
}


sandbox_hv_status_t
sandbox_disk_delete(sandbox_hv_conn_t *conn, const char *id,
                    sandbox_hv_error_t *err)
{
    char name[SANDBOX_DISK_NAME_SIZE];

    sandbox_disk_name(name, id);

    return sandbox_disk_end(conn, name, 0, err) == SANDBOX_HV_OK
               ? sandbox_disk_delete_later(id, err)
               : err->status;
}


sandbox_hv_status_t
sandbox_disk_remove(sandbox_hv_conn_t *conn, const char *name,
                    sandbox_hv_error_t *err)
{
    return sandbox_disk_end(conn, name, 1, err);
}


int
sandbox_disk_refresh(sandbox_hv_conn_t *conn)
{
    int rc;
    virStoragePoolPtr pool;
    sandbox_hv_error_t ignored;

    pool = sandbox_disk_pool(conn, &ignored);
    if (pool == NULL) {
        return -1;
    }

    rc = virStoragePoolRefresh(pool, 0);
    (void) virStoragePoolFree(pool);

    return rc;
}


/* The id in an overlay's name; 0, or -1 if the file is no overlay of ours. */
static int
sandbox_disk_id(char id[SANDBOX_ID_SIZE], const char *name)
{
    size_t len, suffix;

    len = strlen(name);
    suffix = sizeof(SANDBOX_DISK_SUFFIX) - 1;

    if (len <= suffix || strcmp(name + len - suffix, SANDBOX_DISK_SUFFIX) != 0)
    {
        return -1;
    }

    /* an overlay made by a take has one more part in its name */
    return sandbox_id_parse(id, "sb", name, strcspn(name, "."));
}


sandbox_hv_status_t
sandbox_hypervisor_list_disks(char (**ids)[SANDBOX_ID_SIZE], size_t *n,
                              sandbox_hv_error_t *err)
{
    size_t i, files, domains;
    char **names;
    char(*found)[SANDBOX_ID_SIZE];
    sandbox_hv_conn_t *conn;
    char(*list)[SANDBOX_ID_SIZE];

    *ids = NULL;
    *n = 0;

    conn = sandbox_hv_connection(err);
    if (conn == NULL
        || sandbox_disk_names(conn, "sb_", &names, &files, err)
               != SANDBOX_HV_OK)
    {
        return err->status;
    }

    /* after the files: an overlay whose domain was started since is left out */
    found = NULL;

    if (sandbox_inventory_names(conn, &list, &domains, err) == SANDBOX_HV_OK) {
        found = calloc(files + 1, sizeof(*found));

        if (found == NULL) {
            (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        }
    }

    for (i = 0; found && i < files; i++) {
        if (sandbox_disk_id(found[*n], names[i]) == 0
            && !sandbox_inventory_has((const char(*)[SANDBOX_ID_SIZE]) list,
                                      domains, found[*n]))
        {
            (*n)++;
        }
    }

    sandbox_disk_names_free(names, files);
    free(list);
    *ids = found;

    return err->status;
}
