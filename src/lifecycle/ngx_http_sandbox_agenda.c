/* Looking at what is due; see the header. */

#include "ngx_http_sandbox_agenda.h"

#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_scripts.h"

#define NGX_HTTP_SANDBOX_AGENDA_INTERVAL 500 /* ms */
#define NGX_HTTP_SANDBOX_AGENDA_BATCH 16


static void ngx_http_sandbox_agenda_look(ngx_event_t *ev);
static void ngx_http_sandbox_agenda_due(void *data, redisReply *reply);


static ngx_event_t ngx_http_sandbox_agenda_event;


ngx_int_t
ngx_http_sandbox_agenda_start(ngx_cycle_t *cycle)
{
    ngx_event_t *ev;

    ev = &ngx_http_sandbox_agenda_event;
    ngx_memzero(ev, sizeof(ngx_event_t));
    ev->handler = ngx_http_sandbox_agenda_look;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev,
                  (ngx_msec_t) ngx_random() % NGX_HTTP_SANDBOX_AGENDA_INTERVAL);

    return NGX_OK;
}


static void
ngx_http_sandbox_agenda_look(ngx_event_t *ev)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t args;

    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_SANDBOX_AGENDA_INTERVAL);

    args.n = args.nnumbers = 0;
    ngx_http_sandbox_key_node(&key, "agenda");
    ngx_http_sandbox_arg_key(&args, &key);
    ngx_http_sandbox_arg_int(&args,
                             (int64_t) ngx_http_sandbox_worker.conf->lease);
    ngx_http_sandbox_arg_int(&args, NGX_HTTP_SANDBOX_AGENDA_BATCH);

    (void) ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_agenda_due, NULL,
        &ngx_http_sandbox_lua_due, 1, args.n, args.values);
}


static void
ngx_http_sandbox_agenda_due(void *data, redisReply *reply)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {
        if (reply->element[i]->type == REDIS_REPLY_STRING
            && sandbox_id_parse(id, "sb", reply->element[i]->str,
                                (size_t) reply->element[i]->len)
                   == 0)
        {
            ngx_http_sandbox_metric_observe(
                NGX_HTTP_SANDBOX_METRIC_LATENESS,
                ngx_http_sandbox_reply_integer(reply, i + 1));
            (void) ngx_http_sandbox_op_destroy(id, NULL, NULL, NULL);
        }
    }

    if (reply->elements == 2 * NGX_HTTP_SANDBOX_AGENDA_BATCH && !ngx_exiting) {
        /* more may be waiting */
        ngx_http_sandbox_agenda_event.timedout = 0;
        ngx_add_timer(&ngx_http_sandbox_agenda_event, 1);
    }
}
