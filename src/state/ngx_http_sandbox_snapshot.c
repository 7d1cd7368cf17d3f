/*
 * Key names and typed records of snapshots; see the header.  Knows Redis
 * replies, not the operations that change records.
 */

#include "ngx_http_sandbox_snapshot.h"

#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_reply.h"


static const struct {
    const char *name;
    ngx_http_sandbox_snapshot_state_e state;
} ngx_http_sandbox_snapshot_states[] = {
    { "taking", NGX_HTTP_SANDBOX_SNAPSHOT_TAKING },
    { "ready", NGX_HTTP_SANDBOX_SNAPSHOT_READY },
    { "deleting", NGX_HTTP_SANDBOX_SNAPSHOT_DELETING },
};

/* The fields of a record, as elements of a reply. */
enum {
    SNAPSHOT_TENANT = 0,
    SNAPSHOT_NODE,
    SNAPSHOT_STATE,
    SNAPSHOT_KIND,
    SNAPSHOT_SANDBOX_ID,
    SNAPSHOT_CREATED_AT,
    SNAPSHOT_SIZE_BYTES,
    SNAPSHOT_METADATA,
    SNAPSHOT_TEMPLATE,
    SNAPSHOT_VCPUS,
    SNAPSHOT_MEMORY_MB,
    SNAPSHOT_DISK_MB,
    SNAPSHOT_CWD,
    SNAPSHOT_ENVS,
    SNAPSHOT_PUBLIC_TRAFFIC,
    SNAPSHOT_MASK_HOST,
    SNAPSHOT_FIELDS
};

static const char *const ngx_http_sandbox_snapshot_names[SNAPSHOT_FIELDS] = {
    [SNAPSHOT_TENANT] = "tenant",
    [SNAPSHOT_NODE] = "node",
    [SNAPSHOT_STATE] = "state",
    [SNAPSHOT_KIND] = "kind",
    [SNAPSHOT_SANDBOX_ID] = "sandbox_id",
    [SNAPSHOT_CREATED_AT] = "created_at",
    [SNAPSHOT_SIZE_BYTES] = "size_bytes",
    [SNAPSHOT_METADATA] = "metadata",
    [SNAPSHOT_TEMPLATE] = "template",
    [SNAPSHOT_VCPUS] = "vcpus",
    [SNAPSHOT_MEMORY_MB] = "memory_mb",
    [SNAPSHOT_DISK_MB] = "disk_mb",
    [SNAPSHOT_CWD] = "cwd",
    [SNAPSHOT_ENVS] = "envs",
    [SNAPSHOT_PUBLIC_TRAFFIC] = "public_traffic",
    [SNAPSHOT_MASK_HOST] = "mask_host",
};


ngx_uint_t
ngx_http_sandbox_id_is_snapshot(const char *id)
{
    return ngx_strncmp(id, NGX_HTTP_SANDBOX_SNAPSHOT_PREFIX,
                       sizeof(NGX_HTTP_SANDBOX_SNAPSHOT_PREFIX) - 1)
           == 0;
}


void
ngx_http_sandbox_key_snapshot(ngx_http_sandbox_key_t *key, const char *id)
{
    ngx_http_sandbox_key_shard(key, ngx_http_sandbox_id_shard(id), "snapshot");
    ngx_http_sandbox_key_append(key, id);
}


void
ngx_http_sandbox_key_snapshot_lives(ngx_http_sandbox_key_t *key, const char *id)
{
    ngx_http_sandbox_key_snapshot(key, id);
    ngx_http_sandbox_key_append(key, ":lives");
}


void
ngx_http_sandbox_key_tenant_snapshots(ngx_http_sandbox_key_t *key,
                                      const char *tenant)
{
    ngx_http_sandbox_key_tenant(key, tenant);
    ngx_http_sandbox_key_append(key, ":snapshots");
}


void
ngx_http_sandbox_key_of(ngx_http_sandbox_key_t *key, const char *id)
{
    if (ngx_http_sandbox_id_is_snapshot(id)) {
        ngx_http_sandbox_key_snapshot(key, id);
    } else {
        ngx_http_sandbox_key_record(key, id);
    }
}


static ngx_http_sandbox_snapshot_state_e
ngx_http_sandbox_snapshot_state(redisReply *reply)
{
    ngx_uint_t i;
    const char *text;

    text = ngx_http_sandbox_value_text(reply);

    for (i = 0; text
                && i < sizeof(ngx_http_sandbox_snapshot_states)
                           / sizeof(ngx_http_sandbox_snapshot_states[0]);
         i++)
    {
        if (ngx_strcmp(text, ngx_http_sandbox_snapshot_states[i].name) == 0) {
            return ngx_http_sandbox_snapshot_states[i].state;
        }
    }

    return 0;
}


/* v: the values of ngx_http_sandbox_snapshot_names. */
static ngx_int_t
ngx_http_sandbox_snapshot_values(ngx_http_sandbox_snapshot_t *s, redisReply **v)
{
    ngx_memzero(s, sizeof(ngx_http_sandbox_snapshot_t));

    s->tenant = ngx_http_sandbox_value_text(v[SNAPSHOT_TENANT]);
    s->node = ngx_http_sandbox_value_text(v[SNAPSHOT_NODE]);
    s->state = ngx_http_sandbox_snapshot_state(v[SNAPSHOT_STATE]);
    s->kind = ngx_http_sandbox_value_text(v[SNAPSHOT_KIND]);
    s->sandbox_id = ngx_http_sandbox_value_text(v[SNAPSHOT_SANDBOX_ID]);
    s->created_at = ngx_http_sandbox_value_integer(v[SNAPSHOT_CREATED_AT]);
    s->size_bytes = ngx_http_sandbox_value_integer(v[SNAPSHOT_SIZE_BYTES]);
    s->metadata = ngx_http_sandbox_value_text(v[SNAPSHOT_METADATA]);
    s->template = ngx_http_sandbox_value_text(v[SNAPSHOT_TEMPLATE]);
    s->vcpus = ngx_http_sandbox_value_integer(v[SNAPSHOT_VCPUS]);
    s->memory_mb = ngx_http_sandbox_value_integer(v[SNAPSHOT_MEMORY_MB]);
    s->disk_mb = ngx_http_sandbox_value_integer(v[SNAPSHOT_DISK_MB]);
    s->cwd = ngx_http_sandbox_value_text(v[SNAPSHOT_CWD]);
    s->envs = ngx_http_sandbox_value_text(v[SNAPSHOT_ENVS]);
    s->public_traffic =
        ngx_http_sandbox_value_integer(v[SNAPSHOT_PUBLIC_TRAFFIC]);
    s->mask_host = ngx_http_sandbox_value_text(v[SNAPSHOT_MASK_HOST]);

    if (s->state == 0 || s->tenant == NULL) {
        return NGX_DECLINED;
    }

    /* the scripts write these at once: else the record is not ours */
    return s->kind && s->node && s->sandbox_id ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_sandbox_snapshot_reply(void *data, redisReply *reply)
{
    ngx_http_sandbox_snapshot_get_t *get = data;

    ngx_int_t rc;
    ngx_http_sandbox_snapshot_t snapshot;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != SNAPSHOT_FIELDS)
    {
        get->handler(get->data, NGX_ERROR, NULL);
        return;
    }

    rc = ngx_http_sandbox_snapshot_values(&snapshot, reply->element);
    snapshot.id = get->id;

    if (rc == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "snapshot %s: its record is odd", get->id);
    }

    get->handler(get->data, rc, rc == NGX_OK ? &snapshot : NULL);
}


void
ngx_http_sandbox_snapshot_fields(ngx_http_sandbox_args_t *args,
                                 ngx_uint_t metadata)
{
    ngx_uint_t i;

    for (i = 0; i < SNAPSHOT_FIELDS; i++) {
        ngx_http_sandbox_arg(args, i != SNAPSHOT_METADATA || metadata
                                       ? ngx_http_sandbox_snapshot_names[i]
                                       : "");
    }
}


ngx_int_t
ngx_http_sandbox_snapshot_get(ngx_http_sandbox_snapshot_get_t *get)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t args;

    ngx_http_sandbox_args_init(&args);
    ngx_http_sandbox_key_snapshot(&key, get->id);
    ngx_http_sandbox_arg(&args, "HMGET");
    ngx_http_sandbox_arg_key(&args, &key);
    ngx_http_sandbox_snapshot_fields(&args, 1);

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_snapshot_reply, get,
                                          args.n, args.values)
                   == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}


ngx_int_t
ngx_http_sandbox_snapshot_row(ngx_http_sandbox_snapshot_t *snapshot,
                              redisReply *row)
{
    ngx_int_t rc;

    if (row->type != REDIS_REPLY_ARRAY || row->elements != SNAPSHOT_FIELDS + 1
        || row->element[0]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_sandbox_snapshot_values(snapshot, row->element + 1);
    snapshot->id = row->element[0]->str;

    return rc;
}
