/*
 * The sandbox object of the API, made from a record: what GET and list give,
 * and what create answers and stores for replays.  Any thread.
 */

#ifndef NGX_HTTP_SANDBOX_OBJECT_H
#define NGX_HTTP_SANDBOX_OBJECT_H

#include "ngx_http_sandbox_record.h"
#include "sandbox_text.h"

/* token: the traffic access token, in the create answer only; or NULL. */
void ngx_http_sandbox_object(sandbox_text_t *t,
                             const ngx_http_sandbox_record_t *record,
                             const char *token);

#endif
