/* The create schema: each member's types and bounds, rules, features. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox_create.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))


static sandbox_template_t base = {
    .name = "base",
    .workdir = "/workspace",
    .disk_mb = 2048,
    .min_memory_mb = 128,
};

static sandbox_template_t desktop = {
    .name = "desk",
    .workdir = "/root",
    .disk_mb = 4096,
    .min_memory_mb = 512,
    .desktop = 1,
};

static sandbox_template_t *const templates[] = { &base, &desktop, NULL };

static const sandbox_create_limits_t limits = {
    .max_vcpus = 8,
    .max_memory_mb = 16384,
    .max_disk_mb = 65536,
    .max_timeout_ms = 86400000,
    .templates = templates,
};

typedef struct {
    const char *body;
    sandbox_create_status_t status;
    const char *field;  /* exact */
    const char *reason; /* a part of it, or NULL */
} refusal_t;


static sandbox_create_status_t
parse(sandbox_create_t *create, sandbox_create_error_t *err, const char *body)
{
    char *copy;
    size_t len;
    sandbox_create_status_t rc;

    /* no NUL behind the text: sanitizers see a read past its end */
    len = strlen(body);
    copy = malloc(len + 1);
    assert_non_null(copy);
    copy = realloc(copy, len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, body, len);
    rc = sandbox_create_parse(create, copy, len, &limits, err);
    free(copy);

    return rc;
}


static void
check_refusals(const refusal_t *list, size_t n)
{
    size_t i;
    sandbox_create_t create;
    sandbox_create_error_t err;
    sandbox_create_status_t rc;

    for (i = 0; i < n; i++) {
        rc = parse(&create, &err, list[i].body);

        if (rc != list[i].status || strcmp(err.field, list[i].field) != 0
            || (list[i].reason && !strstr(err.reason, list[i].reason))
            || err.reason[0] == '\0' || create.metadata || create.envs
            || create.cwd)
        {
            fail_msg("%.200s: status %d, field \"%s\", reason \"%s\"",
                     list[i].body, rc, err.field, err.reason);
        }
    }
}


static void
check_accepted(const char *const *list, size_t n)
{
    size_t i;
    sandbox_create_t create;
    sandbox_create_error_t err;
    sandbox_create_status_t rc;

    for (i = 0; i < n; i++) {
        rc = parse(&create, &err, list[i]);

        if (rc != SANDBOX_CREATE_OK) {
            fail_msg("%.200s: status %d, field \"%s\", reason \"%s\"", list[i],
                     rc, err.field, err.reason);
        }

        sandbox_create_free(&create);
    }
}


static void
test_defaults(void **state)
{
    size_t i;
    sandbox_create_t create;
    sandbox_create_error_t err;
    static const char *const bodies[] = {
        "", "{}", " {\n} ",
        "{\"vcpus\":null,\"cwd\":null,\"volumes\":null,\"network\":null,"
        "\"no_such_member\":null}"
    };

    (void) state;

    for (i = 0; i < COUNT(bodies); i++) {
        assert_int_equal(parse(&create, &err, bodies[i]), SANDBOX_CREATE_OK);
        assert_ptr_equal(create.template, &base);
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
    sandbox_create_error_t err;
    sandbox_create_limits_t lim = limits;

    (void) state;

    lim.max_timeout_ms = 1000;
    assert_int_equal(sandbox_create_parse(&create, "{\"template\":\"desk\"}",
                                          19, &lim, &err),
                     SANDBOX_CREATE_OK);
    assert_ptr_equal(create.template, &desktop);
    assert_int_equal(create.memory_mb, 512);
    assert_int_equal(create.disk_mb, 4096);
    assert_int_equal(create.timeout_ms, 1000);
    sandbox_create_free(&create);
}


static void
test_values(void **state)
{
    sandbox_create_t create;
    sandbox_create_error_t err;

    (void) state;

    assert_int_equal(
        parse(&create, &err,
              "{\"vcpus\": 2.0, \"memory_mb\":1e3, \"disk_mb\":4096,"
              "\"timeout_ms\":60000, \"template\":\"b\\u0061se\","
              "\"cwd\":\"/a//b/../c/\","
              "\"envs\": { \"A\" : \"x\\ny\", \"_b1\":\"\" } ,"
              "\"metadata\": {\"z\": 1.10, \"a\":[1e3, 12345678901234567890],"
              " \"\\u00e9\":\"\\u00e9\"} }"),
        SANDBOX_CREATE_OK);
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
        { "{", SANDBOX_CREATE_INVALID_JSON, "", "at byte" },
        { " ", SANDBOX_CREATE_INVALID_JSON, "", NULL },
        { "{} x", SANDBOX_CREATE_INVALID_JSON, "", NULL },
        { "{\"vcpus\":1,}", SANDBOX_CREATE_INVALID_JSON, "", NULL },
        { "{\"vcpus\":1,\"vcpus\":1}", SANDBOX_CREATE_INVALID_JSON, "", NULL },
        { "{\"vcpus\":1,\"\\u0076cpus\":1}", SANDBOX_CREATE_INVALID_JSON, "",
          NULL },
        { "{\"metadata\":{\"a\":1,\"a\":2}}", SANDBOX_CREATE_INVALID_JSON, "",
          NULL },
        { "{\"envs\":{\"A\":\"\\u0000\"}}", SANDBOX_CREATE_INVALID_JSON, "",
          NULL },
        { "{\"cwd\":\"\xff\"}", SANDBOX_CREATE_INVALID_JSON, "", NULL },
        { "[]", SANDBOX_CREATE_INVALID_JSON, "", "object" },
        { "null", SANDBOX_CREATE_INVALID_JSON, "", "object" },
        { "\"x\"", SANDBOX_CREATE_INVALID_JSON, "", "object" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_unknown(void **state)
{
    static const refusal_t list[] = {
        { "{\"timeout\":1}", SANDBOX_CREATE_INVALID, "timeout", "known" },
        { "{\"VCPUS\":1}", SANDBOX_CREATE_INVALID, "VCPUS", NULL },
        { "{\"\":1}", SANDBOX_CREATE_INVALID, "", NULL },
        { "{\"network\":{\"x\":1}}", SANDBOX_CREATE_INVALID, "network.x",
          NULL },
        { "{\"warm_pool\":{\"x\":1}}", SANDBOX_CREATE_INVALID, "warm_pool.x",
          NULL },
        { "{\"lifecycle\":{\"auto_resume\":true}}", SANDBOX_CREATE_INVALID,
          "lifecycle.auto_resume", NULL },
        { "{\"desktop\":{\"w\":1}}", SANDBOX_CREATE_INVALID, "desktop.w",
          NULL },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\",\"x\":0}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].x", NULL },
        /* an unknown member wins over one that is not built */
        { "{\"snapshot_id\":\"snap_x\",\"typo\":1}", SANDBOX_CREATE_INVALID,
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
    sandbox_create_error_t err;

    (void) state;

    /* a name of two-byte characters, at each alignment */
    for (i = 0; i < 2; i++) {
        n = (size_t) snprintf(body, sizeof(body), "{\"%s", i ? "a" : "");
        while (n < 600) {
            body[n++] = '\xc3';
            body[n++] = '\xa9';
        }
        (void) snprintf(body + n, sizeof(body) - n, "\":1}");

        assert_int_equal(parse(&create, &err, body), SANDBOX_CREATE_INVALID);
        n = strlen(err.field);
        assert_true(n > 100 && n < sizeof(err.field));
        assert_int_equal((n - i) % 2, 0);
    }
}


static void
test_integers(void **state)
{
    static const refusal_t list[] = {
        { "{\"vcpus\":0}", SANDBOX_CREATE_INVALID, "vcpus", "at least 1" },
        { "{\"vcpus\":-1}", SANDBOX_CREATE_INVALID, "vcpus", "at least 1" },
        { "{\"vcpus\":9}", SANDBOX_CREATE_INVALID, "vcpus", "at most 8" },
        { "{\"vcpus\":1.5}", SANDBOX_CREATE_INVALID, "vcpus", "from 1 to 8" },
        { "{\"vcpus\":true}", SANDBOX_CREATE_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":\"1\"}", SANDBOX_CREATE_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":[1]}", SANDBOX_CREATE_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":{}}", SANDBOX_CREATE_INVALID, "vcpus", "integer" },
        { "{\"vcpus\":1e99}", SANDBOX_CREATE_INVALID, "vcpus", "to 8" },
        { "{\"memory_mb\":0}", SANDBOX_CREATE_INVALID, "memory_mb",
          "at least 1" },
        { "{\"memory_mb\":127}", SANDBOX_CREATE_INVALID, "memory_mb",
          "at least 128, the minimum of template base" },
        { "{\"memory_mb\":16385}", SANDBOX_CREATE_INVALID, "memory_mb",
          "at most 16384" },
        { "{\"disk_mb\":511}", SANDBOX_CREATE_INVALID, "disk_mb",
          "at least 512" },
        { "{\"disk_mb\":2047}", SANDBOX_CREATE_INVALID, "disk_mb",
          "at least 2048, the size of template base" },
        { "{\"disk_mb\":65537}", SANDBOX_CREATE_INVALID, "disk_mb",
          "at most 65536" },
        { "{\"timeout_ms\":0}", SANDBOX_CREATE_INVALID, "timeout_ms",
          "at least 1" },
        { "{\"timeout_ms\":86400001}", SANDBOX_CREATE_INVALID, "timeout_ms",
          "at most 86400000" },
        { "{\"timeout_ms\":false}", SANDBOX_CREATE_INVALID, "timeout_ms",
          "integer" },
    };
    static const char *const good[] = {
        "{\"vcpus\":8}",       "{\"vcpus\":1.0}",       "{\"vcpus\":0.1e1}",
        "{\"memory_mb\":128}", "{\"memory_mb\":16384}", "{\"disk_mb\":2048}",
        "{\"disk_mb\":65536}", "{\"timeout_ms\":1}",    "{\"timeout_ms\":864e5}"
    };

    (void) state;
    check_refusals(list, COUNT(list));
    check_accepted(good, COUNT(good));
}


static void
test_disk_ceiling(void **state)
{
    sandbox_create_t create;
    sandbox_create_error_t err;
    sandbox_create_limits_t lim = limits;
    const char *body = "{\"disk_mb\":131073}";

    (void) state;

    lim.max_disk_mb = INT64_MAX;
    assert_int_equal(
        sandbox_create_parse(&create, body, strlen(body), &lim, &err),
        SANDBOX_CREATE_INVALID);
    assert_non_null(strstr(err.reason, "at most 131072"));
}


static void
test_types(void **state)
{
    static const refusal_t list[] = {
        { "{\"snapshot_id\":1}", SANDBOX_CREATE_INVALID, "snapshot_id",
          "string" },
        { "{\"snapshot_id\":\"\"}", SANDBOX_CREATE_INVALID, "snapshot_id",
          "empty" },
        { "{\"snapshot_id\":\"a b\"}", SANDBOX_CREATE_INVALID, "snapshot_id",
          "letters" },
        { "{\"warm_pool\":true}", SANDBOX_CREATE_INVALID, "warm_pool",
          "object" },
        { "{\"warm_pool\":{\"id\":1}}", SANDBOX_CREATE_INVALID, "warm_pool.id",
          "string" },
        { "{\"warm_pool\":{\"id\":\"x\",\"mode\":\"always\"}}",
          SANDBOX_CREATE_INVALID, "warm_pool.mode",
          "\"prefer\", \"require\" or \"bypass\"" },
        { "{\"warm_pool\":{\"id\":\"x\",\"wait_ms\":60001}}",
          SANDBOX_CREATE_INVALID, "warm_pool.wait_ms", "at most 60000" },
        { "{\"warm_pool\":{\"id\":\"x\",\"wait_ms\":-1}}",
          SANDBOX_CREATE_INVALID, "warm_pool.wait_ms", "at least 0" },
        { "{\"template\":5}", SANDBOX_CREATE_INVALID, "template", "string" },
        { "{\"timeout_action\":\"stop\"}", SANDBOX_CREATE_INVALID,
          "timeout_action", "\"destroy\" or \"hibernate\"" },
        { "{\"timeout_action\":false}", SANDBOX_CREATE_INVALID,
          "timeout_action", "string" },
        { "{\"auto_resume\":1}", SANDBOX_CREATE_INVALID, "auto_resume",
          "true or false" },
        { "{\"auto_resume\":\"true\"}", SANDBOX_CREATE_INVALID, "auto_resume",
          "true or false" },
        { "{\"internet_access\":0}", SANDBOX_CREATE_INVALID, "internet_access",
          "true or false" },
        { "{\"envs\":[]}", SANDBOX_CREATE_INVALID, "envs", "object" },
        { "{\"metadata\":[]}", SANDBOX_CREATE_INVALID, "metadata", "object" },
        { "{\"metadata\":\"{}\"}", SANDBOX_CREATE_INVALID, "metadata",
          "object" },
        { "{\"cwd\":7}", SANDBOX_CREATE_INVALID, "cwd", "string" },
        { "{\"desktop\":true}", SANDBOX_CREATE_INVALID, "desktop", "object" },
        { "{\"desktop\":{\"width\":319}}", SANDBOX_CREATE_INVALID,
          "desktop.width", "at least 320" },
        { "{\"network\":[]}", SANDBOX_CREATE_INVALID, "network", "object" },
        { "{\"network\":{\"allow_public_traffic\":\"no\"}}",
          SANDBOX_CREATE_INVALID, "network.allow_public_traffic",
          "true or false" },
        { "{\"volumes\":{}}", SANDBOX_CREATE_INVALID, "volumes", "array" },
        { "{\"lifecycle\":\"pause\"}", SANDBOX_CREATE_INVALID, "lifecycle",
          "object" },
        { "{\"lifecycle\":{\"on_timeout\":\"hibernate\"}}",
          SANDBOX_CREATE_INVALID, "lifecycle.on_timeout",
          "\"destroy\" or \"pause\"" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_template(void **state)
{
    static const refusal_t list[] = {
        { "{\"template\":\"\"}", SANDBOX_CREATE_INVALID, "template", "empty" },
        { "{\"template\":\"a b\"}", SANDBOX_CREATE_INVALID, "template", NULL },
        { "{\"template\":\"../base\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"/base\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"base/\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"a//b\"}", SANDBOX_CREATE_INVALID, "template", NULL },
        { "{\"template\":\"base:\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"base:-x\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"base:a:b\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"base@sha256:12\"}", SANDBOX_CREATE_INVALID,
          "template", NULL },
        { "{\"template\":\"-base\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"a..b\"}", SANDBOX_CREATE_INVALID, "template", NULL },
        { "{\"template\":\"a___b\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"-h:1/b\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"h:70000/b\"}", SANDBOX_CREATE_INVALID, "template",
          NULL },
        { "{\"template\":\"\\n\"}", SANDBOX_CREATE_INVALID, "template", NULL },
        { "{\"template\":\"none\"}", SANDBOX_CREATE_UNKNOWN_TEMPLATE,
          "template", "\"none\"" },
        { "{\"template\":\"base:v1.2_3-x\"}", SANDBOX_CREATE_UNKNOWN_TEMPLATE,
          "template", NULL },
        { "{\"template\":\"python\"}", SANDBOX_CREATE_UNKNOWN_TEMPLATE,
          "template", NULL },
        { "{\"template\":\"docker.io/library/a-b__c.d--e:3.12-slim\"}",
          SANDBOX_CREATE_UNKNOWN_TEMPLATE, "template", NULL },
        { "{\"template\":\"Reg-1.example:5000/x\"}",
          SANDBOX_CREATE_UNKNOWN_TEMPLATE, "template", NULL },
        { "{\"template\":\"x@sha256:0123456789abcdef0123456789abcdef"
          "0123456789abcdef0123456789abcdef\"}",
          SANDBOX_CREATE_UNKNOWN_TEMPLATE, "template", NULL },
        /* the rest of the body is looked at first */
        { "{\"template\":\"none\",\"vcpus\":0}", SANDBOX_CREATE_INVALID,
          "vcpus", NULL },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_long_template(void **state)
{
    char body[512];
    sandbox_create_t create;
    sandbox_create_error_t err;

    (void) state;

    (void) snprintf(body, sizeof(body), "{\"template\":\"%0255d\"}", 0);
    assert_int_equal(parse(&create, &err, body),
                     SANDBOX_CREATE_UNKNOWN_TEMPLATE);
    (void) snprintf(body, sizeof(body), "{\"template\":\"%0256d\"}", 0);
    assert_int_equal(parse(&create, &err, body), SANDBOX_CREATE_INVALID);
    assert_non_null(strstr(err.reason, "at most 255"));
}


static void
test_envs(void **state)
{
    static const refusal_t list[] = {
        { "{\"envs\":{\"1A\":\"\"}}", SANDBOX_CREATE_INVALID, "envs.1A",
          "name" },
        { "{\"envs\":{\"\":\"\"}}", SANDBOX_CREATE_INVALID, "envs.", "name" },
        { "{\"envs\":{\"A=B\":\"\"}}", SANDBOX_CREATE_INVALID, "envs.A=B",
          "name" },
        { "{\"envs\":{\"A-B\":\"\"}}", SANDBOX_CREATE_INVALID, "envs.A-B",
          "name" },
        { "{\"envs\":{\"A\":1}}", SANDBOX_CREATE_INVALID, "envs.A", "string" },
        { "{\"envs\":{\"A\":null}}", SANDBOX_CREATE_INVALID, "envs.A",
          "string" },
        { "{\"envs\":{\"A\":{}}}", SANDBOX_CREATE_INVALID, "envs.A", "string" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
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
    sandbox_create_error_t err;
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
        assert_int_equal(parse(&create, &err, body), SANDBOX_CREATE_OK);
        free(body);
        sandbox_create_free(&create);

        body = sized(list[i].member, list[i].max + 1);
        assert_int_equal(parse(&create, &err, body), SANDBOX_CREATE_INVALID);
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
    sandbox_create_error_t err;
    static const refusal_t list[] = {
        { "{\"cwd\":\"\"}", SANDBOX_CREATE_INVALID, "cwd", NULL },
        { "{\"cwd\":\"a/b\"}", SANDBOX_CREATE_INVALID, "cwd", NULL },
        { "{\"cwd\":\"/..\"}", SANDBOX_CREATE_INVALID, "cwd", NULL },
        { "{\"cwd\":\"/a/../../b\"}", SANDBOX_CREATE_INVALID, "cwd", NULL },
        { "{\"cwd\":\"/workspace/.nullspace\"}", SANDBOX_CREATE_INVALID, "cwd",
          "/workspace/.nullspace" },
        { "{\"cwd\":\"/workspace//x/../.nullspace/y\"}", SANDBOX_CREATE_INVALID,
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
        assert_int_equal(parse(&create, &err, good[i][0]), SANDBOX_CREATE_OK);
        assert_string_equal(create.cwd, good[i][1]);
        sandbox_create_free(&create);
    }
}


static void
test_network(void **state)
{
    static const refusal_t list[] = {
        { "{\"network\":{\"allow_out\":\"10.0.0.0/8\"}}",
          SANDBOX_CREATE_INVALID, "network.allow_out", "array" },
        { "{\"network\":{\"allow_out\":[\"10.0.0.0/8\",7]}}",
          SANDBOX_CREATE_INVALID, "network.allow_out[1]", "string" },
        { "{\"network\":{\"allow_out\":[\"10.0.0.0/8\",\"10.0.0.1/8\"]}}",
          SANDBOX_CREATE_INVALID, "network.allow_out[1]", NULL },
        { "{\"network\":{\"deny_out\":[\"example.com\"]}}",
          SANDBOX_CREATE_INVALID, "network.deny_out[0]", NULL },
        { "{\"network\":{\"deny_out\":[null]}}", SANDBOX_CREATE_INVALID,
          "network.deny_out[0]", "string" },
        { "{\"network\":{\"deny_out\":[\"1.2.3.4/33\"]}}",
          SANDBOX_CREATE_INVALID, "network.deny_out[0]", NULL },
        { "{\"network\":{\"mask_request_host\":\"\"}}", SANDBOX_CREATE_INVALID,
          "network.mask_request_host", "empty" },
        { "{\"network\":{\"mask_request_host\":\"a b\"}}",
          SANDBOX_CREATE_INVALID, "network.mask_request_host", "localhost" },
        { "{\"network\":{\"mask_request_host\":\"a\\r\\nX: y\"}}",
          SANDBOX_CREATE_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"h:${HOST}\"}}",
          SANDBOX_CREATE_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"h:99999\"}}",
          SANDBOX_CREATE_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"http://h\"}}",
          SANDBOX_CREATE_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"[::1\"}}",
          SANDBOX_CREATE_INVALID, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"localhost:${PORT}\"}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"[::1]:${PORT}\"}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "network.mask_request_host", NULL },
        { "{\"network\":{\"mask_request_host\":\"p${PORT}.example.com\"}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "network.mask_request_host", NULL },
        { "{\"network\":{\"allow_out\":[\"2001:db8::/32\",\"192.0.2.1\"]}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "network.allow_out", NULL },
        { "{\"network\":{\"deny_out\":[\"0.0.0.0/0\"]}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "network.deny_out", NULL },
        { "{\"network\":{\"allow_public_traffic\":false}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "network.allow_public_traffic",
          NULL },
    };
    static const char *const good[] = {
        "{\"network\":{}}",
        "{\"network\":{\"allow_out\":[],\"deny_out\":[]}}",
        "{\"network\":{\"allow_public_traffic\":true}}",
        "{\"network\":{\"mask_request_host\":null,\"allow_out\":null}}",
    };

    (void) state;
    check_refusals(list, COUNT(list));
    check_accepted(good, COUNT(good));
}


static void
test_volumes(void **state)
{
    static const refusal_t list[] = {
        { "{\"volumes\":[1]}", SANDBOX_CREATE_INVALID, "volumes[0]", "object" },
        { "{\"volumes\":[null]}", SANDBOX_CREATE_INVALID, "volumes[0]",
          "object" },
        { "{\"volumes\":[{}]}", SANDBOX_CREATE_INVALID, "volumes[0].ref",
          "given" },
        { "{\"volumes\":[{\"ref\":\"v\"}]}", SANDBOX_CREATE_INVALID,
          "volumes[0].mount_path", "given" },
        { "{\"volumes\":[{\"ref\":null,\"mount_path\":\"/d\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].ref", "given" },
        /* the slots of an item are its own */
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\"},"
          "{\"ref\":\"v\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[1].mount_path", "given" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"d\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].mount_path", NULL },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/a/..\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].mount_path", "\"/\"" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/proc/x\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].mount_path", "/proc" },
        { "{\"volumes\":[{\"ref\":\"v\","
          "\"mount_path\":\"/workspace/.nullspace/x\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].mount_path", ".nullspace" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\"},"
          "{\"ref\":\"w\",\"mount_path\":\"/d/e\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[1].mount_path", "volumes[0]" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d/e\"},"
          "{\"ref\":\"w\",\"mount_path\":\"//d\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[1].mount_path", "volumes[0]" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\","
          "\"subpath\":\"/x\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].subpath", "relative" },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\","
          "\"subpath\":\"a/../../x\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].subpath", NULL },
        { "{\"volumes\":[{\"ref\":\"v\",\"mount_path\":\"/d\","
          "\"read_only\":1}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].read_only", "true or false" },
        { "{\"volumes\":[{\"ref\":\"a/b\",\"mount_path\":\"/d\"}]}",
          SANDBOX_CREATE_INVALID, "volumes[0].ref", NULL },
        { "{\"volumes\":[{},{},{},{},{},{},{},{},{}]}", SANDBOX_CREATE_INVALID,
          "volumes", "at most 8 items" },
        { "{\"volumes\":[{\"ref\":\"vol_x\",\"mount_path\":\"/d\","
          "\"subpath\":\"a/b\",\"read_only\":true},"
          "{\"ref\":\"v\",\"mount_path\":\"/dd\",\"subpath\":null}]}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "volumes", NULL },
    };
    static const char *const good[] = { "{\"volumes\":[]}",
                                        "{\"volumes\":null}" };

    (void) state;
    check_refusals(list, COUNT(list));
    check_accepted(good, COUNT(good));
}


static void
test_combinations(void **state)
{
    static const refusal_t list[] = {
        { "{\"timeout_action\":\"hibernate\","
          "\"lifecycle\":{\"on_timeout\":\"destroy\"}}",
          SANDBOX_CREATE_INVALID, "lifecycle.on_timeout", "contradicts" },
        { "{\"lifecycle\":{\"on_timeout\":\"pause\"},"
          "\"timeout_action\":\"destroy\"}",
          SANDBOX_CREATE_INVALID, "lifecycle.on_timeout", "contradicts" },
        { "{\"auto_resume\":true}", SANDBOX_CREATE_INVALID, "auto_resume",
          "needs" },
        { "{\"auto_resume\":true,\"timeout_action\":\"destroy\"}",
          SANDBOX_CREATE_INVALID, "auto_resume", "needs" },
        { "{\"snapshot_id\":\"snap_x\",\"disk_mb\":2048}",
          SANDBOX_CREATE_INVALID, "disk_mb", "snapshot_id" },
        { "{\"warm_pool\":{}}", SANDBOX_CREATE_INVALID, "warm_pool.id",
          "bypass" },
        { "{\"warm_pool\":{\"mode\":\"require\"}}", SANDBOX_CREATE_INVALID,
          "warm_pool.id", "bypass" },
        { "{\"desktop\":{}}", SANDBOX_CREATE_INVALID, "desktop",
          "template base has no desktop" },
        { "{\"template\":\"desk\",\"memory_mb\":256}", SANDBOX_CREATE_INVALID,
          "memory_mb", "at least 512" },
    };

    (void) state;
    check_refusals(list, COUNT(list));
}


static void
test_not_built(void **state)
{
    static const refusal_t list[] = {
        { "{\"snapshot_id\":\"snap_aaaa\"}", SANDBOX_CREATE_NOT_IMPLEMENTED,
          "snapshot_id", NULL },
        { "{\"warm_pool\":{\"id\":\"twp_x\"}}", SANDBOX_CREATE_NOT_IMPLEMENTED,
          "warm_pool", NULL },
        { "{\"warm_pool\":{\"id\":\"twp_x\",\"mode\":\"require\"}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "warm_pool", NULL },
        { "{\"timeout_action\":\"hibernate\"}", SANDBOX_CREATE_NOT_IMPLEMENTED,
          "timeout_action", NULL },
        { "{\"lifecycle\":{\"on_timeout\":\"pause\"}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "lifecycle.on_timeout", NULL },
        { "{\"auto_resume\":true,\"lifecycle\":{\"on_timeout\":\"pause\"}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "auto_resume", NULL },
        { "{\"internet_access\":false}", SANDBOX_CREATE_NOT_IMPLEMENTED,
          "internet_access", NULL },
        { "{\"template\":\"desk\",\"desktop\":{\"width\":1024}}",
          SANDBOX_CREATE_NOT_IMPLEMENTED, "desktop", NULL },
    };
    static const char *const good[] = {
        "{\"warm_pool\":{\"mode\":\"bypass\"}}",
        "{\"warm_pool\":{\"id\":\"twp_x\",\"mode\":\"bypass\"}}",
        "{\"timeout_action\":\"destroy\"}",
        "{\"lifecycle\":{}}",
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


static void
test_fingerprint(void **state)
{
    size_t i;
    sandbox_create_t a, b;
    sandbox_create_error_t err;
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
    };

    (void) state;

    for (i = 0; i < COUNT(list); i++) {
        assert_int_equal(parse(&a, &err, list[i].a), SANDBOX_CREATE_OK);
        assert_int_equal(parse(&b, &err, list[i].b), SANDBOX_CREATE_OK);
        assert_int_equal(
            memcmp(a.fingerprint, b.fingerprint, SANDBOX_SHA256_LEN) == 0,
            list[i].equal);
        sandbox_create_free(&a);
        sandbox_create_free(&b);
    }
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
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_disk_ceiling),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_long_template),
        cmocka_unit_test(test_envs),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_cwd),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_combinations),
        cmocka_unit_test(test_not_built),
        cmocka_unit_test(test_fingerprint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
