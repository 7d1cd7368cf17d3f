/*
 * POST …/exec: a request becomes a process; its end is the answer, or in the
 * background its start.  Event loop only.
 */

#ifndef AGENT_EXEC_H
#define AGENT_EXEC_H

#include "http.h"

void agent_exec_handler(agent_request_t *r, const char *body, size_t len);
void agent_exec_abort(void *ctx);

#endif
