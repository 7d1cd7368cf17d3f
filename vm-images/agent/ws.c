/*
 * WebSocket connections: the handshake, the socket, pings, and the streams of
 * a channel that share it.  Must not know what a channel does.
 *
 * Channels call back from anywhere, so a socket that has ended is only marked
 * as such, and freed by a timer of its own in the next turn of the loop.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "memory.h"
#include "ws.h"
#include "ws_frame.h"

#define WS_READ_SIZE 65536
#define WS_OUT_HIGH 131072 /* above it streams are not asked for more */
#define WS_OUT_MAX 524288  /* above it nothing is read either */
#define WS_PING_MS 15000
#define WS_UNANSWERED_MAX 2
#define WS_LINGER_MS 2000 /* for the client to close its side */

enum {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_INVALID = 1007,
    WS_INTERNAL = 1011,
    WS_TRY_LATER = 1013
};

struct agent_ws_s {
    int fd;
    agent_watch_t watch;
    uint32_t events;
    struct MHD_UpgradeResponseHandle *handle;
    const agent_ws_channel_t *channel;
    agent_ws_parser_t parser;
    size_t collected; /* of the share of input, by an unfinished message */
    sandbox_text_t out;
    size_t sent; /* bytes of out */
    agent_timer_t ping;
    agent_timer_t end;
    unsigned unanswered;
    unsigned holds;
    unsigned nstreams;
    unsigned closing : 1; /* a close frame stands at the end of out */
    unsigned dead : 1;
    unsigned running : 1; /* ws_run() asks the streams */
    TAILQ_HEAD(ws_streams_s, agent_ws_stream_s) streams;
    LIST_ENTRY(agent_ws_s) link;
};

static LIST_HEAD(ws_list_s,
                 agent_ws_s) ws_list = LIST_HEAD_INITIALIZER(ws_list);
static const agent_ws_channel_t *const *ws_channels;
static size_t ws_nchannels;


static size_t
ws_pending(const agent_ws_t *ws)
{
    return ws->out.len - ws->sent;
}


static void
ws_detach_all(agent_ws_t *ws)
{
    agent_ws_stream_t *s;

    while ((s = TAILQ_FIRST(&ws->streams)) != NULL) {
        agent_ws_detach(s);
        ws->channel->detach(s);
    }
}


static void
ws_free(agent_ws_t *ws)
{
    ws->dead = 1;
    ws_detach_all(ws);

    agent_loop_timer_stop(&ws->ping);
    agent_loop_timer_stop(&ws->end);
    agent_loop_unwatch(&ws->watch);
    agent_http_upgrade_end(ws->handle);
    agent_ws_parser_free(&ws->parser);
    (void) agent_memory_count(AGENT_MEMORY_INPUT, &ws->collected, 0);
    sandbox_text_free(&ws->out);
    LIST_REMOVE(ws, link);
    free(ws);
}


static void
ws_end(void *data)
{
    ws_free(data);
}


/* Gives the socket up; ws is freed in the next turn of the loop. */
static void
ws_die(agent_ws_t *ws)
{
    if (!ws->dead) {
        ws->dead = 1;
        agent_loop_unwatch(&ws->watch);
        agent_loop_timer_stop(&ws->ping);
        agent_loop_timer(&ws->end, 0);
    }
}


/* Watches the socket for what is of use now. */
static void
ws_interest(agent_ws_t *ws)
{
    uint32_t events;

    if (ws->dead) {
        return;
    }

    events = EPOLLRDHUP;

    if (ws->closing || (ws->holds == 0 && ws_pending(ws) < WS_OUT_MAX)) {
        events = EPOLLIN;
    }

    if (ws_pending(ws) > 0) {
        events |= EPOLLOUT;
    }

    if (events != ws->events) {
        ws->events = events;
        if (agent_loop_change(&ws->watch, events) == -1) {
            ws_die(ws);
        }
    }
}


static void
ws_flush(agent_ws_t *ws)
{
    ssize_t n;

    if (sandbox_text_failed(&ws->out)) {
        ws_die(ws);
        return;
    }

    while (!ws->dead && ws_pending(ws) > 0) {
        n = send(ws->fd, ws->out.data + ws->sent, ws_pending(ws), MSG_NOSIGNAL);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            if (errno != EAGAIN) {
                ws_die(ws);
            }

            break;
        }

        ws->sent += n;
    }

    if (ws_pending(ws) == 0) {
        sandbox_text_free(&ws->out);
        ws->sent = 0;

        if (ws->closing && !ws->dead) {
            shutdown(ws->fd, SHUT_WR);
        }

    } else if (ws->sent > WS_OUT_HIGH) {
        memmove(ws->out.data, ws->out.data + ws->sent, ws_pending(ws) + 1);
        ws->out.len -= ws->sent;
        ws->sent = 0;
    }
}


static agent_ws_stream_t *
ws_next_ready(agent_ws_t *ws)
{
    agent_ws_stream_t *s;

    if (ws->dead || ws->closing || ws_pending(ws) >= WS_OUT_HIGH) {
        return NULL;
    }

    for (s = TAILQ_FIRST(&ws->streams); s != NULL; s = TAILQ_NEXT(s, link)) {
        if (s->ready) {
            return s;
        }
    }

    return NULL;
}


/* Asks streams for output in turns, as long as there is room, and sends it. */
static void
ws_run(agent_ws_t *ws)
{
    agent_ws_stream_t *s;

    if (ws->running) {
        return;
    }

    ws->running = 1;

    do {
        while ((s = ws_next_ready(ws)) != NULL) {
            TAILQ_REMOVE(&ws->streams, s, link);
            TAILQ_INSERT_TAIL(&ws->streams, s, link);

            s->ready = 0;
            if (ws->channel->pump(s)) {
                s->ready = 1; /* if not, s may be freed by now */
            }
        }

        ws_flush(ws);

    } while (ws_next_ready(ws) != NULL);

    ws->running = 0;
    ws_interest(ws);
}


/*
 * Queues a close frame with the code; ws is freed at the latest after
 * WS_LINGER_MS.
 */
static void
ws_close(agent_ws_t *ws, unsigned code)
{
    char payload[2];

    if (ws->closing || ws->dead) {
        return;
    }

    payload[0] = (char) (code >> 8);
    payload[1] = (char) (code & 0xff);
    agent_ws_frame(&ws->out, AGENT_WS_CLOSE, payload, sizeof(payload));

    ws->closing = 1;
    agent_loop_timer_stop(&ws->ping);
    agent_loop_timer(&ws->end, WS_LINGER_MS);
}


void
agent_ws_attach(agent_ws_t *ws, agent_ws_stream_t *s, const char *id)
{
    s->ws = ws;
    s->ready = 0;
    s->holding = 0;
    strcpy(s->id, id);
    TAILQ_INSERT_TAIL(&ws->streams, s, link);
    ws->nstreams++;
}


void
agent_ws_detach(agent_ws_stream_t *s)
{
    if (s->ws != NULL) {
        agent_ws_hold(s, 0);
        TAILQ_REMOVE(&s->ws->streams, s, link);
        s->ws->nstreams--;
        s->ws = NULL;
    }
}


void
agent_ws_ready(agent_ws_stream_t *s)
{
    if (s->ws != NULL) {
        s->ready = 1;
        ws_run(s->ws);
    }
}


void
agent_ws_hold(agent_ws_stream_t *s, int on)
{
    if (s->ws == NULL || s->holding == (on != 0)) {
        return;
    }

    s->holding = on != 0;
    s->ws->holds += on ? 1 : -1;
    s->ws->unanswered = 0; /* no pong could be seen while it held */
    ws_interest(s->ws);
}


void
agent_ws_begin(sandbox_text_t *t, const char *type, const agent_ws_stream_t *s)
{
    sandbox_text_fmt(t, "{\"type\":\"%s\",\"stream_id\":", type);
    sandbox_text_json_string(t, s->id, strlen(s->id));
}


void
agent_ws_send(agent_ws_t *ws, sandbox_text_t *t)
{
    if (sandbox_text_failed(t)) {
        ws_close(ws, WS_INTERNAL);

    } else if (!ws->closing && !ws->dead) {
        agent_ws_frame(&ws->out, AGENT_WS_TEXT, t->data, t->len);
    }

    sandbox_text_free(t);
}


void
agent_ws_error(agent_ws_t *ws, const char *id, const char *code,
               const char *message)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_str(&t, "{\"type\":\"error\"");

    if (id != NULL) {
        sandbox_text_str(&t, ",\"stream_id\":");
        sandbox_text_json_string(&t, id, strlen(id));
    }

    sandbox_text_fmt(&t, ",\"code\":\"%s\",\"error\":", code);
    sandbox_text_json_string(&t, message, strlen(message));
    sandbox_text_str(&t, "}");
    agent_ws_send(ws, &t);
}


void
agent_ws_invalid(agent_ws_t *ws, const char *id, const char *field,
                 const char *reason)
{
    char message[512];

    snprintf(message, sizeof(message), "The member \"%s\" %s.", field, reason);
    agent_ws_error(ws, id, "invalid_request", message);
}


/* 1 if the text may be a stream_id. */
static int
ws_id_valid(const char *s)
{
    size_t i;

    for (i = 0; s[i] != '\0'; i++) {
        if (s[i] < 0x21 || s[i] > 0x7e) {
            return 0;
        }
    }

    return i > 0 && i < AGENT_WS_STREAM_ID_SIZE;
}


/* The string of a member, freed by the caller; NULL if there is none. */
static char *
ws_member(const sandbox_json_t *doc, const char *name)
{
    const sandbox_json_node_t *node;

    if (doc->nodes[0].type != SANDBOX_JSON_OBJECT) {
        return NULL;
    }

    node = sandbox_json_member(doc, &doc->nodes[0], name);

    return node ? sandbox_json_string(doc, node, NULL) : NULL;
}


static const agent_ws_message_t *
ws_message_find(const agent_ws_t *ws, const char *type)
{
    size_t i;

    for (i = 0; i < ws->channel->nmessages; i++) {
        if (strcmp(type, ws->channel->messages[i].type) == 0) {
            return &ws->channel->messages[i];
        }
    }

    return NULL;
}


static void
ws_dispatch(agent_ws_t *ws, const agent_ws_message_t *m, const char *id,
            const sandbox_json_t *doc)
{
    agent_ws_stream_t *s;

    for (s = TAILQ_FIRST(&ws->streams); s != NULL; s = TAILQ_NEXT(s, link)) {
        if (strcmp(s->id, id) == 0) {
            break;
        }
    }

    if (!m->opens && s == NULL) {
        agent_ws_error(ws, id, "not_found", "There is no such stream.");

    } else if (m->opens && s != NULL) {
        agent_ws_error(ws, id, "conflict", "There is such a stream already.");

    } else if (m->opens && ws->nstreams >= AGENT_WS_STREAMS_MAX) {
        agent_ws_error(ws, id, "capacity_exceeded",
                       "The socket has 64 streams already.");
    } else {
        m->handler(ws, s, id, doc);
    }
}


static void
ws_message(agent_ws_t *ws)
{
    char *type, *id;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const agent_ws_message_t *m;

    if (sandbox_json_parse(&doc, ws->parser.text.data, ws->parser.text.len,
                           &err)
        == -1)
    {
        ws_close(ws, WS_INVALID);
        return;
    }

    type = ws_member(&doc, "type");
    id = ws_member(&doc, "stream_id");
    m = type ? ws_message_find(ws, type) : NULL;

    if (id == NULL || !ws_id_valid(id)) {
        agent_ws_error(ws, NULL, "invalid_request",
                       "The member \"stream_id\" must be 1 to 64 visible ASCII "
                       "characters.");
    } else if (m == NULL) {
        agent_ws_error(ws, id, "invalid_request",
                       "The member \"type\" is no message of this channel.");
    } else {
        ws_dispatch(ws, m, id, &doc);
    }

    free(type);
    free(id);
    sandbox_json_free(&doc);
}


static void
ws_control(agent_ws_t *ws, int opcode)
{
    switch (opcode) {
    case AGENT_WS_PING:
        /* A client that pings and does not read gets no pongs. */
        if (ws_pending(ws) < WS_OUT_HIGH) {
            agent_ws_frame(&ws->out, AGENT_WS_PONG,
                           (const char *) ws->parser.control,
                           ws->parser.ncontrol);
        }

        break;

    case AGENT_WS_CLOSE:
        ws_close(ws, WS_NORMAL);
        break;

    default:
        break;
    }
}


static void
ws_input(agent_ws_t *ws, const uint8_t *data, size_t len)
{
    int rc;

    ws->unanswered = 0; /* any byte shows that the client lives */

    do {
        rc = agent_ws_parse(&ws->parser, &data, &len);

        if (rc == -1) {
            ws_close(ws, ws->parser.code);
        } else if (rc == AGENT_WS_TEXT) {
            ws_message(ws);
        } else if (rc != 0) {
            ws_control(ws, rc);
        }

    } while (rc > 0 && !ws->closing && !ws->dead);

    /* the text that the parser keeps is a message that is not whole */
    if (agent_memory_count(AGENT_MEMORY_INPUT, &ws->collected,
                           ws->parser.text.len)
        == -1)
    {
        ws_close(ws, WS_TRY_LATER);
    }
}


/* Reads once; after our close frame only the end of the connection counts. */
static void
ws_read(agent_ws_t *ws)
{
    ssize_t n;
    static uint8_t buf[WS_READ_SIZE];

    n = recv(ws->fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (n > 0 && !ws->closing) {
        ws_input(ws, buf, n);
    } else if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
        ws_die(ws);
    }
}


static void
ws_event(void *data, uint32_t events)
{
    agent_ws_t *ws = data;

    if (events & EPOLLIN) {
        ws_read(ws);
    } else if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
        ws_die(ws);
    }

    ws_run(ws);
}


/*
 * Sends a ping, or gives up a client that has not answered the last ones.
 * While a stream holds the socket nothing is read, so no pong counts as
 * missing.
 */
static void
ws_ping(void *data)
{
    agent_ws_t *ws = data;

    if (ws->unanswered >= WS_UNANSWERED_MAX) {
        ws_die(ws);
        return;
    }

    if (ws->holds == 0) {
        ws->unanswered++;
    }

    if (ws_pending(ws) < WS_OUT_MAX) {
        agent_ws_frame(&ws->out, AGENT_WS_PING, "", 0);
        ws_run(ws);
    }

    if (!ws->dead) {
        agent_loop_timer(&ws->ping, WS_PING_MS);
    }
}


static void
ws_upgraded(void *data, int fd, const char *extra, size_t len,
            struct MHD_UpgradeResponseHandle *handle)
{
    int on;
    agent_ws_t *ws;

    ws = calloc(1, sizeof(*ws));
    if (ws == NULL) {
        agent_http_upgrade_end(handle);
        return;
    }

    ws->fd = fd;
    ws->handle = handle;
    ws->channel = data;
    ws->events = EPOLLIN;
    ws->watch.fd = -1;
    ws->watch.handler = ws_event;
    ws->ping.handler = ws_ping;
    ws->end.handler = ws_end;
    ws->watch.data = ws->ping.data = ws->end.data = ws;
    TAILQ_INIT(&ws->streams);
    LIST_INSERT_HEAD(&ws_list, ws, link);

    on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    if (agent_loop_watch(&ws->watch, fd, ws->events) == -1) {
        ws_free(ws);
        return;
    }

    agent_loop_timer(&ws->ping, WS_PING_MS);

    if (len > 0) {
        ws_input(ws, (const uint8_t *) extra, len);
        ws_run(ws);
    }
}


static const agent_ws_channel_t *
ws_channel(const char *name)
{
    size_t i;

    for (i = 0; name != NULL && i < ws_nchannels; i++) {
        if (strcmp(name, ws_channels[i]->name) == 0) {
            return ws_channels[i];
        }
    }

    return NULL;
}


/* NULL if r opens a WebSocket; else the header at fault. */
static const char *
ws_handshake(agent_request_t *r, char accept[AGENT_WS_ACCEPT_SIZE])
{
    const char *upgrade, *version, *key;

    upgrade = agent_http_header(r, "Upgrade");
    version = agent_http_header(r, "Sec-WebSocket-Version");
    key = agent_http_header(r, "Sec-WebSocket-Key");

    if (upgrade == NULL || strcasecmp(upgrade, "websocket") != 0) {
        return "Upgrade";
    }

    if (version == NULL || strcmp(version, "13") != 0) {
        return "Sec-WebSocket-Version";
    }

    return key == NULL || agent_ws_accept(accept, key) == -1
               ? "Sec-WebSocket-Key"
               : NULL;
}


void
agent_ws_handler(agent_request_t *r, const char *body, size_t len)
{
    char accept[AGENT_WS_ACCEPT_SIZE];
    const char *fault;
    const agent_ws_channel_t *channel;
    static const char *const names[] = { "channel", NULL };

    (void) body;
    (void) len;

    if (agent_http_query_check(r, names) == -1) {
        return;
    }

    channel = ws_channel(agent_http_query(r, "channel"));
    fault = ws_handshake(r, accept);

    if (channel == NULL) {
        agent_http_error(r, 400, "invalid_request",
                         "The parameter \"channel\" names no channel.",
                         "channel", "must name a channel");

    } else if (fault != NULL) {
        agent_http_error(r, 400, "invalid_request",
                         "This resource is a WebSocket of version 13.", fault,
                         "must be that of a WebSocket of version 13");

    } else {
        agent_http_upgrade(r, accept, ws_upgraded, (void *) channel);
    }
}


void
agent_ws_channels(const agent_ws_channel_t *const *channels, size_t n)
{
    ws_channels = channels;
    ws_nchannels = n;
}


/*
 * Tells clients if they can still be reached: in a guest that was started from
 * a checkpoint they cannot.
 */
void
agent_ws_stop(void)
{
    agent_ws_t *ws;

    while ((ws = LIST_FIRST(&ws_list)) != NULL) {
        if (!ws->dead) {
            ws_close(ws, WS_GOING_AWAY);
            ws_flush(ws);
        }

        ws_free(ws);
    }
}
