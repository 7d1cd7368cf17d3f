/*
 * A create from its reservation to its end: boot, commit and answer, or undo.
 * The head comment of ngx_http_sandbox_op_create.c lists all steps.
 */

#include "ngx_http_sandbox_create_parts.h"

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_flatten.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_take_error.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_checkpoint.h"
#include "sandbox_crash.h"
#include "sandbox_text.h"
#include "sandbox_time.h"


static void
ngx_http_sandbox_create_queue(ngx_http_sandbox_create_op_t *c,
                              void (*work)(void *data, ngx_log_t *log),
                              void (*then)(ngx_event_t *ev));
static void ngx_http_sandbox_create_take(void *data, ngx_log_t *log);
static void ngx_http_sandbox_create_taken(ngx_event_t *ev);
static void ngx_http_sandbox_create_boot_error(ngx_http_sandbox_create_op_t *c);
static void ngx_http_sandbox_create_boot(void *data, ngx_log_t *log);
static void ngx_http_sandbox_create_booted(ngx_event_t *ev);
static void ngx_http_sandbox_create_committed(void *data, redisReply *reply);
static void ngx_http_sandbox_create_teardown(void *data, ngx_log_t *log);
static void ngx_http_sandbox_create_undone(ngx_event_t *ev);
static void ngx_http_sandbox_create_abandon(ngx_http_sandbox_create_op_t *c);


/*
 * Replaces an earlier error of c: the destruction of the sandbox may have
 * caused that one.
 */
void
ngx_http_sandbox_create_fenced(ngx_http_sandbox_create_op_t *c)
{
    c->op.fenced = 1;
    c->op.error = &ngx_http_sandbox_transition_in_progress;
    c->op.message =
        "The sandbox was deleted, or given up, while it was created.";
}


/* Fills the input of the pool thread: boot and take. */
static void
ngx_http_sandbox_create_plan(ngx_http_sandbox_create_op_t *c,
                             ngx_http_sandbox_main_conf_t *mcf)
{
    sandbox_boot_t *boot;

    boot = &c->boot;
    boot->id = c->op.id;
    boot->tenant = c->tenant;
    boot->operation = ngx_http_sandbox_worker.owner;
    boot->template = c->spec.template;
    boot->checkpoint = c->checkpoint[0] ? c->checkpoint : NULL;
    boot->checkpoints = (int) mcf->checkpoints;
    boot->vcpus = (int) c->spec.vcpus;
    boot->memory_mb = c->spec.memory_mb;
    boot->disk_mb = c->spec.disk_mb;
    boot->bridge = mcf->hypervisor.bridge;
    boot->address = c->address;
    boot->gateway = mcf->subnet + 1;
    boot->prefix = (unsigned) mcf->subnet_bits;
    boot->dns = (const char *const *) mcf->dns;
    boot->internet = c->spec.internet;
    boot->allow_out = c->spec.allow_out;
    boot->deny_out = c->spec.deny_out;
    boot->agent_token = c->agent_token;
    boot->envs = c->spec.envs;
    boot->cwd = c->spec.cwd;
    boot->asked_ms = sandbox_time_monotonic_ms();
    boot->holds_until_ms = &c->op.holds_until_ms;
    boot->deadline_ms = boot->asked_ms + (int64_t) mcf->boot_timeout;

    c->fork.take.id = c->checkpoint;
    c->fork.take.sandbox = c->parent.id;
    c->fork.take.keep = 1;
    c->fork.take.holds_until_ms = &c->op.holds_until_ms;
    c->fork.take.asked_ms = boot->asked_ms;
    c->fork.take.deadline_ms = boot->deadline_ms;
}


/* Another operation destroys the sandbox in the making: stops the thread. */
static void
ngx_http_sandbox_create_news(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_create_op_t *c = data;

    if (word && ngx_http_sandbox_events_is(word, "destroying")) {
        c->op.fenced = 1;
        c->op.holds_until_ms = 0;
    }
}


void
ngx_http_sandbox_create_run(ngx_http_sandbox_create_op_t *c)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    ngx_http_sandbox_create_plan(c, mcf);
    ngx_http_sandbox_await(&c->op.await, c->op.id, ngx_http_sandbox_create_news,
                           c);

    if (c->source == NGX_HTTP_SANDBOX_FROM_FORK) {
        ngx_http_sandbox_create_queue(c, ngx_http_sandbox_create_take,
                                      ngx_http_sandbox_create_taken);

    } else {
        ngx_http_sandbox_create_queue(c, ngx_http_sandbox_create_boot,
                                      ngx_http_sandbox_create_booted);
    }
}


static void
ngx_http_sandbox_create_queue(ngx_http_sandbox_create_op_t *c,
                              void (*work)(void *data, ngx_log_t *log),
                              void (*then)(ngx_event_t *ev))
{
    ngx_int_t rc;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    SANDBOX_CRASH_POINT("create.queue.before");

    rc = c->source == NGX_HTTP_SANDBOX_FOR_POOL && mcf->refill != mcf->slow
             ? ngx_http_sandbox_op_task(&c->op, mcf->refill, work, then)
             : ngx_http_sandbox_op_slow_task(&c->op, c->tenant, work, then);

    if (rc != NGX_ERROR) {
        SANDBOX_CRASH_POINT("create.queue.after");
        return;
    }

    c->op.error = &ngx_http_sandbox_capacity_exceeded;
    c->op.message = "Too many sandboxes are being created at once.";

    if (c->fork.taken) {
        ngx_http_sandbox_create_undo(c);

    } else {
        ngx_http_sandbox_create_abandon(c);
    }
}


/* In a thread. */
static void
ngx_http_sandbox_create_take(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_create_op_t *c = data;

    SANDBOX_CRASH_POINT("fork.take.before");
    sandbox_take(&c->fork.take);
    SANDBOX_CRASH_POINT("fork.take.after");
}


static void
ngx_http_sandbox_create_taken(ngx_event_t *ev)
{
    ngx_http_sandbox_create_op_t *c = ev->data;

    static const ngx_http_sandbox_take_words_t words = {
        "The host has no room for this sandbox.",
        "The fork was given up while its source was taken.",
        "The guest did not answer, or was not taken in time.",
        "The sandbox was booted by an earlier version and cannot be forked.",
        "The guest failed to prepare itself: it cannot write to its disk, or "
        "stop its commands.",
        "The sandbox could not be forked; try again."
    };

    if (c->fork.take.result.status != SANDBOX_HV_OK) {
        ngx_http_sandbox_take_error(&c->op, &c->fork.take, &words);
        ngx_http_sandbox_op_log(&c->op, NGX_LOG_ERR, "fork of %s failed: %s",
                                c->parent.id, c->fork.take.result.message);
        ngx_http_sandbox_create_undo(c);
        return;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_TAKES, c->fork.take.way,
                                1);
    c->fork.taken = 1;
    c->boot.asked_ms = sandbox_time_monotonic_ms();

    /* the checkpoint is taken: the source need not be busy any longer */
    ngx_http_sandbox_op_unbusy(c->parent.id, c->op.id);
    ngx_http_sandbox_create_queue(c, ngx_http_sandbox_create_boot,
                                  ngx_http_sandbox_create_booted);
}


/* In a thread. */
static void
ngx_http_sandbox_create_boot(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_create_op_t *c = data;

    SANDBOX_CRASH_POINT("create.boot.before");
    sandbox_boot(&c->boot);
    SANDBOX_CRASH_POINT("create.boot.after");
}


static void
ngx_http_sandbox_create_boot_error(ngx_http_sandbox_create_op_t *c)
{
    switch (c->boot.result.status) {
    case SANDBOX_HV_UNAVAILABLE:
        c->op.error = &ngx_http_sandbox_hypervisor_unavailable;
        c->op.message = "The hypervisor does not answer.";
        break;

    case SANDBOX_HV_NO_CAPACITY:
        c->op.error = &ngx_http_sandbox_capacity_exceeded;
        c->op.message = "The host has no room for this sandbox.";
        break;

    case SANDBOX_HV_NO_CHECKPOINT:
        c->op.error = &ngx_http_sandbox_incompatible_snapshot;
        c->op.message = "What the sandbox is to be made of is not there, or "
                        "cannot be started on this host.";
        break;

    case SANDBOX_HV_NETWORK:
        c->op.error = &ngx_http_sandbox_hypervisor_unavailable;
        c->op.message = "The network of the hypervisor does not take the "
                        "sandbox in; its operator must look at it.";
        break;

    case SANDBOX_HV_TIMEOUT:
        c->op.error = &ngx_http_sandbox_capacity_exceeded;
        c->op.message = "The guest did not come up in time.";
        break;

    case SANDBOX_HV_GUEST:
        c->op.error = &ngx_http_sandbox_hypervisor_unavailable;
        c->op.message = "The guest ended while it came up; try again.";
        break;

    default:
        c->op.error = &ngx_http_sandbox_hypervisor_unavailable;
        c->op.message = "The sandbox could not be started; try again.";
    }

    ngx_http_sandbox_op_log(&c->op, NGX_LOG_ERR, "create failed: %s",
                            c->boot.result.message);
}


/* Makes the answer from the record as commit.lua will write it. */
static ngx_int_t
ngx_http_sandbox_create_answer(ngx_http_sandbox_create_op_t *c,
                               int64_t started_at)
{
    ngx_int_t rc;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    sandbox_text_t outcome = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_record_t record;

    ngx_memzero(&record, sizeof(ngx_http_sandbox_record_t));
    record.id = c->op.id;
    record.tenant = c->tenant;
    record.state = NGX_HTTP_SANDBOX_RUNNING;
    record.template = c->template_name;
    record.vcpus = c->spec.vcpus;
    record.memory_mb = c->spec.memory_mb;
    record.disk_mb = c->spec.disk_mb;
    record.created_at = c->created_at;
    record.started_at = started_at;
    record.timeout_ms = c->spec.timeout_ms;
    record.timeout_at = started_at + c->spec.timeout_ms;
    record.timeout_action = ngx_http_sandbox_create_action(c);
    record.metadata = c->spec.metadata;
    record.cwd = c->spec.cwd;

    rc = ngx_http_sandbox_create_outcome(
        c, c->boot.way == SANDBOX_BOOT_CHECKPOINT ? "checkpoint" : "cold",
        &outcome);

    ngx_http_sandbox_object(&t, &record, UINT32_MAX, c->traffic_token,
                            outcome.data);
    sandbox_text_free(&outcome);

    if (rc == NGX_ERROR || sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        return NGX_ERROR;
    }

    c->op.status = NGX_HTTP_CREATED;
    c->op.answer = t.data;
    c->op.answer_len = t.len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_create_commit(ngx_http_sandbox_create_op_t *c)
{
    int64_t started_at;
    ngx_http_sandbox_key_t record, index, idem, events, snapshot;
    ngx_uint_t nkeys;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    /* by Redis' clock, by which deadlines are judged */
    started_at = c->created_at + sandbox_time_monotonic_ms() - c->reserving_ms;

    if (ngx_http_sandbox_create_answer(c, started_at) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, c->op.id);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&a, &record);

    if (c->source == NGX_HTTP_SANDBOX_FROM_PAUSED) {
        ngx_http_sandbox_key_tenant(&index, c->tenant);
        ngx_http_sandbox_key_snapshot(&snapshot, c->checkpoint);
        ngx_http_sandbox_arg_key(&a, &index);
        ngx_http_sandbox_arg_key(&a, &snapshot);
    }

    if (ngx_http_sandbox_idem_given(&c->idem)) {
        ngx_http_sandbox_create_idem_key(c, &idem);
        ngx_http_sandbox_arg_key(&a, &idem);
    }

    nkeys = a.n;
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, c->op.fence);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->retention);
    ngx_http_sandbox_arg_int(&a, (int64_t) c->op.status);
    ngx_http_sandbox_arg_len(&a, c->op.answer, c->op.answer_len);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_COMMIT);
    ngx_http_sandbox_arg_field_int(&a, "started_at", started_at);
    ngx_http_sandbox_arg_field_int(&a, "timeout_at",
                                   started_at + c->spec.timeout_ms);

    SANDBOX_CRASH_POINT("create.commit.before");
    c->committing_ms = sandbox_time_monotonic_ms();
    c->timeout_at = started_at + c->spec.timeout_ms;

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_committed, c,
        &ngx_http_sandbox_lua_commit, nkeys, a.n, a.values);
}


static void
ngx_http_sandbox_create_booted(ngx_event_t *ev)
{
    ngx_http_sandbox_create_op_t *c = ev->data;

    if (c->boot.discarded) {
        ngx_http_sandbox_op_log(&c->op, NGX_LOG_WARN,
                                "the checkpoint of its shape has failed "
                                "several times and was discarded");
    }

    if (c->boot.reason[0]) {
        ngx_http_sandbox_op_log(&c->op, NGX_LOG_WARN,
                                "the checkpoint of its shape fails, cold "
                                "boots for a while: %s",
                                c->boot.reason);
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_STARTS, c->boot.way, 1);

    if (c->boot.result.status != SANDBOX_HV_OK) {
        ngx_http_sandbox_create_boot_error(c);
        ngx_http_sandbox_create_undo(c);
        return;
    }

    if (c->op.fenced) {
        ngx_http_sandbox_create_fenced(c);
        ngx_http_sandbox_create_undo(c);
        return;
    }

    if ((c->source == NGX_HTTP_SANDBOX_FOR_POOL
             ? ngx_http_sandbox_member_commit(c)
             : ngx_http_sandbox_create_commit(c))
        != NGX_OK)
    {
        c->op.error = &ngx_http_sandbox_state_store_unavailable;
        c->op.message = "The state store does not answer.";
        ngx_http_sandbox_create_undo(c);
    }
}


static const char *ngx_http_sandbox_create_verbs[] = {
    [NGX_HTTP_SANDBOX_FROM_TEMPLATE] = "created",
    [NGX_HTTP_SANDBOX_FROM_SNAPSHOT] = "created from a snapshot",
    [NGX_HTTP_SANDBOX_FROM_FORK] = "forked",
    [NGX_HTTP_SANDBOX_FROM_PAUSED] = "resumed",
    [NGX_HTTP_SANDBOX_FOR_POOL] = "pooled",
};


void
ngx_http_sandbox_create_log(ngx_http_sandbox_create_op_t *c)
{
    ngx_http_sandbox_op_times_t *times;

    times = &c->op.times;
    times->queue_ms = c->fork.take.queue_ms + c->boot.queue_ms;
    times->take_ms = c->fork.take.flush_ms + c->fork.take.take_ms;
    times->checkpoint_ms = c->boot.checkpoint_ms;
    times->hypervisor = c->boot.times;
    times->guest_ms = c->boot.guest_ms;
    times->commit_ms = sandbox_time_monotonic_ms() - c->committing_ms;

    ngx_http_sandbox_op_log(
        &c->op, NGX_LOG_NOTICE,
        "%s in %L ms, %s: queue %L, take %L, checkpoint %L, disk %L, "
        "domain %L, guest %L, commit %L",
        ngx_http_sandbox_create_verbs[c->source],
        sandbox_time_monotonic_ms() - c->op.started_ms,
        c->boot.way != SANDBOX_BOOT_CHECKPOINT ? "cold"
        : c->boot.checkpoint                   ? c->parent.id
        : c->boot.made                         ? "from a new checkpoint"
                                               : "from a checkpoint",
        times->queue_ms, times->take_ms, times->checkpoint_ms,
        times->hypervisor.disk_ms, times->hypervisor.domain_ms, times->guest_ms,
        times->commit_ms);
}


static void
ngx_http_sandbox_create_committed(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    SANDBOX_CRASH_POINT("create.commit.after");

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        /* commit.lua may have run: the agenda finds out */
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    if (reply->integer < 0) {
        c->lost = 1;
        c->op.error = &ngx_http_sandbox_state_store_unavailable;
        c->op.message = "The state store has lost this sandbox; try again.";
        ngx_http_sandbox_create_undo(c);
        return;
    }

    if (reply->integer == 0) {
        ngx_http_sandbox_create_fenced(c);
        ngx_http_sandbox_create_undo(c);
        return;
    }

    SANDBOX_CRASH_POINT("create.agenda.before");
    ngx_http_sandbox_schedule_postpone_at(c->op.id, c->timeout_at);
    SANDBOX_CRASH_POINT("create.agenda.after");

    ngx_http_sandbox_create_log(c);

    if (c->source != NGX_HTTP_SANDBOX_FROM_TEMPLATE) {
        ngx_http_sandbox_flatten(c->op.id, c->tenant);
    }

    SANDBOX_CRASH_POINT("create.answer.before");
    ngx_http_sandbox_op_finish(&c->op);
    SANDBOX_CRASH_POINT("create.answer.after");
}


void
ngx_http_sandbox_create_undo(ngx_http_sandbox_create_op_t *c)
{
    if (ngx_http_sandbox_op_task(&c->op, ngx_http_sandbox_worker.conf->quick,
                                 ngx_http_sandbox_create_teardown,
                                 ngx_http_sandbox_create_undone)
        != NGX_OK)
    {
        c->left = 1;
        ngx_http_sandbox_create_abandon(c);
    }
}


/* In a thread. */
static void
ngx_http_sandbox_create_teardown(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_create_op_t *c = data;

    SANDBOX_CRASH_POINT("undo.teardown.before");
    (void) sandbox_hypervisor_destroy(c->op.id, &c->boot.result);

    /* a take that failed has left nothing, unless "left" is set */
    if (c->boot.result.status == SANDBOX_HV_OK
        && c->source == NGX_HTTP_SANDBOX_FROM_FORK
        && (c->fork.taken || c->fork.take.left))
    {
        if (c->fork.taken) {
            (void) sandbox_checkpoint_discard(c->checkpoint, &c->boot.result);

        } else if (ngx_http_sandbox_op_holds(&c->op, &c->boot.result)) {
            sandbox_untake(&c->fork.take, 1);
            c->boot.result = c->fork.take.result;
        }
    }

    SANDBOX_CRASH_POINT("undo.teardown.after");
}


static void
ngx_http_sandbox_create_undone(ngx_event_t *ev)
{
    ngx_http_sandbox_create_op_t *c = ev->data;

    if (c->boot.result.status != SANDBOX_HV_OK) {
        ngx_http_sandbox_op_log(&c->op, NGX_LOG_ERR, "cannot be undone yet: %s",
                                c->boot.result.message);
        c->left = 1;
    }

    ngx_http_sandbox_create_abandon(c);
}


static void
ngx_http_sandbox_create_abandoned(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    SANDBOX_CRASH_POINT("undo.abandon.after");

    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer == 0 && !c->lost) {
            /* another owner has the record: the agenda looks at once */
            ngx_http_sandbox_create_fenced(c);
            ngx_http_sandbox_schedule_in(c->op.id, 0);

        } else if (!c->left) {
            ngx_http_sandbox_op_release(c->op.id);
        }
    }

    SANDBOX_CRASH_POINT("undo.answer.before");
    ngx_http_sandbox_op_finish(&c->op);
    SANDBOX_CRASH_POINT("undo.answer.after");
}


static void
ngx_http_sandbox_create_abandon(ngx_http_sandbox_create_op_t *c)
{
    ngx_http_sandbox_key_t events;
    ngx_http_sandbox_create_keys_t keys;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_key_events(&events);
    SANDBOX_CRASH_POINT("undo.abandon.before");
    ngx_http_sandbox_create_keys(c, &keys, &a);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, c->op.fence);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg(&a, c->left ? "left" : "undone");
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_len(&a, c->op.error->code.data, c->op.error->code.len);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_ABANDON);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_abandoned, c,
            &ngx_http_sandbox_lua_abandon, 3, a.n, a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_op_finish(&c->op);
    }
}
