/*
 * Key names and typed records of snapshots; see the header.  Knows Redis
 * replies, not the operations that change records.
 */

#include "ngx_http_sandbox_snapshot.h"

#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"


static const struct {
    const char *name;
    ngx_http_sandbox_snapshot_state_e state;
} ngx_http_sandbox_snapshot_states[] = {
    { "taking", NGX_HTTP_SANDBOX_SNAPSHOT_TAKING },
    { "ready", NGX_HTTP_SANDBOX_SNAPSHOT_READY },
    { "deleting", NGX_HTTP_SANDBOX_SNAPSHOT_DELETING },
};

/* Order matters: ngx_http_sandbox_snapshot_values() reads by index. */
static const char *ngx_http_sandbox_snapshot_names[] = {
    "tenant",     "node",       "state",          "kind",
    "sandbox_id", "created_at", "size_bytes",     "metadata",
    "template",   "vcpus",      "memory_mb",      "disk_mb",
    "cwd",        "envs",       "public_traffic", "mask_host",
};

#define NGX_HTTP_SANDBOX_SNAPSHOT_METADATA 7
#define NGX_HTTP_SANDBOX_SNAPSHOT_N                                            \
    (sizeof(ngx_http_sandbox_snapshot_names)                                   \
     / sizeof(ngx_http_sandbox_snapshot_names[0]))


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


/* v: the values of ngx_http_sandbox_snapshot_names, in order. */
static ngx_int_t
ngx_http_sandbox_snapshot_values(ngx_http_sandbox_snapshot_t *s, redisReply **v)
{
    ngx_memzero(s, sizeof(ngx_http_sandbox_snapshot_t));

    s->tenant = ngx_http_sandbox_value_text(v[0]);
    s->node = ngx_http_sandbox_value_text(v[1]);
    s->state = ngx_http_sandbox_snapshot_state(v[2]);
    s->kind = ngx_http_sandbox_value_text(v[3]);
    s->sandbox_id = ngx_http_sandbox_value_text(v[4]);
    s->created_at = ngx_http_sandbox_value_integer(v[5]);
    s->size_bytes = ngx_http_sandbox_value_integer(v[6]);
    s->metadata =
        ngx_http_sandbox_value_text(v[NGX_HTTP_SANDBOX_SNAPSHOT_METADATA]);
    s->template = ngx_http_sandbox_value_text(v[8]);
    s->vcpus = ngx_http_sandbox_value_integer(v[9]);
    s->memory_mb = ngx_http_sandbox_value_integer(v[10]);
    s->disk_mb = ngx_http_sandbox_value_integer(v[11]);
    s->cwd = ngx_http_sandbox_value_text(v[12]);
    s->envs = ngx_http_sandbox_value_text(v[13]);
    s->public_traffic = ngx_http_sandbox_value_integer(v[14]);
    s->mask_host = ngx_http_sandbox_value_text(v[15]);

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
        || reply->elements != NGX_HTTP_SANDBOX_SNAPSHOT_N)
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

    for (i = 0; i < NGX_HTTP_SANDBOX_SNAPSHOT_N; i++) {
        ngx_http_sandbox_arg(args,
                             i != NGX_HTTP_SANDBOX_SNAPSHOT_METADATA || metadata
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

    if (row->type != REDIS_REPLY_ARRAY
        || row->elements != NGX_HTTP_SANDBOX_SNAPSHOT_N + 1
        || row->element[0]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_sandbox_snapshot_values(snapshot, row->element + 1);
    snapshot->id = row->element[0]->str;

    return rc;
}
