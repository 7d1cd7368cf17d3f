/* The bodies of POST and PATCH /v1/template-warm-pools. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "create_body.h"
#include "sandbox_pool.h"


static sandbox_pool_spec_t pool;
static sandbox_body_error_t err;


static sandbox_body_status_t
parse(int patch, const char *body)
{
    return sandbox_pool_parse(&pool, patch, body, strlen(body), &create_limits,
                              &err);
}


static void
test_defaults(void **state)
{
    (void) state;

    assert_int_equal(
        parse(0, "{\"name\":\"p\",\"template_ref\":\"base\",\"min_ready\":2}"),
        SANDBOX_BODY_OK);
    assert_string_equal(pool.name, "p");
    assert_ptr_equal(pool.template, &create_base);
    assert_int_equal(pool.vcpus, 1);
    assert_int_equal(pool.memory_mb, 256);
    assert_int_equal(pool.disk_mb, 2048);
    assert_int_equal(pool.min_ready, 2);
    assert_int_equal(pool.max_ready, 2);
    assert_int_equal(pool.idle_timeout_ms, 600000);
    assert_int_equal(pool.stale_after_ms, 3600000);
    assert_string_equal(pool.checkout_policy, "oldest_first");
    assert_string_equal(pool.version_policy, "pinned_build");
    assert_string_equal(pool.track_tag, "");
    assert_string_equal(pool.labels, "{}");
    assert_string_equal(pool.metadata, "{}");
    sandbox_pool_free(&pool);

    /* a pool of none has room for one; sizes bend to the template */
    assert_int_equal(
        parse(0, "{\"name\":\"p\",\"template_ref\":\"desk\",\"min_ready\":0}"),
        SANDBOX_BODY_OK);
    assert_int_equal(pool.max_ready, 1);
    assert_int_equal(pool.memory_mb, 512);
    assert_int_equal(pool.disk_mb, 4096);
    sandbox_pool_free(&pool);
}


/* What is left out of a PATCH is no value. */
static void
test_patch(void **state)
{
    (void) state;

    assert_int_equal(parse(1, ""), SANDBOX_BODY_OK);
    assert_null(pool.name);
    assert_null(pool.labels);
    assert_null(pool.checkout_policy);
    assert_int_equal(pool.min_ready, -1);
    assert_int_equal(pool.stale_after_ms, -1);
    sandbox_pool_free(&pool);

    assert_int_equal(
        parse(1, "{\"max_ready\":7,\"labels\":{\"a\":\"b\"},"
                 "\"metadata\":{ \"n\":1.10},\"stale_after_seconds\":5,"
                 "\"checkout_policy\":\"newest_first\","
                 "\"version_policy\":\"track_tag\",\"track_tag\":\"latest\"}"),
        SANDBOX_BODY_OK);
    assert_int_equal(pool.max_ready, 7);
    assert_int_equal(pool.min_ready, -1);
    assert_int_equal(pool.stale_after_ms, 5000);
    assert_string_equal(pool.labels, "{\"a\":\"b\"}");
    assert_string_equal(pool.metadata, "{ \"n\":1.10}");
    assert_string_equal(pool.checkout_policy, "newest_first");
    assert_string_equal(pool.version_policy, "track_tag");
    assert_string_equal(pool.track_tag, "latest");
    sandbox_pool_free(&pool);
}


#define BODY(rest) "{\"name\":\"p\",\"template_ref\":\"base\"," rest "}"

static void
test_refused(void **state)
{
    size_t i;
    static const struct {
        int patch;
        const char *body;
        sandbox_body_status_t status;
        const char *field;
    } list[] = {
        { 0, "[]", SANDBOX_BODY_INVALID_JSON, "" },
        { 0, "{}", SANDBOX_BODY_INVALID, "name" },
        { 0, "{\"name\":\"p\",\"min_ready\":1}", SANDBOX_BODY_INVALID,
          "template_ref" },
        { 0, "{\"name\":\"p\",\"template_ref\":\"base\"}", SANDBOX_BODY_INVALID,
          "min_ready" },
        { 0, "{\"name\":\"\",\"template_ref\":\"base\",\"min_ready\":1}",
          SANDBOX_BODY_INVALID, "name" },
        { 0, "{\"name\":\"a\\nb\",\"template_ref\":\"base\",\"min_ready\":1}",
          SANDBOX_BODY_INVALID, "name" },
        { 0, "{\"name\":\"p\",\"template_ref\":\"none\",\"min_ready\":1}",
          SANDBOX_BODY_UNKNOWN_TEMPLATE, "template_ref" },
        { 0, "{\"name\":\"p\",\"template_ref\":\"base:v1\",\"min_ready\":1}",
          SANDBOX_BODY_NOT_IMPLEMENTED, "template_ref" },
        { 0,
          BODY("\"min_ready\":1,\"version_policy\":\"track_tag\","
               "\"track_tag\":\"v1\""),
          SANDBOX_BODY_NOT_IMPLEMENTED, "track_tag" },
        { 1, "{\"track_tag\":\"v1\"}", SANDBOX_BODY_NOT_IMPLEMENTED,
          "track_tag" },
        { 0,
          BODY("\"min_ready\":1,\"version_policy\":\"track_tag\","
               "\"track_tag\":\"v1\",\"resources\":{\"memory_mb\":127}"),
          SANDBOX_BODY_INVALID, "resources.memory_mb" },
        { 0, BODY("\"min_ready\":-1"), SANDBOX_BODY_INVALID, "min_ready" },
        { 0, BODY("\"min_ready\":1001"), SANDBOX_BODY_INVALID, "min_ready" },
        { 0, BODY("\"min_ready\":2,\"max_ready\":1"), SANDBOX_BODY_INVALID,
          "max_ready" },
        { 0, BODY("\"min_ready\":1,\"resources\":{\"vcpus\":9}"),
          SANDBOX_BODY_INVALID, "resources.vcpus" },
        { 0, BODY("\"min_ready\":1,\"resources\":{\"memory_mb\":127}"),
          SANDBOX_BODY_INVALID, "resources.memory_mb" },
        { 0, BODY("\"min_ready\":1,\"resources\":{\"disk_mb\":512}"),
          SANDBOX_BODY_INVALID, "resources.disk_mb" },
        { 0, BODY("\"min_ready\":1,\"resources\":{\"gpu\":1}"),
          SANDBOX_BODY_INVALID, "resources.gpu" },
        { 0, BODY("\"min_ready\":1,\"labels\":{\"a\":1}"), SANDBOX_BODY_INVALID,
          "labels.a" },
        { 0, BODY("\"min_ready\":1,\"checkout_policy\":\"any\""),
          SANDBOX_BODY_INVALID, "checkout_policy" },
        { 0, BODY("\"min_ready\":1,\"track_tag\":\"v1\""), SANDBOX_BODY_INVALID,
          "track_tag" },
        { 0, BODY("\"min_ready\":1,\"version_policy\":\"track_tag\""),
          SANDBOX_BODY_INVALID, "track_tag" },
        { 0, BODY("\"min_ready\":1,\"idle_timeout_seconds\":0"),
          SANDBOX_BODY_INVALID, "idle_timeout_seconds" },
        { 0, BODY("\"min_ready\":1,\"stale_after_seconds\":604801"),
          SANDBOX_BODY_INVALID, "stale_after_seconds" },
        { 0, BODY("\"min_ready\":1,\"size\":1"), SANDBOX_BODY_INVALID, "size" },
        { 1, "{\"template_ref\":\"base\"}", SANDBOX_BODY_INVALID,
          "template_ref" },
        { 1, "{\"resources\":{}}", SANDBOX_BODY_INVALID, "resources" },
        { 1, "{\"min_ready\":3,\"max_ready\":2}", SANDBOX_BODY_INVALID,
          "max_ready" },
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        assert_int_equal(parse(list[i].patch, list[i].body), list[i].status);
        assert_string_equal(err.field, list[i].field);
        assert_null(pool.name);
    }
}


static void
test_template(void **state)
{
    size_t i;
    sandbox_template_t base = { .name = "base" };
    sandbox_template_t other = { .name = "base2" };
    sandbox_template_t host = { .name = "host" };
    sandbox_template_t *const templates[] = { &other, &base, &host, NULL };
    const struct {
        const char *reference;
        const char *tag;
        const sandbox_template_t *is;
    } list[] = {
        { "base", "", &base },
        { "base", "latest", &base },
        { "base", "v1", NULL },
        { "base:v2", "latest", &base },
        { "base:v2", "", NULL },
        { "base:latest", "v2", NULL },
        { "bas", "", NULL },
        { "host:5000/a", "latest", NULL },
        { "host:5000/host", "latest", NULL },
        { "base2", "latest", &other },
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        assert_ptr_equal(
            sandbox_pool_template(templates, list[i].reference, list[i].tag),
            list[i].is);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_patch),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_template),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
