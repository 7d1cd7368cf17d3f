/*
 * Decides which worker reconciles the node: the holder of a lock in Redis that
 * ends soon after the holder's last pulse.  Only workers of one host can hold
 * it.
 *
 * All workers pulse, so each learns which host has the name of the node.  While
 * another host has it, no worker here may act as that node: the sandboxes of
 * the other host would look lost and their addresses free.  admit.lua and
 * due.lua check the host themselves; the rest checks worker.foreign, and work
 * that is not urgent waits for worker.ours.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_LEADER_H
#define NGX_HTTP_SANDBOX_LEADER_H

#include "ngx_http_sandbox_redis.h"

/* Reads the machine id of this host. */
void ngx_http_sandbox_leader_start(void);

/*
 * Takes or keeps the lock for ms, or gives it up (0).  Result and handler are
 * as for ngx_http_sandbox_redis_eval().
 */
ngx_int_t
ngx_http_sandbox_leader_pulse(ngx_http_sandbox_redis_handler_pt handler,
                              ngx_msec_t ms);

/*
 * Evaluates the reply to a pulse: 1 if this worker has the lock.  Sets
 * worker.ours and worker.foreign; without a reply worker.foreign stays as it
 * was.
 */
ngx_uint_t ngx_http_sandbox_leader_is(redisReply *reply);

#endif
