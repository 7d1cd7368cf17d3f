/*
 * The one place that reaps.  As the first process the agent inherits every
 * orphan; children of its own are known by pid, and their statuses go to
 * their owners.
 */

#ifndef AGENT_REAP_H
#define AGENT_REAP_H

#include <sys/queue.h>
#include <sys/types.h>

typedef struct agent_child_s agent_child_t;

struct agent_child_s {
    pid_t pid;
    void (*exited)(void *data, int status); /* after it was reaped */
    void *data;
    LIST_ENTRY(agent_child_s) link;
};

/*
 * Blocks the signals the agent handles and watches them; 0, or -1 with errno
 * set.  A signal that asks for the end of the machine gets it.
 */
int agent_reap_init(void);

/* From fork() on, in the same turn of the loop. */
void agent_reap_watch(agent_child_t *child);

/* In a child, before execve(): signals as a program expects them. */
void agent_reap_reset_signals(void);

#endif
