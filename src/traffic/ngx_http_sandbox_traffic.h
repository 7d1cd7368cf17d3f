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
#include "ngx_http_sandbox_route.h"

/* Precontent-phase handler. */
ngx_int_t ngx_http_sandbox_traffic_handler(ngx_http_request_t *r);

/* Log-phase handler: metrics by outcome. */
ngx_int_t ngx_http_sandbox_traffic_count(ngx_http_request_t *r);

/* The directives "sandbox_zone name:size" and "sandbox_peer". */
char *ngx_http_sandbox_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Route cache in shared memory.  lookup copies an entry into *route, without a
 * lock, and follows aliases.  NGX_OK; or NGX_DECLINED if an entry is absent,
 * expired, of an older epoch or being written: route->id is then the id that
 * has no entry, id itself or an id that it leads to.  stale: ms for which an
 * entry counts after it has expired.  id has SANDBOX_ID_SIZE bytes.  Only the
 * members that users of traffic.h read are set: token and mask_host as route.h
 * says.
 */
ngx_int_t ngx_http_sandbox_routes_lookup(ngx_http_sandbox_main_conf_t *mcf,
                                         const char *id, ngx_msec_t stale,
                                         ngx_http_sandbox_route_t *route);
/* NGX_DECLINED if the route may have changed since epoch was taken. */
ngx_int_t ngx_http_sandbox_routes_store(ngx_http_sandbox_main_conf_t *mcf,
                                        const ngx_http_sandbox_route_t *route,
                                        ngx_uint_t epoch);
/* Drops id's entry, and voids reads of id that are under way; see epoch(). */
void ngx_http_sandbox_routes_forget(ngx_http_sandbox_main_conf_t *mcf,
                                    const char *id);
/*
 * To be taken before id is read from Redis: store() declines what was read
 * before the latest forget(id) or bump().
 */
ngx_uint_t ngx_http_sandbox_routes_epoch(ngx_http_sandbox_main_conf_t *mcf,
                                         const char *id);
/* Makes every entry void. */
void ngx_http_sandbox_routes_bump(ngx_http_sandbox_main_conf_t *mcf);

/*
 * Invalidation by events of Redis (see invalidation.c); subscribe from
 * init_process.  current: 1 while this worker hears the events, so that a
 * cached route is right.
 */
void ngx_http_sandbox_routes_subscribe(void);
ngx_uint_t ngx_http_sandbox_routes_current(void);

/*
 * Reading of routes: one look-up in Redis for all requests of this worker that
 * ask for the same id at once (see flights.c).  handler is called once, never
 * from inside the call, unless leave came first: NGX_OK with the route of the
 * sandbox, or of its latest execution; NGX_DECLINED: there is none; NGX_ERROR:
 * Redis is away, and nothing is cached.  board gives NGX_OK, NGX_BUSY if too
 * many routes are being read, or NGX_ERROR.
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
 * Hides the client's traffic access tokens from the guest and sets *token to
 * the last one.  Returns how many the client sent.
 */
ngx_uint_t
ngx_http_sandbox_traffic_take_token(ngx_http_request_t *r, ngx_str_t *token);

/*
 * Hides a key of the API ("Bearer ns_…") from the guest: clients send it to
 * every path of a host that the path form shares with the API, and by mistake
 * to other hosts.
 */
void ngx_http_sandbox_traffic_take_key(ngx_http_request_t *r);

/*
 * Hides the header Upgrade from the guest, whose 101 is then no answer, unless
 * websocket is 1 and the client asks in HTTP/1 for a WebSocket and nothing
 * else. By "h2c" the guest would get all further requests of the client's
 * connection, with their keys, to whatever host; and in HTTP/2 the header means
 * nothing, but nginx would pass it on and make that whole connection the
 * tunnel.
 */
void ngx_http_sandbox_traffic_take_upgrade(ngx_http_request_t *r,
                                           ngx_uint_t websocket);

/*
 * NGX_OK if the traffic of the sandbox is public, or if its token is the one
 * that the client sent; else the status of the error that was noted.
 */
ngx_int_t
ngx_http_sandbox_traffic_admit(ngx_http_request_t *r,
                               const ngx_http_sandbox_route_t *route,
                               ngx_uint_t ntokens, const ngx_str_t *token);

/*
 * Points the peer of r's context at a port of a guest, keyed by execution (see
 * peer.c).  NGX_ERROR if memory is out.
 */
ngx_int_t ngx_http_sandbox_peer_set(ngx_http_request_t *r,
                                    const ngx_http_sandbox_route_t *route,
                                    ngx_uint_t port);

#endif
