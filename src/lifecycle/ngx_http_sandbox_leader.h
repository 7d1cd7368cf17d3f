/*
 * Which worker reconciles the node: a lock in Redis that ends soon after its
 * holder's last pulse, and that only workers of one host can have.  Event loop
 * only.
 */

#ifndef NGX_HTTP_SANDBOX_LEADER_H
#define NGX_HTTP_SANDBOX_LEADER_H

#include "ngx_http_sandbox_module.h"

/* Reads which host this is. */
void ngx_http_sandbox_leader_start(void);

/* Takes or keeps the lock for ms, or gives it up (0). */
ngx_int_t
ngx_http_sandbox_leader_pulse(ngx_http_sandbox_redis_handler_pt handler,
                              ngx_msec_t ms);

/* Of a reply to a pulse: 1 if this worker has the lock. */
ngx_uint_t ngx_http_sandbox_leader_is(redisReply *reply);

#endif
