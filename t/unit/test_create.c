/* The create body as a whole: defaults, values, JSON, rules, features. */

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
test_defaults(void **state)
{
    size_t i;
    sandbox_create_t create;
    sandbox_body_error_t err;
    static const char *const bodies[] = {
        "", "{}", " {\n} ",
        "{\"vcpus\":null,\"cwd\":null,\"volumes\":null,\"network\":null,"
        "\"no_such_member\":null}"
    };

    (void) state;

    for (i = 0; i < COUNT(bodies); i++) {
        assert_int_equal(create_parse(&create, &err, bodies[i]),
                         SANDBOX_BODY_OK);
        assert_ptr_equal(create.template, &create_base);
        assert_int_equal(create.vcpus, 1);
        assert_int_equal(create.memory_mb, 256);
        assert_int_equal(create.disk_mb, 2048);
        assert_int_equal(create.timeout_ms, 300000);
        assert_string_equal(create.metadata, "{}");
        assert_null(create.envs);
        assert_null(create.cwd);
        sandbox_create_free(&create);
    }
}


static void
test_defaults_bend(void **state)
{
    sandbox_create_t create;
    sandbox_body_error_t err;
    sandbox_create_limits_t lim = create_limits;

    (void) state;

    lim.max_timeout_ms = 1000;
    assert_int_equal(sandbox_create_parse(&create, "{\"template\":\"desk\"}",
                                          19, &lim, &err),
                     SANDBOX_BODY_OK);
    assert_ptr_equal(create.template, &create_desktop);
    assert_int_equal(create.memory_mb, 512);
    assert_int_equal(create.disk_mb, 4096);
    assert_int_equal(create.timeout_ms, 1000);
    sandbox_create_free(&create);
}


static void
test_values(void **state)
{
    sandbox_create_t create;
    sandbox_body_error_t err;

    (void) state;

    assert_int_equal(
        create_parse(
            &create, &err,
            "{\"vcpus\": 2.0, \"memory_mb\":1e3, \"disk_mb\":4096,"
            "\"timeout_ms\":60000, \"template\":\"b\\u0061se\","
            "\"cwd\":\"/a//b/../c/\","
            "\"envs\": { \"A\" : \"x\\ny\", \"_b1\":\"\" } ,"
            "\"metadata\": {\"z\": 1.10, \"a\":[1e3, 12345678901234567890],"
            " \"\\u00e9\":\"\\u00e9\"} }"),
        SANDBOX_BODY_OK);
    assert_int_equal(create.vcpus, 2);
    assert_int_equal(create.memory_mb, 1000);
    assert_int_equal(create.disk_mb, 4096);
    assert_int_equal(create.timeout_ms, 60000);
    assert_string_equal(create.cwd, "/a/c");
    assert_string_equal(create.envs, "{ \"A\" : \"x\\ny\", \"_b1\":\"\" }");
    assert_string_equal(create.metadata,
                        "{\"z\": 1.10, \"a\":[1e3, 12345678901234567890],"
                        " \"\\u00e9\":\"\\u00e9\"}");
    sandbox_create_free(&create);
    sandbox_create_free(&create);
}


static void
test_json(void **state)
{
    static const refusal_t list[] = {
        { "{", SANDBOX_BODY_INVALID_JSON, "", "at byte 1" },
        { " ", SANDBOX_BODY_INVALID_JSON, "", NULL },
        { "{} x", SANDBOX_BODY_INVALID_JSON, "", NULL },
        { "\xef\xbb\xbf{}", SANDBOX_BODY_INVALID_JSON, "", NULL },
        { "{\"vcpus\":1,}", SANDBOX_BODY_INVALID_JSON, "", NULL },
        { "{\"vcpus\":01}", SANDBOX_BODY_INVALID_JSON, "vcpus", "number" },
        { "{\"vcpus\":+1}", SANDBOX_BODY_INVALID_JSON, "vcpus", NULL },
        { "{\"vcpus\":NaN}", SANDBOX_BODY_INVALID_JSON, "vcpus", NULL },
        { "{\"vcpus\":1 \"cwd\":\"/\"}", SANDBOX_BODY_INVALID_JSON, "",
          "comma" },
        { "{\"vcpus\":1,\"vcpus\":1}", SANDBOX_BODY_INVALID_JSON, "vcpus",
          "is given twice at byte 11" },
        { "{\"vcpus\":1,\"\\u0076cpus\":1}", SANDBOX_BODY_INVALID_JSON, "vcpus",
          "twice" },
        { "{\"cwd\":null,\"cwd\":null}", SANDBOX_BODY_INVALID_JSON, "cwd",
          "twice" },
        { "{\"metadata\":{\"a\":1,\"b\":2,\"\\u0061\":2}}",
          SANDBOX_BODY_INVALID_JSON, "metadata.a", "twice at byte 25" },
        { "{\"metadata\":{\"l\":[0,{\"\":1,\"\":2}]}}",
          SANDBOX_BODY_INVALID_JSON, "metadata.l[1].\"\"", "twice" },
        { "{\"envs\":{\"A\":\"\\u0000\"}}", SANDBOX_BODY_INVALID_JSON, "envs.A",
          "NUL" },
        { "{\"envs\":{\"A\":\"\\ud800\"}}", SANDBOX_BODY_INVALID_JSON, "envs.A",
          "surrogate" },
        { "{\"envs\":{\"\\udc00\":\"\"}}", SANDBOX_BODY_INVALID_JSON, "envs",
          "surrogate" },
        { "{\"cwd\":\"\xff\"}", SANDBOX_BODY_INVALID_JSON, "cwd", "UTF-8" },
        { "{\"network\":{\"allow_out\":[\"::\",\"\xc0\xaf\"]}}",
          SANDBOX_BODY_INVALID_JSON, "network.allow_out[1]", "UTF-8" },
        { "{\"cwd\":\"/a\nb\"}", SANDBOX_BODY_INVALID_JSON, "cwd", "control" },
        { "[]", SANDBOX_BODY_INVALID_JSON, "", "object" },
        { "null", SANDBOX_BODY_INVALID_JSON, "", "object" },
        { "\"x\"", SANDBOX_BODY_INVALID_JSON, "", "object" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_unknown(void **state)
{
    static const refusal_t list[] = {
        { "{\"timeout\":1}", SANDBOX_BODY_INVALID, "timeout", "known" },
        { "{\"VCPUS\":1}", SANDBOX_BODY_INVALID, "VCPUS", NULL },
        { "{\"\":1}", SANDBOX_BODY_INVALID, "\"\"", NULL },
        { "{\"network\":{\"x\":1}}", SANDBOX_BODY_INVALID, "network.x", NULL },
        { "{\"warm_pool\":{\"x\":1}}", SANDBOX_BODY_INVALID, "warm_pool.x",
          NULL },
        { "{\"lifecycle\":{\"auto_resume\":true}}", SANDBOX_BODY_INVALID,
          "lifecycle.auto_resume", NULL },
        { "{\"desktop\":{\"w\":1}}", SANDBOX_BODY_INVALID, "desktop.w", NULL },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\",\"x\":0}]}",
          SANDBOX_BODY_INVALID, "volumes[0].x", NULL },
        /* an unknown member wins over one that is not built */
        { "{\"snapshot_id\":\"snap_x\",\"typo\":1}", SANDBOX_BODY_INVALID,
          "typo", NULL },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_long_unknown(void **state)
{
    char body[1024];
    size_t i, n;
    sandbox_create_t create;
    sandbox_body_error_t err;

    (void) state;

    /* a name of two-byte characters, at each alignment */
    for (i = 0; i < 2; i++) {
        n = (size_t) snprintf(body, sizeof(body), "{\"%s", i ? "a" : "");
        while (n < 600) {
            body[n++] = '\xc3';
            body[n++] = '\xa9';
        }
        (void) snprintf(body + n, sizeof(body) - n, "\":1}");

        assert_int_equal(create_parse(&create, &err, body),
                         SANDBOX_BODY_INVALID);
        n = strlen(err.field);
        assert_true(n > 100 && n < sizeof(err.field));
        assert_int_equal((n - i) % 2, 0);
    }
}


static void
test_combinations(void **state)
{
    static const refusal_t list[] = {
        { "{\"timeout_action\":\"hibernate\","
          "\"lifecycle\":{\"on_timeout\":\"destroy\"}}",
          SANDBOX_BODY_INVALID, "lifecycle.on_timeout", "contradicts" },
        { "{\"lifecycle\":{\"on_timeout\":\"pause\"},"
          "\"timeout_action\":\"destroy\"}",
          SANDBOX_BODY_INVALID, "lifecycle.on_timeout", "contradicts" },
        { "{\"auto_resume\":true}", SANDBOX_BODY_INVALID, "auto_resume",
          "needs" },
        { "{\"auto_resume\":true,\"timeout_action\":\"destroy\"}",
          SANDBOX_BODY_INVALID, "auto_resume", "needs" },
        { "{\"snapshot_id\":\"snap_x\",\"disk_mb\":2048}", SANDBOX_BODY_INVALID,
          "disk_mb", "snapshot_id" },
        { "{\"warm_pool\":{}}", SANDBOX_BODY_INVALID, "warm_pool.id",
          "bypass" },
        { "{\"warm_pool\":{\"mode\":\"require\"}}", SANDBOX_BODY_INVALID,
          "warm_pool.id", "bypass" },
        { "{\"desktop\":{}}", SANDBOX_BODY_INVALID, "desktop",
          "template base has no desktop" },
        { "{\"template\":\"desk\",\"memory_mb\":256}", SANDBOX_BODY_INVALID,
          "memory_mb", "at least 512" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_not_built(void **state)
{
    static const refusal_t list[] = {
        { "{\"template\":\"desk\",\"desktop\":{\"width\":1024}}",
          SANDBOX_BODY_NOT_IMPLEMENTED, "desktop", NULL },
    };
    static const char *const good[] = {
        "{\"warm_pool\":{\"mode\":\"bypass\"}}",
        "{\"warm_pool\":{\"id\":\"twp_x\",\"mode\":\"bypass\"}}",
        "{\"timeout_action\":\"destroy\"}",
        "{\"timeout_action\":\"hibernate\"}",
        "{\"lifecycle\":{}}",
        "{\"lifecycle\":{\"on_timeout\":\"pause\"}}",
        "{\"auto_resume\":true,\"lifecycle\":{\"on_timeout\":\"pause\"}}",
        "{\"snapshot_id\":\"snap_aaaa\"}",
        "{\"lifecycle\":{\"on_timeout\":\"destroy\"}}",
        "{\"timeout_action\":\"destroy\","
        "\"lifecycle\":{\"on_timeout\":\"destroy\"}}",
        "{\"auto_resume\":false}",
        "{\"internet_access\":true}",
    };

    (void) state;
    check_refusals(list, COUNT(list));
    check_accepted(good, COUNT(good));
}


/* What is asked of a warm pool, and what no pool can serve. */
static void
test_warm_pool(void **state)
{
    size_t i;
    sandbox_create_t create;
    sandbox_body_error_t err;
    static const struct {
        const char *body;
        const char *id;
        int required;
        int64_t wait_ms;
        const char *unpoolable;
        unsigned given;
    } list[] = {
        { "{}", NULL, 0, 0, NULL, 0 },
        { "{\"warm_pool\":{\"mode\":\"bypass\"}}", NULL, 0, 0, NULL, 0 },
        { "{\"warm_pool\":{\"id\":\"twp_x\",\"mode\":\"bypass\"}}", NULL, 0, 0,
          NULL, 0 },
        { "{\"warm_pool\":{\"id\":\"twp_x\",\"wait_ms\":60000}}", "twp_x", 0,
          60000, NULL, 0 },
        { "{\"vcpus\":1,\"template\":\"base\",\"memory_mb\":128,"
          "\"disk_mb\":2048,"
          "\"warm_pool\":{\"id\":\"twp_x\",\"mode\":\"require\"}}",
          "twp_x", 1, 0, NULL,
          SANDBOX_CREATE_TEMPLATE | SANDBOX_CREATE_VCPUS | SANDBOX_CREATE_MEMORY
              | SANDBOX_CREATE_DISK },
        { "{\"warm_pool\":{\"id\":\"x\"},\"envs\":{\"A\":\"b\"}}", "x", 0, 0,
          "envs", 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"envs\":{}}", "x", 0, 0, NULL, 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"cwd\":\"/\"}", "x", 0, 0, "cwd", 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"snapshot_id\":\"snap_a\"}", "x", 0,
          0, "snapshot_id", 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"network\":{\"allow_public_traffic\":"
          "false}}",
          "x", 0, 0, "network", 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"network\":{\"mask_request_host\":"
          "\"a\"}}",
          "x", 0, 0, "network", 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"network\":{\"allow_public_traffic\":"
          "true,\"allow_out\":[]}}",
          "x", 0, 0, NULL, 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"timeout_action\":\"hibernate\"}",
          "x", 0, 0, "timeout_action", 0 },
        { "{\"warm_pool\":{\"id\":\"x\"},\"auto_resume\":true,"
          "\"lifecycle\":{\"on_timeout\":\"pause\"}}",
          "x", 0, 0, "auto_resume", 0 },
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        assert_int_equal(create_parse(&create, &err, list[i].body),
                         SANDBOX_BODY_OK);
        assert_int_equal(create.pool_required, list[i].required);
        assert_int_equal(create.pool_wait_ms, list[i].wait_ms);
        assert_int_equal(create.given, list[i].given);
        assert_int_equal(create.pool_id != NULL, list[i].id != NULL);
        assert_int_equal(create.unpoolable != NULL, list[i].unpoolable != NULL);

        if (list[i].id) {
            assert_string_equal(create.pool_id, list[i].id);
        }

        if (list[i].unpoolable) {
            assert_string_equal(create.unpoolable, list[i].unpoolable);
        }

        sandbox_create_free(&create);
    }
}


static void
test_fingerprint(void **state)
{
    size_t i;
    sandbox_create_t a, b;
    sandbox_body_error_t err;
    static const struct {
        const char *a;
        const char *b;
        int equal;
    } list[] = {
        { "", " { } ", 1 },
        { "{\"vcpus\":1,\"memory_mb\":256}",
          "{ \"memory_mb\" : 2.56e2, \"\\u0076cpus\": 1.0 }", 1 },
        { "{\"vcpus\":1}", "{\"vcpus\":2}", 0 },
        { "{\"metadata\":{\"a\":1,\"b\":2}}",
          "{\"metadata\":{\"b\":2,\"a\":1}}", 1 },
        { "{\"metadata\":{\"a\":[1,2]}}", "{\"metadata\":{\"a\":[2,1]}}", 0 },
        { "{\"metadata\":{\"a\":1}}", "{\"metadata\":{\"a\":\"1\"}}", 0 },
        { "{\"metadata\":{\"a\":1.10,\"b\":1e3,\"c\":-0}}",
          "{\"metadata\":{\"a\":1.1,\"b\":1000,\"c\":0.0}}", 1 },
        { "{\"metadata\":{\"a\":12345678901234567890}}",
          "{\"metadata\":{\"a\":12345678901234567891}}", 0 },
        { "{\"cwd\":\"/caf\\u00e9\"}", "{\"cwd\":\"/caf\xc3\xa9\"}", 1 },
        /* null is as if left out, also deeper, but not in a client's own */
        { "{}", "{\"cwd\":null,\"no_such_member\":null}", 1 },
        { "{\"network\":{}}", "{\"network\":{\"allow_out\":null}}", 1 },
        { "{}", "{\"network\":{}}", 0 },
        { "{\"metadata\":{}}", "{\"metadata\":{\"a\":null}}", 0 },
        /* a default that is spelled out is another request */
        { "{}", "{\"vcpus\":1}", 0 },
        { "{}", "{\"metadata\":{}}", 0 },
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        assert_int_equal(create_parse(&a, &err, list[i].a), SANDBOX_BODY_OK);
        assert_int_equal(create_parse(&b, &err, list[i].b), SANDBOX_BODY_OK);
        assert_int_equal(
            memcmp(a.fingerprint, b.fingerprint, SANDBOX_SHA256_LEN) == 0,
            list[i].equal);
        sandbox_create_free(&a);
        sandbox_create_free(&b);
    }
}


/* What another node may have done is told from what nobody has. */
static void
test_limited(void **state)
{
    size_t i;
    sandbox_create_t wide, narrow;
    sandbox_body_error_t err;
    sandbox_template_t *none[] = { NULL };
    sandbox_create_limits_t lim = create_limits;
    static const char *const bodies[] = { "{\"vcpus\":2}",
                                          "{\"memory_mb\":1024}",
                                          "{\"timeout_ms\":2000}",
                                          "{\"memory_mb\":1024,\"network\":"
                                          "{\"allow_out\":null}}",
                                          "{}" };

    (void) state;

    lim.max_vcpus = 1;
    lim.max_memory_mb = 512;
    lim.max_timeout_ms = 1000;

    for (i = 0; i < COUNT(bodies); i++) {
        lim.templates = i == COUNT(bodies) - 1 ? none : create_limits.templates;

        assert_int_equal(create_parse(&wide, &err, bodies[i]), SANDBOX_BODY_OK);
        assert_int_equal(wide.limited, 0);
        assert_int_not_equal(sandbox_create_parse(&narrow, bodies[i],
                                                  strlen(bodies[i]), &lim,
                                                  &err),
                             SANDBOX_BODY_OK);
        assert_int_equal(narrow.limited, 1);
        assert_memory_equal(narrow.fingerprint, wide.fingerprint,
                            SANDBOX_SHA256_LEN);
        sandbox_create_free(&wide);
    }

    assert_int_equal(create_parse(&narrow, &err, "{\"vcpus\":0}"),
                     SANDBOX_BODY_INVALID);
    assert_int_equal(narrow.limited, 0);
    assert_int_equal(create_parse(&narrow, &err, "{\"no_such_member\":1}"),
                     SANDBOX_BODY_INVALID);
    assert_int_equal(narrow.limited, 0);
    assert_int_equal(create_parse(&narrow, &err, "{\"template\":\"a:b\"}"),
                     SANDBOX_BODY_NOT_IMPLEMENTED);
    assert_int_equal(narrow.limited, 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_defaults_bend),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_long_unknown),
        cmocka_unit_test(test_combinations),
        cmocka_unit_test(test_not_built),
        cmocka_unit_test(test_warm_pool),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
