/*
 * Reconcile: Redis, libvirt and the disk directory of this node are made to
 * agree, whatever was lost where.  Event loop only.
 *
 * One worker of a node does it at a time, by a lock in Redis: when it starts,
 * when Redis is found again, soon after libvirtd is back, and every interval.
 */

#ifndef NGX_HTTP_SANDBOX_RECONCILE_H
#define NGX_HTTP_SANDBOX_RECONCILE_H

#include "ngx_http_sandbox_module.h"

/* From init_process: before events_listen, and when all is started. */
void ngx_http_sandbox_reconcile_subscribe(void);
void ngx_http_sandbox_reconcile_start(ngx_cycle_t *cycle);

/* From exit_process, while Redis is still there: another worker may go on. */
void ngx_http_sandbox_reconcile_stop(void);

#endif
