/* What an operation that has ended is to the metrics.  Event loop only. */

#ifndef NGX_HTTP_SANDBOX_COUNTS_H
#define NGX_HTTP_SANDBOX_COUNTS_H

#include "ngx_http_sandbox_operation.h"

/*
 * joined: it has waited for another request with the same key.  Refusals are
 * counted where requests end, together with those that never became an
 * operation.
 */
void
ngx_http_sandbox_count_create(ngx_http_sandbox_op_t *op, ngx_uint_t joined);

/* A member of a warm pool. */
void ngx_http_sandbox_count_member(ngx_http_sandbox_op_t *op);

/* The same of a snapshot. */
void
ngx_http_sandbox_count_snapshot(ngx_http_sandbox_op_t *op, ngx_uint_t joined);

#endif
