/*
 * Reaps all children, in one place.  As the first process the agent inherits
 * every orphan; its own children are known by pid, and their exit statuses are
 * passed to their owners.
 */

#ifndef AGENT_REAP_H
#define AGENT_REAP_H

#include <sys/queue.h>
#include <sys/types.h>

typedef struct agent_child_s agent_child_t;

struct agent_child_s {
    pid_t pid;
    void (*exited)(void *data, int status); /* called after the reaping */
    void *data;
    LIST_ENTRY(agent_child_s) link;
};

/*
 * Blocks the signals that the agent handles and watches them; 0, or -1 with
 * errno set.  A signal that asks for a shutdown powers the machine off.
 */
int agent_reap_init(void);

/* Registers a child, in the same turn of the loop as its fork(). */
void agent_reap_watch(agent_child_t *child);

/* In a child, before execve(): restores default signals and the mask. */
void agent_reap_reset_signals(void);

#endif
