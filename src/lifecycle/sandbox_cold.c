/* The list of shapes that boot cold; see the header. */

#include "sandbox_cold.h"

#include "sandbox_id.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Entries that are kept; when all are used, the oldest is replaced. */
#define COLD_SHAPES 64

typedef struct {
    char shape[SANDBOX_ID_SIZE];
    int64_t until_ms;
    int failures; /* 0: a free entry */
} cold_t;

static cold_t cold_shapes[COLD_SHAPES];
static pthread_mutex_t cold_mutex = PTHREAD_MUTEX_INITIALIZER;


/* The entry of shape, or NULL.  The caller holds the mutex. */
static cold_t *
cold_find(const char *shape)
{
    size_t i;

    for (i = 0; i < COLD_SHAPES; i++) {
        if (cold_shapes[i].failures && strcmp(cold_shapes[i].shape, shape) == 0)
        {
            return &cold_shapes[i];
        }
    }

    return NULL;
}


/* Takes a free entry, or the oldest.  The caller holds the mutex. */
static cold_t *
cold_add(const char *shape)
{
    size_t i;
    cold_t *c;

    c = &cold_shapes[0];

    for (i = 0; i < COLD_SHAPES && c->failures; i++) {
        if (cold_shapes[i].failures == 0
            || cold_shapes[i].until_ms < c->until_ms) {
            c = &cold_shapes[i];
        }
    }

    memset(c, 0, sizeof(*c));
    (void) snprintf(c->shape, sizeof(c->shape), "%s", shape);

    return c;
}


int
sandbox_cold_failures(const char *shape, int64_t now_ms)
{
    int n;
    cold_t *c;

    (void) pthread_mutex_lock(&cold_mutex);

    c = cold_find(shape);
    n = c == NULL ? 0 : now_ms < c->until_ms ? -1 : c->failures;

    (void) pthread_mutex_unlock(&cold_mutex);
    return n;
}


void
sandbox_cold_failed(const char *shape, int64_t now_ms)
{
    cold_t *c;

    (void) pthread_mutex_lock(&cold_mutex);

    c = cold_find(shape);
    if (c == NULL) {
        c = cold_add(shape);
    }

    if (c->failures == 0 || now_ms >= c->until_ms) {
        c->failures++;
        c->until_ms = now_ms + SANDBOX_COLD_MS;
    }

    (void) pthread_mutex_unlock(&cold_mutex);
}


void
sandbox_cold_forget(const char *shape)
{
    cold_t *c;

    (void) pthread_mutex_lock(&cold_mutex);

    c = cold_find(shape);
    if (c) {
        c->failures = 0;
    }

    (void) pthread_mutex_unlock(&cold_mutex);
}
