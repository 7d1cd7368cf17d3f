/* The JSON parser: what it takes, what it refuses, what it costs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "sandbox_json.h"
#include "sandbox_json_escape.h"
#include "sandbox_text.h"
#include "sandbox_utf8.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A quadratic search through the hostile body takes several times this. */
#define HOSTILE_CPU_SECONDS 5


static size_t escapes; /* read so far */
static int mallocs_left = -1;


size_t __real_sandbox_json_escape(const char *s, const char *last,
                                  uint32_t *code, const char **reason);
size_t __wrap_sandbox_json_escape(const char *s, const char *last,
                                  uint32_t *code, const char **reason);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);


size_t
__wrap_sandbox_json_escape(const char *s, const char *last, uint32_t *code,
                           const char **reason)
{
    escapes++;

    return __real_sandbox_json_escape(s, last, code, reason);
}


/* Fails once mallocs_left is 0; -1 is without an end. */
void *
__wrap_malloc(size_t size)
{
    if (mallocs_left == 0) {
        return NULL;
    }

    mallocs_left -= mallocs_left > 0;

    return __real_malloc(size);
}


static uint64_t random_state = 0x9e3779b97f4a7c15u;


static uint32_t
random_next(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;

    return (uint32_t) ((random_state >> 16) % below);
}


/*
 * Parses a copy that ends where its memory ends, for ASan and valgrind to see
 * any byte read behind it.  The copy is returned for the caller to free.
 */
static char *
parse(sandbox_json_t *doc, const char *text, size_t len, int *rc,
      sandbox_json_error_t *err)
{
    char *copy;

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);

    err->reason = NULL;
    err->offset = SIZE_MAX;
    *rc = sandbox_json_parse(doc, copy, len, err);

    if (*rc != 0) {
        assert_int_equal(*rc, -1);
        assert_non_null(err->reason);
        assert_true(err->offset <= len);
        assert_null(doc->nodes);
        assert_int_equal(doc->nnodes, 0);
    }

    return copy;
}


static int
accepts(const char *text, size_t len)
{
    int rc;
    char *copy;
    sandbox_json_t doc;
    sandbox_json_error_t err;

    copy = parse(&doc, text, len, &rc, &err);

    if (rc == 0) {
        sandbox_json_free(&doc);
    }

    free(copy);

    return rc == 0;
}


static void
test_accepted(void **state)
{
    size_t i;
    static const char *cases[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12.50",
        "1e3",
        "1E+3",
        "-1.5e-30",
        "\"\"",
        "\"x\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u00e9\\uD83D\\ude00\"",
        "\"\x7f\"",
        "[]",
        "{}",
        " \t\r\n[ \n] ",
        "[1,2 , 3]",
        "[[],{},[{}]]",
        "{\"a\":1,\"A\":2,\"\":3}",
        "{\"a\":{\"a\":{\"a\":1}}}",
        "[{\"a\":1},{\"a\":2}]",
        " { \"a\" : [ true , null ] , \"b\" : \"c\" } ",
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        if (!accepts(cases[i], strlen(cases[i]))) {
            fail_msg("refused: %s", cases[i]);
        }
    }
}


static void
test_refused(void **state)
{
    char control[] = "\"x\"";
    size_t i;
    static const char *cases[] = {
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.e3",
        "1e",
        "1e+",
        "0x10",
        "1 2",
        "\"",
        "\"abc",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u0000\"",
        "\"a\tb\"",
        "\"a\nb\"",
        "'a'",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{",
        "}",
        "{]",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{}{}",
        "[] x",
        "// c\n1",
        "\xef\xbb\xbf{}",
        "\xc2\xa0{}",
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        if (accepts(cases[i], strlen(cases[i]))) {
            fail_msg("accepted: %s", cases[i]);
        }
    }

    for (i = 0; i < 0x20; i++) {
        control[1] = (char) i;
        assert_false(accepts(control, 3));
    }

    assert_false(accepts("1\0", 2));
    assert_false(accepts("\"a\0b\"", 5));
    assert_false(accepts("[1,\0 2]", 7));
}


static void
test_surrogates(void **state)
{
    size_t i;
    static const char *refused[] = {
        "\"\\ud800\"",        "\"\\udc00\"",        "\"\\udfff\"",
        "\"\\udc00\\udc00\"", "\"\\ud800x\"",       "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"",
        "\"\\ud800\\udbff\"", "\"\\ud800\\u\"",     "\"\\ud800\\udc0\"",
        "\"\\ud800\\",        "\"\\ud800\\u",       "\"\\ud800\\udc00",
        "{\"\\udc00\":1}",
    };

    (void) state;

    for (i = 0; i < COUNT(refused); i++) {
        if (accepts(refused[i], strlen(refused[i]))) {
            fail_msg("accepted: %s", refused[i]);
        }
    }

    assert_true(accepts("\"\\ud800\\udc00\"", 14));
    assert_true(accepts("\"\\udbff\\udfff\"", 14));
    assert_true(accepts("\"\\ud7ff\\ue000\\uffff\"", 20));
}


/* Well-formed UTF-8 by the definition: decode, then look at the value. */
static int
utf8_reference(const uint8_t *s, size_t len)
{
    size_t i, n;
    uint32_t code;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    while (len) {
        n = s[0] < 0x80             ? 1
            : (s[0] & 0xe0) == 0xc0 ? 2
            : (s[0] & 0xf0) == 0xe0 ? 3
            : (s[0] & 0xf8) == 0xf0 ? 4
                                    : 0;

        if (n == 0 || n > len) {
            return 0;
        }

        code = n == 1 ? s[0] : s[0] & (0x7fu >> n);

        for (i = 1; i < n; i++) {
            if ((s[i] & 0xc0) != 0x80) {
                return 0;
            }
            code = code << 6 | (s[i] & 0x3f);
        }

        if (code < least[n] || code > 0x10ffff
            || (code >= 0xd800 && code <= 0xdfff)) {
            return 0;
        }

        s += n;
        len -= n;
    }

    return 1;
}


static void
check_utf8(const uint8_t *bytes, size_t n)
{
    char text[8];

    text[0] = '"';
    memcpy(text + 1, bytes, n);
    text[n + 1] = '"';

    if (accepts(text, n + 2) != utf8_reference(bytes, n)) {
        fail_msg("wrong on %zu bytes %02x %02x", n, bytes[0], bytes[1]);
    }
}


/* At the end of a text only what can become a character is incomplete. */
static void
test_utf8_whole(void **state)
{
    size_t i;
    static const struct {
        const char *text;
        size_t len, whole;
    } cases[] = {
        { "", 0, 0 },
        { "a", 1, 1 },
        { "a\xe2\x82\xac", 4, 4 },
        { "a\xc2", 2, 1 },
        { "a\xdf", 2, 1 },
        { "a\xe0", 2, 1 },
        { "a\xe2\x82", 3, 1 },
        { "a\xf4", 2, 1 },
        { "a\xf0\x9f\x98", 4, 1 },
        { "\xe2\x82", 2, 0 },
        /* no character begins so */
        { "a\x80", 2, 2 },
        { "a\xc0", 2, 2 },
        { "a\xc1", 2, 2 },
        { "a\xf5", 2, 2 },
        { "a\xff", 2, 2 },
        { "a\xe0\x9f", 3, 3 },
        { "a\xed\xa0", 3, 3 },
        { "a\xf0\x8f", 3, 3 },
        { "a\xf4\x90", 3, 3 },
        { "a\xf0\x9f\x28", 4, 4 },
        { "a\xe2\xc2", 3, 2 },
        { "a\x80\x80\x80\x80", 5, 5 },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(
            sandbox_utf8_whole((const uint8_t *) cases[i].text, cases[i].len),
            cases[i].whole);
    }
}


static void
test_utf8(void **state)
{
    size_t i, j;
    uint32_t n;
    uint8_t bytes[4];
    static const uint8_t edges[] = { 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                     0xa0, 0xbf, 0xc0, 0xff };

    (void) state;

    memset(bytes, 0, sizeof(bytes));

    for (n = 0x80; n < 0x100; n++) {
        bytes[0] = (uint8_t) n;
        check_utf8(bytes, 1);

        for (i = 0; i < COUNT(edges); i++) {
            bytes[1] = edges[i];
            check_utf8(bytes, 2);

            for (j = 0; j < COUNT(edges); j++) {
                bytes[2] = edges[j];
                check_utf8(bytes, 3);
                bytes[3] = edges[(i + j) % COUNT(edges)];
                check_utf8(bytes, 4);
                bytes[3] = 0x80;
                check_utf8(bytes, 4);
            }
        }
    }
}


static void
test_spans(void **state)
{
    int rc;
    char *copy;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const sandbox_json_node_t *meta, *node;
    static const char text[] =
        " {\"x\" : 1, \"metadata\":{ \"b\":1.10,\"a\":[1e3,\"\\u0041\\/\"],"
        "\"n\":12345678901234567890 } }";
    static const char verbatim[] = "{ \"b\":1.10,\"a\":[1e3,\"\\u0041\\/\"],"
                                   "\"n\":12345678901234567890 }";

    (void) state;

    copy = parse(&doc, text, sizeof(text) - 1, &rc, &err);
    assert_int_equal(rc, 0);
    assert_ptr_equal(doc.text, copy);
    assert_int_equal(doc.len, sizeof(text) - 1);
    assert_int_equal(doc.nodes[0].type, SANDBOX_JSON_OBJECT);
    assert_int_equal(doc.nodes[0].count, 2);
    assert_int_equal(doc.nodes[0].start, 1);
    assert_int_equal(doc.nodes[0].len, sizeof(text) - 2);
    assert_int_equal(doc.nodes[0].key_len, 0);

    meta = sandbox_json_member(&doc, &doc.nodes[0], "metadata");
    assert_non_null(meta);
    assert_int_equal(meta->len, sizeof(verbatim) - 1);
    assert_memory_equal(copy + meta->start, verbatim, meta->len);
    assert_int_equal(meta->key_len, strlen("\"metadata\""));
    assert_memory_equal(copy + meta->key_start, "\"metadata\"", meta->key_len);
    assert_int_equal(meta->count, 3);

    node = sandbox_json_child(&doc, meta);
    assert_memory_equal(copy + node->start, "1.10", node->len);
    node = sandbox_json_next(&doc, node);
    assert_int_equal(node->type, SANDBOX_JSON_ARRAY);
    assert_int_equal(node->count, 2);
    assert_int_equal(sandbox_json_child(&doc, node)->key_len, 0);
    node = sandbox_json_next(&doc, node);
    assert_memory_equal(copy + node->start, "12345678901234567890", node->len);
    assert_null(sandbox_json_next(&doc, node));
    assert_null(sandbox_json_child(&doc, node));

    sandbox_json_free(&doc);
    assert_null(doc.nodes);
    free(copy);
}


static void
test_strings(void **state)
{
    int rc;
    char *copy, *s;
    size_t len;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const sandbox_json_node_t *node;
    static const char text[] =
        "{\"k\\u00e9y\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac"
        "\\ud83d\\ude00 \xc3\xa9\",\"n\":1,\"\":\"\"}";

    (void) state;

    copy = parse(&doc, text, sizeof(text) - 1, &rc, &err);
    assert_int_equal(rc, 0);

    node = sandbox_json_member(&doc, &doc.nodes[0], "k\xc3\xa9y");
    assert_non_null(node);

    s = sandbox_json_key(&doc, node, &len);
    assert_string_equal(s, "k\xc3\xa9y");
    assert_int_equal(len, 4);
    free(s);

    s = sandbox_json_string(&doc, node, &len);
    assert_string_equal(s, "\"\\/\b\f\n\r\t"
                           "A\xc3\xa9\xe2\x82\xac"
                           "\xf0\x9f\x98\x80 \xc3\xa9");
    assert_int_equal(len, strlen(s));
    free(s);

    node = sandbox_json_member(&doc, &doc.nodes[0], "");
    s = sandbox_json_string(&doc, node, NULL);
    assert_string_equal(s, "");
    free(s);

    assert_null(sandbox_json_string(&doc, &doc.nodes[0], NULL));
    assert_null(sandbox_json_string(&doc, NULL, NULL));
    assert_null(sandbox_json_key(&doc, &doc.nodes[0], NULL));
    assert_null(sandbox_json_member(&doc, &doc.nodes[0], "k"));
    assert_null(sandbox_json_member(&doc, &doc.nodes[0], "k\xc3\xa9yy"));
    assert_null(sandbox_json_member(&doc, node, ""));
    assert_null(sandbox_json_member(&doc, NULL, ""));

    sandbox_json_free(&doc);
    free(copy);
}


static void
test_duplicates(void **state)
{
    size_t i;
    static const char *refused[] = {
        "{\"a\":1,\"a\":1}",
        "{\"\":1,\"\":2}",
        "{\"a\":1,\"b\":2,\"a\":3}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"\\u00e9\":1,\"\xc3\xa9\":2}",
        "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}",
        "{\"/\":1,\"\\/\":2}",
        "{\"\\n\":1,\"\\u000A\":2}",
        "[[{\"x\":{\"a\":1,\"a\":2}}]]",
        "{\"z\":{},\"y\":[],\"x\":{\"q\":0,\"p\":0},\"z\":1}",
    };
    static const char *accepted[] = {
        "{\"a\":1,\"a \":2}",
        "{\"a\":1,\"\\\\u0061\":2}",
        "{\"ab\":1,\"a\":2,\"abc\":3,\"\":4}",
        "{\"\xc3\xa9\":1,\"e\\u0301\":2}",
    };

    (void) state;

    for (i = 0; i < COUNT(refused); i++) {
        if (accepts(refused[i], strlen(refused[i]))) {
            fail_msg("accepted: %s", refused[i]);
        }
    }

    for (i = 0; i < COUNT(accepted); i++) {
        if (!accepts(accepted[i], strlen(accepted[i]))) {
            fail_msg("refused: %s", accepted[i]);
        }
    }
}


/* depth levels of open, a value, and the closing brackets. */
static int
accepts_nested(const char *open, const char *close, unsigned depth)
{
    int rc;
    unsigned i;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    for (i = 0; i < depth; i++) {
        sandbox_text_str(&t, open);
    }

    sandbox_text_str(&t, "1");

    for (i = 0; i < depth; i++) {
        sandbox_text_str(&t, close);
    }

    assert_false(sandbox_text_failed(&t));
    rc = accepts(t.data, t.len);
    sandbox_text_free(&t);

    return rc;
}


static void
test_depth(void **state)
{
    (void) state;

    assert_true(accepts_nested("[", "]", SANDBOX_JSON_MAX_DEPTH));
    assert_false(accepts_nested("[", "]", SANDBOX_JSON_MAX_DEPTH + 1));
    assert_true(accepts_nested("{\"a\":", "}", SANDBOX_JSON_MAX_DEPTH));
    assert_false(accepts_nested("{\"a\":", "}", SANDBOX_JSON_MAX_DEPTH + 1));
    assert_false(accepts_nested("[", "", 1000000));
    assert_false(accepts_nested("{\"a\":", "", 200000));
}


static int
accepts_elements(unsigned n)
{
    int rc;
    unsigned i;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    for (i = 0; i < n; i++) {
        sandbox_text_str(&t, i ? ",1" : "[1");
    }

    sandbox_text_str(&t, "]");
    assert_false(sandbox_text_failed(&t));
    rc = accepts(t.data, t.len);
    sandbox_text_free(&t);

    return rc;
}


static void
test_nodes(void **state)
{
    (void) state;

    /* the array itself is a value too */
    assert_true(accepts_elements(SANDBOX_JSON_MAX_NODES - 1));
    assert_false(accepts_elements(SANDBOX_JSON_MAX_NODES));
}


/* As many members as an object may have, each name differing at its end. */
static void
test_hostile_object(void **state)
{
    int twice;
    unsigned i;
    clock_t start;
    sandbox_text_t t;

    (void) state;

    for (twice = 0; twice < 2; twice++) {
        memset(&t, 0, sizeof(t));

        for (i = 0; i < SANDBOX_JSON_MAX_MEMBERS - 1; i++) {
            sandbox_text_fmt(&t, "%s\"aaaa\\u0061%05u\":0", i ? "," : "{", i);
        }

        sandbox_text_str(&t, twice ? ",\"aaaaa00000\":0}" : ",\"b\":0}");
        assert_false(sandbox_text_failed(&t));

        start = clock();
        assert_int_equal(accepts(t.data, t.len), !twice);
        assert_true(clock() - start < HOSTILE_CPU_SECONDS * CLOCKS_PER_SEC);

        sandbox_text_free(&t);
    }
}


/* The digits of i behind 37 times "a": 40 escapes, and a digit without one. */
static void
add_escaped_name(sandbox_text_t *t, unsigned i)
{
    unsigned n;

    sandbox_text_str(t, i ? ",\"" : "{\"");

    for (n = 0; n < 37; n++) {
        sandbox_text_str(t, "\\u0061");
    }

    sandbox_text_fmt(t, "%u\\u003%u\\u003%u\\u003%u\":0", i / 1000,
                     i / 100 % 10, i / 10 % 10, i % 10);
}


/*
 * As much as a body may have: each escape is read twice, not as often as its
 * name is compared.
 */
static void
test_long_escaped_names(void **state)
{
    int rc, twice;
    char *copy;
    unsigned i;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    sandbox_text_t t;

    (void) state;

    for (twice = 0; twice < 2; twice++) {
        memset(&t, 0, sizeof(t));

        for (i = 0; i < SANDBOX_JSON_MAX_MEMBERS - 1; i++) {
            add_escaped_name(&t, i);
        }

        /* the name of 1234, spelled with fewer escapes */
        sandbox_text_fmt(&t, ",\"%.37s\\u0031%s\":0}",
                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                         twice ? "234" : "2345");
        assert_false(sandbox_text_failed(&t));

        escapes = 0;
        copy = parse(&doc, t.data, t.len, &rc, &err);
        assert_int_equal(rc, twice ? -1 : 0);
        assert_true(escapes <= 2 * (40 * SANDBOX_JSON_MAX_MEMBERS));

        if (twice) {
            assert_string_equal(err.reason, "is given twice");
            assert_int_equal(err.offset,
                             t.len - strlen("\"\\u0031234\":0}") - 37);
        } else {
            sandbox_json_free(&doc);
        }

        free(copy);
        sandbox_text_free(&t);
    }
}


/* Memory ends at each of the names in turn. */
static void
test_names_without_memory(void **state)
{
    int n, rc;
    unsigned i;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    for (i = 0; i < 40; i++) {
        add_escaped_name(&t, i);
    }

    sandbox_text_str(&t, "}");
    assert_false(sandbox_text_failed(&t));

    for (n = 0; n < 1000; n++) {
        mallocs_left = n;
        rc = sandbox_json_parse(&doc, t.data, t.len, &err);
        mallocs_left = -1;

        if (rc == 0) {
            break;
        }

        assert_string_equal(err.reason, "needs more memory than there is");
    }

    assert_int_equal(n, 1 + 40);

    sandbox_json_free(&doc);
    sandbox_text_free(&t);
}


static void
test_too_many_members(void **state)
{
    unsigned i, n;
    sandbox_text_t t;

    (void) state;

    for (n = SANDBOX_JSON_MAX_MEMBERS; n <= SANDBOX_JSON_MAX_MEMBERS + 1; n++) {
        memset(&t, 0, sizeof(t));

        for (i = 0; i < n; i++) {
            sandbox_text_fmt(&t, "%s\"%u\":0", i ? "," : "{", i);
        }

        sandbox_text_str(&t, "}");
        assert_false(sandbox_text_failed(&t));
        assert_int_equal(accepts(t.data, t.len), n <= SANDBOX_JSON_MAX_MEMBERS);
        sandbox_text_free(&t);
    }
}


static void
test_integer(void **state)
{
    int rc;
    char *copy;
    size_t i;
    int64_t value;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    static const struct {
        const char *text;
        int rc;
        int64_t value;
    } cases[] = {
        { "0", 0, 0 },
        { "-0", 0, 0 },
        { "0.000e5", 0, 0 },
        { "0e99999999999999999999", 0, 0 },
        { "1", 0, 1 },
        { "1.0", 0, 1 },
        { "1e3", 0, 1000 },
        { "1.5e1", 0, 15 },
        { "100000e-5", 0, 1 },
        { "1200.00", 0, 1200 },
        { "1e0000000000000000000000002", 0, 100 },
        { "1e18", 0, 1000000000000000000 },
        { "-17", 0, -17 },
        { "9223372036854775807", 0, INT64_MAX },
        { "-9223372036854775807", 0, -INT64_MAX },
        { "-9223372036854775808", 0, INT64_MIN },
        { "-9.223372036854775808e18", 0, INT64_MIN },
        { "9223372036854775807.000", 0, INT64_MAX },
        { "9223372036854775808", -1, 0 },
        { "-9223372036854775809", -1, 0 },
        { "18446744073709551617", -1, 0 },
        { "1e19", -1, 0 },
        { "1e20", -1, 0 },
        { "1e999999999999999999999999", -1, 0 },
        { "1e-999999999999999999999999", -1, 0 },
        { "1.5", -1, 0 },
        { "1e-1", -1, 0 },
        { "123456e-3", -1, 0 },
        { "0.9999999999999999999999", -1, 0 },
        { "1.00000000000000000000000001", -1, 0 },
        { "\"1\"", -1, 0 },
        { "true", -1, 0 },
        { "[1]", -1, 0 },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        copy = parse(&doc, cases[i].text, strlen(cases[i].text), &rc, &err);
        assert_int_equal(rc, 0);

        value = 42;
        rc = sandbox_json_integer(&doc, &doc.nodes[0], &value);

        if (rc != cases[i].rc || (rc == 0 && value != cases[i].value)) {
            fail_msg("%s: rc %d value %lld", cases[i].text, rc,
                     (long long) value);
        }

        sandbox_json_free(&doc);
        free(copy);
    }
}


static const char sample[] =
    "{\"template\":\"base\",\"vcpus\":2,\"memory_mb\":5.12e2,\"metadata\":"
    "{\"a\\u00e9\":[1,2.50,-3e-2,true,false,null,{}],\"\xf0\x9f\x98\x80\":"
    "\"\\ud83d\\ude00\\n\"},\"network\":{\"deny_out\":[\"10.0.0.0/8\"]}}";


/* No proper prefix of an object is a document. */
static void
test_prefixes(void **state)
{
    size_t n;

    (void) state;

    for (n = 0; n < sizeof(sample) - 1; n++) {
        assert_false(accepts(sample, n));
    }

    assert_true(accepts(sample, sizeof(sample) - 1));
}


static void
visit(const sandbox_json_t *doc)
{
    char *s;
    size_t i;
    int64_t n;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    for (i = 0; i < doc->nnodes; i++) {
        s = sandbox_json_string(doc, &doc->nodes[i], NULL);
        assert_int_equal(s != NULL, doc->nodes[i].type == SANDBOX_JSON_STRING);
        free(s);
        free(sandbox_json_key(doc, &doc->nodes[i], NULL));
        (void) sandbox_json_integer(doc, &doc->nodes[i], &n);
        (void) sandbox_json_member(doc, &doc->nodes[i], "a");
    }

    sandbox_text_json_canonical(&t, doc, &doc->nodes[0]);
    assert_false(sandbox_text_failed(&t));
    sandbox_text_free(&t);
}


/* Bytes from anywhere, and a good document with some bytes exchanged. */
static void
test_random_bytes(void **state)
{
    int i, rc;
    char text[sizeof(sample)], *copy;
    size_t j, len;
    unsigned accepted;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    static const char alphabet[] = "{}[]\",:\\u019aefnrtl.-+E \n\xc3\xa9\xf0";

    (void) state;

    accepted = 0;

    for (i = 0; i < 60000; i++) {
        if (i % 3 == 0) {
            len = random_next(24);
            for (j = 0; j < len; j++) {
                text[j] = alphabet[random_next(sizeof(alphabet) - 1)];
            }

        } else if (i % 3 == 1) {
            len = random_next(sizeof(text));
            for (j = 0; j < len; j++) {
                text[j] = (char) random_next(256);
            }

        } else {
            len = sizeof(sample) - 1;
            memcpy(text, sample, len);
            for (j = random_next(3); j < 3; j++) {
                text[random_next((uint32_t) len)] =
                    alphabet[random_next(sizeof(alphabet) - 1)];
            }
        }

        copy = parse(&doc, text, len, &rc, &err);

        if (rc == 0) {
            accepted++;
            visit(&doc);
            sandbox_json_free(&doc);
        }

        free(copy);
    }

    /* neither of the two outcomes may be what is left untested */
    assert_true(accepted > 100 && accepted < 59000);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_surrogates),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_whole),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_hostile_object),
        cmocka_unit_test(test_long_escaped_names),
        cmocka_unit_test(test_names_without_memory),
        cmocka_unit_test(test_too_many_members),
        cmocka_unit_test(test_integer),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
