/* Clocks and RFC 3339. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "sandbox_time.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


static void
test_format(void **state)
{
    char out[SANDBOX_TIME_SIZE];
    size_t i;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1, "1970-01-01T00:00:00.001Z" },
        { 951782400000, "2000-02-29T00:00:00.000Z" },
        { 951868799999, "2000-02-29T23:59:59.999Z" },
        { 1767323045678, "2026-01-02T03:04:05.678Z" },
        { 4107542400000, "2100-03-01T00:00:00.000Z" },
        { 253402300799999, "9999-12-31T23:59:59.999Z" },
        { 253402300800000, "9999-12-31T23:59:59.999Z" },
        { INT64_MAX, "9999-12-31T23:59:59.999Z" },
        { -1, "1970-01-01T00:00:00.000Z" },
        { INT64_MIN, "1970-01-01T00:00:00.000Z" },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        memset(out, 'x', sizeof(out));
        sandbox_time_format(out, cases[i].ms);
        assert_string_equal(out, cases[i].text);
    }
}


/* Every day, beside the C library. */
static void
test_days(void **state)
{
    char out[SANDBOX_TIME_SIZE], expected[sizeof("10000-01-01T00:00:00")];
    time_t seconds;
    struct tm tm;

    (void) state;

    for (seconds = 0; seconds < 253402300800; seconds += 86400 + 7) {
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_equal(
            strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm), 19);
        sandbox_time_format(out, (int64_t) seconds * 1000);
        assert_memory_equal(out, expected, 19);
    }
}


/* The time zone of the process must not show. */
static void
test_zone(void **state)
{
    char out[SANDBOX_TIME_SIZE];

    (void) state;

    assert_int_equal(setenv("TZ", "XYZ-5:30", 1), 0);
    tzset();
    sandbox_time_format(out, 1767323045678);
    assert_string_equal(out, "2026-01-02T03:04:05.678Z");
    assert_int_equal(unsetenv("TZ"), 0);
    tzset();
}


static void
test_clocks(void **state)
{
    int i;
    int64_t before, now, last;

    (void) state;

    before = (int64_t) time(NULL) * 1000;
    now = sandbox_time_now_ms();
    assert_true(now >= before - 1000 && now <= before + 60000);

    last = sandbox_time_monotonic_ms();

    for (i = 0; i < 10000; i++) {
        now = sandbox_time_monotonic_ms();
        assert_true(now >= last);
        last = now;
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_zone),
        cmocka_unit_test(test_clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
