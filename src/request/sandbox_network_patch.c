/* The network members of a body; see the header. */

#include "sandbox_network_patch.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox_policy.h"
#include "sandbox_syntax.h"


enum { M_INTERNET, M_ALLOW_OUT, M_DENY_OUT, M_PUBLIC_TRAFFIC, M_MASK_HOST };


static sandbox_schema_status_t
network_list_read(sandbox_schema_t *s, const sandbox_json_node_t *array,
                  sandbox_cidrs_t *list)
{
    int rc;
    char *text;
    size_t i, len, mark;
    const char *reason;
    sandbox_cidr_t cidr;
    const sandbox_json_node_t *node;

    i = 0;

    for (node = sandbox_json_child(&s->doc, array); node;
         node = sandbox_json_next(&s->doc, node))
    {
        mark = sandbox_schema_enter_item(s, i++);

        if (node->type != SANDBOX_JSON_STRING) {
            return sandbox_schema_refuse(s, NULL, "must be a string");
        }

        text = sandbox_json_string(&s->doc, node, &len);
        if (text == NULL) {
            return SANDBOX_SCHEMA_NO_MEMORY;
        }

        rc = sandbox_cidr_parse(&cidr, text, len, &reason);
        free(text);

        /* the table has bounded their number */
        if (rc != 0 || sandbox_cidrs_add(list, &cidr) != 0) {
            return sandbox_schema_refuse(s, NULL, "%s",
                                         rc ? reason : "is one too many");
        }

        sandbox_schema_leave(s, mark);
    }

    return SANDBOX_SCHEMA_OK;
}


sandbox_schema_status_t
sandbox_network_list(sandbox_schema_t *s, const sandbox_json_node_t *array,
                     char **text)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    sandbox_cidrs_t list;
    sandbox_schema_status_t rc;

    list.n = 0;

    rc = network_list_read(s, array, &list);
    if (rc != SANDBOX_SCHEMA_OK) {
        return rc;
    }

    sandbox_cidrs_format(&t, &list);

    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        return SANDBOX_SCHEMA_NO_MEMORY;
    }

    *text = t.data;

    return SANDBOX_SCHEMA_OK;
}


sandbox_schema_status_t
sandbox_network_mask(sandbox_schema_t *s, const char *host, char **text)
{
    if (!sandbox_syntax_authority(host)) {
        return sandbox_schema_refuse(s, NULL,
                                     "must be a host with an optional port, "
                                     "such as \"localhost:${PORT}\"");
    }

    *text = strdup(host);

    return *text ? SANDBOX_SCHEMA_OK : SANDBOX_SCHEMA_NO_MEMORY;
}


static sandbox_schema_status_t
patch_allow_out(sandbox_schema_t *s, const sandbox_json_node_t *array,
                const char *none)
{
    sandbox_network_patch_t *patch = s->data;

    (void) none;

    return sandbox_network_list(s, array, &patch->allow_out);
}


static sandbox_schema_status_t
patch_deny_out(sandbox_schema_t *s, const sandbox_json_node_t *array,
               const char *none)
{
    sandbox_network_patch_t *patch = s->data;

    (void) none;

    return sandbox_network_list(s, array, &patch->deny_out);
}


static sandbox_schema_status_t
patch_mask_host(sandbox_schema_t *s, const sandbox_json_node_t *node,
                const char *text)
{
    sandbox_network_patch_t *patch = s->data;

    (void) node;

    if (*text == '\0') {
        patch->mask_host = strdup("");
        return patch->mask_host ? SANDBOX_SCHEMA_OK : SANDBOX_SCHEMA_NO_MEMORY;
    }

    return sandbox_network_mask(s, text, &patch->mask_host);
}


static const sandbox_schema_member_t patch_members[] = {
    { .name = "internet_access",
      .slot = M_INTERNET,
      .type = SANDBOX_SCHEMA_BOOL },
    { .name = "allow_out",
      .slot = M_ALLOW_OUT,
      .type = SANDBOX_SCHEMA_ARRAY,
      .max = SANDBOX_POLICY_CIDRS,
      .check = patch_allow_out },
    { .name = "deny_out",
      .slot = M_DENY_OUT,
      .type = SANDBOX_SCHEMA_ARRAY,
      .max = SANDBOX_POLICY_CIDRS,
      .check = patch_deny_out },
    { .name = "allow_public_traffic",
      .slot = M_PUBLIC_TRAFFIC,
      .type = SANDBOX_SCHEMA_BOOL },
    { .name = "mask_request_host",
      .slot = M_MASK_HOST,
      .type = SANDBOX_SCHEMA_STRING,
      .max = SANDBOX_MASK_HOST_MAX,
      .check = patch_mask_host },
    { .name = NULL },
};


static sandbox_body_status_t
patch_check(sandbox_network_patch_t *patch, sandbox_schema_t *s)
{
    sandbox_schema_status_t rc;

    rc = sandbox_schema_walk(s, patch_members, &s->doc.nodes[0]);

    if (rc != SANDBOX_SCHEMA_OK) {
        return sandbox_body_status(rc, SANDBOX_BODY_INVALID);
    }

    patch->internet =
        s->node[M_INTERNET] ? sandbox_schema_true(s, M_INTERNET) : -1;
    patch->public_traffic = s->node[M_PUBLIC_TRAFFIC]
                                ? sandbox_schema_true(s, M_PUBLIC_TRAFFIC)
                                : -1;

    return SANDBOX_BODY_OK;
}


sandbox_body_status_t
sandbox_network_patch_parse(sandbox_network_patch_t *patch, const char *body,
                            size_t len, sandbox_body_error_t *err)
{
    sandbox_schema_t s;
    sandbox_body_status_t rc;

    memset(patch, 0, sizeof(*patch));

    rc = sandbox_body_open(&s, body, len, NULL, patch);

    if (rc == SANDBOX_BODY_OK) {
        rc = patch_check(patch, &s);
    }

    if (rc != SANDBOX_BODY_OK) {
        sandbox_network_patch_free(patch);
    }

    return sandbox_body_close(&s, rc, err);
}


void
sandbox_network_patch_free(sandbox_network_patch_t *patch)
{
    free(patch->allow_out);
    free(patch->deny_out);
    free(patch->mask_host);
    memset(patch, 0, sizeof(*patch));
}
