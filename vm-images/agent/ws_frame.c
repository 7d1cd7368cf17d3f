/*
 * The framing of WebSocket.  A message is collected from its fragments, up to
 * its limit; control frames may stand between the fragments.  Must not know of
 * sockets.
 */

#include <nettle/sha1.h>
#include <string.h>

#include "ws_frame.h"

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define WS_KEY_LEN 24

#define WS_FIN 0x80
#define WS_RESERVED 0x70
#define WS_OPCODE 0x0f
#define WS_MASKED 0x80
#define WS_LENGTH 0x7f
#define WS_CONTROL 0x08

enum {
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED = 1003,
    WS_TOO_BIG = 1009,
    WS_INTERNAL = 1011
};


static int
ws_fail(agent_ws_parser_t *p, unsigned code)
{
    p->code = code;

    return -1;
}


/* The length of a frame's head, as far as the bytes read so far tell it. */
static size_t
ws_head_len(const agent_ws_parser_t *p)
{
    unsigned n;

    if (p->nhead < 2) {
        return 2;
    }

    n = p->head[1] & WS_LENGTH;

    return 2
           + (n == 126   ? 2
              : n == 127 ? 8
                         : 0)
           + (p->head[1] & WS_MASKED ? 4 : 0);
}


static uint64_t
ws_length(const agent_ws_parser_t *p)
{
    size_t i, size;
    uint64_t n;

    n = p->head[1] & WS_LENGTH;
    if (n < 126) {
        return n;
    }

    size = n == 126 ? 2 : 8;
    n = 0;

    for (i = 0; i < size; i++) {
        n = n << 8 | p->head[2 + i];
    }

    return n;
}


static int
ws_data_frame(agent_ws_parser_t *p)
{
    if (p->opcode == AGENT_WS_BINARY) {
        return ws_fail(p, WS_UNSUPPORTED);
    }

    if (p->opcode > AGENT_WS_BINARY
        || (p->opcode == AGENT_WS_CONTINUATION) != p->message)
    {
        return ws_fail(p, WS_PROTOCOL_ERROR);
    }

    if (p->left > AGENT_WS_MESSAGE_MAX - p->text.len) {
        return ws_fail(p, WS_TOO_BIG);
    }

    p->message = 1;

    return 0;
}


/* Begins a frame whose head is whole; 0, or -1 if the head is wrong. */
static int
ws_begin(agent_ws_parser_t *p)
{
    p->opcode = p->head[0] & WS_OPCODE;
    p->fin = (p->head[0] & WS_FIN) != 0;
    p->left = ws_length(p);
    p->at = 0;
    p->open = 1;

    if ((p->head[0] & WS_RESERVED) || !(p->head[1] & WS_MASKED)) {
        return ws_fail(p, WS_PROTOCOL_ERROR);
    }

    if (!(p->opcode & WS_CONTROL)) {
        return ws_data_frame(p);
    }

    if (!p->fin || p->opcode > AGENT_WS_PONG || p->left > AGENT_WS_CONTROL_MAX)
    {
        return ws_fail(p, WS_PROTOCOL_ERROR);
    }

    p->ncontrol = 0;

    return 0;
}


/* Adds n bytes of payload, unmasked. */
static int
ws_payload(agent_ws_parser_t *p, const uint8_t *data, size_t n)
{
    size_t i;
    uint8_t *out;
    const uint8_t *mask;

    mask = p->head + p->nhead - 4;

    if (p->opcode & WS_CONTROL) {
        out = p->control + p->ncontrol;
        memcpy(out, data, n);
        p->ncontrol += n;

    } else {
        sandbox_text_add(&p->text, (const char *) data, n);
        if (sandbox_text_failed(&p->text)) {
            return ws_fail(p, WS_INTERNAL);
        }

        out = (uint8_t *) p->text.data + p->text.len - n;
    }

    for (i = 0; i < n; i++) {
        out[i] ^= mask[(p->at + i) & 3];
    }

    p->at = (p->at + n) & 3;
    p->left -= n;

    return 0;
}


/* Ends a frame: the opcode of a control frame or whole message, else 0. */
static int
ws_end(agent_ws_parser_t *p)
{
    p->open = 0;
    p->nhead = 0;

    if (p->opcode & WS_CONTROL) {
        return p->opcode;
    }

    if (!p->fin) {
        return 0;
    }

    p->message = 0;
    p->given = 1;

    return AGENT_WS_TEXT;
}


/* Frees the message that the last call of agent_ws_parse() gave. */
static void
ws_next(agent_ws_parser_t *p)
{
    if (p->given) {
        p->given = 0;
        sandbox_text_free(&p->text);
    }
}


int
agent_ws_parse(agent_ws_parser_t *p, const uint8_t **data, size_t *len)
{
    int rc;
    size_t n;

    ws_next(p);

    for (;;) {
        if (!p->open) {
            if (*len == 0) {
                return 0;
            }

            p->head[p->nhead++] = *(*data)++;
            (*len)--;

            if (p->nhead < ws_head_len(p)) {
                continue;
            }

            if (ws_begin(p) == -1) {
                return -1;
            }
        }

        n = p->left < *len ? (size_t) p->left : *len;

        if (n > 0 && ws_payload(p, *data, n) == -1) {
            return -1;
        }

        *data += n;
        *len -= n;

        if (p->left > 0) {
            return 0;
        }

        rc = ws_end(p);
        if (rc != 0) {
            return rc;
        }
    }
}


void
agent_ws_parser_free(agent_ws_parser_t *p)
{
    sandbox_text_free(&p->text);
}


void
agent_ws_frame(sandbox_text_t *out, uint8_t opcode, const char *payload,
               size_t len)
{
    size_t n;
    int shift;
    char head[10];

    head[0] = (char) (WS_FIN | opcode);
    n = 2;

    if (len < 126) {
        head[1] = (char) len;
    } else {
        head[1] = len < 65536 ? 126 : 127;
        for (shift = len < 65536 ? 8 : 56; shift >= 0; shift -= 8) {
            head[n++] = (char) ((uint64_t) len >> shift & 0xff);
        }
    }

    sandbox_text_add(out, head, n);
    sandbox_text_add(out, payload, len);
}


int
agent_ws_accept(char out[AGENT_WS_ACCEPT_SIZE], const char *key)
{
    uint8_t nonce[16], digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx ctx;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (strlen(key) != WS_KEY_LEN
        || sandbox_base64_decode(nonce, sizeof(nonce), key, WS_KEY_LEN)
               != sizeof(nonce))
    {
        return -1;
    }

    sha1_init(&ctx);
    sha1_update(&ctx, WS_KEY_LEN, (const uint8_t *) key);
    sha1_update(&ctx, sizeof(WS_GUID) - 1, (const uint8_t *) WS_GUID);
    sha1_digest(&ctx, sizeof(digest), digest);

    sandbox_text_base64(&t, digest, sizeof(digest));
    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        return -1;
    }

    memcpy(out, t.data, AGENT_WS_ACCEPT_SIZE);
    sandbox_text_free(&t);

    return 0;
}
