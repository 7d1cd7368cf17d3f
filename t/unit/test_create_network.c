/* Network and volumes of a create. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "create_body.h"


static void
test_network(void **state)
{
    static const refusal_t list[] = {
        { "{\"network\":{\"allow_out\":\"10.0.0.0/8\"}}", SANDBOX_BODY_INVALID,
          "network.allow_out", "array" },
        { "{\"network\":{\"allow_out\":[\"10.0.0.0/8\",7]}}",
          SANDBOX_BODY_INVALID, "network.allow_out[1]", "string" },
        { "{\"network\":{\"allow_out\":[\"10.0.0.0/8\",\"10.0.0.1/8\"]}}",
          SANDBOX_BODY_INVALID, "network.allow_out[1]", NULL },
        { "{\"network\":{\"deny_out\":[\"example.com\"]}}",
          SANDBOX_BODY_INVALID, "network.deny_out[0]", NULL },
        { "{\"network\":{\"deny_out\":[null]}}", SANDBOX_BODY_INVALID,
          "network.deny_out[0]", "string" },
        { "{\"network\":{\"deny_out\":[\"1.2.3.4/33\"]}}", SANDBOX_BODY_INVALID,
          "network.deny_out[0]", NULL },
        { "{\"network\":{\"mask_request_host\":\"\"}}", SANDBOX_BODY_INVALID,
          "network.mask_request_host", "empty" },
        { "{\"network\":{\"mask_request_host\":\"a b\"}}", SANDBOX_BODY_INVALID,
          "network.mask_request_host", "localhost" },
        { "{\"network\":{\"mask_request_host\":\"a\\r\\nX: y\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"h:${HOST}\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"h:99999\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"http://h\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"[::1\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"${PORT}.h:${PORT}\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"h:1${PORT}\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"[fe80::${PORT}]\"}}",
          SANDBOX_BODY_INVALID, "network.mask_request_host", NULL },
    };
    static const char *const good[] = {
        "{\"network\":{}}",
        "{\"network\":{\"allow_out\":[],\"deny_out\":[]}}",
        "{\"network\":{\"allow_out\":[\"2001:db8::/32\",\"192.0.2.1\"]}}",
        "{\"network\":{\"deny_out\":[\"0.0.0.0/0\",\"::/0\"]}}",
        "{\"network\":{\"allow_public_traffic\":true}}",
        "{\"network\":{\"allow_public_traffic\":false}}",
        "{\"network\":{\"mask_request_host\":\"localhost:${PORT}\"}}",
        "{\"network\":{\"mask_request_host\":\"[::1]:${PORT}\"}}",
        "{\"network\":{\"mask_request_host\":\"p${PORT}.example.com\"}}",
        "{\"network\":{\"mask_request_host\":null,\"allow_out\":null}}",
    };

    (void) state;
    check_refusals(list, COUNT(list));
    check_accepted(good, COUNT(good));
}


/* What of the policy is passed on, and what a snapshot decides. */
static void
test_egress(void **state)
{
    size_t i;
    sandbox_create_t create;
    sandbox_body_error_t err;
    static const struct {
        const char *body;
        int internet;
        const char *allow;
        const char *deny;
    } cases[] = {
        { "{}", 1, NULL, NULL },
        { "{\"internet_access\":false}", 0, NULL, NULL },
        { "{\"network\":{\"allow_out\":[\"192.0.2.1\",\"192.0.2.1/32\"],"
          "\"deny_out\":[]}}",
          1, "192.0.2.1/32", "" },
        { "{\"network\":{\"deny_out\":[\"2001:DB8::/32\",\"10.0.0.0/8\"]}}", 1,
          NULL, "10.0.0.0/8,2001:db8::/32" },
        { "{\"snapshot_id\":\"snap_x\"}", -1, NULL, NULL },
        { "{\"snapshot_id\":\"snap_x\",\"internet_access\":false}", 0, NULL,
          NULL },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(sandbox_create_parse(&create, cases[i].body,
                                              strlen(cases[i].body),
                                              &create_limits, &err),
                         SANDBOX_BODY_OK);
        assert_int_equal(create.internet, cases[i].internet);

        if (cases[i].allow) {
            assert_string_equal(create.allow_out, cases[i].allow);
        } else {
            assert_null(create.allow_out);
        }

        if (cases[i].deny) {
            assert_string_equal(create.deny_out, cases[i].deny);
        } else {
            assert_null(create.deny_out);
        }

        sandbox_create_free(&create);
    }
}


/* A list has 64 items at most, whatever they say. */
static void
test_list_length(void **state)
{
    int i, n;
    char body[4096];
    size_t len;
    sandbox_create_t create;
    sandbox_body_error_t err;

    (void) state;

    for (n = 64; n <= 65; n++) {
        len = (size_t) snprintf(body, sizeof(body),
                                "{\"network\":{\"deny_out\":[");

        for (i = 0; i < n; i++) {
            len += (size_t) snprintf(body + len, sizeof(body) - len,
                                     "%s\"192.0.2.%d\"", i ? "," : "", i);
        }

        (void) snprintf(body + len, sizeof(body) - len, "]}}");

        assert_int_equal(sandbox_create_parse(&create, body, strlen(body),
                                              &create_limits, &err),
                         n == 64 ? SANDBOX_BODY_OK : SANDBOX_BODY_INVALID);

        if (n == 64) {
            sandbox_create_free(&create);
        } else {
            assert_string_equal(err.field, "network.deny_out");
        }
    }
}


static void
test_traffic(void **state)
{
    size_t i;
    sandbox_create_t create;
    sandbox_body_error_t err;
    static const struct {
        const char *body;
        int public_traffic;
        const char *mask_host;
    } cases[] = {
        { "{}", 1, NULL },
        { "{\"network\":null}", 1, NULL },
        { "{\"network\":{\"allow_public_traffic\":null}}", 1, NULL },
        { "{\"network\":{\"allow_public_traffic\":false,"
          "\"mask_request_host\":\"localhost:${PORT}\"}}",
          0, "localhost:${PORT}" },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(create_parse(&create, &err, cases[i].body),
                         SANDBOX_BODY_OK);
        assert_int_equal(create.public_traffic, cases[i].public_traffic);

        if (cases[i].mask_host) {
            assert_string_equal(create.mask_host, cases[i].mask_host);
        } else {
            assert_null(create.mask_host);
        }

        sandbox_create_free(&create);
    }
}


static void
test_volumes(void **state)
{
    static const refusal_t list[] = {
        { "{\"volumes\":[1]}", SANDBOX_BODY_INVALID, "volumes[0]", "object" },
        { "{\"volumes\":[null]}", SANDBOX_BODY_INVALID, "volumes[0]",
          "object" },
        { "{\"volumes\":[{}]}", SANDBOX_BODY_INVALID, "volumes[0].ref",
          "given" },
        { "{\"volumes\":[{\"ref\":\"v\"}]}", SANDBOX_BODY_INVALID,
          "volumes[0].mount_path", "given" },
        { "{\"volumes\":[{\"ref\":null,\"mount_path\":\"/d\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].ref", "given" },
        /* the slots of an item are its own */
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\"},"
          "{\"ref\":\"v\"}]}",
          SANDBOX_BODY_INVALID, "volumes[1].mount_path", "given" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"d\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].mount_path", NULL },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/a/..\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].mount_path", "\"/\"" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/proc/x\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].mount_path", "/proc" },
        { "{\"volumes\":[{\"ref\":\"v\","
          "\"mount_path\":\"/workspace/.nullspace/x\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].mount_path", ".nullspace" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\"},"
          "{\"ref\":\"w\",\"mount_path\":\"/d/e\"}]}",
          SANDBOX_BODY_INVALID, "volumes[1].mount_path", "volumes[0]" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d/e\"},"
          "{\"ref\":\"w\",\"mount_path\":\"//d\"}]}",
          SANDBOX_BODY_INVALID, "volumes[1].mount_path", "volumes[0]" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\","
          "\"subpath\":\"/x\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].subpath", "relative" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\","
          "\"subpath\":\"a/../../x\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].subpath", NULL },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\","
          "\"read_only\":1}]}",
          SANDBOX_BODY_INVALID, "volumes[0].read_only", "true or false" },
        { "{\"volumes\":[{\"ref\":\"a/b\",\"mount_path\":\"/d\"}]}",
          SANDBOX_BODY_INVALID, "volumes[0].ref", NULL },
        { "{\"volumes\":[{},{},{},{},{},{},{},{},{}]}", SANDBOX_BODY_INVALID,
          "volumes", "at most 8 items" },
        { "{\"volumes\":[{\"ref\":\"vol_x\",\"mount_path\":\"/d\","
          "\"subpath\":\"a/b\",\"read_only\":true},"
          "{\"ref\":\"v\",\"mount_path\":\"/dd\",\"subpath\":null}]}",
          SANDBOX_BODY_NOT_IMPLEMENTED, "volumes", NULL },
    };
    static const char *const good[] = { "{\"volumes\":[]}",
                                        "{\"volumes\":null}" };

    (void) state;
    check_refusals(list, COUNT(list));
    check_accepted(good, COUNT(good));
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network),     cmocka_unit_test(test_egress),
        cmocka_unit_test(test_list_length), cmocka_unit_test(test_traffic),
        cmocka_unit_test(test_volumes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
