/*
 * Public traffic: from a host name to a guest's address.  Event loop only.
 *
 * The access-phase handler of "sandbox_traffic on" locations fills ctx->peer
 * or answers an error; stock proxy_pass through an upstream {} with
 * "sandbox_peer" does the rest.
 */

#ifndef NGX_HTTP_SANDBOX_TRAFFIC_H
#define NGX_HTTP_SANDBOX_TRAFFIC_H

#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_record.h"

/* Access-phase handler. */
ngx_int_t ngx_http_sandbox_traffic_handler(ngx_http_request_t *r);

/* The directives "sandbox_zone name:size" and "sandbox_peer". */
char *ngx_http_sandbox_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * Route cache in shared memory.  lookup copies out under the slab lock:
 * NGX_OK, or NGX_DECLINED if absent, expired or of an older epoch.
 */
ngx_int_t ngx_http_sandbox_routes_lookup(ngx_http_sandbox_main_conf_t *mcf,
                                         const char *id,
                                         ngx_http_sandbox_route_t *route);
void ngx_http_sandbox_routes_store(ngx_http_sandbox_main_conf_t *mcf,
                                   const ngx_http_sandbox_route_t *route,
                                   ngx_uint_t epoch);
void ngx_http_sandbox_routes_forget(ngx_http_sandbox_main_conf_t *mcf,
                                    const char *id);
/* The epoch to take before reading Redis; store() ignores an older one. */
ngx_uint_t ngx_http_sandbox_routes_epoch(ngx_http_sandbox_main_conf_t *mcf);
/* Everything cached is void from here on. */
void ngx_http_sandbox_routes_bump(ngx_http_sandbox_main_conf_t *mcf);

/* Points ctx->peer at a port of a guest, keyed by execution (see peer.c). */
void ngx_http_sandbox_peer_set(ngx_http_sandbox_ctx_t *ctx,
                               const ngx_http_sandbox_route_t *route,
                               ngx_uint_t port);

#endif
