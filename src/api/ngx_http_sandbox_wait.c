/* Requests that wait; see the header. */

#include "ngx_http_sandbox_wait.h"

#include "ngx_http_sandbox_api.h"
#include "ngx_http_sandbox_headers.h"
#include "sandbox_body.h"
#include "sandbox_idem_key.h"


static void
ngx_http_sandbox_wait_cleanup(void *data)
{
    ngx_http_sandbox_wait_t *wait = data;

    if (wait->op) {
        ngx_http_sandbox_op_detach(wait->op);
    }

    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis,
                                      &wait->get);
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis,
                                      &wait->snapshot);
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, wait);
    }
}


ngx_http_sandbox_wait_t *
ngx_http_sandbox_wait(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_sandbox_wait_t *wait;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_wait_t));
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NULL;
    }

    wait = cln->data;
    ngx_memzero(wait, sizeof(ngx_http_sandbox_wait_t));
    wait->request = r;
    cln->handler = ngx_http_sandbox_wait_cleanup;

    return wait;
}


void
ngx_http_sandbox_wait_done(void *data, ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_wait_t *wait = data;

    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = wait->request;
    c = r->connection;
    wait->op = NULL;

    if (op->error && op->field) {
        ngx_http_sandbox_api_fail_field(r, op->error, op->message, op->field,
                                        op->reason);

    } else if (op->error && op->node[0]) {
        ngx_http_sandbox_api_elsewhere(r, op->message, op->node);

    } else if (op->error) {
        ngx_http_sandbox_api_fail_state(r, op->error, op->message,
                                        op->state[0] ? op->state : NULL);

    } else if (wait->answer) {
        wait->answer(r, op);

    } else {
        ngx_http_sandbox_api_answer(r, op->status, op->answer, op->answer_len);
    }

    ngx_http_run_posted_requests(c);
}


void
ngx_http_sandbox_wait_for(ngx_http_sandbox_wait_t *wait,
                          ngx_http_sandbox_op_t *op)
{
    wait->op = op;

    if (op == NULL) {
        ngx_http_sandbox_api_no_store(wait->request);
    }
}


/*
 * The Idempotency-Key of r, in its pool.  NGX_ERROR if memory is out; otherwise
 * *reason (static) is set: NGX_DECLINED if it is missing, NGX_ABORT if
 * malformed.
 */
static ngx_int_t
ngx_http_sandbox_idem_header(ngx_http_request_t *r, ngx_str_t *key,
                             const char **reason)
{
    ngx_table_elt_t *h, *value;
    ngx_http_sandbox_headers_t it;

    value = NULL;
    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_next_header(r, &it, "idempotency-key"))) {
        if (value) {
            *reason = "is given twice";
            return NGX_ABORT;
        }
        value = h;
    }

    if (value == NULL) {
        *reason = "is missing";
        return NGX_DECLINED;
    }

    key->data = ngx_pnalloc(r->pool, SANDBOX_IDEM_KEY_MAX);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    key->len = sandbox_idem_key((char *) key->data, (char *) value->value.data,
                                value->value.len, reason);

    return key->len ? NGX_OK : NGX_ABORT;
}


static ngx_int_t
ngx_http_sandbox_wait_any_key(ngx_http_request_t *r, ngx_str_t *key,
                              ngx_uint_t required)
{
    ngx_int_t rc;
    const char *reason;

    rc = ngx_http_sandbox_idem_header(r, key, &reason);

    switch (rc) {
    case NGX_OK:
        return NGX_OK;

    case NGX_DECLINED:
        if (!required) {
            ngx_str_null(key);
            return NGX_OK;
        }

        ngx_http_sandbox_api_fail_field(
            r, &ngx_http_sandbox_idempotency_key_required,
            "The Idempotency-Key header is required.", "Idempotency-Key",
            reason);
        return NGX_ERROR;

    case NGX_ABORT:
        ngx_http_sandbox_api_fail_field(
            r, &ngx_http_sandbox_invalid_request,
            "The Idempotency-Key header is malformed.", "Idempotency-Key",
            reason);
        return NGX_ERROR;

    default:
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_internal_error,
                                  "Out of memory.");
        return NGX_ERROR;
    }
}


ngx_int_t
ngx_http_sandbox_wait_key(ngx_http_request_t *r, ngx_str_t *key)
{
    return ngx_http_sandbox_wait_any_key(r, key, 1);
}


ngx_int_t
ngx_http_sandbox_wait_optional_key(ngx_http_request_t *r, ngx_str_t *key)
{
    return ngx_http_sandbox_wait_any_key(r, key, 0);
}


ngx_int_t
ngx_http_sandbox_wait_id(ngx_http_request_t *r, char *id)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (sandbox_id_parse(id, "sb", (char *) ctx->sandbox.data, ctx->sandbox.len)
        != 0)
    {
        ngx_http_sandbox_api_no_sandbox(r);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_wait_body(ngx_http_request_t *r, ngx_str_t *body,
                           sandbox_body_error_t **err)
{
    *err = ngx_pcalloc(r->pool, sizeof(sandbox_body_error_t));

    if (*err == NULL || ngx_http_sandbox_api_body(r, body) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_wait_nothing(ngx_http_request_t *r)
{
    ngx_str_t body;
    sandbox_body_error_t *err;
    sandbox_body_status_t status;

    if (ngx_http_sandbox_wait_body(r, &body, &err) != NGX_OK) {
        return NGX_ERROR;
    }

    status = sandbox_body_nothing((char *) body.data, body.len, err);

    if (status != SANDBOX_BODY_OK) {
        ngx_http_sandbox_wait_refuse(r, status, err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_sandbox_wait_refuse(ngx_http_request_t *r,
                             sandbox_body_status_t status,
                             const sandbox_body_error_t *err)
{
    switch (status) {
    case SANDBOX_BODY_INVALID_JSON:
        ngx_http_sandbox_api_fail_field(r, &ngx_http_sandbox_invalid_json,
                                        "The body is not a valid JSON object.",
                                        err->field[0] ? err->field : "body",
                                        err->reason);
        return;

    case SANDBOX_BODY_INVALID:
        ngx_http_sandbox_api_fail_field(r, &ngx_http_sandbox_invalid_request,
                                        "A member of the body is not valid.",
                                        err->field, err->reason);
        return;

    case SANDBOX_BODY_UNKNOWN_TEMPLATE:
        ngx_http_sandbox_api_fail_field(r, &ngx_http_sandbox_template_not_found,
                                        "There is no such template.",
                                        err->field, err->reason);
        return;

    case SANDBOX_BODY_NOT_IMPLEMENTED:
        ngx_http_sandbox_api_fail_field(r, &ngx_http_sandbox_not_implemented,
                                        "This feature is not built yet.",
                                        err->field, err->reason);
        return;

    default:
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_internal_error,
                                  "Out of memory.");
    }
}


ngx_int_t
ngx_http_sandbox_wait_made(ngx_http_request_t *r, ngx_http_sandbox_op_t *op,
                           const char *collection)
{
    u_char buf[128], *p;

    p = ngx_slprintf(buf, buf + sizeof(buf), "%s/%s", collection, op->id);

    if (ngx_http_sandbox_api_header(r, "Location", (char *) buf, p - buf)
        != NGX_OK) {
        return NGX_ERROR;
    }

    return op->replayed ? ngx_http_sandbox_api_header(r, "Idempotent-Replayed",
                                                      "true", 4)
                        : NGX_OK;
}


void
ngx_http_sandbox_wait_text(ngx_http_request_t *r, ngx_uint_t status,
                           const sandbox_text_t *t)
{
    if (sandbox_text_failed(t)) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_sandbox_api_answer(r, status, t->data, t->len);
}
