/* Ways of a bucket of the route cache, and a writer that is killed. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "sandbox_ways.h"

#define WAY_SIZE 256

/* Two pages: the second one begins in the middle of way 0. */
typedef struct {
    sandbox_ways_t *ways;
    unsigned char *way[2];
    size_t page;
    unsigned char *pages;
} bucket_t;


static void
make(bucket_t *b)
{
    b->page = (size_t) sysconf(_SC_PAGESIZE);
    b->pages = mmap(NULL, 2 * b->page, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(b->pages, MAP_FAILED);

    b->ways = (sandbox_ways_t *) b->pages;
    b->way[0] = b->pages + b->page - WAY_SIZE / 2;
    b->way[1] = b->way[0] + WAY_SIZE;
}


static void
unmake(bucket_t *b)
{
    assert_int_equal(munmap(b->pages, 2 * b->page), 0);
}


static void
put(bucket_t *b, size_t way, uint32_t tag, int byte)
{
    unsigned char from[WAY_SIZE];

    memset(from, byte, sizeof(from));
    sandbox_ways_put(b->ways, way, tag, b->way[way], from, sizeof(from));
}


/* A writer of way 0 that dies in the middle of it. */
static void
put_half(bucket_t *b, uint32_t tag, int byte)
{
    int status;
    pid_t pid;

    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        (void) signal(SIGSEGV, SIG_DFL);

        if (mprotect(b->pages + b->page, b->page, PROT_READ) == 0) {
            put(b, 0, tag, byte);
        }

        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}


static void
test_put(void **state)
{
    bucket_t b;

    (void) state;
    make(&b);

    put(&b, 0, 5, 'a');
    assert_int_equal(b.ways->tags[0], 5);
    assert_int_equal(b.way[0][WAY_SIZE - 1], 'a');
    assert_int_equal(b.ways->used, 1);
    assert_int_equal(b.ways->writes & 1, 0);

    put(&b, 1, 7, 'b');
    assert_int_equal(b.ways->tags[0], 5);
    assert_int_equal(b.ways->tags[1], 7);
    assert_int_equal(b.way[1][0], 'b');
    assert_int_equal(b.ways->used, 3);

    unmake(&b);
}


static void
test_forget(void **state)
{
    bucket_t b;

    (void) state;
    make(&b);

    put(&b, 0, 5, 'a');
    put(&b, 1, 7, 'b');
    sandbox_ways_forget(b.ways, 0);
    assert_int_equal(b.ways->tags[0], 0);
    assert_int_equal(b.ways->tags[1], 7);
    assert_int_equal(b.ways->generation, 1);

    sandbox_ways_forget(b.ways, SANDBOX_WAYS);
    assert_int_equal(b.ways->tags[1], 7);
    assert_int_equal(b.ways->generation, 2);
    assert_int_equal(b.ways->writes & 1, 0);

    unmake(&b);
}


/* What another one writes into the bucket must not vouch for it. */
static void
test_killed(void **state)
{
    bucket_t b;

    (void) state;
    make(&b);

    put(&b, 0, 5, 'a');
    put_half(&b, 5, 'A');
    assert_int_equal(b.ways->writes & 1, 1);

    put(&b, 1, 7, 'b');
    assert_int_equal(b.ways->writes & 1, 0);
    assert_int_equal(b.ways->tags[0], 0);

    put(&b, 0, 5, 'c');
    assert_int_equal(b.ways->tags[0], 5);
    assert_int_equal(b.way[0][0], 'c');
    assert_int_equal(b.way[0][WAY_SIZE - 1], 'c');

    unmake(&b);
}


/* Nor what another one forgets. */
static void
test_killed_forget(void **state)
{
    bucket_t b;

    (void) state;
    make(&b);

    put(&b, 0, 5, 'a');
    put_half(&b, 9, 'A');
    sandbox_ways_forget(b.ways, SANDBOX_WAYS);
    assert_int_equal(b.ways->writes & 1, 0);
    assert_int_equal(b.ways->tags[0], 0);

    unmake(&b);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_killed_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
