/*
 * The host's side of the bootstrap protocol against a scripted channel: what
 * the guest says is given piece by piece, what the host asks is recorded.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox_guest.h"
#include "sandbox_json.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#define SAID_MAX 262144
#define MESSAGE_SIZE 256

/*
 * A fake guest.  answer() is called for each line the host writes and puts
 * what the guest says into say; read() hands it out `piece` bytes at a time.
 */
typedef struct fake_s fake_t;

struct fake_s {
    void (*answer)(fake_t *f, const char *op, const char *nonce,
                   const char *line);
    char say[SAID_MAX];
    size_t len;
    size_t off;
    size_t piece;
    int lines;
    int broken;  /* writes fail */
    int refuses; /* what is not "sync", with answer_frozen() */
    int ended;   /* after what is said, the channel ends */
    int endless; /* says x for ever */
    int lying;   /* claims to have read more than there is room for */
    char nonce[2][64];
    char configure[8192];
};


static void
say(fake_t *f, const char *fmt, ...)
{
    int n;
    va_list args;

    va_start(args, fmt);
    n = vsnprintf(f->say + f->len, SAID_MAX - f->len, fmt, args);
    va_end(args);

    assert_true(n >= 0 && (size_t) n < SAID_MAX - f->len);
    f->len += n;
}


static char *
member(const char *line, size_t len, const char *name)
{
    char *s;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const sandbox_json_node_t *node;

    if (sandbox_json_parse(&doc, line, len, &err) == -1) {
        return NULL;
    }

    node = sandbox_json_member(&doc, &doc.nodes[0], name);
    s = node ? sandbox_json_string(&doc, node, NULL) : NULL;
    sandbox_json_free(&doc);

    return s;
}


static int
fake_write(void *channel, const char *data, size_t len, int64_t deadline_ms)
{
    char *op, *nonce;
    fake_t *f = channel;

    (void) deadline_ms;

    if (f->broken) {
        return -1;
    }

    while (len > 0 && *data == '\n') {
        data++;
        len--;
    }

    /* One request a call, one line a request. */
    assert_true(len > 0 && data[len - 1] == '\n');
    assert_null(memchr(data, '\n', len - 1));

    op = member(data, len, "op");
    nonce = member(data, len, "nonce");
    assert_non_null(op);
    assert_non_null(nonce);
    assert_int_equal(strlen(nonce), 32);

    snprintf(f->nonce[strcmp(op, "sync") != 0], sizeof(f->nonce[0]), "%s",
             nonce);
    if (strcmp(op, "configure") == 0) {
        snprintf(f->configure, sizeof(f->configure), "%.*s", (int) len, data);
    }

    f->lines++;
    if (f->answer != NULL) {
        f->answer(f, op, nonce, data);
    }

    free(op);
    free(nonce);

    return 0;
}


static int64_t
fake_read(void *channel, char *data, size_t size, int64_t deadline_ms)
{
    size_t n;
    fake_t *f = channel;

    assert_true(size > 0);

    if (f->lying) {
        return (int64_t) size + 1;
    }

    if (f->endless) {
        memset(data, 'x', size);
        return (int64_t) size;
    }

    if (f->off == f->len) {
        if (f->ended) {
            return -1;
        }

        while (sandbox_time_monotonic_ms() < deadline_ms) {
            /* as a real channel: wait for the deadline */
        }

        return 0;
    }

    n = f->len - f->off;
    n = n > size ? size : n;
    n = n > f->piece ? f->piece : n;

    memcpy(data, f->say + f->off, n);
    f->off += n;

    return (int64_t) n;
}


static const char *const dns[] = { "10.88.0.1", "9.9.9.9", NULL };

static const sandbox_guest_config_t config = {
    .hostname = "sb-a",
    .mac = "52:54:00:00:00:01",
    .address = "10.88.0.5/16",
    .gateway = "10.88.0.1",
    .dns = dns,
    .token = "to\"ken",
    .envs = "{\"A\":\"1\",\n \"B\":\"\\n\"}",
    .cwd = "/work space",
    .grow_disk = 1,
};


static fake_t *
fake(void (*answer)(fake_t *f, const char *op, const char *nonce,
                    const char *line))
{
    fake_t *f;

    f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->answer = answer;
    f->piece = 4096;

    return f;
}


static sandbox_guest_status_t
talk_for(fake_t *f, char message[MESSAGE_SIZE], int64_t ms)
{
    sandbox_guest_channel_t ch;

    ch.channel = f;
    ch.write = fake_write;
    ch.read = fake_read;

    return sandbox_guest_bootstrap(
        &ch, &config, sandbox_time_monotonic_ms() + ms, message, MESSAGE_SIZE);
}


static sandbox_guest_status_t
talk(fake_t *f, char message[MESSAGE_SIZE])
{
    return talk_for(f, message, 5000);
}


static void
answer_ok(fake_t *f, const char *op, const char *nonce, const char *line)
{
    (void) line;
    say(f, "{\"op\":\"%s\",\"nonce\":\"%s\",\"ok\":true}\n", op, nonce);
}


static void
test_good(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_ok);
    assert_int_equal(talk(f, message), SANDBOX_GUEST_OK);
    assert_string_equal(message, "");
    assert_int_equal(f->lines, 2);
    assert_string_not_equal(f->nonce[0], f->nonce[1]);
    free(f);
}


static void
test_byte_by_byte(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_ok);
    f->piece = 1;
    assert_int_equal(talk(f, message), SANDBOX_GUEST_OK);
    free(f);
}


static void
answer_frozen(fake_t *f, const char *op, const char *nonce, const char *line)
{
    if (strcmp(op, "sync") != 0) {
        snprintf(f->configure, sizeof(f->configure), "%s%s", op,
                 strstr(line, ",\"sync\":false}") ? " quick" : "");
    }

    say(f, "{\"op\":\"%s\",\"nonce\":\"%s\",\"ok\":%s}\n", op, nonce,
        f->refuses && strcmp(op, "sync") != 0 ? "false" : "true");
}


/* The short questions; the quick ones have no sync before them. */
static void
test_short(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;
    int64_t until;
    sandbox_guest_channel_t ch = { NULL, fake_write, fake_read };

    (void) state;

    f = fake(answer_frozen);
    ch.channel = f;
    until = sandbox_time_monotonic_ms() + 5000;

    assert_int_equal(sandbox_guest_sync(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_OK);
    assert_int_equal(f->lines, 1);
    assert_string_equal(f->configure, "");

    assert_int_equal(sandbox_guest_freeze(&ch, 1, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_OK);
    assert_int_equal(f->lines, 3);
    assert_string_equal(f->configure, "freeze");

    assert_int_equal(sandbox_guest_freeze(&ch, 0, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_OK);
    assert_int_equal(f->lines, 4);
    assert_string_equal(f->configure, "freeze quick");

    assert_int_equal(sandbox_guest_thaw(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_OK);
    assert_int_equal(f->lines, 5);
    assert_string_equal(f->configure, "thaw");

    assert_int_equal(sandbox_guest_flush(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_OK);
    assert_int_equal(f->lines, 7);
    assert_string_equal(f->configure, "flush");

    f->refuses = 1;
    assert_int_equal(sandbox_guest_freeze(&ch, 1, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_REFUSED);
    assert_non_null(strstr(message, "freeze"));
    assert_int_equal(sandbox_guest_thaw(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_REFUSED);
    assert_non_null(strstr(message, "thaw"));
    assert_int_equal(sandbox_guest_flush(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_REFUSED);
    assert_non_null(strstr(message, "flush"));

    f->broken = 1;
    assert_int_equal(sandbox_guest_sync(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_CLOSED);
    free(f);
}


static void
answer_first(fake_t *f, const char *op, const char *nonce, const char *line)
{
    if (f->lines == 1) {
        answer_ok(f, op, nonce, line);
    }
}


static void
answer_second(fake_t *f, const char *op, const char *nonce, const char *line)
{
    if (f->lines == 2) {
        answer_ok(f, op, nonce, line);
    }
}


/* What is lost is asked again, but for a flush, which may take its time. */
static void
test_short_lost(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;
    int64_t until;
    sandbox_guest_channel_t ch = { NULL, fake_write, fake_read };

    (void) state;

    until = sandbox_time_monotonic_ms() + 5000;

    f = fake(answer_second);
    ch.channel = f;
    assert_int_equal(sandbox_guest_thaw(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_OK);
    assert_int_equal(f->lines, 2);
    free(f);

    f = fake(answer_second);
    ch.channel = f;
    assert_int_equal(sandbox_guest_freeze(&ch, 0, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_OK);
    assert_int_equal(f->lines, 2);
    free(f);

    f = fake(answer_first);
    ch.channel = f;
    until = sandbox_time_monotonic_ms() + 600;
    assert_int_equal(sandbox_guest_flush(&ch, until, message, MESSAGE_SIZE),
                     SANDBOX_GUEST_TIMEOUT);
    assert_int_equal(f->lines, 2);
    free(f);
}


/* Everything of the configuration arrives, and entropy never repeats. */
static void
test_configuration(void **state)
{
    int i;
    char *s, *entropy[2];
    char message[MESSAGE_SIZE];
    uint8_t bytes[64];
    fake_t *f;

    (void) state;

    for (i = 0; i < 2; i++) {
        f = fake(answer_ok);
        assert_int_equal(talk(f, message), SANDBOX_GUEST_OK);

        s = member(f->configure, strlen(f->configure), "token");
        assert_string_equal(s, "to\"ken");
        free(s);

        s = member(f->configure, strlen(f->configure), "cwd");
        assert_string_equal(s, "/work space");
        free(s);

        assert_non_null(strstr(f->configure, "\"dns\":[\"10.88.0.1\","));
        assert_non_null(strstr(f->configure, "\"grow_disk\":true"));
        assert_non_null(strstr(f->configure, "\"envs\":{\"A\":\"1\", "));

        entropy[i] = member(f->configure, strlen(f->configure), "entropy");
        assert_int_equal(sandbox_base64_decode(bytes, sizeof(bytes), entropy[i],
                                               strlen(entropy[i])),
                         64);
        free(f);
    }

    assert_string_not_equal(entropy[0], entropy[1]);
    free(entropy[0]);
    free(entropy[1]);
}


static void
answer_after_noise(fake_t *f, const char *op, const char *nonce,
                   const char *line)
{
    (void) line;

    say(f, "true}\n\n{}\n[]\n7\n\"x\"\nnot json\n");
    say(f, "{\"op\":\"%s\",\"nonce\":\"%032d\",\"ok\":true}\n", op, 7);
    say(f, "{\"op\":\"%s\",\"nonce\":\"%032d\",\"ok\":false}\n", op, 8);
    say(f, "{\"op\":\"other\",\"nonce\":\"%s\",\"ok\":true}\n", nonce);
    say(f, "{\"op\":7,\"nonce\":{},\"ok\":true}\n");
    say(f, "{\"op\":\"%s\",\"nonce\":\"%s\",\"ok\":true,\"agent\":\"1\"}\n", op,
        nonce);
}


static void
test_noise(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_after_noise);
    f->piece = 7;
    assert_int_equal(talk(f, message), SANDBOX_GUEST_OK);
    free(f);
}


/* The parent's answer to its own questions must not pass for the child's. */
static void
answer_wrong_nonce(fake_t *f, const char *op, const char *nonce,
                   const char *line)
{
    (void) line;
    (void) nonce;
    say(f, "{\"op\":\"%s\",\"nonce\":\"%032d\",\"ok\":true}\n", op, 1);
}


static void
test_wrong_nonce(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_wrong_nonce);
    assert_int_equal(talk_for(f, message, 100), SANDBOX_GUEST_TIMEOUT);
    assert_non_null(strstr(message, "\"sync\""));
    free(f);
}


static void
test_silence(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;
    int64_t start;

    (void) state;

    f = fake(NULL);
    start = sandbox_time_monotonic_ms();
    assert_int_equal(talk_for(f, message, 1200), SANDBOX_GUEST_TIMEOUT);
    assert_in_range(sandbox_time_monotonic_ms() - start, 1190, 2000);

    /* It asked more than once: an agent that was not up yet lost the first. */
    assert_in_range(f->lines, 2, 4);
    free(f);
}


static void
answer_late(fake_t *f, const char *op, const char *nonce, const char *line)
{
    if (f->lines > 1) {
        answer_ok(f, op, nonce, line);
    }
}


static void
test_late_agent(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_late);
    assert_int_equal(talk(f, message), SANDBOX_GUEST_OK);
    assert_string_equal(message, "");
    free(f);
}


static void
test_closed(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(NULL);
    f->ended = 1;
    assert_int_equal(talk(f, message), SANDBOX_GUEST_CLOSED);
    free(f);

    f = fake(NULL);
    f->broken = 1;
    assert_int_equal(talk(f, message), SANDBOX_GUEST_CLOSED);
    free(f);

    f = fake(NULL);
    f->lying = 1;
    assert_int_equal(talk(f, message), SANDBOX_GUEST_CLOSED);
    free(f);
}


static void
test_huge_line(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(NULL);
    f->endless = 1;
    assert_int_equal(talk(f, message), SANDBOX_GUEST_PROTOCOL);
    assert_non_null(strstr(message, "4096"));
    free(f);
}


static void
answer_flood(fake_t *f, const char *op, const char *nonce, const char *line)
{
    int i;

    (void) op;
    (void) nonce;
    (void) line;

    for (i = 0; i < 2000; i++) {
        say(f, "{\"op\":\"sync\",\"nonce\":\"no\",\"ok\":true}\n");
    }
}


static void
test_flood(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_flood);
    assert_int_equal(talk(f, message), SANDBOX_GUEST_PROTOCOL);
    assert_non_null(strstr(message, "65536"));
    free(f);
}


static void
answer_refusing(fake_t *f, const char *op, const char *nonce, const char *line)
{
    if (strcmp(op, "sync") == 0) {
        answer_ok(f, op, nonce, line);
        return;
    }

    say(f,
        "{\"op\":\"configure\",\"nonce\":\"%s\",\"ok\":false,"
        "\"error\":\"No \\u001b[31mdisk\\n.\"}\n",
        nonce);
}


static void
test_refused(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_refusing);
    assert_int_equal(talk(f, message), SANDBOX_GUEST_REFUSED);

    /* It goes into a log: nothing of the guest's may forge a line there. */
    assert_non_null(strstr(message, "No ?[31mdisk?."));
    free(f);
}


static void
answer_refusing_at_length(fake_t *f, const char *op, const char *nonce,
                          const char *line)
{
    (void) line;
    say(f,
        "{\"op\":\"%s\",\"nonce\":\"%s\",\"ok\":false,\"error\":\"%03500d\"}\n",
        op, nonce, 1);
}


static void
test_refused_at_length(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_refusing_at_length);
    assert_int_equal(talk(f, message), SANDBOX_GUEST_REFUSED);
    assert_true(strlen(message) < MESSAGE_SIZE);
    free(f);
}


static void
answer_vague(fake_t *f, const char *op, const char *nonce, const char *line)
{
    (void) line;
    say(f, "{\"op\":\"%s\",\"nonce\":\"%s\",\"ok\":\"true\"}\n", op, nonce);
}


static void
test_vague(void **state)
{
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    f = fake(answer_vague);
    assert_int_equal(talk(f, message), SANDBOX_GUEST_PROTOCOL);
    free(f);
}


/* Random bytes, line ends among them, never do more than fail. */
static void
answer_garbage(fake_t *f, const char *op, const char *nonce, const char *line)
{
    int i;
    static const char set[] = "{}[]\":,\\\n\nopnonceoktrue0\x01\xff\xc3 ";

    (void) op;
    (void) line;

    for (i = 0; i < 4000; i++) {
        f->say[f->len++] = set[random() % (sizeof(set) - 1)];
        if (i % 500 == 0) {
            say(f, "{\"op\":\"sync\",\"nonce\":\"%.*s", (int) (random() % 33),
                nonce);
        }
    }
}


static void
test_garbage(void **state)
{
    int i;
    char message[MESSAGE_SIZE];
    fake_t *f;

    (void) state;

    srandom(7);

    for (i = 0; i < 200; i++) {
        f = fake(answer_garbage);
        f->ended = 1;
        f->piece = 1 + random() % 4096;
        assert_int_not_equal(talk(f, message), SANDBOX_GUEST_OK);
        assert_string_not_equal(message, "");
        free(f);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_short_lost),
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_wrong_nonce),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_late_agent),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_huge_line),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_at_length),
        cmocka_unit_test(test_vague),
        cmocka_unit_test(test_garbage),
    };

    return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
