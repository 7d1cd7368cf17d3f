/*
 * Request bodies checked against tables of members.
 *
 * A table describes the members of an object: type, bounds, nested tables,
 * and what is not built yet.  sandbox_schema_walk() refuses what a table does
 * not allow and leaves each member's node in a slot, so that rules between
 * members are plain code after it; members that are null are taken out of the
 * document, as if they had been left out.  sandbox_schema_features() then finds
 * what is valid but not built.  A refusal names the dotted path and a reason.
 *
 * Knows no resource.  Pure C, any thread.
 */

#ifndef SANDBOX_SCHEMA_H
#define SANDBOX_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_json.h"

#define SANDBOX_SCHEMA_SLOTS 48

typedef enum {
    SANDBOX_SCHEMA_OK = 0,
    SANDBOX_SCHEMA_REFUSED,
    SANDBOX_SCHEMA_NO_MEMORY
} sandbox_schema_status_t;

typedef enum {
    SANDBOX_SCHEMA_INTEGER,
    SANDBOX_SCHEMA_BOOL,
    SANDBOX_SCHEMA_STRING,
    SANDBOX_SCHEMA_WORD, /* a string that is one of words */
    SANDBOX_SCHEMA_OBJECT,
    SANDBOX_SCHEMA_ARRAY
} sandbox_schema_type_t;

typedef struct sandbox_schema_member_s sandbox_schema_member_t;

typedef struct {
    sandbox_json_t doc;
    const void *limits; /* struct of int64_t, for SANDBOX_SCHEMA_LIMIT() */
    void *data;         /* the caller's */

    /* of members that are given and not null; values of integers */
    const sandbox_json_node_t *node[SANDBOX_SCHEMA_SLOTS];
    int64_t number[SANDBOX_SCHEMA_SLOTS];

    char path[SANDBOX_JSON_PATH_SIZE]; /* of the member walked, or refused */
    char reason[256];                  /* of a refusal */
    int limited; /* 1: refused for a bound of *limits, or of the caller's */
} sandbox_schema_t;

struct sandbox_schema_member_s {
    const char *name; /* NULL ends a table */
    int slot;
    sandbox_schema_type_t type;
    int64_t min;  /* integer: least value; string: least bytes */
    int64_t max;  /* most: value, bytes (of JSON text, if an object), items */
    size_t limit; /* SANDBOX_SCHEMA_LIMIT() of an integer, or 0 */
    const char *const *words;               /* of a word; NULL ends them */
    const sandbox_schema_member_t *members; /* of an object or of items */
    int required;

    /*
     * Checks strings and containers further than the columns above; text is
     * NULL unless the member is a string.
     */
    sandbox_schema_status_t (*check)(sandbox_schema_t *s,
                                     const sandbox_json_node_t *node,
                                     const char *text);

    /*
     * NULL if the feature is built.  Otherwise gives 1 if the member's value
     * does not need the feature, and so is accepted.
     */
    int (*plain)(const sandbox_schema_t *s, const sandbox_schema_member_t *m);
};

/* For the column limit: a member of *limits that also bounds the value. */
#define SANDBOX_SCHEMA_LIMIT(type, member) (offsetof(type, member) + 1)

/*
 * Reads a body into s->doc, which the caller frees; an empty body stands for
 * {}. REFUSED if the body is no JSON object: then there is no document.
 */
sandbox_schema_status_t
sandbox_schema_read(sandbox_schema_t *s, const char *body, size_t len);

sandbox_schema_status_t
sandbox_schema_walk(sandbox_schema_t *s, const sandbox_schema_member_t *table,
                    const sandbox_json_node_t *object);

/* REFUSED if a member asks for a feature that is not built. */
sandbox_schema_status_t
sandbox_schema_features(sandbox_schema_t *s,
                        const sandbox_schema_member_t *table);

/* Refuses the member at path, or the one being walked if path is NULL. */
sandbox_schema_status_t
sandbox_schema_refuse(sandbox_schema_t *s, const char *path, const char *fmt,
                      ...) __attribute__((format(printf, 3, 4)));

/*
 * For checks that descend on their own: appends a name or an index to the
 * path and gives what sandbox_schema_leave() needs.
 */
size_t sandbox_schema_enter(sandbox_schema_t *s, const char *name);
size_t sandbox_schema_enter_item(sandbox_schema_t *s, size_t index);
void sandbox_schema_leave(sandbox_schema_t *s, size_t mark);

/* 1 if the member is given and is this word, or is true. */
int sandbox_schema_is(const sandbox_schema_t *s, int slot, const char *word);
int sandbox_schema_true(const sandbox_schema_t *s, int slot);

/* The value of an integer, or otherwise if the member was not given. */
int64_t
sandbox_schema_value(const sandbox_schema_t *s, int slot, int64_t otherwise);

/* The text of a member as the client wrote it, malloc'd; NULL: no memory. */
char *sandbox_schema_verbatim(const sandbox_schema_t *s,
                              const sandbox_json_node_t *node);

/* For the column check: what sandbox_syntax_id() takes. */
sandbox_schema_status_t
sandbox_schema_id(sandbox_schema_t *s, const sandbox_json_node_t *node,
                  const char *text);

/* For the column plain: accept no value; only an array without items. */
int sandbox_schema_plain_never(const sandbox_schema_t *s,
                               const sandbox_schema_member_t *m);
int sandbox_schema_plain_empty(const sandbox_schema_t *s,
                               const sandbox_schema_member_t *m);

#endif
