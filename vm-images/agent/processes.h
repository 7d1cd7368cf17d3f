/*
 * Commands that run or have run: GET …/processes, …/processes/{pid}/logs, and
 * POST …/stdin and …/kill.  Event loop only.
 */

#ifndef AGENT_PROCESSES_H
#define AGENT_PROCESSES_H

#include "http.h"

void agent_processes_list(agent_request_t *r, const char *body, size_t len);
void agent_processes_logs(agent_request_t *r, const char *body, size_t len);
void agent_processes_kill(agent_request_t *r, const char *body, size_t len);
void agent_processes_stdin(agent_request_t *r, const char *body, size_t len);
void agent_processes_stdin_abort(void *ctx);

#endif
