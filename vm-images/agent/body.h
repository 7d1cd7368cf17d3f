/*
 * Reads JSON objects into checked values, by a table of their members.  A
 * member that is null counts as left out; an unknown member is refused.  No
 * I/O.
 */

#ifndef AGENT_BODY_H
#define AGENT_BODY_H

#include <stddef.h>

#include "fields.h"
#include "sandbox_json.h"
#include "sandbox_json_path.h"

typedef enum {
    AGENT_BODY_OK = 0,
    AGENT_BODY_NOT_JSON,
    AGENT_BODY_INVALID,
    AGENT_BODY_NO_MEMORY
} agent_body_status_t;

typedef struct {
    char field[SANDBOX_JSON_PATH_SIZE];
    char reason[256];
} agent_body_error_t;

/*
 * A member of an object, or a parameter of a query.  An object may have
 * several forms, which are bits; a member without forms belongs to all.
 */
typedef struct {
    const char *name;
    unsigned forms;
    unsigned required; /* the forms that must have it */
    agent_field_kind_t kind;
    void *value;

    /* Of AGENT_FIELD_OTHER: NULL, or why the value is refused. */
    const char *(*read)(void *value, const sandbox_json_t *doc,
                        const sandbox_json_node_t *node);

    int given; /* set by body_read: the member is there, and not null */
} agent_field_t;

/* Sets the values of the fields that are given.  err is set unless OK. */
agent_body_status_t
agent_body_read(agent_field_t *fields, size_t n, unsigned form,
                const sandbox_json_t *doc, agent_body_error_t *err);

/* The same for a JSON text, in form 1; an empty text is an empty object. */
agent_body_status_t
agent_body_parse(agent_field_t *fields, size_t n, const char *body, size_t len,
                 agent_body_error_t *err);

/* Parses a JSON text; on OK the caller frees doc. */
agent_body_status_t agent_body_json(sandbox_json_t *doc, const char *body,
                                    size_t len, agent_body_error_t *err);

/* Sets err, for a rule across members; INVALID, or NO_MEMORY by the reason. */
agent_body_status_t agent_body_refuse(agent_body_error_t *err,
                                      const char *field, const char *reason);

#endif
