/* The members of a create: each by its type, bounds and grammar. */

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
test_integers(void **state)
{
    static const refusal_t list[] = {
        { "{\"vcpus\":0}", SANDBOX_BODY_INVALID, "vcpus", "at least 1" },
        { "{\"vcpus\":-1}", SANDBOX_BODY_INVALID, "vcpus", "at least 1" },
        { "{\"vcpus\":9}", SANDBOX_BODY_INVALID, "vcpus", "at most 8" },
        { "{\"vcpus\":1.5}", SANDBOX_BODY_INVALID, "vcpus", "from 1 to 8" },
        { "{\"vcpus\":true}", SANDBOX_BODY_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":\"1\"}", SANDBOX_BODY_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":[1]}", SANDBOX_BODY_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":{}}", SANDBOX_BODY_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":1e99}", SANDBOX_BODY_INVALID, "vcpus", "to 8" },
        { "{\"vcpus\":1e9999999999999999999}", SANDBOX_BODY_INVALID, "vcpus",
          "to 8" },
        { "{\"vcpus\":-0}", SANDBOX_BODY_INVALID, "vcpus", "at least 1" },
        { "{\"vcpus\":10000000000000000001}", SANDBOX_BODY_INVALID, "vcpus",
          "to 8" },
        { "{\"vcpus\":1.00000000000000000001}", SANDBOX_BODY_INVALID, "vcpus",
          "to 8" },
        { "{\"memory_mb\":0}", SANDBOX_BODY_INVALID, "memory_mb",
          "at least 1" },
        { "{\"memory_mb\":127}", SANDBOX_BODY_INVALID, "memory_mb",
          "at least 128, the minimum of template base" },
        { "{\"memory_mb\":16385}", SANDBOX_BODY_INVALID, "memory_mb",
          "at most 16384" },
        { "{\"disk_mb\":511}", SANDBOX_BODY_INVALID, "disk_mb",
          "at least 512" },
        { "{\"disk_mb\":2047}", SANDBOX_BODY_INVALID, "disk_mb",
          "at least 2048, the size of template base" },
        { "{\"disk_mb\":65537}", SANDBOX_BODY_INVALID, "disk_mb",
          "at most 65536" },
        { "{\"timeout_ms\":0}", SANDBOX_BODY_INVALID, "timeout_ms",
          "at least 1" },
        { "{\"timeout_ms\":86400001}", SANDBOX_BODY_INVALID, "timeout_ms",
          "at most 86400000" },
        { "{\"timeout_ms\":false}", SANDBOX_BODY_INVALID, "timeout_ms",
          "integer" },
    };
    static const char *const good[] = { "{\"vcpus\":8}",
                                        "{\"vcpus\":1.0}",
                                        "{\"vcpus\":0.1e1}",
                                        "{\"memory_mb\":128}",
                                        "{\"memory_mb\":16384}",
                                        "{\"disk_mb\":2048}",
                                        "{\"disk_mb\":65536}",
                                        "{\"timeout_ms\":1}",
                                        "{\"timeout_ms\":864e5}",
                                        "{\"vcpus\":0.00000000000000000001e20}",
                                        "{\"vcpus\":1.00000000000000000000}",
                                        "{\"vcpus\":1e-0}" };

    (void) state;
    check_refusals(list, COUNT(list));
    check_accepted(good, COUNT(good));
}


static void
test_disk_ceiling(void **state)
{
    sandbox_create_t create;
    sandbox_body_error_t err;
    sandbox_create_limits_t lim = create_limits;
    const char *body = "{\"disk_mb\":131073}";

    (void) state;

    lim.max_disk_mb = INT64_MAX;
    assert_int_equal(
        sandbox_create_parse(&create, body, strlen(body), &lim, &err),
        SANDBOX_BODY_INVALID);
    assert_non_null(strstr(err.reason, "at most 131072"));
}


static void
test_types(void **state)
{
    static const refusal_t list[] = {
        { "{\"snapshot_id\":1}", SANDBOX_BODY_INVALID, "snapshot_id",
          "string" },
        { "{\"snapshot_id\":\"\"}", SANDBOX_BODY_INVALID, "snapshot_id",
          "empty" },
        { "{\"snapshot_id\":\"a b\"}", SANDBOX_BODY_INVALID, "snapshot_id",
          "letters" },
        { "{\"warm_pool\":true}", SANDBOX_BODY_INVALID, "warm_pool", "object" },
        { "{\"warm_pool\":{\"id\":1}}", SANDBOX_BODY_INVALID, "warm_pool.id",
          "string" },
        { "{\"warm_pool\":{\"id\":\"x\",\"mode\":\"always\"}}",
          SANDBOX_BODY_INVALID, "warm_pool.mode",
          "\"prefer\", \"require\" or \"bypass\"" },
        { "{\"warm_pool\":{\"id\":\"x\",\"wait_ms\":60001}}",
          SANDBOX_BODY_INVALID, "warm_pool.wait_ms", "at most 60000" },
        { "{\"warm_pool\":{\"id\":\"x\",\"wait_ms\":-1}}", SANDBOX_BODY_INVALID,
          "warm_pool.wait_ms", "at least 0" },
        { "{\"template\":5}", SANDBOX_BODY_INVALID, "template", "string" },
        { "{\"timeout_action\":\"stop\"}", SANDBOX_BODY_INVALID,
          "timeout_action", "\"destroy\" or \"hibernate\"" },
        { "{\"timeout_action\":false}", SANDBOX_BODY_INVALID, "timeout_action",
          "string" },
        { "{\"auto_resume\":1}", SANDBOX_BODY_INVALID, "auto_resume",
          "true or false" },
        { "{\"auto_resume\":\"true\"}", SANDBOX_BODY_INVALID, "auto_resume",
          "true or false" },
        { "{\"internet_access\":0}", SANDBOX_BODY_INVALID, "internet_access",
          "true or false" },
        { "{\"envs\":[]}", SANDBOX_BODY_INVALID, "envs", "object" },
        { "{\"metadata\":[]}", SANDBOX_BODY_INVALID, "metadata", "object" },
        { "{\"metadata\":\"{}\"}", SANDBOX_BODY_INVALID, "metadata", "object" },
        { "{\"cwd\":7}", SANDBOX_BODY_INVALID, "cwd", "string" },
        { "{\"desktop\":true}", SANDBOX_BODY_INVALID, "desktop", "object" },
        { "{\"desktop\":{\"width\":319}}", SANDBOX_BODY_INVALID,
          "desktop.width", "at least 320" },
        { "{\"network\":[]}", SANDBOX_BODY_INVALID, "network", "object" },
        { "{\"network\":{\"allow_public_traffic\":\"no\"}}",
          SANDBOX_BODY_INVALID, "network.allow_public_traffic",
          "true or false" },
        { "{\"volumes\":{}}", SANDBOX_BODY_INVALID, "volumes", "array" },
        { "{\"lifecycle\":\"pause\"}", SANDBOX_BODY_INVALID, "lifecycle",
          "object" },
        { "{\"lifecycle\":{\"on_timeout\":\"hibernate\"}}",
          SANDBOX_BODY_INVALID, "lifecycle.on_timeout",
          "\"destroy\" or \"pause\"" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_template(void **state)
{
    static const refusal_t list[] = {
        { "{\"template\":\"\"}", SANDBOX_BODY_INVALID, "template", "empty" },
        { "{\"template\":\"a b\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"../base\"}", SANDBOX_BODY_INVALID, "template",
          NULL },
        { "{\"template\":\"/base\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"base/\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"a//b\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"base:\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"base:-x\"}", SANDBOX_BODY_INVALID, "template",
          NULL },
        { "{\"template\":\"base:a:b\"}", SANDBOX_BODY_INVALID, "template",
          NULL },
        { "{\"template\":\"base@sha256:12\"}", SANDBOX_BODY_INVALID, "template",
          NULL },
        { "{\"template\":\"-base\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"a..b\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"a___b\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"-h:1/b\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"h:70000/b\"}", SANDBOX_BODY_INVALID, "template",
          NULL },
        { "{\"template\":\"\\n\"}", SANDBOX_BODY_INVALID, "template", NULL },
        { "{\"template\":\"none\"}", SANDBOX_BODY_UNKNOWN_TEMPLATE, "template",
          "\"none\"" },
        { "{\"template\":\"python\"}", SANDBOX_BODY_UNKNOWN_TEMPLATE,
          "template", NULL },
        /* of the contract, and not built yet */
        { "{\"template\":\"base:v1.2_3-x\"}", SANDBOX_BODY_NOT_IMPLEMENTED,
          "template", "tag" },
        { "{\"template\":\"docker.io/library/a-b__c.d--e:3.12-slim\"}",
          SANDBOX_BODY_NOT_IMPLEMENTED, "template", "image" },
        { "{\"template\":\"Reg-1.example:5000/x\"}",
          SANDBOX_BODY_NOT_IMPLEMENTED, "template", NULL },
        { "{\"template\":\"x@sha256:0123456789abcdef0123456789abcdef"
          "0123456789abcdef0123456789abcdef\"}",
          SANDBOX_BODY_NOT_IMPLEMENTED, "template", NULL },
        /* the rest of the body is looked at first */
        { "{\"template\":\"none\",\"vcpus\":0}", SANDBOX_BODY_INVALID, "vcpus",
          NULL },
        { "{\"template\":\"a/b\",\"auto_resume\":true}", SANDBOX_BODY_INVALID,
          "auto_resume", NULL },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_long_template(void **state)
{
    char body[512];
    sandbox_create_t create;
    sandbox_body_error_t err;

    (void) state;

    (void) snprintf(body, sizeof(body), "{\"template\":\"%0255d\"}", 0);
    assert_int_equal(create_parse(&create, &err, body),
                     SANDBOX_BODY_UNKNOWN_TEMPLATE);
    (void) snprintf(body, sizeof(body), "{\"template\":\"%0256d\"}", 0);
    assert_int_equal(create_parse(&create, &err, body), SANDBOX_BODY_INVALID);
    assert_non_null(strstr(err.reason, "at most 255"));
}


static void
test_envs(void **state)
{
    static const refusal_t list[] = {
        { "{\"envs\":{\"1A\":\"\"}}", SANDBOX_BODY_INVALID, "envs.1A", "name" },
        { "{\"envs\":{\"\":\"\"}}", SANDBOX_BODY_INVALID, "envs.\"\"", "name" },
        { "{\"envs\":{\"A=B\":\"\"}}", SANDBOX_BODY_INVALID, "envs.A=B",
          "name" },
        { "{\"envs\":{\"A-B\":\"\"}}", SANDBOX_BODY_INVALID, "envs.A-B",
          "name" },
        { "{\"envs\":{\"A\":1}}", SANDBOX_BODY_INVALID, "envs.A", "string" },
        { "{\"envs\":{\"A\":null}}", SANDBOX_BODY_INVALID, "envs.A", "string" },
        { "{\"envs\":{\"A\":{}}}", SANDBOX_BODY_INVALID, "envs.A", "string" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_many_envs(void **state)
{
    char *body;
    size_t i, n;
    sandbox_create_t create;
    sandbox_body_error_t err;

    (void) state;

    body = malloc(SANDBOX_ENVS_MAX);
    assert_non_null(body);
    n = (size_t) snprintf(body, SANDBOX_ENVS_MAX, "{\"envs\":{\"A\":\"\"");

    for (i = 1; i < 1024; i++) {
        n += (size_t) snprintf(body + n, SANDBOX_ENVS_MAX - n, ",\"A%zu\":\"\"",
                               i);
    }

    (void) snprintf(body + n, SANDBOX_ENVS_MAX - n, "}}");
    assert_int_equal(create_parse(&create, &err, body), SANDBOX_BODY_OK);
    sandbox_create_free(&create);

    (void) snprintf(body + n, SANDBOX_ENVS_MAX - n, ",\"B\":\"\"}}");
    assert_int_equal(create_parse(&create, &err, body), SANDBOX_BODY_INVALID);
    assert_string_equal(err.field, "envs");
    assert_non_null(strstr(err.reason, "at most 1024 members"));
    free(body);
}


static void
test_long_cwd(void **state)
{
    char body[512];
    sandbox_create_t create;
    sandbox_body_error_t err;

    (void) state;

    (void) snprintf(body, sizeof(body), "{\"cwd\":\"/%0255d\"}", 0);
    assert_int_equal(create_parse(&create, &err, body), SANDBOX_BODY_OK);
    sandbox_create_free(&create);

    (void) snprintf(body, sizeof(body), "{\"cwd\":\"/%0256d\"}", 0);
    assert_int_equal(create_parse(&create, &err, body), SANDBOX_BODY_INVALID);
    assert_string_equal(err.field, "cwd");
    assert_non_null(strstr(err.reason, "255"));
}


/* A body whose member, of the form {"A":"xxx"}, has size bytes. */
static char *
sized(const char *member, size_t size)
{
    char *body;
    size_t n;

    body = malloc(size + 64);
    assert_non_null(body);
    n = (size_t) snprintf(body, 64, "{\"%s\":{\"A\":\"", member);
    memset(body + n, 'x', size - strlen("{\"A\":\"\"}"));
    (void) snprintf(body + n + size - strlen("{\"A\":\"\"}"), 8, "\"}}");

    return body;
}


static void
test_sizes(void **state)
{
    size_t i;
    char *body;
    sandbox_create_t create;
    sandbox_body_error_t err;
    static const struct {
        const char *member;
        size_t max;
        const char *reason;
    } list[] = {
        { "envs", SANDBOX_ENVS_MAX, "at most 65536 bytes" },
        { "metadata", SANDBOX_METADATA_MAX, "at most 16384 bytes" },
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        body = sized(list[i].member, list[i].max);
        assert_int_equal(create_parse(&create, &err, body), SANDBOX_BODY_OK);
        free(body);
        sandbox_create_free(&create);

        body = sized(list[i].member, list[i].max + 1);
        assert_int_equal(create_parse(&create, &err, body),
                         SANDBOX_BODY_INVALID);
        free(body);
        assert_string_equal(err.field, list[i].member);
        assert_non_null(strstr(err.reason, list[i].reason));
    }
}


static void
test_cwd(void **state)
{
    size_t i;
    sandbox_create_t create;
    sandbox_body_error_t err;
    static const refusal_t list[] = {
        { "{\"cwd\":\"\"}", SANDBOX_BODY_INVALID, "cwd", NULL },
        { "{\"cwd\":\"a/b\"}", SANDBOX_BODY_INVALID, "cwd", NULL },
        { "{\"cwd\":\"/..\"}", SANDBOX_BODY_INVALID, "cwd", NULL },
        { "{\"cwd\":\"/a/../../b\"}", SANDBOX_BODY_INVALID, "cwd", NULL },
        { "{\"cwd\":\"/workspace/.nullspace\"}", SANDBOX_BODY_INVALID, "cwd",
          "/workspace/.nullspace" },
        { "{\"cwd\":\"/workspace//x/../.nullspace/y\"}", SANDBOX_BODY_INVALID,
          "cwd", "/workspace/.nullspace" },
    };
    static const char *const good[][2] = {
        { "{\"cwd\":\"/\"}", "/" },
        { "{\"cwd\":\"/workspace/.nullspacex\"}", "/workspace/.nullspacex" },
        { "{\"cwd\":\"/a/./b/\"}", "/a/b" },
        { "{\"cwd\":\"/caf\\u00e9\"}", "/caf\xc3\xa9" },
    };

    (void) state;
    check_refusals(list, COUNT(list));

    for (i = 0; i < COUNT(good); i++) {
        assert_int_equal(create_parse(&create, &err, good[i][0]),
                         SANDBOX_BODY_OK);
        assert_string_equal(create.cwd, good[i][1]);
        sandbox_create_free(&create);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_disk_ceiling),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_long_template),
        cmocka_unit_test(test_envs),
        cmocka_unit_test(test_many_envs),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_cwd),
        cmocka_unit_test(test_long_cwd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
