/*
 * Waking: requests that need a paused sandbox start it and wait for it.
 *
 * All requests of a worker that need the same sandbox wait for one operation.
 * Of several workers, resume.lua lets one start the sandbox; the others wait
 * for its event.  The operation goes on when all waiting requests have ended.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_WAKE_H
#define NGX_HTTP_SANDBOX_WAKE_H

#include "ngx_http_sandbox_ctx.h"

/*
 * error is NULL if the sandbox runs now, maybe under another id.  message is
 * static.  node is op->node, or ""; answers to traffic must not contain it.
 */
typedef void (*ngx_http_sandbox_woken_pt)(void *data,
                                          const ngx_http_sandbox_error_t *error,
                                          const char *message,
                                          const char *node);

/* A member of the struct that waits; zeroed before the first use. */
typedef struct {
    ngx_queue_t queue;
    ngx_event_t timer;     /* keeps a worker that is shutting down alive */
    int64_t began_ms;      /* monotonic */
    int64_t wait_until_ms; /* monotonic: when all waits end; 0: not set */
    ngx_http_sandbox_woken_pt handler;
    void *data;
    unsigned waiting : 1;
} ngx_http_sandbox_waker_t;

/*
 * Wakes id, the latest execution of a sandbox, or waits for another operation
 * that does.  handler is called once, never from inside the call, unless
 * wake_leave() came first.  All waits of one waker together end after
 * sandbox_wake_timeout, with sandbox_changing.  When they have led to a guest,
 * the owner of w sets patience to 0, as that guest may end, too.  NGX_DECLINED
 * if the time is over already, NGX_ERROR if Redis is away or memory is out:
 * handler is not called then.
 */
ngx_int_t ngx_http_sandbox_wake(ngx_http_sandbox_waker_t *w, const char *id,
                                ngx_http_sandbox_ctx_t *ctx);

/* Ends the wait of w without calling handler; may be called at any time. */
void ngx_http_sandbox_wake_leave(ngx_http_sandbox_waker_t *w);

/* The message that handler gets when the patience of w is over. */
extern const char ngx_http_sandbox_wake_late[];

#endif
