/*
 * Typed records; see the header.  Knows Redis replies, not the operations that
 * change records.
 */

#include "ngx_http_sandbox_record.h"

#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_reply.h"
#include "sandbox_digest.h"
#include "sandbox_tenant.h"


/* Order matters: ngx_http_sandbox_record_values() reads by index. */
static const char *ngx_http_sandbox_fields[] = {
    "tenant",       "state",       "template",    "vcpus",
    "memory_mb",    "disk_mb",     "created_at",  "started_at",
    "timeout_ms",   "timeout_at",  "metadata",    "cwd",
    "address",      "execution",   "agent_token", "timeout_action",
    "error_detail", "auto_resume", "snapshot_id", "next",
    "node",
};

#define NGX_HTTP_SANDBOX_FIELD_METADATA 10

#define NGX_HTTP_SANDBOX_NFIELDS                                               \
    (sizeof(ngx_http_sandbox_fields) / sizeof(ngx_http_sandbox_fields[0]))


ngx_http_sandbox_state_e
ngx_http_sandbox_reply_state(redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING
               ? ngx_http_sandbox_state_of(reply->str)
               : 0;
}


ngx_uint_t
ngx_http_sandbox_reply_elsewhere(redisReply *reply)
{
    const ngx_str_t *own;

    own = ngx_http_sandbox_self();

    return reply->type == REDIS_REPLY_STRING && reply->len
           && (reply->len != own->len
               || ngx_memcmp(reply->str, own->data, own->len) != 0);
}


/* v: the values of ngx_http_sandbox_fields, in order. */
static ngx_int_t
ngx_http_sandbox_record_values(ngx_http_sandbox_record_t *record,
                               redisReply **v)
{
    const char *execution;

    ngx_memzero(record, sizeof(ngx_http_sandbox_record_t));

    record->tenant = ngx_http_sandbox_value_text(v[0]);
    record->state = ngx_http_sandbox_reply_state(v[1]);
    record->template = ngx_http_sandbox_value_text(v[2]);
    record->vcpus = ngx_http_sandbox_value_integer(v[3]);
    record->memory_mb = ngx_http_sandbox_value_integer(v[4]);
    record->disk_mb = ngx_http_sandbox_value_integer(v[5]);
    record->created_at = ngx_http_sandbox_value_integer(v[6]);
    record->started_at = ngx_http_sandbox_value_integer(v[7]);
    record->timeout_ms = ngx_http_sandbox_value_integer(v[8]);
    record->timeout_at = ngx_http_sandbox_value_integer(v[9]);
    record->metadata =
        ngx_http_sandbox_value_text(v[NGX_HTTP_SANDBOX_FIELD_METADATA]);
    record->cwd = ngx_http_sandbox_value_text(v[11]);
    record->address = (uint32_t) ngx_http_sandbox_value_integer(v[12]);
    execution = ngx_http_sandbox_value_text(v[13]);
    record->execution = execution ? strtoull(execution, NULL, 16) : 0;
    record->agent_token = ngx_http_sandbox_value_text(v[14]);
    record->timeout_action = ngx_http_sandbox_value_text(v[15]);
    record->error_detail = ngx_http_sandbox_value_text(v[16]);
    record->auto_resume = ngx_http_sandbox_value_integer(v[17]);
    record->next = ngx_http_sandbox_value_text(v[19]);
    record->elsewhere =
        ngx_http_sandbox_reply_elsewhere(v[20]) ? v[20]->str : NULL;

    if (record->state == NGX_HTTP_SANDBOX_PAUSED) {
        record->snapshot_id = ngx_http_sandbox_value_text(v[18]);
    }

    if (record->timeout_action == NULL) {
        record->timeout_action = NGX_HTTP_SANDBOX_ACTION_DESTROY;
    }

    if (record->state == 0 || record->tenant == NULL) {
        return NGX_DECLINED;
    }

    /* reserve.lua writes these at once: else the record is not ours */
    if (record->template == NULL
        || (record->agent_token == NULL
            && record->state != NGX_HTTP_SANDBOX_RESUMED
            && record->state != NGX_HTTP_SANDBOX_DESTROYED))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The record is an alias: reads the record of next for the handler instead. */
static void
ngx_http_sandbox_record_follow(ngx_http_sandbox_record_get_t *get,
                               const char *next)
{
    if (next == NULL || get->hops++ >= NGX_HTTP_SANDBOX_HOPS_MAX) {
        get->handler(get->data, NGX_DECLINED, NULL);
        return;
    }

    ngx_cpystrn((u_char *) get->id, (u_char *) next, sizeof(get->id));

    if (ngx_http_sandbox_record_get(get) != NGX_OK) {
        get->handler(get->data, NGX_ERROR, NULL);
    }
}


static void
ngx_http_sandbox_record_reply(void *data, redisReply *reply)
{
    ngx_http_sandbox_record_get_t *get = data;

    ngx_int_t rc;
    ngx_http_sandbox_record_t record;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != NGX_HTTP_SANDBOX_NFIELDS)
    {
        get->handler(get->data, NGX_ERROR, NULL);
        return;
    }

    rc = ngx_http_sandbox_record_values(&record, reply->element);
    record.id = get->id;

    if (record.state == NGX_HTTP_SANDBOX_RESUMED) {
        ngx_http_sandbox_record_follow(get, record.next);
        return;
    }

    if (ngx_http_sandbox_state_hidden(record.state)) {
        rc = NGX_DECLINED;
    }

    get->handler(get->data, rc, rc == NGX_OK ? &record : NULL);
}


void
ngx_http_sandbox_record_fields(ngx_http_sandbox_args_t *args,
                               ngx_uint_t metadata)
{
    ngx_uint_t i;

    for (i = 0; i < NGX_HTTP_SANDBOX_NFIELDS; i++) {
        /* no field has an empty name */
        ngx_http_sandbox_arg(args,
                             metadata || i != NGX_HTTP_SANDBOX_FIELD_METADATA
                                 ? ngx_http_sandbox_fields[i]
                                 : "");
    }
}


ngx_int_t
ngx_http_sandbox_record_get(ngx_http_sandbox_record_get_t *get)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t args;

    if (get->reading) {
        get->reading(get->data, get->id);
    }

    ngx_http_sandbox_args_init(&args);
    ngx_http_sandbox_key_record(&key, get->id);

    ngx_http_sandbox_arg(&args, "HMGET");
    ngx_http_sandbox_arg_key(&args, &key);
    ngx_http_sandbox_record_fields(&args, 1);

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_record_reply, get,
                                          args.n, args.values)
                   == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}


ngx_int_t
ngx_http_sandbox_record_row(ngx_http_sandbox_record_t *record, redisReply *row)
{
    ngx_int_t rc;

    if (row->type != REDIS_REPLY_ARRAY
        || row->elements != NGX_HTTP_SANDBOX_NFIELDS + 1
        || row->element[0]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_sandbox_record_values(record, row->element + 1);
    record->id = row->element[0]->str;

    return rc;
}
