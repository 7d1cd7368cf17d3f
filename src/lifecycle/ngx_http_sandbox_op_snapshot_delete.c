/*
 * Ends a snapshot: because a client asks, or because the snapshot is due on the
 * agenda, as an operation has left it half taken or half deleted.
 *
 *   claim    deleting, or still taking; fences others off  snapshot_claim.lua
 *   discard  its files are removed (deleting)              thread
 *   untake   files removed, the source goes on (taking)    thread
 *   end      the record is removed; or ready again, if
 *            the snapshot is whole and in use              snapshot_end.lua
 *
 * A disk that backs other disks stays as an anonymous layer of theirs, so a
 * source that goes on does not keep its snapshots in use.  A snapshot is in use
 * by its "lives": the sandboxes that were started from it, running or not.
 *
 * A step that fails leaves the snapshot on the agenda and is tried again.  A
 * client's DELETE waits for another operation, or another node, that works on
 * the snapshot.
 */

#include "ngx_http_sandbox_snapshot_parts.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_checkpoint.h"
#include "sandbox_crash.h"
#include "sandbox_tenant.h"
#include "sandbox_time.h"

/* Tries after which a source that does not thaw is not asked any more. */
#define NGX_HTTP_SANDBOX_SNAPSHOT_TRIES 6

/* Ms until a checkpoint without a record that is in use is looked at again. */
#define NGX_HTTP_SANDBOX_SNAPSHOT_USED_MS 600000


typedef struct {
    ngx_http_sandbox_op_t op;

    char tenant[SANDBOX_TENANT_SIZE]; /* "": due on the agenda */
    char source[SANDBOX_ID_SIZE];
    sandbox_take_t take; /* for the untake of one that is still taking */
    sandbox_hv_error_t result;
    int64_t claiming_ms;   /* monotonic: when the claim was sent */
    int64_t wait_until_ms; /* monotonic: when the wait ends */
    unsigned asking : 1;   /* snapshot_claim.lua is under way */
    unsigned placed : 1;   /* this operation has put it on the agenda */
    unsigned seen : 1;     /* an earlier claim has found the snapshot */
    unsigned recorded : 1; /* there is a record to end */
    unsigned taking : 1;   /* its taker has died or failed */
    unsigned held : 1;     /* taking, and its source is to be thawed */
    unsigned late : 1;     /* the lease had passed before the work began */
    unsigned whole : 1;    /* in use, and can still be started from */
} ngx_http_sandbox_unsnap_op_t;


static void ngx_http_sandbox_unsnap_claimed(void *data, redisReply *reply);
static void ngx_http_sandbox_unsnap_work(void *data, ngx_log_t *log);
static void ngx_http_sandbox_unsnap_done(ngx_event_t *ev);
static void ngx_http_sandbox_unsnap_ended(void *data, redisReply *reply);


static void
ngx_http_sandbox_unsnap_free(ngx_http_sandbox_op_t *op)
{
    ngx_free(op);
}


static ngx_int_t
ngx_http_sandbox_unsnap_claim(ngx_http_sandbox_unsnap_op_t *u)
{
    ngx_http_sandbox_key_t record, sandboxes;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    SANDBOX_CRASH_POINT("unsnap.claim.before");
    u->claiming_ms = sandbox_time_monotonic_ms();
    u->asking = 1;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_snapshot(&record, u->op.id);
    ngx_http_sandbox_key_shard(&sandboxes, ngx_http_sandbox_id_shard(u->op.id),
                               "sandbox");
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, u->op.id);
    ngx_http_sandbox_arg(&a, u->tenant);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    ngx_http_sandbox_arg_self(&a);
    ngx_http_sandbox_arg_key(&a, &sandboxes);
    ngx_http_sandbox_arg_states(&a, NGX_HTTP_SANDBOX_LIVE);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_SNAPSHOT_TRIES);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_unsnap_claimed, u,
        &ngx_http_sandbox_lua_snapshot_claim, 1, a.n, a.values);
}


static void
ngx_http_sandbox_unsnap_placed(void *data, redisReply *reply)
{
    ngx_http_sandbox_unsnap_op_t *u = data;

    if (reply) {
        u->op.listed = ngx_http_sandbox_reply_integer(reply, 0);
        u->placed = ngx_http_sandbox_reply_integer(reply, 1) == 1;
    }
}


static ngx_http_sandbox_op_t *
ngx_http_sandbox_unsnap(const char *id, ngx_http_sandbox_ctx_t *ctx,
                        ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_unsnap_op_t *u;
    ngx_http_sandbox_main_conf_t *mcf;

    u = ngx_calloc(sizeof(ngx_http_sandbox_unsnap_op_t), ngx_cycle->log);
    if (u == NULL) {
        return NULL;
    }

    mcf = ngx_http_sandbox_worker.conf;

    ngx_http_sandbox_op_init(&u->op, ctx, done, data);
    u->op.destroy = ngx_http_sandbox_unsnap_free;
    ngx_cpystrn((u_char *) u->op.id, (u_char *) id, sizeof(u->op.id));
    u->wait_until_ms = u->op.started_ms + (int64_t) mcf->boot_timeout;

    if (ctx) {
        ngx_cpystrn((u_char *) u->tenant, ctx->tenant.data, sizeof(u->tenant));

        /* before the claim: if this worker dies, the agenda goes on */
        (void) ngx_http_sandbox_schedule_place_in(
            &mcf->node, id, (int64_t) mcf->lease,
            ngx_http_sandbox_unsnap_placed, u);
    }

    if (ngx_http_sandbox_unsnap_claim(u) != NGX_OK) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, u);
        ngx_http_sandbox_op_discard(&u->op);
        return NULL;
    }

    return &u->op;
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot_delete(const char *id, ngx_http_sandbox_ctx_t *ctx,
                                    ngx_http_sandbox_op_done_pt done,
                                    void *data)
{
    return ngx_http_sandbox_unsnap(id, ctx, done, data);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot_settle(const char *id,
                                    ngx_http_sandbox_op_done_pt done,
                                    void *data)
{
    return ngx_http_sandbox_unsnap(id, NULL, done, data);
}


static void
ngx_http_sandbox_unsnap_gone(ngx_http_sandbox_unsnap_op_t *u)
{
    u->op.status = NGX_HTTP_OK;
    ngx_http_sandbox_op_finish(&u->op);
}


/*
 * An event of the snapshot, or the timer.  A claim may be under way if u ends
 * here: its reply is forgotten.  Not if the snapshot was kept: the claim may
 * have come after that, and then u has to go on.
 */
static void
ngx_http_sandbox_unsnap_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_unsnap_op_t *u = data;

    const ngx_http_sandbox_error_t *error;

    if (word && ngx_http_sandbox_events_is(word, "deleted")) {
        ngx_http_sandbox_unsnap_gone(u);
        return;
    }

    if (word && ngx_http_sandbox_events_is(word, "kept")) {
        if (u->asking) {
            return;
        }

        error = ngx_http_sandbox_code_find(detail->data, detail->len);
        ngx_http_sandbox_op_finish_error(
            &u->op, error ? error : &ngx_http_sandbox_internal_error,
            "The snapshot could not be deleted.");
        return;
    }

    if (u->op.done == NULL || sandbox_time_monotonic_ms() >= u->wait_until_ms) {
        ngx_http_sandbox_op_finish_error(
            &u->op, &ngx_http_sandbox_transition_in_progress,
            "The snapshot is still being deleted.");
        return;
    }

    if (!u->asking && ngx_http_sandbox_unsnap_claim(u) != NGX_OK) {
        ngx_http_sandbox_op_no_redis(&u->op);
    }
}


/*
 * Another operation works on the snapshot; or, with elsewhere set, another node
 * has to, and gets it on its agenda.
 */
static void
ngx_http_sandbox_unsnap_wait(ngx_http_sandbox_unsnap_op_t *u, redisReply *reply,
                             ngx_uint_t elsewhere)
{
    ngx_str_t node;

    u->seen = 1;

    if (elsewhere) {
        node.data = (u_char *) ngx_http_sandbox_reply_string(reply, 1);
        node.len = ngx_strlen(node.data);

        /* in this order: if another host has our name, both agendas are one */
        ngx_http_sandbox_schedule_remove(u->op.id);
        ngx_http_sandbox_schedule_on(&node, u->op.id, 0);

    } else if (u->tenant[0] == '\0') {
        ngx_http_sandbox_schedule_at(u->op.id,
                                     ngx_http_sandbox_reply_integer(reply, 1));
    }

    if (u->tenant[0] == '\0') {
        ngx_http_sandbox_unsnap_gone(u);
        return;
    }

    ngx_http_sandbox_await(&u->op.await, u->op.id, ngx_http_sandbox_unsnap_wake,
                           u);
}


static void
ngx_http_sandbox_unsnap_start(ngx_http_sandbox_unsnap_op_t *u)
{
    ngx_http_sandbox_await_end(&u->op.await);

    if (u->recorded) {
        ngx_http_sandbox_op_hold_lease(&u->op, u->claiming_ms);
    }

    if (ngx_http_sandbox_op_task(&u->op, ngx_http_sandbox_worker.conf->quick,
                                 ngx_http_sandbox_unsnap_work,
                                 ngx_http_sandbox_unsnap_done)
        != NGX_OK)
    {
        ngx_http_sandbox_op_finish_error(&u->op,
                                         &ngx_http_sandbox_capacity_exceeded,
                                         "Too much is being done at once.");
    }
}


/* snapshot_claim.lua has given the record to u. */
static void
ngx_http_sandbox_unsnap_take(ngx_http_sandbox_unsnap_op_t *u, redisReply *reply)
{
    u->recorded = 1;
    u->op.fence = ngx_http_sandbox_reply_integer(reply, 1);
    u->taking =
        ngx_strcmp(ngx_http_sandbox_reply_string(reply, 2), "taking") == 0;
    ngx_cpystrn((u_char *) u->source,
                (u_char *) ngx_http_sandbox_reply_string(reply, 3),
                sizeof(u->source));
    u->held = ngx_http_sandbox_reply_integer(reply, 4) != 0;

    ngx_http_sandbox_unsnap_start(u);
}


/* There is no record, or none that the tenant may delete. */
static void
ngx_http_sandbox_unsnap_none(ngx_http_sandbox_unsnap_op_t *u)
{
    if (u->tenant[0] == '\0') {
        /* files that are left on the node have no owner and are removed */
        ngx_http_sandbox_unsnap_start(u);
        return;
    }

    if (u->seen) {
        ngx_http_sandbox_unsnap_gone(u);
        return;
    }

    if (u->placed) {
        /* else requests with invented ids would fill the agenda */
        ngx_http_sandbox_schedule_remove(u->op.id);
    }

    ngx_http_sandbox_op_finish_error(&u->op,
                                     &ngx_http_sandbox_snapshot_not_found,
                                     "There is no such snapshot.");
}


static void
ngx_http_sandbox_unsnap_claimed(void *data, redisReply *reply)
{
    ngx_http_sandbox_unsnap_op_t *u = data;

    const char *outcome;

    SANDBOX_CRASH_POINT("unsnap.claim.after");
    u->asking = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_op_no_redis(&u->op);
        return;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "claimed") == 0) {
        ngx_http_sandbox_unsnap_take(u, reply);

    } else if (ngx_strcmp(outcome, "wait") == 0) {
        ngx_http_sandbox_unsnap_wait(u, reply, 0);

    } else if (ngx_strcmp(outcome, "elsewhere") == 0) {
        ngx_http_sandbox_unsnap_wait(u, reply, 1);

    } else if (ngx_strcmp(outcome, "in_use") == 0) {
        ngx_http_sandbox_schedule_remove_idle(u->op.id, u->op.listed);
        ngx_http_sandbox_op_finish_error(&u->op,
                                         &ngx_http_sandbox_snapshot_in_use,
                                         "Sandboxes live on this snapshot.");

    } else if (ngx_strcmp(outcome, "ready") == 0
               || ngx_strcmp(outcome, "deleted") == 0)
    {
        ngx_http_sandbox_schedule_remove_idle(u->op.id, u->op.listed);
        ngx_http_sandbox_unsnap_gone(u);

    } else {
        ngx_http_sandbox_unsnap_none(u);
    }
}


/*
 * Discards the snapshot.  If it is in use and can still be started from, it
 * becomes ready again (whole).  If it is in use by a start that had begun
 * before, but cannot be started from any more, the agenda tries again later.
 */
static void
ngx_http_sandbox_unsnap_discard(ngx_http_sandbox_unsnap_op_t *u)
{
    int64_t bytes;
    sandbox_hv_error_t ignored;

    if (sandbox_checkpoint_discard(u->op.id, &u->result) == SANDBOX_HV_IN_USE) {
        u->whole = sandbox_checkpoint_size(u->op.id, &bytes, &ignored)
                   == SANDBOX_HV_OK;
    }
}


/* In a thread. */
static void
ngx_http_sandbox_unsnap_work(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_unsnap_op_t *u = data;

    SANDBOX_CRASH_POINT("unsnap.work.before");

    if (u->recorded && !ngx_http_sandbox_op_holds(&u->op, &u->result)) {
        u->late = 1;

    } else if (u->taking) {
        u->take.id = u->op.id;
        u->take.sandbox = u->source;
        u->take.holds_until_ms = &u->op.holds_until_ms;
        sandbox_untake(&u->take, u->held);
        u->result = u->take.result;
        u->late = u->take.lost;

    } else {
        ngx_http_sandbox_unsnap_discard(u);
    }

    SANDBOX_CRASH_POINT("unsnap.work.after");
}


/* The snapshot is in use: makes it ready again and ends u with that error. */
static void
ngx_http_sandbox_unsnap_keep(ngx_http_sandbox_unsnap_op_t *u)
{
    u->op.error = &ngx_http_sandbox_snapshot_in_use;
    u->op.message = "Sandboxes live on this snapshot.";

    if (ngx_http_sandbox_snapshot_end(&u->op, "kept", u->op.error,
                                      ngx_http_sandbox_unsnap_ended)
        != NGX_OK)
    {
        ngx_http_sandbox_op_no_redis(&u->op);
    }
}


static void
ngx_http_sandbox_unsnap_untried(void *data, redisReply *reply)
{
    ngx_http_sandbox_unsnap_gone(data);
}


/*
 * What is left of its taking stays for the agenda.  The source, which nothing
 * else may touch meanwhile, is kept for so many tries; one that found no
 * hypervisor, or began too late, is none.
 */
static void
ngx_http_sandbox_unsnap_untaken(ngx_http_sandbox_unsnap_op_t *u)
{
    ngx_http_sandbox_op_log(&u->op, NGX_LOG_ERR,
                            "what is left of its taking from %s cannot be "
                            "undone yet: %s",
                            u->source, u->result.message);

    if (!u->held || (!u->late && u->result.status != SANDBOX_HV_UNAVAILABLE)
        || ngx_http_sandbox_snapshot_end(&u->op, "untried", NULL,
                                         ngx_http_sandbox_unsnap_untried)
               != NGX_OK)
    {
        ngx_http_sandbox_unsnap_gone(u);
    }
}


/* The snapshot may be removed in part: leaves the rest to the agenda. */
static void
ngx_http_sandbox_unsnap_later(ngx_http_sandbox_unsnap_op_t *u)
{
    if (u->taking) {
        ngx_http_sandbox_unsnap_untaken(u);
        return;
    }

    ngx_http_sandbox_op_log(&u->op, NGX_LOG_ERR, "cannot be deleted yet: %s",
                            u->result.message);
    ngx_http_sandbox_op_finish_error(
        &u->op, &ngx_http_sandbox_hypervisor_unavailable,
        "The snapshot is not deleted yet; it is tried again.");
}


static void
ngx_http_sandbox_unsnap_done(ngx_event_t *ev)
{
    ngx_http_sandbox_unsnap_op_t *u = ev->data;

    if (!u->recorded) {
        if (u->result.status == SANDBOX_HV_OK) {
            ngx_http_sandbox_schedule_remove(u->op.id);

        } else if (u->result.status == SANDBOX_HV_IN_USE) {
            /* a later execution owns it and ends it, or it has no owner */
            ngx_http_sandbox_schedule_in(u->op.id,
                                         NGX_HTTP_SANDBOX_SNAPSHOT_USED_MS);
        }

        ngx_http_sandbox_unsnap_gone(u);
        return;
    }

    if (u->late && !u->taking) {
        ngx_http_sandbox_op_log(&u->op, NGX_LOG_ERR, "is left alone: %s",
                                u->result.message);
        ngx_http_sandbox_op_finish_error(
            &u->op, &ngx_http_sandbox_transition_in_progress,
            "Another operation may have the snapshot by now; try again.");
        return;
    }

    if (u->whole) {
        ngx_http_sandbox_unsnap_keep(u);
        return;
    }

    if (u->result.status != SANDBOX_HV_OK) {
        ngx_http_sandbox_unsnap_later(u);
        return;
    }

    SANDBOX_CRASH_POINT("unsnap.end.before");

    if (ngx_http_sandbox_snapshot_end(
            &u->op, "gone",
            u->taking ? &ngx_http_sandbox_hypervisor_unavailable : NULL,
            ngx_http_sandbox_unsnap_ended)
        != NGX_OK)
    {
        ngx_http_sandbox_op_no_redis(&u->op);
    }
}


static void
ngx_http_sandbox_unsnap_ended(void *data, redisReply *reply)
{
    ngx_http_sandbox_unsnap_op_t *u = data;

    SANDBOX_CRASH_POINT("unsnap.end.after");

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        ngx_http_sandbox_op_no_redis(&u->op);
        return;
    }

    if (reply->integer == 1 && u->whole) {
        /* it may have been claimed anew since */
        ngx_http_sandbox_schedule_remove_idle(u->op.id, u->op.listed);

    } else if (reply->integer == 1) {
        ngx_http_sandbox_schedule_remove(u->op.id);
    }

    if (reply->integer == 1 && u->op.error == NULL) {
        ngx_http_sandbox_op_log(&u->op, NGX_LOG_NOTICE, "%s in %L ms",
                                u->taking ? "given up, its taker has ended,"
                                          : "deleted",
                                sandbox_time_monotonic_ms() - u->op.started_ms);
    }

    u->op.status = u->op.error ? 0 : NGX_HTTP_OK;
    ngx_http_sandbox_op_finish(&u->op);
}
