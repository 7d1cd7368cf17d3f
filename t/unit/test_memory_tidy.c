/* Which memories on tmpfs are removed, in a directory of the test's own: the
 * domains are the test's as well. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox_checkpoint_refs.h"
#include "sandbox_memory.h"

#define MANY 700

static char base[] = "/dev/shm/sandbox-test-XXXXXX";
static sandbox_hv_conn_t conn;
static int looks;
static const char *runs_from; /* what the names of these begin with */
static int early;             /* files that were locked at the first look */
static int at_once; /* the most that were locked when one was punched */


/* --- the rest of the room ------------------------------------------------- */

int
sandbox_memory_directory(char *path)
{
    (void) snprintf(path, SANDBOX_HV_PATH_SIZE, "%s", base);
    return 0;
}


/* The number of files that are locked for the tidying. */
static int
locked(void)
{
    int fd, n;
    DIR *directory;
    struct dirent *entry;

    n = 0;
    directory = opendir(base);
    assert_non_null(directory);

    while ((entry = readdir(directory)) != NULL) {
        fd = openat(dirfd(directory), entry->d_name, O_RDONLY | O_CLOEXEC);
        assert_int_not_equal(fd, -1);
        n += flock(fd, LOCK_SH | LOCK_NB) == -1;
        (void) close(fd);
    }

    (void) closedir(directory);
    return n;
}


int
sandbox_memory_punch(int fd)
{
    int n;

    (void) fd;
    n = locked();

    if (n > at_once) {
        at_once = n;
    }

    return 0;
}


/* Nothing is on disk. */
int
sandbox_disk_path(char *path, const char *name)
{
    (void) snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/none/%s", base, name);
    return 0;
}


sandbox_hv_status_t
sandbox_checkpoint_refs_domains(sandbox_hv_conn_t *c,
                                sandbox_checkpoint_refs_t *refs,
                                sandbox_hv_error_t *err)
{
    (void) c;
    assert_true(refs->memories);

    if (looks++ == 0) {
        early = locked();
    }

    return sandbox_hv_ok(err);
}


const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_file(const sandbox_checkpoint_refs_t *refs,
                             const char *file)
{
    static sandbox_checkpoint_ref_t ref;

    (void) refs;
    return runs_from && strncmp(file, runs_from, strlen(runs_from)) == 0 ? &ref
                                                                         : NULL;
}


int
sandbox_checkpoint_refs_domain(const sandbox_checkpoint_refs_t *refs,
                               const char *name)
{
    (void) refs;
    (void) name;
    return 1;
}


void
sandbox_checkpoint_refs_free(sandbox_checkpoint_refs_t *refs)
{
    (void) refs;
}


/* --- tests ---------------------------------------------------------------- */

static void
make(const char *name)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE];

    (void) snprintf(path, sizeof(path), "%s/%s", base, name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_not_equal(fd, -1);
    (void) close(fd);
}


static int
is_there(const char *name)
{
    char path[SANDBOX_HV_PATH_SIZE];

    (void) snprintf(path, sizeof(path), "%s/%s", base, name);
    return access(path, F_OK) == 0;
}


/* However many there are, and where in the directory they are. */
static void
test_many(void **state)
{
    int i, fd, left;
    char name[64], path[SANDBOX_HV_PATH_SIZE];
    sandbox_hv_error_t err;

    (void) state;

    for (i = 0; i < MANY; i++) {
        (void) snprintf(name, sizeof(name), "snap_%d.x.ram", i);
        make(name);
    }

    runs_from = "snap_7.x.ram";
    (void) snprintf(path, sizeof(path), "%s/snap_8.x.ram", base);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_SH), 0);

    assert_int_equal(sandbox_memory_tidy(&conn, 0, &err), SANDBOX_HV_OK);
    left = 0;

    for (i = 0; i < MANY; i++) {
        (void) snprintf(name, sizeof(name), "snap_%d.x.ram", i);
        left += is_there(name);
    }

    assert_int_equal(left, 2);
    assert_true(is_there("snap_7.x.ram"));
    assert_true(is_there("snap_8.x.ram"));
    assert_true(looks >= MANY / 256 + 1);
    (void) close(fd);
}


/* What takes long keeps no start from a file: looking, punching. */
static void
test_unlocked(void **state)
{
    sandbox_hv_error_t err;

    (void) state;
    make("snap_kept.1.ram");
    make("snap_kept.2.ram");
    make("snap_kept.3.ram");
    runs_from = "snap_kept.";
    looks = 0;
    at_once = 0;

    assert_int_equal(sandbox_memory_tidy(&conn, 0, &err), SANDBOX_HV_OK);
    assert_int_equal(early, 0);
    assert_int_equal(at_once, 1);
    assert_true(looks >= 2);
    assert_true(is_there("snap_kept.1.ram"));
}


static int
begin(void **state)
{
    (void) state;
    return mkdtemp(base) ? 0 : -1;
}


static int
drop(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
    (void) st;
    (void) kind;
    (void) walk;
    return remove(path);
}


static int
end(void **state)
{
    (void) state;
    return nftw(base, drop, 8, FTW_DEPTH | FTW_PHYS);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_unlocked),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
