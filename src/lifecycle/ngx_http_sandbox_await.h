/*
 * Waiting for news of a sandbox that another operation is at work on, of this
 * worker or any other: by the events that scripts publish, and by looking
 * again now and then, because an event may be lost or have come before the
 * wait began.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_AWAIT_H
#define NGX_HTTP_SANDBOX_AWAIT_H

#include "ngx_http_sandbox_module.h"

typedef struct ngx_http_sandbox_await_s ngx_http_sandbox_await_t;

/* word is NULL when it is merely time to look again; see events.h. */
typedef void (*ngx_http_sandbox_wake_pt)(void *data, ngx_str_t *word,
                                         ngx_str_t *detail);

/* A member of who waits, zeroed at first. */
struct ngx_http_sandbox_await_s {
    ngx_queue_t queue;
    ngx_event_t timer; /* keeps a worker that shuts down alive */
    ngx_msec_t interval;
    ngx_http_sandbox_wake_pt wake;
    void *data;
    char id[SANDBOX_ID_SIZE];
    unsigned waiting : 1;
};

/*
 * Calls wake for each event of id, and from time to time, until end.  wake may
 * call end and free who waits.  Starting again only sets the id.
 */
void ngx_http_sandbox_await(ngx_http_sandbox_await_t *w, const char *id,
                            ngx_http_sandbox_wake_pt wake, void *data);
void ngx_http_sandbox_await_end(ngx_http_sandbox_await_t *w);

/* From init_process, before events_listen. */
void ngx_http_sandbox_await_init(void);

#endif
