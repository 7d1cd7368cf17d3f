/*
 * The names of an object's members in order.  Names with escapes are unescaped
 * once, before they are compared: to do it at each comparison would let a body
 * of long ones cost many times its reading.  Pure C, any thread.
 */

#ifndef SANDBOX_JSON_NAMES_H
#define SANDBOX_JSON_NAMES_H

#include "sandbox_json.h"

/* Most objects are small: memory is taken for the others only. */
#define SANDBOX_JSON_NAMES_FEW 16

typedef struct {
    const char *text; /* unescaped, not NUL-terminated */
    size_t len;
    char *copy; /* what text is of a name with escapes, or NULL */
    const sandbox_json_node_t *node;
} sandbox_json_name_t;

typedef struct {
    sandbox_json_name_t *names; /* sorted by their bytes */
    size_t n;
    sandbox_json_name_t few[SANDBOX_JSON_NAMES_FEW];
} sandbox_json_names_t;

/*
 * The names are valid as long as the document is, and no node is added.  0, or
 * -1 if memory is out and there is nothing to free.
 */
int sandbox_json_names(sandbox_json_names_t *names, const sandbox_json_t *doc,
                       const sandbox_json_node_t *object);
void sandbox_json_names_free(sandbox_json_names_t *names);

/* Less than 0, 0 or more, of two sandbox_json_name_t, as qsort() wants it. */
int sandbox_json_names_order(const void *a, const void *b);

#endif
