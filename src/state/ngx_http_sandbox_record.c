/*
 * Key names and typed records; see the header.  Knows Redis replies, not the
 * operations that change records.
 */

#include "ngx_http_sandbox_record.h"

#include "ngx_http_sandbox_reply.h"
#include "sandbox_digest.h"
#include "sandbox_tenant.h"


static const struct {
    const char *name;
    ngx_http_sandbox_state_e state;
} ngx_http_sandbox_states[] = {
    { "creating", NGX_HTTP_SANDBOX_CREATING },
    { "running", NGX_HTTP_SANDBOX_RUNNING },
    { "paused", NGX_HTTP_SANDBOX_PAUSED },
    { "hibernating", NGX_HTTP_SANDBOX_HIBERNATING },
    { "resuming", NGX_HTTP_SANDBOX_RESUMING },
    { "resumed", NGX_HTTP_SANDBOX_RESUMED },
    { "warming", NGX_HTTP_SANDBOX_WARMING },
    { "pooled", NGX_HTTP_SANDBOX_POOLED },
    { "destroying", NGX_HTTP_SANDBOX_DESTROYING },
    { "destroyed", NGX_HTTP_SANDBOX_DESTROYED },
    { "error", NGX_HTTP_SANDBOX_FAILED },
};

/* Order matters: ngx_http_sandbox_record_values() reads by index. */
static const char *ngx_http_sandbox_fields[] = {
    "tenant",       "state",       "template",    "vcpus",
    "memory_mb",    "disk_mb",     "created_at",  "started_at",
    "timeout_ms",   "timeout_at",  "metadata",    "cwd",
    "address",      "execution",   "agent_token", "timeout_action",
    "error_detail", "auto_resume", "snapshot_id", "next",
    "node",
};

static const char *ngx_http_sandbox_route_fields[] = {
    "state",         "address",   "execution",   "public_traffic",
    "traffic_token", "mask_host", "auto_resume", "next",
    "tenant",        "wakes",     "wakes_since", "node",
    "busy_until",
};

#define NGX_HTTP_SANDBOX_FIELD_METADATA 10

#define NGX_HTTP_SANDBOX_NFIELDS                                               \
    (sizeof(ngx_http_sandbox_fields) / sizeof(ngx_http_sandbox_fields[0]))
#define NGX_HTTP_SANDBOX_NROUTE                                                \
    (sizeof(ngx_http_sandbox_route_fields)                                     \
     / sizeof(ngx_http_sandbox_route_fields[0]))


const char *
ngx_http_sandbox_state_name(ngx_http_sandbox_state_e state)
{
    ngx_uint_t i;

    for (i = 0; i < sizeof(ngx_http_sandbox_states)
                        / sizeof(ngx_http_sandbox_states[0]);
         i++)
    {
        if (ngx_http_sandbox_states[i].state == state) {
            return ngx_http_sandbox_states[i].name;
        }
    }

    return "";
}


ngx_uint_t
ngx_http_sandbox_state_hidden(ngx_http_sandbox_state_e state)
{
    return state == NGX_HTTP_SANDBOX_DESTROYING
           || state == NGX_HTTP_SANDBOX_DESTROYED
           || state == NGX_HTTP_SANDBOX_WARMING
           || state == NGX_HTTP_SANDBOX_POOLED;
}


const char *
ngx_http_sandbox_id_shard(const char *id)
{
    const char *p;

    p = strchr(id, '_');

    return p ? p + 1 : id;
}


/* Text that does not fit is cut off: no prefix, tenant or id is that long. */
static void
ngx_http_sandbox_key_add(ngx_http_sandbox_key_t *key, const void *text,
                         size_t len)
{
    len = ngx_min(len, sizeof(key->buf) - key->name.len);
    ngx_memcpy(key->buf + key->name.len, text, len);
    key->name.len += len;
}


void
ngx_http_sandbox_key_append(ngx_http_sandbox_key_t *key, const char *text)
{
    ngx_http_sandbox_key_add(key, text, ngx_strlen(text));
}


void
ngx_http_sandbox_key_shard(ngx_http_sandbox_key_t *key, const char *shard,
                           const char *kind)
{
    ngx_str_t *prefix;

    prefix = &ngx_http_sandbox_worker.conf->prefix;
    key->name.data = key->buf;
    key->name.len = 0;

    ngx_http_sandbox_key_add(key, prefix->data, prefix->len);
    ngx_http_sandbox_key_append(key, "{");
    ngx_http_sandbox_key_add(key, shard, SANDBOX_SHARD_LEN);
    ngx_http_sandbox_key_append(key, "}:");
    ngx_http_sandbox_key_append(key, kind);
    ngx_http_sandbox_key_append(key, ":");
}


void
ngx_http_sandbox_key_record(ngx_http_sandbox_key_t *key, const char *id)
{
    ngx_http_sandbox_key_shard(key, ngx_http_sandbox_id_shard(id), "sandbox");
    ngx_http_sandbox_key_append(key, id);
}


void
ngx_http_sandbox_key_tenant(ngx_http_sandbox_key_t *key, const char *tenant)
{
    char shard[SANDBOX_SHARD_LEN];

    sandbox_id_shard(shard, tenant, ngx_strlen(tenant));
    ngx_http_sandbox_key_shard(key, shard, "tenant");
    ngx_http_sandbox_key_append(key, tenant);
}


void
ngx_http_sandbox_key_tenant_destroyed(ngx_http_sandbox_key_t *key,
                                      const char *tenant)
{
    ngx_http_sandbox_key_tenant(key, tenant);
    ngx_http_sandbox_key_append(key, ":destroyed");
}


void
ngx_http_sandbox_key_idem(ngx_http_sandbox_key_t *key, const char *tenant,
                          const char *route, const uint8_t *digest)
{
    char shard[SANDBOX_SHARD_LEN];
    char hex[SANDBOX_SHA256_HEX_SIZE];

    sandbox_id_shard(shard, tenant, ngx_strlen(tenant));
    sandbox_hex(hex, digest, SANDBOX_SHA256_LEN);
    ngx_http_sandbox_key_shard(key, shard, "idem");
    ngx_http_sandbox_key_append(key, tenant);
    ngx_http_sandbox_key_append(key, ":");
    ngx_http_sandbox_key_append(key, route);
    ngx_http_sandbox_key_append(key, ":");
    ngx_http_sandbox_key_append(key, hex);
}


void
ngx_http_sandbox_key_of_node(ngx_http_sandbox_key_t *key, const ngx_str_t *node,
                             const char *kind)
{
    key->name.data = key->buf;
    key->name.len =
        ngx_snprintf(key->buf, sizeof(key->buf), "%V{%V}:%s",
                     &ngx_http_sandbox_worker.conf->prefix, node, kind)
        - key->buf;
}


void
ngx_http_sandbox_key_node(ngx_http_sandbox_key_t *key, const char *kind)
{
    ngx_http_sandbox_key_of_node(key, &ngx_http_sandbox_worker.conf->node,
                                 kind);
}


const ngx_str_t *
ngx_http_sandbox_self(void)
{
    static const ngx_str_t nobody = ngx_string("");

    return ngx_http_sandbox_worker.foreign
               ? &nobody
               : &ngx_http_sandbox_worker.conf->node;
}


void
ngx_http_sandbox_key_events(ngx_http_sandbox_key_t *key)
{
    key->name.data = key->buf;
    key->name.len = ngx_snprintf(key->buf, sizeof(key->buf), "%Vevents",
                                 &ngx_http_sandbox_worker.conf->prefix)
                    - key->buf;
}


void
ngx_http_sandbox_arg_len(ngx_http_sandbox_args_t *args, const void *value,
                         size_t len)
{
    args->values[args->n].data = (u_char *) value;
    args->values[args->n].len = len;
    args->n++;
}


void
ngx_http_sandbox_arg(ngx_http_sandbox_args_t *args, const char *value)
{
    ngx_http_sandbox_arg_len(args, value, ngx_strlen(value));
}


void
ngx_http_sandbox_arg_key(ngx_http_sandbox_args_t *args,
                         ngx_http_sandbox_key_t *key)
{
    ngx_http_sandbox_arg_len(args, key->name.data, key->name.len);
}


void
ngx_http_sandbox_node_keys(ngx_http_sandbox_node_keys_t *keys,
                           ngx_http_sandbox_args_t *args)
{
    ngx_http_sandbox_key_node(&keys->agenda, "agenda");
    ngx_http_sandbox_key_node(&keys->addresses, "addresses");
    ngx_http_sandbox_key_node(&keys->guests, "guests");
    ngx_http_sandbox_key_node(&keys->cursor, "cursor");

    ngx_http_sandbox_arg_key(args, &keys->agenda);
    ngx_http_sandbox_arg_key(args, &keys->addresses);
    ngx_http_sandbox_arg_key(args, &keys->guests);
    ngx_http_sandbox_arg_key(args, &keys->cursor);
}


void
ngx_http_sandbox_arg_int(ngx_http_sandbox_args_t *args, int64_t value)
{
    u_char *p, *last;

    p = args->numbers[args->nnumbers++];
    last = ngx_snprintf(p, NGX_INT64_LEN + 1, "%L", value);
    ngx_http_sandbox_arg_len(args, p, last - p);
}


void
ngx_http_sandbox_arg_self(ngx_http_sandbox_args_t *args)
{
    const ngx_str_t *self;

    self = ngx_http_sandbox_self();
    ngx_http_sandbox_arg_len(args, self->data, self->len);
}


void
ngx_http_sandbox_arg_field(ngx_http_sandbox_args_t *args, const char *name,
                           const char *value)
{
    if (value) {
        ngx_http_sandbox_arg(args, name);
        ngx_http_sandbox_arg(args, value);
    }
}


void
ngx_http_sandbox_arg_field_int(ngx_http_sandbox_args_t *args, const char *name,
                               int64_t value)
{
    ngx_http_sandbox_arg(args, name);
    ngx_http_sandbox_arg_int(args, value);
}


ngx_http_sandbox_state_e
ngx_http_sandbox_state_of(const char *name)
{
    ngx_uint_t i;

    for (i = 0; i < sizeof(ngx_http_sandbox_states)
                        / sizeof(ngx_http_sandbox_states[0]);
         i++)
    {
        if (ngx_strcmp(name, ngx_http_sandbox_states[i].name) == 0) {
            return ngx_http_sandbox_states[i].state;
        }
    }

    return 0;
}


static ngx_http_sandbox_state_e
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

    args.n = args.nnumbers = 0;
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


static void
ngx_http_sandbox_route_address(ngx_http_sandbox_route_t *route,
                               uint32_t address)
{
    route->address = htonl(address);
    sandbox_net_ipv4(route->text, address);
    route->text_len = (u_char) ngx_strlen(route->text);
}


void
ngx_http_sandbox_record_to_route(ngx_http_sandbox_route_t *route,
                                 const ngx_http_sandbox_record_t *record)
{
    ngx_memzero(route, sizeof(ngx_http_sandbox_route_t));
    ngx_cpystrn((u_char *) route->id, (u_char *) record->id, sizeof(route->id));
    route->state = record->state;
    ngx_http_sandbox_route_address(route, record->address);
    route->execution = record->execution;
    route->public_traffic = 1;
}


typedef struct {
    ngx_http_sandbox_route_pt handler;
    void *data;
    char id[SANDBOX_ID_SIZE];
} ngx_http_sandbox_route_get_t;


/* v: the values of ngx_http_sandbox_route_fields, in order. */
static void
ngx_http_sandbox_route_values(ngx_http_sandbox_route_t *route, redisReply **v)
{
    const char *execution, *token, *mask, *next, *tenant;

    route->state = ngx_http_sandbox_reply_state(v[0]);
    ngx_http_sandbox_route_address(
        route, (uint32_t) ngx_http_sandbox_value_integer(v[1]));
    execution = ngx_http_sandbox_value_text(v[2]);
    route->execution = execution ? strtoull(execution, NULL, 16) : 0;
    route->public_traffic = ngx_http_sandbox_value_integer(v[3]) != 0;

    token = ngx_http_sandbox_value_text(v[4]);
    if (!route->public_traffic && token) {
        ngx_cpystrn((u_char *) route->token, (u_char *) token,
                    sizeof(route->token));
    }

    mask = ngx_http_sandbox_value_text(v[5]);
    if (mask) {
        route->masked = 1;
        ngx_cpystrn((u_char *) route->mask_host, (u_char *) mask,
                    sizeof(route->mask_host));
    }

    route->auto_resume = ngx_http_sandbox_value_integer(v[6]) != 0;

    tenant = ngx_http_sandbox_value_text(v[8]);
    if (tenant) {
        route->tenant = sandbox_tenant_hash(tenant);
    }

    route->wakes = ngx_http_sandbox_value_integer(v[9]);
    route->wakes_since = ngx_http_sandbox_value_integer(v[10]);
    route->busy_until = ngx_http_sandbox_value_integer(v[12]);
    route->elsewhere = ngx_http_sandbox_reply_elsewhere(v[11]);

    next = ngx_http_sandbox_value_text(v[7]);
    if (route->state == NGX_HTTP_SANDBOX_RESUMED && next) {
        ngx_cpystrn((u_char *) route->next, (u_char *) next,
                    sizeof(route->next));
    }
}


static void
ngx_http_sandbox_route_reply(void *data, redisReply *reply)
{
    ngx_http_sandbox_route_get_t *get = data;

    ngx_http_sandbox_route_t route;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != NGX_HTTP_SANDBOX_NROUTE)
    {
        get->handler(get->data, NGX_ERROR, NULL);
        ngx_free(get);
        return;
    }

    ngx_memzero(&route, sizeof(ngx_http_sandbox_route_t));
    ngx_memcpy(route.id, get->id, sizeof(route.id));
    ngx_http_sandbox_route_values(&route, reply->element);

    if (route.state == 0 || ngx_http_sandbox_state_hidden(route.state)) {
        get->handler(get->data, NGX_DECLINED, NULL);

    } else {
        get->handler(get->data, NGX_OK, &route);
    }

    ngx_free(get);
}


ngx_int_t
ngx_http_sandbox_record_route(const char *id, ngx_http_sandbox_route_pt handler,
                              void *data)
{
    ngx_uint_t i;
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t args;
    ngx_http_sandbox_route_get_t *get;

    get = ngx_alloc(sizeof(ngx_http_sandbox_route_get_t), ngx_cycle->log);
    if (get == NULL) {
        return NGX_ERROR;
    }

    get->handler = handler;
    get->data = data;
    ngx_cpystrn((u_char *) get->id, (u_char *) id, sizeof(get->id));

    args.n = args.nnumbers = 0;
    ngx_http_sandbox_key_record(&key, id);
    ngx_http_sandbox_arg(&args, "HMGET");
    ngx_http_sandbox_arg_key(&args, &key);

    for (i = 0; i < NGX_HTTP_SANDBOX_NROUTE; i++) {
        ngx_http_sandbox_arg(&args, ngx_http_sandbox_route_fields[i]);
    }

    if (ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                       ngx_http_sandbox_route_reply, get,
                                       args.n, args.values)
        != NGX_OK)
    {
        ngx_free(get);
        return NGX_ERROR;
    }

    return NGX_OK;
}
