/* Members and parameters; see the header.  Must not know routes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "fs.h"
#include "sandbox_json.h"

#define NO_MEMORY "memory is out"
#define NO_SHA256 "must be a SHA-256 in 64 hex digits"


static const char *
field_path(char out[SANDBOX_PATH_MAX], const char *text)
{
    const char *reason;

    if (sandbox_path_normalise(out, SANDBOX_PATH_MAX, text, strlen(text),
                               &reason)
        == -1)
    {
        return reason;
    }

    return sandbox_path_within(out, AGENT_FS_PRIVATE)
               ? "lies in a directory that the sandbox keeps for itself"
               : NULL;
}


static const char *
field_mode(mode_t *out, const char *text)
{
    size_t len;

    len = strlen(text);

    if (len < 3 || len > 5 || text[strspn(text, "01234567")] != '\0'
        || (len == 5 && text[0] != '0'))
    {
        return "must be a mode of octal digits, such as \"0644\"";
    }

    *out = (mode_t) strtoul(text, NULL, 8);

    return NULL;
}


static const char *
field_user(char out[AGENT_USER_SIZE], const char *text)
{
    size_t len;

    len = strlen(text);

    if (len == 0 || len >= AGENT_USER_SIZE) {
        return "must be a user name or number of at most 32 characters";
    }

    memcpy(out, text, len + 1);

    return NULL;
}


static const char *
field_limit(unsigned *out, const char *text)
{
    unsigned long n;

    n = 0;

    if (strlen(text) <= 5 && text[strspn(text, "0123456789")] == '\0') {
        n = strtoul(text, NULL, 10);
    }

    if (n < 1 || n > AGENT_LIMIT_MAX) {
        return "must be a number from 1 to 10000";
    }

    *out = (unsigned) n;

    return NULL;
}


const char *
agent_fields_text(agent_field_kind_t kind, void *value, const char *text)
{
    switch (kind) {
    case AGENT_FIELD_PATH:
        return field_path(value, text);

    case AGENT_FIELD_MODE:
        return field_mode(value, text);

    case AGENT_FIELD_USER:
        return field_user(value, text);

    case AGENT_FIELD_LIMIT:
        return field_limit(value, text);

    case AGENT_FIELD_SHA256:
        return agent_sha256_read(value, text) == 0 ? NULL : NO_SHA256;

    default:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return "must be true or false";
        }

        *(int *) value = text[0] == 't';
        return NULL;
    }
}


int
agent_sha256_read(char out[AGENT_SHA256_HEX_SIZE], const char *text)
{
    size_t i;

    if (strlen(text) != AGENT_SHA256_HEX_SIZE - 1
        || text[strspn(text, "0123456789abcdefABCDEF")] != '\0')
    {
        return -1;
    }

    for (i = 0; i < AGENT_SHA256_HEX_SIZE; i++) {
        out[i] = (char) (text[i] >= 'A' && text[i] <= 'F' ? text[i] | 0x20
                                                          : text[i]);
    }

    return 0;
}


static const char *
field_string(const sandbox_json_t *doc, const sandbox_json_node_t *node,
             agent_field_kind_t kind, void *value)
{
    char *s;
    const char *reason;

    if (node->type != SANDBOX_JSON_STRING) {
        return "must be a string";
    }

    s = sandbox_json_string(doc, node, NULL);
    if (s == NULL) {
        return NO_MEMORY;
    }

    reason = agent_fields_text(kind, value, s);
    free(s);

    return reason;
}


/* One of {"part": n, "sha256": "…"}. */
static const char *
field_part(const sandbox_json_t *doc, const sandbox_json_node_t *node,
           agent_parts_t *parts)
{
    int64_t n;
    unsigned members;
    const sandbox_json_node_t *number, *sum;
    static const char refusal[] =
        "must be an array of {\"part\", \"sha256\"}, in ascending order";

    if (node->type != SANDBOX_JSON_OBJECT) {
        return refusal;
    }

    number = sandbox_json_member(doc, node, "part");
    sum = sandbox_json_member(doc, node, "sha256");
    members = (number != NULL) + (sum != NULL);

    if (number == NULL || node->count != members
        || sandbox_json_integer(doc, number, &n) == -1 || n < 1
        || n > AGENT_PARTS_MAX
        || (parts->n > 0 && n <= parts->list[parts->n - 1].number))
    {
        return refusal;
    }

    parts->list[parts->n].number = (unsigned) n;
    parts->list[parts->n].sha256[0] = '\0';

    if (sum != NULL
        && field_string(doc, sum, AGENT_FIELD_SHA256,
                        parts->list[parts->n].sha256)
               != NULL)
    {
        return refusal;
    }

    parts->n++;

    return NULL;
}


static const char *
field_parts(const sandbox_json_t *doc, const sandbox_json_node_t *node,
            agent_parts_t *parts)
{
    const char *reason;
    const sandbox_json_node_t *item;

    if (node->type != SANDBOX_JSON_ARRAY || node->count == 0
        || node->count > AGENT_PARTS_MAX)
    {
        return "must be an array of 1 to 10000 parts";
    }

    parts->list = calloc(node->count, sizeof(*parts->list));
    if (parts->list == NULL) {
        return NO_MEMORY;
    }

    for (item = sandbox_json_child(doc, node); item != NULL;
         item = sandbox_json_next(doc, item))
    {
        reason = field_part(doc, item, parts);
        if (reason != NULL) {
            return reason;
        }
    }

    return NULL;
}


static const char *
field_value(const sandbox_json_t *doc, const sandbox_json_node_t *node,
            agent_field_t *member)
{
    switch (member->kind) {
    case AGENT_FIELD_BOOL:
        if (node->type != SANDBOX_JSON_TRUE && node->type != SANDBOX_JSON_FALSE)
        {
            return "must be true or false";
        }

        *(int *) member->value = node->type == SANDBOX_JSON_TRUE;
        return NULL;

    case AGENT_FIELD_SIZE:
        if (sandbox_json_integer(doc, node, member->value) == -1
            || *(int64_t *) member->value < 0)
        {
            return "must be a whole number of bytes";
        }

        return NULL;

    case AGENT_FIELD_PARTS:
        return field_parts(doc, node, member->value);

    default:
        return field_string(doc, node, member->kind, member->value);
    }
}


static int
field_refuse(agent_field_error_t *err, const char *field, const char *reason)
{
    err->code = "invalid_request";
    snprintf(err->field, sizeof(err->field), "%s", field);
    snprintf(err->reason, sizeof(err->reason), "%s", reason);

    return -1;
}


static int
field_member(agent_field_t *members, size_t n, const sandbox_json_t *doc,
             const sandbox_json_node_t *node, agent_field_error_t *err)
{
    int rc;
    char *name;
    size_t i;
    const char *reason;

    name = sandbox_json_key(doc, node, NULL);
    if (name == NULL) {
        return field_refuse(err, "body", NO_MEMORY);
    }

    reason = "is not a member of this request";

    for (i = 0; i < n; i++) {
        if (strcmp(name, members[i].name) != 0) {
            continue;
        }

        reason = NULL;
        if (node->type != SANDBOX_JSON_NULL) {
            members[i].given = 1;
            reason = field_value(doc, node, &members[i]);
        }

        break;
    }

    rc = reason == NULL ? 0 : field_refuse(err, name, reason);
    free(name);

    return rc;
}


int
agent_fields_read(agent_field_t *members, size_t n, const char *body,
                  size_t len, agent_field_error_t *err)
{
    int rc;
    size_t i;
    sandbox_json_t doc;
    sandbox_json_error_t jerr;
    const sandbox_json_node_t *node;

    if (len == 0) {
        body = "{}";
        len = 2;
    }

    if (sandbox_json_parse(&doc, body, len, &jerr) == -1) {
        field_refuse(err, jerr.field[0] ? jerr.field : "body", jerr.reason);
        err->code = "invalid_json";
        return -1;
    }

    rc = 0;

    if (doc.nodes[0].type != SANDBOX_JSON_OBJECT) {
        rc = field_refuse(err, "body", "must be an object");
    }

    for (node = rc == 0 ? sandbox_json_child(&doc, &doc.nodes[0]) : NULL;
         node != NULL && rc == 0; node = sandbox_json_next(&doc, node))
    {
        rc = field_member(members, n, &doc, node, err);
    }

    sandbox_json_free(&doc);

    for (i = 0; i < n && rc == 0; i++) {
        if (members[i].required && !members[i].given) {
            rc = field_refuse(err, members[i].name, "is required");
        }
    }

    return rc;
}
