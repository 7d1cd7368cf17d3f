/*
 * The part of a create that asks a warm pool for a member: checkout.lua, which
 * hands a member out and writes the client's fields into its record in one
 * step; the wait for a member; and what follows when there is none.
 *
 * The guest is not touched: the new traffic token, metadata and deadline are
 * in Redis only.
 */

#include "ngx_http_sandbox_create_parts.h"

#include "ngx_http_sandbox_clock.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_pool.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_tend.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_crash.h"
#include "sandbox_pool.h"
#include "sandbox_text.h"
#include "sandbox_time.h"


/* The reason in the error for each "why" of checkout.lua; NULL: any other. */
static const struct {
    const char *why; /* of checkout.lua */
    const char *reason;
} ngx_http_sandbox_checkout_reasons[] = {
    { "disabled", "disabled" },
    { "draining", "draining" },
    { "empty", "no_ready_members" },
    { "no_eligible_hosts", "no_eligible_hosts" },
    { "artifact_not_ready", "artifact_not_ready" },
    { "hypervisor_unavailable", "hypervisor_unavailable" },
    { "guest_failed", "guest_failed" },
    { NULL, "cannot be had from a warm pool" },
};


static void ngx_http_sandbox_checkout_done(void *data, redisReply *reply);


ngx_int_t
ngx_http_sandbox_create_outcome(ngx_http_sandbox_create_op_t *c,
                                const char *source, sandbox_text_t *t)
{
    if (c->spec.pool_id == NULL) {
        return NGX_DECLINED;
    }

    sandbox_text_fmt(
        t, "{\"hit\":%s,\"id\":\"%s\",\"mode\":\"%s\",\"source\":\"%s\"}",
        c->checkout.missed ? "false" : "true", c->checkout.pool,
        c->spec.pool_required ? "require" : "prefer", source);

    return sandbox_text_failed(t) ? NGX_ERROR : NGX_OK;
}


/* The answer without its head, which checkout.lua adds. */
static ngx_int_t
ngx_http_sandbox_checkout_answer(ngx_http_sandbox_create_op_t *c, int64_t now,
                                 sandbox_text_t *t)
{
    sandbox_text_t outcome = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_record_t record;

    ngx_memzero(&record, sizeof(ngx_http_sandbox_record_t));
    record.state = NGX_HTTP_SANDBOX_RUNNING;
    record.created_at = now;
    record.started_at = now;
    record.timeout_ms = c->spec.timeout_ms;
    record.timeout_at = now + c->spec.timeout_ms;
    record.timeout_action = NGX_HTTP_SANDBOX_ACTION_DESTROY;
    record.metadata = c->spec.metadata;

    if (ngx_http_sandbox_create_outcome(c, "warm_pool", &outcome) == NGX_OK) {
        ngx_http_sandbox_object(t, &record, ~ngx_http_sandbox_object_head(),
                                c->traffic_token, outcome.data);

    } else {
        t->failed = 1;
    }

    sandbox_text_free(&outcome);

    return sandbox_text_failed(t) ? NGX_ERROR : NGX_OK;
}


/*
 * Appends the member of the body that rules a pooled sandbox out, and the shape
 * that the member must have.
 */
static void
ngx_http_sandbox_checkout_shape(ngx_http_sandbox_create_op_t *c,
                                ngx_http_sandbox_args_t *a)
{
    unsigned given;

    given = c->spec.given;

    ngx_http_sandbox_arg(a, c->spec.unpoolable ? c->spec.unpoolable : "");
    ngx_http_sandbox_arg(
        a, given & SANDBOX_CREATE_TEMPLATE ? c->spec.template->name : "");
    ngx_http_sandbox_arg_int(a,
                             given & SANDBOX_CREATE_VCPUS ? c->spec.vcpus : 0);
    ngx_http_sandbox_arg_int(
        a, given & SANDBOX_CREATE_MEMORY ? c->spec.memory_mb : 0);
    ngx_http_sandbox_arg_int(a,
                             given & SANDBOX_CREATE_DISK ? c->spec.disk_mb : 0);
}


/* Appends the fields of the record that checkout.lua writes for the client. */
static void
ngx_http_sandbox_checkout_record(ngx_http_sandbox_create_op_t *c, int64_t now,
                                 ngx_http_sandbox_args_t *a)
{
    ngx_http_sandbox_arg(a, "created_at");
    ngx_http_sandbox_arg_int(a, now);
    ngx_http_sandbox_arg(a, "started_at");
    ngx_http_sandbox_arg_int(a, now);
    ngx_http_sandbox_arg(a, "timeout_ms");
    ngx_http_sandbox_arg_int(a, c->spec.timeout_ms);
    ngx_http_sandbox_arg(a, "timeout_at");
    ngx_http_sandbox_arg_int(a, c->timeout_at);
    ngx_http_sandbox_arg(a, "metadata");
    ngx_http_sandbox_arg(a, c->spec.metadata);
    ngx_http_sandbox_arg(a, "traffic_token");
    ngx_http_sandbox_arg(a, c->traffic_token);
}


ngx_int_t
ngx_http_sandbox_create_checkout(ngx_http_sandbox_create_op_t *c)
{
    char fingerprint[SANDBOX_SHA256_HEX_SIZE];
    int64_t now;
    ngx_int_t rc;
    sandbox_text_t answer = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_key_t pool, index, idem, events;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    now = ngx_http_sandbox_clock_ms();
    c->timeout_at = now + c->spec.timeout_ms;

    if ((c->traffic_token[0] == '\0'
         && sandbox_token_make(c->traffic_token) != 0)
        || ngx_http_sandbox_checkout_answer(c, now, &answer) != NGX_OK)
    {
        sandbox_text_free(&answer);
        return NGX_ERROR;
    }

    sandbox_hex(fingerprint, c->spec.fingerprint, SANDBOX_SHA256_LEN);

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_pool(&pool, c->checkout.pool);
    ngx_http_sandbox_key_tenant(&index, c->tenant);
    ngx_http_sandbox_create_idem_key(c, &idem);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&a, &pool);
    ngx_http_sandbox_arg_key(&a, &index);
    ngx_http_sandbox_arg_key(&a, &idem);
    ngx_http_sandbox_arg(&a, fingerprint);
    ngx_http_sandbox_arg(&a, c->checkout.pool);
    ngx_http_sandbox_arg_self(&a);
    ngx_http_sandbox_arg_int(&a, now);
    ngx_http_sandbox_checkout_shape(c, &a);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->retention);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_CHECKOUT);
    ngx_http_sandbox_arg_len(&a, answer.data + 1, answer.len - 1); /* less { */
    ngx_http_sandbox_checkout_record(c, now, &a);

    SANDBOX_CRASH_POINT("checkout.claim.before");
    c->checkout.asking = 1;
    c->checkout.news = 0;
    c->committing_ms = sandbox_time_monotonic_ms();

    rc = ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_checkout_done, c,
        &ngx_http_sandbox_lua_checkout, 3, a.n, a.values);

    sandbox_text_free(&answer);

    return rc;
}


static void
ngx_http_sandbox_checkout_ask(ngx_http_sandbox_create_op_t *c)
{
    if (ngx_http_sandbox_create_checkout(c) != NGX_OK) {
        ngx_http_sandbox_create_no_redis(c);
    }
}


/* An event of the pool, or the timer. */
static void
ngx_http_sandbox_checkout_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_create_op_t *c = data;

    if (c->checkout.asking) {
        c->checkout.news = 1;
        return;
    }

    ngx_http_sandbox_checkout_ask(c);
}


static void
ngx_http_sandbox_checkout_patience(ngx_event_t *ev)
{
    ngx_http_sandbox_checkout_wake(ev->data, NULL, NULL);
}


/* 1 if c waits for a member; 0 if its time for that is over. */
static ngx_uint_t
ngx_http_sandbox_checkout_wait(ngx_http_sandbox_create_op_t *c)
{
    int64_t now;

    now = sandbox_time_monotonic_ms();

    if (c->checkout.wait_until_ms == 0) {
        c->checkout.wait_until_ms = now + c->spec.pool_wait_ms;

        if (c->spec.pool_wait_ms) {
            c->checkout.patience.handler = ngx_http_sandbox_checkout_patience;
            c->checkout.patience.data = c;
            c->checkout.patience.log = ngx_cycle->log;
            ngx_add_timer(&c->checkout.patience,
                          (ngx_msec_t) c->spec.pool_wait_ms);
        }
    }

    if (now >= c->checkout.wait_until_ms) {
        return 0;
    }

    ngx_http_sandbox_await(&c->op.await, c->checkout.pool,
                           ngx_http_sandbox_checkout_wake, c);

    if (c->checkout.news) {
        /* that event came after checkout.lua had run */
        ngx_http_sandbox_checkout_ask(c);
    }

    return 1;
}


/* The static copy of the name of a member of the body. */
static const char *
ngx_http_sandbox_checkout_member(ngx_http_sandbox_create_op_t *c,
                                 const char *name)
{
    ngx_uint_t i;
    static const char *sizes[] = { "vcpus", "memory_mb", "disk_mb" };

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (ngx_strcmp(sizes[i], name) == 0) {
            return sizes[i];
        }
    }

    return c->spec.unpoolable ? c->spec.unpoolable : "template";
}


static void
ngx_http_sandbox_checkout_refuse(ngx_http_sandbox_create_op_t *c,
                                 redisReply *reply)
{
    ngx_uint_t i;
    const char *why;

    why = ngx_http_sandbox_reply_string(reply, 6);

    if (*why == '\0'
        || ngx_strcmp(ngx_http_sandbox_reply_string(reply, 1), "empty") != 0)
    {
        why = ngx_http_sandbox_reply_string(reply, 1);
    }

    for (i = 0; ngx_http_sandbox_checkout_reasons[i].why
                && ngx_strcmp(ngx_http_sandbox_checkout_reasons[i].why, why);
         i++)
    { /* void */
    }

    c->op.reason = ngx_http_sandbox_checkout_reasons[i].reason;
    c->op.field = ngx_http_sandbox_checkout_reasons[i].why
                      ? "warm_pool.id"
                      : ngx_http_sandbox_checkout_member(c, why);

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_CHECKOUTS,
                                NGX_HTTP_SANDBOX_CHECKOUT_UNAVAILABLE, 1);
    ngx_http_sandbox_op_finish_error(
        &c->op, &ngx_http_sandbox_warm_pool_unavailable,
        "The warm pool has no sandbox for this request.");
}


/*
 * Takes from the pool what the body leaves out.  NGX_DECLINED: a size in the
 * body is too small for the pool's template; NGX_DONE: this node has no such
 * template.
 */
static ngx_int_t
ngx_http_sandbox_checkout_adopt(ngx_http_sandbox_create_op_t *c,
                                redisReply *reply)
{
    char *name;
    unsigned given;

    given = c->spec.given;

    if (c->source != NGX_HTTP_SANDBOX_FROM_TEMPLATE) {
        return NGX_OK;
    }

    if (!(given & SANDBOX_CREATE_TEMPLATE)) {
        name = strdup(ngx_http_sandbox_reply_string(reply, 2));
        if (name == NULL) {
            return NGX_ERROR;
        }

        free(c->template_name);
        c->template_name = name;
        c->spec.template =
            sandbox_pool_template(ngx_http_sandbox_worker.conf->templates, name,
                                  ngx_http_sandbox_reply_string(reply, 7));
    }

    if (c->spec.template == NULL) {
        return NGX_DONE;
    }

    if (!(given & SANDBOX_CREATE_VCPUS)) {
        c->spec.vcpus = ngx_http_sandbox_reply_integer(reply, 3);
    }

    if (!(given & SANDBOX_CREATE_MEMORY)) {
        c->spec.memory_mb = ngx_http_sandbox_reply_integer(reply, 4);
    }

    if (!(given & SANDBOX_CREATE_DISK)) {
        c->spec.disk_mb = ngx_http_sandbox_reply_integer(reply, 5);
    }

    c->op.field = c->spec.memory_mb < c->spec.template->min_memory_mb
                      ? "memory_mb"
                  : c->spec.disk_mb < c->spec.template->disk_mb ? "disk_mb"
                                                                : NULL;

    return c->op.field ? NGX_DECLINED : NGX_OK;
}


/* The pool has no member for c. */
static void
ngx_http_sandbox_checkout_miss(ngx_http_sandbox_create_op_t *c,
                               redisReply *reply)
{
    ngx_int_t rc;

    if (c->spec.pool_required) {
        ngx_http_sandbox_checkout_refuse(c, reply);
        return;
    }

    c->checkout.missed = 1;
    rc = ngx_http_sandbox_checkout_adopt(c, reply);

    if (rc == NGX_DONE) {
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_template_not_found,
            "The template of the warm pool is not on this node.");
        return;
    }

    if (rc == NGX_DECLINED) {
        c->op.reason = "is too small for the template of the warm pool";
        ngx_http_sandbox_op_finish_error(&c->op,
                                         &ngx_http_sandbox_invalid_request,
                                         "A member of the body is not valid.");
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_internal_error, "Out of memory.");
        return;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_CHECKOUTS,
                                NGX_HTTP_SANDBOX_CHECKOUT_MISS, 1);
    ngx_http_sandbox_create_next(c);
}


static void
ngx_http_sandbox_checkout_hit(ngx_http_sandbox_create_op_t *c,
                              redisReply *reply)
{
    redisReply *answer;

    SANDBOX_CRASH_POINT("checkout.agenda.before");

    ngx_cpystrn((u_char *) c->op.id,
                (u_char *) ngx_http_sandbox_reply_string(reply, 1),
                sizeof(c->op.id));
    ngx_http_sandbox_schedule_postpone_at(c->op.id, c->timeout_at);
    ngx_http_sandbox_tend(c->checkout.pool);
    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_CHECKOUTS,
                                NGX_HTTP_SANDBOX_CHECKOUT_HIT, 1);

    answer = reply->element[2];
    c->op.answer = ngx_alloc(answer->len, ngx_cycle->log);
    if (c->op.answer == NULL) {
        /* a repeated request gets the stored answer */
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_internal_error, "Out of memory.");
        return;
    }

    ngx_memcpy(c->op.answer, answer->str, answer->len);
    c->op.answer_len = answer->len;
    c->op.status = NGX_HTTP_CREATED;
    c->op.times.commit_ms = sandbox_time_monotonic_ms() - c->committing_ms;

    ngx_http_sandbox_op_log(
        &c->op, NGX_LOG_NOTICE, "taken from warm pool %s in %L ms",
        c->checkout.pool, sandbox_time_monotonic_ms() - c->op.started_ms);

    SANDBOX_CRASH_POINT("checkout.answer.before");
    ngx_http_sandbox_op_finish(&c->op);
}


/* checkout.lua found this worker's clock wrong: sets it, and asks again. */
static void
ngx_http_sandbox_checkout_adjust(ngx_http_sandbox_create_op_t *c, int64_t now)
{
    if (c->checkout.skews++ >= NGX_HTTP_SANDBOX_HOPS_MAX) {
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    ngx_http_sandbox_clock_hear(now);
    ngx_http_sandbox_checkout_ask(c);
}


static void
ngx_http_sandbox_checkout_done(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    const char *outcome;

    SANDBOX_CRASH_POINT("checkout.claim.after");
    c->checkout.asking = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        if (reply && reply->type == REDIS_REPLY_ERROR) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "warm pool %s: checkout: \"%s\"", c->checkout.pool,
                          reply->str);
        }

        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "miss") == 0 && c->op.done
        && ngx_strcmp(ngx_http_sandbox_reply_string(reply, 1), "empty") == 0)
    {
        ngx_http_sandbox_tend(c->checkout.pool);

        if (ngx_http_sandbox_checkout_wait(c)) {
            return;
        }
    }

    ngx_http_sandbox_await_end(&c->op.await);

    if (c->checkout.patience.timer_set) {
        ngx_del_timer(&c->checkout.patience);
    }

    if (ngx_strcmp(outcome, "skew") == 0) {
        ngx_http_sandbox_checkout_adjust(
            c, ngx_http_sandbox_reply_integer(reply, 1));
        return;
    }

    c->checkout.skews = 0;

    if (ngx_strcmp(outcome, "hit") == 0 && reply->elements == 3) {
        ngx_http_sandbox_checkout_hit(c, reply);

    } else if (ngx_strcmp(outcome, "miss") == 0) {
        if (c->op.done) {
            ngx_http_sandbox_checkout_miss(c, reply);
        } else {
            /* the request is gone, and nothing has begun */
            ngx_http_sandbox_op_finish(&c->op);
        }

    } else if (ngx_strcmp(outcome, "none") == 0) {
        c->checkout.pool[0] = '\0';
        ngx_http_sandbox_create_next(c);

    } else {
        ngx_http_sandbox_create_key_taken(c, reply);
    }
}
