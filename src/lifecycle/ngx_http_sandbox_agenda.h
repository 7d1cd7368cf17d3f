/*
 * The node's agenda: every sandbox has one time at which somebody must look
 * at it, the end of its operation's lease or its deadline.  Each worker asks
 * Redis a few times a second for what is due; a script hands each id to one
 * of them.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_AGENDA_H
#define NGX_HTTP_SANDBOX_AGENDA_H

#include "ngx_http_sandbox_module.h"

/* From init_process, when Redis and the hypervisor are started. */
ngx_int_t ngx_http_sandbox_agenda_start(ngx_cycle_t *cycle);

#endif
