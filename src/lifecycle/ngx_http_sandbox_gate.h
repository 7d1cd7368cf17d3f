/*
 * The gate in front of this worker's thread pool "slow", whose tasks wait for
 * guests: no tenant has more than tenant_threads of its threads at once.  All
 * tasks of the pool come through here.
 *
 * What waits goes to the pool when a task of its tenant ends.  A worker that
 * shuts down waits for it as for a task in the pool: its operation has a timer.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_GATE_H
#define NGX_HTTP_SANDBOX_GATE_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "sandbox_gate.h"

/* The place of a task in the gate; the caller's memory, until the task ends. */
typedef struct {
    sandbox_gate_entry_t entry; /* first: the gate gives it back */
    ngx_thread_task_t *task;
    void (*then)(ngx_event_t *ev);
    void *data;
} ngx_http_sandbox_gate_place_t;

/*
 * Posts a task of tenant, complete with its event, or has it wait (NGX_AGAIN).
 * tenant must stay until the task ends.  NGX_ERROR if the pool's queue is full,
 * or too many of the tenant's wait: the event is not called then.
 */
ngx_int_t
ngx_http_sandbox_gate_post(ngx_http_sandbox_gate_place_t *place,
                           ngx_thread_task_t *task, const char *tenant);

/* Called once, from init_process. */
void ngx_http_sandbox_gate_init(void);

/* What a task of tenant would have to do. */
sandbox_gate_answer_t ngx_http_sandbox_gate_ask(const char *tenant);

#endif
