/*
 * libFuzzer target of requests about commands and of the messages that start
 * them: the first byte says which.
 */

#include "control.h"
#include "fuzz.h"


static void
require_refused(agent_body_status_t status, const agent_body_error_t *err)
{
    require(status == AGENT_BODY_INVALID || status == AGENT_BODY_NOT_JSON);
    require(memchr(err->field, '\0', sizeof(err->field)) != NULL);
    require(memchr(err->reason, '\0', sizeof(err->reason)) != NULL);
    require(err->reason[0] != '\0');
}


static void
control(agent_control_form_t form, const char *text, size_t len)
{
    agent_control_t c;
    agent_body_error_t err;
    agent_body_status_t status;

    status = agent_control_parse(&c, form, text, len, &err);

    if (status != AGENT_BODY_OK) {
        require_refused(status, &err);
        require(c.data == NULL);
        return;
    }

    require(c.signal >= 1 && c.signal <= 31);
    require(c.offset >= 0);
    require(form != AGENT_CONTROL_EXEC_CONNECT || c.pid >= 1);
    require(form != AGENT_CONTROL_PTY_CONNECT || c.session_id[0] != '\0');
    require(form != AGENT_CONTROL_PTY_RESIZE
            || (c.cols >= 1 && c.cols <= AGENT_TERMINAL_MAX && c.rows >= 1
                && c.rows <= AGENT_TERMINAL_MAX));
    require(form != AGENT_CONTROL_PTY_INPUT || c.data != NULL);
    require(c.data == NULL || c.len <= len);
    agent_control_free(&c);
}


static void
start(agent_exec_form_t form, const char *text, size_t len)
{
    sandbox_json_t doc;
    agent_body_error_t err;
    agent_body_status_t status;
    agent_exec_request_t req;

    status = agent_body_json(&doc, text, len, &err);
    if (status != AGENT_BODY_OK) {
        require_refused(status, &err);
        return;
    }

    status = agent_exec_read(&req, form, &doc, &err);
    sandbox_json_free(&doc);

    if (status != AGENT_BODY_OK) {
        require_refused(status, &err);
        require(!req.argv && !req.envs.list && !req.input);
        return;
    }

    require(req.argc > 0 ? req.command < req.argc : form == AGENT_EXEC_PTY);
    require(req.argv[req.argc] == NULL);
    require(strlen(req.session_id) < sizeof(req.session_id));
    require(!req.background && req.input == NULL);
    agent_exec_free(&req);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned form;

    if (size == 0) {
        return 0;
    }

    form = data[0] % 11;

    if (form < 9) {
        control(1 << form, (const char *) data + 1, size - 1);
    } else {
        start(form == 9 ? AGENT_EXEC_STREAM : AGENT_EXEC_PTY,
              (const char *) data + 1, size - 1);
    }

    return 0;
}
