/* Errors, and what is sent of them; see the header. */

#include "ngx_http_sandbox_errors.h"

#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_headers.h"
#include "sandbox_text.h"

/* What a client can do, where that is not plain from the message. */
static const struct {
    const ngx_http_sandbox_error_t *error;
    const char *action;
} ngx_http_sandbox_actions[] = {
    { &ngx_http_sandbox_sandbox_changing,
      "Repeat the request after the time in Retry-After." },
    { &ngx_http_sandbox_rate_limit_exceeded,
      "Repeat the request after the time in Retry-After." },
    { &ngx_http_sandbox_wake_limit_exceeded,
      "Resume the sandbox with POST /v1/sandboxes/{id}/resume, or repeat the "
      "request after the time in Retry-After." },
    { &ngx_http_sandbox_sandbox_paused_auto_resume_disabled,
      "Resume the sandbox with POST /v1/sandboxes/{id}/resume." },
};


ngx_int_t
ngx_http_sandbox_error(ngx_http_request_t *r,
                       const ngx_http_sandbox_error_t *error,
                       const char *message)
{
    return ngx_http_sandbox_error_field(r, error, message, NULL, NULL);
}


ngx_int_t
ngx_http_sandbox_error_field(ngx_http_request_t *r,
                             const ngx_http_sandbox_error_t *error,
                             const char *message, const char *field,
                             const char *reason)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->error = error;
    ctx->message.data = (u_char *) message;
    ctx->message.len = ngx_strlen(message);
    ctx->field.data = (u_char *) field;
    ctx->field.len = field ? ngx_strlen(field) : 0;
    ctx->reason.data = (u_char *) reason;
    ctx->reason.len = reason ? ngx_strlen(reason) : 0;
    ctx->detail = NULL;
    ctx->retry_after = 0;

    return (ngx_int_t) error->status;
}


ngx_int_t
ngx_http_sandbox_error_later(ngx_http_request_t *r,
                             const ngx_http_sandbox_error_t *error,
                             const char *message, ngx_uint_t seconds)
{
    ngx_int_t rc;
    ngx_http_sandbox_ctx_t *ctx;

    rc = ngx_http_sandbox_error(r, error, message);
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx) {
        ctx->retry_after = seconds;
    }

    return rc;
}


ngx_int_t
ngx_http_sandbox_error_detail(ngx_http_request_t *r,
                              const ngx_http_sandbox_error_t *error,
                              const char *message, const char *name,
                              const char *value)
{
    size_t size;
    ngx_int_t rc;
    ngx_http_sandbox_ctx_t *ctx;

    rc = ngx_http_sandbox_error(r, error, message);
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx && value) {
        size = ngx_strlen(value) + 1;
        ctx->detail_name = name;
        ctx->detail = ngx_pnalloc(r->pool, size);

        /* if memory is out, the error goes without it */
        if (ctx->detail) {
            ngx_memcpy(ctx->detail, value, size);
        }
    }

    return rc;
}


static ngx_int_t
ngx_http_sandbox_retry_after(ngx_http_request_t *r, ngx_uint_t seconds)
{
    ngx_str_t value;

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%ui", seconds) - value.data;

    return ngx_http_sandbox_add_header(r, "Retry-After", &value);
}


ngx_int_t
ngx_http_sandbox_error_headers(ngx_http_request_t *r)
{
    ngx_str_t bearer = ngx_string("Bearer");
    ngx_uint_t seconds;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_loc_conf_t *slcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);

    seconds = ctx->retry_after ? ctx->retry_after : ctx->error->retry_after;

    if (seconds && ngx_http_sandbox_retry_after(r, seconds) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->error->status == NGX_HTTP_UNAUTHORIZED && slcf->api
        && r->headers_out.www_authenticate == NULL)
    {
        return ngx_http_sandbox_add_header(r, "WWW-Authenticate", &bearer);
    }

    return NGX_OK;
}


/* Moves text into the pool of r. */
static ngx_int_t
ngx_http_sandbox_error_text(ngx_http_request_t *r, sandbox_text_t *t,
                            ngx_str_t *out)
{
    out->data = sandbox_text_failed(t) ? NULL : ngx_pnalloc(r->pool, t->len);
    if (out->data) {
        ngx_memcpy(out->data, t->data, t->len);
        out->len = t->len;
    }

    sandbox_text_free(t);

    return out->data ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_sandbox_envelope_action(sandbox_text_t *t,
                                 const ngx_http_sandbox_error_t *error)
{
    ngx_uint_t i;

    for (i = 0; i < sizeof(ngx_http_sandbox_actions)
                        / sizeof(ngx_http_sandbox_actions[0]);
         i++)
    {
        if (ngx_http_sandbox_actions[i].error == error) {
            sandbox_text_fmt(t, ",\"suggested_action\":\"%s\"",
                             ngx_http_sandbox_actions[i].action);
        }
    }
}


ngx_int_t
ngx_http_sandbox_envelope(ngx_http_request_t *r, ngx_str_t *json)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    sandbox_text_str(&t, "{\"error\":");
    sandbox_text_json_string(&t, (char *) ctx->message.data, ctx->message.len);
    sandbox_text_str(&t, ",\"code\":\"");
    sandbox_text_add(&t, (char *) ctx->error->code.data, ctx->error->code.len);
    sandbox_text_str(&t, "\",\"request_id\":\"");
    sandbox_text_add(&t, (char *) ctx->request_id.data, ctx->request_id.len);
    sandbox_text_str(&t, "\",\"retryable\":");
    sandbox_text_str(&t, ctx->error->retry_after ? "true" : "false");

    if (ctx->field.len) {
        sandbox_text_str(&t, ",\"error_detail\":{\"field\":");
        sandbox_text_json_string(&t, (char *) ctx->field.data, ctx->field.len);
        sandbox_text_str(&t, ",\"reason\":");
        sandbox_text_json_string(&t, (char *) ctx->reason.data,
                                 ctx->reason.len);
        sandbox_text_str(&t, "}");
    }

    if (ctx->detail) {
        sandbox_text_fmt(&t, ",\"error_detail\":{\"%s\":", ctx->detail_name);
        sandbox_text_json_string(&t, ctx->detail, ngx_strlen(ctx->detail));
        sandbox_text_str(&t, "}");
    }

    ngx_http_sandbox_envelope_action(&t, ctx->error);
    sandbox_text_str(&t, "}\n");

    return ngx_http_sandbox_error_text(r, &t, json);
}


ngx_int_t
ngx_http_sandbox_page(ngx_http_request_t *r, ngx_str_t *html)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    sandbox_text_fmt(&t,
                     "<!DOCTYPE html>\n<html lang=\"en\">\n"
                     "<meta charset=\"utf-8\">\n<title>%d %.*s</title>\n",
                     (int) r->headers_out.status, (int) ctx->error->code.len,
                     ctx->error->code.data);
    sandbox_text_fmt(&t,
                     "<h1>%.*s</h1>\n<p>Code: <code>%.*s</code></p>\n"
                     "<p>Request: <code>%.*s</code></p>\n</html>\n",
                     (int) ctx->message.len, ctx->message.data,
                     (int) ctx->error->code.len, ctx->error->code.data,
                     (int) ctx->request_id.len, ctx->request_id.data);

    return ngx_http_sandbox_error_text(r, &t, html);
}
