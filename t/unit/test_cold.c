/* Shapes that boot cold for a while. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sandbox_cold.h"


static void
test_rows(void **state)
{
    (void) state;

    assert_int_equal(sandbox_cold_failures("a", 0), 0);

    sandbox_cold_failed("a", 1000);
    sandbox_cold_failed("a", 1001);

    assert_int_equal(sandbox_cold_failures("a", 1002), -1);
    assert_int_equal(sandbox_cold_failures("b", 1002), 0);
    assert_int_equal(sandbox_cold_failures("a", 1000 + SANDBOX_COLD_MS), 1);

    sandbox_cold_failed("a", 1000 + SANDBOX_COLD_MS);

    assert_int_equal(sandbox_cold_failures("a", 1000 + SANDBOX_COLD_MS), -1);
    assert_int_equal(sandbox_cold_failures("a", 1000 + 2 * SANDBOX_COLD_MS), 2);

    sandbox_cold_forget("a");
    sandbox_cold_forget("b");

    assert_int_equal(sandbox_cold_failures("a", 1000), 0);
}


/* Any number of shapes: the latest are known, the oldest goes. */
static void
test_many(void **state)
{
    int i;
    char name[16];

    (void) state;

    for (i = 0; i < 1000; i++) {
        (void) snprintf(name, sizeof(name), "s%d", i);
        sandbox_cold_failed(name, i);
        assert_int_equal(sandbox_cold_failures(name, i), -1);
    }

    assert_int_equal(sandbox_cold_failures("s998", 999), -1);
    assert_int_equal(sandbox_cold_failures("s0", 999), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
