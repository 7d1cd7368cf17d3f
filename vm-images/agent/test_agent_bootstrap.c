/*
 * The agent's side of the bootstrap protocol: lines, envelopes, and the strict
 * reading of "configure".  No step that touches the machine is run.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "bootstrap.h"
#include "configure.h"
#include "sandbox_text.h"

#define NONCE "0123456789abcdef0123456789abcdef"

typedef struct {
    char said[8192];
    size_t len;
    int configured;
    int fails;
    int frozen;
    int synced;
    char flushing[AGENT_NONCE_SIZE];
} host_t;


static void
host_answer(void *data, const char *line, size_t len)
{
    host_t *h = data;

    assert_true(len < sizeof(h->said) - h->len);
    memcpy(h->said + h->len, line, len);
    h->len += len;
    h->said[h->len] = '\0';
}


static int
host_configure(void *data, const sandbox_json_t *doc,
               char error[AGENT_ERROR_SIZE])
{
    host_t *h = data;

    assert_non_null(sandbox_json_member(doc, &doc->nodes[0], "op"));
    h->configured++;

    if (h->fails) {
        snprintf(error, AGENT_ERROR_SIZE, "It \"broke\".");
        return -1;
    }

    return 0;
}


static int
host_freeze(void *data, const char *nonce, int sync,
            char error[AGENT_ERROR_SIZE])
{
    host_t *h = data;

    (void) nonce;

    if (h->fails) {
        snprintf(error, AGENT_ERROR_SIZE, "It \"broke\".");
        return -1;
    }

    h->frozen = 1;
    h->synced = sync;
    return 0;
}


static int
host_thaw(void *data, char error[AGENT_ERROR_SIZE])
{
    host_t *h = data;

    (void) error;
    h->frozen = 0;
    return 0;
}


static int
host_flush(void *data, const char *nonce, char error[AGENT_ERROR_SIZE])
{
    host_t *h = data;

    if (h->fails) {
        snprintf(error, AGENT_ERROR_SIZE, "It \"broke\".");
        return -1;
    }

    snprintf(h->flushing, sizeof(h->flushing), "%s", nonce);
    return AGENT_LATER;
}


static void
start(agent_bootstrap_t *b, host_t *h)
{
    memset(h, 0, sizeof(*h));
    b->answer = host_answer;
    b->configure = host_configure;
    b->freeze = host_freeze;
    b->thaw = host_thaw;
    b->flush = host_flush;
    b->data = h;
    assert_int_equal(agent_bootstrap_init(b), 0);
}


static void
feed(agent_bootstrap_t *b, const char *text)
{
    agent_bootstrap_feed(b, text, strlen(text));
}


static void
test_sync(void **state)
{
    host_t h;
    agent_bootstrap_t b;

    (void) state;

    start(&b, &h);
    feed(&b, "{\"op\":\"sync\",\"nonce\":\"" NONCE "\"}\n");
    assert_string_equal(h.said,
                        "{\"op\":\"sync\",\"nonce\":\"" NONCE
                        "\",\"ok\":true,\"agent\":\"" AGENT_VERSION "\"}\n");
    agent_bootstrap_free(&b);
}


static void
test_pieces(void **state)
{
    size_t i;
    host_t h;
    agent_bootstrap_t b;
    static const char text[] = "\n\nhalf a line {\n"
                               "{\"op\":\"sync\",\"nonce\":\"a1\"}\r\n"
                               "{\"op\":\"configure\",\"nonce\":\"b2\"}\n"
                               "{\"op\":\"sync\",\"nonce\":\"c3\"";

    (void) state;

    start(&b, &h);
    for (i = 0; i < sizeof(text) - 1; i++) {
        agent_bootstrap_feed(&b, text + i, 1);
    }

    assert_non_null(strstr(h.said, "\"a1\",\"ok\":true"));
    assert_non_null(strstr(h.said, "\"b2\",\"ok\":true"));
    assert_null(strstr(h.said, "c3"));
    assert_int_equal(h.configured, 1);

    feed(&b, "}\n");
    assert_non_null(strstr(h.said, "\"c3\",\"ok\":true"));
    agent_bootstrap_free(&b);
}


static void
test_failure(void **state)
{
    host_t h;
    agent_bootstrap_t b;

    (void) state;

    start(&b, &h);
    h.fails = 1;
    feed(&b, "{\"op\":\"configure\",\"nonce\":\"n\"}\n");
    assert_string_equal(h.said, "{\"op\":\"configure\",\"nonce\":\"n\","
                                "\"ok\":false,\"error\":\"It \\\"broke\\\".\"}"
                                "\n");

    h.len = 0;
    feed(&b, "{\"op\":\"fly\",\"nonce\":\"n\"}\n");
    assert_non_null(strstr(h.said, "\"op\":\"fly\",\"nonce\":\"n\","
                                   "\"ok\":false"));
    agent_bootstrap_free(&b);
}


static void
test_freeze(void **state)
{
    host_t h;
    agent_bootstrap_t b;

    (void) state;

    start(&b, &h);
    feed(&b, "{\"op\":\"freeze\",\"nonce\":\"a\"}\n");
    assert_string_equal(h.said,
                        "{\"op\":\"freeze\",\"nonce\":\"a\",\"ok\":true}\n");
    assert_int_equal(h.frozen, 1);

    h.len = 0;
    feed(&b, "{\"op\":\"thaw\",\"nonce\":\"b\"}\n");
    assert_string_equal(h.said,
                        "{\"op\":\"thaw\",\"nonce\":\"b\",\"ok\":true}\n");
    assert_int_equal(h.frozen, 0);

    h.len = 0;
    h.fails = 1;
    feed(&b, "{\"op\":\"freeze\",\"nonce\":\"c\"}\n");
    assert_non_null(strstr(h.said, "\"ok\":false,\"error\":"));
    assert_int_equal(h.frozen, 0);
    agent_bootstrap_free(&b);
}


static void
test_freeze_sync(void **state)
{
    size_t i;
    host_t h;
    char line[128];
    agent_bootstrap_t b;
    static const struct {
        const char *sync;
        int ok;
        int synced;
    } list[] = {
        { "true", 1, 1 }, { "null", 1, 1 },    { "false", 1, 0 },
        { "0", 0, -1 },   { "\"no\"", 0, -1 }, { "{}", 0, -1 },
    };

    (void) state;

    start(&b, &h);

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        h.frozen = 0;
        h.synced = -1;
        h.len = 0;
        snprintf(line, sizeof(line),
                 "{\"op\":\"freeze\",\"nonce\":\"a\",\"sync\":%s}\n",
                 list[i].sync);
        feed(&b, line);
        assert_int_equal(h.frozen, list[i].ok);
        assert_int_equal(h.synced, list[i].synced);
        assert_non_null(
            strstr(h.said, list[i].ok ? "\"ok\":true" : "\"ok\":false"));
    }

    agent_bootstrap_free(&b);
}


/* The answer comes when it is done, under its own nonce. */
static void
test_flush(void **state)
{
    host_t h;
    agent_bootstrap_t b;

    (void) state;

    start(&b, &h);
    feed(&b, "{\"op\":\"flush\",\"nonce\":\"a\"}\n");
    assert_int_equal(h.len, 0);
    assert_string_equal(h.flushing, "a");

    feed(&b, "{\"op\":\"sync\",\"nonce\":\"b\"}\n");
    assert_non_null(strstr(h.said, "\"nonce\":\"b\""));

    h.len = 0;
    agent_bootstrap_later(&b, "flush", h.flushing, NULL);
    assert_string_equal(h.said,
                        "{\"op\":\"flush\",\"nonce\":\"a\",\"ok\":true}\n");

    h.len = 0;
    agent_bootstrap_later(&b, "freeze", "c", "No \"disk\".");
    assert_string_equal(h.said,
                        "{\"op\":\"freeze\",\"nonce\":\"c\",\"ok\":false,"
                        "\"error\":\"No \\\"disk\\\".\"}\n");

    h.len = 0;
    h.fails = 1;
    feed(&b, "{\"op\":\"flush\",\"nonce\":\"d\"}\n");
    assert_non_null(strstr(h.said, "\"nonce\":\"d\",\"ok\":false"));
    agent_bootstrap_free(&b);
}


/* Nothing of these is a request, and none is answered. */
static void
test_noise(void **state)
{
    size_t i;
    host_t h;
    agent_bootstrap_t b;
    static const char *const noise[] = {
        "",
        "{",
        "null",
        "[]",
        "\"sync\"",
        "{}",
        "{\"op\":\"sync\"}",
        "{\"nonce\":\"a\"}",
        "{\"op\":\"sync\",\"nonce\":\"\"}",
        "{\"op\":\"sync\",\"nonce\":7}",
        "{\"op\":\"sync\",\"nonce\":\"a\\\"b\"}",
        "{\"op\":\"sync\",\"nonce\":\"A\"}",
        "{\"op\":\"sync\",\"nonce\":\"a\",\"nonce\":\"b\"}",
        "{\"op\":\"sync\",\"nonce\":\"a\"} x",
        "{\"op\":\"Sync\",\"nonce\":\"a\"}",
        "{\"op\":{},\"nonce\":\"a\"}",
        "\xff\xfe{\"op\":\"sync\",\"nonce\":\"a\"}",
    };

    (void) state;

    start(&b, &h);
    for (i = 0; i < sizeof(noise) / sizeof(noise[0]); i++) {
        feed(&b, noise[i]);
        feed(&b, "\n");
        assert_int_equal(h.len, 0);
    }

    agent_bootstrap_feed(&b, "\0\0\n", 3);
    assert_int_equal(h.len, 0);
    agent_bootstrap_free(&b);
}


static void
test_long_line(void **state)
{
    int i;
    host_t h;
    char block[1024];
    agent_bootstrap_t b;

    (void) state;

    start(&b, &h);
    memset(block, ' ', sizeof(block));

    /* The longest line there may be still counts … */
    feed(&b, "{\"op\":\"sync\",\"nonce\":\"fits\"}");
    for (i = 0; i < AGENT_LINE_MAX / 1024 - 1; i++) {
        agent_bootstrap_feed(&b, block, sizeof(block));
    }
    feed(&b, "\n");
    assert_non_null(strstr(h.said, "fits"));

    /* … and one beyond is skipped to its end, whatever it ends in. */
    h.len = 0;
    for (i = 0; i < 3 * AGENT_LINE_MAX / 1024; i++) {
        agent_bootstrap_feed(&b, block, sizeof(block));
    }
    feed(&b, "{\"op\":\"sync\",\"nonce\":\"long\"}\n");
    assert_int_equal(h.len, 0);

    feed(&b, "{\"op\":\"sync\",\"nonce\":\"after\"}\n");
    assert_non_null(strstr(h.said, "after"));
    agent_bootstrap_free(&b);
}


static void
test_garbage(void **state)
{
    int i, j;
    host_t h;
    char block[512];
    agent_bootstrap_t b;
    static const char set[] = "{}[]\":,\\\n\nopsyncnonce0\x01\xff\xc3 ";

    (void) state;

    srandom(11);
    start(&b, &h);

    for (i = 0; i < 5000; i++) {
        for (j = 0; j < (int) sizeof(block); j++) {
            block[j] = set[random() % (sizeof(set) - 1)];
        }

        agent_bootstrap_feed(&b, block, random() % sizeof(block));
    }

    assert_int_equal(h.len, 0);
    agent_bootstrap_free(&b);
}


#define MEMBERS                                                                \
    "\"op\":\"configure\",\"nonce\":\"n\",\"mac\":\"52:54:00:00:00:0f\","      \
    "\"time_ms\":1780000000000,\"token\":\"secret\""
#define ENTROPY                                                                \
    "\"entropy\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygp"   \
    "KissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==\""
#define NETWORK "\"address\":\"10.88.0.5/16\",\"gateway\":\"10.88.0.1\""
#define HOSTNAME "\"hostname\":\"sb-1\""


static int
parse(agent_config_t *c, const char *text, char error[AGENT_ERROR_SIZE])
{
    int rc;
    sandbox_json_t doc;
    sandbox_json_error_t err;

    assert_int_equal(sandbox_json_parse(&doc, text, strlen(text), &err), 0);
    error[0] = '\0';
    rc = agent_config_parse(c, &doc, error, AGENT_ERROR_SIZE);
    sandbox_json_free(&doc);

    return rc;
}


static void
test_config_minimal(void **state)
{
    char error[AGENT_ERROR_SIZE];
    agent_config_t c;

    (void) state;

    assert_int_equal(parse(&c,
                           "{" MEMBERS "," ENTROPY "," NETWORK "," HOSTNAME
                           ",\"envs\":null}",
                           error),
                     0);
    assert_string_equal(c.hostname, "sb-1");
    assert_int_equal(c.mac[0], 0x52);
    assert_int_equal(c.mac[5], 0x0f);
    assert_int_equal(ntohl(c.address.s_addr), 0x0a580005);
    assert_int_equal(c.prefix, 16);
    assert_int_equal(ntohl(c.gateway.s_addr), 0x0a580001);
    assert_int_equal(c.ndns, 0);
    assert_true(c.time_ms == 1780000000000);
    assert_int_equal(c.entropy[63], 63);
    assert_string_equal(c.token, "secret");
    assert_string_equal(c.cwd, "/");
    assert_int_equal(c.grow_disk, 0);
    assert_int_equal(c.envs.n, 0);
    agent_config_free(&c);
}


static void
test_config_full(void **state)
{
    char error[AGENT_ERROR_SIZE];
    agent_config_t c;

    (void) state;

    assert_int_equal(parse(&c,
                           "{" MEMBERS "," ENTROPY "," NETWORK "," HOSTNAME
                           ",\"dns\":[\"1.1.1.1\",\"9.9.9.9\"],\"envs\":{"
                           "\"A\":\"1\",\"B\":\"x=y\"},\"cwd\":\"/w//x/../y\","
                           "\"grow_disk\":true}",
                           error),
                     0);
    assert_int_equal(c.ndns, 2);
    assert_int_equal(ntohl(c.dns[1].s_addr), 0x09090909);
    assert_int_equal(c.envs.n, 2);
    assert_string_equal(c.envs.list[1], "B=x=y");
    assert_null(c.envs.list[2]);
    assert_string_equal(c.cwd, "/w/y");
    assert_int_equal(c.grow_disk, 1);
    agent_config_free(&c);
}


static void
test_config_refused(void **state)
{
    size_t i;
    char error[AGENT_ERROR_SIZE];
    agent_config_t c;
    static const char all[] = MEMBERS "," ENTROPY "," NETWORK "," HOSTNAME;
    static const char *const bad[][2] = {
        { "{" MEMBERS "," ENTROPY "," NETWORK "}", "\"hostname\"" },
        { "{" MEMBERS "," NETWORK "," HOSTNAME "}", "\"entropy\"" },
        { "{" MEMBERS "," ENTROPY "," HOSTNAME "}", "\"address\"" },
        { "{" MEMBERS "," NETWORK "," HOSTNAME ",\"entropy\":\"AAAA\"}",
          "\"entropy\"" },
        { "{" MEMBERS "," ENTROPY "," NETWORK ",\"hostname\":\"a\\nb\"}",
          "\"hostname\"" },
        { "{" MEMBERS "," ENTROPY "," NETWORK ",\"hostname\":\"\"}",
          "\"hostname\"" },
        { "{" MEMBERS "," ENTROPY "," HOSTNAME
          ",\"address\":\"10.0.0.1/33\",\"gateway\":\"10.0.0.1\"}",
          "\"address\"" },
        { "{" MEMBERS "," ENTROPY "," HOSTNAME
          ",\"address\":\"10.0.0.1/0\",\"gateway\":\"10.0.0.1\"}",
          "\"address\"" },
        { "{" MEMBERS "," ENTROPY "," HOSTNAME
          ",\"address\":\"10.0.0.1\",\"gateway\":\"10.0.0.1\"}",
          "\"address\"" },
        { "{" MEMBERS "," ENTROPY "," HOSTNAME
          ",\"address\":\"10.0.0.1/+8\",\"gateway\":\"10.0.0.1\"}",
          "\"address\"" },
        { "{" MEMBERS "," ENTROPY "," HOSTNAME
          ",\"address\":\"10.0.0.1/8\",\"gateway\":\"fe80::1\"}",
          "\"gateway\"" },
    };
    static const char *const more[][2] = {
        { "\"dns\":\"1.1.1.1\"", "\"dns\"" },
        { "\"dns\":[7]", "\"dns\"" },
        { "\"dns\":[\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\","
          "\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\"]",
          "\"dns\"" },
        { "\"envs\":{\"1A\":\"x\"}", "\"envs\"" },
        { "\"envs\":{\"A\":7}", "\"envs\"" },
        { "\"envs\":[]", "\"envs\"" },
        { "\"cwd\":\"relative\"", "\"cwd\"" },
        { "\"cwd\":\"/../..\"", "\"cwd\"" },
        { "\"grow_disk\":1", "\"grow_disk\"" },
        { "\"mounts\":[]", "unknown" },
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(&c, bad[i][0], error), -1);
        assert_non_null(strstr(error, bad[i][1]));
    }

    for (i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        sandbox_text_t t = SANDBOX_TEXT_INIT;

        sandbox_text_fmt(&t, "{%s,%s}", all, more[i][0]);
        assert_int_equal(parse(&c, t.data, error), -1);
        assert_non_null(strstr(error, more[i][1]));
        sandbox_text_free(&t);
    }
}


static void
test_config_mac(void **state)
{
    size_t i;
    char error[AGENT_ERROR_SIZE];
    agent_config_t c;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    static const char *const bad[] = {
        "52:54:00:00:00",    "52:54:00:00:00:0g",       "53:54:00:00:00:01",
        "52-54-00-00-00-01", "52:54:00:00:00:01:02",    "5:4:0:0:0:1",
        " 2:54:00:00:00:01", "\\u00102:54:00:00:00:01",
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sandbox_text_fmt(&t,
                         "{\"op\":\"configure\",\"nonce\":\"n\",\"time_ms\":1,"
                         "\"token\":\"t\",\"mac\":\"%s\"," ENTROPY "," NETWORK
                         "," HOSTNAME "}",
                         bad[i]);
        assert_int_equal(parse(&c, t.data, error), -1);
        assert_non_null(strstr(error, "\"mac\""));
        sandbox_text_free(&t);
    }
}


static char step_order[8];


static int
step_a(const agent_config_t *c, char *error, size_t size)
{
    (void) c;
    (void) error;
    (void) size;
    strcat(step_order, "a");

    return 0;
}


static int
step_fail(const agent_config_t *c, char *error, size_t size)
{
    (void) c;
    snprintf(error, size, "No.");
    strcat(step_order, "f");

    return -1;
}


static void
test_steps(void **state)
{
    char error[AGENT_ERROR_SIZE];
    agent_config_t c;
    static const agent_step_t steps[] = {
        { step_a }, { step_a }, { step_fail }, { step_a }
    };

    (void) state;

    memset(&c, 0, sizeof(c));
    assert_int_equal(agent_config_apply(&c, steps, 2, error, sizeof(error)), 0);
    assert_string_equal(step_order, "aa");

    step_order[0] = '\0';
    assert_int_equal(agent_config_apply(&c, steps, 4, error, sizeof(error)),
                     -1);
    assert_string_equal(step_order, "aaf");
    assert_string_equal(error, "No.");
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_freeze_sync),
        cmocka_unit_test(test_flush),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_config_minimal),
        cmocka_unit_test(test_config_full),
        cmocka_unit_test(test_config_refused),
        cmocka_unit_test(test_config_mac),
        cmocka_unit_test(test_steps),
    };

    return cmocka_run_group_tests_name("agent bootstrap", tests, NULL, NULL);
}
