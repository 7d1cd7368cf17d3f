/*
 * Environment lists.  Pure data; knows no process.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env.h"


void
agent_env_free(agent_env_t *env)
{
    size_t i;

    for (i = 0; i < env->n; i++) {
        free(env->list[i]);
    }

    free(env->list);
    memset(env, 0, sizeof(*env));
}


/* Takes over entry, also when it fails. */
static int
env_put(agent_env_t *env, char *entry, size_t name_len)
{
    size_t i, size;
    char **list;

    for (i = 0; i < env->n; i++) {
        if (strncmp(env->list[i], entry, name_len + 1) == 0) {
            free(env->list[i]);
            env->list[i] = entry;
            return 0;
        }
    }

    if (env->n + 2 > env->size) {
        size = env->size ? env->size * 2 : 16;
        list = realloc(env->list, size * sizeof(char *));
        if (list == NULL) {
            free(entry);
            return -1;
        }

        env->list = list;
        env->size = size;
    }

    env->list[env->n++] = entry;
    env->list[env->n] = NULL;

    return 0;
}


int
agent_env_set(agent_env_t *env, const char *name, const char *value)
{
    char *entry;
    size_t name_len, value_len;

    name_len = strlen(name);
    value_len = strlen(value);

    entry = malloc(name_len + value_len + 2);
    if (entry == NULL) {
        return -1;
    }

    memcpy(entry, name, name_len);
    entry[name_len] = '=';
    memcpy(entry + name_len + 1, value, value_len + 1);

    return env_put(env, entry, name_len);
}


int
agent_env_merge(agent_env_t *env, const agent_env_t *from)
{
    size_t i;
    char *entry;

    for (i = 0; i < from->n; i++) {
        entry = strdup(from->list[i]);
        if (entry == NULL
            || env_put(env, entry, strcspn(from->list[i], "=")) == -1) {
            return -1;
        }
    }

    return 0;
}


static int
env_name_valid(const char *name)
{
    const char *p;

    for (p = name; *p != '\0'; p++) {
        if (!(*p >= 'A' && *p <= 'Z') && !(*p >= 'a' && *p <= 'z') && *p != '_'
            && !(p != name && *p >= '0' && *p <= '9'))
        {
            return 0;
        }
    }

    return p != name;
}


static const char *
env_member(agent_env_t *env, const sandbox_json_t *doc,
           const sandbox_json_node_t *node, size_t *total)
{
    size_t name_len, value_len;
    char *name, *value;
    const char *reason;

    name = sandbox_json_key(doc, node, &name_len);
    value = NULL;
    reason = "memory is out";

    if (name == NULL) {
        goto done;
    }

    if (!env_name_valid(name)) {
        reason = "must have a name of the form [A-Za-z_][A-Za-z0-9_]*";
        goto done;
    }

    if (node->type != SANDBOX_JSON_STRING) {
        reason = "must be a string";
        goto done;
    }

    value = sandbox_json_string(doc, node, &value_len);
    if (value == NULL) {
        goto done;
    }

    *total += name_len + value_len + 2;

    if (*total > AGENT_ENV_MAX) {
        reason = "must not be larger than 64 KiB";
    } else if (agent_env_set(env, name, value) == 0) {
        reason = NULL;
    }

done:

    free(name);
    free(value);

    return reason;
}


int
agent_env_json(agent_env_t *env, const sandbox_json_t *doc,
               const sandbox_json_node_t *object,
               const sandbox_json_node_t **fault, const char **reason)
{
    size_t total;
    const sandbox_json_node_t *node;

    *fault = NULL;

    if (object->type != SANDBOX_JSON_OBJECT) {
        *reason = "must be an object";
        return -1;
    }

    if (object->count > AGENT_ENV_NAMES_MAX) {
        *reason = "must not have more than 1024 members";
        return -1;
    }

    total = 0;

    for (node = sandbox_json_child(doc, object); node != NULL;
         node = sandbox_json_next(doc, node))
    {
        *reason = env_member(env, doc, node, &total);
        if (*reason != NULL) {
            *fault = total > AGENT_ENV_MAX ? NULL : node;
            return -1;
        }
    }

    return 0;
}
