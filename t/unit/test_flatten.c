/* Which layers of a deep disk are merged, and what comes of it in the long
 * run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_flatten.h"

#define MB 1048576LL
#define ROOM 64

/* All of them may be the base. */
static size_t
base_of(const int *mb, size_t n, int64_t budget, int must)
{
    size_t i;
    sandbox_flatten_layer_t layers[ROOM];

    for (i = 0; i < n; i++) {
        layers[i].bytes = mb[i] * MB;
        layers[i].named = 1;
    }

    return sandbox_flatten_base(layers, n, budget * MB, must);
}


#define BASE(budget, must, ...)                                                \
    base_of((const int[]){ __VA_ARGS__ },                                      \
            sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int), budget, must)


static void
test_all(void **state)
{
    (void) state;

    assert_int_equal(BASE(1000, 0, 1, 1, 1, 1, 0), 4);
    assert_int_equal(BASE(1000, 0, 1, 64, 1, 500), 3);
    assert_int_equal(BASE(1000, 0, 0, 100, 100, 100, 0), 4);
    assert_int_equal(BASE(1000, 0, 500, 500, 0), 2);
}


static void
test_large(void **state)
{
    (void) state;

    /* the old large one is left, with what is below it */
    assert_int_equal(BASE(10000, 0, 1, 1, 1, 1, 1000, 0), 4);
    assert_int_equal(BASE(10000, 0, 1, 1, 1, 1, 1000, 1, 1, 0), 4);

    /* until there is as much above it */
    assert_int_equal(BASE(10000, 0, 1, 400, 300, 300, 1000, 1, 0), 6);

    /* the young large one, too, until then */
    assert_int_equal(BASE(10000, 0, 1, 1000, 1, 1, 1, 0), 0);
    assert_int_equal(BASE(10000, 1, 1, 1000, 1, 1, 1, 0), 2);
    assert_int_equal(BASE(10000, 0, 1, 1000, 1, 990, 1, 0), 5);
}


static void
test_budget(void **state)
{
    (void) state;

    assert_int_equal(BASE(10, 0, 100, 4, 4, 4, 4, 0), 3);
    assert_int_equal(BASE(12, 0, 100, 4, 4, 4, 4, 0), 4);
    assert_int_equal(BASE(3, 0, 100, 4, 4, 4, 4, 0), 0);
    assert_int_equal(BASE(3, 1, 100, 4, 4, 4, 4, 0), 0);
    assert_int_equal(BASE(-1, 1, 0, 0, 0, 0), 0);
}


static void
test_nothing(void **state)
{
    (void) state;

    assert_int_equal(BASE(1000, 1, 5), 0);
    assert_int_equal(BASE(1000, 1, 5, 5), 0);
}


/* One that was renamed is merged with what it stands on, or not at all. */
static void
test_named(void **state)
{
    sandbox_flatten_layer_t layers[] = { { MB, 1 }, { MB, 0 },        { MB, 0 },
                                         { MB, 1 }, { 1000 * MB, 0 }, { MB, 0 },
                                         { 0, 1 } };

    (void) state;

    assert_int_equal(sandbox_flatten_base(layers, 7, 10000 * MB, 0), 3);
    assert_int_equal(sandbox_flatten_base(layers, 7, MB, 1), 0);

    layers[3].named = 0;
    assert_int_equal(sandbox_flatten_base(layers, 7, 10000 * MB, 0), 0);
    assert_int_equal(sandbox_flatten_base(layers, 7, 10000 * MB, 1), 6);
}


/*
 * A sandbox that writes so much each time it is awake, all of it new, and is
 * made flatter when it is deeper than eight layers.
 */
static void
test_cycles(void **state)
{
    size_t i, n, base, depth;
    int64_t mb, written, copied;
    sandbox_flatten_layer_t layers[ROOM];

    (void) state;

    for (mb = 1; mb <= 1000; mb *= 10) {
        n = 1;
        depth = 0;
        written = 0;
        copied = 0;
        memset(layers, 0, sizeof(layers));
        layers[0].named = 1;

        while (written < 2000 * mb) {
            memmove(&layers[1], &layers[0], n * sizeof(layers[0]));
            layers[0].bytes = mb * MB;
            n++;
            written += mb;

            base =
                n - 1 > 8 ? sandbox_flatten_base(layers, n, INT64_MAX, 0) : 0;

            if (base) {
                for (i = 1; i < base; i++) {
                    copied += layers[i].bytes / MB;
                    layers[0].bytes += layers[i].bytes;
                }

                memmove(&layers[1], &layers[base],
                        (n - base) * sizeof(layers[0]));
                n -= base - 1;
            }

            if (n - 1 > depth) {
                depth = n - 1;
            }

            assert_in_range(n, 1, ROOM - 1);
        }

        assert_in_range(depth, 1, 12);
        assert_in_range(copied, 1, 12 * written);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),    cmocka_unit_test(test_large),
        cmocka_unit_test(test_budget), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_named),  cmocka_unit_test(test_cycles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
