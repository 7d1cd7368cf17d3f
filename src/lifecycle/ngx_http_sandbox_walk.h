/*
 * Walks through a survey with at most one command to Redis for each entry.  The
 * number of commands under way is bounded, so that neither Redis nor the event
 * loop has to handle all entries at once.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_WALK_H
#define NGX_HTTP_SANDBOX_WALK_H

#include "ngx_http_sandbox_module.h"
#include "sandbox_survey.h"

/*
 * visit returns NGX_OK if it sent a command, whose handler calls walk_back()
 * once; NGX_DONE if there was nothing to send; NGX_ERROR to end the walk.  end
 * is called once, when no command is under way any more.
 */
typedef struct {
    sandbox_survey_t *survey;
    ngx_int_t (*visit)(sandbox_survey_entry_t *e);
    void (*end)(ngx_int_t rc);

    size_t next;
    ngx_uint_t pending;
    unsigned broken : 1;
} ngx_http_sandbox_walk_t;

/*
 * Starts a walk whose first three members the caller has set.  Both functions
 * may call end.
 */
void ngx_http_sandbox_walk_start(ngx_http_sandbox_walk_t *w);
void ngx_http_sandbox_walk_back(ngx_http_sandbox_walk_t *w, ngx_int_t rc);

#endif
