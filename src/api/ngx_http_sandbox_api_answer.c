/* Answers of the API, also those that are errors; see api.h. */

#include "ngx_http_sandbox_api.h"

#include "ngx_http_sandbox_headers.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_state.h"

#define NGX_HTTP_SANDBOX_UNPROCESSABLE 422


ngx_int_t
ngx_http_sandbox_api_header(ngx_http_request_t *r, const char *name,
                            const char *value, size_t len)
{
    ngx_str_t copy;

    copy.len = len;
    copy.data = ngx_pnalloc(r->pool, len);
    if (copy.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(copy.data, value, len);

    return ngx_http_sandbox_add_header(r, name, &copy);
}


static ngx_int_t
ngx_http_sandbox_api_send(ngx_http_request_t *r, ngx_uint_t status,
                          u_char *data, size_t len)
{
    ngx_int_t rc;
    ngx_buf_t *b;
    ngx_chain_t out;

    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    /* an answer tells what was done, whatever validators the client sent */
    r->disable_not_modified = 1;
    r->headers_out.status = status;

    if (status == NGX_HTTP_SANDBOX_UNPROCESSABLE) {
        /* nginx 1.22 has no text for 422 */
        ngx_str_set(&r->headers_out.status_line, "422 Unprocessable Entity");
    }

    r->headers_out.content_length_n = (off_t) len;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->memory = 1;
    b->pos = data;
    b->last = data + len;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


void
ngx_http_sandbox_api_answer(ngx_http_request_t *r, ngx_uint_t status,
                            const char *json, size_t len)
{
    u_char *copy;

    copy = ngx_pnalloc(r->pool, len);
    if (copy == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_memcpy(copy, json, len);

    ngx_http_finalize_request(r,
                              ngx_http_sandbox_api_send(r, status, copy, len));
}


/* Sends the error that was noted in the context. */
static void
ngx_http_sandbox_api_send_error(ngx_http_request_t *r)
{
    ngx_str_t json;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ngx_http_sandbox_envelope(r, &json) != NGX_OK
        || ngx_http_sandbox_error_headers(r) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox api: %ui %V",
                  ctx->error->status, &ctx->error->code);

    ngx_http_finalize_request(
        r,
        ngx_http_sandbox_api_send(r, ctx->error->status, json.data, json.len));
}


void
ngx_http_sandbox_api_fail_field(ngx_http_request_t *r,
                                const ngx_http_sandbox_error_t *error,
                                const char *message, const char *field,
                                const char *reason)
{
    (void) ngx_http_sandbox_error_field(r, error, message, field, reason);
    ngx_http_sandbox_api_send_error(r);
}


void
ngx_http_sandbox_api_fail_state(ngx_http_request_t *r,
                                const ngx_http_sandbox_error_t *error,
                                const char *message, const char *state)
{
    ngx_http_sandbox_state_e known;

    /* internal states have another name in the API */
    known = state ? ngx_http_sandbox_state_of(state) : 0;

    (void) ngx_http_sandbox_error_detail(r, error, message, "state",
                                         known ? ngx_http_sandbox_status(known)
                                               : state);
    ngx_http_sandbox_api_send_error(r);
}


void
ngx_http_sandbox_api_elsewhere(ngx_http_request_t *r, const char *message,
                               const char *node)
{
    (void) ngx_http_sandbox_error_detail(
        r, &ngx_http_sandbox_no_eligible_runtime_host, message, "node", node);
    ngx_http_sandbox_api_send_error(r);
}


void
ngx_http_sandbox_api_fail(ngx_http_request_t *r,
                          const ngx_http_sandbox_error_t *error,
                          const char *message)
{
    (void) ngx_http_sandbox_error(r, error, message);
    ngx_http_sandbox_api_send_error(r);
}


void
ngx_http_sandbox_api_fail_later(ngx_http_request_t *r,
                                const ngx_http_sandbox_error_t *error,
                                const char *message, ngx_uint_t seconds)
{
    (void) ngx_http_sandbox_error_later(r, error, message, seconds);
    ngx_http_sandbox_api_send_error(r);
}


void
ngx_http_sandbox_api_fail_query(ngx_http_request_t *r,
                                sandbox_query_status_t status,
                                const sandbox_query_error_t *err)
{
    sandbox_query_error_t *copy;

    copy = ngx_palloc(r->pool, sizeof(sandbox_query_error_t));

    if (copy == NULL || status == SANDBOX_QUERY_NO_MEMORY) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    *copy = *err;

    ngx_http_sandbox_api_fail_field(r,
                                    status == SANDBOX_QUERY_INVALID_FIELDS
                                        ? &ngx_http_sandbox_invalid_fields
                                        : &ngx_http_sandbox_invalid_request,
                                    "A parameter of the query is not valid.",
                                    copy->field, copy->reason);
}


void
ngx_http_sandbox_api_no_store(ngx_http_request_t *r)
{
    ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_state_store_unavailable,
                              "The state store does not answer.");
}


void
ngx_http_sandbox_api_no_sandbox(ngx_http_request_t *r)
{
    ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_sandbox_not_found,
                              "There is no such sandbox.");
}


void
ngx_http_sandbox_api_no_snapshot(ngx_http_request_t *r)
{
    ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_snapshot_not_found,
                              "There is no such snapshot.");
}
