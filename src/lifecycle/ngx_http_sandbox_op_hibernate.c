/*
 * Hibernates a sandbox, because a client asks or its deadline has come.
 *
 *   claim     state hibernating, the snapshot's id fixed   hibernate.lua
 *   take      memory, devices and disk kept, machine gone  thread
 *   pause     state paused, the snapshot's record          paused.lua
 *   release   address free                                 release.lua
 *
 * Taking a checkpoint can be repeated.  A worker that dies in the middle leaves
 * a record that is due on the agenda when the lease has run out: the
 * hibernation is then done again, under the same snapshot's id.  If the guest
 * refuses, the sandbox goes on.
 */

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_take_error.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_checkpoint.h"
#include "sandbox_crash.h"
#include "sandbox_survey.h"
#include "sandbox_take.h"
#include "sandbox_tenant.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

/* Ms until a failed hibernation is tried again; RARELY: if it never can be. */
#define NGX_HTTP_SANDBOX_HIBERNATE_AGAIN_MS 30000
#define NGX_HTTP_SANDBOX_HIBERNATE_RARELY_MS SANDBOX_SURVEY_RETRY_MS

/*
 * Ms until Redis is asked again that was away when the machine had ended: less
 * than the time between two surveys, after which the sandbox is called lost.
 */
#define NGX_HTTP_SANDBOX_HIBERNATE_STORE_MS 200


typedef struct {
    ngx_http_sandbox_op_t op;

    char by_tenant[SANDBOX_TENANT_SIZE]; /* of the client; empty: due */
    char tenant[SANDBOX_TENANT_SIZE];    /* of the sandbox */
    char snapshot[SANDBOX_ID_SIZE];
    char checkpoint[SANDBOX_ID_SIZE]; /* its own, which it ran from */
    int64_t claiming_ms;              /* monotonic: when the claim was sent */
    int64_t wait_until_ms;            /* monotonic: when the wait ends */
    int64_t paused_at;                /* by Redis' clock */

    unsigned asking : 1; /* hibernate.lua is under way */
    unsigned gone : 1;   /* the snapshot is whole, the machine has ended */
    unsigned kept : 1;   /* its own checkpoint could not be removed */
    sandbox_take_t take;
    sandbox_hv_error_t discarded;
} ngx_http_sandbox_hibernate_op_t;


static void ngx_http_sandbox_hibernate_claimed(void *data, redisReply *reply);
static void
ngx_http_sandbox_hibernate_no_redis(ngx_http_sandbox_hibernate_op_t *h);
static void ngx_http_sandbox_hibernate_take(void *data, ngx_log_t *log);
static void ngx_http_sandbox_hibernate_taken(ngx_event_t *ev);
static void ngx_http_sandbox_hibernate_paused(void *data, redisReply *reply);


static void
ngx_http_sandbox_hibernate_free(ngx_http_sandbox_op_t *op)
{
    ngx_uint_t outcome;

    /* only a hibernation that has claimed its sandbox is counted */
    if (((ngx_http_sandbox_hibernate_op_t *) op)->op.fence) {
        outcome = op->error ? NGX_HTTP_SANDBOX_OUTCOME_FAILED
                            : NGX_HTTP_SANDBOX_OUTCOME_DONE;
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_HIBERNATES, outcome,
                                    1);
    }

    ngx_free(op);
}


static ngx_int_t
ngx_http_sandbox_hibernate_claim(void *data)
{
    ngx_http_sandbox_hibernate_op_t *h = data;

    ngx_http_sandbox_key_t record, events, snapshot;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    SANDBOX_CRASH_POINT("hibernate.claim.before");
    h->claiming_ms = sandbox_time_monotonic_ms();
    h->asking = 1;

    /* before the claim: if this worker dies, the agenda goes on */
    ngx_http_sandbox_schedule_hasten_in(h->op.id, (int64_t) mcf->lease);

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, h->op.id);
    ngx_http_sandbox_key_snapshot(&snapshot, h->snapshot);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &snapshot);
    ngx_http_sandbox_arg(&a, h->op.id);
    ngx_http_sandbox_arg(&a, h->by_tenant);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_HIBERNATE);
    ngx_http_sandbox_arg_self(&a);
    ngx_http_sandbox_arg(&a, h->snapshot);
    ngx_http_sandbox_arg_int(&a, h->gone);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_hibernate_claimed, h,
        &ngx_http_sandbox_lua_hibernate, 2, a.n, a.values);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_hibernate(const char *id, ngx_http_sandbox_ctx_t *ctx,
                              ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_hibernate_op_t *h;

    h = ngx_calloc(sizeof(ngx_http_sandbox_hibernate_op_t), ngx_cycle->log);
    if (h == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(&h->op, ctx, done, data);
    h->op.destroy = ngx_http_sandbox_hibernate_free;
    ngx_cpystrn((u_char *) h->op.id, (u_char *) id, sizeof(h->op.id));
    h->wait_until_ms =
        h->op.started_ms + (int64_t) ngx_http_sandbox_worker.conf->wake_timeout;

    if (ctx) {
        ngx_cpystrn((u_char *) h->by_tenant, ctx->tenant.data,
                    sizeof(h->by_tenant));
    }

    if (sandbox_id_make(h->snapshot, "snap_", ngx_http_sandbox_id_shard(id))
            != 0
        || ngx_http_sandbox_hibernate_claim(h) != NGX_OK)
    {
        ngx_http_sandbox_op_discard(&h->op);
        return NULL;
    }

    return &h->op;
}


/* An event of the sandbox that another operation works on, or the timer. */
static void
ngx_http_sandbox_hibernate_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_hibernate_op_t *h = data;

    if (h->asking) {
        return;
    }

    /* who has ended the machine waits for as long as another one works on it */
    if (!h->gone
        && (h->op.done == NULL
            || sandbox_time_monotonic_ms() >= h->wait_until_ms))
    {
        ngx_http_sandbox_op_finish_error(
            &h->op, &ngx_http_sandbox_transition_in_progress,
            "The sandbox is changing its state; try again.");
        return;
    }

    if (ngx_http_sandbox_hibernate_claim(h) != NGX_OK) {
        ngx_http_sandbox_hibernate_no_redis(h);
    }
}


/* Ends h with the snapshot's object, as paused.lua has written it. */
static void
ngx_http_sandbox_hibernate_answer(ngx_http_sandbox_hibernate_op_t *h,
                                  int64_t created_at, int64_t bytes)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_snapshot_t snapshot;

    ngx_memzero(&snapshot, sizeof(ngx_http_sandbox_snapshot_t));
    snapshot.id = h->snapshot;
    snapshot.sandbox_id = h->op.id;
    snapshot.size_bytes = bytes;
    snapshot.created_at = created_at;

    ngx_http_sandbox_snapshot_object(&t, &snapshot);

    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        ngx_http_sandbox_op_finish_error(
            &h->op, &ngx_http_sandbox_internal_error, "Out of memory.");
        return;
    }

    h->op.status = NGX_HTTP_OK;
    h->op.answer = t.data;
    h->op.answer_len = t.len;
    ngx_http_sandbox_op_finish(&h->op);
}


static void
ngx_http_sandbox_hibernate_start(ngx_http_sandbox_hibernate_op_t *h,
                                 redisReply *reply)
{
    ngx_int_t rc;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    h->op.fence = ngx_http_sandbox_reply_integer(reply, 1);
    ngx_cpystrn((u_char *) h->snapshot,
                (u_char *) ngx_http_sandbox_reply_string(reply, 2),
                sizeof(h->snapshot));
    ngx_cpystrn((u_char *) h->checkpoint,
                (u_char *) ngx_http_sandbox_reply_string(reply, 3),
                sizeof(h->checkpoint));
    ngx_cpystrn((u_char *) h->tenant,
                (u_char *) ngx_http_sandbox_reply_string(reply, 5),
                sizeof(h->tenant));

    ngx_http_sandbox_await_end(&h->op.await);
    ngx_http_sandbox_op_hold_lease(&h->op, h->claiming_ms);

    h->take.id = h->snapshot;
    h->take.sandbox = h->op.id;
    h->take.durable = 1;
    h->take.again = ngx_http_sandbox_reply_integer(reply, 4) != 0 || h->gone;
    h->gone = 0;
    h->take.holds_until_ms = &h->op.holds_until_ms;
    h->take.asked_ms = sandbox_time_monotonic_ms();
    h->take.deadline_ms = h->take.asked_ms + (int64_t) mcf->boot_timeout;

    SANDBOX_CRASH_POINT("hibernate.queue.before");

    rc = ngx_http_sandbox_op_slow_task(&h->op, h->tenant,
                                       ngx_http_sandbox_hibernate_take,
                                       ngx_http_sandbox_hibernate_taken);

    if (rc == NGX_ERROR) {
        /* nothing has begun, except by an earlier taker */
        h->take.left = h->take.again;
        h->op.error = &ngx_http_sandbox_capacity_exceeded;
        h->op.message = "Too many sandboxes are being started or kept at once.";
        ngx_http_sandbox_hibernate_taken(&h->op.task.event);

    } else if (rc == NGX_AGAIN && h->by_tenant[0] == '\0' && h->op.done) {
        /* the agenda goes on: one tenant's would be all it has at once */
        h->op.done(h->op.data, &h->op);
        ngx_http_sandbox_op_detach(&h->op);
    }
}


static void
ngx_http_sandbox_hibernate_refused(ngx_http_sandbox_hibernate_op_t *h,
                                   const char *state)
{
    ngx_cpystrn((u_char *) h->op.state, (u_char *) state, sizeof(h->op.state));
    ngx_http_sandbox_op_finish_error(
        &h->op,
        ngx_strcmp(state,
                   ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_CREATING))
                == 0
            ? &ngx_http_sandbox_sandbox_not_ready
            : &ngx_http_sandbox_transition_conflict,
        "Only a running sandbox can be hibernated.");
}


static void
ngx_http_sandbox_hibernate_claimed(void *data, redisReply *reply)
{
    ngx_http_sandbox_hibernate_op_t *h = data;

    const char *outcome;

    SANDBOX_CRASH_POINT("hibernate.claim.after");
    h->asking = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_hibernate_no_redis(h);
        return;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "claimed") == 0) {
        ngx_http_sandbox_hibernate_start(h, reply);

    } else if (ngx_strcmp(outcome, "wait") == 0 && (h->by_tenant[0] || h->gone))
    {
        ngx_http_sandbox_await(&h->op.await, h->op.id,
                               ngx_http_sandbox_hibernate_wake, h);

    } else if (ngx_strcmp(outcome, "wait") == 0) {
        ngx_http_sandbox_schedule_postpone_at(
            h->op.id, ngx_http_sandbox_reply_integer(reply, 1));
        ngx_http_sandbox_op_finish(&h->op);

    } else if (ngx_strcmp(outcome, "paused") == 0) {
        ngx_cpystrn((u_char *) h->snapshot,
                    (u_char *) ngx_http_sandbox_reply_string(reply, 1),
                    sizeof(h->snapshot));
        ngx_http_sandbox_hibernate_answer(
            h, ngx_http_sandbox_reply_integer(reply, 2),
            ngx_http_sandbox_reply_integer(reply, 3));

    } else if (ngx_strcmp(outcome, "alias") == 0 && h->gone) {
        /* that execution is not what the checkpoint was taken of */
        ngx_http_sandbox_op_finish_error(
            &h->op, &ngx_http_sandbox_transition_in_progress,
            "Another operation has taken the sandbox over.");

    } else if (ngx_strcmp(outcome, "alias") == 0) {
        ngx_http_sandbox_op_follow(&h->op,
                                   ngx_http_sandbox_reply_string(reply, 1),
                                   ngx_http_sandbox_hibernate_claim);

    } else if (ngx_strcmp(outcome, "conflict") == 0) {
        ngx_http_sandbox_hibernate_refused(
            h, ngx_http_sandbox_reply_string(reply, 1));

    } else if (ngx_strcmp(outcome, "elsewhere") == 0) {
        ngx_http_sandbox_op_elsewhere(&h->op,
                                      ngx_http_sandbox_reply_string(reply, 1));
        ngx_http_sandbox_op_finish_error(
            &h->op, &ngx_http_sandbox_no_eligible_runtime_host,
            "The sandbox runs on another node.");

    } else {
        if (h->gone) {
            /* the agenda discards a checkpoint that has no record */
            ngx_http_sandbox_schedule_in(
                h->snapshot, (int64_t) ngx_http_sandbox_worker.conf->lease);
        }

        ngx_http_sandbox_op_finish_error(&h->op,
                                         &ngx_http_sandbox_sandbox_not_found,
                                         "There is no such sandbox.");
    }
}


/*
 * Removes the checkpoint that the sandbox ran from; its disk may stay as a
 * layer.  paused.lua removes its id from the record: so if libvirt
 * is away, the sandbox stays hibernating and the agenda tries again.  After any
 * other failure the sandbox is paused, and the checkpoint left to the agenda.
 */
static void
ngx_http_sandbox_hibernate_discard(ngx_http_sandbox_hibernate_op_t *h,
                                   ngx_log_t *log)
{
    switch (sandbox_checkpoint_discard(h->checkpoint, &h->discarded)) {
    case SANDBOX_HV_OK:
        break;

    case SANDBOX_HV_UNAVAILABLE:
        h->gone = 0;
        h->take.left = 1;
        h->take.result = h->discarded;
        break;

    default:
        h->kept = 1;
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "sandbox %s: checkpoint %s is not removed yet: %s",
                      h->op.id, h->checkpoint, h->discarded.message);
    }
}


/* In a thread. */
static void
ngx_http_sandbox_hibernate_take(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_hibernate_op_t *h = data;

    SANDBOX_CRASH_POINT("hibernate.take.before");
    sandbox_take(&h->take);
    SANDBOX_CRASH_POINT("hibernate.take.after");

    if (h->take.result.status != SANDBOX_HV_OK) {
        return;
    }

    h->gone = 1;

    if (h->checkpoint[0]) {
        ngx_http_sandbox_hibernate_discard(h, log);
    }
}


static void
ngx_http_sandbox_hibernate_error(ngx_http_sandbox_hibernate_op_t *h)
{
    ngx_http_sandbox_take_words_t words = {
        "The host has no room for the snapshot.",
        "The hibernation was given up under way.",
        "The guest did not prepare itself in time.",
        "The sandbox was booted by an earlier version and cannot be "
        "hibernated.",
        "The guest failed to prepare itself: it cannot write to its disk, or "
        "stop its commands.",
        "The sandbox could not be hibernated; it goes on."
    };

    if (h->take.left) {
        words.failed = "The sandbox is not hibernated yet; it is tried again.";
    }

    ngx_http_sandbox_take_error(&h->op, &h->take, &words);
    ngx_http_sandbox_op_log(&h->op, NGX_LOG_ERR, "hibernate failed: %s",
                            h->take.result.message);
}


static void
ngx_http_sandbox_hibernate_taken(ngx_event_t *ev)
{
    ngx_http_sandbox_hibernate_op_t *h = ev->data;

    ngx_http_sandbox_key_t record, events, snapshot;
    ngx_http_sandbox_args_t a;

    if (!h->gone && h->op.error == NULL) {
        ngx_http_sandbox_hibernate_error(h);
    }

    if (!h->gone && h->take.left) {
        /* the guest may stand still, or have ended: the agenda tries again */
        ngx_http_sandbox_op_give_up_lease(&h->op);
        ngx_http_sandbox_op_finish(&h->op);
        return;
    }

    if (h->kept) {
        /* before paused.lua removes its id from the record */
        ngx_http_sandbox_schedule_in(
            h->checkpoint, (int64_t) ngx_http_sandbox_worker.conf->lease);
    }

    SANDBOX_CRASH_POINT("hibernate.pause.before");
    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, h->op.id);
    ngx_http_sandbox_key_snapshot(&snapshot, h->snapshot);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &snapshot);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, h->op.fence);
    ngx_http_sandbox_arg(&a, h->op.id);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_transition(&a, h->gone ? NGX_HTTP_SANDBOX_PAUSE
                                                : NGX_HTTP_SANDBOX_GO_ON);
    ngx_http_sandbox_arg(&a, h->gone ? h->snapshot : "");
    ngx_http_sandbox_arg_int(&a, h->take.bytes);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_hibernate_paused, h,
            &ngx_http_sandbox_lua_paused, 2, a.n, a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_hibernate_paused(h, NULL);
    }
}


/*
 * The sandbox goes on.  Sets when the agenda looks at it again: after a while,
 * which is longer if no checkpoint of it can ever be taken; for a client's
 * hibernation at its deadline if that is earlier.
 */
static void
ngx_http_sandbox_hibernate_later(ngx_http_sandbox_hibernate_op_t *h)
{
    int64_t ms;

    ms = h->take.result.status == SANDBOX_HV_NO_CHECKPOINT
             ? NGX_HTTP_SANDBOX_HIBERNATE_RARELY_MS
             : NGX_HTTP_SANDBOX_HIBERNATE_AGAIN_MS;

    if (h->by_tenant[0]) {
        ngx_http_sandbox_schedule_postpone_in(h->op.id, ms);

    } else {
        ngx_http_sandbox_schedule_in(h->op.id, ms);
    }
}


/* The node has room for another sandbox, of which the client may ask next. */
static void
ngx_http_sandbox_hibernate_released(void *data, redisReply *reply)
{
    ngx_http_sandbox_hibernate_op_t *h = data;

    SANDBOX_CRASH_POINT("hibernate.answer.before");
    ngx_http_sandbox_hibernate_answer(h, h->paused_at, h->take.bytes);
}


/*
 * The checkpoint is whole, but the record is not h's any more.  Either another
 * operation has taken it over, or Redis has lost the claim with its last
 * second: then the record says running, and the sandbox would be taken for
 * lost.  h claims it anew, which is right in both cases.
 */
static void
ngx_http_sandbox_hibernate_again(ngx_http_sandbox_hibernate_op_t *h)
{
    ngx_http_sandbox_op_drop_lease(&h->op);

    if (ngx_http_sandbox_hibernate_claim(h) != NGX_OK) {
        ngx_http_sandbox_hibernate_no_redis(h);
        return;
    }

    h->op.fence = 0;
}


static void
ngx_http_sandbox_hibernate_retry(ngx_event_t *ev)
{
    ngx_http_sandbox_hibernate_again(ev->data);
}


/*
 * Redis is away.  Its client is told; but if the machine has ended, h goes on:
 * Redis may have lost the claim when it is back.
 */
static void
ngx_http_sandbox_hibernate_no_redis(ngx_http_sandbox_hibernate_op_t *h)
{
    if (!h->gone || ngx_exiting) {
        ngx_http_sandbox_op_no_redis(&h->op);
        return;
    }

    ngx_http_sandbox_op_tell_no_redis(&h->op);
    ngx_http_sandbox_await_end(&h->op.await);
    ngx_http_sandbox_op_drop_lease(&h->op);
    h->op.timer.handler = ngx_http_sandbox_hibernate_retry;
    h->op.timer.data = h;
    h->op.timer.log = ngx_cycle->log;
    ngx_add_timer(&h->op.timer, NGX_HTTP_SANDBOX_HIBERNATE_STORE_MS);
}


static void
ngx_http_sandbox_hibernate_paused(void *data, redisReply *reply)
{
    ngx_http_sandbox_hibernate_op_t *h = data;

    SANDBOX_CRASH_POINT("hibernate.pause.after");

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        if (h->op.error) {
            /* the agenda finds the record when the lease has run out */
            ngx_http_sandbox_op_finish(&h->op);

        } else {
            ngx_http_sandbox_hibernate_no_redis(h);
        }

        return;
    }

    if (ngx_http_sandbox_reply_integer(reply, 0) == 0) {
        if (h->gone && h->op.hops++ < NGX_HTTP_SANDBOX_HOPS_MAX) {
            ngx_http_sandbox_hibernate_again(h);
            return;
        }

        if (h->op.error == NULL) {
            h->op.error = &ngx_http_sandbox_transition_in_progress;
            h->op.message = "Another operation has taken the sandbox over.";
        }

        ngx_http_sandbox_op_finish(&h->op);
        return;
    }

    if (!h->gone) {
        ngx_http_sandbox_hibernate_later(h);
        ngx_http_sandbox_op_finish(&h->op);
        return;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_TAKES, h->take.way, 1);
    ngx_http_sandbox_op_log(&h->op, NGX_LOG_NOTICE,
                            "hibernated in %L ms as %s: take %L, %L bytes",
                            sandbox_time_monotonic_ms() - h->op.started_ms,
                            h->snapshot, h->take.take_ms, h->take.bytes);

    h->paused_at = ngx_http_sandbox_reply_integer(reply, 1);

    /* a DELETE may need the agenda entry by now; else the next look frees it */
    if (ngx_http_sandbox_op_release_address(
            h->op.id, ngx_http_sandbox_hibernate_released, h)
        != NGX_OK)
    {
        ngx_http_sandbox_hibernate_released(h, NULL);
    }
}
