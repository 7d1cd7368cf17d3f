/* Reading a memory ahead: a sparse file on a disk, dropped from the page cache,
 * and what of it is there again. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox_hv.h"
#include "sandbox_memory_ahead.h"

#define SIZE (64 * 1048576)
#define DATA (3 * 1048576)
#define PAGE 4096
#define TURNS 1000 /* of 10 ms */

static char path[] = "/var/tmp/sandbox-test-XXXXXX";
static int fd;
static int refused; /* 1: there is no thread */
static int kept; /* 1: the file system keeps all in memory, or has no holes */


int
sandbox_hv_thread(pthread_t *thread, void *(*run)(void *data), void *data)
{
    return refused ? -1 : pthread_create(thread, NULL, run, data);
}


/* The pages of the page cache in a part of the file. */
static size_t
cached(off_t at, size_t len)
{
    size_t i, n;
    void *map;
    unsigned char *in;

    map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, at);
    assert_true(map != MAP_FAILED);
    in = malloc(len / PAGE);
    assert_non_null(in);
    assert_int_equal(mincore(map, len, in), 0);

    for (n = i = 0; i < len / PAGE; i++) {
        n += in[i] & 1;
    }

    free(in);
    assert_int_equal(munmap(map, len), 0);

    return n;
}


static int
make(void **state)
{
    (void) state;

    fd = mkstemp(path);
    return fd == -1 ? -1 : ftruncate(fd, SIZE);
}


static int
clean(void **state)
{
    (void) state;
    return unlink(path) | close(fd);
}


/* Data in the middle and, a page of it, at the end. */
static int
drop(void **state)
{
    unsigned char *data;

    (void) state;
    refused = 0;

    data = malloc(DATA);
    assert_non_null(data);
    memset(data, 'x', DATA);
    assert_int_equal(pwrite(fd, data, DATA, SIZE / 2), DATA);
    assert_int_equal(pwrite(fd, data, PAGE, SIZE - PAGE), PAGE);
    free(data);

    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    kept = cached(0, SIZE) != 0 || lseek(fd, 0, SEEK_HOLE) != 0;
    return 0;
}


static void
test_reads_data(void **state)
{
    int turn;
    sandbox_memory_ahead_t ahead;

    (void) state;
    if (kept) {
        skip();
    }

    sandbox_memory_ahead(&ahead, path);
    for (turn = 0; turn < TURNS
                   && (cached(SIZE - PAGE, PAGE) == 0
                       || cached(SIZE / 2, DATA) < DATA / PAGE);
         turn++)
    {
        (void) usleep(10000);
    }
    sandbox_memory_ahead_end(&ahead);

    assert_int_equal(cached(SIZE / 2, DATA), DATA / PAGE);
    assert_int_equal(cached(SIZE - PAGE, PAGE), 1);
    assert_int_equal(cached(0, SIZE / 2), 0);
    assert_int_equal(ahead.fd, -1);
}


/* Ending twice is harmless. */
static void
test_ends_at_once(void **state)
{
    sandbox_memory_ahead_t ahead;

    (void) state;
    sandbox_memory_ahead(&ahead, path);
    sandbox_memory_ahead_end(&ahead);
    sandbox_memory_ahead_end(&ahead);
    assert_int_equal(ahead.fd, -1);
}


static void
test_without_a_file(void **state)
{
    sandbox_memory_ahead_t ahead;

    (void) state;
    sandbox_memory_ahead(&ahead, "/var/tmp/sandbox-test/none");
    assert_int_equal(ahead.fd, -1);
    sandbox_memory_ahead_end(&ahead);
}


static void
test_without_a_thread(void **state)
{
    sandbox_memory_ahead_t ahead;

    (void) state;
    refused = 1;
    sandbox_memory_ahead(&ahead, path);
    assert_int_equal(ahead.fd, -1);
    sandbox_memory_ahead_end(&ahead);
    assert_true(kept || cached(0, SIZE) == 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reads_data, drop),
        cmocka_unit_test_setup(test_ends_at_once, drop),
        cmocka_unit_test(test_without_a_file),
        cmocka_unit_test_setup(test_without_a_thread, drop),
    };

    return cmocka_run_group_tests(tests, make, clean);
}
