/*
 * POST …/exec, foreground: a request becomes a process, its end the answer.
 * Event loop only.
 */

#ifndef AGENT_EXEC_H
#define AGENT_EXEC_H

#include "env.h"
#include "http.h"

/*
 * The sandbox's environment and working directory, under every command from
 * now on; copied.  0, or -1 if memory is out.
 */
int agent_exec_defaults(const agent_env_t *envs, const char *cwd);

void agent_exec_handler(agent_request_t *r, const char *body, size_t len);
void agent_exec_abort(void *ctx);

#endif
