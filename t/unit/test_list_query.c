/* The query of the list: parameters, masks, tokens, and the metadata filter. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_list_query.h"

#include "sandbox_tenant.h"

#define TENANT "acme"
#define BODY "aabcdefghijklmnop234"
#define ID "sb_" BODY


static int
find(const char *word, size_t len)
{
    int i;
    static const char *const members[] = { "id", "status", "metadata" };

    for (i = 0; i < 3; i++) {
        if (strlen(members[i]) == len && memcmp(members[i], word, len) == 0) {
            return i;
        }
    }

    return -1;
}


static sandbox_query_status_t
parse(sandbox_list_query_t *q, const char *text, sandbox_query_error_t *err)
{
    return sandbox_list_query_parse(q, SANDBOX_LIST_SANDBOXES, text,
                                    strlen(text), TENANT, find, err);
}


static sandbox_query_status_t
parse_snapshots(sandbox_list_query_t *q, const char *text,
                sandbox_query_error_t *err)
{
    return sandbox_list_query_parse(q, SANDBOX_LIST_SNAPSHOTS, text,
                                    strlen(text), TENANT, find, err);
}


static int
read_token(sandbox_list_position_t *position, const char *token,
           const char *tenant)
{
    return sandbox_list_token_read(position, SANDBOX_LIST_SANDBOXES, token,
                                   tenant);
}


static void
test_defaults(void **state)
{
    sandbox_list_query_t q;
    sandbox_query_error_t err;

    (void) state;

    assert_int_equal(parse(&q, "", &err), SANDBOX_QUERY_OK);
    assert_int_equal(q.asked, 0);
    assert_int_equal(q.states, SANDBOX_LIST_LIVE);
    assert_int_equal(q.limit, 100);
    assert_int_equal(q.fields, UINT32_MAX);
    assert_string_equal(q.after.id, "");
    assert_null(q.template);
    assert_null(q.metadata);
    sandbox_list_query_free(&q);
}


static void
test_accepted(void **state)
{
    sandbox_list_query_t q;
    sandbox_query_error_t err;

    (void) state;

    assert_int_equal(
        parse(&q,
              "state=running,destroyed&limit=7&template=base&fields=id,status"
              "&metadata=%7B%22a%22:%20%221+b%22%7d",
              &err),
        SANDBOX_QUERY_OK);
    assert_int_equal(q.asked, 1);
    assert_int_equal(q.states, SANDBOX_LIST_RUNNING | SANDBOX_LIST_DESTROYED);
    assert_int_equal(q.limit, 7);
    assert_int_equal(q.fields, 3);
    assert_string_equal(q.template, "base");
    assert_int_equal(
        sandbox_metadata_filter_match(q.metadata, "{\"a\":\"1 b\"}", 11), 1);
    sandbox_list_query_free(&q);

    assert_int_equal(parse(&q, "l%69mit=%31%30%30", &err), SANDBOX_QUERY_OK);
    assert_int_equal(q.limit, 100);
    sandbox_list_query_free(&q);
}


static void
test_refused(void **state)
{
    size_t i;
    sandbox_list_query_t q;
    sandbox_query_error_t err;
    sandbox_query_status_t rc;
    static const struct {
        const char *text;
        const char *field;
    } cases[] = {
        { "limit=0", "limit" },
        { "limit=101", "limit" },
        { "limit=4294967297", "limit" },
        { "limit=", "limit" },
        { "limit", "limit" },
        { "limit=-1", "limit" },
        { "limit=+1", "limit" },
        { "limit=01", "limit" },
        { "limit=1.0", "limit" },
        { "limit=1&limit=1", "limit" },
        { "limit=1&l%69mit=1", "limit" },
        { "state=", "state" },
        { "state=running,", "state" },
        { "state=,running", "state" },
        { "state=RUNNING", "state" },
        { "state=destroying", "state" },
        { "state=running,running", "state" },
        { "state=running%2Crunning", "state" },
        { "template=", "template" },
        { "template=a%20b", "template" },
        { "metadata=", "metadata" },
        { "metadata=[]", "metadata" },
        { "metadata={", "metadata" },
        { "metadata={\"a\":1,\"a\":1}", "metadata" },
        { "metadata={}%00", "metadata" },
        { "metadata=%ff", "metadata" },
        { "metadata=%c3", "metadata" },
        { "metadata=%zz", "metadata" },
        { "metadata=%4", "metadata" },
        { "metadata=%", "metadata" },
        { "next_token=", "next_token" },
        { "next_token=nt_", "next_token" },
        { "fields=", "fields" },
        { "fields=id,", "fields" },
        { "fields=id,id", "fields" },
        { "fields=id,traffic_access_token", "fields" },
        { "fields=config.vcpus", "fields" },
        { "nothing=1", "nothing" },
        { "Limit=1", "Limit" },
        { "&", "query" },
        { "limit=1&", "query" },
        { "=1", "query" },
        { "%zz=1", "query" },
        { "%00=1", "query" },
        { "a%20b=1", "query" },
        { "%ff=1", "query" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rc = parse(&q, cases[i].text, &err);
        assert_int_equal(rc, strncmp(cases[i].text, "fields", 6) == 0
                                 ? SANDBOX_QUERY_INVALID_FIELDS
                                 : SANDBOX_QUERY_INVALID);
        assert_string_equal(err.field, cases[i].field);
        assert_true(strlen(err.reason) > 0);
        assert_null(q.template);
        assert_null(q.metadata);
    }
}


static void
test_long_words(void **state)
{
    char text[2048];
    sandbox_list_query_t q;
    sandbox_query_error_t err;

    (void) state;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(parse(&q, text, &err), SANDBOX_QUERY_INVALID);
    assert_string_equal(err.field, "query");

    memcpy(text, "fields=", 7);
    assert_int_equal(parse(&q, text, &err), SANDBOX_QUERY_INVALID_FIELDS);
    assert_non_null(strstr(err.reason, "\"xxxx"));
    assert_non_null(strstr(err.reason, "is no member"));
}


static void
test_token(void **state)
{
    size_t i;
    char token[SANDBOX_LIST_TOKEN_SIZE], bad[SANDBOX_LIST_TOKEN_SIZE + 1];
    char text[128];
    sandbox_list_query_t q;
    sandbox_query_error_t err;
    sandbox_list_position_t p, read;

    (void) state;

    memset(&p, 0, sizeof(p));
    p.created_at = 1764018848123;
    (void) snprintf(p.id, sizeof(p.id), "%s", ID);

    assert_int_equal(
        sandbox_list_token_make(token, SANDBOX_LIST_SANDBOXES, &p, TENANT), 0);
    assert_int_equal(strlen(token), sizeof(token) - 1);
    assert_memory_equal(token, "nt_", 3);

    assert_int_equal(read_token(&read, token, TENANT), 0);
    assert_true(read.created_at == p.created_at);
    assert_string_equal(read.id, ID);
    assert_int_equal(read_token(&read, token, "other"), -1);

    for (i = 0; token[i]; i++) {
        memcpy(bad, token, sizeof(token));
        bad[i] = bad[i] == 'a' ? 'b' : 'a';
        assert_int_equal(read_token(&read, bad, TENANT), -1);
        bad[i] = '\0';
        assert_int_equal(read_token(&read, bad, TENANT), -1);
    }

    (void) snprintf(bad, sizeof(bad), "%sa", token);
    assert_int_equal(read_token(&read, bad, TENANT), -1);

    (void) snprintf(text, sizeof(text), "next_token=%s", token);
    assert_int_equal(parse(&q, text, &err), SANDBOX_QUERY_OK);
    assert_string_equal(q.after.id, ID);
    assert_true(q.after.created_at == p.created_at);
    sandbox_list_query_free(&q);
}


/* A page is asked for by limit or next_token; masks and states are unknown. */
static void
test_snapshots(void **state)
{
    size_t i;
    char longest[SANDBOX_TENANT_SIZE];
    char token[SANDBOX_LIST_TOKEN_SIZE], text[128];
    sandbox_list_query_t q;
    sandbox_query_error_t err;
    sandbox_list_position_t p, read;
    static const struct {
        const char *text;
        const char *field;
    } refused[] = {
        { "state=running", "state" },
        { "template=base", "template" },
        { "fields=id", "fields" },
        { "limit=0", "limit" },
        { "sandbox_id=", "sandbox_id" },
        { "sandbox_id=snap_aabcdefghijklmnop234", "sandbox_id" },
        { "sandbox_id=" ID "&sandbox_id=" ID, "sandbox_id" },
        { "metadata=1", "metadata" },
    };

    (void) state;

    assert_int_equal(parse_snapshots(&q, "", &err), SANDBOX_QUERY_OK);
    assert_int_equal(q.asked, 0);
    assert_string_equal(q.sandbox_id, "");
    sandbox_list_query_free(&q);

    assert_int_equal(
        parse_snapshots(&q, "metadata={}&sandbox_id=sb-" BODY, &err),
        SANDBOX_QUERY_OK);
    assert_int_equal(q.asked, 0);
    assert_string_equal(q.sandbox_id, ID);
    assert_non_null(q.metadata);
    sandbox_list_query_free(&q);

    memset(&p, 0, sizeof(p));
    p.created_at = 1764018848123;
    (void) snprintf(p.id, sizeof(p.id), "snap_%s", BODY);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(
        sandbox_list_token_make(token, SANDBOX_LIST_SNAPSHOTS, &p, longest), 0);
    assert_int_equal(
        sandbox_list_token_make(token, SANDBOX_LIST_SNAPSHOTS, &p, TENANT), 0);
    assert_int_equal(read_token(&read, token, TENANT), -1);

    (void) snprintf(text, sizeof(text), "next_token=%s", token);
    assert_int_equal(parse_snapshots(&q, text, &err), SANDBOX_QUERY_OK);
    assert_int_equal(q.asked, 1);
    assert_string_equal(q.after.id, p.id);
    assert_true(q.after.created_at == p.created_at);
    sandbox_list_query_free(&q);

    assert_int_equal(parse_snapshots(&q, "limit=7", &err), SANDBOX_QUERY_OK);
    assert_int_equal(q.asked, 1);
    assert_int_equal(q.limit, 7);
    sandbox_list_query_free(&q);

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(parse_snapshots(&q, refused[i].text, &err),
                         SANDBOX_QUERY_INVALID);
        assert_string_equal(err.field, refused[i].field);
    }
}


static int
match(const char *wanted, const char *metadata)
{
    int rc;
    const char *reason;
    sandbox_metadata_filter_t *filter;

    filter = sandbox_metadata_filter_make(wanted, strlen(wanted), &reason);
    assert_non_null(filter);
    rc = sandbox_metadata_filter_match(filter, metadata, strlen(metadata));
    sandbox_metadata_filter_free(filter);

    return rc;
}


static void
test_filter(void **state)
{
    (void) state;

    assert_int_equal(match("{}", "{}"), 1);
    assert_int_equal(match("{}", "{\"a\":1}"), 1);
    assert_int_equal(match("{\"a\":1}", "{}"), 0);
    assert_int_equal(match("{\"a\":1}", "{\"b\":2,\"a\":1}"), 1);
    assert_int_equal(match("{\"a\":1}", "{\"a\":1.0}"), 1);
    assert_int_equal(match("{\"a\":1e3}", "{\"a\":1000}"), 1);
    assert_int_equal(match("{\"a\":1}", "{\"a\":\"1\"}"), 0);
    assert_int_equal(
        match("{\"a\":12345678901234567890}", "{\"a\":12345678901234567891}"),
        0);
    assert_int_equal(match("{\"a\":{\"x\":1,\"y\":[true,null]}}",
                           "{\"a\": {\"y\":[true, null], \"x\":1e0}}"),
                     1);
    assert_int_equal(match("{\"a\":{\"x\":1}}", "{\"a\":{\"x\":1,\"y\":2}}"),
                     0);
    assert_int_equal(match("{\"\\u00e9\":\"\\/\"}", "{\"\xc3\xa9\":\"/\"}"), 1);
    assert_int_equal(match("{\"a\":1,\"b\":2}", "{\"b\":2}"), 0);
    assert_int_equal(match("{\"b\":2,\"a\":1}", "{\"a\":1,\"b\":2}"), 1);
    assert_int_equal(match("{\"a\":null}", "{}"), 0);
    assert_int_equal(match("{\"a\":null}", "{\"a\":null}"), 1);

    /* what no record of ours has */
    assert_int_equal(match("{\"a\":1}", ""), 0);
    assert_int_equal(match("{\"a\":1}", "[1]"), 0);
    assert_int_equal(match("{\"a\":1}", "{\"a\":1"), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_token),    cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_filter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
