/* Answers that several routes have. */

#ifndef AGENT_ANSWER_H
#define AGENT_ANSWER_H

#include "body.h"
#include "http.h"

/* A body that cannot be carried out. */
void agent_answer_refuse(agent_request_t *r, agent_body_status_t status,
                         const agent_body_error_t *err);

/* 400 for a member or a parameter. */
void
agent_answer_invalid(agent_request_t *r, const char *field, const char *reason);

/* ,"NAME":text, or ,"NAME_base64": if the bytes are no UTF-8. */
void agent_answer_bytes(sandbox_text_t *t, const char *name, const char *data,
                        size_t len);

#endif
