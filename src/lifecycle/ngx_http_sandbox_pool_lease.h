/*
 * Finds warm pools whose node is gone.
 *
 * A pool belongs to one node at a time, by a lease in its record that
 * pool_tend.lua gives and prolongs.  All nodes share a list of the pools,
 * sorted by the end of their leases, and tend the pools that are due on it.
 * The pool's record decides, so the list may be late or wrong.  Event loop
 * only.
 */

#ifndef NGX_HTTP_SANDBOX_POOL_LEASE_H
#define NGX_HTTP_SANDBOX_POOL_LEASE_H

#include "ngx_http_sandbox_module.h"

/*
 * Ms for which another node waits with a lease that is over before it takes the
 * lease.  If Redis was away for all nodes, the holder needs that time to
 * connect again (the delay between two tries) and to look at its agenda.
 */
#define NGX_HTTP_SANDBOX_POOL_LEASE_DOUBT_MS 3500

/* Lists a pool with the end of its lease, in ms since the epoch by Redis. */
void ngx_http_sandbox_pool_lease_note(const char *id, int64_t until);

/* Lists a pool that is about to be made; its lease ends ms from now. */
void ngx_http_sandbox_pool_lease_begin(const char *id, int64_t ms);

/*
 * Lists a pool whose lease is over, and which this node may not take, at least
 * not yet: another one may be waiting for it.
 */
void ngx_http_sandbox_pool_lease_again(const char *id);

/* Takes a deleted pool off the list. */
void ngx_http_sandbox_pool_lease_forget(const char *id);

/*
 * Called from init_process.  over is called with the id of each pool whose
 * lease may be over.
 */
void ngx_http_sandbox_pool_lease_start(void (*over)(const char *id));

#endif
