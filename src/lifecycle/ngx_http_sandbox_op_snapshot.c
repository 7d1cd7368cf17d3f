/*
 * Takes a reusable snapshot of a sandbox that goes on.  This file has the steps
 * up to the reservation; the others are in ngx_http_sandbox_snapshot_run.c.
 *
 *   peek      is the idempotency key taken?            HMGET
 *   place     a place on the agenda                    schedule.lua
 *   reserve   key, record, index; the source is busy   snapshot_reserve.lua
 *   take      flush, freeze, checkpoint, thaw          thread
 *   commit    ready, answer stored, source free        snapshot_commit.lua
 *
 * If another snapshot of the source is being taken, or the source is changing
 * its state, the operation waits for a short time.
 *
 * The thread undoes a take that fails; snapshot_end.lua then frees the key and
 * the source.  When Redis does not answer, it is unknown whether a script ran:
 * then nothing is undone here, and the agenda settles what is left.
 */

#include "ngx_http_sandbox_snapshot_parts.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_counts.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_crash.h"
#include "sandbox_time.h"

/* Ms for which a busy source is waited for. */
#define NGX_HTTP_SANDBOX_SNAPSHOT_PATIENCE_MS 5000


static void ngx_http_sandbox_snapshot_placed(void *data, redisReply *reply);
static void ngx_http_sandbox_snapshot_reserved(void *data, redisReply *reply);


static void
ngx_http_sandbox_snapshot_free(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_snapshot_op_t *s = (ngx_http_sandbox_snapshot_op_t *) op;

    ngx_http_sandbox_count_snapshot(op, s->idem.wait_until_ms != 0);
    sandbox_snapshot_free(&s->spec);
    ngx_free(s);
}


static ngx_int_t
ngx_http_sandbox_snapshot_place(ngx_http_sandbox_snapshot_op_t *s)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    SANDBOX_CRASH_POINT("snapshot.place.before");
    s->asking = 1;

    return ngx_http_sandbox_schedule_place_in(
        &mcf->node, s->op.id, (int64_t) mcf->lease,
        ngx_http_sandbox_snapshot_placed, s);
}


/* The idempotency key is free. */
static void
ngx_http_sandbox_snapshot_go(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_snapshot_op_t *s = (ngx_http_sandbox_snapshot_op_t *) op;

    char shard[SANDBOX_SHARD_LEN];

    sandbox_id_shard(shard, s->tenant, ngx_strlen(s->tenant));

    if (op->id[0] == '\0'
        && sandbox_id_make(op->id, NGX_HTTP_SANDBOX_SNAPSHOT_PREFIX, shard)
               != 0)
    {
        op->id[0] = '\0';
        ngx_http_sandbox_op_finish_error(op, &ngx_http_sandbox_internal_error,
                                         "The kernel gives no randomness.");
        return;
    }

    if (s->wait_until_ms == 0) {
        s->wait_until_ms =
            sandbox_time_monotonic_ms() + NGX_HTTP_SANDBOX_SNAPSHOT_PATIENCE_MS;
    }

    if (ngx_http_sandbox_snapshot_place(s) != NGX_OK) {
        ngx_http_sandbox_idem_no_redis(&s->idem);
    }
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot(sandbox_snapshot_t *snapshot, const char *sandbox,
                             ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                             ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_snapshot_op_t *s;

    s = ngx_calloc(sizeof(ngx_http_sandbox_snapshot_op_t), ngx_cycle->log);
    if (s == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(&s->op, ctx, done, data);
    s->op.destroy = ngx_http_sandbox_snapshot_free;

    ngx_cpystrn((u_char *) s->tenant, ctx->tenant.data, sizeof(s->tenant));
    ngx_cpystrn((u_char *) s->source, (u_char *) sandbox, sizeof(s->source));

    s->idem.op = &s->op;
    s->idem.go = ngx_http_sandbox_snapshot_go;
    s->idem.tenant = s->tenant;
    s->idem.route = NGX_HTTP_SANDBOX_ROUTE_SNAPSHOT;

    SANDBOX_CRASH_POINT("snapshot.peek.before");

    if (ngx_http_sandbox_idem_init(&s->idem, idem_key, snapshot->fingerprint)
            != NGX_OK
        || ngx_http_sandbox_idem_peek(&s->idem) != NGX_OK)
    {
        ngx_http_sandbox_op_discard(&s->op);
        return NULL;
    }

    s->spec = *snapshot;
    ngx_memzero(snapshot, sizeof(sandbox_snapshot_t));

    return &s->op;
}


static ngx_int_t
ngx_http_sandbox_snapshot_reserve(ngx_http_sandbox_snapshot_op_t *s)
{
    ngx_http_sandbox_key_t record, index, idem, source;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_snapshot(&record, s->op.id);
    ngx_http_sandbox_key_tenant_snapshots(&index, s->tenant);
    ngx_http_sandbox_idem_name(&s->idem, &idem);
    ngx_http_sandbox_key_record(&source, s->source);

    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &index);
    ngx_http_sandbox_arg_key(&a, &idem);
    ngx_http_sandbox_arg_key(&a, &source);
    ngx_http_sandbox_arg(&a, s->idem.fingerprint);
    ngx_http_sandbox_arg(&a, s->op.id);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    ngx_http_sandbox_arg_int(&a, s->placed_until);
    ngx_http_sandbox_arg(&a, s->tenant);
    ngx_http_sandbox_arg(&a, s->source);
    ngx_http_sandbox_arg_self(&a);
    ngx_http_sandbox_arg_states(&a, NGX_HTTP_SANDBOX_TAKE);
    /* ms the source stays busy if the taker dies; the agenda settles it */
    ngx_http_sandbox_arg_int(&a,
                             (int64_t) (mcf->boot_timeout + 2 * mcf->lease));
    ngx_http_sandbox_arg(&a, NGX_HTTP_SANDBOX_SNAPSHOT_REUSABLE);
    ngx_http_sandbox_arg(&a, s->spec.metadata);
    ngx_http_sandbox_arg_int(&a, ngx_http_sandbox_idem_kept());

    SANDBOX_CRASH_POINT("snapshot.reserve.before");
    s->asking = 1;
    s->reserving_ms = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_snapshot_reserved, s,
        &ngx_http_sandbox_lua_snapshot_reserve, 4, a.n, a.values);
}


static void
ngx_http_sandbox_snapshot_placed(void *data, redisReply *reply)
{
    ngx_http_sandbox_snapshot_op_t *s = data;

    SANDBOX_CRASH_POINT("snapshot.place.after");

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_idem_no_redis(&s->idem);
        return;
    }

    s->placed_until = ngx_http_sandbox_reply_integer(reply, 0);

    if (ngx_http_sandbox_snapshot_reserve(s) != NGX_OK) {
        ngx_http_sandbox_idem_no_redis(&s->idem);
    }
}


/* Nothing was reserved: the place on the agenda is given back. */
static void
ngx_http_sandbox_snapshot_refuse(ngx_http_sandbox_snapshot_op_t *s,
                                 const ngx_http_sandbox_error_t *error,
                                 const char *message)
{
    ngx_http_sandbox_schedule_remove(s->op.id);
    ngx_http_sandbox_op_finish_error(&s->op, error, message);
}


/* An event of the source, or the timer. */
static void
ngx_http_sandbox_snapshot_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_snapshot_op_t *s = data;

    if (s->asking) {
        return;
    }

    if (s->op.done == NULL || sandbox_time_monotonic_ms() >= s->wait_until_ms) {
        ngx_http_sandbox_snapshot_refuse(
            s, &ngx_http_sandbox_transition_in_progress,
            "Something else is being done with the sandbox; try again.");
        return;
    }

    if (ngx_http_sandbox_snapshot_place(s) != NGX_OK) {
        ngx_http_sandbox_idem_no_redis(&s->idem);
    }
}


/* The source is an alias: goes on with the execution that it leads to. */
static void
ngx_http_sandbox_snapshot_follow(ngx_http_sandbox_snapshot_op_t *s,
                                 const char *next)
{
    if (ngx_http_sandbox_op_hop(&s->op, s->source, next) != NGX_OK) {
        ngx_http_sandbox_snapshot_refuse(
            s, &ngx_http_sandbox_transition_in_progress,
            "The sandbox is being resumed; try again.");
        return;
    }

    if (ngx_http_sandbox_snapshot_reserve(s) != NGX_OK) {
        ngx_http_sandbox_idem_no_redis(&s->idem);
    }
}


static void
ngx_http_sandbox_snapshot_conflict(ngx_http_sandbox_snapshot_op_t *s,
                                   const char *state)
{
    const ngx_http_sandbox_error_t *error;

    error = ngx_strcmp(state,
                       ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_CREATING))
                    == 0
                ? &ngx_http_sandbox_sandbox_not_ready
                : &ngx_http_sandbox_transition_conflict;

    ngx_cpystrn((u_char *) s->op.state, (u_char *) state, sizeof(s->op.state));
    ngx_http_sandbox_snapshot_refuse(s, error, "The sandbox is not running.");
}


static void
ngx_http_sandbox_snapshot_reserved(void *data, redisReply *reply)
{
    ngx_http_sandbox_snapshot_op_t *s = data;

    const char *outcome;

    if (reply == NULL) {
        ngx_http_sandbox_idem_no_redis(&s->idem);
        return;
    }

    s->asking = 0;
    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "new") == 0) {
        SANDBOX_CRASH_POINT("snapshot.reserve.after");
        s->op.fence = ngx_http_sandbox_reply_integer(reply, 1);
        s->created_at = ngx_http_sandbox_reply_integer(reply, 2);

        ngx_http_sandbox_await_end(&s->op.await);
        ngx_http_sandbox_op_hold_lease(&s->op, s->reserving_ms);
        ngx_http_sandbox_snapshot_run(s);

    } else if (ngx_strcmp(outcome, "busy") == 0) {
        ngx_http_sandbox_await(&s->op.await, s->source,
                               ngx_http_sandbox_snapshot_wake, s);

    } else if (ngx_strcmp(outcome, "alias") == 0) {
        ngx_http_sandbox_snapshot_follow(
            s, ngx_http_sandbox_reply_string(reply, 1));

    } else if (ngx_strcmp(outcome, "conflict") == 0) {
        ngx_http_sandbox_snapshot_conflict(
            s, ngx_http_sandbox_reply_string(reply, 1));

    } else if (ngx_strcmp(outcome, "elsewhere") == 0) {
        ngx_http_sandbox_op_elsewhere(&s->op,
                                      ngx_http_sandbox_reply_string(reply, 1));
        ngx_http_sandbox_snapshot_refuse(
            s, &ngx_http_sandbox_no_eligible_runtime_host,
            "The sandbox runs on another node, and this request did not come "
            "to that one.");

    } else if (ngx_strcmp(outcome, "late") == 0) {
        ngx_http_sandbox_snapshot_refuse(
            s, &ngx_http_sandbox_state_store_unavailable,
            "The state store answered too late; try again with the same key.");

    } else if (ngx_strcmp(outcome, "none") == 0) {
        ngx_http_sandbox_snapshot_refuse(s, &ngx_http_sandbox_sandbox_not_found,
                                         "There is no such sandbox.");

    } else {
        ngx_http_sandbox_await_end(&s->op.await);
        ngx_http_sandbox_schedule_remove(s->op.id);
        s->op.id[0] = '\0'; /* that id is never used again */
        ngx_http_sandbox_idem_taken(&s->idem, reply);
    }
}
