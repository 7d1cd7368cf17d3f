/*
 * How a bucket of the route cache is written, in memory that processes share:
 * one writer at a time, readers that hold nothing, and either may be killed
 * anywhere.  Knows nothing of what the ways hold; no nginx.
 *
 * A reader copies a way, and believes the copy if the count of writes was even
 * and is the same after it.  A writer that is killed leaves the count odd, and
 * the next writer makes it even, whatever way that writes: so a way has no tag
 * while an entry is copied into it.
 */

#ifndef SANDBOX_WAYS_H
#define SANDBOX_WAYS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SANDBOX_WAYS 8

typedef struct {
    uint32_t tags[SANDBOX_WAYS]; /* 0: the way is free */
    uintptr_t generation;        /* grows with every forget */
    volatile uintptr_t writes;   /* odd while a write is under way */
    unsigned char used;          /* a bit per way, set by lookups */
    unsigned char hand;
} sandbox_ways_t;


static inline void
sandbox_ways_barrier(void)
{
    __sync_synchronize();
}


/* open and close stand around each change of what readers read. */
static inline void
sandbox_ways_open(sandbox_ways_t *ways)
{
    ways->writes |= 1;
    sandbox_ways_barrier();
}


static inline void
sandbox_ways_close(sandbox_ways_t *ways)
{
    sandbox_ways_barrier();
    ways->writes++;
}


/* Copies len bytes into a way, and gives it the tag. */
static inline void
sandbox_ways_put(sandbox_ways_t *ways, size_t way, uint32_t tag, void *to,
                 const void *from, size_t len)
{
    sandbox_ways_open(ways);

    ways->tags[way] = 0;
    sandbox_ways_barrier();
    memcpy(to, from, len);
    sandbox_ways_barrier();
    ways->tags[way] = tag;
    ways->used |= (unsigned char) (1u << way);

    sandbox_ways_close(ways);
}


/* Frees way, unless that is SANDBOX_WAYS, and begins a new generation. */
static inline void
sandbox_ways_forget(sandbox_ways_t *ways, size_t way)
{
    sandbox_ways_open(ways);

    if (way != SANDBOX_WAYS) {
        ways->tags[way] = 0;
    }

    ways->generation++;

    sandbox_ways_close(ways);
}

#endif
