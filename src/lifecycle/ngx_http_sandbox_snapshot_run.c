/*
 * A snapshot from its reservation to its end: take, commit and answer, or undo.
 * The head comment of ngx_http_sandbox_op_snapshot.c lists all steps.
 */

#include "ngx_http_sandbox_snapshot_parts.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_take_error.h"
#include "sandbox_checkpoint.h"
#include "sandbox_crash.h"
#include "sandbox_time.h"

/* Ms until the agenda looks at a snapshot that could not be undone. */
#define NGX_HTTP_SANDBOX_SNAPSHOT_AGAIN_MS 1000


static void ngx_http_sandbox_snapshot_take(void *data, ngx_log_t *log);
static void ngx_http_sandbox_snapshot_taken(ngx_event_t *ev);
static void ngx_http_sandbox_snapshot_committed(void *data, redisReply *reply);
static void ngx_http_sandbox_snapshot_untake(void *data, ngx_log_t *log);
static void ngx_http_sandbox_snapshot_untaken(ngx_event_t *ev);

/* indexed by sandbox_checkpoint_way_t */
static const char *const ngx_http_sandbox_snapshot_ways[] = { "standing still",
                                                              "live", "moved" };


ngx_int_t
ngx_http_sandbox_snapshot_end(ngx_http_sandbox_op_t *op, const char *how,
                              const ngx_http_sandbox_error_t *error,
                              ngx_http_sandbox_redis_handler_pt handler)
{
    const char *shard;
    ngx_http_sandbox_key_t record, events, sandboxes, index;
    ngx_http_sandbox_args_t a;

    shard = ngx_http_sandbox_id_shard(op->id);

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_snapshot(&record, op->id);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_key_shard(&sandboxes, shard, "sandbox");
    ngx_http_sandbox_key_shard(&index, shard, "tenant");

    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, op->fence);
    ngx_http_sandbox_arg(&a, op->id);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_key(&a, &sandboxes);
    ngx_http_sandbox_arg_key(&a, &index);
    ngx_http_sandbox_arg(&a, how);

    if (error) {
        ngx_http_sandbox_arg_len(&a, error->code.data, error->code.len);
    } else {
        ngx_http_sandbox_arg(&a, "");
    }

    ngx_http_sandbox_arg_int(&a,
                             (int64_t) ngx_http_sandbox_worker.conf->retention);

    return ngx_http_sandbox_redis_eval(ngx_http_sandbox_worker.redis, handler,
                                       op, &ngx_http_sandbox_lua_snapshot_end,
                                       1, a.n, a.values);
}


static void
ngx_http_sandbox_snapshot_abandoned(void *data, redisReply *reply)
{
    ngx_http_sandbox_snapshot_op_t *s = data;

    SANDBOX_CRASH_POINT("untake.abandon.after");

    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        if (s->take.left || (reply->integer == 0 && !s->lost)) {
            /* not undone, or another owner has it: the agenda looks soon */
            ngx_http_sandbox_schedule_in(s->op.id,
                                         NGX_HTTP_SANDBOX_SNAPSHOT_AGAIN_MS);
        } else {
            ngx_http_sandbox_schedule_remove(s->op.id);
        }
    }

    SANDBOX_CRASH_POINT("untake.answer.before");
    ngx_http_sandbox_op_finish(&s->op);
    SANDBOX_CRASH_POINT("untake.answer.after");
}


static void
ngx_http_sandbox_snapshot_abandon(ngx_http_sandbox_snapshot_op_t *s)
{
    SANDBOX_CRASH_POINT("untake.abandon.before");

    if (ngx_http_sandbox_snapshot_end(&s->op, s->take.left ? "left" : "gone",
                                      s->op.error,
                                      ngx_http_sandbox_snapshot_abandoned)
        != NGX_OK)
    {
        ngx_http_sandbox_op_finish(&s->op);
    }
}


void
ngx_http_sandbox_snapshot_run(ngx_http_sandbox_snapshot_op_t *s)
{
    sandbox_take_t *take;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    take = &s->take;
    take->id = s->op.id;
    take->sandbox = s->source;
    take->keep = 1;
    take->durable = 1;
    take->asked_ms = sandbox_time_monotonic_ms();
    take->deadline_ms = take->asked_ms + (int64_t) mcf->boot_timeout;
    take->holds_until_ms = &s->op.holds_until_ms;

    SANDBOX_CRASH_POINT("snapshot.queue.before");

    if (ngx_http_sandbox_op_slow_task(&s->op, s->tenant,
                                      ngx_http_sandbox_snapshot_take,
                                      ngx_http_sandbox_snapshot_taken)
        == NGX_ERROR)
    {
        s->op.error = &ngx_http_sandbox_capacity_exceeded;
        s->op.message = "Too much is being done at once.";
        ngx_http_sandbox_snapshot_abandon(s);
    }

    SANDBOX_CRASH_POINT("snapshot.queue.after");
}


/* In a thread. */
static void
ngx_http_sandbox_snapshot_take(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_snapshot_op_t *s = data;

    SANDBOX_CRASH_POINT("snapshot.take.before");
    sandbox_take(&s->take);
    SANDBOX_CRASH_POINT("snapshot.take.after");
}


static void
ngx_http_sandbox_snapshot_error(ngx_http_sandbox_snapshot_op_t *s)
{
    static const ngx_http_sandbox_take_words_t words = {
        "The host has no room for this snapshot.",
        "The snapshot was given up while it was taken.",
        "The guest did not answer, or the snapshot was not taken in time.",
        "The sandbox was booted by an earlier version: no snapshot can be "
        "taken of it.",
        "The guest failed to prepare itself: it cannot write to its disk, or "
        "stop its commands.",
        "The snapshot could not be taken; try again."
    };

    ngx_http_sandbox_take_error(&s->op, &s->take, &words);
    ngx_http_sandbox_op_log(
        &s->op, NGX_LOG_ERR, "snapshot of %s failed%s: %s", s->source,
        s->take.left ? " and is not undone yet" : "", s->take.result.message);
}


static ngx_int_t
ngx_http_sandbox_snapshot_answer(ngx_http_sandbox_snapshot_op_t *s)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_snapshot_t snapshot;

    ngx_memzero(&snapshot, sizeof(ngx_http_sandbox_snapshot_t));
    snapshot.id = s->op.id;
    snapshot.sandbox_id = s->source;
    snapshot.size_bytes = s->take.bytes;
    snapshot.created_at = s->created_at;
    snapshot.metadata = s->spec.metadata;

    ngx_http_sandbox_snapshot_object(&t, &snapshot);

    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        return NGX_ERROR;
    }

    s->op.status = NGX_HTTP_CREATED;
    s->op.answer = t.data;
    s->op.answer_len = t.len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_snapshot_commit(ngx_http_sandbox_snapshot_op_t *s)
{
    ngx_http_sandbox_key_t record, idem, source, events;
    ngx_http_sandbox_args_t a;

    if (ngx_http_sandbox_snapshot_answer(s) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_snapshot(&record, s->op.id);
    ngx_http_sandbox_idem_name(&s->idem, &idem);
    ngx_http_sandbox_key_record(&source, s->source);
    ngx_http_sandbox_key_events(&events);

    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &idem);
    ngx_http_sandbox_arg_key(&a, &source);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, s->op.fence);
    ngx_http_sandbox_arg(&a, s->op.id);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_int(&a,
                             (int64_t) ngx_http_sandbox_worker.conf->retention);
    ngx_http_sandbox_arg_int(&a, (int64_t) s->op.status);
    ngx_http_sandbox_arg_len(&a, s->op.answer, s->op.answer_len);
    ngx_http_sandbox_arg_int(&a, s->take.bytes);
    ngx_http_sandbox_arg(&a, s->source);

    SANDBOX_CRASH_POINT("snapshot.commit.before");
    s->committing_ms = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_snapshot_committed, s,
        &ngx_http_sandbox_lua_snapshot_commit, 3, a.n, a.values);
}


/* Removes a checkpoint that was taken but cannot be committed. */
static void
ngx_http_sandbox_snapshot_undo(ngx_http_sandbox_snapshot_op_t *s,
                               const ngx_http_sandbox_error_t *error,
                               const char *message)
{
    s->op.error = error;
    s->op.message = message;

    if (ngx_http_sandbox_op_task(&s->op, ngx_http_sandbox_worker.conf->quick,
                                 ngx_http_sandbox_snapshot_untake,
                                 ngx_http_sandbox_snapshot_untaken)
        != NGX_OK)
    {
        s->take.left = 1;
        ngx_http_sandbox_snapshot_abandon(s);
    }
}


static void
ngx_http_sandbox_snapshot_taken(ngx_event_t *ev)
{
    ngx_http_sandbox_snapshot_op_t *s = ev->data;

    if (s->take.result.status != SANDBOX_HV_OK) {
        ngx_http_sandbox_snapshot_error(s);
        ngx_http_sandbox_snapshot_abandon(s);
        return;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_TAKES, s->take.way, 1);

    if (ngx_http_sandbox_snapshot_commit(s) != NGX_OK) {
        ngx_http_sandbox_snapshot_undo(
            s, &ngx_http_sandbox_state_store_unavailable,
            "The state store does not answer; try again with the same key.");
    }
}


static void
ngx_http_sandbox_snapshot_committed(void *data, redisReply *reply)
{
    ngx_http_sandbox_snapshot_op_t *s = data;

    sandbox_take_t *take;

    SANDBOX_CRASH_POINT("snapshot.commit.after");

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        /* snapshot_commit.lua may have run: the agenda finds out */
        ngx_http_sandbox_idem_no_redis(&s->idem);
        return;
    }

    if (reply->integer < 0) {
        s->lost = 1;
        ngx_http_sandbox_snapshot_undo(
            s, &ngx_http_sandbox_state_store_unavailable,
            "The state store has lost this snapshot; try again.");
        return;
    }

    if (reply->integer == 0) {
        s->op.fenced = 1;
        ngx_http_sandbox_snapshot_undo(
            s, &ngx_http_sandbox_transition_in_progress,
            "The snapshot was given up while it was taken.");
        return;
    }

    ngx_http_sandbox_schedule_remove(s->op.id);

    take = &s->take;
    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_SNAPSHOT_PAUSE,
                                    take->frozen_ms);
    ngx_http_sandbox_op_log(
        &s->op, NGX_LOG_NOTICE,
        "taken of %s in %L ms, %s: queue %L, flush %L, take %L, commands "
        "stood still %L, the machine %L, commit %L; %L bytes",
        s->source, sandbox_time_monotonic_ms() - s->op.started_ms,
        ngx_http_sandbox_snapshot_ways[take->way], take->queue_ms,
        take->flush_ms, take->take_ms, take->frozen_ms, take->pause_ms,
        sandbox_time_monotonic_ms() - s->committing_ms, take->bytes);

    SANDBOX_CRASH_POINT("snapshot.answer.before");
    ngx_http_sandbox_op_finish(&s->op);
    SANDBOX_CRASH_POINT("snapshot.answer.after");
}


/* In a thread. */
static void
ngx_http_sandbox_snapshot_untake(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_snapshot_op_t *s = data;

    /* only discarded: something else may be taken of the source by now */
    SANDBOX_CRASH_POINT("untake.discard.before");
    (void) sandbox_checkpoint_discard(s->op.id, &s->take.result);
    SANDBOX_CRASH_POINT("untake.discard.after");
}


static void
ngx_http_sandbox_snapshot_untaken(ngx_event_t *ev)
{
    ngx_http_sandbox_snapshot_op_t *s = ev->data;

    if (s->take.result.status != SANDBOX_HV_OK) {
        ngx_http_sandbox_op_log(&s->op, NGX_LOG_ERR, "cannot be undone yet: %s",
                                s->take.result.message);
        s->take.left = 1;
    }

    ngx_http_sandbox_snapshot_abandon(s);
}
