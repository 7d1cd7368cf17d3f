/* The functions that all operations share; see the header. */

#include "ngx_http_sandbox_operation.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_timer.h"
#include "sandbox_time.h"

/* Ms until a renewal is tried again that failed because Redis was away. */
#define NGX_HTTP_SANDBOX_RENEW_AGAIN_MS 100


static const char ngx_http_sandbox_op_redis_away[] =
    "The state store does not answer; try again.";


void
ngx_http_sandbox_op_init(ngx_http_sandbox_op_t *op, ngx_http_sandbox_ctx_t *ctx,
                         ngx_http_sandbox_op_done_pt done, void *data)
{
    op->done = done;
    op->data = data;
    op->started_ms = sandbox_time_monotonic_ms();
    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_OPERATIONS, 0, 1);

    ngx_cpystrn((u_char *) op->request_id,
                ctx ? ctx->request_id.data : (u_char *) "-",
                sizeof(op->request_id));
}


void
ngx_http_sandbox_op_discard(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_OPERATIONS, 0, -1);
    ngx_free(op);
}


void
ngx_http_sandbox_op_log(ngx_http_sandbox_op_t *op, ngx_uint_t level,
                        const char *fmt, ...)
{
    u_char buf[NGX_MAX_ERROR_STR], *p;
    va_list args;

    if (ngx_cycle->log->log_level < level) {
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args);
    va_end(args);

    ngx_log_error(level, ngx_cycle->log, 0, "%s %s: %*s, request_id: %s",
                  ngx_http_sandbox_id_is_snapshot(op->id) ? "snapshot"
                                                          : "sandbox",
                  op->id, (size_t) (p - buf), buf, op->request_id);
}


void
ngx_http_sandbox_op_detach(ngx_http_sandbox_op_t *op)
{
    op->done = NULL;
    op->data = NULL;
}


void
ngx_http_sandbox_op_finish(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_op_drop_lease(op);
    ngx_http_sandbox_await_end(&op->await);

    op->times.total_ms = sandbox_time_monotonic_ms() - op->started_ms;
    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_OPERATIONS, 0, -1);

    if (op->done) {
        op->done(op->data, op);
    }

    ngx_free(op->answer);
    op->destroy(op);
}


void
ngx_http_sandbox_op_finish_error(ngx_http_sandbox_op_t *op,
                                 const ngx_http_sandbox_error_t *error,
                                 const char *message)
{
    op->error = error;
    op->message = message;
    ngx_http_sandbox_op_finish(op);
}


void
ngx_http_sandbox_op_elsewhere(ngx_http_sandbox_op_t *op, const char *node)
{
    ngx_cpystrn((u_char *) op->node, (u_char *) node, sizeof(op->node));
}


ngx_int_t
ngx_http_sandbox_op_hop(ngx_http_sandbox_op_t *op, char *id, const char *next)
{
    if (*next == '\0' || op->hops++ >= NGX_HTTP_SANDBOX_HOPS_MAX) {
        return NGX_DECLINED;
    }

    ngx_cpystrn((u_char *) id, (u_char *) next, SANDBOX_ID_SIZE);

    return NGX_OK;
}


void
ngx_http_sandbox_op_follow(ngx_http_sandbox_op_t *op, const char *next,
                           ngx_int_t (*again)(void *op))
{
    if (ngx_http_sandbox_op_hop(op, op->id, next) != NGX_OK) {
        ngx_http_sandbox_op_finish_error(op,
                                         &ngx_http_sandbox_sandbox_not_found,
                                         "There is no such sandbox.");

    } else if (again(op) != NGX_OK) {
        ngx_http_sandbox_op_no_redis(op);
    }
}


void
ngx_http_sandbox_op_no_redis(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_op_finish_error(op,
                                     &ngx_http_sandbox_state_store_unavailable,
                                     ngx_http_sandbox_op_redis_away);
}


void
ngx_http_sandbox_op_tell_no_redis(ngx_http_sandbox_op_t *op)
{
    if (op->done == NULL) {
        return;
    }

    op->error = &ngx_http_sandbox_state_store_unavailable;
    op->message = ngx_http_sandbox_op_redis_away;
    op->done(op->data, op);

    ngx_http_sandbox_op_detach(op);
    op->error = NULL;
}


static void
ngx_http_sandbox_op_renewed(void *data, redisReply *reply)
{
    ngx_http_sandbox_op_t *op = data;

    int64_t sent;

    sent = op->renewing_ms;
    op->renewing_ms = 0;

    if (reply == NULL) {
        ngx_add_timer(&op->timer, NGX_HTTP_SANDBOX_RENEW_AGAIN_MS);
        return;
    }

    if (reply->type != REDIS_REPLY_INTEGER) {
        return;
    }

    if (reply->integer == 0) {
        op->fenced = 1;
        op->holds_until_ms = 0;
        return;
    }

    op->held_until_ms = op->holds_until_ms;
    op->holds_until_ms = sent + (int64_t) ngx_http_sandbox_worker.conf->lease;
}


static ngx_int_t
ngx_http_sandbox_op_lease(ngx_http_sandbox_op_t *op, ngx_msec_t lease,
                          ngx_http_sandbox_redis_handler_pt handler, void *data)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t args;

    ngx_http_sandbox_args_init(&args);
    ngx_http_sandbox_key_of(&key, op->id);
    ngx_http_sandbox_arg_key(&args, &key);
    ngx_http_sandbox_arg(&args, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&args, op->fence);
    ngx_http_sandbox_arg_int(&args, (int64_t) lease);
    ngx_http_sandbox_arg(&args, op->id);

    return ngx_http_sandbox_redis_eval(ngx_http_sandbox_worker.redis, handler,
                                       data, &ngx_http_sandbox_lua_renew, 1,
                                       args.n, args.values);
}


static void
ngx_http_sandbox_op_renew(ngx_event_t *ev)
{
    ngx_http_sandbox_op_t *op = ev->data;

    ngx_msec_t lease;

    lease = ngx_http_sandbox_worker.conf->lease;
    ngx_add_timer(ev, lease / 3);

    if (op->fenced || op->renewing_ms) {
        return;
    }

    if (ngx_http_sandbox_op_lease(op, lease, ngx_http_sandbox_op_renewed, op)
        == NGX_OK)
    {
        op->renewing_ms = sandbox_time_monotonic_ms();
        return;
    }

    /*
     * Redis is away, and may have lost the last renewal when it is back: then
     * the lease ends earlier, and is to be renewed before others see that.
     */
    op->holds_until_ms = ngx_min(op->holds_until_ms, op->held_until_ms);
    ngx_add_timer(ev, NGX_HTTP_SANDBOX_RENEW_AGAIN_MS);
}


void
ngx_http_sandbox_op_hold_lease(ngx_http_sandbox_op_t *op, int64_t taken_ms)
{
    op->holds_until_ms =
        taken_ms + (int64_t) ngx_http_sandbox_worker.conf->lease;
    op->held_until_ms = op->holds_until_ms;
    op->renewing_ms = 0;
    op->fenced = 0;

    op->timer.handler = ngx_http_sandbox_op_renew;
    op->timer.data = op;
    op->timer.log = ngx_cycle->log;

    ngx_add_timer(&op->timer, ngx_http_sandbox_worker.conf->lease / 3);
}


void
ngx_http_sandbox_op_give_up_lease(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_op_drop_lease(op);
    op->holds_until_ms = 0;

    (void) ngx_http_sandbox_op_lease(op, 0, ngx_http_sandbox_reply_ignore,
                                     NULL);
}


ngx_uint_t
ngx_http_sandbox_op_holds(const ngx_http_sandbox_op_t *op,
                          sandbox_hv_error_t *err)
{
    if (sandbox_time_monotonic_ms() < op->holds_until_ms) {
        return 1;
    }

    err->status = SANDBOX_HV_TIMEOUT;
    (void) snprintf(err->message, sizeof(err->message), "the lease has passed");

    return 0;
}


void
ngx_http_sandbox_op_linger(ngx_http_sandbox_op_t *op, ngx_msec_t ms)
{
    ngx_http_sandbox_linger(&op->timer, ms);
}


void
ngx_http_sandbox_op_drop_lease(ngx_http_sandbox_op_t *op)
{
    if (op->timer.timer_set) {
        ngx_del_timer(&op->timer);
    }

    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, op);
    }
}


/* In a thread. */
static void
ngx_http_sandbox_op_work(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_op_t *op = data;

    op->work(op, log);
    sandbox_hypervisor_release();
}


static void
ngx_http_sandbox_op_plan(ngx_http_sandbox_op_t *op,
                         void (*work)(void *op, ngx_log_t *log),
                         void (*then)(ngx_event_t *ev))
{
    op->work = work;
    ngx_memzero(&op->task, sizeof(ngx_thread_task_t));
    op->task.ctx = op;
    op->task.handler = ngx_http_sandbox_op_work;
    op->task.event.handler = then;
    op->task.event.data = op;
    op->task.event.log = ngx_cycle->log;
}


ngx_int_t
ngx_http_sandbox_op_task(ngx_http_sandbox_op_t *op, ngx_thread_pool_t *pool,
                         void (*work)(void *op, ngx_log_t *log),
                         void (*then)(ngx_event_t *ev))
{
    ngx_http_sandbox_op_plan(op, work, then);

    if (ngx_thread_task_post(pool, &op->task) == NGX_OK) {
        return NGX_OK;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_OVERFLOWS,
                                pool == ngx_http_sandbox_worker.conf->quick
                                    ? NGX_HTTP_SANDBOX_POOL_QUICK
                                    : NGX_HTTP_SANDBOX_POOL_REFILL,
                                1);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_sandbox_op_slow_task(ngx_http_sandbox_op_t *op, const char *tenant,
                              void (*work)(void *op, ngx_log_t *log),
                              void (*then)(ngx_event_t *ev))
{
    ngx_int_t rc;

    ngx_http_sandbox_op_plan(op, work, then);
    rc = ngx_http_sandbox_gate_post(&op->place, &op->task, tenant);

    if (rc == NGX_ERROR) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_OVERFLOWS,
                                    NGX_HTTP_SANDBOX_POOL_SLOW, 1);
    }

    return rc;
}


static ngx_int_t
ngx_http_sandbox_op_give_back(const char *id, const char *what,
                              ngx_http_sandbox_redis_handler_pt handler,
                              void *data)
{
    ngx_http_sandbox_args_t args;
    ngx_http_sandbox_node_keys_t keys;

    ngx_http_sandbox_args_init(&args);
    ngx_http_sandbox_node_keys(&keys, &args);
    ngx_http_sandbox_arg(&args, id);
    ngx_http_sandbox_arg(&args, what);

    return ngx_http_sandbox_redis_eval(ngx_http_sandbox_worker.redis, handler,
                                       data, &ngx_http_sandbox_lua_release, 4,
                                       args.n, args.values);
}


void
ngx_http_sandbox_op_release(const char *id)
{
    (void) ngx_http_sandbox_op_give_back(id, "all",
                                         ngx_http_sandbox_reply_ignore, NULL);
}


ngx_int_t
ngx_http_sandbox_op_release_address(const char *id,
                                    ngx_http_sandbox_redis_handler_pt handler,
                                    void *data)
{
    return ngx_http_sandbox_op_give_back(id, "address", handler, data);
}


void
ngx_http_sandbox_op_unbusy(const char *id, const char *taker)
{
    ngx_http_sandbox_key_t record, events;
    ngx_http_sandbox_args_t args;

    ngx_http_sandbox_args_init(&args);
    ngx_http_sandbox_key_record(&record, id);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&args, &record);
    ngx_http_sandbox_arg(&args, taker);
    ngx_http_sandbox_arg(&args, id);
    ngx_http_sandbox_arg_key(&args, &events);

    (void) ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_reply_ignore, NULL,
        &ngx_http_sandbox_lua_free, 1, args.n, args.values);
}


/* In a thread. */
static void
ngx_http_sandbox_probe(void *data, ngx_log_t *log)
{
    sandbox_accel_t accel;
    sandbox_hv_error_t err;

    if (sandbox_hypervisor_accel(&accel, &err) != SANDBOX_HV_OK) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "sandbox: accelerator not known yet: %s", err.message);
    }

    sandbox_hypervisor_release();
}


static void
ngx_http_sandbox_probed(ngx_event_t *ev)
{
}


void
ngx_http_sandbox_op_probe(void)
{
    static ngx_thread_task_t task;

    if (ngx_http_sandbox_worker.conf->accel != SANDBOX_ACCEL_AUTO) {
        return;
    }

    task.handler = ngx_http_sandbox_probe;
    task.event.handler = ngx_http_sandbox_probed;
    task.event.log = ngx_cycle->log;

    (void) ngx_thread_task_post(ngx_http_sandbox_worker.conf->quick, &task);
}
