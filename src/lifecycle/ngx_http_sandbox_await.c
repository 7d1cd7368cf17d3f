/* The list of waiters, and waking them; see the header. */

#include "ngx_http_sandbox_await.h"

#include "ngx_http_sandbox_events.h"

#define NGX_HTTP_SANDBOX_AWAIT_FIRST_MS 50 /* then twice as long each time */
#define NGX_HTTP_SANDBOX_AWAIT_LAST_MS 1000


static ngx_queue_t ngx_http_sandbox_awaiting;


static void
ngx_http_sandbox_await_look(ngx_event_t *ev)
{
    ngx_http_sandbox_await_t *w = ev->data;

    w->interval = ngx_min(2 * w->interval, NGX_HTTP_SANDBOX_AWAIT_LAST_MS);
    ngx_add_timer(ev, w->interval);

    w->wake(w->data, NULL, NULL);
}


void
ngx_http_sandbox_await(ngx_http_sandbox_await_t *w, const char *id,
                       ngx_http_sandbox_wake_pt wake, void *data)
{
    ngx_cpystrn((u_char *) w->id, (u_char *) id, sizeof(w->id));

    if (w->waiting) {
        return;
    }

    w->wake = wake;
    w->data = data;
    w->waiting = 1;
    ngx_queue_insert_tail(&ngx_http_sandbox_awaiting, &w->queue);

    ngx_memzero(&w->timer, sizeof(ngx_event_t));
    w->timer.handler = ngx_http_sandbox_await_look;
    w->timer.data = w;
    w->timer.log = ngx_cycle->log;
    w->interval = NGX_HTTP_SANDBOX_AWAIT_FIRST_MS;
    ngx_add_timer(&w->timer, w->interval);
}


void
ngx_http_sandbox_await_end(ngx_http_sandbox_await_t *w)
{
    if (!w->waiting) {
        return;
    }

    w->waiting = 0;
    ngx_queue_remove(&w->queue);

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }
}


/*
 * wake may end any wait, so the waiters for id are first moved to a list of
 * their own, from which await_end() removes a waiter as from the other.
 */
static void
ngx_http_sandbox_await_message(const char *id, ngx_str_t *word,
                               ngx_str_t *detail)
{
    ngx_queue_t *q, *next, meant;
    ngx_http_sandbox_await_t *w;

    ngx_queue_init(&meant);

    for (q = ngx_queue_head(&ngx_http_sandbox_awaiting);
         q != ngx_queue_sentinel(&ngx_http_sandbox_awaiting); q = next)
    {
        next = ngx_queue_next(q);
        w = ngx_queue_data(q, ngx_http_sandbox_await_t, queue);

        if (ngx_strcmp(w->id, id) == 0) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&meant, q);
        }
    }

    while (!ngx_queue_empty(&meant)) {
        q = ngx_queue_head(&meant);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_http_sandbox_awaiting, q);

        w = ngx_queue_data(q, ngx_http_sandbox_await_t, queue);
        w->wake(w->data, word, detail);
    }
}


void
ngx_http_sandbox_await_init(void)
{
    static ngx_http_sandbox_subscriber_t subscriber = {
        ngx_http_sandbox_await_message, NULL, NULL, NULL
    };

    ngx_queue_init(&ngx_http_sandbox_awaiting);
    ngx_http_sandbox_events_subscribe(&subscriber);
}
