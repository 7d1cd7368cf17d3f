/*
 * Bearer keys: from the Authorization header to a tenant.
 *
 * Redis knows keys by their SHA-256 only.  Each worker remembers up to
 * NGX_HTTP_SANDBOX_AUTH_SLOTS good keys (by digest) for
 * NGX_HTTP_SANDBOX_AUTH_TTL_MS: a revoked key may live that long.  After as
 * long, Redis is asked once for each key of requests that are still held, and
 * so on while there are any.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_AUTH_H
#define NGX_HTTP_SANDBOX_AUTH_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_sandbox_ctx.h"

#define NGX_HTTP_SANDBOX_AUTH_SLOTS 1024
#define NGX_HTTP_SANDBOX_AUTH_TTL_MS 5000

/*
 * Called with NGX_OK when ctx->tenant is set, NGX_DECLINED if the key is
 * missing or unknown, NGX_ERROR if Redis is away.
 */
typedef void (*ngx_http_sandbox_auth_pt)(ngx_http_request_t *r, ngx_int_t rc);

/*
 * Authenticates r.  NGX_OK or NGX_DECLINED at once where no look-up is
 * needed (handler is not called); NGX_AGAIN if handler will be called;
 * NGX_ERROR if Redis is away, memory is out or OpenSSL fails.
 */
ngx_int_t ngx_http_sandbox_authenticate(ngx_http_request_t *r,
                                        ngx_http_sandbox_auth_pt handler);

/*
 * A request that lasts, in memory of its owner's that was zeroed.  handler is
 * called from outside of any phase of the request, again and again, while the
 * key of ctx is known to be no good any more (not while Redis is away).
 */
typedef struct {
    ngx_queue_t queue;
    struct ngx_http_sandbox_auth_key_s *key; /* NULL: not held */
    void (*handler)(void *data);
    void *data;
} ngx_http_sandbox_auth_hold_t;

/* NGX_ERROR if memory is out.  ctx is that of an authenticated request. */
ngx_int_t ngx_http_sandbox_auth_hold(ngx_http_sandbox_auth_hold_t *hold,
                                     const ngx_http_sandbox_ctx_t *ctx);
/* To be called in the request's cleanup, also by handler. */
void ngx_http_sandbox_auth_release(ngx_http_sandbox_auth_hold_t *hold);

#endif
