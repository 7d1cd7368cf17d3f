/*
 * Which worker reconciles the node: a lock in Redis that ends soon after its
 * holder's last pulse, and that only workers of one host can have.
 *
 * So each worker learns whose the name of the node is, for all of them pulse.
 * While it is another host's, nothing here may act as that node: to this host
 * the sandboxes of that one look like lost ones, whose addresses are free.
 * admit.lua and due.lua look at the name themselves; the rest goes by
 * worker.foreign, and what is in no hurry waits for worker.ours.  Event loop
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

/*
 * Of a reply to a pulse: 1 if this worker has the lock.  Sets worker.ours and
 * worker.foreign; a pulse that is not answered says nothing of another host.
 */
ngx_uint_t ngx_http_sandbox_leader_is(redisReply *reply);

#endif
