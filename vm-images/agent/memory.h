/*
 * The share of the guest's memory that output may take, kept and captured
 * together.
 */

#ifndef AGENT_MEMORY_H
#define AGENT_MEMORY_H

#include <stddef.h>

/* 0, or -1 if the share is used up. */
int agent_memory_take(size_t size);
void agent_memory_give(size_t size);

#endif
