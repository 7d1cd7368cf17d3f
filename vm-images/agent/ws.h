/*
 * WebSockets: GET …/ws?channel=NAME.  Each message is a JSON object with a
 * "type" and a "stream_id"; a socket carries many streams of one channel.
 * Event loop only.
 *
 * A channel is a row: which messages it knows, and how its streams send and
 * end.  What a stream sends is asked for when the socket has room, in turns,
 * so that neither a client that does not read nor a stream that has much to
 * say makes anything grow.
 */

#ifndef AGENT_WS_H
#define AGENT_WS_H

#include <stddef.h>
#include <sys/queue.h>

#include "http.h"
#include "sandbox_json.h"
#include "sandbox_text.h"

#define AGENT_WS_STREAMS_MAX 64
#define AGENT_WS_STREAM_ID_SIZE 65

/* What one frame of output may carry, before it is written as JSON. */
#define AGENT_WS_PIECE 16384

typedef struct agent_ws_s agent_ws_t;
typedef struct agent_ws_stream_s agent_ws_stream_t;

/* Embedded in what the channel keeps of a stream, and zeroed at first. */
struct agent_ws_stream_s {
    agent_ws_t *ws; /* NULL while not attached */
    char id[AGENT_WS_STREAM_ID_SIZE];
    unsigned ready : 1;
    unsigned holding : 1;
    TAILQ_ENTRY(agent_ws_stream_s) link;
};

typedef struct {
    const char *type;

    /*
     * A message for stream s; with opens the first one of a stream named id,
     * which is free, and s is NULL.
     */
    void (*handler)(agent_ws_t *ws, agent_ws_stream_t *s, const char *id,
                    const sandbox_json_t *doc);
    int opens;
} agent_ws_message_t;

typedef struct {
    const char *name;
    const agent_ws_message_t *messages;
    size_t nmessages;

    /*
     * The socket has room: sends at most one piece by agent_ws_send().  1 if
     * there may be more to send; 0 if agent_ws_ready() will tell.
     */
    int (*pump)(agent_ws_stream_t *s);

    /* The socket has ended: s is to be freed, and is no longer attached. */
    void (*detach)(agent_ws_stream_t *s);
} agent_ws_channel_t;

/* The channels of the route, before it is served; not copied. */
void agent_ws_channels(const agent_ws_channel_t *const *channels, size_t n);
void agent_ws_handler(agent_request_t *r, const char *body, size_t len);

/* Ends all sockets; before agent_http_stop(). */
void agent_ws_stop(void);

/* From a handler that opens. */
void agent_ws_attach(agent_ws_t *ws, agent_ws_stream_t *s, const char *id);
/* The stream is over; it is the channel's to free.  The id is free again. */
void agent_ws_detach(agent_ws_stream_t *s);

/* The stream has something to send: pump() follows, perhaps at once. */
void agent_ws_ready(agent_ws_stream_t *s);

/*
 * While a stream of it holds, no messages are read from a socket: for one that
 * cannot take in more.
 */
void agent_ws_hold(agent_ws_stream_t *s, int on);

/* The beginning of a message: type and stream_id, without the closing brace. */
void
agent_ws_begin(sandbox_text_t *t, const char *type, const agent_ws_stream_t *s);

/*
 * Sends a text, whose memory is taken over.  From pump(), or once as the
 * answer to a message.
 */
void agent_ws_send(agent_ws_t *ws, sandbox_text_t *t);

/* Tells of an error; id may be NULL. */
void agent_ws_error(agent_ws_t *ws, const char *id, const char *code,
                    const char *message);

/* The same of a member of a message. */
void agent_ws_invalid(agent_ws_t *ws, const char *id, const char *field,
                      const char *reason);

#endif
