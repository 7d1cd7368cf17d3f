/*
 * Which sandboxes it was told of lately that they could not be reached, so that
 * a guest that answers nothing is news once and not with each request.  Memory
 * is bounded: while as many are remembered as there is room for, no other one
 * is news, and is found when all are looked at.  No nginx; one thread.
 */

#ifndef SANDBOX_SUSPECTS_H
#define SANDBOX_SUSPECTS_H

#include <stdint.h>

#include "sandbox_id.h"

#define SANDBOX_SUSPECTS_MAX 32
#define SANDBOX_SUSPECTS_INTERVAL 5000 /* ms for which one is no news again */

typedef struct {
    char id[SANDBOX_ID_SIZE];
    int64_t until; /* ms; 0: free */
} sandbox_suspect_t;

/* Zeroed at first. */
typedef struct {
    sandbox_suspect_t entries[SANDBOX_SUSPECTS_MAX];
} sandbox_suspects_t;

/* 1 if it is to be told of id, at a time in ms of a clock that only grows. */
int sandbox_suspects_new(sandbox_suspects_t *s, const char *id, int64_t now);

#endif
