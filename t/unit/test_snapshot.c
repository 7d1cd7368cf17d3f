/* The body of POST …/snapshots. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_snapshot.h"

#define ID "sb_aabcdefghijklmnop234"


static sandbox_snapshot_t snapshot;
static sandbox_body_error_t err;


static sandbox_body_status_t
parse(const char *body)
{
    return sandbox_snapshot_parse(&snapshot, ID, body, strlen(body), &err);
}


/* Byte for byte what the client wrote. */
static void
test_verbatim(void **state)
{
    size_t i;
    static const struct {
        const char *body;
        const char *metadata;
    } cases[] = {
        { "", "{}" },
        { "{}", "{}" },
        { "{\"metadata\":null}", "{}" },
        { " { \"metadata\" : {} } ", "{}" },
        { "{\"metadata\": {\"b\":1.10,\"a\":1e3, \"n\":12345678901234567890}}",
          "{\"b\":1.10,\"a\":1e3, \"n\":12345678901234567890}" },
        { "{\"metadata\":{ \"x\" :\t[null,{\"y\":\"\\u0041\\/\"}]\n}}",
          "{ \"x\" :\t[null,{\"y\":\"\\u0041\\/\"}]\n}" },
        { "{\"metadata\":{\"\":\"\xc3\xa9\"}}", "{\"\":\"\xc3\xa9\"}" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].body), SANDBOX_BODY_OK);
        assert_string_equal(snapshot.metadata, cases[i].metadata);
        sandbox_snapshot_free(&snapshot);
        assert_null(snapshot.metadata);
    }
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
        { "{\"metadata\":[]}", SANDBOX_BODY_INVALID, "metadata", "object" },
        { "{\"metadata\":\"{}\"}", SANDBOX_BODY_INVALID, "metadata", "object" },
        { "{\"name\":\"x\"}", SANDBOX_BODY_INVALID, "name", "known" },
        { "[]", SANDBOX_BODY_INVALID_JSON, "", "object" },
        { "{\"metadata\":{\"a\":1,\"a\":2}}", SANDBOX_BODY_INVALID_JSON, NULL,
          "" },
        { "{\"metadata\":{}", SANDBOX_BODY_INVALID_JSON, NULL, "" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].body), cases[i].status);
        assert_null(snapshot.metadata);
        assert_non_null(strstr(err.reason, cases[i].reason));
        assert_true(strlen(err.reason) > 0);

        if (cases[i].field) {
            assert_string_equal(err.field, cases[i].field);
        }
    }
}


/* Of metadata, its own text counts, to the byte. */
static void
test_size(void **state)
{
    char *body;
    size_t n;
    const size_t around = strlen("{\"metadata\":{\"s\":\"\"}}");

    (void) state;

    for (n = 0; n < 2; n++) {
        body = malloc(around + SANDBOX_METADATA_MAX + 1);
        assert_non_null(body);
        memset(body, ' ', around + SANDBOX_METADATA_MAX);
        memcpy(body, "{\"metadata\":{", 13);
        body[13 + SANDBOX_METADATA_MAX - 2 + n] = '}';
        body[13 + SANDBOX_METADATA_MAX - 1 + n] = '}';
        body[13 + SANDBOX_METADATA_MAX + n] = '\0';

        assert_int_equal(parse(body),
                         n ? SANDBOX_BODY_INVALID : SANDBOX_BODY_OK);
        sandbox_snapshot_free(&snapshot);
        free(body);
    }

    assert_string_equal(err.field, "metadata");
}


static void
fingerprint(uint8_t *digest, const char *id, const char *body)
{
    assert_int_equal(
        sandbox_snapshot_parse(&snapshot, id, body, strlen(body), &err),
        SANDBOX_BODY_OK);
    memcpy(digest, snapshot.fingerprint, SANDBOX_SHA256_LEN);
    sandbox_snapshot_free(&snapshot);
}


/* The same request, however it is spelled; another sandbox is another one. */
static void
test_fingerprint(void **state)
{
    size_t i;
    uint8_t first[SANDBOX_SHA256_LEN], other[SANDBOX_SHA256_LEN];
    static const struct {
        const char *id;
        const char *body;
        int same;
    } cases[] = {
        { ID, "{ \"metadata\" : {\"b\":\"\\u0078\", \"a\": 1.0} }", 1 },
        { ID, "{\"metadata\":{\"a\":1,\"b\":\"y\"}}", 0 },
        { ID, "{\"metadata\":{\"a\":1,\"b\":\"x\",\"c\":null}}", 0 },
        { ID, "{}", 0 },
        { "sb_aabcdefghijklmnop235", "{\"metadata\":{\"a\":1,\"b\":\"x\"}}",
          0 },
    };

    (void) state;

    fingerprint(first, ID, "{\"metadata\":{\"a\":1,\"b\":\"x\"}}");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fingerprint(other, cases[i].id, cases[i].body);
        assert_int_equal(memcmp(first, other, sizeof(first)) == 0,
                         cases[i].same);
    }

    fingerprint(first, ID, "");
    fingerprint(other, ID, "{\"metadata\":null}");
    assert_memory_equal(first, other, sizeof(first));
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbatim),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_fingerprint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
