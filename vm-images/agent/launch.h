/*
 * From a checked request to a running command: its user, directory and
 * environment.  Event loop only.
 */

#ifndef AGENT_LAUNCH_H
#define AGENT_LAUNCH_H

#include "env.h"
#include "exec_request.h"
#include "job.h"

/*
 * The sandbox's environment and working directory, under every command from
 * now on; copied.  0, or -1 if memory is out.
 */
int agent_launch_defaults(const agent_env_t *envs, const char *cwd);

typedef struct {
    const char *field; /* of the request, or NULL: no process can be started */
    char reason[160];
} agent_launch_error_t;

/*
 * owner: of a command in the foreground, else NULL.  NULL with err set if it
 * cannot be.
 */
agent_job_t *
agent_launch(const agent_exec_request_t *req, agent_exec_form_t form,
             const agent_process_owner_t *owner, agent_launch_error_t *err);

#endif
