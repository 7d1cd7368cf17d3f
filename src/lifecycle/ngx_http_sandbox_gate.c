/* The gate in front of the thread pool "slow"; see the header. */

#include "ngx_http_sandbox_gate.h"

#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_timer.h"

/* Ms until the pool, whose queue was full, is tried again. */
#define NGX_HTTP_SANDBOX_GATE_AGAIN_MS 100


static struct {
    sandbox_gate_t gate;
    ngx_event_t again;
} ngx_http_sandbox_gate;


static void ngx_http_sandbox_gate_left(ngx_event_t *ev);


sandbox_gate_answer_t
ngx_http_sandbox_gate_ask(const char *tenant)
{
    return sandbox_gate_ask(&ngx_http_sandbox_gate.gate, tenant);
}


static ngx_int_t
ngx_http_sandbox_gate_start(ngx_http_sandbox_gate_place_t *place)
{
    ngx_event_t *ev;

    ev = &place->task->event;
    place->then = ev->handler;
    place->data = ev->data;
    ev->handler = ngx_http_sandbox_gate_left;
    ev->data = place;

    if (ngx_thread_task_post(ngx_http_sandbox_worker.conf->slow, place->task)
        == NGX_OK)
    {
        return NGX_OK;
    }

    ev->handler = place->then;
    ev->data = place->data;

    return NGX_ERROR;
}


/* Posts those that need not wait any more. */
static void
ngx_http_sandbox_gate_go_on(void)
{
    ngx_event_t *again;
    sandbox_gate_t *gate;
    sandbox_gate_entry_t *entry;
    ngx_http_sandbox_gate_place_t *place;

    gate = &ngx_http_sandbox_gate.gate;
    again = &ngx_http_sandbox_gate.again;

    while ((entry = sandbox_gate_next(gate)) != NULL) {
        place = (ngx_http_sandbox_gate_place_t *) entry;

        if (ngx_http_sandbox_gate_start(place) != NGX_OK) {
            if (!again->timer_set) {
                ngx_add_timer(again, NGX_HTTP_SANDBOX_GATE_AGAIN_MS);
            }

            return;
        }

        sandbox_gate_pass(gate, entry);
    }
}


static void
ngx_http_sandbox_gate_again(ngx_event_t *ev)
{
    ngx_http_sandbox_gate_go_on();
}


void
ngx_http_sandbox_gate_init(void)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    ngx_http_sandbox_gate.gate.share = (size_t) mcf->tenant_threads;
    ngx_http_sandbox_gate.gate.room = (size_t) mcf->tenant_queue;

    ngx_http_sandbox_timer_init(&ngx_http_sandbox_gate.again,
                                ngx_http_sandbox_gate_again);
}


/* The task of a place has ended. */
static void
ngx_http_sandbox_gate_left(ngx_event_t *ev)
{
    ngx_http_sandbox_gate_place_t *place = ev->data;

    ev->handler = place->then;
    ev->data = place->data;
    sandbox_gate_leave(&ngx_http_sandbox_gate.gate, &place->entry);
    ngx_http_sandbox_gate_go_on();

    /* may free place and the task */
    ev->handler(ev);
}


ngx_int_t
ngx_http_sandbox_gate_post(ngx_http_sandbox_gate_place_t *place,
                           ngx_thread_task_t *task, const char *tenant)
{
    place->task = task;
    place->entry.tenant = tenant;

    switch (ngx_http_sandbox_gate_ask(tenant)) {
    case SANDBOX_GATE_OPEN:
        if (ngx_http_sandbox_gate_start(place) != NGX_OK) {
            return NGX_ERROR;
        }

        sandbox_gate_enter(&ngx_http_sandbox_gate.gate, &place->entry);
        return NGX_OK;

    case SANDBOX_GATE_WAIT:
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_TENANT_WAITS, 0, 1);
        sandbox_gate_wait(&ngx_http_sandbox_gate.gate, &place->entry);
        return NGX_AGAIN;

    default:
        return NGX_ERROR;
    }
}
