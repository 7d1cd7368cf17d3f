/* Opening and closing a body; see the header. */

#include "sandbox_body.h"

#include <string.h>

#include "sandbox_text.h"


sandbox_body_status_t
sandbox_body_open(sandbox_schema_t *s, const char *body, size_t len,
                  const void *limits, void *data)
{
    memset(s, 0, sizeof(*s));
    s->limits = limits;
    s->data = data;

    return sandbox_body_status(sandbox_schema_read(s, body, len),
                               SANDBOX_BODY_INVALID_JSON);
}


sandbox_body_status_t
sandbox_body_close(sandbox_schema_t *s, sandbox_body_status_t status,
                   sandbox_body_error_t *err)
{
    memset(err, 0, sizeof(*err));

    if (status != SANDBOX_BODY_OK) {
        memcpy(err->field, s->path, sizeof(err->field));
        memcpy(err->reason, s->reason, sizeof(err->reason));
    }

    sandbox_json_free(&s->doc);

    return status;
}


sandbox_body_status_t
sandbox_body_status(sandbox_schema_status_t rc, sandbox_body_status_t refused)
{
    switch (rc) {
    case SANDBOX_SCHEMA_OK:
        return SANDBOX_BODY_OK;
    case SANDBOX_SCHEMA_REFUSED:
        return refused;
    default:
        return SANDBOX_BODY_NO_MEMORY;
    }
}


int
sandbox_body_fingerprint(uint8_t fingerprint[SANDBOX_SHA256_LEN],
                         const char *scope, const sandbox_schema_t *s)
{
    int rc;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    if (scope) {
        sandbox_text_fmt(&t, "%s ", scope);
    }

    sandbox_text_json_canonical(&t, &s->doc, &s->doc.nodes[0]);

    rc = sandbox_text_failed(&t) ? -1
                                 : sandbox_sha256(fingerprint, t.data, t.len);
    sandbox_text_free(&t);

    return rc;
}


sandbox_body_status_t
sandbox_body_nothing(const char *body, size_t len, sandbox_body_error_t *err)
{
    sandbox_schema_t s;
    sandbox_body_status_t rc;
    static const sandbox_schema_member_t none[] = { { .name = NULL } };

    rc = sandbox_body_open(&s, body, len, NULL, NULL);

    if (rc == SANDBOX_BODY_OK) {
        rc = sandbox_body_status(sandbox_schema_walk(&s, none, &s.doc.nodes[0]),
                                 SANDBOX_BODY_INVALID);
    }

    return sandbox_body_close(&s, rc, err);
}
