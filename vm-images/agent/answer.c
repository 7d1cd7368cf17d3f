/* Answers; see the header. */

#include <stdio.h>

#include "answer.h"
#include "sandbox_utf8.h"


void
agent_answer_invalid(agent_request_t *r, const char *field, const char *reason)
{
    char message[512];

    snprintf(message, sizeof(message), "The member \"%s\" %s.", field, reason);
    agent_http_error(r, 400, "invalid_request", message, field, reason);
}


void
agent_answer_refuse(agent_request_t *r, agent_body_status_t status,
                    const agent_body_error_t *err)
{
    char message[512];

    switch (status) {
    case AGENT_BODY_NOT_JSON:
        snprintf(message, sizeof(message),
                 "The body is not a valid JSON object: %s.", err->reason);
        agent_http_error(r, 400, "invalid_json", message, err->field,
                         err->reason);
        return;

    case AGENT_BODY_INVALID:
        agent_answer_invalid(r, err->field, err->reason);
        return;

    default:
        agent_http_no_memory(r);
    }
}


void
agent_answer_bytes(sandbox_text_t *t, const char *name, const char *data,
                   size_t len)
{
    if (sandbox_utf8_valid((const uint8_t *) data, len)) {
        sandbox_text_fmt(t, ",\"%s\":", name);
        sandbox_text_json_string(t, data, len);
        return;
    }

    sandbox_text_fmt(t, ",\"%s_base64\":\"", name);
    sandbox_text_base64(t, (const uint8_t *) data, len);
    sandbox_text_str(t, "\"");
}
