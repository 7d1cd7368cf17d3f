/*
 * Acts on the verdicts of a survey.  Event loop only; blocking steps run in the
 * quick thread pool.
 */

#ifndef NGX_HTTP_SANDBOX_SETTLE_H
#define NGX_HTTP_SANDBOX_SETTLE_H

#include "ngx_http_sandbox_module.h"
#include "sandbox_survey.h"

/*
 * Settles each entry by its verdict.  One survey at a time; the caller keeps it
 * until done is called, which happens once, maybe from inside the call.
 * NGX_ERROR if a step failed or was stopped; the next survey finds what was not
 * done.
 */
void
ngx_http_sandbox_settle(sandbox_survey_t *survey, void (*done)(ngx_int_t rc));

/* Leaves the steps that have not begun; done is called nevertheless. */
void ngx_http_sandbox_settle_stop(void);

#endif
