/* The body of POST …/timeout. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_timeout.h"


static sandbox_timeout_t timeout;
static sandbox_body_error_t err;


static sandbox_body_status_t
parse(const char *body)
{
    static sandbox_template_t *templates[] = { NULL };
    static const sandbox_create_limits_t limits = { .max_timeout_ms = 86400000,
                                                    .templates = templates };

    return sandbox_timeout_parse(&timeout, body, strlen(body), &limits, &err);
}


static void
test_accepted(void **state)
{
    (void) state;

    assert_int_equal(parse("{\"timeout_ms\":1}"), SANDBOX_BODY_OK);
    assert_true(timeout.timeout_ms == 1);
    assert_null(timeout.action);

    assert_int_equal(
        parse("{\"timeout_action\":\"destroy\",\"timeout_ms\":8.64e7}"),
        SANDBOX_BODY_OK);
    assert_true(timeout.timeout_ms == 86400000);
    assert_string_equal(timeout.action, "destroy");

    assert_int_equal(parse("{\"timeout_ms\":5,\"timeout_action\":null}"),
                     SANDBOX_BODY_OK);
    assert_null(timeout.action);
}


static void
test_refused(void **state)
{
    size_t i;
    static const struct {
        const char *body;
        sandbox_body_status_t status;
        const char *field;
        const char *reason; /* a part of it */
    } cases[] = {
        { "", SANDBOX_BODY_INVALID, "timeout_ms", "must be given" },
        { "{}", SANDBOX_BODY_INVALID, "timeout_ms", "must be given" },
        { "{\"timeout_ms\":null}", SANDBOX_BODY_INVALID, "timeout_ms",
          "must be given" },
        { "{\"timeout_ms\":0}", SANDBOX_BODY_INVALID, "timeout_ms",
          "at least 1" },
        { "{\"timeout_ms\":-1}", SANDBOX_BODY_INVALID, "timeout_ms",
          "at least 1" },
        { "{\"timeout_ms\":86400001}", SANDBOX_BODY_INVALID, "timeout_ms",
          "at most 86400000" },
        { "{\"timeout_ms\":1e99}", SANDBOX_BODY_INVALID, "timeout_ms",
          "86400000" },
        { "{\"timeout_ms\":\"1\"}", SANDBOX_BODY_INVALID, "timeout_ms",
          "integer" },
        { "{\"timeout_ms\":1.5}", SANDBOX_BODY_INVALID, "timeout_ms",
          "integer" },
        { "{\"timeout\":1}", SANDBOX_BODY_INVALID, "timeout", "known" },
        { "{\"timeout_ms\":1,\"timeout_action\":\"pause\"}",
          SANDBOX_BODY_INVALID, "timeout_action", "destroy" },
        { "{\"timeout_ms\":0,\"timeout_action\":\"hibernate\"}",
          SANDBOX_BODY_INVALID, "timeout_ms", "at least 1" },
        { "[]", SANDBOX_BODY_INVALID_JSON, "", "object" },
        { "{\"timeout_ms\":1", SANDBOX_BODY_INVALID_JSON, NULL, "" },
        { "{\"timeout_ms\":1,\"timeout_ms\":1}", SANDBOX_BODY_INVALID_JSON,
          NULL, "" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].body), cases[i].status);
        assert_non_null(strstr(err.reason, cases[i].reason));
        assert_true(strlen(err.reason) > 0);

        if (cases[i].field) {
            assert_string_equal(err.field, cases[i].field);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
