/* Memory files on tmpfs that are copied for a start or have their room
 * reserved, in a directory of the test's own; without libvirt, and with a
 * thread that is held up. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/mman.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failing_readdir.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#define MB 4
#define SIZE (MB * 1048576)
#define NAME "snap_a.x.ram"
#define HUGE_SIZE 2097152
#define HUGE_MB 10

static char base[] = "/dev/shm/sandbox-test-XXXXXX";
static sandbox_hypervisor_conf_t conf = { .data_dir = base };
static sandbox_hv_conn_t conn;
static sem_t gate; /* the copying thread waits for it */
static unsigned char wanted[SIZE];


/* --- what the memory files need of the rest of their room ----------------- */

const sandbox_hypervisor_conf_t *
sandbox_hv_conf(void)
{
    return &conf;
}


int
sandbox_hv_is_local(void)
{
    return 1;
}


void
sandbox_hv_log(int level, const char *fmt, ...)
{
    (void) level;
    (void) fmt;
}


void
sandbox_hv_sleep_ms(int ms)
{
    (void) usleep((useconds_t) ms * 1000);
}


sandbox_hv_status_t
sandbox_memory_tidy(sandbox_hv_conn_t *c, int room, sandbox_hv_error_t *err)
{
    (void) c;
    (void) room;
    return sandbox_hv_ok(err);
}


int
sandbox_disk_path(char *path, const char *name)
{
    (void) snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/disks/%s", base, name);
    return 0;
}


static void *(*held_run)(void *data);


static void *
held(void *data)
{
    (void) sem_wait(&gate);
    return held_run(data);
}


int
sandbox_hv_thread(pthread_t *thread, void *(*run)(void *data), void *data)
{
    held_run = run;
    return pthread_create(thread, NULL, held, data) == 0 ? 0 : -1;
}


/* --- files ---------------------------------------------------------------- */

static char *
path_of(const char *dir, const char *name)
{
    static char path[SANDBOX_HV_PATH_SIZE];

    (void) snprintf(path, sizeof(path), "%s/%s%s%s", base, dir,
                    *name ? "/" : "", name);
    return path;
}


/* The memory on disk: three runs of data in holes, one of them with zeroes. */
static void
put(void)
{
    int fd;
    size_t i;
    static const size_t at[] = { 0, 1048576 + 4096, SIZE - 8192 };

    memset(wanted, 0, sizeof(wanted));
    fd = open(path_of("disks", NAME), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_not_equal(fd, -1);
    assert_int_equal(ftruncate(fd, SIZE), 0);

    for (i = 0; i < 3; i++) {
        memset(wanted + at[i], (int) i + 1, 8192);
        if (i == 1) {
            memset(wanted + at[i] + 4096, 0, 4096);
        }
        assert_int_equal(pwrite(fd, wanted + at[i], 8192, (off_t) at[i]), 8192);
    }

    (void) close(fd);
}


static int
mode(void)
{
    struct stat st;

    return stat(path_of("memory", NAME), &st) == 0 ? (int) (st.st_mode & 07777)
                                                   : -1;
}


static int
setup(void **state)
{
    struct stat st;

    (void) state;
    (void) sem_init(&gate, 0, 0);

    if (mkdtemp(base) == NULL || mkdir(path_of("disks", ""), 0700) == -1
        || mkdir(path_of("memory", ""), 0700) == -1
        || chmod(path_of("memory", ""), 02770) == -1
        || stat(path_of("memory", ""), &st) == -1)
    {
        return -1;
    }

    conn.facts.group = (long) st.st_gid;
    return 0;
}


static int
teardown(void **state)
{
    (void) state;
    (void) unlink(path_of("disks", NAME));
    (void) unlink(path_of("memory", NAME));
    (void) rmdir(path_of("disks", ""));
    (void) rmdir(path_of("memory", ""));

    return rmdir(base);
}


static int
clean(void **state)
{
    (void) state;
    (void) unlink(path_of("disks", NAME));
    (void) unlink(path_of("memory", NAME));

    return 0;
}


/* --- tests ---------------------------------------------------------------- */

static void
test_copied(void **state)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE];
    struct stat st;
    static unsigned char got[SIZE];
    sandbox_hv_error_t err;
    sandbox_memory_start_t start, other;

    (void) state;
    put();

    sandbox_memory_start(&start, &conn, NAME, MB, 1, 0);
    assert_int_not_equal(start.fd, -1);
    assert_string_equal(start.path, path_of("memory", NAME));

    /* there for QEMU to map, and for nobody else */
    assert_int_equal(mode(), 01660);
    assert_int_equal(sandbox_memory_hold(NAME, MB, 100, path), -1);

    (void) sem_post(&gate);
    assert_int_equal(sandbox_memory_whole(&start, &err), SANDBOX_HV_OK);
    assert_int_equal(mode(), 0660);
    assert_int_equal(pread(start.fd, got, SIZE, 0), SIZE);
    assert_memory_equal(got, wanted, SIZE);
    assert_int_equal(fstat(start.fd, &st), 0);
    assert_int_equal(st.st_blocks * 512, 5 * 4096);

    /* the next one finds it */
    sandbox_memory_start(&other, &conn, NAME, MB, 1, 0);
    assert_int_not_equal(other.fd, -1);
    assert_int_equal(other.copying, 0);
    sandbox_memory_started(&other);
    sandbox_memory_started(&start);
    assert_int_equal(start.fd, -1);

    fd = sandbox_memory_hold(NAME, MB, 100, path);
    assert_int_not_equal(fd, -1);
    (void) close(fd);
    assert_int_equal(sandbox_memory_hold(NAME, MB + 1, 100, path), -1);
}


/* Who filled it has died: it is not used, and not replaced either. */
static void
test_draft(void **state)
{
    int fd;
    struct stat before, after;
    sandbox_hv_error_t err;
    sandbox_memory_start_t start;

    (void) state;
    put();

    fd = sandbox_memory_create(path_of("memory", NAME), MB, 0, &err);
    assert_int_not_equal(fd, -1);
    assert_int_equal(fstat(fd, &before), 0);
    (void) close(fd);

    sandbox_memory_start(&start, &conn, NAME, MB, 1, 0);
    assert_int_equal(start.fd, -1);
    assert_int_equal(sandbox_memory_whole(&start, &err), SANDBOX_HV_OK);
    sandbox_memory_started(&start);

    assert_int_equal(stat(path_of("memory", NAME), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}


/* It cannot be read to its end: the start fails, and nothing is left. */
static void
test_torn(void **state)
{
    sandbox_hv_error_t err;
    sandbox_memory_start_t start;

    (void) state;
    put();

    sandbox_memory_start(&start, &conn, NAME, MB, 1, 0);
    assert_int_not_equal(start.fd, -1);

    /* no whole number of pages */
    assert_int_equal(truncate(path_of("disks", NAME), 4096 + 100), 0);
    (void) sem_post(&gate);
    assert_int_equal(sandbox_memory_whole(&start, &err), SANDBOX_HV_FAILED);
    assert_non_null(strstr(err.message, NAME));
    assert_int_equal(mode(), -1);
    sandbox_memory_started(&start);
}


/* Of another length, or not there: it runs from the disk, or says why not. */
static void
test_none(void **state)
{
    sandbox_memory_start_t start;

    (void) state;

    sandbox_memory_start(&start, &conn, NAME, MB, 1, 0);
    assert_int_equal(start.fd, -1);
    sandbox_memory_started(&start);

    put();
    sandbox_memory_start(&start, &conn, NAME, MB + 1, 1, 0);
    assert_int_equal(start.fd, -1);
    sandbox_memory_started(&start);
    assert_int_equal(mode(), -1);
}


static void *
unlocked(void *data)
{
    (void) usleep(400000);
    (void) flock(*(int *) data, LOCK_UN);

    return NULL;
}


/* A start and a tidying that has the file locked for longer than a moment. */
static void
test_waits(void **state)
{
    int fd;
    pthread_t thread;
    int64_t began;
    sandbox_hv_error_t err;
    sandbox_memory_start_t start;

    (void) state;

    fd = sandbox_memory_create(path_of("memory", NAME), MB, 1, &err);
    assert_int_not_equal(fd, -1);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);

    /* it is on disk, too */
    put();
    began = sandbox_time_monotonic_ms();
    sandbox_memory_start(&start, &conn, NAME, MB, 0, began + 60000);
    assert_int_equal(start.fd, -1);
    assert_true(sandbox_time_monotonic_ms() - began < 30000);
    sandbox_memory_started(&start);

    /* it is nowhere else */
    assert_int_equal(unlink(path_of("disks", NAME)), 0);
    began = sandbox_time_monotonic_ms();
    sandbox_memory_start(&start, &conn, NAME, MB, 0, began + 200);
    assert_int_equal(start.fd, -1);
    assert_true(sandbox_time_monotonic_ms() - began >= 200);
    sandbox_memory_started(&start);

    assert_int_equal(pthread_create(&thread, NULL, unlocked, &fd), 0);
    sandbox_memory_start(&start, &conn, NAME, MB, 0,
                         sandbox_time_monotonic_ms() + 60000);
    assert_int_not_equal(start.fd, -1);
    sandbox_memory_started(&start);

    (void) pthread_join(thread, NULL);
    (void) close(fd);
}


/* A file, mapped privately where a huge page may begin. */
static char *
map_of(int fd, char *room)
{
    char *map;

    map = room + HUGE_SIZE - (uintptr_t) room % HUGE_SIZE;
    assert_ptr_equal(mmap(map, HUGE_MB * 1048576, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_FIXED, fd, 0),
                     map);
    return map;
}


/* KiB that are mapped as huge pages, of a mapping that is read here. */
static int
huge_of(const char *map)
{
    int at, kib;
    FILE *smaps;
    char line[512], begin[32];
    volatile char sum;

    for (at = 0, sum = 0; at < HUGE_MB * 1048576; at += 4096) {
        sum = (char) (sum + map[at]);
    }

    (void) snprintf(begin, sizeof(begin), "%lx-", (unsigned long) map);
    smaps = fopen("/proc/self/smaps", "r");
    assert_non_null(smaps);

    for (at = 0, kib = -1; kib == -1 && fgets(line, sizeof(line), smaps);) {
        at = at || strncmp(line, begin, strlen(begin)) == 0;
        if (at && sscanf(line, "ShmemPmdMapped: %d", &kib) != 1) {
            kib = -1;
        }
    }

    (void) fclose(smaps);
    return kib;
}


/* 1 if the kernel makes huge pages of tmpfs on demand, and has some. */
static int
huge_can(char *room)
{
    int fd, can;
    char *map;
    sandbox_hv_error_t err;

    fd = sandbox_memory_create(path_of("memory", NAME), HUGE_MB, 1, &err);
    assert_int_not_equal(fd, -1);
    map = map_of(fd, room);
    can = fallocate(fd, 0, 0, HUGE_MB * 1048576) == 0
          && madvise(map, HUGE_MB * 1048576, MADV_COLLAPSE) == 0;
    (void) close(fd);

    return can;
}


/* Holes, where they are large enough, get huge pages; the rest is as it was. */
static void
test_reserved(void **state)
{
    int fd;
    char *room, *map;
    struct stat st;
    static const char data[] = "data";
    static char wide[HUGE_MB * 1048576], got[HUGE_MB * 1048576];
    sandbox_hv_error_t err;

    (void) state;

    room = mmap(NULL, sizeof(wide) + HUGE_SIZE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(room, MAP_FAILED);

    if (!huge_can(room)) {
        (void) munmap(room, sizeof(wide) + HUGE_SIZE);
        skip();
    }

    fd = sandbox_memory_create(path_of("memory", NAME), HUGE_MB, 1, &err);
    assert_int_not_equal(fd, -1);

    /* in the second and at the end of the fourth of five */
    memcpy(wide + HUGE_SIZE + 8192, data, sizeof(data));
    memcpy(wide + 4 * HUGE_SIZE - sizeof(data), data, sizeof(data));
    assert_int_equal(pwrite(fd, data, sizeof(data), HUGE_SIZE + 8192),
                     sizeof(data));
    assert_int_equal(
        pwrite(fd, data, sizeof(data), 4 * HUGE_SIZE - (off_t) sizeof(data)),
        sizeof(data));

    /* what was copied there before, and written by who runs from it */
    map = map_of(fd, room);
    map[0] = 1;

    assert_int_equal(sandbox_memory_reserve(&conn, fd, HUGE_MB, &err),
                     SANDBOX_HV_OK);

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_blocks * 512, sizeof(wide));
    assert_int_equal(pread(fd, got, sizeof(got), 0), sizeof(got));
    assert_memory_equal(got, wide, sizeof(wide));
    assert_int_equal(map[0], 1);

    /* the third and the fifth: the first had a page when it was written to */
    assert_int_equal(huge_of(map), 2 * HUGE_SIZE / 1024);

    (void) munmap(room, sizeof(wide) + HUGE_SIZE);
    (void) close(fd);
}


/* A file that may grow beyond all room, seen or not. */
static void
test_promised(void **state)
{
    int fd, calls;

    (void) state;

    assert_true(sandbox_memory_fits());
    fd = open(path_of("memory", NAME), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_not_equal(fd, -1);
    assert_int_equal(ftruncate(fd, INT64_MAX / 4), 0);
    (void) close(fd);
    readdir_calls = 0;
    assert_false(sandbox_memory_fits());
    calls = readdir_calls;

    for (readdir_fails_at = 1; readdir_fails_at <= calls; readdir_fails_at++) {
        readdir_calls = 0;
        assert_false(sandbox_memory_fits());
    }

    readdir_fails_at = 0;
    assert_int_equal(unlink(path_of("memory", NAME)), 0);
    readdir_calls = 0;
    readdir_fails_at = 1;
    assert_false(sandbox_memory_fits());
    readdir_fails_at = 0;
    assert_true(sandbox_memory_fits());
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_copied, clean),
        cmocka_unit_test_teardown(test_draft, clean),
        cmocka_unit_test_teardown(test_torn, clean),
        cmocka_unit_test_teardown(test_none, clean),
        cmocka_unit_test_teardown(test_waits, clean),
        cmocka_unit_test_teardown(test_reserved, clean),
        cmocka_unit_test_teardown(test_promised, clean),
    };

    /* elsewhere there is no tmpfs to put it on */
    return access("/dev/shm", W_OK) == 0
               ? cmocka_run_group_tests(tests, setup, teardown)
               : 0;
}
