/* Starts an operation for each id that is due; see the header. */

#include "ngx_http_sandbox_agenda.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_clock.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_tend.h"
#include "ngx_http_sandbox_timer.h"

#define NGX_HTTP_SANDBOX_AGENDA_INTERVAL_MS 500
#define NGX_HTTP_SANDBOX_AGENDA_MOST 32 /* operations of a worker at once */


static void ngx_http_sandbox_agenda_look(ngx_event_t *ev);
static void ngx_http_sandbox_agenda_ask(void);
static void ngx_http_sandbox_agenda_due(void *data, redisReply *reply);


static struct {
    ngx_event_t event;
    ngx_uint_t busy;   /* operations under way */
    ngx_uint_t wanted; /* ids asked for */
    unsigned more : 1; /* as many came as asked for: more may be due */
} ngx_http_sandbox_agenda;


ngx_int_t
ngx_http_sandbox_agenda_start(void)
{
    ngx_event_t *ev;

    ev = &ngx_http_sandbox_agenda.event;
    ngx_http_sandbox_timer_init(ev, ngx_http_sandbox_agenda_look);
    ngx_add_timer(ev, (ngx_msec_t) ngx_random()
                          % NGX_HTTP_SANDBOX_AGENDA_INTERVAL_MS);

    return NGX_OK;
}


static void
ngx_http_sandbox_agenda_look(ngx_event_t *ev)
{
    if (ngx_exiting) {
        /* the last request of an exiting worker may go on for a day */
        sandbox_hypervisor_leave();
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_SANDBOX_AGENDA_INTERVAL_MS);

    if (ngx_http_sandbox_agenda.wanted
        || ngx_http_sandbox_agenda.busy == NGX_HTTP_SANDBOX_AGENDA_MOST)
    {
        return;
    }

    ngx_http_sandbox_agenda_ask();
}


static void
ngx_http_sandbox_agenda_ask(void)
{
    ngx_http_sandbox_key_t key, host;
    ngx_http_sandbox_args_t args;

    ngx_http_sandbox_agenda.wanted =
        NGX_HTTP_SANDBOX_AGENDA_MOST - ngx_http_sandbox_agenda.busy;

    ngx_http_sandbox_args_init(&args);
    ngx_http_sandbox_key_node(&key, "agenda");
    ngx_http_sandbox_key_node(&host, "host");
    ngx_http_sandbox_arg_key(&args, &key);
    ngx_http_sandbox_arg_key(&args, &host);
    ngx_http_sandbox_arg_int(&args,
                             (int64_t) ngx_http_sandbox_worker.conf->lease);
    ngx_http_sandbox_arg_int(&args, (int64_t) ngx_http_sandbox_agenda.wanted);
    ngx_http_sandbox_arg(&args, ngx_http_sandbox_worker.host);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_agenda_due, NULL,
            &ngx_http_sandbox_lua_due, 2, args.n, args.values)
        != NGX_OK)
    {
        ngx_http_sandbox_agenda.wanted = 0;
    }
}


/* An operation has ended: there is room for the next ones that are due. */
static void
ngx_http_sandbox_agenda_done(void *data, ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_agenda.busy--;

    if (ngx_http_sandbox_agenda.more && ngx_http_sandbox_agenda.wanted == 0
        && !ngx_exiting
        && ngx_http_sandbox_agenda.busy <= NGX_HTTP_SANDBOX_AGENDA_MOST / 2)
    {
        ngx_http_sandbox_agenda_ask();
    }
}


static void
ngx_http_sandbox_agenda_due(void *data, redisReply *reply)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];
    const char *text;
    int64_t listed;
    ngx_uint_t wanted;
    redisReply *due;
    ngx_http_sandbox_op_t *op;

    wanted = ngx_http_sandbox_agenda.wanted;
    ngx_http_sandbox_agenda.wanted = 0;
    ngx_http_sandbox_agenda.more = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return; /* Redis is away or refuses, or another host is the node */
    }

    ngx_http_sandbox_clock_hear(ngx_http_sandbox_reply_integer(reply, 0));

    /* where due.lua has moved them */
    listed = ngx_http_sandbox_reply_integer(reply, 0)
             + (int64_t) ngx_http_sandbox_worker.conf->lease;

    due = ngx_http_sandbox_reply_array(reply, 1);
    ngx_http_sandbox_agenda.more = due->elements == 2 * wanted;

    for (i = 0; i + 1 < due->elements; i += 2) {
        text = ngx_http_sandbox_reply_string(due, i);
        ngx_http_sandbox_metric_observe(
            NGX_HTTP_SANDBOX_METRIC_LATENESS,
            ngx_http_sandbox_reply_integer(due, i + 1));

        if (sandbox_id_parse(id, "sb", text, ngx_strlen(text)) == 0) {
            op = ngx_http_sandbox_op_destroy(
                id, NULL, ngx_http_sandbox_agenda_done, NULL);

        } else if (sandbox_id_parse(id, "snap", text, ngx_strlen(text)) == 0) {
            op = ngx_http_sandbox_op_snapshot_settle(
                id, ngx_http_sandbox_agenda_done, NULL);

        } else if (sandbox_id_parse(id, "twp", text, ngx_strlen(text)) == 0) {
            op = ngx_http_sandbox_op_tend(id, ngx_http_sandbox_agenda_done,
                                          NULL);

        } else {
            continue;
        }

        if (op) {
            op->listed = listed;
            ngx_http_sandbox_agenda.busy++;
        }
    }
}
