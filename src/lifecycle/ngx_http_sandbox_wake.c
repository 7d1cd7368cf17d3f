/* One operation for all requests that wait for a sandbox; see the header. */

#include "ngx_http_sandbox_wake.h"

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_operation.h"
#include "sandbox_time.h"


/*
 * A wake: one sandbox and the requests that wait for it.  On the heap, as it
 * outlives the requests.
 */
typedef struct {
    ngx_queue_t queue;
    ngx_queue_t wakers;
    char id[SANDBOX_ID_SIZE];
} ngx_http_sandbox_wake_t;


static void ngx_http_sandbox_wake_done(void *data, ngx_http_sandbox_op_t *op);


const char ngx_http_sandbox_wake_late[] =
    "The sandbox did not wake in time; try again.";

static ngx_queue_t ngx_http_sandbox_wakes;


/* Counts a wait of w that has ended, with its outcome and its length. */
static void
ngx_http_sandbox_wake_count(ngx_http_sandbox_waker_t *w, ngx_uint_t outcome)
{
    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_WAKE_WAITS, outcome, 1);
    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_WAKE_TIME,
                                    sandbox_time_monotonic_ms() - w->began_ms);
}


static void
ngx_http_sandbox_wake_end(ngx_http_sandbox_waker_t *w)
{
    w->waiting = 0;
    ngx_queue_remove(&w->queue);

    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }
}


void
ngx_http_sandbox_wake_leave(ngx_http_sandbox_waker_t *w)
{
    if (w->waiting) {
        ngx_http_sandbox_wake_end(w);
        ngx_http_sandbox_wake_count(w, NGX_HTTP_SANDBOX_WAKE_LEFT);
    }
}


static void
ngx_http_sandbox_wake_over(ngx_event_t *ev)
{
    ngx_http_sandbox_waker_t *w = ev->data;

    ngx_http_sandbox_wake_end(w);
    ngx_http_sandbox_wake_count(w, NGX_HTTP_SANDBOX_WAKE_LATE);
    w->handler(w->data, &ngx_http_sandbox_sandbox_changing,
               ngx_http_sandbox_wake_late, "");
}


/*
 * Starts the resume for wake, without a tenant: each waiting request was
 * authorized for the sandbox already.
 */
static ngx_int_t
ngx_http_sandbox_wake_begin(ngx_http_sandbox_wake_t *wake,
                            const ngx_str_t *request_id)
{
    ngx_http_sandbox_ctx_t ctx;

    ngx_memzero(&ctx, sizeof(ngx_http_sandbox_ctx_t));
    ctx.request_id = *request_id;

    return ngx_http_sandbox_op_resume(wake->id, &ctx, NULL, 1,
                                      ngx_http_sandbox_wake_done, wake)
               ? NGX_OK
               : NGX_ERROR;
}


static void
ngx_http_sandbox_wake_done(void *data, ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_wake_t *wake = data;

    ngx_str_t request_id;
    ngx_uint_t outcome;
    ngx_queue_t *q;
    ngx_http_sandbox_waker_t *w;

    request_id.data = (u_char *) op->request_id;
    request_id.len = ngx_strlen(op->request_id);

    if (op->error == &ngx_http_sandbox_sandbox_changing
        && !ngx_queue_empty(&wake->wakers)
        && ngx_http_sandbox_wake_begin(wake, &request_id) == NGX_OK)
    {
        /* op timed out, but requests that came later may still wait */
        return;
    }

    outcome = op->error ? NGX_HTTP_SANDBOX_OUTCOME_FAILED
                        : NGX_HTTP_SANDBOX_OUTCOME_DONE;
    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_WAKES, outcome, 1);

    /* removed first: a handler may call ngx_http_sandbox_wake() for it again */
    ngx_queue_remove(&wake->queue);

    while (!ngx_queue_empty(&wake->wakers)) {
        q = ngx_queue_head(&wake->wakers);
        w = ngx_queue_data(q, ngx_http_sandbox_waker_t, queue);

        ngx_http_sandbox_wake_end(w);
        ngx_http_sandbox_wake_count(w, op->error
                                           ? NGX_HTTP_SANDBOX_WAKE_FAILED
                                           : NGX_HTTP_SANDBOX_WAKE_SERVED);
        w->handler(w->data, op->error, op->message, op->node);
    }

    ngx_free(wake);
}


/* The wake of id, found or started; NULL if none can be started. */
static ngx_http_sandbox_wake_t *
ngx_http_sandbox_wake_find(const char *id, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_queue_t *q;
    ngx_http_sandbox_wake_t *wake;

    if (ngx_http_sandbox_wakes.next == NULL) {
        ngx_queue_init(&ngx_http_sandbox_wakes);
    }

    for (q = ngx_queue_head(&ngx_http_sandbox_wakes);
         q != ngx_queue_sentinel(&ngx_http_sandbox_wakes);
         q = ngx_queue_next(q))
    {
        wake = ngx_queue_data(q, ngx_http_sandbox_wake_t, queue);

        if (ngx_strcmp(wake->id, id) == 0) {
            return wake;
        }
    }

    wake = ngx_alloc(sizeof(ngx_http_sandbox_wake_t), ngx_cycle->log);
    if (wake == NULL) {
        return NULL;
    }

    ngx_queue_init(&wake->wakers);
    ngx_cpystrn((u_char *) wake->id, (u_char *) id, sizeof(wake->id));

    if (ngx_http_sandbox_wake_begin(wake, &ctx->request_id) != NGX_OK) {
        ngx_free(wake);
        return NULL;
    }

    ngx_queue_insert_tail(&ngx_http_sandbox_wakes, &wake->queue);

    return wake;
}


ngx_int_t
ngx_http_sandbox_wake(ngx_http_sandbox_waker_t *w, const char *id,
                      ngx_http_sandbox_ctx_t *ctx)
{
    int64_t now;
    ngx_http_sandbox_wake_t *wake;

    now = sandbox_time_monotonic_ms();

    if (w->wait_until_ms == 0) {
        w->wait_until_ms =
            now + (int64_t) ngx_http_sandbox_worker.conf->wake_timeout;
    }

    if (now >= w->wait_until_ms) {
        return NGX_DECLINED;
    }

    wake = ngx_http_sandbox_wake_find(id, ctx);
    if (wake == NULL) {
        return NGX_ERROR;
    }

    w->waiting = 1;
    w->began_ms = now;
    ngx_queue_insert_tail(&wake->wakers, &w->queue);

    ngx_memzero(&w->timer, sizeof(ngx_event_t));
    w->timer.handler = ngx_http_sandbox_wake_over;
    w->timer.data = w;
    w->timer.log = ngx_cycle->log;
    ngx_add_timer(&w->timer, (ngx_msec_t) (w->wait_until_ms - now));

    return NGX_OK;
}
