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
 * Sets the sandbox's environment and working directory, the defaults of every
 * later command; copied.  0, or -1 if memory is out.
 */
int agent_launch_defaults(const agent_env_t *envs, const char *cwd);

typedef struct {
    const char *field; /* wrong in the request; NULL: no process was started */
    int taken;         /* the field names what is there already */
    char reason[160];
} agent_launch_error_t;

/*
 * Starts a command; owner is that of a command in the foreground, else NULL.
 * Returns the job, or NULL with err set.
 */
agent_job_t *
agent_launch(const agent_exec_request_t *req, agent_exec_form_t form,
             const agent_process_owner_t *owner, agent_launch_error_t *err);

#endif
