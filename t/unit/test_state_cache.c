/* What was read of the states of checkpoints: known again, or not. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_state_cache.h"

#define THREADS 4
#define ROUNDS 2000

static const char files[] = "snap_a.x.ram\0snap_a.x.qcow2\0disk.qcow2\0";


/* As sandbox_disk_file.c has it. */
int
sandbox_disk_names_have(char **names, size_t n, const char *name)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return 1;
        }
    }

    return 0;
}


static struct stat
a_stat(void)
{
    struct stat st;

    memset(&st, 0, sizeof(st));
    st.st_dev = 1;
    st.st_ino = 2;
    st.st_size = 3;
    st.st_ctim.tv_sec = 4;
    st.st_ctim.tv_nsec = 5;

    return st;
}


static int
is_known(const char *id, const struct stat *st)
{
    int known;
    char *copy;

    copy = sandbox_state_cache_get(id, st);
    known = copy != NULL;

    if (known) {
        assert_memory_equal(copy, files, sizeof(files));
    }

    free(copy);
    return known;
}


static int
empty(void **state)
{
    (void) state;

    sandbox_state_cache_trim(NULL, 0);
    return 0;
}


static void
test_known(void **state)
{
    struct stat st, other;

    (void) state;

    st = a_stat();
    assert_false(is_known("snap_a", &st));
    sandbox_state_cache_put("snap_a", &st, files);
    assert_true(is_known("snap_a", &st));
    assert_false(is_known("snap_", &st));
    assert_false(is_known("snap_aa", &st));

    other = st;
    other.st_dev++;
    assert_false(is_known("snap_a", &other));
    other = st;
    other.st_ino++;
    assert_false(is_known("snap_a", &other));
    other = st;
    other.st_size++;
    assert_false(is_known("snap_a", &other));
    other = st;
    other.st_ctim.tv_sec++;
    assert_false(is_known("snap_a", &other));
    other = st;
    other.st_ctim.tv_nsec++;
    assert_false(is_known("snap_a", &other));

    /* made anew */
    sandbox_state_cache_put("snap_a", &other, files);
    assert_false(is_known("snap_a", &st));
    assert_true(is_known("snap_a", &other));
}


static void
test_gone(void **state)
{
    char b[] = "snap_b.state", c[] = "snap_c.x.ram", d[] = "snap_d.state";
    char *names[] = { b, c, d };
    struct stat st;

    (void) state;

    st = a_stat();
    sandbox_state_cache_put("snap_d", &st, files);
    sandbox_state_cache_put("snap_a", &st, files);
    sandbox_state_cache_put("snap_c", &st, files);
    sandbox_state_cache_put("snap_b", &st, files);
    sandbox_state_cache_trim(names, 3);

    assert_false(is_known("snap_a", &st));
    assert_true(is_known("snap_b", &st));
    assert_false(is_known("snap_c", &st));
    assert_true(is_known("snap_d", &st));
}


static void
test_bound(void **state)
{
    int i, known;
    char id[SANDBOX_ID_SIZE];
    struct stat st;

    (void) state;

    st = a_stat();
    known = 0;

    for (i = 0; i < SANDBOX_STATE_CACHE_MAX + 10; i++) {
        (void) snprintf(id, sizeof(id), "snap_%d", i);
        sandbox_state_cache_put(id, &st, files);
        known += is_known(id, &st);
    }

    assert_int_equal(known, SANDBOX_STATE_CACHE_MAX);
    assert_true(is_known("snap_0", &st));
}


static void *
of_one(void *data)
{
    int i;
    char id[SANDBOX_ID_SIZE];
    struct stat st;

    st = a_stat();

    for (i = 0; i < ROUNDS; i++) {
        (void) snprintf(id, sizeof(id), "snap_%d", (i + *(int *) data) % 50);
        sandbox_state_cache_put(id, &st, files);
        free(sandbox_state_cache_get(id, &st));

        if (i % 100 == 0) {
            sandbox_state_cache_trim(NULL, 0);
        }
    }

    return NULL;
}


static void
test_threads(void **state)
{
    int i, n[THREADS];
    pthread_t threads[THREADS];

    (void) state;

    for (i = 0; i < THREADS; i++) {
        n[i] = i * 10;
        assert_int_equal(pthread_create(&threads[i], NULL, of_one, &n[i]), 0);
    }

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_known, empty),
        cmocka_unit_test_teardown(test_gone, empty),
        cmocka_unit_test_teardown(test_bound, empty),
        cmocka_unit_test_teardown(test_threads, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
