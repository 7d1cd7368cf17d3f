/*
 * The body of POST /v1/sandboxes/{id}/timeout, checked as that of a create
 * is.  Pure C: no nginx, no I/O, any thread.
 */

#ifndef SANDBOX_TIMEOUT_H
#define SANDBOX_TIMEOUT_H

#include "sandbox_create.h"

typedef struct {
    int64_t timeout_ms;
    const char *action; /* static; NULL if left out */
} sandbox_timeout_t;

/* err is set unless OK.  Nothing to free. */
sandbox_body_status_t
sandbox_timeout_parse(sandbox_timeout_t *timeout, const char *body, size_t len,
                      const sandbox_create_limits_t *lim,
                      sandbox_body_error_t *err);

#endif
