/* Counts operations that have ended in the metrics.  Event loop only. */

#ifndef NGX_HTTP_SANDBOX_COUNTS_H
#define NGX_HTTP_SANDBOX_COUNTS_H

#include "ngx_http_sandbox_operation.h"

/*
 * joined: the operation has waited for another request with the same
 * Idempotency-Key.  Refusals (status below 500) are not counted here but where
 * requests end, together with requests that never became an operation.
 */
void
ngx_http_sandbox_count_create(ngx_http_sandbox_op_t *op, ngx_uint_t joined);

/* The same for the create of a warm pool's member. */
void ngx_http_sandbox_count_member(ngx_http_sandbox_op_t *op);

/* The same for a snapshot. */
void
ngx_http_sandbox_count_snapshot(ngx_http_sandbox_op_t *op, ngx_uint_t joined);

#endif
