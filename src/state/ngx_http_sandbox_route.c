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

/* The fields of a record that make a route, as elements of a reply. */
enum {
    ROUTE_STATE = 0,
    ROUTE_ADDRESS,
    ROUTE_EXECUTION,
    ROUTE_PUBLIC_TRAFFIC,
    ROUTE_TRAFFIC_TOKEN,
    ROUTE_MASK_HOST,
    ROUTE_AUTO_RESUME,
    ROUTE_NEXT,
    ROUTE_TENANT,
    ROUTE_WAKES,
    ROUTE_WAKES_SINCE,
    ROUTE_NODE,
    ROUTE_BUSY_UNTIL,
    ROUTE_FIELDS
};

static const char *const ngx_http_sandbox_route_names[ROUTE_FIELDS] = {
    [ROUTE_STATE] = "state",
    [ROUTE_ADDRESS] = "address",
    [ROUTE_EXECUTION] = "execution",
    [ROUTE_PUBLIC_TRAFFIC] = "public_traffic",
    [ROUTE_TRAFFIC_TOKEN] = "traffic_token",
    [ROUTE_MASK_HOST] = "mask_host",
    [ROUTE_AUTO_RESUME] = "auto_resume",
    [ROUTE_NEXT] = "next",
    [ROUTE_TENANT] = "tenant",
    [ROUTE_WAKES] = "wakes",
    [ROUTE_WAKES_SINCE] = "wakes_since",
    [ROUTE_NODE] = "node",
    [ROUTE_BUSY_UNTIL] = "busy_until",
};


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


/* v: the values of ngx_http_sandbox_route_names. */
static void
ngx_http_sandbox_route_values(ngx_http_sandbox_route_t *route, redisReply **v)
{
    const char *execution, *token, *mask, *next, *tenant;

    route->state = ngx_http_sandbox_reply_state(v[ROUTE_STATE]);
    ngx_http_sandbox_route_address(
        route, (uint32_t) ngx_http_sandbox_value_integer(v[ROUTE_ADDRESS]));
    execution = ngx_http_sandbox_value_text(v[ROUTE_EXECUTION]);
    route->execution = execution ? strtoull(execution, NULL, 16) : 0;
    route->public_traffic =
        ngx_http_sandbox_value_integer(v[ROUTE_PUBLIC_TRAFFIC]) != 0;

    token = ngx_http_sandbox_value_text(v[ROUTE_TRAFFIC_TOKEN]);
    if (!route->public_traffic && token) {
        ngx_cpystrn((u_char *) route->token, (u_char *) token,
                    sizeof(route->token));
    }

    mask = ngx_http_sandbox_value_text(v[ROUTE_MASK_HOST]);
    if (mask) {
        route->masked = 1;
        ngx_cpystrn((u_char *) route->mask_host, (u_char *) mask,
                    sizeof(route->mask_host));
    }

    route->auto_resume =
        ngx_http_sandbox_value_integer(v[ROUTE_AUTO_RESUME]) != 0;

    tenant = ngx_http_sandbox_value_text(v[ROUTE_TENANT]);
    if (tenant) {
        route->tenant = sandbox_tenant_hash(tenant);
    }

    route->wakes = ngx_http_sandbox_value_integer(v[ROUTE_WAKES]);
    route->wakes_since = ngx_http_sandbox_value_integer(v[ROUTE_WAKES_SINCE]);
    route->busy_until = ngx_http_sandbox_value_integer(v[ROUTE_BUSY_UNTIL]);
    route->elsewhere = ngx_http_sandbox_reply_elsewhere(v[ROUTE_NODE]);

    next = ngx_http_sandbox_value_text(v[ROUTE_NEXT]);
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
        || reply->elements != ROUTE_FIELDS)
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
    ngx_http_sandbox_args_hmget(&args, &key, ngx_http_sandbox_route_names,
                                ROUTE_FIELDS);

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
