/*
 * Bearer keys; see the header.  Owns the worker's key cache.
 */

#include "ngx_http_sandbox_auth.h"

#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_headers.h"
#include "ngx_http_sandbox_redis.h"
#include "sandbox_digest.h"
#include "sandbox_tenant.h"

#define NGX_HTTP_SANDBOX_KEY_MAX 256


typedef struct {
    uint8_t digest[SANDBOX_SHA256_LEN];
    ngx_msec_t expires;
    u_char len; /* of tenant; 0: free */
    u_char tenant[SANDBOX_TENANT_MAX];
} ngx_http_sandbox_auth_slot_t;

typedef struct {
    ngx_http_request_t *request;
    ngx_http_sandbox_auth_pt handler;
    uint8_t digest[SANDBOX_SHA256_LEN];
} ngx_http_sandbox_auth_t;


static ngx_http_sandbox_auth_slot_t
    ngx_http_sandbox_auth_cache[NGX_HTTP_SANDBOX_AUTH_SLOTS];


static ngx_http_sandbox_auth_slot_t *
ngx_http_sandbox_auth_slot(const uint8_t *digest)
{
    uint32_t hash;

    ngx_memcpy(&hash, digest, sizeof(uint32_t));

    return &ngx_http_sandbox_auth_cache[hash % NGX_HTTP_SANDBOX_AUTH_SLOTS];
}


static ngx_int_t
ngx_http_sandbox_auth_tenant(ngx_http_request_t *r, u_char *tenant, size_t len)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    ctx->tenant.data = ngx_pnalloc(r->pool, len + 1);
    if (ctx->tenant.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ctx->tenant.data, tenant, len);
    ctx->tenant.data[len] = '\0';
    ctx->tenant.len = len;

    return NGX_OK;
}


static void
ngx_http_sandbox_auth_reply(void *data, redisReply *reply)
{
    ngx_http_sandbox_auth_t *auth = data;

    ngx_int_t rc;
    ngx_http_sandbox_auth_slot_t *slot;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        auth->handler(auth->request, NGX_ERROR);
        return;
    }

    /* a tenant has no colon, which separates the parts of Redis keys */
    if (reply->type != REDIS_REPLY_STRING || reply->len < 1
        || reply->len > SANDBOX_TENANT_MAX || ngx_strchr(reply->str, ':'))
    {
        auth->handler(auth->request, NGX_DECLINED);
        return;
    }

    slot = ngx_http_sandbox_auth_slot(auth->digest);
    ngx_memcpy(slot->digest, auth->digest, SANDBOX_SHA256_LEN);
    ngx_memcpy(slot->tenant, reply->str, reply->len);
    slot->len = (u_char) reply->len;
    slot->expires = ngx_current_msec + NGX_HTTP_SANDBOX_AUTH_TTL_MS;

    rc = ngx_http_sandbox_auth_tenant(auth->request, slot->tenant, slot->len);
    auth->handler(auth->request, rc);
}


static void
ngx_http_sandbox_auth_cleanup(void *data)
{
    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, data);
    }
}


static ngx_int_t
ngx_http_sandbox_auth_lookup(ngx_http_request_t *r,
                             ngx_http_sandbox_auth_pt handler,
                             const uint8_t *digest)
{
    char hex[SANDBOX_SHA256_HEX_SIZE];
    ngx_str_t argv[3];
    ngx_pool_cleanup_t *cln;
    ngx_http_sandbox_auth_t *auth;
    ngx_http_sandbox_main_conf_t *mcf;
    u_char key[NGX_HTTP_SANDBOX_PREFIX_MAX + sizeof("key:")
               + SANDBOX_SHA256_HEX_SIZE];

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_auth_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    auth = cln->data;
    auth->request = r;
    auth->handler = handler;
    ngx_memcpy(auth->digest, digest, SANDBOX_SHA256_LEN);

    mcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_module);
    sandbox_hex(hex, digest, SANDBOX_SHA256_LEN);

    ngx_str_set(&argv[0], "HGET");
    argv[1].data = key;
    argv[1].len =
        ngx_snprintf(key, sizeof(key), "%Vkey:%s", &mcf->prefix, hex) - key;
    ngx_str_set(&argv[2], "tenant");

    if (ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                       ngx_http_sandbox_auth_reply, auth, 3,
                                       argv)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_sandbox_auth_cleanup;

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_sandbox_authenticate(ngx_http_request_t *r,
                              ngx_http_sandbox_auth_pt handler)
{
    uint8_t digest[SANDBOX_SHA256_LEN];
    ngx_str_t key;
    ngx_http_sandbox_auth_slot_t *slot;

    key = ngx_http_sandbox_bearer(r->headers_in.authorization);

    if (key.len == 0 || key.len > NGX_HTTP_SANDBOX_KEY_MAX) {
        return NGX_DECLINED;
    }

    if (sandbox_sha256(digest, key.data, key.len) != 0) {
        return NGX_ERROR;
    }

    slot = ngx_http_sandbox_auth_slot(digest);

    if (slot->len && (ngx_msec_int_t) (slot->expires - ngx_current_msec) > 0
        && sandbox_equal_const_time(slot->digest, digest, SANDBOX_SHA256_LEN))
    {
        return ngx_http_sandbox_auth_tenant(r, slot->tenant, slot->len);
    }

    return ngx_http_sandbox_auth_lookup(r, handler, digest);
}
