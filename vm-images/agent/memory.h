/*
 * The share of the guest's memory that output may take: kept, captured, and in
 * answers that wait for their clients, together.
 */

#ifndef AGENT_MEMORY_H
#define AGENT_MEMORY_H

#include <stddef.h>

/* 0, or -1 if the share is used up. */
int agent_memory_take(size_t size);
void agent_memory_give(size_t size);

/* What could be taken now. */
size_t agent_memory_left(void);

#endif
