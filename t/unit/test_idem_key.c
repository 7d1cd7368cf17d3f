/* Idempotency keys: the two spellings, and what is neither. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox_idem_key.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))


/* In memory of exactly len bytes, so that sanitizers see a read past it. */
static size_t
read_key(char *key, const char *value, size_t len, const char **reason)
{
    char *copy;
    size_t n;

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, value, len);
    *reason = NULL;
    n = sandbox_idem_key(key, copy, len, reason);
    free(copy);

    return n;
}


static void
test_keys(void **state)
{
    size_t i, n;
    char key[SANDBOX_IDEM_KEY_MAX];
    const char *reason;
    static const char *const list[][2] = {
        { "a", "a" },
        { "\"a\"", "a" },
        { "!~", "!~" },
        { "a\"b", "a\"b" },
        { "\"a\\\"b\"", "a\"b" },
        { "a\\b", "a\\b" },
        { "\"a\\\\b\"", "a\\b" },
        { "\"\\\"\"", "\"" },
        { "\"\\\\\"", "\\" },
        { "a\"", "a\"" },
        { "'a'", "'a'" },
        { "6f1c8a0e-0000-4000-8000-000000000000",
          "6f1c8a0e-0000-4000-8000-000000000000" },
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        n = read_key(key, list[i][0], strlen(list[i][0]), &reason);
        assert_int_equal(n, strlen(list[i][1]));
        assert_memory_equal(key, list[i][1], n);
    }
}


static void
test_malformed(void **state)
{
    size_t i, n;
    char key[SANDBOX_IDEM_KEY_MAX];
    const char *reason;
    static const struct {
        const char *value;
        const char *reason; /* a part of it */
    } list[] = {
        { "", "empty" },
        { "\"\"", "empty" },
        { "\"", "not closed" },
        { "\"a", "not closed" },
        { "\"a\";b=1", "not closed" },
        { "\"a\"b\"", "inside" },
        { "\"a\\\"", "escapes" },
        { "\"a\\b\"", "escapes" },
        { "\"\\", "not closed" },
        { "a b", "visible" },
        { "\"a b\"", "visible" },
        { "a\tb", "visible" },
        { "a\x7f", "visible" },
        { "\xc3\xa9", "visible" },
        { "\"\xc3\xa9\"", "visible" },
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        n = read_key(key, list[i].value, strlen(list[i].value), &reason);

        if (n != 0 || !reason || !strstr(reason, list[i].reason)) {
            fail_msg("%s: %zu characters, reason \"%s\"", list[i].value, n,
                     reason ? reason : "none");
        }
    }

    assert_int_equal(read_key(key, "a\0b", 3, &reason), 0);
}


static void
test_length(void **state)
{
    char value[2 * SANDBOX_IDEM_KEY_MAX + 4], key[SANDBOX_IDEM_KEY_MAX];
    size_t i, n;
    const char *reason;

    (void) state;

    memset(value, 'x', sizeof(value));
    assert_int_equal(read_key(key, value, SANDBOX_IDEM_KEY_MAX, &reason),
                     SANDBOX_IDEM_KEY_MAX);
    assert_int_equal(read_key(key, value, SANDBOX_IDEM_KEY_MAX + 1, &reason),
                     0);
    assert_non_null(strstr(reason, "255"));

    /* what counts is the key, not its spelling */
    n = 0;
    value[n++] = '"';

    for (i = 0; i < SANDBOX_IDEM_KEY_MAX; i++) {
        value[n++] = '\\';
        value[n++] = '\\';
    }

    value[n] = '"';
    assert_int_equal(read_key(key, value, n + 1, &reason),
                     SANDBOX_IDEM_KEY_MAX);

    value[n++] = 'x';
    value[n++] = '"';
    assert_int_equal(read_key(key, value, n, &reason), 0);
    assert_non_null(strstr(reason, "255"));
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
