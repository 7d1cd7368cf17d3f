/* A sandbox's disk: room for it, and its end, with the overlays it got later.
 * libvirt has no volumes, and the directory is the test's own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "failing_readdir.h"
#include "sandbox_hv.h"

#define ID "sb_a"

static char base[] = "/tmp/sandbox-test-XXXXXX";
static sandbox_hypervisor_conf_t conf = { .data_dir = base };
static sandbox_hv_conn_t conn;
static int is_local = 1;
static const char *full; /* the directory whose file system is full, or NULL */


/* --- libvirt -------------------------------------------------------------- */

virStoragePoolPtr
virStoragePoolLookupByTargetPath(virConnectPtr virt, const char *path)
{
    (void) virt;
    (void) path;
    return (virStoragePoolPtr) &conn;
}


int
virStoragePoolIsActive(virStoragePoolPtr pool)
{
    (void) pool;
    return 1;
}


int
virStoragePoolCreate(virStoragePoolPtr pool, unsigned int flags)
{
    (void) pool;
    (void) flags;
    return -1;
}


virStoragePoolPtr
virStoragePoolCreateXML(virConnectPtr virt, const char *xml, unsigned int flags)
{
    (void) virt;
    (void) xml;
    (void) flags;
    return NULL;
}


int
virStoragePoolRefresh(virStoragePoolPtr pool, unsigned int flags)
{
    (void) pool;
    (void) flags;
    return 0;
}


int
virStoragePoolFree(virStoragePoolPtr pool)
{
    (void) pool;
    return 0;
}


virStorageVolPtr
virStorageVolLookupByName(virStoragePoolPtr pool, const char *name)
{
    (void) pool;
    (void) name;
    return NULL;
}


virStorageVolPtr
virStorageVolCreateXML(virStoragePoolPtr pool, const char *xml,
                       unsigned int flags)
{
    (void) pool;
    (void) xml;
    (void) flags;
    return NULL;
}


int
virStorageVolDelete(virStorageVolPtr volume, unsigned int flags)
{
    (void) volume;
    (void) flags;
    return -1;
}


int
virStorageVolFree(virStorageVolPtr volume)
{
    (void) volume;
    return 0;
}


int
virGetLastErrorCode(void)
{
    return VIR_ERR_NO_STORAGE_VOL;
}


/* --- libc ----------------------------------------------------------------- */

int
statvfs(const char *path, struct statvfs *fs)
{
    memset(fs, 0, sizeof(*fs));
    fs->f_frsize = 4096;
    fs->f_blocks = 1000000;
    fs->f_bavail = full && strcmp(path, full) == 0 ? 0 : fs->f_blocks;
    return 0;
}


/* --- the rest of the room ------------------------------------------------- */

const sandbox_hypervisor_conf_t *
sandbox_hv_conf(void)
{
    return &conf;
}


int
sandbox_hv_is_local(void)
{
    return is_local;
}


void
sandbox_hv_sleep_ms(int ms)
{
    (void) ms;
}


sandbox_hv_conn_t *
sandbox_hv_connection(sandbox_hv_error_t *err)
{
    (void) err;
    return &conn;
}


sandbox_hv_status_t
sandbox_disk_names(sandbox_hv_conn_t *c, const char *prefix, char ***names,
                   size_t *n, sandbox_hv_error_t *err)
{
    (void) c;
    return sandbox_disk_local(prefix, names, n, err);
}


sandbox_hv_status_t
sandbox_inventory_names(sandbox_hv_conn_t *c, char (**list)[SANDBOX_ID_SIZE],
                        size_t *n, sandbox_hv_error_t *err)
{
    (void) c;
    *list = NULL;
    *n = 0;
    return sandbox_hv_ok(err);
}


int
sandbox_inventory_has(const char (*list)[SANDBOX_ID_SIZE], size_t n,
                      const char *id)
{
    (void) list;
    (void) n;
    (void) id;
    return 0;
}


/* --- tests ---------------------------------------------------------------- */

static const char *
path_of(const char *name)
{
    static char path[SANDBOX_HV_PATH_SIZE];

    assert_int_equal(sandbox_disk_path(path, name), 0);
    return path;
}


static void
make(const char *name)
{
    int fd;

    fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_not_equal(fd, -1);
    (void) close(fd);
}


static int
is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}


static sandbox_hv_status_t delete (void)
{
    sandbox_hv_error_t err;

    readdir_calls = 0;
    return sandbox_disk_delete(&conn, ID, &err);
}


static void
test_later(void **state)
{
    (void) state;

    make(ID ".x.qcow2");
    make(ID ".y.qcow2");
    make(ID "b.x.qcow2");
    assert_int_equal(delete (), SANDBOX_HV_OK);
    assert_false(is_there(ID ".x.qcow2"));
    assert_false(is_there(ID ".y.qcow2"));
    assert_true(is_there(ID "b.x.qcow2"));
    assert_int_equal(unlink(path_of(ID "b.x.qcow2")), 0);
}


/* What is left is no success: it is to be repeated. */
static void
test_half(void **state)
{
    (void) state;

    make(ID ".x.qcow2");

    for (readdir_fails_at = 1; readdir_fails_at <= 4; readdir_fails_at++) {
        assert_int_equal(delete (), SANDBOX_HV_FAILED);
        assert_true(is_there(ID ".x.qcow2"));
    }

    readdir_fails_at = 0;
    assert_int_equal(delete (), SANDBOX_HV_OK);
    assert_false(is_there(ID ".x.qcow2"));
}


/* Of another host's libvirt the directory is not looked into. */
static void
test_elsewhere(void **state)
{
    (void) state;

    is_local = 0;
    readdir_fails_at = 1;
    assert_int_equal(delete (), SANDBOX_HV_OK);
    readdir_fails_at = 0;
    is_local = 1;
}


/* The disks may be on a file system of their own. */
static void
test_room(void **state)
{
    int replaced;
    char path[SANDBOX_HV_PATH_SIZE], dir[SANDBOX_HV_PATH_SIZE];
    sandbox_hv_error_t err;

    (void) state;

    full = base;
    assert_int_not_equal(
        sandbox_disk_create(&conn, ID, "/b", 1, path, &replaced, &err),
        SANDBOX_HV_NO_CAPACITY);

    (void) snprintf(dir, sizeof(dir), "%s/disks", base);
    full = dir;
    assert_int_equal(
        sandbox_disk_create(&conn, ID, "/b", 1, path, &replaced, &err),
        SANDBOX_HV_NO_CAPACITY);
    full = NULL;
}


static int
begin(void **state)
{
    (void) state;
    return mkdtemp(base) && mkdir(path_of(""), 0700) == 0 ? 0 : -1;
}


static int
end(void **state)
{
    (void) state;
    return rmdir(path_of("")) == 0 ? rmdir(base) : -1;
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
