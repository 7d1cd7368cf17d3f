/*
 * Typed records; see the header.  Knows Redis replies, not the operations that
 * change records.
 */

#include "ngx_http_sandbox_record.h"

#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_reply.h"


/* The fields of a record, as elements of a reply. */
enum {
    RECORD_TENANT = 0,
    RECORD_STATE,
    RECORD_TEMPLATE,
    RECORD_VCPUS,
    RECORD_MEMORY_MB,
    RECORD_DISK_MB,
    RECORD_CREATED_AT,
    RECORD_STARTED_AT,
    RECORD_TIMEOUT_MS,
    RECORD_TIMEOUT_AT,
    RECORD_METADATA,
    RECORD_CWD,
    RECORD_ADDRESS,
    RECORD_EXECUTION,
    RECORD_AGENT_TOKEN,
    RECORD_TIMEOUT_ACTION,
    RECORD_ERROR_DETAIL,
    RECORD_AUTO_RESUME,
    RECORD_SNAPSHOT_ID,
    RECORD_NEXT,
    RECORD_NODE,
    RECORD_FIELDS
};

static const char *const ngx_http_sandbox_record_names[RECORD_FIELDS] = {
    [RECORD_TENANT] = "tenant",
    [RECORD_STATE] = "state",
    [RECORD_TEMPLATE] = "template",
    [RECORD_VCPUS] = "vcpus",
    [RECORD_MEMORY_MB] = "memory_mb",
    [RECORD_DISK_MB] = "disk_mb",
    [RECORD_CREATED_AT] = "created_at",
    [RECORD_STARTED_AT] = "started_at",
    [RECORD_TIMEOUT_MS] = "timeout_ms",
    [RECORD_TIMEOUT_AT] = "timeout_at",
    [RECORD_METADATA] = "metadata",
    [RECORD_CWD] = "cwd",
    [RECORD_ADDRESS] = "address",
    [RECORD_EXECUTION] = "execution",
    [RECORD_AGENT_TOKEN] = "agent_token",
    [RECORD_TIMEOUT_ACTION] = "timeout_action",
    [RECORD_ERROR_DETAIL] = "error_detail",
    [RECORD_AUTO_RESUME] = "auto_resume",
    [RECORD_SNAPSHOT_ID] = "snapshot_id",
    [RECORD_NEXT] = "next",
    [RECORD_NODE] = "node",
};


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


/* v: the values of ngx_http_sandbox_record_names. */
static ngx_int_t
ngx_http_sandbox_record_values(ngx_http_sandbox_record_t *record,
                               redisReply **v)
{
    const char *execution;

    ngx_memzero(record, sizeof(ngx_http_sandbox_record_t));

    record->tenant = ngx_http_sandbox_value_text(v[RECORD_TENANT]);
    record->state = ngx_http_sandbox_reply_state(v[RECORD_STATE]);
    record->template = ngx_http_sandbox_value_text(v[RECORD_TEMPLATE]);
    record->vcpus = ngx_http_sandbox_value_integer(v[RECORD_VCPUS]);
    record->memory_mb = ngx_http_sandbox_value_integer(v[RECORD_MEMORY_MB]);
    record->disk_mb = ngx_http_sandbox_value_integer(v[RECORD_DISK_MB]);
    record->created_at = ngx_http_sandbox_value_integer(v[RECORD_CREATED_AT]);
    record->started_at = ngx_http_sandbox_value_integer(v[RECORD_STARTED_AT]);
    record->timeout_ms = ngx_http_sandbox_value_integer(v[RECORD_TIMEOUT_MS]);
    record->timeout_at = ngx_http_sandbox_value_integer(v[RECORD_TIMEOUT_AT]);
    record->metadata = ngx_http_sandbox_value_text(v[RECORD_METADATA]);
    record->cwd = ngx_http_sandbox_value_text(v[RECORD_CWD]);
    record->address =
        (uint32_t) ngx_http_sandbox_value_integer(v[RECORD_ADDRESS]);
    execution = ngx_http_sandbox_value_text(v[RECORD_EXECUTION]);
    record->execution = execution ? strtoull(execution, NULL, 16) : 0;
    record->agent_token = ngx_http_sandbox_value_text(v[RECORD_AGENT_TOKEN]);
    record->timeout_action =
        ngx_http_sandbox_value_text(v[RECORD_TIMEOUT_ACTION]);
    record->error_detail = ngx_http_sandbox_value_text(v[RECORD_ERROR_DETAIL]);
    record->auto_resume = ngx_http_sandbox_value_integer(v[RECORD_AUTO_RESUME]);
    record->next = ngx_http_sandbox_value_text(v[RECORD_NEXT]);
    record->elsewhere = ngx_http_sandbox_reply_elsewhere(v[RECORD_NODE])
                            ? v[RECORD_NODE]->str
                            : NULL;

    if (record->state == NGX_HTTP_SANDBOX_PAUSED) {
        record->snapshot_id =
            ngx_http_sandbox_value_text(v[RECORD_SNAPSHOT_ID]);
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
        || reply->elements != RECORD_FIELDS)
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

    for (i = 0; i < RECORD_FIELDS; i++) {
        /* no field has an empty name */
        ngx_http_sandbox_arg(args, metadata || i != RECORD_METADATA
                                       ? ngx_http_sandbox_record_names[i]
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

    if (row->type != REDIS_REPLY_ARRAY || row->elements != RECORD_FIELDS + 1
        || row->element[0]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_sandbox_record_values(record, row->element + 1);
    record->id = row->element[0]->str;

    return rc;
}
