/* The members of requests about a command, as a table of fields. */

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
#define WRITE (STDIN | EXEC_STDIN | INPUT)
#define OTHER AGENT_FIELD_OTHER
#define MESSAGE                                                                \
    (CONNECT | EXEC_STDIN | SIGNAL | CLOSE | PTY_CONNECT | INPUT | RESIZE)


static const char *
control_pid(void *value, const sandbox_json_t *doc,
            const sandbox_json_node_t *node)
{
    agent_control_t *c = value;

    return agent_field_integer(&c->pid, 1, INT32_MAX,
                               "must be the number of a process", doc, node);
}


static const char *
control_offset(void *value, const sandbox_json_t *doc,
               const sandbox_json_node_t *node)
{
    agent_control_t *c = value;

    return agent_field_integer(&c->offset, 0, OFFSET_MAX,
                               "must be an integer that is not negative", doc,
                               node);
}


static const char *
control_data(void *value, const sandbox_json_t *doc,
             const sandbox_json_node_t *node)
{
    agent_control_t *c = value;

    return agent_field_bytes(&c->data, &c->len, doc, node);
}


static const char *
control_data_base64(void *value, const sandbox_json_t *doc,
                    const sandbox_json_node_t *node)
{
    agent_control_t *c = value;

    return agent_field_base64(&c->data, &c->len, doc, node);
}


agent_body_status_t
agent_control_read(agent_control_t *c, agent_control_form_t form,
                   const sandbox_json_t *doc, agent_body_error_t *err)
{
    agent_body_status_t status;
    agent_field_t fields[] = {
        { "pid", CONNECT, CONNECT, OTHER, c, control_pid },
        { "session_id", PTY_CONNECT, PTY_CONNECT, AGENT_FIELD_SESSION_ID,
          c->session_id },
        { "offset", CONNECT | PTY_CONNECT, 0, OTHER, c, control_offset },
        { "data", WRITE, 0, OTHER, c, control_data },
        { "data_base64", WRITE, 0, OTHER, c, control_data_base64 },
        { "eof", STDIN | EXEC_STDIN, 0, AGENT_FIELD_BOOL, &c->eof },
        { "signal", KILL | SIGNAL, SIGNAL, AGENT_FIELD_SIGNAL, &c->signal },
        { "cols", RESIZE, RESIZE, AGENT_FIELD_TERMINAL, &c->cols },
        { "rows", RESIZE, RESIZE, AGENT_FIELD_TERMINAL, &c->rows },
        { "type", MESSAGE, 0, AGENT_FIELD_ELSEWHERE },
        { "stream_id", MESSAGE, 0, AGENT_FIELD_ELSEWHERE },
    };

    memset(c, 0, sizeof(*c));
    c->signal = SIGTERM;

    status = agent_body_read(fields, COUNT(fields), form, doc, err);

    if (status == AGENT_BODY_OK && (form & WRITE) && c->data == NULL && !c->eof)
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
