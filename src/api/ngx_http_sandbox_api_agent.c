/*
 * Routes that the agent in the guest answers: finds the guest, and lets
 * proxy_pass carry the request there unchanged but for its credentials.
 */

#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_traffic.h"
#include "sandbox_guest.h"


/*
 * The client's API key must not reach the guest: every Authorization header
 * is given the agent's token instead.
 */
static ngx_int_t
ngx_http_sandbox_agent_credentials(ngx_http_request_t *r, const char *token)
{
    ngx_str_t bearer;
    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    bearer.len = sizeof("Bearer ") - 1 + ngx_strlen(token);
    bearer.data = ngx_pnalloc(r->pool, bearer.len + 1);
    if (bearer.data == NULL) {
        return NGX_ERROR;
    }

    ngx_snprintf(bearer.data, bearer.len + 1, "Bearer %s%Z", token);

    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_api_next_header(r, &it, "authorization"))) {
        h->value = bearer;
    }

    return NGX_OK;
}


/* Our request id, in place of whatever the client sent under that name. */
static ngx_int_t
ngx_http_sandbox_agent_request_id(ngx_http_request_t *r,
                                  ngx_http_sandbox_ctx_t *ctx)
{
    ngx_table_elt_t *h;
    ngx_uint_t found;
    ngx_http_sandbox_headers_t it;

    found = 0;
    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_api_next_header(r, &it, "x-request-id"))) {
        h->value = ctx->request_id;
        found = 1;
    }

    if (found) {
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&h->key, "X-Request-Id");
    h->value = ctx->request_id;
    h->lowcase_key = (u_char *) "x-request-id";
    h->hash = ngx_hash_key(h->lowcase_key, h->key.len);

    return NGX_OK;
}


static void
ngx_http_sandbox_agent_pass(ngx_http_request_t *r, ngx_int_t rc,
                            ngx_http_sandbox_record_t *record)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_route_t route;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (rc == NGX_ERROR) {
        ngx_http_sandbox_api_no_store(r);
        return;
    }

    if (rc == NGX_DECLINED
        || ngx_strcmp(record->tenant, (char *) ctx->tenant.data) != 0)
    {
        ngx_http_sandbox_api_no_sandbox(r);
        return;
    }

    if (record->state != NGX_HTTP_SANDBOX_RUNNING) {
        ngx_http_sandbox_api_fail_state(
            r,
            record->state == NGX_HTTP_SANDBOX_CREATING
                ? &ngx_http_sandbox_sandbox_not_ready
                : &ngx_http_sandbox_transition_conflict,
            "The sandbox is not running.",
            ngx_http_sandbox_state_name(record->state));
        return;
    }

    if (ngx_http_sandbox_agent_credentials(r, record->agent_token) != NGX_OK
        || ngx_http_sandbox_agent_request_id(r, ctx) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_sandbox_record_to_route(&route, record);
    ngx_http_sandbox_peer_set(ctx, &route, SANDBOX_AGENT_PORT);
    ngx_http_sandbox_api_pass(r);
}


static void
ngx_http_sandbox_agent_found(void *data, ngx_int_t rc,
                             ngx_http_sandbox_record_t *record)
{
    ngx_http_request_t *r = data;

    ngx_connection_t *c;

    c = r->connection;
    ngx_http_sandbox_agent_pass(r, rc, record);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_sandbox_agent_cleanup(void *data)
{
    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, data);
    }
}


void
ngx_http_sandbox_api_agent(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_record_get_t *get;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_record_get_t));
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    get = cln->data;
    get->handler = ngx_http_sandbox_agent_found;
    get->data = r;
    cln->handler = ngx_http_sandbox_agent_cleanup;

    if (sandbox_id_parse(get->id, "sb", (char *) ctx->sandbox.data,
                         ctx->sandbox.len)
        != 0)
    {
        ngx_http_sandbox_agent_pass(r, NGX_DECLINED, NULL);
        return;
    }

    if (ngx_http_sandbox_record_get(get) != NGX_OK) {
        ngx_http_sandbox_agent_pass(r, NGX_ERROR, NULL);
    }
}
