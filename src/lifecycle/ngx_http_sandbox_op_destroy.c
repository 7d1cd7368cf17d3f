/*
 * Destroys a sandbox, because a client asks or because the sandbox is due on
 * the agenda.
 *
 *   place     a paused one: on its node's agenda       schedule.lua
 *   claim     state destroying, routes told            claim.lua
 *   teardown  domain, tap and overlay gone             thread
 *   bury      a tombstone in place of the record       bury.lua
 *   release   address and place on the agenda free     release.lua
 *
 * After the claim the outcome is certain: a step that fails now leaves the
 * sandbox on the agenda and is tried again when the lease has run out.
 *
 * A client's DELETE is answered when the sandbox is gone: while another
 * operation destroys or changes it, or another node has it on its agenda, this
 * operation waits for the event.
 */

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_gate.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_checkpoint.h"
#include "sandbox_crash.h"
#include "sandbox_take.h"
#include "sandbox_tenant.h"
#include "sandbox_time.h"

/* Ms until a hibernation is due again if too many of its tenant's wait. */
#define NGX_HTTP_SANDBOX_DESTROY_FULL_MS 2000


typedef struct {
    ngx_http_sandbox_op_t op;

    char tenant[SANDBOX_TENANT_SIZE]; /* of the client; empty: due */

    /* the claim, and the wait for one */
    int64_t claiming_ms;   /* monotonic: when the claim was sent */
    int64_t wait_until_ms; /* monotonic: when the wait ends */
    unsigned asking : 1;   /* claim.lua or schedule.lua is under way */
    unsigned certain : 1;  /* the record says destroying */
    unsigned again : 1;    /* the work is done, by an earlier claim of it */

    /* what claim.lua said; without a record op.fence stays 0 */
    char snapshot[SANDBOX_ID_SIZE];   /* of its hibernation, if one began */
    char checkpoint[SANDBOX_ID_SIZE]; /* its own, which it ran from */
    char fork_of[SANDBOX_ID_SIZE];    /* the source, if its fork was not done */
    unsigned was_creating : 1;        /* its creator may still be at work */
    ngx_int_t cause; /* for the metric; -1: it was counted with its record */

    /* what the thread found */
    unsigned stands : 1; /* without a record and kept: it has a domain */
    unsigned used : 1;   /* another sandbox runs from its checkpoint */
    sandbox_hv_error_t result;
} ngx_http_sandbox_destroy_op_t;


static void ngx_http_sandbox_destroy_end(ngx_http_sandbox_destroy_op_t *d);
static void ngx_http_sandbox_destroy_claimed(void *data, redisReply *reply);
static void ngx_http_sandbox_destroy_look(void *data, ngx_log_t *log);
static void ngx_http_sandbox_destroy_teardown(void *data, ngx_log_t *log);
static void ngx_http_sandbox_destroy_gone(ngx_event_t *ev);
static void ngx_http_sandbox_destroy_buried(void *data, redisReply *reply);


static void
ngx_http_sandbox_destroy_free(ngx_http_sandbox_op_t *op)
{
    ngx_free(op);
}


static void
ngx_http_sandbox_destroy_cause(ngx_http_sandbox_destroy_op_t *d,
                               ngx_int_t cause)
{
    d->cause = d->tenant[0] ? NGX_HTTP_SANDBOX_CAUSE_API : cause;
}


/* Counts a sandbox that is gone, unless it was counted with its record. */
static void
ngx_http_sandbox_destroy_count(ngx_http_sandbox_destroy_op_t *d)
{
    if (d->cause != -1) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_DESTROYS,
                                    (ngx_uint_t) d->cause, 1);
    }
}


/* placed: 1 if a paused one is on its node's agenda now. */
static ngx_int_t
ngx_http_sandbox_destroy_claim(ngx_http_sandbox_destroy_op_t *d,
                               ngx_uint_t placed)
{
    ngx_http_sandbox_key_t record, events, index;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    SANDBOX_CRASH_POINT("destroy.claim.before");
    d->claiming_ms = sandbox_time_monotonic_ms();
    d->asking = 1;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, d->op.id);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_key_shard(&index, ngx_http_sandbox_id_shard(d->op.id),
                               "tenant");
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, d->op.id);
    ngx_http_sandbox_arg(&a, d->tenant);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_key(&a, &index);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_DESTROY);
    ngx_http_sandbox_arg_self(&a);
    ngx_http_sandbox_arg_int(&a, (int64_t) (mcf->boot_timeout + mcf->lease));
    ngx_http_sandbox_arg_int(&a, (int64_t) placed);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_destroy_claimed, d,
        &ngx_http_sandbox_lua_claim, 1, a.n, a.values);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_destroy(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_destroy_op_t *d;
    ngx_http_sandbox_main_conf_t *mcf;

    d = ngx_calloc(sizeof(ngx_http_sandbox_destroy_op_t), ngx_cycle->log);
    if (d == NULL) {
        return NULL;
    }

    mcf = ngx_http_sandbox_worker.conf;

    ngx_http_sandbox_op_init(&d->op, ctx, done, data);
    d->op.destroy = ngx_http_sandbox_destroy_free;
    d->cause = -1;
    ngx_cpystrn((u_char *) d->op.id, (u_char *) id, sizeof(d->op.id));
    d->wait_until_ms = d->op.started_ms + (int64_t) mcf->boot_timeout;

    if (ctx) {
        ngx_cpystrn((u_char *) d->tenant, ctx->tenant.data, sizeof(d->tenant));

        SANDBOX_CRASH_POINT("destroy.hasten.before");

        /* before the claim: if this worker dies, the agenda goes on */
        ngx_http_sandbox_schedule_hasten_in(id, (int64_t) mcf->lease);
        SANDBOX_CRASH_POINT("destroy.hasten.after");
    }

    if (ngx_http_sandbox_destroy_claim(d, 0) != NGX_OK) {
        ngx_http_sandbox_op_discard(&d->op);
        return NULL;
    }

    return &d->op;
}


/* Ends d with success: the sandbox is gone, or left to the agenda. */
static void
ngx_http_sandbox_destroy_end(ngx_http_sandbox_destroy_op_t *d)
{
    d->op.status = NGX_HTTP_OK;
    ngx_http_sandbox_op_finish(&d->op);
}


/* Ends a wait: with success if the destruction is certain, else with a 409. */
static void
ngx_http_sandbox_destroy_give_up(ngx_http_sandbox_destroy_op_t *d)
{
    if (d->certain) {
        ngx_http_sandbox_destroy_end(d);
        return;
    }

    ngx_http_sandbox_op_finish_error(
        &d->op, &ngx_http_sandbox_transition_in_progress,
        "The sandbox is changing its state; try again.");
}


/* An event of the sandbox that another operation works on, or the timer. */
static void
ngx_http_sandbox_destroy_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_destroy_op_t *d = data;

    if (d->asking) {
        return;
    }

    if ((d->op.done == NULL && d->certain)
        || sandbox_time_monotonic_ms() >= d->wait_until_ms
        || ngx_http_sandbox_destroy_claim(d, 0) != NGX_OK)
    {
        ngx_http_sandbox_destroy_give_up(d);
    }
}


/* The id leads to another one of the same sandbox: goes on with that. */
static void
ngx_http_sandbox_destroy_follow(ngx_http_sandbox_destroy_op_t *d,
                                const char *next)
{
    if (ngx_http_sandbox_op_hop(&d->op, d->op.id, next) != NGX_OK) {
        ngx_http_sandbox_destroy_give_up(d);
        return;
    }

    ngx_http_sandbox_schedule_hasten_in(
        d->op.id, (int64_t) ngx_http_sandbox_worker.conf->lease);

    if (ngx_http_sandbox_destroy_claim(d, 0) != NGX_OK) {
        ngx_http_sandbox_destroy_give_up(d);
    }
}


static void
ngx_http_sandbox_destroy_placed(void *data, redisReply *reply)
{
    ngx_http_sandbox_destroy_op_t *d = data;

    d->asking = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || ngx_http_sandbox_destroy_claim(d, 1) != NGX_OK)
    {
        ngx_http_sandbox_op_no_redis(&d->op);
    }
}


/*
 * A paused sandbox is on no agenda.  It is put on its node's before the claim,
 * so that the agenda goes on if this worker dies.
 */
static void
ngx_http_sandbox_destroy_place(ngx_http_sandbox_destroy_op_t *d,
                               redisReply *reply)
{
    ngx_str_t node;

    node.data = (u_char *) ngx_http_sandbox_reply_string(reply, 1);
    node.len = ngx_strlen(node.data);
    d->asking = 1;

    if (ngx_http_sandbox_schedule_place_in(
            &node, d->op.id, (int64_t) ngx_http_sandbox_worker.conf->lease,
            ngx_http_sandbox_destroy_placed, d)
        != NGX_OK)
    {
        ngx_http_sandbox_op_no_redis(&d->op);
    }
}


/* The sandbox is due for a hibernation, not its end: starts that operation. */
static void
ngx_http_sandbox_destroy_hibernate(ngx_http_sandbox_destroy_op_t *d,
                                   const char *tenant)
{
    ngx_http_sandbox_op_t *op;

    if (ngx_http_sandbox_gate_ask(tenant) == SANDBOX_GATE_FULL) {
        ngx_http_sandbox_schedule_in(d->op.id,
                                     NGX_HTTP_SANDBOX_DESTROY_FULL_MS);
        ngx_http_sandbox_destroy_end(d);
        return;
    }

    op = ngx_http_sandbox_op_hibernate(d->op.id, NULL, d->op.done, d->op.data);

    if (op) {
        /* op calls done instead of d */
        ngx_http_sandbox_op_detach(&d->op);
    }

    ngx_http_sandbox_destroy_end(d);
}


/* Another node has the sandbox: puts the sandbox on that node's agenda. */
static void
ngx_http_sandbox_destroy_forward(ngx_http_sandbox_destroy_op_t *d,
                                 redisReply *reply)
{
    ngx_str_t node;

    node.data = (u_char *) ngx_http_sandbox_reply_string(reply, 1);
    node.len = ngx_strlen(node.data);

    d->certain = 1;
    ngx_http_sandbox_schedule_on(&node, d->op.id, 0);
    ngx_http_sandbox_await(&d->op.await, d->op.id,
                           ngx_http_sandbox_destroy_wake, d);
}


/* claim.lua said "wait": a client's DELETE waits, the agenda looks later. */
static void
ngx_http_sandbox_destroy_wait(ngx_http_sandbox_destroy_op_t *d, int64_t until,
                              const char *state)
{
    d->certain =
        ngx_http_sandbox_state_of(state) == NGX_HTTP_SANDBOX_DESTROYING;

    if (d->tenant[0] == '\0') {
        ngx_http_sandbox_schedule_postpone_at(d->op.id, until);
        ngx_http_sandbox_destroy_end(d);
        return;
    }

    ngx_http_sandbox_await(&d->op.await, d->op.id,
                           ngx_http_sandbox_destroy_wake, d);
}


/* Has a thread do the work, teardown or look. */
static void
ngx_http_sandbox_destroy_start(ngx_http_sandbox_destroy_op_t *d,
                               void (*work)(void *data, ngx_log_t *log))
{
    ngx_http_sandbox_await_end(&d->op.await);
    ngx_http_sandbox_op_hold_lease(&d->op, d->claiming_ms);
    SANDBOX_CRASH_POINT("destroy.queue.before");

    if (ngx_http_sandbox_op_task(&d->op, ngx_http_sandbox_worker.conf->quick,
                                 work, ngx_http_sandbox_destroy_gone)
        != NGX_OK)
    {
        ngx_http_sandbox_destroy_end(d);
    }
}


/* claim.lua has given the record to d. */
static void
ngx_http_sandbox_destroy_take(ngx_http_sandbox_destroy_op_t *d,
                              redisReply *reply)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    d->op.fence = ngx_http_sandbox_reply_integer(reply, 1);
    d->was_creating = ngx_http_sandbox_reply_integer(reply, 2) != 0;
    ngx_cpystrn((u_char *) d->snapshot,
                (u_char *) ngx_http_sandbox_reply_string(reply, 4),
                sizeof(d->snapshot));
    ngx_cpystrn((u_char *) d->checkpoint,
                (u_char *) ngx_http_sandbox_reply_string(reply, 5),
                sizeof(d->checkpoint));
    ngx_cpystrn((u_char *) d->fork_of,
                (u_char *) ngx_http_sandbox_reply_string(reply, 6),
                sizeof(d->fork_of));

    ngx_http_sandbox_destroy_cause(d, ngx_http_sandbox_reply_integer(reply, 3)
                                          ? NGX_HTTP_SANDBOX_CAUSE_DEADLINE
                                          : NGX_HTTP_SANDBOX_CAUSE_LEASE);

    if (d->was_creating) {
        /* the creator's boot may yet begin: address and entry stay till then */
        ngx_http_sandbox_schedule_in(
            d->op.id, (int64_t) (mcf->boot_timeout + mcf->lease));

    } else {
        /* a look while it was paused may have taken it off the agenda */
        ngx_http_sandbox_schedule_in(d->op.id, (int64_t) mcf->lease);
    }

    ngx_http_sandbox_destroy_start(d, ngx_http_sandbox_destroy_teardown);
}


/* The agenda has a sandbox without a record. */
static void
ngx_http_sandbox_destroy_orphan(ngx_http_sandbox_destroy_op_t *d)
{
    ngx_http_sandbox_destroy_cause(d, NGX_HTTP_SANDBOX_CAUSE_ORPHAN);
    ngx_http_sandbox_destroy_start(
        d, ngx_http_sandbox_worker.conf->reconcile_orphans
                   == NGX_HTTP_SANDBOX_ORPHANS_KEEP
               ? ngx_http_sandbox_destroy_look
               : ngx_http_sandbox_destroy_teardown);
}


/* claim.lua said "destroyed" (it has a tombstone) or "none". */
static void
ngx_http_sandbox_destroy_absent(ngx_http_sandbox_destroy_op_t *d,
                                ngx_uint_t destroyed)
{
    if (d->tenant[0] == '\0' && destroyed) {
        /* what is left on the node is removed */
        ngx_http_sandbox_destroy_start(d, ngx_http_sandbox_destroy_teardown);

    } else if (d->tenant[0] == '\0') {
        ngx_http_sandbox_destroy_orphan(d);

    } else if (destroyed || d->again) {
        ngx_http_sandbox_destroy_end(d);

    } else {
        ngx_http_sandbox_op_finish_error(&d->op,
                                         &ngx_http_sandbox_sandbox_not_found,
                                         "There is no such sandbox.");
    }
}


static void
ngx_http_sandbox_destroy_claimed(void *data, redisReply *reply)
{
    ngx_http_sandbox_destroy_op_t *d = data;

    const char *outcome;

    d->asking = 0;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_op_no_redis(&d->op);
        return;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "unplaced") == 0) {
        ngx_http_sandbox_destroy_place(d, reply);
        return;
    }

    SANDBOX_CRASH_POINT("destroy.claim.after");

    if (ngx_strcmp(outcome, "claimed") == 0) {
        ngx_http_sandbox_destroy_take(d, reply);

    } else if (ngx_strcmp(outcome, "wait") == 0) {
        ngx_http_sandbox_destroy_wait(d,
                                      ngx_http_sandbox_reply_integer(reply, 1),
                                      ngx_http_sandbox_reply_string(reply, 2));

    } else if (ngx_strcmp(outcome, "elsewhere") == 0) {
        ngx_http_sandbox_destroy_forward(d, reply);

    } else if (ngx_strcmp(outcome, "alias") == 0) {
        ngx_http_sandbox_destroy_follow(
            d, ngx_http_sandbox_reply_string(reply, 1));

    } else if (ngx_strcmp(outcome, "hibernate") == 0) {
        ngx_http_sandbox_destroy_hibernate(
            d, ngx_http_sandbox_reply_string(reply, 1));

    } else if (ngx_strcmp(outcome, "idle") == 0) {
        (void) ngx_http_sandbox_op_release_address(
            d->op.id, ngx_http_sandbox_reply_ignore, NULL);
        ngx_http_sandbox_schedule_remove_idle(d->op.id, d->op.listed);
        ngx_http_sandbox_destroy_end(d);

    } else if (ngx_strcmp(outcome, "conflict") == 0) {
        ngx_cpystrn((u_char *) d->op.state,
                    (u_char *) ngx_http_sandbox_reply_string(reply, 1),
                    sizeof(d->op.state));
        ngx_http_sandbox_op_finish_error(
            &d->op, &ngx_http_sandbox_transition_conflict,
            "The sandbox cannot be destroyed in its state.");

    } else if (ngx_strcmp(outcome, "destroyed") == 0) {
        ngx_http_sandbox_destroy_absent(d, 1);

    } else if (ngx_strcmp(outcome, "none") == 0) {
        ngx_http_sandbox_destroy_absent(d, 0);

    } else {
        /* the sandbox may run: nothing is torn down */
        ngx_http_sandbox_op_log(&d->op, NGX_LOG_ERR,
                                "claim.lua gave the unknown outcome \"%s\"",
                                outcome);
        ngx_http_sandbox_op_no_redis(&d->op);
    }
}


/*
 * Removes the checkpoint that the sandbox ran from and that of a hibernation
 * that was not done; undoes a fork that was under way, so that its source goes
 * on.  In a thread.
 */
static void
ngx_http_sandbox_destroy_checkpoints(ngx_http_sandbox_destroy_op_t *d,
                                     ngx_log_t *log)
{
    sandbox_take_t take;

    ngx_memzero(&take, sizeof(sandbox_take_t));
    take.holds_until_ms = &d->op.holds_until_ms;

    if (d->result.status == SANDBOX_HV_OK && d->fork_of[0]) {
        if (ngx_http_sandbox_op_holds(&d->op, &d->result)) {
            take.id = d->checkpoint;
            take.sandbox = d->fork_of;
            sandbox_untake(&take, 1);
            d->result = take.result;
        }

    } else if (d->result.status == SANDBOX_HV_OK && d->checkpoint[0]
               && sandbox_checkpoint_discard(d->checkpoint, &d->result)
                      == SANDBOX_HV_IN_USE)
    {
        /* another sandbox runs from it; this one ends nevertheless */
        d->used = 1;
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "sandbox %s: checkpoint %s is not removed yet: %s",
                      d->op.id, d->checkpoint, d->result.message);
        d->result.status = SANDBOX_HV_OK;
    }

    if (d->result.status == SANDBOX_HV_OK && d->snapshot[0]) {
        /* the domain is gone: no guest is to be thawed */
        take.id = d->snapshot;
        take.sandbox = d->op.id;
        sandbox_untake(&take, 0);
        d->result = take.result;
    }
}


/* With orphans=keep: only looks whether there is a domain.  In a thread. */
static void
ngx_http_sandbox_destroy_look(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_destroy_op_t *d = data;

    u_char gone;

    d->stands =
        sandbox_hypervisor_gone((const char(*)[SANDBOX_ID_SIZE]) & d->op.id,
                                &gone, 1, &d->result)
            == SANDBOX_HV_OK
        && !gone;
}


/* In a thread. */
static void
ngx_http_sandbox_destroy_teardown(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_destroy_op_t *d = data;

    SANDBOX_CRASH_POINT("destroy.teardown.before");
    (void) sandbox_hypervisor_destroy(d->op.id, &d->result);
    ngx_http_sandbox_destroy_checkpoints(d, log);
    SANDBOX_CRASH_POINT("destroy.teardown.after");
}


static void
ngx_http_sandbox_destroy_gone(ngx_event_t *ev)
{
    ngx_http_sandbox_destroy_op_t *d = ev->data;

    ngx_http_sandbox_key_t record, events, index;
    ngx_http_sandbox_args_t a;

    d->op.status = NGX_HTTP_OK;

    if (d->result.status != SANDBOX_HV_OK) {
        ngx_http_sandbox_op_log(&d->op, NGX_LOG_ERR,
                                "cannot be destroyed yet: %s",
                                d->result.message);
        ngx_http_sandbox_op_finish(&d->op);
        return;
    }

    if (d->stands) {
        ngx_http_sandbox_op_log(&d->op, NGX_LOG_NOTICE,
                                "has no record and is kept");
        ngx_http_sandbox_schedule_remove(d->op.id);
        ngx_http_sandbox_op_finish(&d->op);
        return;
    }

    if (d->fork_of[0]) {
        ngx_http_sandbox_op_unbusy(d->fork_of, d->op.id);
    }

    if (d->used) {
        /* before the record, which names the checkpoint, is buried */
        ngx_http_sandbox_schedule_in(
            d->checkpoint, (int64_t) ngx_http_sandbox_worker.conf->lease);
    }

    if (d->op.fence == 0) {
        /* there is no record to bury */
        ngx_http_sandbox_destroy_count(d);
        ngx_http_sandbox_op_release(d->op.id);
        ngx_http_sandbox_op_finish(&d->op);
        return;
    }

    SANDBOX_CRASH_POINT("destroy.bury.before");
    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, d->op.id);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_key_shard(&index, ngx_http_sandbox_id_shard(d->op.id),
                               "tenant");
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, d->op.fence);
    ngx_http_sandbox_arg_int(&a,
                             (int64_t) ngx_http_sandbox_worker.conf->retention);
    ngx_http_sandbox_arg(&a, d->op.id);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_key(&a, &index);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_destroy_buried, d,
            &ngx_http_sandbox_lua_bury, 1, a.n, a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_op_finish(&d->op);
    }
}


/*
 * The record is not d's any more.  Either another operation has taken it over,
 * or Redis has lost the claim with its last second: then the record is as
 * before, and nobody would bury it.  d claims it anew, which is right in both
 * cases, and forgets what the earlier claim told: a source may be another
 * operation's by now.
 */
static void
ngx_http_sandbox_destroy_again(ngx_http_sandbox_destroy_op_t *d)
{
    if (d->op.hops++ >= NGX_HTTP_SANDBOX_HOPS_MAX) {
        ngx_http_sandbox_destroy_give_up(d);
        return;
    }

    ngx_http_sandbox_op_drop_lease(&d->op);
    d->again = 1;
    d->op.fence = 0;
    d->op.status = 0;
    d->cause = -1;
    d->used = 0;
    d->was_creating = 0;
    d->snapshot[0] = '\0';
    d->checkpoint[0] = '\0';
    d->fork_of[0] = '\0';

    if (ngx_http_sandbox_destroy_claim(d, 0) != NGX_OK) {
        ngx_http_sandbox_op_no_redis(&d->op);
    }
}


static void
ngx_http_sandbox_destroy_buried(void *data, redisReply *reply)
{
    ngx_http_sandbox_destroy_op_t *d = data;

    SANDBOX_CRASH_POINT("destroy.bury.after");

    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
        ngx_http_sandbox_destroy_again(d);
        return;
    }

    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        ngx_http_sandbox_destroy_count(d);
        ngx_http_sandbox_op_log(&d->op, NGX_LOG_NOTICE, "destroyed in %L ms",
                                sandbox_time_monotonic_ms() - d->op.started_ms);

        /*
         * A creator that was fenced off may still start the domain before it
         * notices.  It then undoes that and makes the agenda look at once,
         * which releases; if the creator has died, the agenda looks later.
         */
        if (!d->was_creating) {
            SANDBOX_CRASH_POINT("destroy.release.before");
            ngx_http_sandbox_op_release(d->op.id);
            SANDBOX_CRASH_POINT("destroy.release.after");
        }
    }

    SANDBOX_CRASH_POINT("destroy.answer.before");
    ngx_http_sandbox_op_finish(&d->op);
    SANDBOX_CRASH_POINT("destroy.answer.after");
}
