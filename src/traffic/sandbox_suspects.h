/*
 * The sandboxes that were reported as unreachable in the last seconds, so that
 * a guest that answers nothing is reported once and not with each request.
 * Memory is bounded: while all entries are taken, no other sandbox is reported,
 * and the next look at all sandboxes finds it.  No nginx; one thread.
 */

#ifndef SANDBOX_SUSPECTS_H
#define SANDBOX_SUSPECTS_H

#include <stdint.h>

#include "sandbox_id.h"

#define SANDBOX_SUSPECTS_MAX 32
#define SANDBOX_SUSPECTS_INTERVAL_MS 5000 /* until the next report of one */

typedef struct {
    char id[SANDBOX_ID_SIZE];
    int64_t until_ms; /* 0: free */
} sandbox_suspect_t;

/* Zeroed at first. */
typedef struct {
    sandbox_suspect_t entries[SANDBOX_SUSPECTS_MAX];
} sandbox_suspects_t;

/* 1 if id is to be reported; now_ms: of a clock that only grows. */
int sandbox_suspects_new(sandbox_suspects_t *s, const char *id, int64_t now_ms);

#endif
