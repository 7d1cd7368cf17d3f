/*
 * The control group of one command, below that of all (freeze.h): whatever its
 * processes become, they stay in it.  Event loop only.
 */

#ifndef AGENT_GROUP_H
#define AGENT_GROUP_H

#include "loop.h"

typedef struct agent_group_s agent_group_t;

/* NULL where there is no cgroup v2, or with errno set when it cannot be made.
 */
agent_group_t *agent_group_new(void);

/* As fork(); the child is in the group, which may be NULL, from the first. */
pid_t agent_group_fork(agent_group_t *g);

/* Signals all of its processes; 0, or -1 if the group cannot do that. */
int agent_group_signal(agent_group_t *g, int signal);

/* 1 if it has a process that is not dead. */
int agent_group_populated(agent_group_t *g);

/*
 * No longer the caller's: it is removed when its last process has ended, which
 * may be never.
 */
void agent_group_release(agent_group_t *g);

#endif
