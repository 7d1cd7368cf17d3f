/*
 * Waking: requests that want a paused sandbox to run, and wait for it.
 *
 * All requests of a worker that want the same sandbox wait for one operation;
 * between workers resume.lua lets one start it and the others hear of it.  It
 * goes on when those who waited have gone away.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_WAKE_H
#define NGX_HTTP_SANDBOX_WAKE_H

#include "ngx_http_sandbox_module.h"

/*
 * error is NULL if it runs now, under whatever id; message is static; node is
 * that of op->node, or "", and not for traffic to tell.
 */
typedef void (*ngx_http_sandbox_woken_pt)(void *data,
                                          const ngx_http_sandbox_error_t *error,
                                          const char *message,
                                          const char *node);

/* A member of who waits, zeroed at first. */
typedef struct {
    ngx_queue_t queue;
    ngx_event_t timer; /* keeps a worker that shuts down alive */
    int64_t began;     /* monotonic ms */
    int64_t patience;  /* monotonic ms; 0: the next wait is the first */
    ngx_http_sandbox_woken_pt handler;
    void *data;
    unsigned waiting : 1;
} ngx_http_sandbox_waker_t;

/*
 * Wakes id, the latest execution of a sandbox, or waits until somebody else
 * has.  handler is called once, never from inside the call, unless leave came
 * first.  All waits of one waker together end after sandbox_wake_timeout, with
 * sandbox_changing; its owner sets patience to 0 when they have led to a guest,
 * which may end in its turn.  NGX_DECLINED if that is over already, NGX_ERROR
 * if Redis is away or memory is out: handler is not called then.
 */
ngx_int_t ngx_http_sandbox_wake(ngx_http_sandbox_waker_t *w, const char *id,
                                ngx_http_sandbox_ctx_t *ctx);

/* w waits no longer; may be called at any time. */
void ngx_http_sandbox_wake_leave(ngx_http_sandbox_waker_t *w);

/* What a handler gets when its patience is over. */
extern const char ngx_http_sandbox_wake_late[];

#endif
