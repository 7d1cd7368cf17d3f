/* The body of PATCH …/network. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_network_patch.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


static sandbox_body_status_t
parse(sandbox_network_patch_t *patch, const char *body,
      sandbox_body_error_t *err)
{
    return sandbox_network_patch_parse(patch, body, strlen(body), err);
}


static void
test_given(void **state)
{
    sandbox_body_error_t err;
    sandbox_network_patch_t patch;

    (void) state;

    assert_int_equal(parse(&patch, "", &err), SANDBOX_BODY_OK);
    assert_int_equal(patch.internet, -1);
    assert_int_equal(patch.public_traffic, -1);
    assert_null(patch.allow_out);
    assert_null(patch.deny_out);
    assert_null(patch.mask_host);
    sandbox_network_patch_free(&patch);

    assert_int_equal(parse(&patch,
                           "{\"internet_access\":false,\"allow_out\":[],"
                           "\"deny_out\":[\"192.0.2.1\"],"
                           "\"allow_public_traffic\":true,"
                           "\"mask_request_host\":\"\"}",
                           &err),
                     SANDBOX_BODY_OK);
    assert_int_equal(patch.internet, 0);
    assert_int_equal(patch.public_traffic, 1);
    assert_string_equal(patch.allow_out, "");
    assert_string_equal(patch.deny_out, "192.0.2.1/32");
    assert_string_equal(patch.mask_host, "");
    sandbox_network_patch_free(&patch);

    assert_int_equal(
        parse(&patch, "{\"mask_request_host\":\"h:${PORT}\"}", &err),
        SANDBOX_BODY_OK);
    assert_string_equal(patch.mask_host, "h:${PORT}");
    sandbox_network_patch_free(&patch);
}


static void
test_refused(void **state)
{
    size_t i;
    sandbox_body_error_t err;
    sandbox_network_patch_t patch;
    static const struct {
        const char *body;
        const char *field;
        sandbox_body_status_t status;
    } cases[] = {
        { "[]", "", SANDBOX_BODY_INVALID_JSON },
        { "{\"internet\":true}", "internet", SANDBOX_BODY_INVALID },
        { "{\"internet_access\":1}", "internet_access", SANDBOX_BODY_INVALID },
        { "{\"allow_out\":[\"192.0.2.0/24\",\"192.0.2.1/24\"]}", "allow_out[1]",
          SANDBOX_BODY_INVALID },
        { "{\"allow_out\":[\"192.0.2.0/24\"],\"deny_out\":[true]}",
          "deny_out[0]", SANDBOX_BODY_INVALID },
        { "{\"deny_out\":\"192.0.2.0/24\"}", "deny_out", SANDBOX_BODY_INVALID },
        { "{\"allow_out\":[],\"mask_request_host\":\"a b\"}",
          "mask_request_host", SANDBOX_BODY_INVALID },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(parse(&patch, cases[i].body, &err), cases[i].status);
        assert_string_equal(err.field, cases[i].field);
        assert_null(patch.allow_out);
        assert_null(patch.deny_out);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
