/*
 * Frames of WebSocket (RFC 6455), the server's side: bytes to messages, and
 * messages to bytes.  No I/O.
 */

#ifndef AGENT_WS_FRAME_H
#define AGENT_WS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_text.h"

#define AGENT_WS_MESSAGE_MAX (1024 * 1024)
#define AGENT_WS_CONTROL_MAX 125
#define AGENT_WS_ACCEPT_SIZE 29

enum {
    AGENT_WS_CONTINUATION = 0,
    AGENT_WS_TEXT = 1,
    AGENT_WS_BINARY = 2,
    AGENT_WS_CLOSE = 8,
    AGENT_WS_PING = 9,
    AGENT_WS_PONG = 10
};

/* Starts zeroed. */
typedef struct {
    uint8_t head[14];
    size_t nhead;
    uint64_t left; /* bytes of the frame's payload to come */
    size_t at;     /* position in the mask */
    uint8_t opcode;
    unsigned fin : 1;
    unsigned open : 1;    /* the head of a frame was read */
    unsigned message : 1; /* a fragment of a message was read */
    unsigned given : 1;   /* the message is the caller's until the next call */
    sandbox_text_t text;
    uint8_t control[AGENT_WS_CONTROL_MAX];
    size_t ncontrol;
    unsigned code; /* status to close with after -1 */
} agent_ws_parser_t;

/*
 * Takes bytes off *data until a message or a control frame is complete.
 * Returns the opcode of a text message (which is in text) or of a control frame
 * (in control), 0 if all bytes were taken before that, or -1 with code set,
 * after which it must not be called again.
 */
int agent_ws_parse(agent_ws_parser_t *p, const uint8_t **data, size_t *len);
void agent_ws_parser_free(agent_ws_parser_t *p);

/* A whole frame, unmasked. */
void agent_ws_frame(sandbox_text_t *out, uint8_t opcode, const char *payload,
                    size_t len);

/* The Sec-WebSocket-Accept for a key; 0, or -1 if key is malformed. */
int agent_ws_accept(char out[AGENT_WS_ACCEPT_SIZE], const char *key);

#endif
