/*
 * WebSockets: GET …/ws?channel=NAME.  Each message is a JSON object with a
 * "type" and a "stream_id"; a socket carries many streams of one channel.
 * Event loop only.
 *
 * A channel is a table: the messages it knows, and how its streams send and
 * end.  Streams are asked for output in turns, and only when the socket has
 * room, so no buffer grows because of a slow client or a busy stream.
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

/* Most bytes of output in one frame, before they are written as JSON. */
#define AGENT_WS_PIECE 16384

typedef struct agent_ws_s agent_ws_t;
typedef struct agent_ws_stream_s agent_ws_stream_t;

/* Embedded in the channel's own structure of a stream; zeroed at first. */
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
     * Handles a message for stream s.  With opens it is the first message of a
     * new stream: s is NULL, and id is the name of the stream, which is free.
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
     * Called when the socket has room: sends at most one piece by
     * agent_ws_send().  1 if there may be more to send; 0 if the stream will
     * call agent_ws_ready() for more.
     */
    int (*pump)(agent_ws_stream_t *s);

    /* Called when the socket has ended: s is detached already; frees s. */
    void (*detach)(agent_ws_stream_t *s);
} agent_ws_channel_t;

/* Sets the channels, before the route is served; not copied. */
void agent_ws_channels(const agent_ws_channel_t *const *channels, size_t n);
void agent_ws_handler(agent_request_t *r, const char *body, size_t len);

/* Ends all sockets; before agent_http_stop(), or after agent_http_retire(). */
void agent_ws_stop(void);

/* Attaches a new stream; called from a handler that opens. */
void agent_ws_attach(agent_ws_t *ws, agent_ws_stream_t *s, const char *id);
/* Detaches a stream that is over; the channel frees it.  id is free again. */
void agent_ws_detach(agent_ws_stream_t *s);

/* The stream has something to send: pump() is called, perhaps at once. */
void agent_ws_ready(agent_ws_stream_t *s);

/*
 * For a stream that cannot take more input: while a stream of a socket holds,
 * no messages are read from the socket.
 */
void agent_ws_hold(agent_ws_stream_t *s, int on);

/* Begins a message: type and stream_id, without the closing brace. */
void
agent_ws_begin(sandbox_text_t *t, const char *type, const agent_ws_stream_t *s);

/*
 * Sends a text, whose memory is taken over.  Called from pump(), or once as the
 * answer to a message.
 */
void agent_ws_send(agent_ws_t *ws, sandbox_text_t *t);

/* Sends an error message; id may be NULL. */
void agent_ws_error(agent_ws_t *ws, const char *id, const char *code,
                    const char *message);

/* The same for a wrong member of a message. */
void agent_ws_invalid(agent_ws_t *ws, const char *id, const char *field,
                      const char *reason);

#endif
