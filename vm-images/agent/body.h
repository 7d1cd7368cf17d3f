/*
 * JSON objects to checked values, by a table of their members.  A member that
 * is null is as if it were left out, another that is unknown is refused.  No
 * I/O.
 */

#ifndef AGENT_BODY_H
#define AGENT_BODY_H

#include <stddef.h>

#include "sandbox_json.h"

#define AGENT_SESSION_ID_SIZE 65
#define AGENT_TERMINAL_MAX 10000 /* columns or rows */
#define AGENT_BODY_NO_MEMORY_REASON "memory is out"

typedef enum {
    AGENT_BODY_OK = 0,
    AGENT_BODY_NOT_JSON,
    AGENT_BODY_INVALID,
    AGENT_BODY_NO_MEMORY
} agent_body_status_t;

typedef struct {
    char field[128];
    char reason[256];
} agent_body_error_t;

/* A member of one or several forms of an object, which are bits. */
typedef struct {
    const char *name;
    unsigned forms;
    unsigned required; /* in which of them */

    /* NULL, or why the value cannot be; NULL itself: it is read elsewhere. */
    const char *(*read)(void *out, const sandbox_json_t *doc,
                        const sandbox_json_node_t *node);
} agent_member_t;

typedef struct {
    const agent_member_t *members;
    size_t n; /* at most 32 */
} agent_body_schema_t;

/* Gives out what each member's read() makes of it.  err is set unless OK. */
agent_body_status_t
agent_body_read(const agent_body_schema_t *schema, unsigned form, void *out,
                const sandbox_json_t *doc, agent_body_error_t *err);

/* The document of a text; on OK the caller frees it. */
agent_body_status_t agent_body_json(sandbox_json_t *doc, const char *body,
                                    size_t len, agent_body_error_t *err);

/* Sets err; what a rule across members finds. */
agent_body_status_t agent_body_refuse(agent_body_error_t *err,
                                      const char *field, const char *reason);

/* A string node's text, freed by the caller; or NULL with *reason set. */
char *agent_body_string(const sandbox_json_t *doc,
                        const sandbox_json_node_t *node, const char **reason);

/* NULL, or why the value cannot be. */
const char *agent_body_bool(int *out, const sandbox_json_node_t *node);
const char *
agent_body_integer(int64_t *out, int64_t min, int64_t max, const char *reason,
                   const sandbox_json_t *doc, const sandbox_json_node_t *node);

/* Bytes as text or in base64, freed by the caller. */
const char *agent_body_text(char **out, size_t *len, const sandbox_json_t *doc,
                            const sandbox_json_node_t *node);
const char *
agent_body_base64(char **out, size_t *len, const sandbox_json_t *doc,
                  const sandbox_json_node_t *node);

/* The name of a terminal's session, and its columns or rows. */
const char *agent_body_session_id(char out[AGENT_SESSION_ID_SIZE],
                                  const sandbox_json_t *doc,
                                  const sandbox_json_node_t *node);
const char *agent_body_terminal_size(int64_t *out, const sandbox_json_t *doc,
                                     const sandbox_json_node_t *node);

/* The name or number of a signal. */
const char *agent_body_signal(int *out, const sandbox_json_t *doc,
                              const sandbox_json_node_t *node);

#endif
