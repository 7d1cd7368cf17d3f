/* Walking a JSON object along a table; see the header. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"

#define NO_MEMORY AGENT_FIELD_NO_MEMORY


agent_body_status_t
agent_body_refuse(agent_body_error_t *err, const char *field,
                  const char *reason)
{
    snprintf(err->field, sizeof(err->field), "%s", field);
    snprintf(err->reason, sizeof(err->reason), "%s", reason);

    return strcmp(reason, NO_MEMORY) == 0 ? AGENT_BODY_NO_MEMORY
                                          : AGENT_BODY_INVALID;
}


static int
body_of_form(const agent_field_t *field, unsigned form)
{
    return field->forms == 0 || (field->forms & form);
}


static const char *
body_member(agent_field_t *fields, size_t n, unsigned form,
            const sandbox_json_t *doc, const sandbox_json_node_t *node,
            const char *name)
{
    size_t i;

    if (node->type == SANDBOX_JSON_NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        if (body_of_form(&fields[i], form) && strcmp(name, fields[i].name) == 0)
        {
            break;
        }
    }

    if (i == n) {
        return "is not a member of this request";
    }

    fields[i].given = 1;

    switch (fields[i].kind) {
    case AGENT_FIELD_ELSEWHERE:
        return NULL;

    case AGENT_FIELD_OTHER:
        return fields[i].read(fields[i].value, doc, node);

    default:
        return agent_field_json(fields[i].kind, fields[i].value, doc, node);
    }
}


static agent_body_status_t
body_required(const agent_field_t *fields, size_t n, unsigned form,
              agent_body_error_t *err)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if ((fields[i].required & form) && !fields[i].given) {
            return agent_body_refuse(err, fields[i].name, "is required");
        }
    }

    return AGENT_BODY_OK;
}


agent_body_status_t
agent_body_read(agent_field_t *fields, size_t n, unsigned form,
                const sandbox_json_t *doc, agent_body_error_t *err)
{
    char *name;
    const char *reason;
    agent_body_status_t status;
    const sandbox_json_node_t *node;

    if (doc->nodes[0].type != SANDBOX_JSON_OBJECT) {
        (void) agent_body_refuse(err, "body", "must be an object");
        return AGENT_BODY_NOT_JSON;
    }

    for (node = sandbox_json_child(doc, &doc->nodes[0]); node != NULL;
         node = sandbox_json_next(doc, node))
    {
        name = sandbox_json_key(doc, node, NULL);
        if (name == NULL) {
            return agent_body_refuse(err, "body", NO_MEMORY);
        }

        reason = body_member(fields, n, form, doc, node, name);
        if (reason != NULL) {
            status = agent_body_refuse(err, name, reason);
            free(name);
            return status;
        }

        free(name);
    }

    return body_required(fields, n, form, err);
}


agent_body_status_t
agent_body_parse(agent_field_t *fields, size_t n, const char *body, size_t len,
                 agent_body_error_t *err)
{
    sandbox_json_t doc;
    agent_body_status_t status;

    status = agent_body_json(&doc, len ? body : "{}", len ? len : 2, err);

    if (status == AGENT_BODY_OK) {
        status = agent_body_read(fields, n, 1, &doc, err);
        sandbox_json_free(&doc);
    }

    return status;
}


agent_body_status_t
agent_body_json(sandbox_json_t *doc, const char *body, size_t len,
                agent_body_error_t *err)
{
    sandbox_json_error_t jerr;

    if (sandbox_json_parse(doc, body, len, &jerr) == 0) {
        return AGENT_BODY_OK;
    }

    snprintf(err->field, sizeof(err->field), "%s",
             jerr.field[0] ? jerr.field : "body");
    snprintf(err->reason, sizeof(err->reason), "%s at byte %zu", jerr.reason,
             jerr.offset);

    return AGENT_BODY_NOT_JSON;
}
