/*
 * Key names and typed records of warm pools; see the header.  Knows Redis
 * replies, not what changes records.
 */

#include "ngx_http_sandbox_pool.h"

#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_reply.h"


/* clang-format off */

#define TEXT(name, member)                                                     \
    { name, offsetof(ngx_http_sandbox_pool_t, member), 1 }
#define NUMBER(name, member)                                                   \
    { name, offsetof(ngx_http_sandbox_pool_t, member), 0 }

/* In the order of a row; those without a name are counted by the script. */
static const struct {
    const char *name;
    size_t member;
    unsigned text : 1;
} ngx_http_sandbox_pool_members[] = {
    TEXT(NULL, id),
    TEXT("name", name),
    TEXT("state", state),
    TEXT("node", node),
    TEXT("template", template),
    TEXT("version", version),
    NUMBER("vcpus", vcpus),
    NUMBER("memory_mb", memory_mb),
    NUMBER("disk_mb", disk_mb),
    NUMBER("min_ready", min_ready),
    NUMBER("max_ready", max_ready),
    NUMBER("idle_timeout_ms", idle_timeout_ms),
    NUMBER("stale_after_ms", stale_after_ms),
    TEXT("checkout_policy", checkout_policy),
    TEXT("version_policy", version_policy),
    TEXT("track_tag", track_tag),
    TEXT("labels", labels),
    TEXT("metadata", metadata),
    NUMBER("created_at", created_at),
    NUMBER("updated_at", updated_at),
    NUMBER("target", target),
    TEXT("reason", reason),
    NUMBER("reason_at", reason_at),
    NUMBER(NULL, ready),
    NUMBER(NULL, warming),
    NUMBER(NULL, claimed),
    NUMBER(NULL, draining),
    NUMBER(NULL, failed),
    NUMBER(NULL, expired),
};

#undef TEXT
#undef NUMBER

/* clang-format on */

#define NGX_HTTP_SANDBOX_POOL_N                                                \
    (sizeof(ngx_http_sandbox_pool_members)                                     \
     / sizeof(ngx_http_sandbox_pool_members[0]))


void
ngx_http_sandbox_key_pool(ngx_http_sandbox_key_t *key, const char *id)
{
    ngx_http_sandbox_key_shard(key, ngx_http_sandbox_id_shard(id), "pool");
    ngx_http_sandbox_key_append(key, id);
}


void
ngx_http_sandbox_key_pools(ngx_http_sandbox_key_t *key, const char *tenant)
{
    ngx_http_sandbox_key_tenant(key, tenant);
    ngx_http_sandbox_key_append(key, ":pools");
}


void
ngx_http_sandbox_key_leases(ngx_http_sandbox_key_t *key)
{
    ngx_http_sandbox_key_common(key, "leases");
}


ngx_uint_t
ngx_http_sandbox_pool_id(char id[SANDBOX_ID_SIZE], const char *tenant,
                         const char *text, size_t len)
{
    char shard[SANDBOX_SHARD_LEN];

    sandbox_id_shard(shard, tenant, ngx_strlen(tenant));

    return sandbox_id_parse(id, "twp", text, len) == 0
           && ngx_memcmp(ngx_http_sandbox_id_shard(id), shard, sizeof(shard))
                  == 0;
}


void
ngx_http_sandbox_pool_keys(ngx_http_sandbox_pool_keys_t *keys,
                           const char *tenant, ngx_http_sandbox_args_t *args)
{
    ngx_http_sandbox_key_pools(&keys->pools, tenant);
    ngx_http_sandbox_key_tenant(&keys->names, tenant);
    ngx_http_sandbox_key_append(&keys->names, ":pool-names");

    ngx_http_sandbox_arg_key(args, &keys->pools);
    ngx_http_sandbox_arg_key(args, &keys->names);
}


void
ngx_http_sandbox_pool_fields(ngx_http_sandbox_args_t *args)
{
    ngx_uint_t i;

    for (i = 0; i < NGX_HTTP_SANDBOX_POOL_N; i++) {
        if (ngx_http_sandbox_pool_members[i].name) {
            ngx_http_sandbox_arg(args, ngx_http_sandbox_pool_members[i].name);
        }
    }
}


ngx_int_t
ngx_http_sandbox_pool_row(ngx_http_sandbox_pool_t *pool, redisReply *row)
{
    u_char *member;
    int64_t number;
    ngx_uint_t i;
    const char *text;

    if (row->type != REDIS_REPLY_ARRAY
        || row->elements != NGX_HTTP_SANDBOX_POOL_N) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_SANDBOX_POOL_N; i++) {
        member = (u_char *) pool + ngx_http_sandbox_pool_members[i].member;

        if (ngx_http_sandbox_pool_members[i].text) {
            text = ngx_http_sandbox_value_text(row->element[i]);
            ngx_memcpy(member, &text, sizeof(text));

        } else {
            number = ngx_http_sandbox_value_integer(row->element[i]);
            ngx_memcpy(member, &number, sizeof(number));
        }
    }

    /* pool_create.lua writes all of these fields at once */
    return pool->id && pool->name && pool->state && pool->template && pool->node
                   && pool->checkout_policy && pool->version_policy
                   && pool->labels && pool->metadata
               ? NGX_OK
               : NGX_ERROR;
}
