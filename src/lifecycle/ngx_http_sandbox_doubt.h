/*
 * Checks whether the machines of sandboxes that could not be reached have
 * ended.  Once a second at most, libvirt's list of domain names decides for all
 * that were reported, so that a silent guest does not cost its node a whole
 * reconcile.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_DOUBT_H
#define NGX_HTTP_SANDBOX_DOUBT_H

#include "ngx_http_sandbox_module.h"

/*
 * Called once, from init_process.  gone is called with the id of each reported
 * sandbox that has no domain.
 */
void ngx_http_sandbox_doubt_start(void (*gone)(const char *id));

/*
 * Reports id: its domain is looked for soon.  A report beyond the limit of one
 * look is dropped.
 */
void ngx_http_sandbox_doubt(const char *id);

#endif
