/*
 * The steps of configure that change the machine.  Each one is complete in
 * itself and may be repeated; a failure is a sentence in error.
 */

#ifndef AGENT_STEPS_H
#define AGENT_STEPS_H

#include "configure.h"

#define AGENT_RESOLVER "/etc/resolv.conf"

/*
 * Reads what the steps will look at or write, and what the first command will
 * be read from, once at boot: it is in memory then, also in whatever is started
 * from a checkpoint of it.
 */
void agent_steps_warm(void);

/*
 * At boot, for it stays done in whatever is started from a checkpoint: the
 * loopback interface is up, and the one to the outside has no IPv6, which no
 * packet would leave by.  Others that are made later have it.
 */
void agent_network_init(void);

int agent_step_entropy(const agent_config_t *c, char *error, size_t size);
int agent_step_clock(const agent_config_t *c, char *error, size_t size);
int agent_step_hostname(const agent_config_t *c, char *error, size_t size);
/* A machine id of its own for each host name. */
int agent_step_identity(const agent_config_t *c, char *error, size_t size);
int agent_step_network(const agent_config_t *c, char *error, size_t size);
int agent_step_disk(const agent_config_t *c, char *error, size_t size);
int agent_step_cwd(const agent_config_t *c, char *error, size_t size);

#endif
