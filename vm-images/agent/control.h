/*
 * Requests about a command that was started: bodies of …/stdin and …/kill, and
 * the messages of a WebSocket stream after its first.  No I/O.
 */

#ifndef AGENT_CONTROL_H
#define AGENT_CONTROL_H

#include <stdint.h>

#include "body.h"
#include "exec_request.h"

typedef enum {
    AGENT_CONTROL_STDIN = 1,
    AGENT_CONTROL_KILL = 2,
    AGENT_CONTROL_EXEC_CONNECT = 4,
    AGENT_CONTROL_EXEC_STDIN = 8,
    AGENT_CONTROL_EXEC_SIGNAL = 16,
    AGENT_CONTROL_CLOSE = 32, /* also pty_kill: only names the stream */
    AGENT_CONTROL_PTY_CONNECT = 64,
    AGENT_CONTROL_PTY_INPUT = 128,
    AGENT_CONTROL_PTY_RESIZE = 256
} agent_control_form_t;

typedef struct {
    int64_t pid;
    int64_t offset; /* 0 if left out */
    char *data;     /* NULL if left out */
    size_t len;
    int eof;
    int signal; /* SIGTERM if left out */
    char session_id[AGENT_SESSION_ID_SIZE];
    int64_t cols;
    int64_t rows;
} agent_control_t;

/* On OK the caller frees c; otherwise it is empty and err is set. */
agent_body_status_t
agent_control_parse(agent_control_t *c, agent_control_form_t form,
                    const char *body, size_t len, agent_body_error_t *err);
/* The same from a message, doc, which stays the caller's. */
agent_body_status_t
agent_control_read(agent_control_t *c, agent_control_form_t form,
                   const sandbox_json_t *doc, agent_body_error_t *err);
void agent_control_free(agent_control_t *c);

#endif
