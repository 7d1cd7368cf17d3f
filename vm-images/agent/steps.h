/*
 * The steps of configure that change the machine.  Each step is complete in
 * itself and may be repeated.  0, or -1 with a sentence in error.
 */

#ifndef AGENT_STEPS_H
#define AGENT_STEPS_H

#include "configure.h"

#define AGENT_RESOLVER "/etc/resolv.conf"

/*
 * Reads, once at boot, the files that the steps and the first command will use:
 * they are in the page cache then, also in a machine that is started from a
 * checkpoint.
 */
void agent_steps_warm(void);

/*
 * Called at boot; machines started from a checkpoint inherit the result.  Sets
 * the loopback interface up, and disables IPv6 on the interface to the outside,
 * where no IPv6 packet could leave.  Interfaces made later have IPv6.
 */
void agent_network_init(void);

/*
 * The result of a step that could not make or change a file; what is a sentence
 * without its end, and errno says why.  In a machine that has lived this is the
 * guest's own doing (an immutable file, a mount, a full disk), which must not
 * keep it from going on: 0, with a line on the console.  Else -1, with a
 * sentence in error.  Not for the machine id: who is not unique does not start.
 */
int agent_step_unmade(const agent_config_t *c, const char *what, char *error,
                      size_t size);

int agent_step_entropy(const agent_config_t *c, char *error, size_t size);
int agent_step_clock(const agent_config_t *c, char *error, size_t size);
int agent_step_hostname(const agent_config_t *c, char *error, size_t size);
/* Makes a new machine id unless it was made for the same host name. */
int agent_step_identity(const agent_config_t *c, char *error, size_t size);
int agent_step_network(const agent_config_t *c, char *error, size_t size);
int agent_step_disk(const agent_config_t *c, char *error, size_t size);
int agent_step_cwd(const agent_config_t *c, char *error, size_t size);

#endif
