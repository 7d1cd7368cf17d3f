/* The snapshot schema; see the header. */

#include "sandbox_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox_schema.h"
#include "sandbox_text.h"


enum { M_METADATA };

static const sandbox_schema_member_t snapshot_members[] = {
    { .name = "metadata",
      .slot = M_METADATA,
      .type = SANDBOX_SCHEMA_OBJECT,
      .max = SANDBOX_METADATA_MAX },
    { .name = NULL },
};


static int
snapshot_fingerprint(sandbox_snapshot_t *snapshot, const char *sandbox,
                     const sandbox_schema_t *s)
{
    int rc;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_fmt(&t, "%s ", sandbox);
    sandbox_text_json_canonical(&t, &s->doc, &s->doc.nodes[0]);

    rc = sandbox_text_failed(&t)
             ? -1
             : sandbox_sha256(snapshot->fingerprint, t.data, t.len);
    sandbox_text_free(&t);

    return rc;
}


static sandbox_create_status_t
snapshot_check(sandbox_snapshot_t *snapshot, const char *sandbox,
               sandbox_schema_t *s)
{
    sandbox_schema_status_t rc;
    const sandbox_json_node_t *metadata;

    if (s->doc.nodes[0].type != SANDBOX_JSON_OBJECT) {
        (void) sandbox_schema_refuse(s, NULL, "must be a JSON object");
        return SANDBOX_CREATE_INVALID_JSON;
    }

    rc = sandbox_schema_walk(s, snapshot_members, &s->doc.nodes[0]);

    if (rc == SANDBOX_SCHEMA_REFUSED) {
        return SANDBOX_CREATE_INVALID;
    }

    metadata = s->node[M_METADATA];
    snapshot->given = metadata != NULL;
    snapshot->metadata =
        metadata ? strndup(s->doc.text + metadata->start, metadata->len)
                 : strdup("{}");

    if (rc != SANDBOX_SCHEMA_OK || snapshot->metadata == NULL
        || snapshot_fingerprint(snapshot, sandbox, s) != 0)
    {
        return SANDBOX_CREATE_NO_MEMORY;
    }

    return SANDBOX_CREATE_OK;
}


sandbox_create_status_t
sandbox_snapshot_parse(sandbox_snapshot_t *snapshot, const char *sandbox,
                       const char *body, size_t len,
                       sandbox_create_error_t *err)
{
    sandbox_schema_t s;
    sandbox_json_error_t json;
    sandbox_create_status_t rc;

    memset(snapshot, 0, sizeof(*snapshot));
    memset(err, 0, sizeof(*err));
    memset(&s, 0, sizeof(s));

    if (len == 0) {
        body = "{}";
        len = 2;
    }

    if (sandbox_json_parse(&s.doc, body, len, &json) != 0) {
        (void) sandbox_schema_refuse(&s, json.field, "%s at byte %zu",
                                     json.reason, json.offset);
        rc = SANDBOX_CREATE_INVALID_JSON;

    } else {
        rc = snapshot_check(snapshot, sandbox, &s);
        sandbox_json_free(&s.doc);
    }

    if (rc != SANDBOX_CREATE_OK) {
        sandbox_snapshot_free(snapshot);
        memcpy(err->field, s.path, sizeof(err->field));
        memcpy(err->reason, s.reason, sizeof(err->reason));
    }

    return rc;
}


void
sandbox_snapshot_free(sandbox_snapshot_t *snapshot)
{
    free(snapshot->metadata);
    memset(snapshot, 0, sizeof(*snapshot));
}
