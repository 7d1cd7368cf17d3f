/*
 * The schema of a command, as a table of members; rules across members follow
 * it.  Knows what a request may say, not how it is carried out.
 */

#define _GNU_SOURCE

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "exec_request.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NO_MEMORY AGENT_BODY_NO_MEMORY_REASON
#define TIMEOUT_DEFAULT 30

#define POST AGENT_EXEC_POST
#define STREAM AGENT_EXEC_STREAM
#define PTY AGENT_EXEC_PTY
#define ALL (POST | STREAM | PTY)

typedef struct {
    agent_exec_request_t *req;
    char *command;
    char **args; /* strings taken over by argv in the end */
    size_t nargs;
    int has_args;
} exec_parse_t;


static const char *
exec_command(void *out, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;
    const char *reason = NULL;

    p->command = agent_body_string(doc, node, &reason);
    if (p->command != NULL && p->command[0] == '\0') {
        return "must not be empty";
    }

    return reason;
}


static const char *
exec_args(void *out, const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;
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
        p->args[p->nargs] = agent_body_string(doc, item, &reason);
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
exec_timeout(void *out, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    return agent_body_integer(&p->req->timeout_secs, 1, AGENT_EXEC_TIMEOUT_MAX,
                              "must be an integer from 1 to 86400", doc, node);
}


static const char *
exec_cwd(void *out, const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    int rc;
    char *s;
    exec_parse_t *p = out;
    const char *reason = NULL;

    s = agent_body_string(doc, node, &reason);
    if (s == NULL) {
        return reason;
    }

    rc = sandbox_path_normalise(p->req->cwd, sizeof(p->req->cwd), s, strlen(s),
                                &reason);
    free(s);

    return rc == 0 ? NULL : reason;
}


static const char *
exec_envs(void *out, const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;
    const char *reason = NULL;

    return agent_env_json(&p->req->envs, doc, node, &reason) == 0 ? NULL
                                                                  : reason;
}


static const char *
exec_shell(void *out, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    (void) doc;

    return agent_body_bool(&p->req->shell, node);
}


static const char *
exec_background(void *out, const sandbox_json_t *doc,
                const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    (void) doc;

    return agent_body_bool(&p->req->background, node);
}


static const char *
exec_user(void *out, const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;
    const char *reason = NULL;

    p->req->user = agent_body_string(doc, node, &reason);
    if (p->req->user != NULL
        && (p->req->user[0] == '\0' || strlen(p->req->user) > 32))
    {
        return "must be a user name or number of at most 32 characters";
    }

    return reason;
}


static const char *
exec_signal(void *out, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    return agent_body_signal(&p->req->signal, doc, node);
}


static const char *
exec_stdin(void *out, const sandbox_json_t *doc,
           const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    return agent_body_text(&p->req->input, &p->req->input_len, doc, node);
}


static const char *
exec_stdin_base64(void *out, const sandbox_json_t *doc,
                  const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    return agent_body_base64(&p->req->input, &p->req->input_len, doc, node);
}


static const char *
exec_pipe(void *out, const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    (void) doc;

    return agent_body_bool(&p->req->pipe, node);
}


static const char *
exec_encoding(void *out, const sandbox_json_t *doc,
              const sandbox_json_node_t *node)
{
    char *s;
    exec_parse_t *p = out;
    const char *reason = NULL;

    s = agent_body_string(doc, node, &reason);
    if (s == NULL) {
        return reason;
    }

    p->req->base64 = strcmp(s, "base64") == 0;
    reason = p->req->base64 || strcmp(s, "utf-8") == 0
                 ? NULL
                 : "must be \"utf-8\" or \"base64\"";
    free(s);

    return reason;
}


static const char *
exec_session_id(void *out, const sandbox_json_t *doc,
                const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    return agent_body_session_id(p->req->session_id, doc, node);
}


static const char *
exec_cols(void *out, const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    return agent_body_terminal_size(&p->req->cols, doc, node);
}


static const char *
exec_rows(void *out, const sandbox_json_t *doc, const sandbox_json_node_t *node)
{
    exec_parse_t *p = out;

    return agent_body_terminal_size(&p->req->rows, doc, node);
}


static const agent_member_t exec_members[] = {
    { "command", ALL, POST | STREAM, exec_command },
    { "args", ALL, 0, exec_args },
    { "timeout_secs", POST | STREAM, 0, exec_timeout },
    { "cwd", ALL, 0, exec_cwd },
    { "envs", ALL, 0, exec_envs },
    { "shell", POST | STREAM, 0, exec_shell },
    { "background", POST, 0, exec_background },
    { "user", ALL, 0, exec_user },
    { "signal", POST, 0, exec_signal },
    { "stdin", POST, 0, exec_stdin },
    { "stdin_base64", POST, 0, exec_stdin_base64 },
    { "stdin", STREAM, 0, exec_pipe },
    { "encoding", POST, 0, exec_encoding },
    { "session_id", PTY, 0, exec_session_id },
    { "cols", PTY, 0, exec_cols },
    { "rows", PTY, 0, exec_rows },
    { "type", STREAM | PTY, 0, NULL },
    { "stream_id", STREAM | PTY, 0, NULL },
};

static const agent_body_schema_t exec_schema = { exec_members,
                                                 COUNT(exec_members) };


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

    memset(req, 0, sizeof(*req));
    memset(&p, 0, sizeof(p));
    p.req = req;
    req->signal = SIGKILL;
    req->cols = 80;
    req->rows = 24;

    status = agent_body_read(&exec_schema, form, &p, doc, err);

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

    /* One that nobody waits for runs for as long as it likes. */
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
    free(req->user);
    free(req->input);
    agent_env_free(&req->envs);
    memset(req, 0, sizeof(*req));
}
