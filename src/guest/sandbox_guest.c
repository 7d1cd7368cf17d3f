/*
 * The bootstrap conversation, host side.
 *
 * Each question carries a nonce of its own, and only a line that answers
 * with the same op and nonce counts: a guest that was started from a
 * checkpoint may still answer a question that its parent was asked.  Everything
 * else on the channel is noise and bounded.  Must not know libvirt, nor any
 * other channel.
 */

#define _GNU_SOURCE

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sandbox_guest.h"
#include "sandbox_json.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#define NONCE_LEN 16
#define NONCE_SIZE (2 * NONCE_LEN + 1)
#define ENTROPY_LEN 64
#define ASK_EVERY_MS 500 /* an agent that is not up yet loses what comes */

typedef struct {
    const sandbox_guest_channel_t *ch;
    int64_t deadline_ms;
    char buf[SANDBOX_GUEST_LINE_MAX];
    size_t len;
    size_t noise; /* bytes of lines that answered nothing */
    char *message;
    size_t size;
} guest_talk_t;


static sandbox_guest_status_t
guest_fail(guest_talk_t *t, sandbox_guest_status_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));


static sandbox_guest_status_t
guest_fail(guest_talk_t *t, sandbox_guest_status_t status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(t->message, t->size, fmt, args);
    va_end(args);

    return status;
}


static int
guest_random(void *out, size_t len)
{
    size_t done;
    ssize_t n;

    for (done = 0; done < len; done += n) {
        n = getrandom((char *) out + done, len - done, 0);
        if (n == -1) {
            return -1;
        }
    }

    return 0;
}


static int
guest_nonce(char nonce[NONCE_SIZE])
{
    size_t i;
    uint8_t random[NONCE_LEN];
    static const char hex[] = "0123456789abcdef";

    if (guest_random(random, sizeof(random)) == -1) {
        return -1;
    }

    for (i = 0; i < NONCE_LEN; i++) {
        nonce[2 * i] = hex[random[i] >> 4];
        nonce[2 * i + 1] = hex[random[i] & 15];
    }

    nonce[2 * NONCE_LEN] = '\0';

    return 0;
}


/* 1 if the member is the string value. */
static int
guest_is(const sandbox_json_t *doc, const char *name, const char *value)
{
    int equal;
    char *s;
    const sandbox_json_node_t *node;

    node = sandbox_json_member(doc, &doc->nodes[0], name);
    s = node ? sandbox_json_string(doc, node, NULL) : NULL;
    equal = s != NULL && strcmp(s, value) == 0;
    free(s);

    return equal;
}


/* What the guest says goes into a log: printable ASCII only. */
static void
guest_plain(char *s)
{
    for (; *s != '\0'; s++) {
        if (*s < ' ' || *s > '~') {
            *s = '?';
        }
    }
}


static sandbox_guest_status_t
guest_refused(guest_talk_t *t, const sandbox_json_t *doc, const char *op)
{
    char *error;
    const sandbox_json_node_t *node;

    node = sandbox_json_member(doc, &doc->nodes[0], "error");
    error = node ? sandbox_json_string(doc, node, NULL) : NULL;

    if (error != NULL) {
        guest_plain(error);
    }

    guest_fail(t, SANDBOX_GUEST_REFUSED, "the guest refused \"%s\": %.200s", op,
               error ? error : "it gave no reason");
    free(error);

    return SANDBOX_GUEST_REFUSED;
}


/*
 * Judges a line: 1 and *status if it answers the question, 0 if it is noise.
 */
static int
guest_judge(guest_talk_t *t, const char *line, size_t len, const char *op,
            const char *nonce, sandbox_guest_status_t *status)
{
    int answers;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const sandbox_json_node_t *ok;

    if (sandbox_json_parse(&doc, line, len, &err) == -1) {
        return 0;
    }

    answers = doc.nodes[0].type == SANDBOX_JSON_OBJECT
              && guest_is(&doc, "op", op) && guest_is(&doc, "nonce", nonce);

    if (answers) {
        ok = sandbox_json_member(&doc, &doc.nodes[0], "ok");

        if (ok != NULL && ok->type == SANDBOX_JSON_TRUE) {
            *status = SANDBOX_GUEST_OK;
        } else if (ok != NULL && ok->type == SANDBOX_JSON_FALSE) {
            *status = guest_refused(t, &doc, op);
        } else {
            *status = guest_fail(t, SANDBOX_GUEST_PROTOCOL,
                                 "the guest's answer to \"%s\" does not say "
                                 "whether it did it",
                                 op);
        }
    }

    sandbox_json_free(&doc);

    return answers;
}


/* Takes the complete lines out of the buffer until one answers. */
static int
guest_lines(guest_talk_t *t, const char *op, const char *nonce,
            sandbox_guest_status_t *status)
{
    int answered;
    char *end;
    size_t used;

    answered = 0;

    while (!answered && (end = memchr(t->buf, '\n', t->len)) != NULL) {
        used = end - t->buf + 1;
        answered = guest_judge(t, t->buf, used - 1, op, nonce, status);

        if (!answered) {
            t->noise += used;
        }

        t->len -= used;
        memmove(t->buf, end + 1, t->len);
    }

    return answered;
}


/* Reads up to the answer, or up to the time `until` (TIMEOUT then). */
static sandbox_guest_status_t
guest_listen(guest_talk_t *t, const char *op, const char *nonce,
             int64_t until_ms)
{
    int64_t n;
    sandbox_guest_status_t status;

    for (;;) {
        if (guest_lines(t, op, nonce, &status)) {
            return status;
        }

        if (t->len == sizeof(t->buf)) {
            return guest_fail(t, SANDBOX_GUEST_PROTOCOL,
                              "the guest sent a line longer than %d bytes",
                              SANDBOX_GUEST_LINE_MAX);
        }

        if (t->noise > SANDBOX_GUEST_NOISE_MAX) {
            return guest_fail(t, SANDBOX_GUEST_PROTOCOL,
                              "the guest sent more than %d bytes that answer "
                              "nothing",
                              SANDBOX_GUEST_NOISE_MAX);
        }

        n = t->ch->read(t->ch->channel, t->buf + t->len,
                        sizeof(t->buf) - t->len, until_ms);

        if (n == 0) {
            return guest_fail(t, SANDBOX_GUEST_TIMEOUT,
                              "the guest did not answer \"%s\" in time", op);
        }

        if (n < 0 || (uint64_t) n > sizeof(t->buf) - t->len) {
            return guest_fail(t, SANDBOX_GUEST_CLOSED,
                              "the guest's channel ended before \"%s\" was "
                              "answered",
                              op);
        }

        t->len += n;
    }
}


static sandbox_guest_status_t
guest_say(guest_talk_t *t, const sandbox_text_t *line, const char *op)
{
    if (sandbox_text_failed(line)) {
        return guest_fail(t, SANDBOX_GUEST_CLOSED,
                          "there is no memory to ask the guest for \"%s\"", op);
    }

    if (t->ch->write(t->ch->channel, line->data, line->len, t->deadline_ms)
        == -1) {
        if (sandbox_time_monotonic_ms() >= t->deadline_ms) {
            return guest_fail(t, SANDBOX_GUEST_TIMEOUT,
                              "the guest did not take \"%s\" in time", op);
        }

        return guest_fail(t, SANDBOX_GUEST_CLOSED,
                          "the guest's channel ended when \"%s\" was asked",
                          op);
    }

    return SANDBOX_GUEST_OK;
}


/*
 * Asks a question that is little more than its op; members begins with a comma
 * or is empty.  A question that was written before the agent opened its port
 * may be lost: with again, for questions that cost the guest little, it is
 * repeated until it is answered.  The nonce stays, so that a late answer
 * counts.
 */
static sandbox_guest_status_t
guest_ask(guest_talk_t *t, const char *op, const char *members, int again)
{
    char nonce[NONCE_SIZE];
    int64_t until_ms;
    sandbox_text_t line = SANDBOX_TEXT_INIT;
    sandbox_guest_status_t status;

    if (guest_nonce(nonce) == -1) {
        return guest_fail(t, SANDBOX_GUEST_CLOSED,
                          "the host has no randomness");
    }

    /* The first line end finishes a line that a host left half-written. */
    sandbox_text_fmt(&line, "\n{\"op\":\"%s\",\"nonce\":\"%s\"%s}\n", op, nonce,
                     members);

    do {
        status = guest_say(t, &line, op);
        if (status != SANDBOX_GUEST_OK) {
            break;
        }

        until_ms = sandbox_time_monotonic_ms() + ASK_EVERY_MS;
        if (!again || until_ms > t->deadline_ms) {
            until_ms = t->deadline_ms;
        }

        status = guest_listen(t, op, nonce, until_ms);

    } while (status == SANDBOX_GUEST_TIMEOUT
             && sandbox_time_monotonic_ms() < t->deadline_ms);

    sandbox_text_free(&line);

    return status;
}


static sandbox_guest_status_t
guest_sync(guest_talk_t *t)
{
    return guest_ask(t, "sync", "", 1);
}


static void
guest_string(sandbox_text_t *t, const char *name, const char *value)
{
    sandbox_text_fmt(t, ",\"%s\":", name);
    sandbox_text_json_string(t, value, strlen(value));
}


static void
guest_dns(sandbox_text_t *t, const char *const *dns)
{
    size_t i;

    sandbox_text_str(t, ",\"dns\":[");

    for (i = 0; dns != NULL && dns[i] != NULL; i++) {
        if (i > 0) {
            sandbox_text_str(t, ",");
        }

        sandbox_text_json_string(t, dns[i], strlen(dns[i]));
    }

    sandbox_text_str(t, "]");
}


static void
guest_config_line(sandbox_text_t *t, const sandbox_guest_config_t *conf,
                  const char *nonce, const uint8_t entropy[ENTROPY_LEN])
{
    sandbox_text_fmt(t, "{\"op\":\"configure\",\"nonce\":\"%s\"", nonce);
    guest_string(t, "hostname", conf->hostname);
    guest_string(t, "mac", conf->mac);
    guest_string(t, "address", conf->address);
    guest_string(t, "gateway", conf->gateway);
    guest_dns(t, conf->dns);

    /* sandbox_text_base64 gives letters that need no escapes. */
    sandbox_text_str(t, ",\"entropy\":\"");
    sandbox_text_base64(t, entropy, ENTROPY_LEN);
    sandbox_text_str(t, "\"");

    guest_string(t, "token", conf->token);

    if (conf->envs != NULL) {
        sandbox_text_str(t, ",\"envs\":");
        sandbox_text_str(t, conf->envs);
    }

    if (conf->cwd != NULL) {
        guest_string(t, "cwd", conf->cwd);
    }

    sandbox_text_fmt(t, ",\"grow_disk\":%s",
                     conf->grow_disk ? "true" : "false");

    /* The time comes last, so that the guest's clock lags but little. */
    sandbox_text_str(t, ",\"time_ms\":");
    sandbox_text_int(t, sandbox_time_now_ms());
    sandbox_text_str(t, "}\n");
}


/* The client's spelling of envs may span lines, and the protocol may not. */
static void
guest_one_line(sandbox_text_t *t)
{
    size_t i;

    for (i = 0; i + 1 < t->len; i++) {
        if (t->data[i] == '\n' || t->data[i] == '\r') {
            t->data[i] = ' ';
        }
    }
}


static sandbox_guest_status_t
guest_configure(guest_talk_t *t, const sandbox_guest_config_t *conf)
{
    char nonce[NONCE_SIZE];
    uint8_t entropy[ENTROPY_LEN];
    sandbox_text_t line = SANDBOX_TEXT_INIT;
    sandbox_guest_status_t status;

    if (guest_nonce(nonce) == -1
        || guest_random(entropy, sizeof(entropy)) == -1) {
        return guest_fail(t, SANDBOX_GUEST_CLOSED,
                          "the host has no randomness");
    }

    guest_config_line(&line, conf, nonce, entropy);
    guest_one_line(&line);
    status = guest_say(t, &line, "configure");

    /* Neither the token nor the entropy stays behind in the heap. */
    if (line.data != NULL) {
        explicit_bzero(line.data, line.len);
    }

    explicit_bzero(entropy, sizeof(entropy));
    sandbox_text_free(&line);

    if (status != SANDBOX_GUEST_OK) {
        return status;
    }

    return guest_listen(t, "configure", nonce, t->deadline_ms);
}


static void
guest_begin(guest_talk_t *t, const sandbox_guest_channel_t *ch,
            int64_t deadline_ms, char *message, size_t size)
{
    memset(t, 0, sizeof(*t));
    t->ch = ch;
    t->deadline_ms = deadline_ms;
    t->message = message;
    t->size = size;

    if (size > 0) {
        message[0] = '\0';
    }
}


/* On OK, clears the message: an attempt that timed out may have left one. */
static sandbox_guest_status_t
guest_end(guest_talk_t *t, sandbox_guest_status_t status)
{
    if (status == SANDBOX_GUEST_OK && t->size > 0) {
        t->message[0] = '\0';
    }

    return status;
}


sandbox_guest_status_t
sandbox_guest_sync(const sandbox_guest_channel_t *ch, int64_t deadline_ms,
                   char *message, size_t size)
{
    guest_talk_t t;

    guest_begin(&t, ch, deadline_ms, message, size);

    return guest_end(&t, guest_sync(&t));
}


sandbox_guest_status_t
sandbox_guest_flush(const sandbox_guest_channel_t *ch, int64_t deadline_ms,
                    char *message, size_t size)
{
    guest_talk_t t;
    sandbox_guest_status_t status;

    guest_begin(&t, ch, deadline_ms, message, size);

    status = guest_sync(&t);
    if (status == SANDBOX_GUEST_OK) {
        status = guest_ask(&t, "flush", "", 0);
    }

    return guest_end(&t, status);
}


/* Without sync, no question "sync" goes first: each millisecond counts. */
sandbox_guest_status_t
sandbox_guest_freeze(const sandbox_guest_channel_t *ch, int sync,
                     int64_t deadline_ms, char *message, size_t size)
{
    guest_talk_t t;
    sandbox_guest_status_t status;

    guest_begin(&t, ch, deadline_ms, message, size);

    status = SANDBOX_GUEST_OK;
    if (sync) {
        status = guest_sync(&t);
    }

    if (status == SANDBOX_GUEST_OK) {
        status = guest_ask(&t, "freeze", sync ? "" : ",\"sync\":false", !sync);
    }

    return guest_end(&t, status);
}


sandbox_guest_status_t
sandbox_guest_thaw(const sandbox_guest_channel_t *ch, int64_t deadline_ms,
                   char *message, size_t size)
{
    guest_talk_t t;

    guest_begin(&t, ch, deadline_ms, message, size);

    return guest_end(&t, guest_ask(&t, "thaw", "", 1));
}


sandbox_guest_status_t
sandbox_guest_bootstrap(const sandbox_guest_channel_t *ch,
                        const sandbox_guest_config_t *conf, int64_t deadline_ms,
                        char *message, size_t size)
{
    guest_talk_t t;
    sandbox_guest_status_t status;

    guest_begin(&t, ch, deadline_ms, message, size);

    status = guest_sync(&t);
    if (status == SANDBOX_GUEST_OK) {
        status = guest_configure(&t, conf);
    }

    return guest_end(&t, status);
}
