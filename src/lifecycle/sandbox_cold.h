/*
 * Which shapes boot cold for a while because what was started from their
 * checkpoint failed.  Of this process, and forgotten with it; any thread.
 */

#ifndef SANDBOX_COLD_H
#define SANDBOX_COLD_H

#include <stdint.h>

#define SANDBOX_COLD_MS 60000

/* -1: boot cold now; else how often in a row its checkpoint has failed. */
int sandbox_cold_failures(const char *shape, int64_t now);

/* It has failed: cold from now on (monotonic ms).  Those at once count once. */
void sandbox_cold_failed(const char *shape, int64_t now);

/* Its guest answered, or it is another checkpoint. */
void sandbox_cold_forget(const char *shape);

#endif
