/*
 * Sandboxes that somebody could not reach: has their machine ended?  One list
 * of libvirt's names answers that for all that came up in a second, so that a
 * guest that answers nothing costs its node no comparison of all there is.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_DOUBT_H
#define NGX_HTTP_SANDBOX_DOUBT_H

#include "ngx_http_sandbox_module.h"

/* gone is called with the id of each that has no domain. */
void
ngx_http_sandbox_doubt_start(ngx_cycle_t *cycle, void (*gone)(const char *id));

/* Looks for the machine of id, soon.  What is too much at once is not. */
void ngx_http_sandbox_doubt(const char *id);

#endif
