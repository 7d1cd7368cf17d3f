/*
 * The network members of a body, as a create has them, and the body of
 * PATCH /v1/sandboxes/{id}/network.  Pure C: no nginx, no I/O, any thread.
 */

#ifndef SANDBOX_NETWORK_PATCH_H
#define SANDBOX_NETWORK_PATCH_H

#include "sandbox_body.h"
#include "sandbox_schema.h"

/*
 * For the column check of a schema: read an array of CIDR blocks, and a
 * network.mask_request_host.  *text is malloc'd; blocks have the form of
 * sandbox_cidrs_format().
 */
sandbox_schema_status_t
sandbox_network_list(sandbox_schema_t *s, const sandbox_json_node_t *array,
                     char **text);
sandbox_schema_status_t
sandbox_network_mask(sandbox_schema_t *s, const char *host, char **text);

/* Members that were left out: -1 or NULL. */
typedef struct {
    int internet;
    int public_traffic;
    char *allow_out;
    char *deny_out;
    char *mask_host; /* empty: to be removed */
} sandbox_network_patch_t;

/*
 * err is set unless OK; on OK the caller frees patch with
 * sandbox_network_patch_free().
 */
sandbox_body_status_t
sandbox_network_patch_parse(sandbox_network_patch_t *patch, const char *body,
                            size_t len, sandbox_body_error_t *err);
void sandbox_network_patch_free(sandbox_network_patch_t *patch);

#endif
