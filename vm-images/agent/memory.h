/*
 * The shares of the guest's memory that clients can make the agent use: one
 * for output of commands (kept, captured, or in answers that clients have not
 * read), and one for input that clients have sent and no command or route has
 * taken yet.
 */

#ifndef AGENT_MEMORY_H
#define AGENT_MEMORY_H

#include <stddef.h>

/* Bytes of each object that do not count: small objects are never refused. */
#define AGENT_MEMORY_FREE 16384

typedef enum {
    AGENT_MEMORY_OUTPUT = 0,
    AGENT_MEMORY_INPUT
} agent_memory_share_t;

/* 0, or -1 if the share is used up. */
int agent_memory_take(agent_memory_share_t share, size_t size);
void agent_memory_give(agent_memory_share_t share, size_t size);

/* Bytes of the share that are left. */
size_t agent_memory_left(agent_memory_share_t share);

/*
 * Changes *counted, zero at first, to the bytes that an object of that size
 * takes of a share.  0, or -1 if the share is used up; nothing is changed then.
 */
int
agent_memory_count(agent_memory_share_t share, size_t *counted, size_t size);

#endif
