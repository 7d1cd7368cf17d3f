/* Identifiers: shape, randomness, shards, UUIDs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sandbox_base32.h"
#include "sandbox_id.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BODY "aabcdefghijklmnop234"
#define DRAWN 4000


static int
is_base32(const char *s, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '2' && s[i] <= '7')) {
            return 0;
        }
    }

    return 1;
}


static int
compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, SANDBOX_ID_SIZE);
}


static void
test_make(void **state)
{
    char id[SANDBOX_ID_SIZE], parsed[SANDBOX_ID_SIZE];
    size_t i;
    static const char *prefixes[] = { "sb_", "vol_", "snap_", "req_" };

    (void) state;

    for (i = 0; i < COUNT(prefixes); i++) {
        assert_int_equal(sandbox_id_make(id, prefixes[i], "q7"), 0);
        assert_int_equal(strlen(id), strlen(prefixes[i]) + SANDBOX_ID_BODY_LEN);
        assert_memory_equal(id, prefixes[i], strlen(prefixes[i]));
        assert_memory_equal(id + strlen(prefixes[i]), "q7", 2);
        assert_true(is_base32(id + strlen(prefixes[i]), SANDBOX_ID_BODY_LEN));
    }

    assert_int_equal(sandbox_id_make(id, "sb_", NULL), 0);
    assert_int_equal(strlen(id), SANDBOX_ID_LEN);
    assert_int_equal(sandbox_id_parse(parsed, "sb", id, strlen(id)), 0);
    assert_string_equal(parsed, id);

    assert_int_equal(sandbox_id_make(id, "far_too_long_a_prefix_", NULL), -1);
}


/* No two alike, and every character of the alphabet at every place. */
static void
test_random(void **state)
{
    char(*ids)[SANDBOX_ID_SIZE], token[SANDBOX_TOKEN_SIZE];
    size_t i, j;
    uint8_t seen[SANDBOX_ID_BODY_LEN][128];
    unsigned distinct;

    (void) state;

    ids = calloc(DRAWN, sizeof(*ids));
    assert_non_null(ids);
    memset(seen, 0, sizeof(seen));

    for (i = 0; i < DRAWN; i++) {
        assert_int_equal(sandbox_id_make(ids[i], "sb_", NULL), 0);

        for (j = 0; j < SANDBOX_ID_BODY_LEN; j++) {
            seen[j][(unsigned char) ids[i][3 + j]] = 1;
        }
    }

    for (j = 0; j < SANDBOX_ID_BODY_LEN; j++) {
        distinct = 0;
        for (i = 0; i < 128; i++) {
            distinct += seen[j][i];
        }
        assert_int_equal(distinct, 32);
    }

    qsort(ids, DRAWN, sizeof(*ids), compare_ids);

    for (i = 1; i < DRAWN; i++) {
        assert_int_not_equal(compare_ids(ids[i - 1], ids[i]), 0);
    }

    free(ids);

    assert_int_equal(sandbox_token_make(token), 0);
    assert_int_equal(strlen(token), SANDBOX_TOKEN_SIZE - 1);
    assert_true(is_base32(token, SANDBOX_TOKEN_SIZE - 1));
}


static void
test_request_id(void **state)
{
    char id[SANDBOX_ID_SIZE], other[SANDBOX_ID_SIZE];

    (void) state;

    assert_int_equal(sandbox_request_id_make(id), 0);
    assert_int_equal(strlen(id), SANDBOX_REQUEST_ID_LEN);
    assert_memory_equal(id, "req_", 4);
    assert_true(is_base32(id + 4, SANDBOX_REQUEST_ID_LEN - 4));

    assert_int_equal(sandbox_request_id_make(other), 0);
    assert_string_not_equal(id, other);
}


/* Every byte at every place. */
static void
test_characters(void **state)
{
    int c, valid;
    char id[SANDBOX_ID_SIZE], text[] = "sb-" BODY;
    size_t i;

    (void) state;

    for (i = 0; i < SANDBOX_ID_LEN; i++) {
        for (c = 0; c < 256; c++) {
            memcpy(text, "sb-" BODY, sizeof(text));
            text[i] = (char) c;

            valid = i < 2    ? c == "sb"[i]
                    : i == 2 ? c == '-' || c == '_'
                             : (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');

            assert_int_equal(sandbox_id_parse_sandbox(id, text) == 0, valid);
            assert_int_equal(
                sandbox_id_parse(id, "sb", text, SANDBOX_ID_LEN) == 0, valid);
        }
    }
}


static void
test_parse(void **state)
{
    char id[SANDBOX_ID_SIZE];
    size_t i;
    static const char *refused[] = {
        "",
        "sb",
        "sb_",
        "sb-",
        BODY,
        "sb" BODY,
        "sb." BODY,
        "sb__" BODY,
        "SB_" BODY,
        "xb_" BODY,
        "snap_" BODY,
        "sb_" BODY "a",
        "sb_aabcdefghijklmnop23",
        "sb_aabcdefghijklmnop231",
        "sb_aabcdefghijklmnop238",
        "sb_aabcdefghijklmnop23A",
        "sb_aabcdefghijklmnop23/",
        "sb_aabcdefghijklmnop23\xe9",
        " sb_" BODY,
        "sb_" BODY " ",
    };

    (void) state;

    assert_int_equal(sandbox_id_parse(id, "sb", "sb_" BODY, SANDBOX_ID_LEN), 0);
    assert_string_equal(id, "sb_" BODY);

    memset(id, 'x', sizeof(id));
    assert_int_equal(
        sandbox_id_parse(id, "sb", "sb-" BODY ".junk", SANDBOX_ID_LEN), 0);
    assert_string_equal(id, "sb_" BODY);

    assert_int_equal(sandbox_id_parse(id, "snap", "snap-" BODY, 25), 0);
    assert_string_equal(id, "snap_" BODY);

    for (i = 0; i < COUNT(refused); i++) {
        if (sandbox_id_parse(id, "sb", refused[i], strlen(refused[i])) != -1) {
            fail_msg("accepted: %s", refused[i]);
        }
    }

    assert_int_equal(
        sandbox_id_parse(id, "sb", "sb_aabcdefghijkl\0nop234", SANDBOX_ID_LEN),
        -1);
}


static void
test_base32(void **state)
{
    uint8_t bytes[256];
    char text[sizeof(bytes) + 1];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t) i;
    }

    memset(text, '?', sizeof(text));
    sandbox_base32(text, bytes, sizeof(bytes));
    assert_int_equal(strlen(text), sizeof(bytes));

    for (i = 0; i < sizeof(bytes); i++) {
        assert_int_equal(text[i], "abcdefghijklmnopqrstuvwxyz234567"[i & 31]);
    }

    sandbox_base32(text, bytes, 0);
    assert_string_equal(text, "");
}


/* The same for the same tenant for ever, and spread over the shards. */
static void
test_shard(void **state)
{
    char shard[SANDBOX_SHARD_LEN], again[SANDBOX_SHARD_LEN], tenant[32];
    int i, most;
    static int counts[128][128];

    (void) state;

    most = 0;

    for (i = 0; i < 102400; i++) {
        (void) snprintf(tenant, sizeof(tenant), "tenant-%d", i);
        sandbox_id_shard(shard, tenant, strlen(tenant));
        sandbox_id_shard(again, tenant, strlen(tenant));
        assert_memory_equal(shard, again, SANDBOX_SHARD_LEN);
        assert_true(is_base32(shard, SANDBOX_SHARD_LEN));

        counts[(int) shard[0]][(int) shard[1]]++;
        if (counts[(int) shard[0]][(int) shard[1]] > most) {
            most = counts[(int) shard[0]][(int) shard[1]];
        }
    }

    /* 100 a shard on average */
    assert_true(most < 300);

    sandbox_id_shard(shard, "", 0);
    assert_true(is_base32(shard, SANDBOX_SHARD_LEN));
}


static void
test_uuid(void **state)
{
    char uuid[SANDBOX_UUID_SIZE], other[SANDBOX_UUID_SIZE];

    (void) state;

    assert_int_equal(sandbox_id_uuid(uuid, "sb_aaaaaaaaaaaaaaaaaaaa"), 0);
    assert_string_equal(uuid, "a09a32ee-e821-8c45-8a1d-68539394fa55");

    assert_int_equal(sandbox_id_uuid(other, "sb_" BODY), 0);
    assert_string_not_equal(uuid, other);
    assert_int_equal(other[14], '8');
    assert_non_null(strchr("89ab", other[19]));
}


/* A child draws other identifiers than its parent does next. */
static void
test_fork(void **state)
{
    char id[SANDBOX_ID_SIZE], other[SANDBOX_ID_SIZE];
    int fds[2], status;
    pid_t pid;

    (void) state;

    assert_int_equal(sandbox_id_make(id, "sb_", NULL), 0);
    assert_int_equal(pipe(fds), 0);

    pid = fork();
    assert_int_not_equal(pid, -1);

    if (pid == 0) {
        if (sandbox_id_make(id, "sb_", NULL) != 0
            || write(fds[1], id, sizeof(id)) != (ssize_t) sizeof(id))
        {
            _exit(1);
        }
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(sandbox_id_make(id, "sb_", NULL), 0);
    assert_int_equal(read(fds[0], other, sizeof(other)), sizeof(other));
    assert_string_not_equal(id, other);

    (void) close(fds[0]);
    (void) close(fds[1]);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),       cmocka_unit_test(test_random),
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_shard),
        cmocka_unit_test(test_request_id), cmocka_unit_test(test_characters),
        cmocka_unit_test(test_uuid),       cmocka_unit_test(test_fork),
        cmocka_unit_test(test_base32),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
