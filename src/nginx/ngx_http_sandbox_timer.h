/* Timers of a worker.  Event loop only. */

#ifndef NGX_HTTP_SANDBOX_TIMER_H
#define NGX_HTTP_SANDBOX_TIMER_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

/*
 * Makes ev, zeroed memory, a timer of the worker that calls handler.  It does
 * not keep a worker alive that is shutting down.
 */
void ngx_http_sandbox_timer_init(ngx_event_t *ev, ngx_event_handler_pt handler);

/*
 * Makes ev, memory that was zeroed once, a timer that keeps a worker that is
 * shutting down alive for ms, or until it is deleted.  For a task in a thread:
 * without a timer nginx leaves its event loop, and waits for the thread in a
 * loop that takes a CPU.
 */
void ngx_http_sandbox_linger(ngx_event_t *ev, ngx_msec_t ms);

#endif
