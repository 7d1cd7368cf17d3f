/* Flattens long backing chains; see the header. */

#include "ngx_http_sandbox_flatten.h"

#include "ngx_http_sandbox_gate.h"
#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_timer.h"
#include "sandbox_checkpoint.h"
#include "sandbox_tenant.h"
#include "sandbox_time.h"

/* A take fails at 32 layers; a start gets slower with each layer. */
#define NGX_HTTP_SANDBOX_FLATTEN_LAYERS 8

#define NGX_HTTP_SANDBOX_FLATTEN_MS 60000

/* The same with the wait for a thread. */
#define NGX_HTTP_SANDBOX_FLATTEN_LINGER_MS 120000


static struct {
    ngx_thread_task_t task;
    ngx_event_t linger;
    ngx_http_sandbox_gate_place_t place;
    char tenant[SANDBOX_TENANT_SIZE];
    sandbox_hv_error_t result; /* of the thread */
    char id[SANDBOX_ID_SIZE];
    unsigned busy : 1;
} ngx_http_sandbox_flattening;


/* In a thread. */
static void
ngx_http_sandbox_flatten_work(void *data, ngx_log_t *log)
{
    (void) sandbox_checkpoint_flatten(
        ngx_http_sandbox_flattening.id, NGX_HTTP_SANDBOX_FLATTEN_LAYERS, 0,
        sandbox_time_monotonic_ms() + NGX_HTTP_SANDBOX_FLATTEN_MS,
        &ngx_http_sandbox_flattening.result);
    sandbox_hypervisor_release();
}


static void
ngx_http_sandbox_flatten_done(ngx_event_t *ev)
{
    ngx_http_sandbox_flattening.busy = 0;

    if (ngx_http_sandbox_flattening.linger.timer_set) {
        ngx_del_timer(&ngx_http_sandbox_flattening.linger);
    }

    if (ngx_http_sandbox_flattening.result.status != SANDBOX_HV_OK) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "sandbox %s: its disk is not made flatter: %s",
                      ngx_http_sandbox_flattening.id,
                      ngx_http_sandbox_flattening.result.message);
    }
}


void
ngx_http_sandbox_flatten(const char *id, const char *tenant)
{
    ngx_thread_task_t *task;

    if (ngx_http_sandbox_flattening.busy || ngx_exiting
        || ngx_http_sandbox_gate_ask(tenant) != SANDBOX_GATE_OPEN)
    {
        return;
    }

    ngx_cpystrn((u_char *) ngx_http_sandbox_flattening.id, (u_char *) id,
                sizeof(ngx_http_sandbox_flattening.id));
    ngx_cpystrn((u_char *) ngx_http_sandbox_flattening.tenant,
                (u_char *) tenant, sizeof(ngx_http_sandbox_flattening.tenant));

    task = &ngx_http_sandbox_flattening.task;
    ngx_memzero(task, sizeof(ngx_thread_task_t));
    task->handler = ngx_http_sandbox_flatten_work;
    task->event.handler = ngx_http_sandbox_flatten_done;
    task->event.log = ngx_cycle->log;

    ngx_http_sandbox_flattening.busy =
        ngx_http_sandbox_gate_post(&ngx_http_sandbox_flattening.place, task,
                                   ngx_http_sandbox_flattening.tenant)
        == NGX_OK;

    if (ngx_http_sandbox_flattening.busy) {
        ngx_http_sandbox_linger(&ngx_http_sandbox_flattening.linger,
                                NGX_HTTP_SANDBOX_FLATTEN_LINGER_MS);
    }
}
