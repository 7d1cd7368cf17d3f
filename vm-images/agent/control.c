/* The schema of requests about a command. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define OFFSET_MAX (INT64_C(1) << 53) /* what JavaScript counts exactly */

#define STDIN AGENT_CONTROL_STDIN
#define KILL AGENT_CONTROL_KILL
#define CONNECT AGENT_CONTROL_EXEC_CONNECT
#define EXEC_STDIN AGENT_CONTROL_EXEC_STDIN
#define SIGNAL AGENT_CONTROL_EXEC_SIGNAL
#define CLOSE AGENT_CONTROL_CLOSE
#define PTY_CONNECT AGENT_CONTROL_PTY_CONNECT
#define INPUT AGENT_CONTROL_PTY_INPUT
#define RESIZE AGENT_CONTROL_PTY_RESIZE
#define MESSAGE                                                                \
    (CONNECT | EXEC_STDIN | SIGNAL | CLOSE | PTY_CONNECT | INPUT | RESIZE)


static const char *
control_pid(void *out, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_integer(&c->pid, 1, INT32_MAX,
                              "must be the number of a process", doc, node);
}


static const char *
control_offset(void *out, const sandbox_json_t *doc,
               const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_integer(&c->offset, 0, OFFSET_MAX,
                              "must be an integer that is not negative", doc,
                              node);
}


static const char *
control_data(void *out, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_text(&c->data, &c->len, doc, node);
}


static const char *
control_data_base64(void *out, const sandbox_json_t *doc,
                    const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_base64(&c->data, &c->len, doc, node);
}


static const char *
control_eof(void *out, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    (void) doc;

    return agent_body_bool(&c->eof, node);
}


static const char *
control_signal(void *out, const sandbox_json_t *doc,
               const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_signal(&c->signal, doc, node);
}


static const char *
control_session_id(void *out, const sandbox_json_t *doc,
                   const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_session_id(c->session_id, doc, node);
}


static const char *
control_cols(void *out, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_terminal_size(&c->cols, doc, node);
}


static const char *
control_rows(void *out, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    agent_control_t *c = out;

    return agent_body_terminal_size(&c->rows, doc, node);
}


static const agent_member_t control_members[] = {
    { "pid", CONNECT, CONNECT, control_pid },
    { "session_id", PTY_CONNECT, PTY_CONNECT, control_session_id },
    { "offset", CONNECT | PTY_CONNECT, 0, control_offset },
    { "data", STDIN | EXEC_STDIN | INPUT, 0, control_data },
    { "data_base64", STDIN | EXEC_STDIN | INPUT, 0, control_data_base64 },
    { "eof", STDIN | EXEC_STDIN, 0, control_eof },
    { "signal", KILL, 0, control_signal },
    { "signal", SIGNAL, SIGNAL, control_signal },
    { "cols", RESIZE, RESIZE, control_cols },
    { "rows", RESIZE, RESIZE, control_rows },
    { "type", MESSAGE, 0, NULL },
    { "stream_id", MESSAGE, 0, NULL },
};

static const agent_body_schema_t control_schema = { control_members,
                                                    COUNT(control_members) };


agent_body_status_t
agent_control_read(agent_control_t *c, agent_control_form_t form,
                   const sandbox_json_t *doc, agent_body_error_t *err)
{
    agent_body_status_t status;

    memset(c, 0, sizeof(*c));
    c->signal = SIGTERM;

    status = agent_body_read(&control_schema, form, c, doc, err);

    if (status == AGENT_BODY_OK && (form & (STDIN | EXEC_STDIN | INPUT))
        && c->data == NULL && !c->eof)
    {
        status = agent_body_refuse(err, "data", "is required");
    }

    if (status != AGENT_BODY_OK) {
        agent_control_free(c);
    }

    return status;
}


agent_body_status_t
agent_control_parse(agent_control_t *c, agent_control_form_t form,
                    const char *body, size_t len, agent_body_error_t *err)
{
    sandbox_json_t doc;
    agent_body_status_t status;

    memset(c, 0, sizeof(*c));

    status = agent_body_json(&doc, body, len, err);

    if (status == AGENT_BODY_OK) {
        status = agent_control_read(c, form, &doc, err);
        sandbox_json_free(&doc);
    }

    return status;
}


void
agent_control_free(agent_control_t *c)
{
    free(c->data);
    memset(c, 0, sizeof(*c));
}
