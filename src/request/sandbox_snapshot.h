/*
 * The body of POST /v1/sandboxes/{id}/snapshots, checked as that of a create
 * is.  Pure C: no nginx, no I/O, any thread.
 */

#ifndef SANDBOX_SNAPSHOT_H
#define SANDBOX_SNAPSHOT_H

#include "sandbox_body.h"

typedef struct {
    char *metadata; /* verbatim text of the object, "{}" if left out */
    int given;      /* metadata was not left out */
    uint8_t fingerprint[SANDBOX_SHA256_LEN]; /* of sandbox and canonical body */
} sandbox_snapshot_t;

/*
 * sandbox is the id in the path, in its canonical spelling.  On OK the caller
 * frees snapshot with sandbox_snapshot_free(); otherwise it is empty and err
 * is set.
 */
sandbox_body_status_t
sandbox_snapshot_parse(sandbox_snapshot_t *snapshot, const char *sandbox,
                       const char *body, size_t len, sandbox_body_error_t *err);
void sandbox_snapshot_free(sandbox_snapshot_t *snapshot);

#endif
