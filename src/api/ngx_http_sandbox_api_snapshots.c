/*
 * /v1/sandboxes/{id}/snapshots and /v1/snapshots/{id}: create, get, delete
 * (the list is in ngx_http_sandbox_api_list.c).  Translates between HTTP and
 * the lifecycle; decides nothing itself.
 */

#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_wait.h"


static void
ngx_http_sandbox_snapshot_answer(ngx_http_request_t *r,
                                 ngx_http_sandbox_op_t *op)
{
    if (ngx_http_sandbox_wait_made(r, op, "/v1/snapshots") != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_sandbox_api_answer(r, op->status, op->answer, op->answer_len);
}


ngx_int_t
ngx_http_sandbox_api_snapshot_body(ngx_http_request_t *r, const char *id,
                                   sandbox_snapshot_t *snapshot)
{
    ngx_str_t body;
    sandbox_body_error_t *err;
    sandbox_body_status_t status;

    if (ngx_http_sandbox_wait_body(r, &body, &err) != NGX_OK) {
        return NGX_ERROR;
    }

    status =
        sandbox_snapshot_parse(snapshot, id, (char *) body.data, body.len, err);
    if (status != SANDBOX_BODY_OK) {
        ngx_http_sandbox_wait_refuse(r, status, err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_sandbox_api_snapshot(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_str_t key;
    sandbox_snapshot_t snapshot;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ngx_http_sandbox_wait_key(r, &key) != NGX_OK) {
        return;
    }

    if (ngx_http_sandbox_wait_id(r, id) != NGX_OK) {
        return;
    }

    if (ngx_http_sandbox_api_snapshot_body(r, id, &snapshot) != NGX_OK) {
        return;
    }

    wait = ngx_http_sandbox_wait(r);

    if (wait) {
        wait->answer = ngx_http_sandbox_snapshot_answer;
        ngx_http_sandbox_wait_for(wait, ngx_http_sandbox_op_snapshot(
                                            &snapshot, id, ctx, &key,
                                            ngx_http_sandbox_wait_done, wait));
    }

    sandbox_snapshot_free(&snapshot);
}


/*
 * The id in the path of r; NGX_ERROR if it cannot be one of the tenant's, and
 * r was answered.
 */
static ngx_int_t
ngx_http_sandbox_snapshot_id(ngx_http_request_t *r, char *id)
{
    char shard[SANDBOX_SHARD_LEN];
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    sandbox_id_shard(shard, (char *) ctx->tenant.data, ctx->tenant.len);

    if (sandbox_id_parse(id, "snap", (char *) ctx->sandbox.data,
                         ctx->sandbox.len)
            != 0
        || ngx_memcmp(ngx_http_sandbox_id_shard(id), shard, sizeof(shard)) != 0)
    {
        ngx_http_sandbox_api_no_snapshot(r);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_sandbox_snapshot_got(ngx_http_request_t *r, ngx_int_t rc,
                              ngx_http_sandbox_snapshot_t *snapshot)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_ctx_t *ctx;

    if (rc == NGX_ERROR) {
        ngx_http_sandbox_api_no_store(r);
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (rc == NGX_DECLINED
        || ngx_strcmp(snapshot->tenant, (char *) ctx->tenant.data) != 0
        || ngx_strcmp(snapshot->kind, NGX_HTTP_SANDBOX_SNAPSHOT_REUSABLE) != 0
        || snapshot->state != NGX_HTTP_SANDBOX_SNAPSHOT_READY)
    {
        ngx_http_sandbox_api_no_snapshot(r);
        return;
    }

    ngx_http_sandbox_snapshot_object(&t, snapshot);

    ngx_http_sandbox_wait_text(r, NGX_HTTP_OK, &t);
    sandbox_text_free(&t);
}


static void
ngx_http_sandbox_snapshot_read(void *data, ngx_int_t rc,
                               ngx_http_sandbox_snapshot_t *snapshot)
{
    ngx_http_sandbox_wait_t *wait = data;

    ngx_connection_t *c;

    c = wait->request->connection;
    ngx_http_sandbox_snapshot_got(wait->request, rc, snapshot);
    ngx_http_run_posted_requests(c);
}


void
ngx_http_sandbox_api_get_snapshot(ngx_http_request_t *r)
{
    ngx_http_sandbox_wait_t *wait;

    wait = ngx_http_sandbox_wait(r);

    if (wait == NULL
        || ngx_http_sandbox_snapshot_id(r, wait->snapshot.id) != NGX_OK)
    {
        return;
    }

    wait->snapshot.handler = ngx_http_sandbox_snapshot_read;
    wait->snapshot.data = wait;

    if (ngx_http_sandbox_snapshot_get(&wait->snapshot) != NGX_OK) {
        ngx_http_sandbox_api_no_store(r);
    }
}


static void
ngx_http_sandbox_snapshot_deleted(ngx_http_request_t *r,
                                  ngx_http_sandbox_op_t *op)
{
    u_char buf[128], *p;

    p = ngx_slprintf(buf, buf + sizeof(buf),
                     "{\"id\":\"%s\",\"status\":\"deleted\"}", op->id);
    ngx_http_sandbox_api_answer(r, op->status, (char *) buf, p - buf);
}


void
ngx_http_sandbox_api_delete_snapshot(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ngx_http_sandbox_snapshot_id(r, id) != NGX_OK) {
        return;
    }

    wait = ngx_http_sandbox_wait(r);
    if (wait == NULL) {
        return;
    }

    wait->answer = ngx_http_sandbox_snapshot_deleted;
    ngx_http_sandbox_wait_for(wait,
                              ngx_http_sandbox_op_snapshot_delete(
                                  id, ctx, ngx_http_sandbox_wait_done, wait));
}
