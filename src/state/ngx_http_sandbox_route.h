/*
 * The route to a sandbox: what traffic needs of its record.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_ROUTE_H
#define NGX_HTTP_SANDBOX_ROUTE_H

#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_state.h"
#include "sandbox_net.h"

/* What a route needs: few fields, fixed size, no allocation. */
typedef struct {
    char id[SANDBOX_ID_SIZE];
    ngx_http_sandbox_state_e state;
    in_addr_t address;                /* network order; 0 if none */
    char text[SANDBOX_NET_IPV4_SIZE]; /* of the address */
    u_char text_len;
    uint64_t execution; /* differs between executions that share an address */
    uint64_t tenant;    /* sandbox_tenant_hash() */
    unsigned public_traffic : 1;
    unsigned masked : 1;
    unsigned auto_resume : 1;
    unsigned elsewhere : 1; /* another node has its guest; not cached */
    int64_t wakes; /* since wakes_since, ms since the epoch; not cached */
    int64_t wakes_since;
    int64_t busy_until; /* ms: a snapshot is taken until then; not cached */
    /* only set when traffic is not public, when masked, and when RESUMED */
    char token[SANDBOX_TOKEN_SIZE];
    char mask_host[SANDBOX_MASK_HOST_MAX + 1];
    char next[SANDBOX_ID_SIZE];
} ngx_http_sandbox_route_t;

/*
 * Reads the route of id; an alias is not followed.  handler gets NGX_OK with
 * route, NGX_DECLINED if there is no such sandbox (it never existed or is
 * destroyed), NGX_ERROR if Redis is away.  handler is called once, never from
 * inside the call.
 */
typedef void (*ngx_http_sandbox_route_pt)(void *data, ngx_int_t rc,
                                          ngx_http_sandbox_route_t *route);
ngx_int_t
ngx_http_sandbox_record_route(const char *id, ngx_http_sandbox_route_pt handler,
                              void *data);

void ngx_http_sandbox_record_to_route(ngx_http_sandbox_route_t *route,
                                      const ngx_http_sandbox_record_t *record);

#endif
