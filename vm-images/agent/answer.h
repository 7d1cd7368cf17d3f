/* Answers that several routes give. */

#ifndef AGENT_ANSWER_H
#define AGENT_ANSWER_H

#include "body.h"
#include "http.h"

/* Answers a request whose body was not read: status and err say why. */
void agent_answer_refuse(agent_request_t *r, agent_body_status_t status,
                         const agent_body_error_t *err);

/* Answers 400 for the member or parameter field. */
void
agent_answer_invalid(agent_request_t *r, const char *field, const char *reason);

/* Appends ,"NAME":text, or ,"NAME_base64": if the bytes are no UTF-8. */
void agent_answer_bytes(sandbox_text_t *t, const char *name, const char *data,
                        size_t len);

#endif
