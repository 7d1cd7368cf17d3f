/* The text buffer, JSON written and compared, base64. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random_json.h"
#include "sandbox_json.h"
#include "sandbox_text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))


/* The canonical form of text, which must be valid, for the caller to free. */
static char *
canonical(const char *text, size_t len)
{
    sandbox_json_t doc;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    sandbox_json_error_t err;

    if (sandbox_json_parse(&doc, text, len, &err) != 0) {
        fail_msg("%s at %zu: %.*s", err.reason, err.offset, (int) len, text);
    }

    sandbox_text_json_canonical(&t, &doc, &doc.nodes[0]);
    assert_false(sandbox_text_failed(&t));
    sandbox_json_free(&doc);

    return t.data;
}


static int
same(const char *a, const char *b)
{
    int rc;
    char *x, *y;

    x = canonical(a, strlen(a));
    y = canonical(b, strlen(b));
    rc = strcmp(x, y) == 0;
    free(x);
    free(y);

    return rc;
}


static void
test_buffer(void **state)
{
    int i;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    sandbox_text_add(&t, "ab\0c", 4);
    assert_int_equal(t.len, 4);
    assert_memory_equal(t.data, "ab\0c", 5);

    sandbox_text_add(&t, "", 0);
    sandbox_text_add(&t, NULL, 0);
    sandbox_text_str(&t, "");
    assert_int_equal(t.len, 4);

    t.len = 0;
    sandbox_text_int(&t, INT64_MIN);
    sandbox_text_str(&t, " ");
    sandbox_text_int(&t, INT64_MAX);
    sandbox_text_fmt(&t, " %s-%d", "x", -7);
    assert_string_equal(t.data,
                        "-9223372036854775808 9223372036854775807 x--7");

    t.len = 0;

    for (i = 0; i < 5000; i++) {
        sandbox_text_add(&t, "0123456789", (size_t) i % 11);
        assert_true(t.size > t.len);
        assert_int_equal(t.data[t.len], '\0');
    }

    sandbox_text_fmt(&t, "%*d", 100000, 1);
    assert_int_equal(t.len, strlen(t.data));
    assert_false(sandbox_text_failed(&t));

    sandbox_text_free(&t);
    assert_null(t.data);
    sandbox_text_free(&t);
}


static void
test_sticky_failure(void **state)
{
    size_t huge;
    uint8_t byte;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    byte = 0;
    huge = SIZE_MAX - 2;
    sandbox_text_str(&t, "kept");
    sandbox_text_add(&t, "x", huge);
    assert_true(sandbox_text_failed(&t));

    sandbox_text_str(&t, "more");
    sandbox_text_int(&t, 1);
    sandbox_text_fmt(&t, "%d", 2);
    sandbox_text_json_string(&t, "s", 1);
    sandbox_text_base64(&t, &byte, 1);
    assert_true(sandbox_text_failed(&t));
    assert_string_equal(t.data, "kept");
    assert_int_equal(t.len, 4);

    sandbox_text_free(&t);
}


static void
check_string(const char *s, size_t len, const char *json)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_json_string(&t, s, len);
    assert_false(sandbox_text_failed(&t));
    assert_string_equal(t.data, json);
    sandbox_text_free(&t);
}


static void
test_json_string(void **state)
{
    (void) state;

    check_string("", 0, "\"\"");
    check_string("abc/", 4, "\"abc/\"");
    check_string("\"\\\b\f\n\r\t", 7, "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    check_string("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\"");
    check_string("\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"");
    check_string("a\xff"
                 "b",
                 3,
                 "\"a\xef\xbf\xbd"
                 "b\"");
    check_string("\xc3", 1, "\"\xef\xbf\xbd\"");
    check_string("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    check_string("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_string("\xe2\x82\"", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\\\"\"");
}


/* Any bytes become a string that parses; valid ones come back unchanged. */
static void
test_json_string_random(void **state)
{
    int i;
    char bytes[32], *s;
    size_t j, n, len;
    uint64_t seed;
    sandbox_json_t doc;
    sandbox_text_t t;
    sandbox_json_error_t err;

    (void) state;

    seed = 88172645463325252u;

    for (i = 0; i < 20000; i++) {
        memset(&t, 0, sizeof(t));
        n = random_draw(&seed, sizeof(bytes));

        for (j = 0; j < n; j++) {
            bytes[j] = (char) (1 + random_draw(&seed, i % 2 ? 127 : 255));
        }

        sandbox_text_json_string(&t, bytes, n);
        assert_int_equal(sandbox_json_parse(&doc, t.data, t.len, &err), 0);

        s = sandbox_json_string(&doc, &doc.nodes[0], &len);
        assert_non_null(s);

        if (i % 2) {
            assert_int_equal(len, n);
            assert_memory_equal(s, bytes, n);
        }

        free(s);
        sandbox_json_free(&doc);
        sandbox_text_free(&t);
    }
}


static void
test_canonical_equal(void **state)
{
    size_t i;
    static const char *cases[][2] = {
        { "{}", " { } " },
        { "[ ]", "[]" },
        { "{\"a\":1,\"b\":2}", "{\"b\" : 2 , \"a\" : 1}" },
        { "{\"b\":{\"d\":1,\"c\":2},\"a\":[]}",
          "{\"a\":[],\"b\":{\"c\":2,\"d\":1}}" },
        { "{\"a\":1,\"ab\":2,\"\":3}", "{\"\":3,\"ab\":2,\"a\":1}" },
        { "{\"\\u00e9\":1,\"z\":2}", "{\"z\":2,\"\xc3\xa9\":1}" },
        { "\"A\\/\\n\"", "\"\\u0041/\\u000a\"" },
        { "\"\\ud83d\\uDE00\"", "\"\xf0\x9f\x98\x80\"" },
        { "1", "1.0" },
        { "1", "10e-1" },
        { "1", "1E+0" },
        { "100", "1e2" },
        { "0.001", "1e-3" },
        { "-0", "0" },
        { "0.00", "0e7" },
        { "0", "-0.0e99999999999999999999999" },
        { "-1.50", "-15e-1" },
        { "1e007", "10000000" },
        { "1000000000000000000000000000001",
          "1000000000000000000000000000001.0" },
        { "1e999999999", "10e999999998" },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        if (!same(cases[i][0], cases[i][1])) {
            fail_msg("not equal: %s and %s", cases[i][0], cases[i][1]);
        }
    }
}


static void
test_canonical_unequal(void **state)
{
    size_t i;
    static const char *cases[][2] = {
        { "{}", "[]" },
        { "null", "false" },
        { "null", "\"null\"" },
        { "0", "false" },
        { "1", "\"1\"" },
        { "\"\"", "null" },
        { "1", "-1" },
        { "1", "10" },
        { "12", "1.2" },
        { "1e1", "1e-1" },
        { "0.1", "0.10000000000000000000000000000000001" },
        { "9007199254740992", "9007199254740993" },
        { "100000000000000000000000000000000000001",
          "100000000000000000000000000000000000002" },
        { "1e99999999999999999999", "1e99999999999999999998" },
        { "1e99999999999999999999", "1e-99999999999999999999" },
        { "[1,2]", "[2,1]" },
        { "[1,2]", "[12]" },
        { "[[1],2]", "[[1,2]]" },
        { "[\"a\",\"b\"]", "[\"a,b\"]" },
        { "[\"a\\\",\\\"b\"]", "[\"a\",\"b\"]" },
        { "{\"a\":1}", "{\"A\":1}" },
        { "{\"a\":1}", "{\"a\":1,\"b\":null}" },
        { "{\"a\":\"b\"}", "{\"b\":\"a\"}" },
        { "{\"a\":{\"b\":1}}", "{\"a\":{},\"b\":1}" },
        { "\"\\\\n\"", "\"\\n\"" },
        { "\"e\\u0301\"", "\"\\u00e9\"" },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        if (same(cases[i][0], cases[i][1])) {
            fail_msg("equal: %s and %s", cases[i][0], cases[i][1]);
        }
    }
}


/* Whole numbers in fixed and scientific notation compare by value. */
static void
test_json_equal(void **state)
{
    (void) state;

    assert_true(sandbox_json_equal("{\"A\":\"b\",\"C\":\"d\"}",
                                   " { \"C\":\"d\", \"\\u0041\":\"b\" }"));
    assert_true(sandbox_json_equal("{}", "{ }"));
    assert_false(sandbox_json_equal("{\"A\":\"b\"}", "{\"A\":\"c\"}"));
    assert_false(sandbox_json_equal("{\"A\":\"b\"}", "{}"));
    assert_false(sandbox_json_equal("{", "{"));
}


static void
test_canonical_numbers(void **state)
{
    int i;
    char a[64], b[64];
    int32_t x, y;
    uint64_t seed;

    (void) state;

    seed = 0x853c49e6748fea9bu;

    for (i = 0; i < 20000; i++) {
        x = (int32_t) random_draw(&seed, 2001) - 1000;
        y = random_draw(&seed, 2) ? x
                                  : (int32_t) random_draw(&seed, 2001) - 1000;

        (void) snprintf(a, sizeof(a), "%.*f", (int) random_draw(&seed, 12),
                        x / 1.0);
        (void) snprintf(b, sizeof(b), random_draw(&seed, 2) ? "%.*e" : "%.*E",
                        3 + (int) random_draw(&seed, 9), y / 1.0);

        if (same(a, b) != (x == y)) {
            fail_msg("wrong on %s and %s", a, b);
        }
    }
}


static char *
random_canonical(uint64_t shape, uint64_t spelling)
{
    char *out;
    random_t r;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    r.shape = shape;
    r.spelling = spelling;

    random_space(&t, &r);
    random_object(&t, &r);
    random_space(&t, &r);
    assert_false(sandbox_text_failed(&t));

    out = canonical(t.data, t.len);
    sandbox_text_free(&t);

    return out;
}


static void
test_canonical_random(void **state)
{
    char *first, *other, *again;
    uint64_t shape;

    (void) state;

    for (shape = 1; shape <= 3000; shape++) {
        first = random_canonical(shape * 0x9e3779b97f4a7c15u, 1);
        other = random_canonical(shape * 0x9e3779b97f4a7c15u, shape + 7);
        assert_string_equal(first, other);

        /* the canonical form is JSON too, and its own canonical form */
        again = canonical(first, strlen(first));
        assert_string_equal(first, again);

        free(first);
        free(other);
        free(again);
    }
}


static void
test_base64(void **state)
{
    size_t i;
    uint8_t out[8];
    int64_t n;
    sandbox_text_t t;
    static const struct {
        const char *plain;
        const char *text;
    } cases[] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xff\xfe\xfb\xef", "//777w==" },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        memset(&t, 0, sizeof(t));
        sandbox_text_str(&t, "=");
        sandbox_text_base64(&t, (const uint8_t *) cases[i].plain,
                            strlen(cases[i].plain));
        assert_string_equal(t.data + 1, cases[i].text);
        sandbox_text_free(&t);

        n = sandbox_base64_decode(out, sizeof(out), cases[i].text,
                                  strlen(cases[i].text));
        assert_int_equal(n, strlen(cases[i].plain));
        assert_memory_equal(out, cases[i].plain, (size_t) n);
    }
}


static void
test_base64_refused(void **state)
{
    size_t i;
    uint8_t out[8];
    static const char *cases[] = {
        "Z",    "Zg",       "Zg=",      "=",        "====",       "Z===",
        "=Zg=", "Zg==Zg==", "Zm9v====", "Zm 9v===", "Zm9v\n",     "Zm9-",
        "Zm9_", "Zh==",     "Zm9=",     "Z=g=",     "Zm\xc3\xa9",
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        if (sandbox_base64_decode(out, sizeof(out), cases[i], strlen(cases[i]))
            != -1) {
            fail_msg("accepted: %s", cases[i]);
        }
    }

    assert_int_equal(sandbox_base64_decode(out, 6, "Zm9vYmFy", 8), 6);
    assert_int_equal(sandbox_base64_decode(out, 5, "Zm9vYmFy", 8), -1);
    assert_int_equal(sandbox_base64_decode(out, 0, "Zg==", 4), -1);
    assert_int_equal(sandbox_base64_decode(out, 1, "Zg==", 4), 1);
}


static void
test_base64_random(void **state)
{
    int i;
    size_t j, n;
    uint8_t bytes[64], out[64];
    uint64_t seed;
    sandbox_text_t t;

    (void) state;

    seed = 0xda3e39cb94b95bdbu;

    for (i = 0; i < 5000; i++) {
        memset(&t, 0, sizeof(t));
        n = random_draw(&seed, sizeof(bytes) + 1);

        for (j = 0; j < n; j++) {
            bytes[j] = (uint8_t) random_draw(&seed, 256);
        }

        sandbox_text_base64(&t, bytes, n);

        if (n > 0) {
            assert_int_equal(t.len, (n + 2) / 3 * 4);
            assert_int_equal(sandbox_base64_decode(out, n, t.data, t.len), n);
            assert_memory_equal(out, bytes, n);
        }

        sandbox_text_free(&t);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_sticky_failure),
        cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_json_string_random),
        cmocka_unit_test(test_canonical_equal),
        cmocka_unit_test(test_canonical_unequal),
        cmocka_unit_test(test_json_equal),
        cmocka_unit_test(test_canonical_numbers),
        cmocka_unit_test(test_canonical_random),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_refused),
        cmocka_unit_test(test_base64_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
