/* Looks for the domains of sandboxes that were not reached; see the header. */

#include "ngx_http_sandbox_doubt.h"

#include "ngx_http_sandbox_timer.h"
#include "sandbox_hypervisor.h"

#define NGX_HTTP_SANDBOX_DOUBT_MOST 16       /* sandboxes in one look */
#define NGX_HTTP_SANDBOX_DOUBT_SOON_MS 100   /* until a look */
#define NGX_HTTP_SANDBOX_DOUBT_AGAIN_MS 1000 /* between two looks */


typedef struct {
    ngx_uint_t n;
    char ids[NGX_HTTP_SANDBOX_DOUBT_MOST][SANDBOX_ID_SIZE];
} ngx_http_sandbox_doubt_list_t;

static struct {
    ngx_event_t timer;
    ngx_thread_task_t task;
    void (*gone)(const char *id);
    ngx_http_sandbox_doubt_list_t next;
    ngx_http_sandbox_doubt_list_t asked; /* belongs to the thread while busy */
    u_char is_gone[NGX_HTTP_SANDBOX_DOUBT_MOST];
    sandbox_hv_error_t result;
    ngx_msec_t ended; /* when the last look was over */
    unsigned busy : 1;
} ngx_http_sandbox_doubts;


static void
ngx_http_sandbox_doubt_soon(void)
{
    ngx_msec_int_t wait;

    if (ngx_http_sandbox_doubts.busy || ngx_http_sandbox_doubts.timer.timer_set)
    {
        return;
    }

    wait =
        (ngx_msec_int_t) (ngx_http_sandbox_doubts.ended
                          + NGX_HTTP_SANDBOX_DOUBT_AGAIN_MS - ngx_current_msec);

    ngx_add_timer(&ngx_http_sandbox_doubts.timer,
                  (ngx_msec_t) ngx_max(wait, NGX_HTTP_SANDBOX_DOUBT_SOON_MS));
}


void
ngx_http_sandbox_doubt(const char *id)
{
    ngx_uint_t i;
    ngx_http_sandbox_doubt_list_t *list;

    list = &ngx_http_sandbox_doubts.next;

    for (i = 0; i < list->n; i++) {
        if (ngx_strcmp(list->ids[i], id) == 0) {
            return;
        }
    }

    if (list->n < NGX_HTTP_SANDBOX_DOUBT_MOST && !ngx_exiting) {
        ngx_cpystrn((u_char *) list->ids[list->n++], (u_char *) id,
                    SANDBOX_ID_SIZE);
        ngx_http_sandbox_doubt_soon();
    }
}


/* In a thread. */
static void
ngx_http_sandbox_doubt_look(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_doubts.result.status = SANDBOX_HV_OK;

    (void) sandbox_hypervisor_gone(
        (const char(*)[SANDBOX_ID_SIZE]) ngx_http_sandbox_doubts.asked.ids,
        ngx_http_sandbox_doubts.is_gone, ngx_http_sandbox_doubts.asked.n,
        &ngx_http_sandbox_doubts.result);

    sandbox_hypervisor_release();
}


static void
ngx_http_sandbox_doubt_looked(ngx_event_t *ev)
{
    ngx_uint_t i;

    ngx_http_sandbox_doubts.busy = 0;
    ngx_http_sandbox_doubts.ended = ngx_current_msec;

    /* if libvirtd is away, nothing is concluded; reconcile waits for it */
    if (ngx_http_sandbox_doubts.result.status == SANDBOX_HV_OK) {
        for (i = 0; i < ngx_http_sandbox_doubts.asked.n; i++) {
            if (ngx_http_sandbox_doubts.is_gone[i]) {
                ngx_http_sandbox_doubts.gone(
                    ngx_http_sandbox_doubts.asked.ids[i]);
            }
        }
    }

    if (ngx_http_sandbox_doubts.next.n && !ngx_exiting) {
        ngx_http_sandbox_doubt_soon();
    }
}


static void
ngx_http_sandbox_doubt_ask(ngx_event_t *ev)
{
    ngx_thread_task_t *task;

    if (ngx_exiting) {
        return;
    }

    ngx_http_sandbox_doubts.asked = ngx_http_sandbox_doubts.next;
    ngx_http_sandbox_doubts.next.n = 0;

    task = &ngx_http_sandbox_doubts.task;
    ngx_memzero(task, sizeof(ngx_thread_task_t));
    task->handler = ngx_http_sandbox_doubt_look;
    task->event.handler = ngx_http_sandbox_doubt_looked;
    task->event.log = ngx_cycle->log;

    ngx_http_sandbox_doubts.busy =
        ngx_thread_task_post(ngx_http_sandbox_worker.conf->quick, task)
        == NGX_OK;
}


void
ngx_http_sandbox_doubt_start(void (*gone)(const char *id))
{
    ngx_http_sandbox_doubts.gone = gone;
    ngx_http_sandbox_timer_init(&ngx_http_sandbox_doubts.timer,
                                ngx_http_sandbox_doubt_ask);
}
