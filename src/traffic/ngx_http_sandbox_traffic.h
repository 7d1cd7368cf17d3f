/*
 * Public traffic: from a host name to a guest's address.  Event loop only.
 *
 * The precontent-phase handler of "sandbox_traffic on" locations fills
 * ctx->peer or answers an error; stock proxy_pass through an upstream {} with
 * "sandbox_peer" does the rest.
 */

#ifndef NGX_HTTP_SANDBOX_TRAFFIC_H
#define NGX_HTTP_SANDBOX_TRAFFIC_H

#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_record.h"

/* Precontent-phase handler. */
ngx_int_t ngx_http_sandbox_traffic_handler(ngx_http_request_t *r);

/* Log-phase handler: metrics by outcome. */
ngx_int_t ngx_http_sandbox_traffic_count(ngx_http_request_t *r);

/* The directives "sandbox_zone name:size" and "sandbox_peer". */
char *ngx_http_sandbox_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Route cache in shared memory.  lookup copies out, without a lock, and
 * follows aliases: NGX_OK, or NGX_DECLINED if absent, expired or of an older
 * epoch; route->id is then what is missing, id or what it is an alias of.
 * stale: ms after its end in which an expired entry still counts.  id has
 * SANDBOX_ID_SIZE bytes.  Only what traffic.h's users read is set: token and
 * mask_host as record.h says.
 */
ngx_int_t ngx_http_sandbox_routes_lookup(ngx_http_sandbox_main_conf_t *mcf,
                                         const char *id, ngx_msec_t stale,
                                         ngx_http_sandbox_route_t *route);
/* NGX_DECLINED if route is outdated: what was read is not the latest state. */
ngx_int_t ngx_http_sandbox_routes_store(ngx_http_sandbox_main_conf_t *mcf,
                                        const ngx_http_sandbox_route_t *route,
                                        ngx_uint_t epoch);
/* Also voids reads of Redis that are under way; see epoch(). */
void ngx_http_sandbox_routes_forget(ngx_http_sandbox_main_conf_t *mcf,
                                    const char *id);
/*
 * To be taken before id is read from Redis: store() declines what was read
 * before the latest forget(id) or bump().
 */
ngx_uint_t ngx_http_sandbox_routes_epoch(ngx_http_sandbox_main_conf_t *mcf,
                                         const char *id);
/* Everything cached is void from here on. */
void ngx_http_sandbox_routes_bump(ngx_http_sandbox_main_conf_t *mcf);

/*
 * Invalidation by events of Redis (see invalidation.c); subscribe from
 * init_process.  current tells if this worker hears them, so that a cached
 * route is right.
 */
void ngx_http_sandbox_routes_subscribe(void);
ngx_uint_t ngx_http_sandbox_routes_current(void);

/*
 * Reading of routes: one look-up in Redis for all requests of this worker that
 * ask for the same id at once (see flights.c).  handler is called once, never
 * from inside the call, unless leave came first: NGX_OK with the route of the
 * sandbox, or of its latest execution; NGX_DECLINED: there is none; NGX_ERROR:
 * Redis is away, and nothing is cached.  board gives NGX_OK, NGX_BUSY if too
 * much is being read, or NGX_ERROR.
 */
typedef struct {
    ngx_queue_t queue;
    ngx_http_sandbox_route_pt handler;
    void *data;
    unsigned waiting : 1;
} ngx_http_sandbox_passenger_t;

ngx_int_t
ngx_http_sandbox_flight_board(ngx_http_sandbox_passenger_t *p, const char *id);
void ngx_http_sandbox_flight_leave(ngx_http_sandbox_passenger_t *p);

/*
 * Takes the access tokens that the client sent off the request; the last one
 * is in *token.  How many there were.
 */
ngx_uint_t
ngx_http_sandbox_traffic_take_token(ngx_http_request_t *r, ngx_str_t *token);

/*
 * A key of the API is not for guests: clients send it to all of a host that
 * the path form shares with the API, and by mistake to the others.
 */
void ngx_http_sandbox_traffic_take_key(ngx_http_request_t *r);

/*
 * HTTP/2 knows no Upgrade.  nginx would ask the guest for it all the same, and
 * make the client's whole connection, all its requests, the tunnel.
 */
void ngx_http_sandbox_traffic_take_upgrade(ngx_http_request_t *r);

/*
 * NGX_OK if the client may reach a sandbox whose traffic is not public, or the
 * error that it was answered.
 */
ngx_int_t
ngx_http_sandbox_traffic_admit(ngx_http_request_t *r,
                               const ngx_http_sandbox_route_t *route,
                               ngx_uint_t ntokens, const ngx_str_t *token);

/* Points ctx->peer at a port of a guest, keyed by execution (see peer.c). */
void ngx_http_sandbox_peer_set(ngx_http_sandbox_ctx_t *ctx,
                               const ngx_http_sandbox_route_t *route,
                               ngx_uint_t port);

#endif
