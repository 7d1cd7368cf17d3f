/* The percent escapes of a query that the agent reads. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_query.h"

#define NAME31 "abcdefghijklmnopqrstuvwxyz01234"


/* Checks a copy that ends where its memory ends. */
static sandbox_query_status_t
check(const char *text, sandbox_query_error_t *err)
{
    char *copy;
    size_t len;
    sandbox_query_status_t rc;

    len = strlen(text);
    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    rc = sandbox_query_escapes(copy, len, err);
    free(copy);

    return rc;
}


static void
test_escapes(void **state)
{
    size_t i;
    sandbox_query_error_t err;
    static const char *accepted[] = {
        "",
        "&",
        "=",
        "path",
        "path=",
        "path=%2F",
        "%70ath=%2f%aA%ff%00&a",
        "%41",
        "a=%e9&b=%C3%A9",
    };
    static const struct {
        const char *text;
        const char *field;
    } refused[] = {
        { "path=%", "path" },
        { "path=%2", "path" },
        { "path=%zz", "path" },
        { "path=%2g", "path" },
        { "path=%g2", "path" },
        { "path=%%41", "path" },
        { "path=/a%20b%", "path" },
        { "path=a=%", "path" },
        { "a=%41&path=%2&b=1", "path" },
        { "path=%4&1=2", "path" },
        { "%", "query" },
        { "%zz=1", "query" },
        { "a=1&%2", "query" },
        { "path&b%", "query" },
        { "=%", "query" },
        { "a<b=%", "query" },
        { NAME31 NAME31 "5=%", NAME31 NAME31 "5" },
        { NAME31 NAME31 "56=%", "query" },
    };

    (void) state;

    for (i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        if (check(accepted[i], &err) != SANDBOX_QUERY_OK) {
            fail_msg("refused: %s", accepted[i]);
        }
    }

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (check(refused[i].text, &err) != SANDBOX_QUERY_INVALID) {
            fail_msg("accepted: %s", refused[i].text);
        }

        assert_string_equal(err.field, refused[i].field);
        assert_string_equal(err.reason, "has a malformed percent escape");
    }

    assert_int_equal(sandbox_query_escapes(NULL, 0, &err), SANDBOX_QUERY_OK);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
