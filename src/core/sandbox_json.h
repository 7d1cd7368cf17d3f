/*
 * Strict JSON (RFC 8259) over a caller's text.
 *
 * The parsed document is an array of nodes that point into the text, so that
 * a member can be stored or echoed byte for byte as the client spelled it.
 * Refused: invalid UTF-8, duplicate member names (compared after unescaping),
 * NUL in strings, lone surrogates, nesting over SANDBOX_JSON_MAX_DEPTH, more
 * than SANDBOX_JSON_MAX_NODES values or SANDBOX_JSON_MAX_LEN bytes, anything
 * after the value.
 *
 * Pure functions; any thread.  The text is not copied: it must outlive the
 * document.
 */

#ifndef SANDBOX_JSON_H
#define SANDBOX_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_json_path.h"

#define SANDBOX_JSON_MAX_DEPTH 64
#define SANDBOX_JSON_MAX_NODES 65536
#define SANDBOX_JSON_MAX_MEMBERS 4096 /* of one object */
#define SANDBOX_JSON_MAX_LEN (64 * 1024 * 1024)

typedef enum {
    SANDBOX_JSON_NULL = 1,
    SANDBOX_JSON_FALSE,
    SANDBOX_JSON_TRUE,
    SANDBOX_JSON_NUMBER,
    SANDBOX_JSON_STRING,
    SANDBOX_JSON_ARRAY,
    SANDBOX_JSON_OBJECT
} sandbox_json_type_t;

typedef struct {
    sandbox_json_type_t type;
    uint32_t start;     /* first byte of the value in the text */
    uint32_t len;       /* its length, quotes and braces included */
    uint32_t key_start; /* member name with its quotes; 0,0 if not a member */
    uint32_t key_len;
    uint32_t child; /* index of the first member or element, 0 if none */
    uint32_t next;  /* index of the next sibling, 0 if last */
    uint32_t count; /* members or elements */
} sandbox_json_node_t;

typedef struct {
    const char *text;
    size_t len;
    sandbox_json_node_t *nodes; /* nodes[0] is the root */
    size_t nnodes;
} sandbox_json_t;

typedef struct {
    size_t offset;      /* where in the text parsing stopped */
    const char *reason; /* static sentence fragment, never NULL on error */
    char field[SANDBOX_JSON_PATH_SIZE]; /* the value at fault; "": the whole */
} sandbox_json_error_t;

/* 0, or -1 with *err set; on -1 the document is empty and needs no free. */
int sandbox_json_parse(sandbox_json_t *doc, const char *text, size_t len,
                       sandbox_json_error_t *err);
void sandbox_json_free(sandbox_json_t *doc);

/* The member of an object by its unescaped name, or NULL. */
const sandbox_json_node_t *
sandbox_json_member(const sandbox_json_t *doc, const sandbox_json_node_t *obj,
                    const char *name);

const sandbox_json_node_t *
sandbox_json_child(const sandbox_json_t *doc, const sandbox_json_node_t *node);
const sandbox_json_node_t *
sandbox_json_next(const sandbox_json_t *doc, const sandbox_json_node_t *node);

/*
 * The unescaped UTF-8 of a string value (or of a member's name), without
 * quotes, in memory the caller frees, NUL-terminated; *len may be NULL.
 * NULL if the node is not a string or memory is out.
 */
char *sandbox_json_string(const sandbox_json_t *doc,
                          const sandbox_json_node_t *node, size_t *len);
char *sandbox_json_key(const sandbox_json_t *doc,
                       const sandbox_json_node_t *node, size_t *len);

/*
 * The name of a member where it stands in the text, without quotes and not
 * NUL-terminated; NULL if it has escapes.
 */
const char *
sandbox_json_plain_key(const sandbox_json_t *doc,
                       const sandbox_json_node_t *node, size_t *len);

/*
 * Unlinks the members of an object that are null: from now on they are as if
 * they had been left out.
 */
void
sandbox_json_drop_nulls(sandbox_json_t *doc, const sandbox_json_node_t *object);

/*
 * A number that is a whole value within int64 (1, 1.0 and 1e3 are; 1.5 is
 * not).  0, or -1 if the node is no such number.
 */
int sandbox_json_integer(const sandbox_json_t *doc,
                         const sandbox_json_node_t *node, int64_t *value);

#endif
