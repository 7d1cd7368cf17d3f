/*
 * Records in Redis: names of the keys, the typed record of a sandbox, and
 * reading it.  Event loop only.  Keys (P is sandbox_redis prefix=):
 *
 *   P{<shard>}:sandbox:<id>        hash, the record of a sandbox
 *   P{<shard>}:tenant:<tenant>     zset of ids by creation time
 *   P{<shard>}:idem:<tenant>:<route>:<sha256 of key>   hash
 *   P{<node>}:agenda               zset of ids by the time (ms) at which
 *                                  somebody must look at the sandbox
 *   P{<node>}:addresses            hash address -> id
 *   P:key:<sha256 of API key>      hash, tenant
 *   P:events                       channel: "<id> <state>" at every commit
 */

#ifndef NGX_HTTP_SANDBOX_RECORD_H
#define NGX_HTTP_SANDBOX_RECORD_H

#include "ngx_http_sandbox_module.h"

typedef enum {
    NGX_HTTP_SANDBOX_CREATING = 1,
    NGX_HTTP_SANDBOX_RUNNING,
    NGX_HTTP_SANDBOX_PAUSED,
    NGX_HTTP_SANDBOX_DESTROYING,
    NGX_HTTP_SANDBOX_DESTROYED,
    NGX_HTTP_SANDBOX_FAILED
} ngx_http_sandbox_state_e;

/* What a route needs: few fields, fixed size, no allocation. */
typedef struct {
    char id[SANDBOX_ID_SIZE];
    ngx_http_sandbox_state_e state;
    in_addr_t address; /* network order; 0 if none */
    uint64_t execution; /* differs between executions that share an address */
    unsigned public_traffic : 1;
} ngx_http_sandbox_route_t;

/*
 * Reads the route of id.  handler gets NGX_OK with route, NGX_DECLINED if no
 * such sandbox (never existed or is destroyed), NGX_ERROR if Redis is away.
 * Called once, never from inside the call.  data must stay valid; detach with
 * ngx_http_sandbox_redis_forget(…, data) first if it goes.
 */
typedef void (*ngx_http_sandbox_route_pt)(void *data, ngx_int_t rc,
                                          ngx_http_sandbox_route_t *route);
ngx_int_t ngx_http_sandbox_record_route(const char *id,
                                        ngx_http_sandbox_route_pt handler,
                                        void *data);

#endif
