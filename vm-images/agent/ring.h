/*
 * The newest output of a command, both streams in the order they came.  Each
 * byte has an offset, counted from the first byte of the command's output.
 */

#ifndef AGENT_RING_H
#define AGENT_RING_H

#include <stddef.h>
#include <stdint.h>

#include "process.h"

#define AGENT_RING_MAX (1024 * 1024)

/* Starts zeroed. */
typedef struct {
    char *data;
    uint8_t *marks; /* a bit for each byte: is it stderr's? */
    size_t size;
    uint64_t begin; /* offset of the oldest byte kept */
    uint64_t end;   /* offset of the next byte to come */
} agent_ring_t;

/* Makes room for size bytes in all; 0, or -1: the ring is unchanged. */
int agent_ring_reserve(agent_ring_t *r, size_t size);

/* Adds bytes; overwrites the oldest where there is no room. */
void agent_ring_add(agent_ring_t *r, agent_stream_t stream, const char *buf,
                    size_t len);

/*
 * Sets *data to the bytes at an offset within the ring that belong to one
 * stream and are contiguous; returns their number, at most max.  A character
 * lies within them if its first byte does and all of it is in the ring, unless
 * max or the other stream cuts it.
 */
size_t agent_ring_piece(const agent_ring_t *r, uint64_t offset, size_t max,
                        const char **data, agent_stream_t *stream);

/*
 * Where reading from an offset on begins: at the oldest byte kept if that is
 * later, after the rest of a character whose beginning was overwritten; at most
 * at the end.
 */
uint64_t agent_ring_from(const agent_ring_t *r, uint64_t offset);

void agent_ring_free(agent_ring_t *r);

#endif
