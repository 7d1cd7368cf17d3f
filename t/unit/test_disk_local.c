/* The directory of disks as the worker reads it: one of the test's own, and a
 * reading of it that fails. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "failing_readdir.h"
#include "sandbox_hv.h"

#define FILES 3
#define WRITTEN "snap_w.state"

static char base[] = "/tmp/sandbox-test-XXXXXX";

/* What syncfs() was last called with, and its error (0: none). */
static int synced;
static int sync_error;

static int write_error; /* of pwrite(), 0: none */


/* In the place of libc's. */
int
syncfs(int fd)
{
    synced = fd;
    errno = sync_error;
    return sync_error ? -1 : 0;
}


/* In the place of libc's. */
void
sync(void)
{
    synced = -1;
}


/* In the place of libc's: the first call writes half, a later one may fail. */
ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (at == 0) {
        len /= 2;

    } else if (write_error) {
        errno = write_error;
        return -1;
    }

    return syscall(SYS_pwrite64, fd, data, len, at);
}


int
sandbox_disk_path(char *path, const char *name)
{
    (void) snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/%s", base, name);
    return 0;
}


static void
name_of(char *name, size_t size, int i)
{
    (void) snprintf(name, size, "snap_%d.state", i);
}


static sandbox_hv_status_t
list(const char *prefix, size_t *n)
{
    char **names;
    sandbox_hv_status_t status;
    sandbox_hv_error_t err;

    readdir_calls = 0;
    status = sandbox_disk_local(prefix, &names, n, &err);
    assert_int_equal(status, err.status);

    if (status != SANDBOX_HV_OK) {
        assert_null(names);
    }

    sandbox_disk_names_free(names, *n);
    return status;
}


static void
test_all(void **state)
{
    size_t n;

    (void) state;

    assert_int_equal(list("", &n), SANDBOX_HV_OK);
    assert_int_equal(n, FILES + 2);
    assert_int_equal(list("snap_", &n), SANDBOX_HV_OK);
    assert_int_equal(n, FILES);
    assert_int_equal(list("sb_", &n), SANDBOX_HV_OK);
    assert_int_equal(n, 0);
}


/* What is not listed would count as not being there. */
static void
test_half(void **state)
{
    int all;
    size_t n;

    (void) state;

    assert_int_equal(list("", &n), SANDBOX_HV_OK);
    all = readdir_calls;

    for (readdir_fails_at = 1; readdir_fails_at <= all; readdir_fails_at++) {
        assert_int_equal(list("", &n), SANDBOX_HV_FAILED);
        assert_int_equal(n, 0);
        assert_int_equal(list("snap_", &n), SANDBOX_HV_FAILED);
        assert_int_equal(n, 0);
    }

    readdir_fails_at = 0;
}


static void
test_none(void **state)
{
    size_t n;
    char last;

    (void) state;

    last = base[sizeof(base) - 2];
    base[sizeof(base) - 2] = '/';
    assert_int_equal(list("", &n), SANDBOX_HV_FAILED);
    base[sizeof(base) - 2] = last;
}


/* An error of writing is told. */
static void
test_sync(void **state)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE];
    struct stat dir, opened;
    sandbox_hv_error_t err;

    (void) state;

    fd = sandbox_disk_sync_open();
    assert_int_not_equal(fd, -1);
    (void) sandbox_disk_path(path, "");
    assert_int_equal(stat(path, &dir), 0);
    assert_int_equal(fstat(fd, &opened), 0);
    assert_true(opened.st_dev == dir.st_dev && opened.st_ino == dir.st_ino);

    assert_int_equal(sandbox_disk_sync(fd, &err), SANDBOX_HV_OK);
    assert_int_equal(synced, fd);
    sync_error = EIO;
    assert_int_equal(sandbox_disk_sync(fd, &err), SANDBOX_HV_FAILED);
    assert_non_null(strstr(err.message, "Input/output error"));
    sync_error = 0;
    (void) close(fd);
}


/* All is synced where the directory cannot be opened. */
static void
test_sync_all(void **state)
{
    int fd;
    char last;
    sandbox_hv_error_t err;

    (void) state;

    last = base[sizeof(base) - 2];
    base[sizeof(base) - 2] = '/';
    fd = sandbox_disk_sync_open();
    base[sizeof(base) - 2] = last;

    assert_int_equal(fd, -1);
    synced = 0;
    assert_int_equal(sandbox_disk_sync(fd, &err), SANDBOX_HV_OK);
    assert_int_equal(synced, -1);
}


static int
write_file(const char *text, sandbox_hv_error_t *err)
{
    return sandbox_disk_write(WRITTEN, (const unsigned char *) text,
                              strlen(text), err);
}


/* It is there with its content, as every worker may read it, or not at all. */
static void
test_write(void **state)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE], text[32];
    mode_t mask;
    size_t n;
    struct stat st;
    sandbox_hv_error_t err;

    (void) state;

    write_error = ENOSPC;
    assert_int_equal(write_file("some text", &err), 1);
    assert_int_equal(err.status, SANDBOX_HV_NO_CAPACITY);
    write_error = EIO;
    assert_int_equal(write_file("some text", &err), 1);
    assert_int_equal(err.status, SANDBOX_HV_FAILED);
    assert_non_null(strstr(err.message, "Input/output error"));
    write_error = 0;

    assert_int_equal(list("", &n), SANDBOX_HV_OK);
    assert_int_equal(n, FILES + 2);

    mask = umask(077);
    assert_int_equal(write_file("some text", &err), 1);
    (void) umask(mask);
    assert_int_equal(err.status, SANDBOX_HV_OK);

    /* the second one, and where there is no directory: libvirt tells */
    assert_int_equal(write_file("other", &err), 0);
    base[sizeof(base) - 2] ^= 1;
    assert_int_equal(write_file("other", &err), 0);
    base[sizeof(base) - 2] ^= 1;

    (void) sandbox_disk_path(path, WRITTEN);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0640);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 9);
    assert_memory_equal(text, "some text", 9);
    (void) close(fd);

    assert_int_equal(list("", &n), SANDBOX_HV_OK);
    assert_int_equal(n, FILES + 2 + 1);
    assert_int_equal(sandbox_disk_unlink(WRITTEN, &err), SANDBOX_HV_OK);
}


static int
begin(void **state)
{
    int i, fd;
    char name[32], path[SANDBOX_HV_PATH_SIZE];

    (void) state;

    if (mkdtemp(base) == NULL) {
        return -1;
    }

    for (i = 0; i < FILES; i++) {
        name_of(name, sizeof(name), i);
        (void) sandbox_disk_path(path, name);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd == -1) {
            return -1;
        }

        (void) close(fd);
    }

    return 0;
}


static int
end(void **state)
{
    int i;
    char name[32];
    sandbox_hv_error_t err;

    (void) state;

    for (i = 0; i < FILES; i++) {
        name_of(name, sizeof(name), i);

        if (sandbox_disk_unlink(name, &err) != SANDBOX_HV_OK) {
            return -1;
        }
    }

    return rmdir(base);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),      cmocka_unit_test(test_half),
        cmocka_unit_test(test_none),     cmocka_unit_test(test_sync),
        cmocka_unit_test(test_sync_all), cmocka_unit_test(test_write),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
