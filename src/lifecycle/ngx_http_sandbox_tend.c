/* Tends warm pools; see the header. */

#include "ngx_http_sandbox_tend.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_pool.h"
#include "ngx_http_sandbox_pool_lease.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_timer.h"
#include "sandbox_agent.h"
#include "sandbox_crash.h"
#include "sandbox_ping.h"
#include "sandbox_pool.h"
#include "sandbox_time.h"

/* Ms after a member could not be made until the next one is tried. */
#define NGX_HTTP_SANDBOX_TEND_BACKOFF_MS 1000
#define NGX_HTTP_SANDBOX_TEND_BACKOFF_MAX_MS 60000

/* Members that are checked in one look; ms that each has to answer, at most. */
#define NGX_HTTP_SANDBOX_TEND_CHECKS 8
#define NGX_HTTP_SANDBOX_TEND_PATIENCE_MS 10000

/* The same with the wait for a thread. */
#define NGX_HTTP_SANDBOX_TEND_LINGER_MS 30000

/* Times that a lease can be prolonged before it is over. */
#define NGX_HTTP_SANDBOX_TEND_PROLONGS 3


typedef struct {
    ngx_http_sandbox_op_t op;
    ngx_queue_t queue; /* the tends under way in this worker */
    ngx_http_sandbox_shape_t shape;
    unsigned again : 1; /* to be tended once more afterwards */
} ngx_http_sandbox_tend_op_t;

/* A pool that wants a member while this worker makes as many as it may. */
typedef struct {
    ngx_queue_t queue;
    char id[SANDBOX_ID_SIZE];
} ngx_http_sandbox_hungry_t;

/* A member in the making. */
typedef struct {
    char pool[SANDBOX_ID_SIZE];
    int64_t fence;
} ngx_http_sandbox_making_t;

typedef struct {
    ngx_thread_task_t task;
    ngx_event_t linger;
    char id[SANDBOX_ID_SIZE];
    char pool[SANDBOX_ID_SIZE];
    uint32_t address;
    int64_t patience_ms;
    int answers;
} ngx_http_sandbox_check_t;


enum {
    TEND_TENANT = 0,
    TEND_TEMPLATE,
    TEND_TAG,
    TEND_VCPUS,
    TEND_MEMORY,
    TEND_DISK,
    TEND_FIELDS
};

static const char *const ngx_http_sandbox_tend_fields[TEND_FIELDS] = {
    [TEND_TENANT] = "tenant",    [TEND_TEMPLATE] = "template",
    [TEND_TAG] = "track_tag",    [TEND_VCPUS] = "vcpus",
    [TEND_MEMORY] = "memory_mb", [TEND_DISK] = "disk_mb",
};

/* The reason in a pool's status for the error of a member; NULL: any other. */
static const struct {
    const ngx_http_sandbox_error_t *error;
    const char *reason;
} ngx_http_sandbox_tend_reasons[] = {
    { &ngx_http_sandbox_capacity_exceeded, "no_eligible_hosts" },
    { &ngx_http_sandbox_no_eligible_runtime_host, "no_eligible_hosts" },
    { &ngx_http_sandbox_hypervisor_unavailable, "hypervisor_unavailable" },
    { &ngx_http_sandbox_incompatible_snapshot, "artifact_not_ready" },
    { NULL, "guest_failed" },
};


static void ngx_http_sandbox_tend_read(void *data, redisReply *reply);
static void ngx_http_sandbox_tend_told(void *data, redisReply *reply);


static ngx_queue_t ngx_http_sandbox_tending;
static ngx_queue_t ngx_http_sandbox_hungry;    /* first in, first served */
static ngx_int_t ngx_http_sandbox_tend_making; /* members, in this worker */


static void
ngx_http_sandbox_tend_free(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_tend_op_t *t = (ngx_http_sandbox_tend_op_t *) op;

    char id[SANDBOX_ID_SIZE];
    ngx_uint_t again;

    again = t->again;
    ngx_memcpy(id, op->id, sizeof(id));

    ngx_queue_remove(&t->queue);
    ngx_free(t);

    if (again) {
        ngx_http_sandbox_tend(id);
    }
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_tend(const char *id, ngx_http_sandbox_op_done_pt done,
                         void *data)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_tend_op_t *t;

    t = ngx_calloc(sizeof(ngx_http_sandbox_tend_op_t), ngx_cycle->log);
    if (t == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(&t->op, NULL, done, data);
    t->op.destroy = ngx_http_sandbox_tend_free;
    ngx_cpystrn((u_char *) t->op.id, (u_char *) id, sizeof(t->op.id));

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_pool(&key, id);
    ngx_http_sandbox_args_hmget(&a, &key, ngx_http_sandbox_tend_fields,
                                TEND_FIELDS);

    if (ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                       ngx_http_sandbox_tend_read, t, a.n,
                                       a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_op_discard(&t->op);
        return NULL;
    }

    ngx_queue_insert_tail(&ngx_http_sandbox_tending, &t->queue);

    return &t->op;
}


void
ngx_http_sandbox_tend(const char *id)
{
    ngx_queue_t *q;
    ngx_http_sandbox_tend_op_t *t;

    if (ngx_exiting || !ngx_http_sandbox_worker.ours) {
        /* its templates may be outdated, or another host has the node's name */
        ngx_http_sandbox_schedule_hasten_in(id, 0);
        return;
    }

    for (q = ngx_queue_head(&ngx_http_sandbox_tending);
         q != ngx_queue_sentinel(&ngx_http_sandbox_tending);
         q = ngx_queue_next(q))
    {
        t = ngx_queue_data(q, ngx_http_sandbox_tend_op_t, queue);

        if (ngx_strcmp(t->op.id, id) == 0) {
            t->again = 1;
            return;
        }
    }

    (void) ngx_http_sandbox_op_tend(id, NULL, NULL);
}


/* The pool's fields were read: asks pool_tend.lua what is to be done. */
static void
ngx_http_sandbox_tend_read(void *data, redisReply *reply)
{
    ngx_http_sandbox_tend_op_t *t = data;

    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_shape_t *shape;
    ngx_http_sandbox_main_conf_t *mcf;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != TEND_FIELDS || ngx_exiting)
    {
        t->again |= ngx_exiting;
        ngx_http_sandbox_op_finish(&t->op);
        return;
    }

    mcf = ngx_http_sandbox_worker.conf;
    shape = &t->shape;

    ngx_memcpy(shape->pool, t->op.id, sizeof(shape->pool));
    ngx_cpystrn((u_char *) shape->tenant,
                (u_char *) ngx_http_sandbox_reply_string(reply, TEND_TENANT),
                sizeof(shape->tenant));
    ngx_cpystrn((u_char *) shape->name,
                (u_char *) ngx_http_sandbox_reply_string(reply, TEND_TEMPLATE),
                sizeof(shape->name));
    shape->vcpus = ngx_http_sandbox_reply_integer(reply, TEND_VCPUS);
    shape->memory_mb = ngx_http_sandbox_reply_integer(reply, TEND_MEMORY);
    shape->disk_mb = ngx_http_sandbox_reply_integer(reply, TEND_DISK);
    shape->template =
        sandbox_pool_template(mcf->templates, shape->name,
                              ngx_http_sandbox_reply_string(reply, TEND_TAG));

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_pool(&key, t->op.id);
    ngx_http_sandbox_arg_key(&a, &key);
    ngx_http_sandbox_arg(&a, t->op.id);
    ngx_http_sandbox_arg_len(&a, mcf->node.data, mcf->node.len);
    ngx_http_sandbox_arg(&a, shape->template ? shape->template->version : "");
    ngx_http_sandbox_arg_int(
        &a, (int64_t) ngx_min(mcf->refill_interval,
                              mcf->lease / NGX_HTTP_SANDBOX_TEND_PROLONGS));
    ngx_http_sandbox_arg_int(&a, mcf->refill_parallel);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->refill_check);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_TEND_CHECKS);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_POOL_LEASE_DOUBT_MS);

    SANDBOX_CRASH_POINT("tend.script.before");

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_tend_told, t,
            &ngx_http_sandbox_lua_pool_tend, 1, a.n, a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_op_finish(&t->op);
    }
}


/* A member could not be made: the next one is tried later. */
static void
ngx_http_sandbox_tend_failed(const ngx_http_sandbox_making_t *making,
                             const ngx_http_sandbox_error_t *error)
{
    ngx_uint_t i;
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    for (i = 0; ngx_http_sandbox_tend_reasons[i].error
                && ngx_http_sandbox_tend_reasons[i].error != error;
         i++)
    { /* void */
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_pool(&key, making->pool);
    ngx_http_sandbox_arg_key(&a, &key);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_tend_reasons[i].reason);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_TEND_BACKOFF_MS);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_TEND_BACKOFF_MAX_MS);
    ngx_http_sandbox_arg_int(&a, making->fence);

    (void) ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_reply_ignore, NULL,
        &ngx_http_sandbox_lua_pool_failed, 1, a.n, a.values);
}


/* Queues the pool: it is tended when this worker has room for a member. */
static void
ngx_http_sandbox_tend_defer(const char *id)
{
    ngx_queue_t *q;
    ngx_http_sandbox_hungry_t *hungry;

    for (q = ngx_queue_head(&ngx_http_sandbox_hungry);
         q != ngx_queue_sentinel(&ngx_http_sandbox_hungry);
         q = ngx_queue_next(q))
    {
        hungry = ngx_queue_data(q, ngx_http_sandbox_hungry_t, queue);

        if (ngx_strcmp(hungry->id, id) == 0) {
            return;
        }
    }

    hungry = ngx_alloc(sizeof(ngx_http_sandbox_hungry_t), ngx_cycle->log);

    if (hungry) {
        ngx_memcpy(hungry->id, id, sizeof(hungry->id));
        ngx_queue_insert_tail(&ngx_http_sandbox_hungry, &hungry->queue);
    }
}


/* This worker may make one more member: tends the first pool in the queue. */
static void
ngx_http_sandbox_tend_next(void)
{
    ngx_queue_t *q;
    ngx_http_sandbox_hungry_t *hungry;

    if (ngx_queue_empty(&ngx_http_sandbox_hungry)) {
        return;
    }

    q = ngx_queue_head(&ngx_http_sandbox_hungry);
    ngx_queue_remove(q);

    hungry = ngx_queue_data(q, ngx_http_sandbox_hungry_t, queue);
    ngx_http_sandbox_tend(hungry->id);
    ngx_free(hungry);
}


static void
ngx_http_sandbox_tend_made(void *data, ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_making_t *making = data;

    ngx_http_sandbox_tend_making--;

    if (op->error && op->error->status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "warm pool %s: a member cannot be made: %s", making->pool,
                      op->message);
        ngx_http_sandbox_tend_failed(making, op->error);
    }

    ngx_http_sandbox_tend_next();

    /* after a conflict the pool wants no more members */
    if (op->error != &ngx_http_sandbox_conflict) {
        ngx_http_sandbox_tend(making->pool);
    }

    ngx_free(making);
}


static void
ngx_http_sandbox_tend_make(ngx_http_sandbox_tend_op_t *t, int64_t n)
{
    ngx_http_sandbox_making_t *making;

    while (n-- > 0 && t->shape.template && !ngx_exiting) {
        if (ngx_http_sandbox_tend_making
            >= ngx_http_sandbox_worker.conf->refill_parallel)
        {
            ngx_http_sandbox_tend_defer(t->op.id);
            return;
        }

        making = ngx_alloc(sizeof(ngx_http_sandbox_making_t), ngx_cycle->log);
        if (making == NULL) {
            return;
        }

        ngx_memcpy(making->pool, t->op.id, sizeof(making->pool));
        making->fence = t->shape.fence;
        ngx_http_sandbox_tend_making++;

        if (ngx_http_sandbox_op_member(&t->shape, ngx_http_sandbox_tend_made,
                                       making)
            != NGX_OK)
        {
            ngx_http_sandbox_tend_making--;
            ngx_free(making);
            return;
        }
    }
}


/* In a thread. */
static void
ngx_http_sandbox_tend_ping(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_check_t *check = data;

    check->answers =
        sandbox_ping(check->address, SANDBOX_AGENT_PORT,
                     sandbox_time_monotonic_ms() + check->patience_ms)
        == 0;
}


/* The reply of pool_unfit.lua for a member that did not answer. */
static void
ngx_http_sandbox_tend_unfit(void *data, redisReply *reply)
{
    ngx_http_sandbox_check_t *check = data;

    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "sandbox %s: does not answer in warm pool %s and is "
                      "destroyed",
                      check->id, check->pool);
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_MEMBERS,
                                    NGX_HTTP_SANDBOX_MEMBER_UNFIT, 1);
        ngx_http_sandbox_tend(check->pool);
    }

    ngx_free(check);
}


static void
ngx_http_sandbox_tend_pinged(ngx_event_t *ev)
{
    ngx_http_sandbox_check_t *check = ev->data;

    ngx_http_sandbox_key_t record, pool;
    ngx_http_sandbox_args_t a;

    if (check->linger.timer_set) {
        ngx_del_timer(&check->linger);
    }

    if (check->answers || ngx_exiting) {
        ngx_free(check);
        return;
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, check->id);
    ngx_http_sandbox_key_pool(&pool, check->pool);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &pool);
    ngx_http_sandbox_arg(&a, check->id);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_tend_unfit, check,
            &ngx_http_sandbox_lua_pool_unfit, 2, a.n, a.values)
        != NGX_OK)
    {
        ngx_free(check);
    }
}


static void
ngx_http_sandbox_tend_check(ngx_http_sandbox_tend_op_t *t, const char *id,
                            uint32_t address)
{
    ngx_http_sandbox_check_t *check;

    check = ngx_calloc(sizeof(ngx_http_sandbox_check_t), ngx_cycle->log);
    if (check == NULL) {
        return;
    }

    ngx_cpystrn((u_char *) check->id, (u_char *) id, sizeof(check->id));
    ngx_memcpy(check->pool, t->op.id, sizeof(check->pool));
    check->address = address;
    check->patience_ms =
        (int64_t) ngx_min(ngx_http_sandbox_worker.conf->refill_check,
                          NGX_HTTP_SANDBOX_TEND_PATIENCE_MS);

    check->task.ctx = check;
    check->task.handler = ngx_http_sandbox_tend_ping;
    check->task.event.handler = ngx_http_sandbox_tend_pinged;
    check->task.event.data = check;
    check->task.event.log = ngx_cycle->log;

    if (ngx_thread_task_post(ngx_http_sandbox_worker.conf->quick, &check->task)
        != NGX_OK)
    {
        ngx_free(check);
        return;
    }

    ngx_http_sandbox_linger(&check->linger, NGX_HTTP_SANDBOX_TEND_LINGER_MS);
}


/* This node has the pool: sets its metrics and lists the end of its lease. */
static void
ngx_http_sandbox_tend_hold(ngx_http_sandbox_tend_op_t *t, redisReply *reply)
{
    int64_t until, counts[NGX_HTTP_SANDBOX_METRIC_POOL_N];
    ngx_uint_t i;
    redisReply *sizes;

    sizes = ngx_http_sandbox_reply_array(reply, 8);

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_POOL_N; i++) {
        counts[i] = ngx_http_sandbox_reply_integer(sizes, i);
    }

    ngx_http_sandbox_metric_pool(t->op.id, counts,
                                 (int64_t) ngx_http_sandbox_worker.conf->lease);

    t->shape.fence = ngx_http_sandbox_reply_integer(reply, 5);
    until = ngx_http_sandbox_reply_integer(reply, 6);

    if (until) {
        ngx_http_sandbox_pool_lease_note(t->op.id, until);
    }

    if (ngx_http_sandbox_reply_integer(reply, 7)) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "warm pool %s: taken over with fence %L from a node that "
                      "was not heard of any more",
                      t->op.id, t->shape.fence);
    }
}


static void
ngx_http_sandbox_tend_act(ngx_http_sandbox_tend_op_t *t, redisReply *reply)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];
    ngx_str_t node;
    const char *text;
    redisReply *destroy, *check;

    destroy = ngx_http_sandbox_reply_array(reply, 3);
    check = ngx_http_sandbox_reply_array(reply, 4);

    ngx_http_sandbox_schedule_in(t->op.id,
                                 ngx_http_sandbox_reply_integer(reply, 2));

    for (i = 0; i + 1 < destroy->elements; i += 2) {
        text = ngx_http_sandbox_reply_string(destroy, i);
        node.data = (u_char *) ngx_http_sandbox_reply_string(destroy, i + 1);
        node.len = ngx_strlen(node.data);

        if (sandbox_id_parse(id, "sb", text, ngx_strlen(text)) == 0) {
            ngx_http_sandbox_schedule_hasten_on(&node, id, 0);
        }
    }

    for (i = 0; i + 1 < check->elements; i += 2) {
        text = ngx_http_sandbox_reply_string(check, i);

        if (sandbox_id_parse(id, "sb", text, ngx_strlen(text)) == 0) {
            ngx_http_sandbox_tend_check(
                t, id, (uint32_t) ngx_http_sandbox_reply_integer(check, i + 1));
        }
    }

    ngx_http_sandbox_tend_make(t, ngx_http_sandbox_reply_integer(reply, 1));
}


/* The pool is gone or another node's: off the agenda and the metrics. */
static void
ngx_http_sandbox_tend_let_go(ngx_http_sandbox_tend_op_t *t)
{
    ngx_http_sandbox_schedule_remove(t->op.id);
    ngx_http_sandbox_metric_pool(t->op.id, NULL, 0);
}


static void
ngx_http_sandbox_tend_told(void *data, redisReply *reply)
{
    ngx_http_sandbox_tend_op_t *t = data;

    int64_t until;
    ngx_str_t node;
    const char *outcome;

    SANDBOX_CRASH_POINT("tend.script.after");

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        if (reply && reply->type == REDIS_REPLY_ERROR) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "warm pool %s: tend: \"%s\"", t->op.id, reply->str);
        }

        ngx_http_sandbox_op_finish(&t->op);
        return;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "tend") == 0 && reply->elements == 9) {
        ngx_http_sandbox_tend_hold(t, reply);
        ngx_http_sandbox_tend_act(t, reply);

    } else if (ngx_strcmp(outcome, "elsewhere") == 0) {
        node.data = (u_char *) ngx_http_sandbox_reply_string(reply, 1);
        node.len = ngx_strlen(node.data);
        until = ngx_http_sandbox_reply_integer(reply, 2);

        if (until) {
            ngx_http_sandbox_pool_lease_note(t->op.id, until);
        } else {
            ngx_http_sandbox_pool_lease_again(t->op.id);
        }

        ngx_http_sandbox_schedule_on(&node, t->op.id, 0);
        ngx_http_sandbox_tend_let_go(t);

    } else {
        ngx_http_sandbox_pool_lease_forget(t->op.id);
        ngx_http_sandbox_tend_let_go(t);
    }

    ngx_http_sandbox_op_finish(&t->op);
}


void
ngx_http_sandbox_tend_init(void)
{
    ngx_queue_init(&ngx_http_sandbox_tending);
    ngx_queue_init(&ngx_http_sandbox_hungry);
    ngx_http_sandbox_pool_lease_start(ngx_http_sandbox_tend);
}
