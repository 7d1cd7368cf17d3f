/*
 * The kinds of values that requests have: from the text of a query or header,
 * and from JSON.  No I/O.
 */

#ifndef AGENT_FIELDS_H
#define AGENT_FIELDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox_json.h"
#include "sandbox_path.h"

#define AGENT_SHA256_LEN 32
#define AGENT_SHA256_HEX_SIZE 65
#define AGENT_USER_SIZE 33
#define AGENT_SESSION_ID_SIZE 65
#define AGENT_TERMINAL_MAX 10000 /* columns or rows */
#define AGENT_PARTS_MAX 10000
#define AGENT_LIMIT_MAX 10000
#define AGENT_FIELD_NO_MEMORY "memory is out"

typedef enum {
    AGENT_FIELD_PATH = 0,   /* char[SANDBOX_PATH_MAX] */
    AGENT_FIELD_MODE,       /* mode_t */
    AGENT_FIELD_BOOL,       /* int */
    AGENT_FIELD_SHA256,     /* char[AGENT_SHA256_HEX_SIZE], lower case */
    AGENT_FIELD_USER,       /* char[AGENT_USER_SIZE] */
    AGENT_FIELD_SESSION_ID, /* char[AGENT_SESSION_ID_SIZE] */

    /* of queries alone */
    AGENT_FIELD_LIMIT, /* unsigned, 1 to AGENT_LIMIT_MAX */

    /* of JSON alone */
    AGENT_FIELD_SIZE,     /* int64_t, not negative */
    AGENT_FIELD_TERMINAL, /* int64_t, 1 to AGENT_TERMINAL_MAX */
    AGENT_FIELD_SIGNAL,   /* int, from a name or number */
    AGENT_FIELD_PARTS,    /* agent_parts_t */
    AGENT_FIELD_OTHER,    /* whatever the read() in the table sets */
    AGENT_FIELD_ELSEWHERE /* none: the value is read by other code */
} agent_field_kind_t;

typedef struct {
    unsigned n;
    struct {
        unsigned number;
        char sha256[AGENT_SHA256_HEX_SIZE]; /* "" if not given */
    } * list; /* freed by the caller, also after a failure */
} agent_parts_t;

/* Read a value of a kind.  NULL, or why the value is refused (static). */
const char *
agent_field_text(agent_field_kind_t kind, void *value, const char *text);
const char *
agent_field_json(agent_field_kind_t kind, void *value,
                 const sandbox_json_t *doc, const sandbox_json_node_t *node);

/* 0, or -1 if text is no SHA-256 in hex. */
int agent_sha256_read(char out[AGENT_SHA256_HEX_SIZE], const char *text);

/* --- for the read() of a table ------------------------------------------ */

/* The text of a string node, freed by the caller; or NULL with *reason set. */
char *agent_field_string(const sandbox_json_t *doc,
                         const sandbox_json_node_t *node, const char **reason);

/* NULL, or the given reason if the node is no integer from min to max. */
const char *
agent_field_integer(int64_t *out, int64_t min, int64_t max, const char *reason,
                    const sandbox_json_t *doc, const sandbox_json_node_t *node);

/* Read bytes, as text or base64; the caller frees *out.  NULL, or why not. */
const char *
agent_field_bytes(char **out, size_t *len, const sandbox_json_t *doc,
                  const sandbox_json_node_t *node);
const char *
agent_field_base64(char **out, size_t *len, const sandbox_json_t *doc,
                   const sandbox_json_node_t *node);

#endif
