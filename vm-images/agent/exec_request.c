/*
 * The schema of exec, as a table of members; rules across members follow it.
 * Knows what a request may say, not how it is carried out.
 */

#define _GNU_SOURCE

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec_request.h"
#include "sandbox_json.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NO_MEMORY "memory is out"
#define SIGNAL_LAST 31 /* real-time signals mean nothing to most programs */

typedef struct {
    agent_exec_request_t *req;
    char *command;
    char **args; /* strings taken over by argv in the end */
    size_t nargs;
    int has_args;
    int shell;
    int background;
} exec_parse_t;

typedef struct {
    const char *name;

    /* NULL, or why the value cannot be. */
    const char *(*read)(exec_parse_t *p, const sandbox_json_t *doc,
                        const sandbox_json_node_t *node);
} exec_member_t;


/* A string node's text, freed by the caller; or NULL with *reason set. */
static char *
exec_string(const sandbox_json_t *doc, const sandbox_json_node_t *node,
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


static const char *
exec_bool(int *out, const sandbox_json_node_t *node)
{
    if (node->type != SANDBOX_JSON_TRUE && node->type != SANDBOX_JSON_FALSE) {
        return "must be true or false";
    }

    *out = node->type == SANDBOX_JSON_TRUE;

    return NULL;
}


static const char *
exec_command(exec_parse_t *p, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    const char *reason = NULL;

    p->command = exec_string(doc, node, &reason);
    if (p->command != NULL && p->command[0] == '\0') {
        return "must not be empty";
    }

    return reason;
}


static const char *
exec_args(exec_parse_t *p, const sandbox_json_t *doc,
          const sandbox_json_node_t *node)
{
    const char *reason = NULL;
    const sandbox_json_node_t *item;

    if (node->type != SANDBOX_JSON_ARRAY) {
        return "must be an array of strings";
    }

    if (node->count > AGENT_EXEC_ARGS_MAX) {
        return "must not have more than 4096 elements";
    }

    p->has_args = node->count > 0;
    p->args = calloc(node->count + 1, sizeof(char *));
    if (p->args == NULL) {
        return NO_MEMORY;
    }

    for (item = sandbox_json_child(doc, node); item != NULL;
         item = sandbox_json_next(doc, item))
    {
        p->args[p->nargs] = exec_string(doc, item, &reason);
        if (p->args[p->nargs] == NULL) {
            return strcmp(reason, NO_MEMORY) == 0
                       ? reason
                       : "must be an array of strings";
        }

        p->nargs++;
    }

    return NULL;
}


static const char *
exec_timeout(exec_parse_t *p, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    int64_t n;

    if (sandbox_json_integer(doc, node, &n) == -1 || n < 1
        || n > AGENT_EXEC_TIMEOUT_MAX)
    {
        return "must be an integer from 1 to 86400";
    }

    p->req->timeout_secs = n;

    return NULL;
}


static const char *
exec_cwd(exec_parse_t *p, const sandbox_json_t *doc,
         const sandbox_json_node_t *node)
{
    int rc;
    char *s;
    const char *reason = NULL;

    s = exec_string(doc, node, &reason);
    if (s == NULL) {
        return reason;
    }

    rc = sandbox_path_normalise(p->req->cwd, sizeof(p->req->cwd), s, strlen(s),
                                &reason);
    free(s);

    return rc == 0 ? NULL : reason;
}


static const char *
exec_envs(exec_parse_t *p, const sandbox_json_t *doc,
          const sandbox_json_node_t *node)
{
    const char *reason = NULL;

    return agent_env_json(&p->req->envs, doc, node, &reason) == 0 ? NULL
                                                                  : reason;
}


static const char *
exec_shell(exec_parse_t *p, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    (void) doc;

    return exec_bool(&p->shell, node);
}


static const char *
exec_background(exec_parse_t *p, const sandbox_json_t *doc,
                const sandbox_json_node_t *node)
{
    (void) doc;

    return exec_bool(&p->background, node);
}


static const char *
exec_user(exec_parse_t *p, const sandbox_json_t *doc,
          const sandbox_json_node_t *node)
{
    const char *reason = NULL;

    p->req->user = exec_string(doc, node, &reason);
    if (p->req->user != NULL
        && (p->req->user[0] == '\0' || strlen(p->req->user) > 32))
    {
        return "must be a user name or number of at most 32 characters";
    }

    return reason;
}


/* "KILL" and "SIGKILL" are the same; 0 if there is no such signal. */
static int
exec_signal_number(const char *name)
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
exec_signal(exec_parse_t *p, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    char *s;
    int64_t n;
    const char *reason = NULL;

    if (node->type == SANDBOX_JSON_STRING) {
        s = exec_string(doc, node, &reason);
        if (s == NULL) {
            return reason;
        }

        n = exec_signal_number(s);
        free(s);

    } else if (sandbox_json_integer(doc, node, &n) == -1) {
        n = 0;
    }

    if (n < 1 || n > SIGNAL_LAST) {
        return "must be the name or number of a signal";
    }

    p->req->signal = (int) n;

    return NULL;
}


static const exec_member_t exec_members[] = {
    { "command", exec_command },
    { "args", exec_args },
    { "timeout_secs", exec_timeout },
    { "cwd", exec_cwd },
    { "envs", exec_envs },
    { "shell", exec_shell },
    { "background", exec_background },
    { "user", exec_user },
    { "signal", exec_signal },
};


static agent_exec_status_t
exec_refuse(agent_exec_error_t *err, const char *field, const char *reason)
{
    snprintf(err->field, sizeof(err->field), "%s", field);
    snprintf(err->reason, sizeof(err->reason), "%s", reason);

    return strcmp(reason, NO_MEMORY) == 0 ? AGENT_EXEC_NO_MEMORY
                                          : AGENT_EXEC_INVALID;
}


static const char *
exec_member(exec_parse_t *p, const sandbox_json_t *doc,
            const sandbox_json_node_t *node, const char *name)
{
    size_t i;

    if (node->type == SANDBOX_JSON_NULL) {
        return NULL;
    }

    for (i = 0; i < COUNT(exec_members); i++) {
        if (strcmp(name, exec_members[i].name) == 0) {
            return exec_members[i].read(p, doc, node);
        }
    }

    return "is not a member of this request";
}


static agent_exec_status_t
exec_walk(exec_parse_t *p, const sandbox_json_t *doc, agent_exec_error_t *err)
{
    char *name;
    const char *reason;
    agent_exec_status_t status;
    const sandbox_json_node_t *node;

    if (doc->nodes[0].type != SANDBOX_JSON_OBJECT) {
        return exec_refuse(err, "body", "must be an object");
    }

    for (node = sandbox_json_child(doc, &doc->nodes[0]); node != NULL;
         node = sandbox_json_next(doc, node))
    {
        name = sandbox_json_key(doc, node, NULL);
        if (name == NULL) {
            return exec_refuse(err, "body", NO_MEMORY);
        }

        reason = exec_member(p, doc, node, name);
        if (reason != NULL) {
            status = exec_refuse(err, name, reason);
            free(name);
            return status;
        }

        free(name);
    }

    return AGENT_EXEC_OK;
}


static agent_exec_status_t
exec_rules(const exec_parse_t *p, agent_exec_error_t *err)
{
    if (p->command == NULL) {
        return exec_refuse(err, "command", "is required");
    }

    if (p->shell && p->has_args) {
        return exec_refuse(err, "args", "cannot be given with shell");
    }

    if (p->background) {
        exec_refuse(err, "background", "is not implemented yet");
        return AGENT_EXEC_NOT_IMPLEMENTED;
    }

    return AGENT_EXEC_OK;
}


static agent_exec_status_t
exec_argv(exec_parse_t *p, agent_exec_error_t *err)
{
    size_t i;
    agent_exec_request_t *req = p->req;

    req->argv = calloc(p->nargs + 4, sizeof(char *));
    if (req->argv == NULL) {
        return exec_refuse(err, "args", NO_MEMORY);
    }

    if (p->shell) {
        req->argv[req->argc++] = strdup("/bin/sh");
        req->argv[req->argc++] = strdup("-c");

        if (req->argv[0] == NULL || req->argv[1] == NULL) {
            return exec_refuse(err, "shell", NO_MEMORY);
        }
    }

    req->argv[req->argc++] = p->command;
    p->command = NULL;

    for (i = 0; i < p->nargs; i++) {
        req->argv[req->argc++] = p->args[i];
    }

    p->nargs = 0;

    return AGENT_EXEC_OK;
}


agent_exec_status_t
agent_exec_parse(agent_exec_request_t *req, const char *body, size_t len,
                 agent_exec_error_t *err)
{
    exec_parse_t p;
    sandbox_json_t doc;
    agent_exec_status_t status;
    sandbox_json_error_t jerr;

    memset(req, 0, sizeof(*req));
    memset(&p, 0, sizeof(p));
    p.req = req;
    req->timeout_secs = 30;
    req->signal = SIGKILL;

    if (sandbox_json_parse(&doc, body, len, &jerr) == -1) {
        snprintf(err->field, sizeof(err->field), "%s",
                 jerr.field[0] ? jerr.field : "body");
        snprintf(err->reason, sizeof(err->reason), "%s at byte %zu",
                 jerr.reason, jerr.offset);
        return AGENT_EXEC_INVALID_JSON;
    }

    status = exec_walk(&p, &doc, err);
    sandbox_json_free(&doc);

    if (status == AGENT_EXEC_OK) {
        status = exec_rules(&p, err);
    }

    if (status == AGENT_EXEC_OK) {
        status = exec_argv(&p, err);
    }

    while (p.nargs > 0) {
        free(p.args[--p.nargs]);
    }

    free(p.args);
    free(p.command);

    if (status != AGENT_EXEC_OK) {
        agent_exec_free(req);
    }

    return status;
}


void
agent_exec_free(agent_exec_request_t *req)
{
    size_t i;

    for (i = 0; i < req->argc; i++) {
        free(req->argv[i]);
    }

    free(req->argv);
    free(req->user);
    agent_env_free(&req->envs);
    memset(req, 0, sizeof(*req));
}
