/*
 * The node's agenda: every sandbox has one time at which a worker must look at
 * it, the end of its operation's lease or its deadline; snapshots that are
 * taken or deleted and warm pools have entries, too.  Each worker asks Redis
 * twice a second for the ids that are due; due.lua hands each id to one worker.
 * schedule.h writes the agenda.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_AGENDA_H
#define NGX_HTTP_SANDBOX_AGENDA_H

#include "ngx_http_sandbox_module.h"

/* Called from init_process, when Redis and the hypervisor are started. */
ngx_int_t ngx_http_sandbox_agenda_start(void);

#endif
