/*
 * The control group of one command, below the group of all commands (freeze.h):
 * processes stay in it even if they leave their session.  Event loop only.
 */

#ifndef AGENT_GROUP_H
#define AGENT_GROUP_H

#include "loop.h"

typedef struct agent_group_s agent_group_t;

/* NULL without cgroup v2, or with errno set when the group cannot be made. */
agent_group_t *agent_group_new(void);

/* As fork(); the child starts in the group g, which may be NULL. */
pid_t agent_group_fork(agent_group_t *g);

/* Signals all processes of the group; 0, or -1 if that is not possible. */
int agent_group_signal(agent_group_t *g, int signal);

/* 1 if the group has a process that is not dead. */
int agent_group_populated(agent_group_t *g);

/*
 * Takes the group from the caller; it is removed when its last process has
 * ended, which may be never.
 */
void agent_group_release(agent_group_t *g);

#endif
