/* What is read ahead of a memory file, by the kernel's own word (mincore). */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox_memory.h"

#define PAGE 4096
#define SIZE (64 * 1048576)

/* Data in two places, with holes before, between and after. */
#define FIRST (3 * 1048576)
#define SECOND (40 * 1048576)
#define LENGTH 1048576

#define NAME "snap_a.x.ram"

/* of a file system that has a disk: what is on tmpfs is always there */
static char base[] = "/var/tmp/sandbox-test-XXXXXX";


int
sandbox_disk_path(char *path, const char *name)
{
    (void) snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/%s", base, name);
    return 0;
}


int
sandbox_hv_thread(pthread_t *thread, void *(*run)(void *), void *data)
{
    return pthread_create(thread, NULL, run, data);
}


/* How many pages of it the page cache has, between two places. */
static size_t
cached(int fd, size_t from, size_t to)
{
    size_t i, n;
    void *map;
    static unsigned char there[SIZE / PAGE];

    map = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mincore(map, SIZE, there), 0);
    assert_int_equal(munmap(map, SIZE), 0);

    for (i = from / PAGE, n = 0; i < to / PAGE; i++) {
        n += there[i] & 1;
    }

    return n;
}


/* On disk, and not in the page cache where the file system can do that. */
static int
put(void)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE];
    static unsigned char data[LENGTH];

    (void) sandbox_disk_path(path, NAME);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_not_equal(fd, -1);

    memset(data, 1, sizeof(data));
    assert_int_equal(ftruncate(fd, SIZE), 0);
    assert_int_equal(pwrite(fd, data, sizeof(data), FIRST), LENGTH);
    assert_int_equal(pwrite(fd, data, sizeof(data), SECOND), LENGTH);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);

    return fd;
}


static void
test_read(void **state)
{
    int fd, turn;
    sandbox_memory_ahead_t ahead;

    (void) state;
    fd = put();

    if (cached(fd, 0, SIZE) != 0) {
        (void) close(fd);
        skip();
    }

    sandbox_memory_ahead(&ahead, NAME);

    for (turn = 0; turn < 5000
                   && (cached(fd, FIRST, FIRST + LENGTH) < LENGTH / PAGE
                       || cached(fd, SECOND, SECOND + LENGTH) < LENGTH / PAGE);
         turn++)
    {
        (void) usleep(1000);
    }

    sandbox_memory_ahead_end(&ahead);
    assert_int_equal(cached(fd, FIRST, FIRST + LENGTH), LENGTH / PAGE);
    assert_int_equal(cached(fd, SECOND, SECOND + LENGTH), LENGTH / PAGE);

    /* no pages of holes but what one piece reaches over an end */
    assert_true(cached(fd, 0, SIZE) <= (2 * LENGTH + 2 * 131072) / PAGE);
    (void) close(fd);
}


/* None, one that is not there, and one that is ended at once. */
static void
test_ended(void **state)
{
    sandbox_memory_ahead_t ahead;

    (void) state;

    sandbox_memory_ahead(&ahead, NULL);
    assert_false(ahead.reading);
    sandbox_memory_ahead_end(&ahead);

    sandbox_memory_ahead(&ahead, "none");
    assert_false(ahead.reading);
    sandbox_memory_ahead_end(&ahead);

    (void) close(put());
    sandbox_memory_ahead(&ahead, NAME);
    assert_true(ahead.reading);
    sandbox_memory_ahead_end(&ahead);
    sandbox_memory_ahead_end(&ahead);
    assert_int_equal(ahead.fd, -1);
}


static int
begin(void **state)
{
    (void) state;
    return mkdtemp(base) ? 0 : -1;
}


static int
end(void **state)
{
    char path[SANDBOX_HV_PATH_SIZE];

    (void) state;
    (void) sandbox_disk_path(path, NAME);
    (void) unlink(path);
    return rmdir(base);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_ended),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
