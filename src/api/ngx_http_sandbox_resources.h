/*
 * The resource handlers behind the route table of ngx_http_sandbox_api.c.
 * Called with ctx->tenant set, ctx->sandbox set where the path has an {id},
 * and the body read where the route says so.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_RESOURCES_H
#define NGX_HTTP_SANDBOX_RESOURCES_H

#include "ngx_http_sandbox_api.h"
#include "ngx_http_sandbox_operation.h"

void ngx_http_sandbox_api_create(ngx_http_request_t *r);
void ngx_http_sandbox_api_list(ngx_http_request_t *r);
void ngx_http_sandbox_api_get(ngx_http_request_t *r);
void ngx_http_sandbox_api_delete(ngx_http_request_t *r);
void ngx_http_sandbox_api_timeout(ngx_http_request_t *r);
void ngx_http_sandbox_api_network(ngx_http_request_t *r);
void ngx_http_sandbox_api_hibernate(ngx_http_request_t *r);
void ngx_http_sandbox_api_resume(ngx_http_request_t *r);
void ngx_http_sandbox_api_fork(ngx_http_request_t *r);

/* The answer of an operation that has made a sandbox. */
void
ngx_http_sandbox_api_created(ngx_http_request_t *r, ngx_http_sandbox_op_t *op);

void ngx_http_sandbox_api_snapshot(ngx_http_request_t *r);
void ngx_http_sandbox_api_list_snapshots(ngx_http_request_t *r);
void ngx_http_sandbox_api_get_snapshot(ngx_http_request_t *r);
void ngx_http_sandbox_api_delete_snapshot(ngx_http_request_t *r);

void ngx_http_sandbox_api_create_pool(ngx_http_request_t *r);
void ngx_http_sandbox_api_list_pools(ngx_http_request_t *r);
void ngx_http_sandbox_api_get_pool(ngx_http_request_t *r);
void ngx_http_sandbox_api_pool_status(ngx_http_request_t *r);
void ngx_http_sandbox_api_patch_pool(ngx_http_request_t *r);
void ngx_http_sandbox_api_enable_pool(ngx_http_request_t *r);
void ngx_http_sandbox_api_disable_pool(ngx_http_request_t *r);
void ngx_http_sandbox_api_drain_pool(ngx_http_request_t *r);
void ngx_http_sandbox_api_reconcile_pool(ngx_http_request_t *r);
void ngx_http_sandbox_api_delete_pool(ngx_http_request_t *r);

/*
 * Reads the body of a snapshot or a fork of the sandbox id, which may have
 * metadata.  On NGX_OK the caller frees snapshot with sandbox_snapshot_free();
 * NGX_ERROR when r has been answered.
 */
ngx_int_t
ngx_http_sandbox_api_snapshot_body(ngx_http_request_t *r, const char *id,
                                   sandbox_snapshot_t *snapshot);

/* Sets what bodies are checked against, from the configuration of r. */
void ngx_http_sandbox_api_sandbox_limits(ngx_http_request_t *r,
                                         sandbox_create_limits_t *limits);

/* The routes that the agent in the guest answers. */
void ngx_http_sandbox_api_agent(ngx_http_request_t *r);
void ngx_http_sandbox_api_websocket(ngx_http_request_t *r);
void ngx_http_sandbox_api_exec(ngx_http_request_t *r);

#endif
