/* Routes; see the header. */

#include "ngx_http_sandbox_route.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_reply.h"
#include "sandbox_tenant.h"


typedef struct {
    ngx_http_sandbox_route_pt handler;
    void *data;
    char id[SANDBOX_ID_SIZE];
} ngx_http_sandbox_route_get_t;

static const char *ngx_http_sandbox_route_fields[] = {
    "state",         "address",   "execution",   "public_traffic",
    "traffic_token", "mask_host", "auto_resume", "next",
    "tenant",        "wakes",     "wakes_since", "node",
    "busy_until",
};

#define NGX_HTTP_SANDBOX_NROUTE                                                \
    (sizeof(ngx_http_sandbox_route_fields)                                     \
     / sizeof(ngx_http_sandbox_route_fields[0]))


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

    ngx_http_sandbox_args_init(&args);
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
