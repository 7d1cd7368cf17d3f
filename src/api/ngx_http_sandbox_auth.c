/*
 * Bearer keys; see the header.  Owns the worker's key cache, and the keys of
 * the requests that are held.
 */

#include "ngx_http_sandbox_auth.h"

#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_headers.h"
#include "ngx_http_sandbox_redis.h"
#include "ngx_http_sandbox_timer.h"
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


/* A key of requests that are held; on the heap, freed with the last of them. */
typedef struct ngx_http_sandbox_auth_key_s {
    ngx_queue_t queue; /* of ngx_http_sandbox_auth_held */
    ngx_queue_t holds;
    uint8_t digest[SANDBOX_SHA256_LEN];
    unsigned asked : 1;   /* Redis has yet to answer */
    unsigned telling : 1; /* its handlers are being called */
} ngx_http_sandbox_auth_key_t;


static ngx_http_sandbox_auth_slot_t
    ngx_http_sandbox_auth_cache[NGX_HTTP_SANDBOX_AUTH_SLOTS];
static ngx_queue_t ngx_http_sandbox_auth_held[NGX_HTTP_SANDBOX_AUTH_SLOTS];
static ngx_uint_t ngx_http_sandbox_auth_nkeys;
static ngx_event_t ngx_http_sandbox_auth_timer;


static ngx_uint_t
ngx_http_sandbox_auth_hash(const uint8_t *digest)
{
    uint32_t hash;

    ngx_memcpy(&hash, digest, sizeof(uint32_t));

    return hash % NGX_HTTP_SANDBOX_AUTH_SLOTS;
}


static ngx_http_sandbox_auth_slot_t *
ngx_http_sandbox_auth_slot(const uint8_t *digest)
{
    return &ngx_http_sandbox_auth_cache[ngx_http_sandbox_auth_hash(digest)];
}


static ngx_int_t
ngx_http_sandbox_auth_good(ngx_http_request_t *r,
                           const ngx_http_sandbox_auth_slot_t *slot)
{
    u_char *p;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    p = ngx_pnalloc(r->pool, SANDBOX_SHA256_LEN + slot->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->key = p;
    ctx->tenant.data = ngx_cpymem(p, slot->digest, SANDBOX_SHA256_LEN);
    ctx->tenant.len = slot->len;
    p = ngx_cpymem(ctx->tenant.data, slot->tenant, slot->len);
    *p = '\0';

    return NGX_OK;
}


/* The slot of a key, filled from Redis' answer; NULL if the key is unknown. */
static ngx_http_sandbox_auth_slot_t *
ngx_http_sandbox_auth_fill(const uint8_t *digest, const redisReply *reply)
{
    ngx_http_sandbox_auth_slot_t *slot;

    /* a tenant has no colon, which separates the parts of Redis keys */
    if (reply->type != REDIS_REPLY_STRING || reply->len < 1
        || reply->len > SANDBOX_TENANT_MAX || ngx_strchr(reply->str, ':'))
    {
        return NULL;
    }

    slot = ngx_http_sandbox_auth_slot(digest);
    ngx_memcpy(slot->digest, digest, SANDBOX_SHA256_LEN);
    ngx_memcpy(slot->tenant, reply->str, reply->len);
    slot->len = (u_char) reply->len;
    slot->expires = ngx_current_msec + NGX_HTTP_SANDBOX_AUTH_TTL_MS;

    return slot;
}


static void
ngx_http_sandbox_auth_reply(void *data, redisReply *reply)
{
    ngx_http_sandbox_auth_t *auth = data;

    ngx_int_t rc;
    ngx_http_sandbox_auth_slot_t *slot;

    rc = NGX_ERROR;

    if (reply && reply->type != REDIS_REPLY_ERROR) {
        slot = ngx_http_sandbox_auth_fill(auth->digest, reply);
        rc = slot ? ngx_http_sandbox_auth_good(auth->request, slot)
                  : NGX_DECLINED;
    }

    auth->handler(auth->request, rc);
}


/* NGX_DECLINED if Redis is away. */
static ngx_int_t
ngx_http_sandbox_auth_ask(ngx_http_sandbox_redis_handler_pt handler, void *data,
                          const uint8_t *digest)
{
    char hex[SANDBOX_SHA256_HEX_SIZE];
    ngx_str_t argv[3];
    u_char key[NGX_HTTP_SANDBOX_PREFIX_MAX + sizeof("key:")
               + SANDBOX_SHA256_HEX_SIZE];

    sandbox_hex(hex, digest, SANDBOX_SHA256_LEN);

    ngx_str_set(&argv[0], "HGET");
    argv[1].data = key;
    argv[1].len = ngx_snprintf(key, sizeof(key), "%Vkey:%s",
                               &ngx_http_sandbox_worker.conf->prefix, hex)
                  - key;
    ngx_str_set(&argv[2], "tenant");

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          handler, data, 3, argv);
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
    ngx_pool_cleanup_t *cln;
    ngx_http_sandbox_auth_t *auth;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_auth_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    auth = cln->data;
    auth->request = r;
    auth->handler = handler;
    ngx_memcpy(auth->digest, digest, SANDBOX_SHA256_LEN);

    if (ngx_http_sandbox_auth_ask(ngx_http_sandbox_auth_reply, auth, digest)
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
        return ngx_http_sandbox_auth_good(r, slot);
    }

    return ngx_http_sandbox_auth_lookup(r, handler, digest);
}


/* Ends key if no request is held any more. */
static void
ngx_http_sandbox_auth_drop(ngx_http_sandbox_auth_key_t *key)
{
    if (key->telling || !ngx_queue_empty(&key->holds)) {
        return;
    }

    if (key->asked && ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, key);
    }

    ngx_queue_remove(&key->queue);
    ngx_free(key);
    ngx_http_sandbox_auth_nkeys--;
}


/* Tells the requests of a key; one that ends may release others as well. */
static void
ngx_http_sandbox_auth_tell(ngx_http_sandbox_auth_key_t *key)
{
    ngx_queue_t *q, untold;
    ngx_http_sandbox_auth_hold_t *hold;

    ngx_queue_init(&untold);
    ngx_queue_add(&untold, &key->holds);
    ngx_queue_init(&key->holds);
    key->telling = 1;

    while (!ngx_queue_empty(&untold)) {
        q = ngx_queue_head(&untold);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&key->holds, q);

        hold = ngx_queue_data(q, ngx_http_sandbox_auth_hold_t, queue);
        hold->handler(hold->data);
    }

    key->telling = 0;
    ngx_http_sandbox_auth_drop(key);
}


static void
ngx_http_sandbox_auth_asked(void *data, redisReply *reply)
{
    ngx_http_sandbox_auth_key_t *key = data;

    ngx_http_sandbox_auth_slot_t *slot;

    key->asked = 0;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR
        || ngx_http_sandbox_auth_fill(key->digest, reply))
    {
        return;
    }

    slot = ngx_http_sandbox_auth_slot(key->digest);

    if (ngx_memcmp(slot->digest, key->digest, SANDBOX_SHA256_LEN) == 0) {
        slot->len = 0;
    }

    ngx_http_sandbox_auth_tell(key);
}


/* Asks for all keys that are held, also in a worker that is shutting down. */
static void
ngx_http_sandbox_auth_sweep(ngx_event_t *ev)
{
    ngx_uint_t i;
    ngx_queue_t *q, *slot;
    ngx_http_sandbox_auth_key_t *key;

    for (i = 0; i < NGX_HTTP_SANDBOX_AUTH_SLOTS; i++) {
        slot = &ngx_http_sandbox_auth_held[i];

        if (slot->next == NULL) {
            continue;
        }

        for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot);
             q = ngx_queue_next(q))
        {
            key = ngx_queue_data(q, ngx_http_sandbox_auth_key_t, queue);

            if (!key->asked
                && ngx_http_sandbox_auth_ask(ngx_http_sandbox_auth_asked, key,
                                             key->digest)
                       == NGX_OK)
            {
                key->asked = 1;
            }
        }
    }

    if (ngx_http_sandbox_auth_nkeys) {
        ngx_add_timer(ev, NGX_HTTP_SANDBOX_AUTH_TTL_MS);
    }
}


/* The key of a digest, made if no request is held by it; NULL: no memory. */
static ngx_http_sandbox_auth_key_t *
ngx_http_sandbox_auth_key(const uint8_t *digest)
{
    ngx_queue_t *q, *slot;
    ngx_http_sandbox_auth_key_t *key;

    slot = &ngx_http_sandbox_auth_held[ngx_http_sandbox_auth_hash(digest)];

    if (slot->next == NULL) {
        ngx_queue_init(slot);
    }

    for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot);
         q = ngx_queue_next(q))
    {
        key = ngx_queue_data(q, ngx_http_sandbox_auth_key_t, queue);

        if (ngx_memcmp(key->digest, digest, SANDBOX_SHA256_LEN) == 0) {
            return key;
        }
    }

    key = ngx_calloc(sizeof(ngx_http_sandbox_auth_key_t), ngx_cycle->log);
    if (key == NULL) {
        return NULL;
    }

    ngx_queue_init(&key->holds);
    ngx_memcpy(key->digest, digest, SANDBOX_SHA256_LEN);
    ngx_queue_insert_tail(slot, &key->queue);
    ngx_http_sandbox_auth_nkeys++;

    return key;
}


ngx_int_t
ngx_http_sandbox_auth_hold(ngx_http_sandbox_auth_hold_t *hold,
                           const ngx_http_sandbox_ctx_t *ctx)
{
    ngx_event_t *ev;

    hold->key = ngx_http_sandbox_auth_key(ctx->key);
    if (hold->key == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&hold->key->holds, &hold->queue);
    ev = &ngx_http_sandbox_auth_timer;

    if (!ev->timer_set) {
        ngx_http_sandbox_timer_init(ev, ngx_http_sandbox_auth_sweep);
        ngx_add_timer(ev, NGX_HTTP_SANDBOX_AUTH_TTL_MS);
    }

    return NGX_OK;
}


void
ngx_http_sandbox_auth_release(ngx_http_sandbox_auth_hold_t *hold)
{
    ngx_http_sandbox_auth_key_t *key;

    key = hold->key;

    if (key) {
        hold->key = NULL;
        ngx_queue_remove(&hold->queue);
        ngx_http_sandbox_auth_drop(key);
    }
}
