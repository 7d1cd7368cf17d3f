/*
 * POST …/exec: starts a command, and answers when it has ended, or, in the
 * background, when it has started.  Event loop only.
 */

#ifndef AGENT_EXEC_H
#define AGENT_EXEC_H

#include "http.h"

void agent_exec_handler(agent_request_t *r, const char *body, size_t len);
void agent_exec_abort(void *ctx);

#endif
