/*
 * The steps of configure that change the machine.  Each one is complete in
 * itself and may be repeated; a failure is a sentence in error.
 */

#ifndef AGENT_STEPS_H
#define AGENT_STEPS_H

#include "configure.h"

int agent_step_entropy(const agent_config_t *c, char *error, size_t size);
int agent_step_clock(const agent_config_t *c, char *error, size_t size);
int agent_step_hostname(const agent_config_t *c, char *error, size_t size);
/* A machine id of its own for each host name. */
int agent_step_identity(const agent_config_t *c, char *error, size_t size);
int agent_step_network(const agent_config_t *c, char *error, size_t size);
int agent_step_disk(const agent_config_t *c, char *error, size_t size);
int agent_step_cwd(const agent_config_t *c, char *error, size_t size);

#endif
