/* JSON bodies of requests; see api.h. */

#include "ngx_http_sandbox_api.h"
#include "ngx_http_sandbox_headers.h"

#define NGX_HTTP_SANDBOX_BODY_MAX (1024 * 1024)


static ngx_http_request_body_filter_pt ngx_http_sandbox_next_body_filter;


/* 1 if there is no body, or its Content-Type is JSON. */
static ngx_uint_t
ngx_http_sandbox_api_is_json(ngx_http_request_t *r)
{
    if (r->headers_in.content_length_n <= 0 && !r->headers_in.chunked) {
        return 1;
    }

    if (r->headers_in.content_type == NULL) {
        return 0;
    }

    return ngx_http_sandbox_json_type(&r->headers_in.content_type->value);
}


/*
 * Bounds the bodies of JSON routes, whatever client_max_body_size says: bodies
 * of other routes in the same location may have any size.
 */
static ngx_int_t
ngx_http_sandbox_api_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t *cl;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx && ctx->bounded) {
        for (cl = in; cl; cl = cl->next) {
            ctx->received += ngx_buf_size(cl->buf);
        }

        if (ctx->received > NGX_HTTP_SANDBOX_BODY_MAX) {
            /* as nginx' own limit: else a reset may overtake the answer */
            r->lingering_close = 1;
            return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        }
    }

    return ngx_http_sandbox_next_body_filter(r, in);
}


void
ngx_http_sandbox_api_bound_bodies(void)
{
    ngx_http_sandbox_next_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = ngx_http_sandbox_api_body_filter;
}


void
ngx_http_sandbox_api_read_json(ngx_http_request_t *r,
                               ngx_http_client_body_handler_pt handler)
{
    ngx_int_t rc;
    ngx_http_sandbox_ctx_t *ctx;

    if (!ngx_http_sandbox_api_is_json(r)) {
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_unsupported_media_type,
                                  "The body must be application/json.");
        return;
    }

    if (r->headers_in.content_length_n > NGX_HTTP_SANDBOX_BODY_MAX) {
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_body_too_large,
                                  "The body is larger than 1 MiB.");
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    ctx->bounded = 1;
    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, handler);

    ngx_http_finalize_request(r,
                              rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE);
}


ngx_int_t
ngx_http_sandbox_api_body(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char *p;
    ssize_t n;
    ngx_buf_t *b;
    ngx_chain_t *cl;

    ngx_str_null(body);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        body->len += (size_t) ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(r->pool, body->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_size(b) == 0) {
            continue; /* an empty buffer may point nowhere */
        }

        if (b->in_file) {
            n = ngx_read_file(b->file, p, (size_t) (b->file_last - b->file_pos),
                              b->file_pos);
            if (n != b->file_last - b->file_pos) {
                return NGX_ERROR;
            }
            p += n;
            continue;
        }

        p = ngx_cpymem(p, b->pos, b->last - b->pos);
    }

    return NGX_OK;
}
