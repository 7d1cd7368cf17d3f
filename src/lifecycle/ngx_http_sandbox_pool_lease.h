/*
 * Warm pools whose node is gone.
 *
 * A pool belongs to one node at a time, by a lease in its record that
 * pool_tend.lua gives and prolongs.  All nodes share a list of the pools by the
 * end of their leases, and look what is due on it; the record decides, so the
 * list may be late or wrong.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_POOL_LEASE_H
#define NGX_HTTP_SANDBOX_POOL_LEASE_H

#include "ngx_http_sandbox_module.h"

/*
 * A lease that is over is doubted for so long before another node takes it: its
 * holder may have been kept from Redis as everybody else, and need as long as a
 * connection waits between two tries, and as the agenda is looked at.  In ms.
 */
#define NGX_HTTP_SANDBOX_POOL_LEASE_DOUBT 3500

/* The lease of a pool ends then, as Redis has said (ms since the epoch). */
void ngx_http_sandbox_pool_lease_note(const char *id, int64_t until);

/* It ends so many ms from now: of a pool that is about to be made. */
void ngx_http_sandbox_pool_lease_begin(const char *id, int64_t ms);

/* The pool is deleted. */
void ngx_http_sandbox_pool_lease_forget(const char *id);

/* From init_process; over is called for each pool whose lease may be over. */
void ngx_http_sandbox_pool_lease_start(ngx_cycle_t *cycle,
                                       void (*over)(const char *id));

#endif
