/*
 * libFuzzer target of WebSocket frames: any bytes give the same events at once
 * as one by one, and no message is larger than it may be.
 */

#include "fuzz.h"
#include "ws_frame.h"

typedef struct {
    int rc; /* of the last call */
    size_t events;
    unsigned long sum;
    unsigned code;
} seen_t;


static void
see(seen_t *s, const agent_ws_parser_t *p)
{
    size_t i, len;
    const uint8_t *data;

    s->events++;
    s->sum = s->sum * 31 + (unsigned) s->rc;

    if (s->rc == AGENT_WS_TEXT) {
        require(p->text.len <= AGENT_WS_MESSAGE_MAX);
        data = (const uint8_t *) p->text.data;
        len = p->text.len;
    } else {
        require(s->rc == AGENT_WS_PING || s->rc == AGENT_WS_PONG
                || s->rc == AGENT_WS_CLOSE);
        require(p->ncontrol <= AGENT_WS_CONTROL_MAX);
        data = p->control;
        len = p->ncontrol;
    }

    for (i = 0; i < len; i++) {
        s->sum = s->sum * 31 + data[i];
    }
}


static seen_t
parse(const uint8_t *data, size_t size, size_t piece)
{
    seen_t s = { 0, 0, 0, 0 };
    size_t n, left;
    agent_ws_parser_t p;

    memset(&p, 0, sizeof(p));

    while (size > 0 && s.rc != -1) {
        left = n = size < piece ? size : piece;
        size -= n;

        do {
            s.rc = agent_ws_parse(&p, &data, &left);
            if (s.rc > 0) {
                see(&s, &p);
            }
        } while (s.rc > 0);

        require(s.rc == -1 || left == 0);
    }

    s.code = p.code;
    require(s.rc != -1 || s.code == 1002 || s.code == 1003 || s.code == 1009);
    agent_ws_parser_free(&p);

    return s;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    seen_t whole, bytes;

    whole = parse(data, size, SIZE_MAX);
    bytes = parse(data, size, 1);

    require(whole.rc == bytes.rc && whole.code == bytes.code);
    require(whole.events == bytes.events && whole.sum == bytes.sum);

    return 0;
}
