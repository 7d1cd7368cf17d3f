/*
 * POST /v1/sandboxes/{id}/hibernate, /resume and /fork.  Translates between
 * HTTP and the lifecycle; decides nothing itself.
 */

#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_wait.h"
#include "sandbox_snapshot.h"


/*
 * The id in the path, of a snapshot or a sandbox; NGX_ERROR when r was
 * answered.
 */
static ngx_int_t
ngx_http_sandbox_resume_id(ngx_http_request_t *r, char *id)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (sandbox_id_parse(id, "snap", (char *) ctx->sandbox.data,
                         ctx->sandbox.len)
        == 0)
    {
        return NGX_OK;
    }

    return ngx_http_sandbox_wait_id(r, id);
}


void
ngx_http_sandbox_api_hibernate(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_http_sandbox_wait_t *wait;

    if (ngx_http_sandbox_wait_id(r, id) != NGX_OK
        || ngx_http_sandbox_wait_nothing(r) != NGX_OK)
    {
        return;
    }

    wait = ngx_http_sandbox_wait(r);
    if (wait == NULL) {
        return;
    }

    ngx_http_sandbox_wait_for(
        wait, ngx_http_sandbox_op_hibernate(
                  id, ngx_http_get_module_ctx(r, ngx_http_sandbox_module),
                  ngx_http_sandbox_wait_done, wait));
}


void
ngx_http_sandbox_api_resume(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_str_t key;
    ngx_http_sandbox_wait_t *wait;

    if (ngx_http_sandbox_wait_optional_key(r, &key) != NGX_OK
        || ngx_http_sandbox_resume_id(r, id) != NGX_OK
        || ngx_http_sandbox_wait_nothing(r) != NGX_OK)
    {
        return;
    }

    wait = ngx_http_sandbox_wait(r);
    if (wait == NULL) {
        return;
    }

    wait->answer = ngx_http_sandbox_api_created;
    ngx_http_sandbox_wait_for(
        wait, ngx_http_sandbox_op_resume(
                  id, ngx_http_get_module_ctx(r, ngx_http_sandbox_module),
                  key.len ? &key : NULL, 0, ngx_http_sandbox_wait_done, wait));
}


void
ngx_http_sandbox_api_fork(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_str_t key;
    sandbox_snapshot_t body;
    ngx_http_sandbox_wait_t *wait;

    if (ngx_http_sandbox_wait_key(r, &key) != NGX_OK
        || ngx_http_sandbox_wait_id(r, id) != NGX_OK
        || ngx_http_sandbox_api_snapshot_body(r, id, &body) != NGX_OK)
    {
        return;
    }

    wait = ngx_http_sandbox_wait(r);

    if (wait) {
        wait->answer = ngx_http_sandbox_api_created;
        ngx_http_sandbox_wait_for(
            wait, ngx_http_sandbox_op_fork(
                      id, ngx_http_get_module_ctx(r, ngx_http_sandbox_module),
                      &key, &body, ngx_http_sandbox_wait_done, wait));
    }

    sandbox_snapshot_free(&body);
}
