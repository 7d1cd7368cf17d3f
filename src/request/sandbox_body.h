/*
 * What the parsers of bodies share: opening and closing a document, and the
 * result of the checks in between, as the status and the error of a request.
 * Pure C: no nginx, no I/O, any thread.
 */

#ifndef SANDBOX_BODY_H
#define SANDBOX_BODY_H

#include "sandbox_digest.h"
#include "sandbox_json_path.h"
#include "sandbox_schema.h"

#define SANDBOX_METADATA_MAX 16384

typedef enum {
    SANDBOX_BODY_OK = 0,
    SANDBOX_BODY_INVALID_JSON,
    SANDBOX_BODY_INVALID,          /* field and reason say what */
    SANDBOX_BODY_UNKNOWN_TEMPLATE, /* 404 template_not_found */
    SANDBOX_BODY_NOT_IMPLEMENTED,  /* field is known but not built yet */
    SANDBOX_BODY_NO_MEMORY
} sandbox_body_status_t;

typedef struct {
    char field[SANDBOX_JSON_PATH_SIZE]; /* e.g. "network.allow_out[2]" */
    char reason[256];
} sandbox_body_error_t;

/*
 * Opens body; limits and data are those of sandbox_schema_t.  Whatever the
 * result, the caller calls sandbox_body_close() at the end.
 */
sandbox_body_status_t
sandbox_body_open(sandbox_schema_t *s, const char *body, size_t len,
                  const void *limits, void *data);

/* Frees the document and sets err, empty if status is OK; gives status. */
sandbox_body_status_t
sandbox_body_close(sandbox_schema_t *s, sandbox_body_status_t status,
                   sandbox_body_error_t *err);

/* refused: what SANDBOX_SCHEMA_REFUSED stands for. */
sandbox_body_status_t
sandbox_body_status(sandbox_schema_status_t rc, sandbox_body_status_t refused);

/*
 * The digest of a request: of the scope, unless that is NULL, and of the body
 * in its canonical form.  -1 if memory is out or OpenSSL fails.
 */
int sandbox_body_fingerprint(uint8_t fingerprint[SANDBOX_SHA256_LEN],
                             const char *scope, const sandbox_schema_t *s);

/* Checks the body of a request that takes no members; err is set unless OK. */
sandbox_body_status_t
sandbox_body_nothing(const char *body, size_t len, sandbox_body_error_t *err);

#endif
