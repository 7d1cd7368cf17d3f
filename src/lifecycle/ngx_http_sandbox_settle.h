/*
 * Acting on what a survey found.  Event loop only; blocking steps run in the
 * quick thread pool.
 */

#ifndef NGX_HTTP_SANDBOX_SETTLE_H
#define NGX_HTTP_SANDBOX_SETTLE_H

#include "ngx_http_sandbox_module.h"
#include "sandbox_survey.h"

/*
 * Settles each entry by its verdict.  One survey at a time, which stays until
 * done is called, once, maybe from inside: NGX_ERROR if Redis or libvirt went
 * away; what was not done is found again.
 */
void
ngx_http_sandbox_settle(sandbox_survey_t *survey, void (*done)(ngx_int_t rc));

/* What has not begun is left; done is called all the same. */
void ngx_http_sandbox_settle_stop(void);

#endif
