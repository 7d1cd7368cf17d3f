/*
 * Environments: lists of NAME=value in the form execve() takes.
 */

#ifndef AGENT_ENV_H
#define AGENT_ENV_H

#include <stddef.h>

#include "sandbox_json.h"

#define AGENT_ENV_MAX 65536 /* bytes of names and values given by a request */
#define AGENT_ENV_NAMES_MAX 1024

typedef struct {
    char **list; /* NULL-terminated once anything was set; may be NULL */
    size_t n;
    size_t size;
} agent_env_t;

void agent_env_free(agent_env_t *env);

/* Sets or replaces a variable; 0, or -1 if memory is out. */
int agent_env_set(agent_env_t *env, const char *name, const char *value);

/* Sets all variables of from in env; 0, or -1 if memory is out. */
int agent_env_merge(agent_env_t *env, const agent_env_t *from);

/*
 * Sets the members of a JSON object, whose names must be
 * [A-Za-z_][A-Za-z0-9_]* and values strings.  0, or -1 with *reason (static)
 * set, also if memory is out, and *fault to the member that it is about, or to
 * NULL if it is about them all; env may then have some of them.
 */
int agent_env_json(agent_env_t *env, const sandbox_json_t *doc,
                   const sandbox_json_node_t *object,
                   const sandbox_json_node_t **fault, const char **reason);

#endif
