/*
 * Invalidation of cached routes.  Knows the channel, not what changes states.
 *
 * Every commit publishes the id after it has written the record; each worker
 * listens and forgets the id's entry in the shared cache.  forget() also voids
 * reads of Redis under way, so a route read before a commit cannot be stored
 * after its event.
 * Hence a worker that listens may serve what is cached: everything in it was
 * read after the worker's bump() at READY, or was forgotten by an event.
 *
 * A worker whose subscription is lost may miss events.  It then believes
 * Redis, not the cache: each request asks Redis, and only if that does not
 * answer is a cached route served, for sandbox_route_ttl from its read and
 * sandbox_route_stale on top.  Mostly nothing can be committed then; where
 * another node still reaches Redis, these two times bound the error.  bump() at
 * the loss would turn every failover into 503s for running guests, so the
 * worker calls it at READY.  A link that died silently is lost when a PING was
 * not answered.
 */

#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_traffic.h"


static ngx_uint_t ngx_http_sandbox_routes_heard;


static void
ngx_http_sandbox_routes_message(const char *id, ngx_str_t *word,
                                ngx_str_t *detail)
{
    ngx_http_sandbox_routes_forget(ngx_http_sandbox_worker.conf, id);
}


static void
ngx_http_sandbox_routes_lost(void)
{
    ngx_http_sandbox_routes_heard = 0;
}


static void
ngx_http_sandbox_routes_ready(void)
{
    ngx_http_sandbox_routes_bump(ngx_http_sandbox_worker.conf);
    ngx_http_sandbox_routes_heard = 1;
}


void
ngx_http_sandbox_routes_subscribe(void)
{
    static ngx_http_sandbox_subscriber_t subscriber = {
        ngx_http_sandbox_routes_message, ngx_http_sandbox_routes_lost,
        ngx_http_sandbox_routes_ready, NULL
    };

    ngx_http_sandbox_events_subscribe(&subscriber);
}


ngx_uint_t
ngx_http_sandbox_routes_current(void)
{
    return ngx_http_sandbox_routes_heard;
}
