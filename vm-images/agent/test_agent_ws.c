/*
 * WebSocket: the framing, byte by byte and at once; and sockets of the real
 * server, with a client in a child process.
 */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "check_ws.h"
#include "loop.h"
#include "memory.h"
#include "ws.h"
#include "ws_frame.h"

#define FLOOD 12000000 /* bytes of a talker: more than sockets hold */
#define TALKERS 3

static int detached;


/* Gives all of the text in pieces and expects one event at its end. */
static void
expect_event(const sandbox_text_t *t, size_t piece, int event,
             const char *payload, size_t len)
{
    int rc;
    size_t at, n;
    const uint8_t *p;
    agent_ws_parser_t parser;

    memset(&parser, 0, sizeof(parser));
    rc = 0;

    for (at = 0; at < t->len && rc == 0; at += n) {
        n = t->len - at < piece ? t->len - at : piece;
        p = (const uint8_t *) t->data + at;
        rc = agent_ws_parse(&parser, &p, &n);
        n = (size_t) (p - ((const uint8_t *) t->data + at));
    }

    assert_int_equal(rc, event);
    assert_int_equal(at, t->len);

    if (event == AGENT_WS_TEXT) {
        assert_int_equal(parser.text.len, len);
        assert_memory_equal(parser.text.data, payload, len);
    } else {
        assert_int_equal(parser.ncontrol, len);
        assert_memory_equal(parser.control, payload, len);
    }

    agent_ws_parser_free(&parser);
}


static void
test_messages(void **state)
{
    size_t i;
    char *big;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    static const size_t sizes[] = { 1,     125,   126,
                                    65535, 65536, AGENT_WS_MESSAGE_MAX };

    (void) state;
    big = malloc(AGENT_WS_MESSAGE_MAX);
    assert_non_null(big);
    for (i = 0; i < AGENT_WS_MESSAGE_MAX; i++) {
        big[i] = (char) (i * 7);
    }

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        masked(&t, 0x81, big, sizes[i]);
        expect_event(&t, SIZE_MAX, AGENT_WS_TEXT, big, sizes[i]);
        expect_event(&t, 1, AGENT_WS_TEXT, big, sizes[i]);
        sandbox_text_free(&t);
    }

    masked(&t, 0x01, "ab", 2);
    masked(&t, 0x00, "", 0);
    masked(&t, 0x80, "cde", 3);
    expect_event(&t, 1, AGENT_WS_TEXT, "abcde", 5);
    expect_event(&t, SIZE_MAX, AGENT_WS_TEXT, "abcde", 5);
    sandbox_text_free(&t);

    masked(&t, 0x89, big, 125);
    expect_event(&t, 3, AGENT_WS_PING, big, 125);
    sandbox_text_free(&t);
    masked(&t, 0x8a, "", 0);
    expect_event(&t, 3, AGENT_WS_PONG, "", 0);
    sandbox_text_free(&t);
    free(big);
}


static void
test_between(void **state)
{
    size_t len;
    const uint8_t *p;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    agent_ws_parser_t parser;

    (void) state;
    memset(&parser, 0, sizeof(parser));

    /* A ping between the fragments, and a second message behind. */
    masked(&t, 0x01, "ab", 2);
    masked(&t, 0x89, "?", 1);
    masked(&t, 0x80, "cd", 2);
    masked(&t, 0x81, "", 0);
    masked(&t, 0x88, "", 0);

    p = (const uint8_t *) t.data;
    len = t.len;
    assert_int_equal(agent_ws_parse(&parser, &p, &len), AGENT_WS_PING);
    assert_memory_equal(parser.control, "?", 1);
    assert_int_equal(agent_ws_parse(&parser, &p, &len), AGENT_WS_TEXT);
    assert_int_equal(parser.text.len, 4);
    assert_memory_equal(parser.text.data, "abcd", 4);
    assert_int_equal(agent_ws_parse(&parser, &p, &len), AGENT_WS_TEXT);
    assert_int_equal(parser.text.len, 0);
    assert_int_equal(agent_ws_parse(&parser, &p, &len), AGENT_WS_CLOSE);
    assert_int_equal(agent_ws_parse(&parser, &p, &len), 0);
    assert_int_equal(len, 0);

    agent_ws_parser_free(&parser);
    sandbox_text_free(&t);
}


static void
test_malformed(void **state)
{
    int rc;
    size_t i, len;
    const uint8_t *p;
    agent_ws_parser_t parser;
    static const struct {
        const char *bytes;
        size_t len;
        unsigned code;
    } bad[] = {
        { "\x81\x01x", 3, 1002 },        /* not masked */
        { "\xc1\x80\0\0\0\0", 6, 1002 }, /* a reserved bit */
        { "\x80\x80\0\0\0\0", 6, 1002 }, /* continues nothing */
        { "\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 12, 1002 }, /* begins anew */
        { "\x83\x80\0\0\0\0", 6, 1002 },                  /* unknown opcodes */
        { "\x8b\x80\0\0\0\0", 6, 1002 },
        { "\x09\x80\0\0\0\0", 6, 1002 },       /* a ping in parts */
        { "\x89\xfe\0\x7e\0\0\0\0", 8, 1002 }, /* a long ping */
        { "\x82\x80\0\0\0\0", 6, 1003 },       /* binary */
        { "\x81\xff\0\0\0\0\0\x10\0\1\0\0\0\0", 14, 1009 },
        { "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14, 1009 },
    };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&parser, 0, sizeof(parser));
        p = (const uint8_t *) bad[i].bytes;
        len = bad[i].len;
        rc = agent_ws_parse(&parser, &p, &len);
        assert_int_equal(rc, -1);
        assert_int_equal(parser.code, bad[i].code);
        agent_ws_parser_free(&parser);
    }
}


/* The parts of a message are counted together. */
static void
test_limit(void **state)
{
    int rc;
    size_t len;
    char *big;
    const uint8_t *p;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    agent_ws_parser_t parser;

    (void) state;
    memset(&parser, 0, sizeof(parser));
    big = calloc(1, AGENT_WS_MESSAGE_MAX);
    assert_non_null(big);
    masked(&t, 0x01, big, AGENT_WS_MESSAGE_MAX - 1);
    masked(&t, 0x00, big, 1);
    masked(&t, 0x80, big, 1);

    p = (const uint8_t *) t.data;
    len = t.len;
    do {
        rc = agent_ws_parse(&parser, &p, &len);
    } while (rc > 0);
    assert_int_equal(rc, -1);
    assert_int_equal(parser.code, 1009);

    agent_ws_parser_free(&parser);
    sandbox_text_free(&t);
    free(big);
}


static void
test_write(void **state)
{
    char *big;
    char accept[AGENT_WS_ACCEPT_SIZE];
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) state;

    agent_ws_frame(&t, AGENT_WS_TEXT, "abc", 3);
    assert_int_equal(t.len, 5);
    assert_memory_equal(t.data, "\x81\3abc", 5);
    sandbox_text_free(&t);

    big = calloc(1, 70000);
    assert_non_null(big);
    agent_ws_frame(&t, AGENT_WS_TEXT, big, 126);
    assert_memory_equal(t.data, "\x81\x7e\0\x7e", 4);
    sandbox_text_free(&t);
    agent_ws_frame(&t, AGENT_WS_TEXT, big, 65536);
    assert_memory_equal(t.data, "\x81\x7f\0\0\0\0\0\1\0\0", 10);
    assert_int_equal(t.len, 65546);
    sandbox_text_free(&t);
    free(big);

    /* The example of RFC 6455. */
    assert_int_equal(agent_ws_accept(accept, "dGhlIHNhbXBsZSBub25jZQ=="), 0);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(agent_ws_accept(accept, ""), -1);
    assert_int_equal(agent_ws_accept(accept, "dGhlIHNhbXBsZSBub25jZQ="), -1);
    assert_int_equal(agent_ws_accept(accept, "dGhlIHNhbXBsZSBub25jZ!=="), -1);
}


/* --- a channel of the test: streams that say "x" for so long ------------ */

typedef struct {
    agent_ws_stream_t stream;
    size_t left;
} talker_t;


static int
talker_pump(agent_ws_stream_t *s)
{
    char piece[AGENT_WS_PIECE];
    talker_t *k = (talker_t *) (void *) s;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (k->left == 0) {
        agent_ws_begin(&t, "end", s);
        sandbox_text_str(&t, "}");
        agent_ws_send(s->ws, &t);
        agent_ws_detach(s);
        free(k);
        return 0;
    }

    memset(piece, 'x', sizeof(piece));
    agent_ws_begin(&t, "say", s);
    sandbox_text_str(&t, ",\"data\":");
    sandbox_text_json_string(&t, piece,
                             k->left < sizeof(piece) ? k->left : sizeof(piece));
    k->left -= k->left < sizeof(piece) ? k->left : sizeof(piece);
    sandbox_text_str(&t, "}");
    agent_ws_send(s->ws, &t);

    return 1;
}


static void
talker_detach(agent_ws_stream_t *s)
{
    detached++;
    free(s);
}


static talker_t *
talker_make(agent_ws_t *ws, const char *id)
{
    talker_t *k;

    k = calloc(1, sizeof(*k));
    assert_non_null(k);
    agent_ws_attach(ws, &k->stream, id);

    return k;
}


/* One that has nothing to say. */
static void
talker_quiet(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
             const sandbox_json_t *doc)
{
    (void) s;
    (void) doc;
    talker_make(ws, id);
}


/*
 * They begin when the last is there: a client that reads fast could hear all
 * of the first before the next is read of.
 */
static void
talker_start(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
             const sandbox_json_t *doc)
{
    static size_t n;
    static talker_t *talkers[TALKERS];

    (void) s;
    (void) doc;

    talkers[n] = talker_make(ws, id);
    talkers[n]->left = FLOOD;

    if (++n < TALKERS) {
        return;
    }

    while (n > 1) {
        talkers[--n]->stream.ready = 1;
    }

    n = 0;
    agent_ws_ready(&talkers[0]->stream);
}


static void
talker_hold(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
            const sandbox_json_t *doc)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    (void) id;
    (void) doc;

    agent_ws_hold(s, 1);
    agent_ws_hold(s, 1);
    agent_ws_begin(&t, "held", s);
    sandbox_text_str(&t, "}");
    agent_ws_send(ws, &t);
}


static void
stop_all(void *data)
{
    (void) data;
    agent_ws_stop();
}


/* Ends the server's sockets, once this one is not in use. */
static void
talker_stop(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
            const sandbox_json_t *doc)
{
    static agent_timer_t timer;

    (void) ws;
    (void) s;
    (void) id;
    (void) doc;

    timer.handler = stop_all;
    agent_loop_timer(&timer, 0);
}


static const agent_ws_message_t talker_messages[] = {
    { "start", talker_start, 1 },
    { "quiet", talker_quiet, 1 },
    { "hold", talker_hold, 0 },
    { "stop", talker_stop, 0 },
};
static const agent_ws_channel_t talker = { "talk", talker_messages, 4,
                                           talker_pump, talker_detach };
static const agent_ws_channel_t *const channels[] = { &talker };
static const agent_route_t routes[] = {
    { "ws", "GET", 1, agent_ws_handler },
};


/* Serves a client, and sees so many of its streams end with their sockets. */
static void
serve(void (*run)(void), int ends)
{
    detached = 0;
    agent_ws_channels(channels, 1);
    server_start(routes, 1, "127.0.0.1");
    scenario(run);
    wait_for(detached == ends);

    agent_ws_stop();
    agent_http_stop();
}


/* Streams take turns, and each says all it has to. */
static void
client_turns(void)
{
    int fd, ended, i, switches, last, which;
    size_t said[TALKERS] = { 0, 0, 0 };
    static char buf[65536];

    fd = open_socket("?channel=talk");
    say(fd, 0x81, "{\"type\":\"start\",\"stream_id\":\"0\"}");
    say(fd, 0x81, "{\"type\":\"start\",\"stream_id\":\"1\"}");
    say(fd, 0x81, "{\"type\":\"start\",\"stream_id\":\"2\"}");

    switches = 0;
    last = 0;

    for (ended = 0; ended < TALKERS;) {
        expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
        which = strstr(buf, "\"stream_id\":\"")[13] - '0';
        expect(which >= 0 && which < TALKERS);
        switches += which != last;
        last = which;

        if (strstr(buf, "\"end\"") != NULL) {
            ended++;
        } else {
            for (i = 0; buf[i] != '\0'; i++) {
                said[which] += buf[i] == 'x';
            }
        }
    }

    expect(said[0] == FLOOD && said[1] == FLOOD && said[2] == FLOOD);
    expect(switches > 100);

    say(fd, 0x89, "hello");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_PONG);
    expect(strcmp(buf, "hello") == 0);
    say(fd, 0x88, "");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_CLOSE);
    expect(memcmp(buf, "\x03\xe8", 2) == 0);
    expect(recv(fd, buf, 1, 0) == 0);
}


static void
test_turns(void **state)
{
    (void) state;
    serve(client_turns, 0);
}


/* A request without that handshake is told the header at fault. */
static void
refused(const char *headers, const char *field)
{
    int fd, n;
    size_t len;
    char buf[4096], name[64];

    fd = dial();
    n = snprintf(buf, sizeof(buf),
                 "GET /v1/sandboxes/sb_1/ws?channel=talk HTTP/1.1\r\n"
                 "Host: x\r\n" AUTH "%s\r\n",
                 headers);
    transmit(fd, buf, (size_t) n);
    (void) snprintf(name, sizeof(name), "\"field\":\"%s\"", field);

    len = 0;
    do {
        expect(len < sizeof(buf) - 1);
        n = (int) recv(fd, buf + len, sizeof(buf) - 1 - len, 0);
        expect(n > 0);
        len += (size_t) n;
        buf[len] = '\0';
    } while (strstr(buf, name) == NULL);

    expect(strstr(buf, "HTTP/1.1 400 ") == buf);
    close(fd);
}


static void
client_errors(void)
{
    int fd, i;
    char text[128];
    static char buf[65536];

    refused("", "Upgrade");
    refused("Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 12\r\n",
            "Sec-WebSocket-Version");
    refused("Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n",
            "Sec-WebSocket-Key");

    fd = open_socket("?channel=talk");
    say(fd, 0x81, "{\"type\":\"none\",\"stream_id\":\"1\"}");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    expect(strstr(buf, "\"code\":\"invalid_request\"") != NULL);
    expect(strstr(buf, "\"stream_id\":\"1\"") != NULL);
    say(fd, 0x81, "{\"type\":\"start\",\"stream_id\":\"a b\"}");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    expect(strstr(buf, "stream_id\\\"") != NULL);
    say(fd, 0x81, "[]");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    say(fd, 0x81, "{\"type\":\"hold\",\"stream_id\":\"1\"}");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    expect(strstr(buf, "\"code\":\"not_found\"") != NULL);

    /* So many streams, and no more. */
    for (i = 0; i <= AGENT_WS_STREAMS_MAX; i++) {
        snprintf(text, sizeof(text),
                 "{\"type\":\"quiet\",\"stream_id\":\"%d\"}", i);
        say(fd, 0x81, text);
    }

    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    expect(strstr(buf, "\"code\":\"capacity_exceeded\"") != NULL);
    say(fd, 0x81, "{\"type\":\"start\",\"stream_id\":\"5\"}");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    expect(strstr(buf, "\"code\":\"conflict\"") != NULL);
    close(fd);

    fd = open_socket("?channel=talk");
    say(fd, 0x81, "{");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_CLOSE);
    expect(memcmp(buf, "\x03\xef", 2) == 0);
    close(fd);
}


static void
test_errors(void **state)
{
    (void) state;
    serve(client_errors, AGENT_WS_STREAMS_MAX);
}


static void
ping(int fd)
{
    static char buf[256];

    say(fd, 0x89, "");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_PONG);
}


/* While a stream holds nothing is read; the client's end is noticed still. */
static void
client_hold(void)
{
    int fd, other;
    static char buf[65536];

    other = open_socket("?channel=talk");
    fd = open_socket("?channel=talk");
    say(fd, 0x81, "{\"type\":\"quiet\",\"stream_id\":\"1\"}");
    say(fd, 0x81, "{\"type\":\"hold\",\"stream_id\":\"1\"}");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_TEXT);
    expect(strstr(buf, "\"held\"") != NULL);

    /* The loop would have come to this before it comes round twice. */
    say(fd, 0x89, "");
    ping(other);
    ping(other);
    expect(recv(fd, buf, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(fd);
    close(other);
}


static void
test_hold(void **state)
{
    (void) state;
    serve(client_hold, 1);
}


/* A message that is not whole counts as input. */
static void
client_share(void)
{
    int fd, other;
    static char buf[65536];
    static const char half[] = "\x81\xff\0\0\0\0\0\x08\0\0mask";
    static char text[100000];

    other = open_socket("?channel=talk");
    fd = open_socket("?channel=talk");
    transmit(fd, half, sizeof(half) - 1);
    transmit(fd, text, 30000);

    transmit(other, half, sizeof(half) - 1);
    transmit(other, text, sizeof(text));
    expect(hear(other, buf, sizeof(buf)) == AGENT_WS_CLOSE);
    expect(memcmp(buf, "\x03\xf5", 2) == 0);
    close(other);

    expect(recv(fd, buf, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(fd);

    fd = open_socket("?channel=talk");
    ping(fd);
    close(fd);
}


static void
test_share(void **state)
{
    size_t taken;

    (void) state;
    taken = agent_memory_left(AGENT_MEMORY_INPUT) - 40000;
    assert_int_equal(agent_memory_take(AGENT_MEMORY_INPUT, taken), 0);
    serve(client_share, 0);
    assert_int_equal(agent_memory_left(AGENT_MEMORY_INPUT), 40000);
    agent_memory_give(AGENT_MEMORY_INPUT, taken);
}


/* The server's end is told to the clients. */
static void
client_stop(void)
{
    int fd;
    static char buf[65536];

    fd = open_socket("?channel=talk");
    say(fd, 0x81, "{\"type\":\"quiet\",\"stream_id\":\"1\"}");
    say(fd, 0x81, "{\"type\":\"stop\",\"stream_id\":\"1\"}");
    expect(hear(fd, buf, sizeof(buf)) == AGENT_WS_CLOSE);
    expect(memcmp(buf, "\x03\xe9", 2) == 0);
    expect(recv(fd, buf, 1, 0) == 0);
}


static void
test_stop(void **state)
{
    (void) state;
    serve(client_stop, 1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),  cmocka_unit_test(test_between),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_write),     cmocka_unit_test(test_turns),
        cmocka_unit_test(test_errors),    cmocka_unit_test(test_hold),
        cmocka_unit_test(test_share),     cmocka_unit_test(test_stop),
    };

    if (check_init() == -1) {
        return 1;
    }

    return cmocka_run_group_tests_name("agent ws", tests, NULL, NULL);
}
