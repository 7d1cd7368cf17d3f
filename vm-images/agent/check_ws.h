/* For tests: clients of WebSockets, in a child process as those of HTTP. */

#ifndef AGENT_CHECK_WS_H
#define AGENT_CHECK_WS_H

#include "check_http.h"
#include "sandbox_text.h"
#include "ws_frame.h"

/* Appends a frame as a client sends it; first is its first byte. */
void masked(sandbox_text_t *t, int first, const char *payload, size_t len);

/* Opens the socket of a query, as "?channel=talk". */
int open_socket(const char *query);

/* Sends a frame; 0x81 is a text. */
void say(int fd, int first, const char *text);

/* The next frame's payload, below 64 KiB, as a string; its opcode. */
int hear(int fd, char *buf, size_t size);

#endif
