/* The snapshot schema; see the header. */

#include "sandbox_snapshot.h"

#include <stdlib.h>
#include <string.h>


enum { M_METADATA };

static const sandbox_schema_member_t snapshot_members[] = {
    { .name = "metadata",
      .slot = M_METADATA,
      .type = SANDBOX_SCHEMA_OBJECT,
      .max = SANDBOX_METADATA_MAX },
    { .name = NULL },
};


static sandbox_body_status_t
snapshot_check(sandbox_snapshot_t *snapshot, const char *sandbox,
               sandbox_schema_t *s)
{
    sandbox_schema_status_t rc;
    const sandbox_json_node_t *metadata;

    rc = sandbox_schema_walk(s, snapshot_members, &s->doc.nodes[0]);

    if (rc != SANDBOX_SCHEMA_OK) {
        return sandbox_body_status(rc, SANDBOX_BODY_INVALID);
    }

    metadata = s->node[M_METADATA];
    snapshot->given = metadata != NULL;
    snapshot->metadata =
        metadata ? sandbox_schema_verbatim(s, metadata) : strdup("{}");

    if (snapshot->metadata == NULL
        || sandbox_body_fingerprint(snapshot->fingerprint, sandbox, s) != 0)
    {
        return SANDBOX_BODY_NO_MEMORY;
    }

    return SANDBOX_BODY_OK;
}


sandbox_body_status_t
sandbox_snapshot_parse(sandbox_snapshot_t *snapshot, const char *sandbox,
                       const char *body, size_t len, sandbox_body_error_t *err)
{
    sandbox_schema_t s;
    sandbox_body_status_t rc;

    memset(snapshot, 0, sizeof(*snapshot));

    rc = sandbox_body_open(&s, body, len, NULL, NULL);

    if (rc == SANDBOX_BODY_OK) {
        rc = snapshot_check(snapshot, sandbox, &s);
    }

    if (rc != SANDBOX_BODY_OK) {
        sandbox_snapshot_free(snapshot);
    }

    return sandbox_body_close(&s, rc, err);
}


void
sandbox_snapshot_free(sandbox_snapshot_t *snapshot)
{
    free(snapshot->metadata);
    memset(snapshot, 0, sizeof(*snapshot));
}
