/*
 * Reconcile: makes Redis, libvirt and the disk directory of this node agree,
 * whichever of them has lost something.  Event loop only.
 *
 * One worker of a node reconciles at a time, by a lock in Redis: when it gets
 * the lock, when Redis is connected again, soon after libvirtd is back, and
 * every interval.
 */

#ifndef NGX_HTTP_SANDBOX_RECONCILE_H
#define NGX_HTTP_SANDBOX_RECONCILE_H

#include "ngx_http_sandbox_module.h"

/*
 * Called from init_process: _subscribe() before events_listen, _start() when
 * all else is started.
 */
void ngx_http_sandbox_reconcile_subscribe(void);
void ngx_http_sandbox_reconcile_start(void);

/*
 * Called from exit_process, while Redis is still connected: gives the lock up
 * for another worker.
 */
void ngx_http_sandbox_reconcile_stop(void);

#endif
