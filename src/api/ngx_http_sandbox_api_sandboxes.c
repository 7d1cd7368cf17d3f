/*
 * /v1/sandboxes and /v1/sandboxes/{id}: create, get, delete, timeout.
 * Translates between HTTP and the lifecycle; decides nothing itself.
 */

#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_wait.h"
#include "sandbox_timeout.h"


static ngx_int_t
ngx_http_sandbox_create_headers(ngx_http_request_t *r,
                                ngx_http_sandbox_op_t *op)
{
    u_char buf[256], *p;
    ngx_http_sandbox_op_times_t *t;

    if (ngx_http_sandbox_wait_made(r, op, "/v1/sandboxes") != NGX_OK) {
        return NGX_ERROR;
    }

    if (op->replayed) {
        return NGX_OK;
    }

    t = &op->times;
    p = ngx_slprintf(buf, buf + sizeof(buf),
                     "queue;dur=%L, take;dur=%L, checkpoint;dur=%L, "
                     "disk;dur=%L, domain;dur=%L, guest;dur=%L, "
                     "commit;dur=%L, total;dur=%L",
                     t->queue_ms, t->take_ms, t->checkpoint_ms,
                     t->hypervisor.disk_ms, t->hypervisor.domain_ms,
                     t->guest_ms, t->commit_ms, t->total_ms);

    return ngx_http_sandbox_api_header(r, "Server-Timing", (char *) buf,
                                       p - buf);
}


void
ngx_http_sandbox_api_created(ngx_http_request_t *r, ngx_http_sandbox_op_t *op)
{
    if (ngx_http_sandbox_create_headers(r, op) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_sandbox_api_answer(r, op->status, op->answer, op->answer_len);
}


void
ngx_http_sandbox_api_sandbox_limits(ngx_http_request_t *r,
                                    sandbox_create_limits_t *limits)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_module);

    limits->max_vcpus = mcf->max_vcpus;
    limits->max_memory_mb = mcf->max_memory_mb;
    limits->max_disk_mb = mcf->max_disk_mb;
    limits->max_timeout_ms = (int64_t) mcf->max_timeout;
    limits->templates = mcf->templates;
}


static void
ngx_http_sandbox_create_recalled(ngx_http_request_t *r,
                                 ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_wait_t *wait = op->data;

    if (op->replayed) {
        ngx_http_sandbox_api_created(r, op);
        return;
    }

    ngx_http_sandbox_wait_refuse(r, wait->refused, wait->refusal);
}


/*
 * Refuses a body for what this node cannot do, unless the key has an answer: of
 * another node, or of this one with other limits.
 */
static void
ngx_http_sandbox_create_recall(ngx_http_request_t *r,
                               const sandbox_create_t *create, ngx_str_t *key,
                               sandbox_body_status_t status,
                               const sandbox_body_error_t *err)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;

    wait = ngx_http_sandbox_wait(r);
    if (wait == NULL) {
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    wait->answer = ngx_http_sandbox_create_recalled;
    wait->refused = status;
    wait->refusal = err;

    ngx_http_sandbox_wait_for(
        wait, ngx_http_sandbox_op_recall(create->fingerprint, ctx, key,
                                         ngx_http_sandbox_wait_done, wait));
}


void
ngx_http_sandbox_api_create(ngx_http_request_t *r)
{
    ngx_str_t body, key;
    sandbox_create_t create;
    sandbox_body_error_t *err;
    sandbox_create_limits_t limits;
    sandbox_body_status_t status;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ngx_http_sandbox_wait_key(r, &key) != NGX_OK) {
        return;
    }

    if (ngx_http_sandbox_wait_body(r, &body, &err) != NGX_OK) {
        return;
    }

    ngx_http_sandbox_api_sandbox_limits(r, &limits);

    status = sandbox_create_parse(&create, (char *) body.data, body.len,
                                  &limits, err);
    if (create.limited) {
        ngx_http_sandbox_create_recall(r, &create, &key, status, err);
        return;
    }

    if (status != SANDBOX_BODY_OK) {
        ngx_http_sandbox_wait_refuse(r, status, err);
        return;
    }

    wait = ngx_http_sandbox_wait(r);

    if (wait) {
        wait->answer = ngx_http_sandbox_api_created;
        ngx_http_sandbox_wait_for(
            wait, ngx_http_sandbox_op_create(&create, ctx, &key,
                                             ngx_http_sandbox_wait_done, wait));
    }

    sandbox_create_free(&create);
}


static void
ngx_http_sandbox_delete_answer(ngx_http_request_t *r, ngx_http_sandbox_op_t *op)
{
    char id[SANDBOX_ID_SIZE];
    u_char buf[128], *p;
    ngx_http_sandbox_ctx_t *ctx;

    /* the id in the path: op->id is the one that an alias led to */
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    (void) sandbox_id_parse(id, "sb", (char *) ctx->sandbox.data,
                            ctx->sandbox.len);

    p = ngx_slprintf(buf, buf + sizeof(buf),
                     "{\"id\":\"%s\",\"status\":\"destroyed\"}", id);
    ngx_http_sandbox_api_answer(r, op->status, (char *) buf, p - buf);
}


void
ngx_http_sandbox_api_delete(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ngx_http_sandbox_wait_id(r, id) != NGX_OK) {
        return;
    }

    wait = ngx_http_sandbox_wait(r);
    if (wait == NULL) {
        return;
    }

    wait->answer = ngx_http_sandbox_delete_answer;
    ngx_http_sandbox_wait_for(
        wait,
        ngx_http_sandbox_op_destroy(id, ctx, ngx_http_sandbox_wait_done, wait));
}


static void
ngx_http_sandbox_get_answer(ngx_http_request_t *r, ngx_int_t rc,
                            ngx_http_sandbox_record_t *record, uint32_t fields)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_ctx_t *ctx;

    if (rc == NGX_ERROR) {
        ngx_http_sandbox_api_no_store(r);
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (rc == NGX_DECLINED
        || ngx_strcmp(record->tenant, (char *) ctx->tenant.data) != 0)
    {
        ngx_http_sandbox_api_no_sandbox(r);
        return;
    }

    ngx_http_sandbox_object_masked(&t, record, fields);

    ngx_http_sandbox_wait_text(r, NGX_HTTP_OK, &t);
    sandbox_text_free(&t);
}


static void
ngx_http_sandbox_get_done(void *data, ngx_int_t rc,
                          ngx_http_sandbox_record_t *record)
{
    ngx_http_sandbox_wait_t *wait = data;

    ngx_connection_t *c;

    c = wait->request->connection;
    ngx_http_sandbox_get_answer(wait->request, rc, record, wait->fields);
    ngx_http_run_posted_requests(c);
}


void
ngx_http_sandbox_api_get(ngx_http_request_t *r)
{
    sandbox_query_error_t err;
    sandbox_query_param_t params[] = { { "fields", NULL }, { NULL, NULL } };
    sandbox_query_status_t rc;
    ngx_http_sandbox_wait_t *wait;

    wait = ngx_http_sandbox_wait(r);
    if (wait == NULL) {
        return;
    }

    rc = sandbox_query_parse(params, (char *) r->args.data, r->args.len, &err);

    if (rc == SANDBOX_QUERY_OK) {
        rc = sandbox_query_fields(&wait->fields, &params[0],
                                  ngx_http_sandbox_object_member, &err);
    }

    sandbox_query_free(params);

    if (rc != SANDBOX_QUERY_OK) {
        ngx_http_sandbox_api_fail_query(r, rc, &err);
        return;
    }

    if (ngx_http_sandbox_wait_id(r, wait->get.id) != NGX_OK) {
        return;
    }

    wait->get.handler = ngx_http_sandbox_get_done;
    wait->get.data = wait;

    if (ngx_http_sandbox_record_get(&wait->get) != NGX_OK) {
        ngx_http_sandbox_api_no_store(r);
    }
}


void
ngx_http_sandbox_api_timeout(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_str_t body;
    sandbox_timeout_t timeout;
    sandbox_body_error_t *err;
    sandbox_create_limits_t limits;
    sandbox_body_status_t status;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ngx_http_sandbox_wait_body(r, &body, &err) != NGX_OK) {
        return;
    }

    ngx_http_sandbox_api_sandbox_limits(r, &limits);

    status = sandbox_timeout_parse(&timeout, (char *) body.data, body.len,
                                   &limits, err);
    if (status != SANDBOX_BODY_OK) {
        ngx_http_sandbox_wait_refuse(r, status, err);
        return;
    }

    if (ngx_http_sandbox_wait_id(r, id) != NGX_OK) {
        return;
    }

    wait = ngx_http_sandbox_wait(r);
    if (wait == NULL) {
        return;
    }

    ngx_http_sandbox_wait_for(
        wait,
        ngx_http_sandbox_op_timeout(id, ctx, timeout.timeout_ms, timeout.action,
                                    ngx_http_sandbox_wait_done, wait));
}
