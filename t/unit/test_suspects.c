/* Which suspects are news, and how many at most. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "sandbox_suspects.h"


/* Tells of the nth sandbox. */
static int
tell(sandbox_suspects_t *s, int n, int64_t now)
{
    char id[SANDBOX_ID_SIZE];

    (void) snprintf(id, sizeof(id), "sb_aa%018d", n);

    return sandbox_suspects_new(s, id, now);
}


static void
test_once(void **state)
{
    int64_t now;
    sandbox_suspects_t s = { 0 };

    (void) state;

    assert_int_equal(tell(&s, 1, 1000), 1);
    assert_int_equal(tell(&s, 2, 1000), 1);

    for (now = 1000; now < 1000 + SANDBOX_SUSPECTS_INTERVAL_MS; now++) {
        assert_int_equal(tell(&s, 1, now), 0);
        assert_int_equal(tell(&s, 2, now), 0);
    }

    assert_int_equal(tell(&s, 1, now), 1);
    assert_int_equal(tell(&s, 1, now), 0);
    assert_int_equal(tell(&s, 2, now), 1);
}


static void
test_bounded(void **state)
{
    int n, told;
    sandbox_suspects_t s = { 0 };

    (void) state;
    told = 0;

    for (n = 0; n < 10 * SANDBOX_SUSPECTS_MAX; n++) {
        told += tell(&s, n, 1000 + n);
    }

    assert_int_equal(told, SANDBOX_SUSPECTS_MAX);

    /* those of before have made room */
    for (n = 0; n < 10 * SANDBOX_SUSPECTS_MAX; n++) {
        told += tell(&s, 1000 + n, 2000 + SANDBOX_SUSPECTS_INTERVAL_MS);
    }

    assert_int_equal(told, 2 * SANDBOX_SUSPECTS_MAX);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
