/*
 * PATCH /v1/sandboxes/{id}/network.  Translates between HTTP and the
 * lifecycle; decides nothing itself.
 */

#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_wait.h"


void
ngx_http_sandbox_api_network(ngx_http_request_t *r)
{
    char id[SANDBOX_ID_SIZE];
    ngx_str_t body;
    sandbox_body_error_t *err;
    sandbox_body_status_t status;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;
    sandbox_network_patch_t patch;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ngx_http_sandbox_wait_body(r, &body, &err) != NGX_OK) {
        return;
    }

    status =
        sandbox_network_patch_parse(&patch, (char *) body.data, body.len, err);
    if (status != SANDBOX_BODY_OK) {
        ngx_http_sandbox_wait_refuse(r, status, err);
        return;
    }

    if (ngx_http_sandbox_wait_id(r, id) != NGX_OK) {
        sandbox_network_patch_free(&patch);
        return;
    }

    wait = ngx_http_sandbox_wait(r);

    if (wait) {
        ngx_http_sandbox_wait_for(
            wait, ngx_http_sandbox_op_network(
                      id, ctx, &patch, ngx_http_sandbox_wait_done, wait));
    }

    sandbox_network_patch_free(&patch);
}
