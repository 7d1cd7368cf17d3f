/*
 * The shapes that boot cold for a while because a start from their boot
 * checkpoint failed.  The list belongs to this process and ends with it.  Any
 * thread.
 */

#ifndef SANDBOX_COLD_H
#define SANDBOX_COLD_H

#include <stdint.h>

#define SANDBOX_COLD_MS 60000

/*
 * -1 if the shape has to boot cold at now_ms (monotonic); else how often in a
 * row its checkpoint has failed.
 */
int sandbox_cold_failures(const char *shape, int64_t now_ms);

/*
 * The checkpoint has failed at now_ms (monotonic): the shape boots cold for
 * SANDBOX_COLD_MS.  More failures within that time are not counted.
 */
void sandbox_cold_failed(const char *shape, int64_t now_ms);

/* Forgets the failures: a guest answered, or the checkpoint was discarded. */
void sandbox_cold_forget(const char *shape);

#endif
