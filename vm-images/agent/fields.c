/*
 * Texts and JSON to checked values, by their kinds.  Must not know which
 * requests have them.
 */

#define _GNU_SOURCE

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "fs.h"
#include "sandbox_text.h"

#define NO_MEMORY AGENT_FIELD_NO_MEMORY
#define NO_SHA256 "must be a SHA-256 in 64 hex digits"
#define SIGNAL_LAST 31 /* real-time signals mean nothing to most programs */


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


static const char *
field_session_id(char out[AGENT_SESSION_ID_SIZE], const char *text)
{
    size_t len;

    len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                       "0123456789_-");

    if (len == 0 || len >= AGENT_SESSION_ID_SIZE || text[len] != '\0') {
        return "must be 1 to 64 letters, digits, \"_\" and \"-\"";
    }

    memcpy(out, text, len + 1);

    return NULL;
}


const char *
agent_field_text(agent_field_kind_t kind, void *value, const char *text)
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

    case AGENT_FIELD_SESSION_ID:
        return field_session_id(value, text);

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


char *
agent_field_string(const sandbox_json_t *doc, const sandbox_json_node_t *node,
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
agent_field_integer(int64_t *out, int64_t min, int64_t max, const char *reason,
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
agent_field_bytes(char **out, size_t *len, const sandbox_json_t *doc,
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
agent_field_base64(char **out, size_t *len, const sandbox_json_t *doc,
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

    reason = agent_field_bytes(&text, &n, doc, node);
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


static const char *
field_string(const sandbox_json_t *doc, const sandbox_json_node_t *node,
             agent_field_kind_t kind, void *value)
{
    char *s;
    const char *reason;

    s = agent_field_string(doc, node, &reason);
    if (s == NULL) {
        return reason;
    }

    reason = agent_field_text(kind, value, s);
    free(s);

    return reason;
}


/* Adds one of {"part": n, "sha256": "…"} to parts. */
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
    sum = sum != NULL && sum->type == SANDBOX_JSON_NULL ? NULL : sum;

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


/* The signal that is called "KILL" or "SIGKILL"; 0 if there is none. */
static int
field_signal_number(const char *name)
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


static const char *
field_signal(int *out, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    char *s;
    int64_t n;
    const char *reason;

    if (node->type == SANDBOX_JSON_STRING) {
        s = agent_field_string(doc, node, &reason);
        if (s == NULL) {
            return reason;
        }

        n = field_signal_number(s);
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


const char *
agent_field_json(agent_field_kind_t kind, void *value,
                 const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    switch (kind) {
    case AGENT_FIELD_BOOL:
        if (node->type != SANDBOX_JSON_TRUE && node->type != SANDBOX_JSON_FALSE)
        {
            return "must be true or false";
        }

        *(int *) value = node->type == SANDBOX_JSON_TRUE;
        return NULL;

    case AGENT_FIELD_SIZE:
        return agent_field_integer(
            value, 0, INT64_MAX, "must be a whole number of bytes", doc, node);

    case AGENT_FIELD_TERMINAL:
        return agent_field_integer(value, 1, AGENT_TERMINAL_MAX,
                                   "must be an integer from 1 to 10000", doc,
                                   node);

    case AGENT_FIELD_SIGNAL:
        return field_signal(value, doc, node);

    case AGENT_FIELD_PARTS:
        return field_parts(doc, node, value);

    default:
        return field_string(doc, node, kind, value);
    }
}
