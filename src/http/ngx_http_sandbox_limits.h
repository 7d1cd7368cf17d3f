/*
 * Limits of what reaches sandboxes: connections to a sandbox at once, and
 * requests of a tenant in a second.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_LIMITS_H
#define NGX_HTTP_SANDBOX_LIMITS_H

#include "ngx_http_sandbox_module.h"

typedef enum {
    NGX_HTTP_SANDBOX_RATE_TRAFFIC = 0,
    NGX_HTTP_SANDBOX_RATE_API,
    NGX_HTTP_SANDBOX_RATES
} ngx_http_sandbox_rate_e;

/* From init_main_conf: the shared memory zone. */
ngx_int_t ngx_http_sandbox_limits_init(ngx_conf_t *cf, void *tag);

/*
 * From init_process, with the slot that metrics_start() returned: clears the
 * connections that the slot's last owner had counted.
 */
void ngx_http_sandbox_limits_start(ngx_uint_t slot);

/* Those to its ports, and those to its agent, are counted for themselves. */
typedef enum {
    NGX_HTTP_SANDBOX_TO_PORTS = 0,
    NGX_HTTP_SANDBOX_TO_AGENT
} ngx_http_sandbox_connections_e;

typedef uint16_t ngx_http_sandbox_count_t;

/*
 * Counts one more connection to the sandbox, or wait for one, in *count, which
 * is left first unless it is one to this sandbox.  NGX_BUSY if there are too
 * many, which the metrics then tell; *count is NULL then, and if there is no
 * limit.
 */
ngx_int_t ngx_http_sandbox_limits_enter(ngx_http_sandbox_count_t **count,
                                        ngx_http_sandbox_connections_e which,
                                        const char *id);
/* Takes the connection off *count, which may be NULL, and is afterwards. */
void ngx_http_sandbox_limits_leave(ngx_http_sandbox_count_t **count);

/*
 * Counts a request of a tenant, given by sandbox_tenant_hash().  0 if it may go
 * on, else the seconds after which the client may repeat it.
 */
ngx_uint_t
ngx_http_sandbox_limits_rate(ngx_http_sandbox_rate_e which, uint64_t tenant);

#endif
