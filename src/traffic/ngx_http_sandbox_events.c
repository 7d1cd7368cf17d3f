/*
 * Invalidation of cached routes.  Knows the channel, not what changes states.
 *
 * Every commit publishes the id after it was written; each worker listens and
 * forgets it in the shared cache.  forget() also voids reads of Redis under
 * way, so a route read before a commit cannot be stored after its event.
 * Hence a worker that listens may serve what is cached: everything in it was
 * read after the worker's bump() at READY, or was forgotten by an event.
 *
 * A worker whose subscription is lost may miss events.  It then believes
 * Redis, not the cache: each request asks, and only if Redis does not answer
 * is a cached route served, for at most sandbox_route_ttl from its read.
 * Mostly nothing can be committed then; where somebody else still reaches
 * Redis, the ttl bounds the error.  bump() at the loss would turn every
 * failover into 503s for running guests, so it waits for READY.  A link that
 * died silently is bound by the ttl, too.
 */

#include "ngx_http_sandbox_traffic.h"


static ngx_uint_t ngx_http_sandbox_events_ready;
static ngx_http_sandbox_key_t ngx_http_sandbox_events_channel;
static ngx_http_sandbox_redis_listener_t ngx_http_sandbox_events_listener;


/* payload: "<id> <state>". */
static void
ngx_http_sandbox_events_message(void *data, ngx_str_t *payload)
{
    ngx_http_sandbox_main_conf_t *mcf = data;

    char id[SANDBOX_ID_SIZE];
    u_char *end;
    size_t len;

    end = ngx_strlchr(payload->data, payload->data + payload->len, ' ');
    len = end ? (size_t) (end - payload->data) : payload->len;

    if (len == 0 || len >= sizeof(id)) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "sandbox: event of %uz bytes ignored", payload->len);
        return;
    }

    ngx_memcpy(id, payload->data, len);
    id[len] = '\0';

    ngx_http_sandbox_routes_forget(mcf, id);
}


static void
ngx_http_sandbox_events_lost(void *data)
{
    ngx_http_sandbox_events_ready = 0;
}


static void
ngx_http_sandbox_events_listening(void *data)
{
    ngx_http_sandbox_main_conf_t *mcf = data;

    ngx_http_sandbox_routes_bump(mcf);
    ngx_http_sandbox_events_ready = 1;
}


ngx_int_t
ngx_http_sandbox_routes_listen(ngx_http_sandbox_main_conf_t *mcf)
{
    ngx_http_sandbox_events_ready = 0;
    ngx_http_sandbox_key_events(&ngx_http_sandbox_events_channel);

    ngx_http_sandbox_events_listener.message = ngx_http_sandbox_events_message;
    ngx_http_sandbox_events_listener.lost = ngx_http_sandbox_events_lost;
    ngx_http_sandbox_events_listener.ready = ngx_http_sandbox_events_listening;
    ngx_http_sandbox_events_listener.data = mcf;

    return ngx_http_sandbox_redis_subscribe(
        ngx_http_sandbox_worker.redis, &ngx_http_sandbox_events_channel.name,
        &ngx_http_sandbox_events_listener);
}


ngx_uint_t
ngx_http_sandbox_routes_current(void)
{
    return ngx_http_sandbox_events_ready;
}
