/*
 * The filters; see the header.
 *
 * Our API handlers send the envelope themselves.  All other errors of an API
 * or traffic location are raised by nginx, which sends an HTML page; the
 * filter here replaces that page.  r->err_status tells such pages from the
 * answers of a guest that merely has an error status.
 */

#include "ngx_http_sandbox_filters.h"

#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_headers.h"
#include "sandbox_accept.h"

/* What a status means that nginx raised when no handler had noted an error. */
static const struct {
    const ngx_http_sandbox_error_t *error;
    const char *message;
} ngx_http_sandbox_by_status[] = {
    { &ngx_http_sandbox_invalid_request, "The request is malformed." },
    { &ngx_http_sandbox_unauthorized, "Authentication is required." },
    { &ngx_http_sandbox_forbidden, "Access is forbidden." },
    { &ngx_http_sandbox_not_found, "There is no such resource." },
    { &ngx_http_sandbox_method_not_allowed, "The method is not allowed here." },
    { &ngx_http_sandbox_body_too_large, "The request body is too large." },
    { &ngx_http_sandbox_unsupported_media_type,
      "The media type is not supported." },
    { &ngx_http_sandbox_rate_limit_exceeded, "Too many requests." },
    { &ngx_http_sandbox_not_implemented, "This is not implemented." },
    { &ngx_http_sandbox_sandbox_unreachable,
      "The sandbox did not answer properly." },
    { &ngx_http_sandbox_capacity_exceeded, "The server is at its limits." },
    { &ngx_http_sandbox_timeout, "The sandbox did not answer in time." },
};

/*
 * Headers by which a guest in place of its agent could mislead clients of the
 * API; the real agent sends none of them.
 */
static const char *ngx_http_sandbox_lures[] = { "Set-Cookie", "Location",
                                                "Refresh", "WWW-Authenticate",
                                                NULL };

/*
 * Headers that concern all of an origin and not one path of it.  What is in
 * place of an agent speaks from the API's origin, and guests share that of the
 * path form, perhaps with the API: a service worker of one guest would see the
 * requests to all of them, and NEL would report them.
 */
static const char *ngx_http_sandbox_origin[] = { "Service-Worker-Allowed",
                                                 "Clear-Site-Data",
                                                 "Strict-Transport-Security",
                                                 "Alt-Svc",
                                                 "NEL",
                                                 "Report-To",
                                                 "Reporting-Endpoints",
                                                 "Accept-CH",
                                                 NULL };

/* Headers of one connection, with which an HTTP/2 answer is malformed. */
static const char *ngx_http_sandbox_hops[] = { "Upgrade", "Proxy-Connection",
                                               "Keep-Alive", NULL };

static ngx_http_output_header_filter_pt ngx_http_sandbox_next_header_filter;
static ngx_http_output_body_filter_pt ngx_http_sandbox_next_body_filter;


/* The error closest to what nginx raised. */
static void
ngx_http_sandbox_error_by_status(ngx_http_request_t *r,
                                 ngx_http_sandbox_ctx_t *ctx)
{
    ngx_uint_t i, n, status;

    status = r->err_status;
    n = sizeof(ngx_http_sandbox_by_status)
        / sizeof(ngx_http_sandbox_by_status[0]);

    for (i = 0; i < n; i++) {
        if (ngx_http_sandbox_by_status[i].error->status == status) {
            (void) ngx_http_sandbox_error(
                r, ngx_http_sandbox_by_status[i].error,
                ngx_http_sandbox_by_status[i].message);
            return;
        }
    }

    if (status < 500) {
        (void) ngx_http_sandbox_error(r, &ngx_http_sandbox_invalid_request,
                                      "The request cannot be served.");
        return;
    }

    (void) ngx_http_sandbox_error(r, &ngx_http_sandbox_internal_error,
                                  "The server failed; its log says more.");
}


/* 1 if the client is a browser that asked a sandbox for a page. */
static ngx_uint_t
ngx_http_sandbox_wants_page(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    if (!ctx->traffic) {
        return 0;
    }

    ngx_memzero(&it, sizeof(it));
    h = ngx_http_sandbox_next_header(r, &it, "accept");

    return h ? sandbox_accept_html((char *) h->value.data, h->value.len) : 0;
}


/* Turns nginx's page for r->err_status into the envelope. */
static ngx_int_t
ngx_http_sandbox_replace_page(ngx_http_request_t *r,
                              ngx_http_sandbox_ctx_t *ctx)
{
    ngx_int_t rc;
    ngx_str_t vary = ngx_string("Accept");
    ngx_uint_t page, peer, named;

    /* nginx raises other statuses for the errors that peer.c has noted */
    peer = (ctx->error == &ngx_http_sandbox_sandbox_unreachable
            && r->err_status == NGX_HTTP_GATEWAY_TIME_OUT)
           || (ctx->error == &ngx_http_sandbox_sandbox_changing
               && r->err_status >= NGX_HTTP_INTERNAL_SERVER_ERROR);

    named = ctx->error && (ctx->error->status == r->err_status || peer);

    if (!named) {
        ngx_http_sandbox_error_by_status(r, ctx);
    }

    if (ctx->error == &ngx_http_sandbox_port_not_open && !ctx->traffic) {
        (void) ngx_http_sandbox_error(r, &ngx_http_sandbox_sandbox_unreachable,
                                      "The agent of the sandbox refuses "
                                      "connections.");
    }

    if (ctx->error == &ngx_http_sandbox_sandbox_changing && !ctx->traffic) {
        (void) ngx_http_sandbox_error(r,
                                      &ngx_http_sandbox_transition_in_progress,
                                      "The sandbox is changing its state; try "
                                      "again.");
    }

    /* a status that nginx raised, such as 410, need not have a code */
    r->headers_out.status = named ? ctx->error->status : r->err_status;

    page = ngx_http_sandbox_wants_page(r, ctx);
    rc = page ? ngx_http_sandbox_page(r, &ctx->envelope)
              : ngx_http_sandbox_envelope(r, &ctx->envelope);

    if (rc != NGX_OK || ngx_http_sandbox_error_headers(r) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->traffic && ngx_http_sandbox_add_header(r, "Vary", &vary) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (page) {
        ngx_str_set(&r->headers_out.content_type, "text/html; charset=utf-8");
    } else {
        ngx_str_set(&r->headers_out.content_type, "application/json");
    }

    /* of the file that error_page names */
    ngx_http_clear_etag(r);
    ngx_http_clear_last_modified(r);

    if (r->headers_out.content_encoding) {
        r->headers_out.content_encoding->hash = 0;
        r->headers_out.content_encoding = NULL;
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;
    r->headers_out.content_length_n = (off_t) ctx->envelope.len;

    return NGX_OK;
}


/*
 * Every answer has an X-Request-Id.  Ours replaces the one of an agent, which
 * echoes it, but not the one of a guest's own server, which may have ids of its
 * own.
 */
static ngx_int_t
ngx_http_sandbox_request_id_header(ngx_http_request_t *r,
                                   ngx_http_sandbox_ctx_t *ctx)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    static ngx_str_t name = ngx_string("X-Request-Id");

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash && h[i].key.len == name.len
                && ngx_strncasecmp(h[i].key.data, name.data, name.len) == 0)
            {
                if (!ctx->traffic) {
                    h[i].value = ctx->request_id;
                }
                return NGX_OK;
            }
        }
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key = name;
    h->value = ctx->request_id;

    return NGX_OK;
}


/*
 * 1 if the guest's answer is none.  nginx takes an answer without a status line
 * for HTTP/0.9 and would pass it on without a header, over a connection that
 * stays open; and it takes an interim answer (1xx) for the final one.
 */
static ngx_uint_t
ngx_http_sandbox_no_answer(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_http_upstream_t *u;

    u = r->upstream;

    /* one that was taken back from an agent has an answer of ours */
    if (u == NULL || r->err_status || (!ctx->traffic && !ctx->passed)) {
        return 0;
    }

    /* nginx notes it in place of the client's version */
    if (r->http_version != ctx->http_version) {
        r->http_version = ctx->http_version;
        return 1;
    }

    if (u->headers_in.status_n == 0 || u->headers_in.status_n >= NGX_HTTP_OK
        || u->upgrade)
    {
        return 0;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "upstream sent an interim answer (%ui), which nginx takes "
                  "for the final one",
                  u->headers_in.status_n);

    return 1;
}


/* 1 if the answer came from an agent. */
static ngx_uint_t
ngx_http_sandbox_by_agent(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    return ctx->passed && !ctx->traffic && r->upstream && !r->err_status;
}


/*
 * 1 if a client must not see the answer.  It would follow a redirect with its
 * key, take a 401 for the end of the key, and find no envelope in an error that
 * is not JSON: the agent's library has pages of its own.
 */
static ngx_uint_t
ngx_http_sandbox_odd_answer(ngx_http_request_t *r)
{
    ngx_uint_t status;

    status = r->upstream->headers_in.status_n;

    if (status < NGX_HTTP_BAD_REQUEST) {
        return status >= NGX_HTTP_SPECIAL_RESPONSE
               && status != NGX_HTTP_NOT_MODIFIED;
    }

    return status == NGX_HTTP_UNAUTHORIZED
           || !ngx_http_sandbox_json_type(&r->headers_out.content_type);
}


static ngx_uint_t
ngx_http_sandbox_is_named(const ngx_table_elt_t *h, const char **names)
{
    for (/* void */; *names; names++) {
        if (h->key.len == ngx_strlen(*names)
            && ngx_strncasecmp(h->key.data, (u_char *) *names, h->key.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_sandbox_drop_headers(ngx_http_request_t *r, const char **names)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_sandbox_is_named(&h[i], names)) {
                h[i].hash = 0;
            }
        }
    }
}


static void
ngx_http_sandbox_drop_lures(ngx_http_request_t *r)
{
    ngx_http_sandbox_drop_headers(r, ngx_http_sandbox_lures);

    /* nginx writes Location by its pointer, whatever stands in the list */
    r->headers_out.location = NULL;
    r->headers_out.refresh = NULL;
    r->headers_out.www_authenticate = NULL;
}


/* Drops headers that a guest may not send; NGX_DECLINED for a whole answer. */
static ngx_int_t
ngx_http_sandbox_guard(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_uint_t agent;

    agent = ngx_http_sandbox_by_agent(r, ctx);

    if (ngx_http_sandbox_no_answer(r, ctx)
        || (agent && ngx_http_sandbox_odd_answer(r)))
    {
        return NGX_DECLINED;
    }

    if (agent) {
        ngx_http_sandbox_drop_lures(r);
    }

    if (agent || (ctx->edge && r->upstream && !r->err_status)) {
        ngx_http_sandbox_drop_headers(r, ngx_http_sandbox_origin);
    }

    if (r->upstream && r->http_version >= NGX_HTTP_VERSION_20) {
        ngx_http_sandbox_drop_headers(r, ngx_http_sandbox_hops);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_header_filter(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_loc_conf_t *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);

    if ((!slcf->api && !slcf->traffic) || r != r->main) {
        return ngx_http_sandbox_next_header_filter(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx == NULL) {
        ctx = ngx_http_sandbox_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }
    }

    ctx->traffic = slcf->traffic;

    if (ngx_http_sandbox_guard(r, ctx) != NGX_OK) {
        ngx_http_clean_header(r);
        return NGX_HTTP_BAD_GATEWAY;
    }

    if (r->err_status >= NGX_HTTP_BAD_REQUEST
        && ngx_http_sandbox_replace_page(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_sandbox_request_id_header(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_next_header_filter(r);
}


/*
 * Sends the envelope in place of nginx's page, in.  A function of its own, so
 * that answers that pass through do not pay for its stack guard.
 */
static __attribute__((noinline)) ngx_int_t
ngx_http_sandbox_send_envelope(ngx_http_request_t *r,
                               ngx_http_sandbox_ctx_t *ctx, ngx_chain_t *in)
{
    ngx_buf_t *b;
    ngx_chain_t out, *cl;

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    if (ctx->envelope.len == 0) {
        return ngx_http_sandbox_next_body_filter(r, NULL);
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->memory = 1;
    b->pos = ctx->envelope.data;
    b->last = b->pos + ctx->envelope.len;
    b->last_buf = 1;
    b->last_in_chain = 1;
    ctx->envelope.len = 0;

    out.buf = b;
    out.next = NULL;

    return ngx_http_sandbox_next_body_filter(r, &out);
}


static ngx_int_t
ngx_http_sandbox_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx == NULL || ctx->envelope.data == NULL || in == NULL) {
        return ngx_http_sandbox_next_body_filter(r, in);
    }

    return ngx_http_sandbox_send_envelope(r, ctx, in);
}


void
ngx_http_sandbox_filters_init(void)
{
    ngx_http_sandbox_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_sandbox_header_filter;

    ngx_http_sandbox_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_sandbox_body_filter;
}
