/* Raw volumes on another host: an error of libvirt's is told, and not that of
 * cleaning up after it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_hv.h"

#define FILE_SIZE 100000

typedef enum {
    LOOKUP = 1,
    NEW,
    OPEN,  /* Upload, Download */
    PIECE, /* Send, Recv */
    SHORT, /* Recv finds the end too early */
    FINISH,
} call_t;

static sandbox_hv_conn_t conn;
static call_t fails;   /* the call that fails; 0: none */
static int code;       /* what it fails with */
static int last_error; /* as in libvirt: of the last call only */
static int told;       /* last_error when sandbox_hv_fail() was called */
static int streams, volumes, aborted, deleted;
static size_t left; /* bytes that the stream has still to give */


/* --- libvirt -------------------------------------------------------------- */

static int
call(call_t which)
{
    last_error = which == fails ? code : VIR_ERR_OK;
    return last_error == VIR_ERR_OK ? 0 : -1;
}


int
virGetLastErrorCode(void)
{
    return last_error;
}


int
virStoragePoolFree(virStoragePoolPtr pool)
{
    (void) pool;
    return call(0);
}


int
virStoragePoolRefresh(virStoragePoolPtr pool, unsigned int flags)
{
    (void) pool;
    (void) flags;
    return call(0);
}


int
virStoragePoolListAllVolumes(virStoragePoolPtr pool, virStorageVolPtr **list,
                             unsigned int flags)
{
    (void) pool;
    (void) list;
    (void) flags;
    return -1;
}


virStorageVolPtr
virStorageVolCreateXML(virStoragePoolPtr pool, const char *xml,
                       unsigned int flags)
{
    (void) pool;
    (void) xml;
    (void) flags;
    volumes++;
    (void) call(0);
    return (virStorageVolPtr) &volumes;
}


virStorageVolPtr
virStorageVolLookupByName(virStoragePoolPtr pool, const char *name)
{
    (void) pool;
    (void) name;

    if (call(LOOKUP) != 0) {
        return NULL;
    }

    volumes++;
    return (virStorageVolPtr) &volumes;
}


const char *
virStorageVolGetName(virStorageVolPtr volume)
{
    (void) volume;
    return NULL;
}


int
virStorageVolGetInfo(virStorageVolPtr volume, virStorageVolInfoPtr info)
{
    (void) volume;
    memset(info, 0, sizeof(*info));
    info->capacity = FILE_SIZE;
    return call(0);
}


int
virStorageVolDelete(virStorageVolPtr volume, unsigned int flags)
{
    (void) volume;
    (void) flags;
    deleted++;
    return call(0);
}


int
virStorageVolFree(virStorageVolPtr volume)
{
    (void) volume;
    volumes--;
    return call(0);
}


int
virStorageVolUpload(virStorageVolPtr volume, virStreamPtr stream,
                    unsigned long long offset, unsigned long long length,
                    unsigned int flags)
{
    (void) volume;
    (void) stream;
    (void) offset;
    (void) flags;
    left = length;
    return call(OPEN);
}


int
virStorageVolDownload(virStorageVolPtr volume, virStreamPtr stream,
                      unsigned long long offset, unsigned long long length,
                      unsigned int flags)
{
    return virStorageVolUpload(volume, stream, offset, length, flags);
}


virStreamPtr
virStreamNew(virConnectPtr virt, unsigned int flags)
{
    (void) virt;
    (void) flags;

    if (call(NEW) != 0) {
        return NULL;
    }

    streams++;
    return (virStreamPtr) &streams;
}


int
virStreamFree(virStreamPtr stream)
{
    (void) stream;
    streams--;
    return call(0);
}


int
virStreamAbort(virStreamPtr stream)
{
    (void) stream;
    aborted++;
    return call(0);
}


int
virStreamFinish(virStreamPtr stream)
{
    (void) stream;
    return call(FINISH);
}


/* The second piece fails. */
static int
piece(size_t n)
{
    if (left < FILE_SIZE && call(PIECE) != 0) {
        return -1;
    }

    left -= n;
    return (int) n;
}


int
virStreamSend(virStreamPtr stream, const char *data, size_t n)
{
    (void) stream;
    (void) data;
    return piece(n);
}


int
virStreamRecv(virStreamPtr stream, char *data, size_t n)
{
    (void) stream;
    memset(data, 'x', n);
    return fails == SHORT && left < FILE_SIZE ? call(0) : piece(n);
}


/* --- the rest of the room ------------------------------------------------- */

sandbox_hv_status_t
sandbox_hv_fail(sandbox_hv_error_t *err, sandbox_hv_conn_t *c, const char *fmt,
                ...)
{
    (void) c;
    told = last_error;
    return sandbox_hv_set(err, SANDBOX_HV_FAILED, "%s", fmt);
}


sandbox_hv_conn_t *
sandbox_hv_connection(sandbox_hv_error_t *err)
{
    (void) err;
    return &conn;
}


int
sandbox_hv_is_local(void)
{
    return 0;
}


char *
sandbox_domain_xml_volume(const char *name, const char *backing,
                          long long bytes, const char *mode, long owner,
                          long group)
{
    (void) name;
    (void) backing;
    (void) bytes;
    (void) mode;
    (void) owner;
    (void) group;
    return strdup("<volume/>");
}


virStoragePoolPtr
sandbox_disk_pool(sandbox_hv_conn_t *c, sandbox_hv_error_t *err)
{
    (void) c;
    (void) err;
    return (virStoragePoolPtr) &conn;
}


int
sandbox_disk_path(char *path, const char *name)
{
    (void) name;
    path[0] = '\0';
    return 0;
}


int
sandbox_disk_stat(const char *name, struct stat *st)
{
    (void) name;
    (void) st;
    return -1;
}


virStorageVolPtr
sandbox_disk_find(virStoragePoolPtr pool, const char *name, int refresh)
{
    (void) refresh;
    return virStorageVolLookupByName(pool, name);
}


sandbox_hv_status_t
sandbox_disk_make(sandbox_hv_conn_t *c, virStoragePoolPtr pool,
                  const char *name, const char *xml, int *replaced,
                  sandbox_hv_error_t *err)
{
    (void) c;
    (void) pool;
    (void) name;
    (void) xml;
    (void) replaced;
    return err->status;
}


/* --- tests ---------------------------------------------------------------- */

static void
begin(call_t which, int error)
{
    fails = which;
    code = error;
    told = VIR_ERR_OK;
    aborted = deleted = 0;
}


static sandbox_hv_status_t
put(call_t which, int error)
{
    int exists;
    char path[SANDBOX_HV_PATH_SIZE];
    sandbox_hv_error_t err;
    static unsigned char data[FILE_SIZE];

    begin(which, error);
    (void) sandbox_disk_put(&conn, "a", data, sizeof(data), FILE_SIZE, path,
                            &exists, &err);
    assert_int_equal(exists, 0);
    assert_int_equal(streams, 0);
    assert_int_equal(volumes, 0);

    return err.status;
}


static void
test_put(void **state)
{
    call_t which;

    (void) state;

    assert_int_equal(put(0, VIR_ERR_OK), SANDBOX_HV_OK);
    assert_int_equal(deleted, 0);

    for (which = LOOKUP; which <= FINISH; which++) {
        if (which != SHORT) {
            assert_int_equal(put(which, VIR_ERR_SYSTEM_ERROR),
                             SANDBOX_HV_FAILED);
            assert_int_equal(told, VIR_ERR_SYSTEM_ERROR);
            assert_int_equal(aborted, 0);
            assert_int_equal(deleted, 1);
        }
    }
}


static sandbox_hv_status_t
get(call_t which, int error, int there)
{
    size_t size;
    unsigned char *data;
    sandbox_hv_error_t err;

    begin(which, error);
    (void) sandbox_disk_get(&conn, "a", FILE_SIZE, &data, &size, &err);
    assert_int_equal(data != NULL, there);
    assert_int_equal(streams, 0);
    assert_int_equal(volumes, 0);
    free(data);

    return err.status;
}


static void
test_get(void **state)
{
    call_t which;

    (void) state;

    assert_int_equal(get(0, VIR_ERR_OK, 1), SANDBOX_HV_OK);

    for (which = LOOKUP; which <= FINISH; which++) {
        if (which != SHORT) {
            assert_int_equal(get(which, VIR_ERR_SYSTEM_ERROR, 0),
                             SANDBOX_HV_FAILED);
            assert_int_equal(told, VIR_ERR_SYSTEM_ERROR);
            assert_int_equal(aborted, 0);
        }
    }
}


/* Removed while it is read, which is no failure. */
static void
test_get_gone(void **state)
{
    (void) state;

    assert_int_equal(get(LOOKUP, VIR_ERR_NO_STORAGE_VOL, 0), SANDBOX_HV_OK);
    assert_int_equal(get(OPEN, VIR_ERR_NO_STORAGE_VOL, 0), SANDBOX_HV_OK);
    assert_int_equal(get(PIECE, VIR_ERR_NO_STORAGE_VOL, 0), SANDBOX_HV_OK);
}


/* libvirt has no error of that, and leaves the stream open. */
static void
test_get_short(void **state)
{
    (void) state;

    assert_int_equal(get(SHORT, VIR_ERR_OK, 0), SANDBOX_HV_FAILED);
    assert_int_equal(aborted, 1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_get_gone),
        cmocka_unit_test(test_get_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
