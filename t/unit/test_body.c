/* Bodies that take no members. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_body.h"


static void
test_nothing(void **state)
{
    size_t i;
    sandbox_body_error_t err;
    static const struct {
        const char *body;
        sandbox_body_status_t status;
        const char *field;
    } list[] = {
        { "", SANDBOX_BODY_OK, "" },
        { "{}", SANDBOX_BODY_OK, "" },
        { "{\"a\":null}", SANDBOX_BODY_OK, "" },
        { "{\"a\":1}", SANDBOX_BODY_INVALID, "a" },
        { "{\"a\\u0062\":{}}", SANDBOX_BODY_INVALID, "ab" },
        { "[]", SANDBOX_BODY_INVALID_JSON, "" },
        { "{\"a\":", SANDBOX_BODY_INVALID_JSON, "" },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        assert_int_equal(
            sandbox_body_nothing(list[i].body, strlen(list[i].body), &err),
            list[i].status);
        assert_string_equal(err.field, list[i].field);
        assert_int_equal(err.reason[0] != '\0',
                         list[i].status != SANDBOX_BODY_OK);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
