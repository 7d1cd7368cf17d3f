/*
 * Walking a JSON object along a table, and the kinds of values that several
 * requests have.
 */

#define _GNU_SOURCE

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "sandbox_text.h"

#define NO_MEMORY AGENT_BODY_NO_MEMORY_REASON
#define SIGNAL_LAST 31 /* real-time signals mean nothing to most programs */


agent_body_status_t
agent_body_refuse(agent_body_error_t *err, const char *field,
                  const char *reason)
{
    snprintf(err->field, sizeof(err->field), "%s", field);
    snprintf(err->reason, sizeof(err->reason), "%s", reason);

    return strcmp(reason, NO_MEMORY) == 0 ? AGENT_BODY_NO_MEMORY
                                          : AGENT_BODY_INVALID;
}


static const char *
body_member(const agent_body_schema_t *schema, unsigned form, void *out,
            const sandbox_json_t *doc, const sandbox_json_node_t *node,
            const char *name, unsigned *seen)
{
    size_t i;
    const agent_member_t *m;

    if (node->type == SANDBOX_JSON_NULL) {
        return NULL;
    }

    for (i = 0; i < schema->n; i++) {
        m = &schema->members[i];

        if ((m->forms & form) && strcmp(name, m->name) == 0) {
            *seen |= 1U << i;

            return m->read ? m->read(out, doc, node) : NULL;
        }
    }

    return "is not a member of this request";
}


static agent_body_status_t
body_required(const agent_body_schema_t *schema, unsigned form, unsigned seen,
              agent_body_error_t *err)
{
    size_t i;

    for (i = 0; i < schema->n; i++) {
        if ((schema->members[i].required & form) && !(seen & 1U << i)) {
            return agent_body_refuse(err, schema->members[i].name,
                                     "is required");
        }
    }

    return AGENT_BODY_OK;
}


agent_body_status_t
agent_body_read(const agent_body_schema_t *schema, unsigned form, void *out,
                const sandbox_json_t *doc, agent_body_error_t *err)
{
    char *name;
    unsigned seen;
    const char *reason;
    agent_body_status_t status;
    const sandbox_json_node_t *node;

    if (doc->nodes[0].type != SANDBOX_JSON_OBJECT) {
        return agent_body_refuse(err, "body", "must be an object");
    }

    seen = 0;

    for (node = sandbox_json_child(doc, &doc->nodes[0]); node != NULL;
         node = sandbox_json_next(doc, node))
    {
        name = sandbox_json_key(doc, node, NULL);
        if (name == NULL) {
            return agent_body_refuse(err, "body", NO_MEMORY);
        }

        reason = body_member(schema, form, out, doc, node, name, &seen);
        if (reason != NULL) {
            status = agent_body_refuse(err, name, reason);
            free(name);
            return status;
        }

        free(name);
    }

    return body_required(schema, form, seen, err);
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


char *
agent_body_string(const sandbox_json_t *doc, const sandbox_json_node_t *node,
                  const char **reason)
{
    char *s;

    if (node->type != SANDBOX_JSON_STRING) {
        *reason = "must be a string";
        return NULL;
    }

    s = sandbox_json_string(doc, node, NULL);
    if (s == NULL) {
        *reason = NO_MEMORY;
    }

    return s;
}


const char *
agent_body_bool(int *out, const sandbox_json_node_t *node)
{
    if (node->type != SANDBOX_JSON_TRUE && node->type != SANDBOX_JSON_FALSE) {
        return "must be true or false";
    }

    *out = node->type == SANDBOX_JSON_TRUE;

    return NULL;
}


const char *
agent_body_integer(int64_t *out, int64_t min, int64_t max, const char *reason,
                   const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    int64_t n;

    if (sandbox_json_integer(doc, node, &n) == -1 || n < min || n > max) {
        return reason;
    }

    *out = n;

    return NULL;
}


const char *
agent_body_text(char **out, size_t *len, const sandbox_json_t *doc,
                const sandbox_json_node_t *node)
{
    if (*out != NULL) {
        return "cannot be given with its other form";
    }

    if (node->type != SANDBOX_JSON_STRING) {
        return "must be a string";
    }

    *out = sandbox_json_string(doc, node, len);

    return *out ? NULL : NO_MEMORY;
}


const char *
agent_body_base64(char **out, size_t *len, const sandbox_json_t *doc,
                  const sandbox_json_node_t *node)
{
    char *text;
    size_t n;
    int64_t decoded;
    const char *reason;

    text = NULL;
    if (*out != NULL) {
        return "cannot be given with its other form";
    }

    reason = agent_body_text(&text, &n, doc, node);
    if (reason != NULL) {
        return reason;
    }

    *out = malloc(n + 1);
    if (*out == NULL) {
        free(text);
        return NO_MEMORY;
    }

    decoded = sandbox_base64_decode((uint8_t *) *out, n, text, n);
    free(text);

    if (decoded == -1) {
        return "must be base64";
    }

    *len = (size_t) decoded;

    return NULL;
}


const char *
agent_body_session_id(char out[AGENT_SESSION_ID_SIZE],
                      const sandbox_json_t *doc,
                      const sandbox_json_node_t *node)
{
    char *s;
    size_t len;
    const char *reason = NULL;

    s = agent_body_string(doc, node, &reason);
    if (s == NULL) {
        return reason;
    }

    len = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                    "0123456789_-");

    if (len == 0 || len >= AGENT_SESSION_ID_SIZE || s[len] != '\0') {
        reason = "must be 1 to 64 letters, digits, \"_\" and \"-\"";
    } else {
        memcpy(out, s, len + 1);
    }

    free(s);

    return reason;
}


const char *
agent_body_terminal_size(int64_t *out, const sandbox_json_t *doc,
                         const sandbox_json_node_t *node)
{
    return agent_body_integer(out, 1, AGENT_TERMINAL_MAX,
                              "must be an integer from 1 to 10000", doc, node);
}


/* "KILL" and "SIGKILL" are the same; 0 if there is no such signal. */
static int
body_signal_number(const char *name)
{
    int i;
    const char *abbrev;

    if (strncmp(name, "SIG", 3) == 0) {
        name += 3;
    }

    for (i = 1; i <= SIGNAL_LAST; i++) {
        abbrev = sigabbrev_np(i);
        if (abbrev != NULL && strcmp(name, abbrev) == 0) {
            return i;
        }
    }

    return 0;
}


const char *
agent_body_signal(int *out, const sandbox_json_t *doc,
                  const sandbox_json_node_t *node)
{
    char *s;
    int64_t n;
    const char *reason = NULL;

    if (node->type == SANDBOX_JSON_STRING) {
        s = agent_body_string(doc, node, &reason);
        if (s == NULL) {
            return reason;
        }

        n = body_signal_number(s);
        free(s);

    } else if (sandbox_json_integer(doc, node, &n) == -1) {
        n = 0;
    }

    if (n < 1 || n > SIGNAL_LAST) {
        return "must be the name or number of a signal";
    }

    *out = (int) n;

    return NULL;
}
