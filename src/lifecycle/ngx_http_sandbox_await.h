/*
 * Waiting for another operation, of this or any other worker, that works on a
 * sandbox, a snapshot or a pool.  The waiter is woken by the events that
 * scripts publish and by a timer, because an event may be lost or have come
 * before the wait began.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_AWAIT_H
#define NGX_HTTP_SANDBOX_AWAIT_H

#include "ngx_http_sandbox_module.h"

typedef struct ngx_http_sandbox_await_s ngx_http_sandbox_await_t;

/* word and detail are of the event (events.h), or NULL when the timer fired. */
typedef void (*ngx_http_sandbox_wake_pt)(void *data, ngx_str_t *word,
                                         ngx_str_t *detail);

/* A member of the struct that waits; zeroed before the first use. */
struct ngx_http_sandbox_await_s {
    ngx_queue_t queue;
    ngx_event_t timer; /* keeps a worker that is shutting down alive */
    ngx_msec_t interval;
    ngx_http_sandbox_wake_pt wake;
    void *data;
    char id[SANDBOX_ID_SIZE];
    unsigned waiting : 1;
};

/*
 * Calls wake for each event of id, and by the timer, until await_end().  wake
 * may call await_end() and free the struct that w is a member of.  A call for a
 * w that waits already only changes the id.
 */
void ngx_http_sandbox_await(ngx_http_sandbox_await_t *w, const char *id,
                            ngx_http_sandbox_wake_pt wake, void *data);
void ngx_http_sandbox_await_end(ngx_http_sandbox_await_t *w);

/* Called from init_process, before events_listen. */
void ngx_http_sandbox_await_init(void);

#endif
