/*
 * A command's members, as a table of fields; rules across members follow it.
 * Knows what a request may say, not how it is carried out.
 */

#define _GNU_SOURCE

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "exec_request.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NO_MEMORY AGENT_FIELD_NO_MEMORY
#define TIMEOUT_DEFAULT 30

#define POST AGENT_EXEC_POST
#define STREAM AGENT_EXEC_STREAM
#define PTY AGENT_EXEC_PTY
#define ALL (POST | STREAM | PTY)
#define OTHER AGENT_FIELD_OTHER

typedef struct {
    agent_exec_request_t *req;
    char *command;
    char **args; /* strings taken over by argv in the end */
    size_t nargs;
    int has_args;
    const sandbox_json_node_t *fault; /* of args or envs, if it is one item */
} exec_parse_t;


static const char *
exec_command(void *value, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    exec_parse_t *p = value;
    const char *reason = NULL;

    p->command = agent_field_string(doc, node, &reason);
    if (p->command != NULL && p->command[0] == '\0') {
        return "must not be empty";
    }

    return reason;
}


static const char *
exec_args(void *value, const sandbox_json_t *doc,
          const sandbox_json_node_t *node)
{
    exec_parse_t *p = value;
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
        p->args[p->nargs] = agent_field_string(doc, item, &reason);
        if (p->args[p->nargs] == NULL) {
            p->fault = item;
            return reason;
        }

        p->nargs++;
    }

    return NULL;
}


static const char *
exec_timeout(void *value, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    agent_exec_request_t *req = value;

    return agent_field_integer(&req->timeout_secs, 1, AGENT_EXEC_TIMEOUT_MAX,
                               "must be an integer from 1 to 86400", doc, node);
}


static const char *
exec_cwd(void *value, const sandbox_json_t *doc,
         const sandbox_json_node_t *node)
{
    int rc;
    char *s;
    agent_exec_request_t *req = value;
    const char *reason = NULL;

    s = agent_field_string(doc, node, &reason);
    if (s == NULL) {
        return reason;
    }

    rc = sandbox_path_normalise(req->cwd, sizeof(req->cwd), s, strlen(s),
                                &reason);
    free(s);

    return rc == 0 ? NULL : reason;
}


static const char *
exec_envs(void *value, const sandbox_json_t *doc,
          const sandbox_json_node_t *node)
{
    exec_parse_t *p = value;
    const char *reason = NULL;

    return agent_env_json(&p->req->envs, doc, node, &p->fault, &reason) == 0
               ? NULL
               : reason;
}


static const char *
exec_stdin(void *value, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    agent_exec_request_t *req = value;

    return agent_field_bytes(&req->input, &req->input_len, doc, node);
}


static const char *
exec_stdin_base64(void *value, const sandbox_json_t *doc,
                  const sandbox_json_node_t *node)
{
    agent_exec_request_t *req = value;

    return agent_field_base64(&req->input, &req->input_len, doc, node);
}


static const char *
exec_encoding(void *value, const sandbox_json_t *doc,
              const sandbox_json_node_t *node)
{
    char *s;
    agent_exec_request_t *req = value;
    const char *reason = NULL;

    s = agent_field_string(doc, node, &reason);
    if (s == NULL) {
        return reason;
    }

    req->base64 = strcmp(s, "base64") == 0;
    reason = req->base64 || strcmp(s, "utf-8") == 0
                 ? NULL
                 : "must be \"utf-8\" or \"base64\"";
    free(s);

    return reason;
}


/* Completes the name of the member at fault by that of its item. */
static void
exec_fault(const exec_parse_t *p, const sandbox_json_t *doc,
           agent_body_error_t *err)
{
    char *name;

    if (strcmp(err->field, "args") == 0) {
        sandbox_json_path_index(err->field, p->nargs);
        return;
    }

    name = sandbox_json_key(doc, p->fault, NULL);
    if (name != NULL) {
        sandbox_json_path_name(err->field, name);
        free(name);
    }
}


static agent_body_status_t
exec_rules(const exec_parse_t *p, agent_body_error_t *err)
{
    if (p->req->shell && p->has_args) {
        return agent_body_refuse(err, "args", "cannot be given with shell");
    }

    if (p->command == NULL && p->has_args) {
        return agent_body_refuse(err, "args",
                                 "cannot be given without command");
    }

    return AGENT_BODY_OK;
}


static agent_body_status_t
exec_argv(exec_parse_t *p, agent_body_error_t *err)
{
    size_t i;
    agent_exec_request_t *req = p->req;

    req->argv = calloc(p->nargs + 4, sizeof(char *));
    if (req->argv == NULL) {
        return agent_body_refuse(err, "args", NO_MEMORY);
    }

    if (p->command == NULL) {
        return AGENT_BODY_OK;
    }

    if (req->shell) {
        req->argv[req->argc++] = strdup("/bin/sh");
        req->argv[req->argc++] = strdup("-c");
        req->command = req->argc;

        if (req->argv[0] == NULL || req->argv[1] == NULL) {
            return agent_body_refuse(err, "shell", NO_MEMORY);
        }
    }

    req->argv[req->argc++] = p->command;
    p->command = NULL;

    for (i = 0; i < p->nargs; i++) {
        req->argv[req->argc++] = p->args[i];
    }

    p->nargs = 0;

    return AGENT_BODY_OK;
}


agent_body_status_t
agent_exec_read(agent_exec_request_t *req, agent_exec_form_t form,
                const sandbox_json_t *doc, agent_body_error_t *err)
{
    exec_parse_t p;
    agent_body_status_t status;
    agent_field_t fields[] = {
        { "command", ALL, POST | STREAM, OTHER, &p, exec_command },
        { "args", ALL, 0, OTHER, &p, exec_args },
        { "timeout_secs", POST | STREAM, 0, OTHER, req, exec_timeout },
        { "cwd", ALL, 0, OTHER, req, exec_cwd },
        { "envs", ALL, 0, OTHER, &p, exec_envs },
        { "shell", POST | STREAM, 0, AGENT_FIELD_BOOL, &req->shell },
        { "background", POST, 0, AGENT_FIELD_BOOL, &req->background },
        { "user", ALL, 0, AGENT_FIELD_USER, req->user },
        { "signal", POST, 0, AGENT_FIELD_SIGNAL, &req->signal },
        { "stdin", POST, 0, OTHER, req, exec_stdin },
        { "stdin_base64", POST, 0, OTHER, req, exec_stdin_base64 },
        { "stdin", STREAM, 0, AGENT_FIELD_BOOL, &req->pipe },
        { "encoding", POST, 0, OTHER, req, exec_encoding },
        { "session_id", PTY, 0, AGENT_FIELD_SESSION_ID, req->session_id },
        { "cols", PTY, 0, AGENT_FIELD_TERMINAL, &req->cols },
        { "rows", PTY, 0, AGENT_FIELD_TERMINAL, &req->rows },
        { "type", STREAM | PTY, 0, AGENT_FIELD_ELSEWHERE },
        { "stream_id", STREAM | PTY, 0, AGENT_FIELD_ELSEWHERE },
    };

    memset(req, 0, sizeof(*req));
    memset(&p, 0, sizeof(p));
    p.req = req;
    req->signal = SIGKILL;
    req->cols = 80;
    req->rows = 24;

    status = agent_body_read(fields, COUNT(fields), form, doc, err);

    if (status == AGENT_BODY_INVALID && p.fault != NULL) {
        exec_fault(&p, doc, err);
    }

    if (status == AGENT_BODY_OK) {
        status = exec_rules(&p, err);
    }

    if (status == AGENT_BODY_OK) {
        status = exec_argv(&p, err);
    }

    while (p.nargs > 0) {
        free(p.args[--p.nargs]);
    }

    free(p.args);
    free(p.command);

    if (status != AGENT_BODY_OK) {
        agent_exec_free(req);
    }

    /* A command in the background, which nobody waits for, has no default. */
    if (form == POST && req->timeout_secs == 0 && !req->background) {
        req->timeout_secs = TIMEOUT_DEFAULT;
    }

    return status;
}


agent_body_status_t
agent_exec_parse(agent_exec_request_t *req, const char *body, size_t len,
                 agent_body_error_t *err)
{
    sandbox_json_t doc;
    agent_body_status_t status;

    memset(req, 0, sizeof(*req));

    status = agent_body_json(&doc, body, len, err);
    if (status != AGENT_BODY_OK) {
        return status;
    }

    status = agent_exec_read(req, AGENT_EXEC_POST, &doc, err);
    sandbox_json_free(&doc);

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
    free(req->input);
    agent_env_free(&req->envs);
    memset(req, 0, sizeof(*req));
}
