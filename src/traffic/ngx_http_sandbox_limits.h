/*
 * Limits of what reaches sandboxes: connections of a sandbox at once, and
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

/* From postconfiguration: the shared memory zone. */
ngx_int_t ngx_http_sandbox_limits_init(ngx_conf_t *cf, void *tag);

/*
 * From init_process, with the slot that metrics_start() returned: clears the
 * connections that the slot's last owner had counted.
 */
void ngx_http_sandbox_limits_start(ngx_uint_t slot);

/*
 * Counts one more connection to the sandbox, or wait for one.  The counter,
 * which the caller gives to leave(), or NULL if max are counted already.
 */
typedef uint16_t ngx_http_sandbox_count_t;

ngx_http_sandbox_count_t *
ngx_http_sandbox_limits_enter(const char *id, ngx_uint_t max);
void ngx_http_sandbox_limits_leave(ngx_http_sandbox_count_t *count);

/*
 * Counts a request of a tenant, given by ngx_http_sandbox_tenant_hash().  0 if
 * it may go on, else the seconds after which the client may repeat it.
 */
ngx_uint_t
ngx_http_sandbox_limits_rate(ngx_http_sandbox_rate_e which, uint64_t tenant);

#endif
