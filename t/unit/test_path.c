/* Paths as the API takes them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sandbox_path.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SEGMENTS_MAX 16


static uint64_t random_state = 0x2545f4914f6cdd1du;


static uint32_t
draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;

    return (uint32_t) ((random_state >> 16) % below);
}


/* Into a buffer of exactly size bytes, from a text of exactly len. */
static int
normalise(char *out, size_t size, const char *path, size_t len)
{
    int rc;
    char *exact, *copy;
    const char *reason;

    exact = malloc(size ? size : 1);
    copy = malloc(len ? len : 1);
    assert_non_null(exact);
    assert_non_null(copy);
    memcpy(copy, path, len);

    reason = NULL;
    rc = sandbox_path_normalise(exact, size, copy, len, &reason);

    if (rc == 0) {
        assert_true(strlen(exact) < size);
        (void) strcpy(out, exact);
    } else {
        assert_int_equal(rc, -1);
        assert_non_null(reason);
    }

    free(exact);
    free(copy);

    return rc;
}


static void
test_normalised(void **state)
{
    char out[SANDBOX_PATH_MAX];
    size_t i;
    static const char *cases[][2] = {
        { "/", "/" },
        { "//", "/" },
        { "/.", "/" },
        { "/./", "/" },
        { "/a", "/a" },
        { "/a/", "/a" },
        { "//a///b//", "/a/b" },
        { "/a//b/../c", "/a/c" },
        { "/a/..", "/" },
        { "/a/../", "/" },
        { "/a/b/../..", "/" },
        { "/a/b/../../c", "/c" },
        { "/a/./b/.", "/a/b" },
        { "/...", "/..." },
        { "/..a/b..", "/..a/b.." },
        { "/.a", "/.a" },
        { "/a b/\xc3\xa9", "/a b/\xc3\xa9" },
        { "/workspace/.nullspace/", "/workspace/.nullspace" },
        { "/workspace/x/../.nullspace", "/workspace/.nullspace" },
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(
            normalise(out, sizeof(out), cases[i][0], strlen(cases[i][0])), 0);
        assert_string_equal(out, cases[i][1]);
    }
}


static void
test_refused(void **state)
{
    char out[SANDBOX_PATH_MAX];
    size_t i;
    static const char *cases[] = {
        "",    "a",     "./a",      "../a", "~",     "a/b",        " /a",
        "/..", "/../a", "/a/../..", "//..", "/./..", "/a/../../a", "/a/./../..",
    };

    (void) state;

    for (i = 0; i < COUNT(cases); i++) {
        if (normalise(out, sizeof(out), cases[i], strlen(cases[i])) == 0) {
            fail_msg("accepted: %s", cases[i]);
        }
    }

    assert_int_equal(normalise(out, sizeof(out), "/a\0b", 4), -1);
    assert_int_equal(normalise(out, sizeof(out), "/a\0", 3), -1);
}


static void
test_length(void **state)
{
    char out[SANDBOX_PATH_MAX], path[SANDBOX_PATH_MAX + 1];
    size_t i;

    (void) state;

    assert_int_equal(normalise(out, 2, "/", 1), 0);
    assert_int_equal(normalise(out, 1, "/", 1), -1);
    assert_int_equal(normalise(out, 5, "/a/b", 4), 0);
    assert_int_equal(normalise(out, 4, "/a/b", 4), -1);
    assert_int_equal(normalise(out, 5, "//a//b//", 8), 0);

    /* names of 127 characters */
    for (i = 0; i < sizeof(path); i++) {
        path[i] = i % 128 ? 'x' : '/';
    }

    assert_int_equal(normalise(out, sizeof(out), path, SANDBOX_PATH_MAX), -1);
    assert_int_equal(normalise(out, sizeof(out), path, SANDBOX_PATH_MAX - 1),
                     0);
    assert_int_equal(strlen(out), SANDBOX_PATH_MAX - 1);
}


/* A name that no file system takes is refused, even if ".." drops it. */
static void
test_long_name(void **state)
{
    char out[SANDBOX_PATH_MAX], path[2 * SANDBOX_PATH_NAME_MAX];
    size_t len;

    (void) state;

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    len = 1 + SANDBOX_PATH_NAME_MAX;
    assert_int_equal(normalise(out, sizeof(out), path, len), 0);
    assert_int_equal(normalise(out, sizeof(out), path, len + 1), -1);

    memcpy(path + len + 1, "/..", 3);
    assert_int_equal(normalise(out, sizeof(out), path, len + 4), -1);
}


static void
test_within(void **state)
{
    (void) state;

    assert_int_equal(sandbox_path_within("/", "/"), 1);
    assert_int_equal(sandbox_path_within("/a", "/"), 1);
    assert_int_equal(sandbox_path_within("/a", "/a"), 1);
    assert_int_equal(sandbox_path_within("/a/b", "/a"), 1);
    assert_int_equal(sandbox_path_within("/a/b/c", "/a/b"), 1);
    assert_int_equal(sandbox_path_within("/ab", "/a"), 0);
    assert_int_equal(sandbox_path_within("/a", "/a/b"), 0);
    assert_int_equal(sandbox_path_within("/", "/a"), 0);
    assert_int_equal(sandbox_path_within("/b/a", "/a"), 0);
}


/* A stack of segments is what the normal form must spell. */
static void
test_random(void **state)
{
    int i, rc, climbed;
    char path[128], expected[128], out[SANDBOX_PATH_MAX];
    unsigned j, n, depth;
    const char *stack[SEGMENTS_MAX], *segment;
    static const char *const segments[] = { "", ".", "..", "a", "b", "..." };

    (void) state;

    for (i = 0; i < 20000; i++) {
        path[0] = '\0';
        depth = 0;
        climbed = 0;
        n = 1 + draw(SEGMENTS_MAX);

        for (j = 0; j < n; j++) {
            segment = segments[draw(COUNT(segments))];
            (void) strcat(path, "/");
            (void) strcat(path, segment);

            if (strcmp(segment, "..") == 0) {
                climbed |= depth == 0;
                depth -= depth > 0;

            } else if (*segment && strcmp(segment, ".") != 0) {
                stack[depth++] = segment;
            }
        }

        (void) strcpy(expected, depth ? "" : "/");

        for (j = 0; j < depth; j++) {
            (void) strcat(expected, "/");
            (void) strcat(expected, stack[j]);
        }

        rc = normalise(out, sizeof(out), path, strlen(path));
        assert_int_equal(rc, climbed ? -1 : 0);

        if (rc == 0) {
            assert_string_equal(out, expected);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalised), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_length),     cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_within),     cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
