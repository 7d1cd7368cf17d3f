/*
 * The shares of the guest's memory that clients can make the agent take: one
 * for output, which is kept, captured, and in answers that wait for their
 * clients; one for what clients send and nobody has taken yet.
 */

#ifndef AGENT_MEMORY_H
#define AGENT_MEMORY_H

#include <stddef.h>

/* So much of each thing is beside its share: small ones always go. */
#define AGENT_MEMORY_FREE 16384

typedef enum {
    AGENT_MEMORY_OUTPUT = 0,
    AGENT_MEMORY_INPUT
} agent_memory_share_t;

/* 0, or -1 if the share is used up. */
int agent_memory_take(agent_memory_share_t share, size_t size);
void agent_memory_give(agent_memory_share_t share, size_t size);

/* What could be taken now. */
size_t agent_memory_left(agent_memory_share_t share);

/*
 * Makes *counted, zero at first, what a thing of that size takes of a share.
 * 0, or -1 if the share is used up: then nothing has changed.
 */
int
agent_memory_count(agent_memory_share_t share, size_t *counted, size_t size);

#endif
