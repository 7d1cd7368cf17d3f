/* The context of a request, and what it adds to log lines; see the header. */

#include "ngx_http_sandbox_ctx.h"


/* nginx's own handler.  A request keeps ours when a redirect drops its ctx. */
static ngx_http_log_handler_pt ngx_http_sandbox_next_log_handler;


/* Appends ", request_id: …" to the log lines of a request. */
static u_char *
ngx_http_sandbox_log_handler(ngx_http_request_t *r, ngx_http_request_t *sr,
                             u_char *buf, size_t len)
{
    u_char *p;
    ngx_http_sandbox_ctx_t *ctx;

    p = buf;
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx) {
        p = ngx_snprintf(buf, len, ", request_id: %V", &ctx->request_id);
    }

    return ngx_http_sandbox_next_log_handler(r, sr, p, len - (p - buf));
}


ngx_int_t
ngx_http_sandbox_ctx_init(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    if (sandbox_request_id_make(ctx->request) != 0) {
        return NGX_ERROR;
    }

    ctx->request_id.data = (u_char *) ctx->request;
    ctx->request_id.len = SANDBOX_REQUEST_ID_LEN;
    ctx->http_version = r->http_version;
    ngx_http_set_ctx(r, ctx, ngx_http_sandbox_module);

    if (r->log_handler != ngx_http_sandbox_log_handler) {
        ngx_http_sandbox_next_log_handler = r->log_handler;
        r->log_handler = ngx_http_sandbox_log_handler;
    }

    return NGX_OK;
}


ngx_http_sandbox_ctx_t *
ngx_http_sandbox_ctx(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    if (ctx) {
        return ctx;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_sandbox_ctx_t));
    if (ctx == NULL || ngx_http_sandbox_ctx_init(r, ctx) != NGX_OK) {
        return NULL;
    }

    return ctx;
}
