/*
 * Raw volumes beside the overlays, made through libvirt as these are: files
 * that are written or read in one piece, or left to QEMU.
 */

#include "sandbox_hv.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes that one call of a stream sends or receives at most. */
#define SANDBOX_DISK_PIECE 65536


/*
 * After a piece was not sent or received; n is what libvirt returned.  After an
 * error libvirt has aborted the stream itself, and Abort would forget the
 * error.
 */
static void
sandbox_disk_abort(virStreamPtr stream, int n)
{
    if (n == 0) {
        (void) virStreamAbort(stream);
    }
}


/* 0, or -1 with libvirt's error; the stream has ended either way. */
static int
sandbox_disk_send(virStreamPtr stream, const unsigned char *data, size_t size)
{
    int n;
    size_t piece;

    while (size) {
        piece = size < SANDBOX_DISK_PIECE ? size : SANDBOX_DISK_PIECE;
        n = virStreamSend(stream, (const char *) data, piece);

        if (n <= 0) {
            sandbox_disk_abort(stream, n);
            return -1;
        }

        data += n;
        size -= (size_t) n;
    }

    return virStreamFinish(stream);
}


static sandbox_hv_status_t
sandbox_disk_fill(sandbox_hv_conn_t *conn, virStoragePoolPtr pool,
                  const char *name, const unsigned char *data, size_t size,
                  sandbox_hv_error_t *err)
{
    int rc;
    virStreamPtr stream;
    virStorageVolPtr volume;

    rc = -1;
    volume = virStorageVolLookupByName(pool, name);
    stream = volume ? virStreamNew(conn->virt, 0) : NULL;

    if (stream && virStorageVolUpload(volume, stream, 0, size, 0) == 0) {
        rc = sandbox_disk_send(stream, data, size);
    }

    if (rc != 0) {
        (void) sandbox_hv_fail(err, conn, "cannot fill the disk \"%s\"", name);
    }

    if (stream) {
        (void) virStreamFree(stream);
    }
    if (volume) {
        (void) virStorageVolFree(volume);
    }

    return err->status;
}


sandbox_hv_status_t
sandbox_disk_put(sandbox_hv_conn_t *conn, const char *name,
                 const unsigned char *data, size_t size, long long capacity,
                 char *path, int *exists, sandbox_hv_error_t *err)
{
    int code;
    char *xml;
    virStorageVolPtr volume;
    virStoragePoolPtr pool;

    *exists = 0;
    (void) sandbox_hv_ok(err);

    if (sandbox_disk_path(path, name) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the data directory's name is too long");
    }

    pool = sandbox_disk_pool(conn, err);
    if (pool == NULL) {
        return err->status;
    }

    /* the worker's group: it reads the file itself, without round trips */
    xml = sandbox_domain_xml_volume(
        name, NULL, capacity, "0640", conn->facts.owner,
        sandbox_hv_is_local() ? (long) getegid() : conn->facts.group);
    volume = xml ? virStorageVolCreateXML(pool, xml, 0) : NULL;

    if (xml == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "out of memory");

    } else if (volume == NULL) {
        code = virGetLastErrorCode();
        *exists = code == VIR_ERR_STORAGE_VOL_EXIST
                  || code == VIR_ERR_OPERATION_INVALID;
        (void) sandbox_hv_fail(err, conn, "cannot make the disk \"%s\"", name);

    } else {
        if (sandbox_disk_fill(conn, pool, name, data, size, err)
            != SANDBOX_HV_OK) {
            (void) virStorageVolDelete(volume, 0);
        }

        (void) virStorageVolFree(volume);
    }

    free(xml);
    (void) virStoragePoolFree(pool);
    return err->status;
}


/*
 * Reads exactly size bytes; 0, or -1 with libvirt's error, which a file that is
 * too short has none of.  The stream has ended either way.
 */
static int
sandbox_disk_receive(virStreamPtr stream, unsigned char *data, size_t size)
{
    int n;
    size_t piece;

    while (size) {
        piece = size < SANDBOX_DISK_PIECE ? size : SANDBOX_DISK_PIECE;
        n = virStreamRecv(stream, (char *) data, piece);

        if (n <= 0) {
            sandbox_disk_abort(stream, n);
            return -1;
        }

        data += n;
        size -= (size_t) n;
    }

    return virStreamFinish(stream);
}


/* Allocates size bytes, at least one; NULL with *err. */
static unsigned char *
sandbox_disk_room(size_t size, sandbox_hv_error_t *err)
{
    unsigned char *data;

    data = malloc(size ? size : 1);
    if (data == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    }

    return data;
}


/* Reads a volume; NULL with OK: the file does not exist any more. */
static unsigned char *
sandbox_disk_read(sandbox_hv_conn_t *conn, virStorageVolPtr volume,
                  const char *name, size_t size, sandbox_hv_error_t *err)
{
    int rc;
    virStreamPtr stream;
    unsigned char *data;

    data = sandbox_disk_room(size, err);
    if (data == NULL) {
        return NULL;
    }

    /* an empty file was being made when its maker died */
    if (size == 0) {
        return data;
    }

    rc = -1;
    stream = virStreamNew(conn->virt, 0);

    if (stream && virStorageVolDownload(volume, stream, 0, size, 0) == 0) {
        rc = sandbox_disk_receive(stream, data, size);
    }

    if (rc != 0) {
        /* the file may have been removed since it was looked up */
        if (virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL) {
            (void) sandbox_hv_fail(err, conn, "cannot read \"%s\"", name);
        }

        free(data);
        data = NULL;
    }

    if (stream) {
        (void) virStreamFree(stream);
    }

    return data;
}


/* Looks a volume up, which the caller frees; NULL with OK: there is none. */
static sandbox_hv_status_t
sandbox_disk_look(sandbox_hv_conn_t *conn, const char *name,
                  virStorageVolPtr *volume, virStorageVolInfo *info,
                  sandbox_hv_error_t *err)
{
    virStorageVolPtr found;
    virStoragePoolPtr pool;

    *volume = NULL;

    pool = sandbox_disk_pool(conn, err);
    if (pool == NULL) {
        return err->status;
    }

    (void) sandbox_hv_ok(err);
    found = sandbox_disk_find(pool, name, 1);

    if (found && virStorageVolGetInfo(found, info) == 0) {
        *volume = found;

    } else {
        /* libvirt may still list a file that another process has removed */
        if (virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL) {
            (void) sandbox_hv_fail(err, conn, "cannot look at \"%s\"", name);
        }

        if (found) {
            (void) virStorageVolFree(found);
        }
    }

    (void) virStoragePoolFree(pool);
    return err->status;
}


/* NULL with *err. */
static unsigned char *
sandbox_disk_pread(int fd, const char *name, size_t size,
                   sandbox_hv_error_t *err)
{
    size_t len;
    ssize_t n;
    unsigned char *data;

    data = sandbox_disk_room(size, err);
    if (data == NULL) {
        return NULL;
    }

    for (len = 0; len < size; len += (size_t) n) {
        n = pread(fd, data + len, size - len, (off_t) len);

        if (n == -1 && errno == EINTR) {
            n = 0;

        } else if (n <= 0) {
            (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                                  "\"%s\" cannot be read: %s", name,
                                  n == 0 ? "it is short" : strerror(errno));
            free(data);
            return NULL;
        }
    }

    return data;
}


/*
 * Sets *size, the bytes to be read of a file of that length: at most max.
 * whole: a file longer than max is an error.
 */
static sandbox_hv_status_t
sandbox_disk_measure(const char *name, unsigned long long length, size_t max,
                     int whole, size_t *size, sandbox_hv_error_t *err)
{
    if (length > max && whole) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED, "\"%s\" is too long",
                              name);
    }

    *size = length > max ? max : (size_t) length;

    return sandbox_hv_ok(err);
}


/* Reads a file by the worker's own rights; 0: libvirt has to be asked. */
static int
sandbox_disk_load_local(const char *name, size_t max, int whole,
                        unsigned char **data, size_t *size,
                        sandbox_hv_error_t *err)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE];
    struct stat st;

    (void) sandbox_hv_ok(err);

    switch (sandbox_disk_stat(name, &st)) {
    case 0:
        return 1;
    case 1:
        break;
    default:
        return 0;
    }

    fd = sandbox_disk_path(path, name) == 0 ? open(path, O_RDONLY | O_CLOEXEC)
                                            : -1;

    /* an earlier version made such files readable for QEMU's user only */
    if (fd == -1) {
        return errno == ENOENT;
    }

    if (fstat(fd, &st) == -1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED, "\"%s\": %s", name,
                              strerror(errno));

    } else if (sandbox_disk_measure(name, (unsigned long long) st.st_size, max,
                                    whole, size, err)
               == SANDBOX_HV_OK)
    {
        *data = sandbox_disk_pread(fd, name, *size, err);
    }

    (void) close(fd);
    return 1;
}


/* whole: a file longer than max is an error; else only max bytes are read. */
static sandbox_hv_status_t
sandbox_disk_load(sandbox_hv_conn_t *conn, const char *name, size_t max,
                  int whole, unsigned char **data, size_t *size,
                  sandbox_hv_error_t *err)
{
    virStorageVolPtr volume;
    virStorageVolInfo info;

    *data = NULL;
    *size = 0;

    if (sandbox_disk_load_local(name, max, whole, data, size, err)) {
        return err->status;
    }

    if (sandbox_disk_look(conn, name, &volume, &info, err) != SANDBOX_HV_OK
        || volume == NULL)
    {
        return err->status;
    }

    if (sandbox_disk_measure(name, info.capacity, max, whole, size, err)
        == SANDBOX_HV_OK)
    {
        *data = sandbox_disk_read(conn, volume, name, *size, err);
    }

    (void) virStorageVolFree(volume);
    return err->status;
}


sandbox_hv_status_t
sandbox_disk_get(sandbox_hv_conn_t *conn, const char *name, size_t max,
                 unsigned char **data, size_t *size, sandbox_hv_error_t *err)
{
    return sandbox_disk_load(conn, name, max, 1, data, size, err);
}


sandbox_hv_status_t
sandbox_disk_head(sandbox_hv_conn_t *conn, const char *name, size_t max,
                  unsigned char **data, size_t *size, sandbox_hv_error_t *err)
{
    return sandbox_disk_load(conn, name, max, 0, data, size, err);
}


sandbox_hv_status_t
sandbox_disk_ram(sandbox_hv_conn_t *conn, const char *name, int64_t mb,
                 char *path, int *replaced, sandbox_hv_error_t *err)
{
    char *xml;
    virStoragePoolPtr pool;

    if (sandbox_disk_path(path, name) != 0) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "the data directory's name is too long");
    }

    pool = sandbox_disk_pool(conn, err);
    if (pool == NULL) {
        return err->status;
    }

    /* QEMU owns the file; the worker's group copies it to and from tmpfs */
    xml = sandbox_domain_xml_volume(name, NULL, mb * 1048576, "0660",
                                    conn->facts.owner, (long) getegid());
    if (xml == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
    } else {
        (void) sandbox_disk_make(conn, pool, name, xml, replaced, err);
    }

    free(xml);
    (void) virStoragePoolFree(pool);
    return err->status;
}


sandbox_hv_status_t
sandbox_disk_size(sandbox_hv_conn_t *conn, const char *name, int64_t *length,
                  int64_t *blocks, sandbox_hv_error_t *err)
{
    struct stat st;
    virStorageVolPtr volume;
    virStorageVolInfo info;

    *length = -1;
    *blocks = 0;

    /* for a renamed file libvirtd would have to read the whole directory */
    switch (sandbox_disk_stat(name, &st)) {
    case 1:
        *length = (int64_t) st.st_size;
        *blocks = (int64_t) st.st_blocks * 512;
        /* fall through */

    case 0:
        return sandbox_hv_ok(err);

    default:
        break;
    }

    if (sandbox_disk_look(conn, name, &volume, &info, err) == SANDBOX_HV_OK
        && volume)
    {
        *length = (int64_t) info.capacity;
        *blocks = (int64_t) info.allocation;
        (void) virStorageVolFree(volume);
    }

    return err->status;
}


int64_t
sandbox_disk_age(const char *name)
{
    int64_t age;
    char path[SANDBOX_HV_PATH_SIZE];
    struct stat st;
    struct timespec now;

    if (sandbox_disk_path(path, name) != 0 || stat(path, &st) == -1
        || clock_gettime(CLOCK_REALTIME, &now) == -1)
    {
        return 0;
    }

    age = (int64_t) (now.tv_sec - st.st_ctim.tv_sec) * 1000
          + (now.tv_nsec - st.st_ctim.tv_nsec) / 1000000;

    return age > 0 ? age : 0;
}


static int
sandbox_disk_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


static int
sandbox_disk_collect(virStorageVolPtr *volumes, int count, const char *prefix,
                     char **names, size_t *n)
{
    int i;
    const char *name;

    for (i = 0; i < count; i++) {
        name = virStorageVolGetName(volumes[i]);

        if (name == NULL || strncmp(name, prefix, strlen(prefix)) != 0) {
            continue;
        }

        names[*n] = strdup(name);
        if (names[*n] == NULL) {
            return -1;
        }

        (*n)++;
    }

    qsort(names, *n, sizeof(*names), sandbox_disk_compare);
    return 0;
}


/* Lists names by libvirt, which looks into each file of the directory. */
static sandbox_hv_status_t
sandbox_disk_volumes(sandbox_hv_conn_t *conn, const char *prefix, char ***names,
                     size_t *n, sandbox_hv_error_t *err)
{
    int i, count;
    virStoragePoolPtr pool;
    virStorageVolPtr *volumes;

    *n = 0;
    *names = NULL;

    pool = sandbox_disk_pool(conn, err);
    if (pool == NULL) {
        return err->status;
    }

    (void) virStoragePoolRefresh(pool, 0);
    count = virStoragePoolListAllVolumes(pool, &volumes, 0);

    if (count < 0) {
        (void) sandbox_hv_fail(err, conn, "cannot list the files");
        (void) virStoragePoolFree(pool);
        return err->status;
    }

    (void) virStoragePoolFree(pool);
    (void) sandbox_hv_ok(err);
    *names = calloc((size_t) count + 1, sizeof(**names));

    if (*names == NULL
        || sandbox_disk_collect(volumes, count, prefix, *names, n) != 0)
    {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        sandbox_disk_names_free(*names, *n);
        *names = NULL;
        *n = 0;
    }

    for (i = 0; i < count; i++) {
        (void) virStorageVolFree(volumes[i]);
    }

    free(volumes);
    return err->status;
}


/* Drops ".", ".." and other hidden names, as libvirt does not list them. */
static void
sandbox_disk_drop_hidden(char **names, size_t *n)
{
    size_t i, kept;

    kept = 0;

    for (i = 0; i < *n; i++) {
        if (names[i][0] == '.') {
            free(names[i]);
        } else {
            names[kept++] = names[i];
        }
    }

    *n = kept;
}


sandbox_hv_status_t
sandbox_disk_names(sandbox_hv_conn_t *conn, const char *prefix, char ***names,
                   size_t *n, sandbox_hv_error_t *err)
{
    if (!sandbox_hv_is_local()
        || sandbox_disk_local(prefix, names, n, err) != SANDBOX_HV_OK)
    {
        return sandbox_disk_volumes(conn, prefix, names, n, err);
    }

    if (*n > 1) {
        qsort(*names, *n, sizeof(**names), sandbox_disk_compare);
    }

    sandbox_disk_drop_hidden(*names, n);
    return err->status;
}


int
sandbox_disk_names_have(char **names, size_t n, const char *name)
{
    return n
           && bsearch(&name, names, n, sizeof(*names), sandbox_disk_compare)
                  != NULL;
}
