/*
 * Changes the network settings of a sandbox.
 *
 *   claim    no other request changes them meanwhile  network_claim.lua
 *   apply    a running guest gets the new policy      thread
 *   commit   the record gets it, routes are told      network_commit.lua
 *
 * The hypervisor comes first: if this worker dies in between, the guest is
 * under the policy that was asked for last, and the record has an older one
 * until the client repeats the request.  In the other order the record would
 * promise a policy that is not in force.
 *
 * If the policy cannot be put in force, the old one is asked for again, and the
 * record stays as it is.  A claim that is not given back runs out.
 */

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_crash.h"
#include "sandbox_tenant.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

/* In ms; apply and revert are begun only if the claim outlives both. */
#define NGX_HTTP_SANDBOX_NETWORK_CLAIM_MS 20000
#define NGX_HTTP_SANDBOX_NETWORK_APPLY_MS 4000
#define NGX_HTTP_SANDBOX_NETWORK_REVERT_MS 1000

typedef struct {
    ngx_http_sandbox_op_t op;

    char tenant[SANDBOX_TENANT_SIZE];
    char claim[SANDBOX_TOKEN_SIZE];
    int64_t claiming_ms; /* monotonic: when the claim was sent */

    unsigned late : 1; /* a thread came too late to begin */
    sandbox_network_patch_t patch;

    sandbox_network_t wanted;
    sandbox_policy_t old;
    sandbox_hv_error_t result;
} ngx_http_sandbox_network_op_t;


static void ngx_http_sandbox_network_claimed(void *data, redisReply *reply);
static void ngx_http_sandbox_network_apply(void *data, ngx_log_t *log);
static void ngx_http_sandbox_network_applied(ngx_event_t *ev);
static void ngx_http_sandbox_network_revert(void *data, ngx_log_t *log);
static void ngx_http_sandbox_network_reverted(ngx_event_t *ev);
static void ngx_http_sandbox_network_committed(void *data, redisReply *reply);


static void
ngx_http_sandbox_network_free(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_network_op_t *n = (ngx_http_sandbox_network_op_t *) op;

    sandbox_network_patch_free(&n->patch);
    ngx_free(n);
}


static ngx_int_t
ngx_http_sandbox_network_claim(void *data)
{
    ngx_http_sandbox_network_op_t *n = data;

    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_args_t a;

    n->claiming_ms = sandbox_time_monotonic_ms();

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, n->op.id);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, n->tenant);
    ngx_http_sandbox_arg(&a, n->claim);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_NETWORK_CLAIM_MS);
    ngx_http_sandbox_arg_states(&a, NGX_HTTP_SANDBOX_NETWORK);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_network_claimed, n,
        &ngx_http_sandbox_lua_network_claim, 1, a.n, a.values);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_network(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            sandbox_network_patch_t *patch,
                            ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_network_op_t *n;

    n = ngx_calloc(sizeof(ngx_http_sandbox_network_op_t), ngx_cycle->log);
    if (n == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(&n->op, ctx, done, data);
    n->op.destroy = ngx_http_sandbox_network_free;
    ngx_cpystrn((u_char *) n->op.id, (u_char *) id, sizeof(n->op.id));
    ngx_cpystrn((u_char *) n->tenant, ctx->tenant.data, sizeof(n->tenant));

    if (sandbox_token_make(n->claim) != 0
        || ngx_http_sandbox_network_claim(n) != NGX_OK)
    {
        ngx_http_sandbox_op_discard(&n->op);
        return NULL;
    }

    n->patch = *patch;
    ngx_memzero(patch, sizeof(sandbox_network_patch_t));

    return &n->op;
}


static const char *
ngx_http_sandbox_network_flag(int flag)
{
    return flag == -1 ? NULL : flag ? "1" : "0";
}


/* Gives the claim back; writes the record first, unless give_back is set. */
static ngx_int_t
ngx_http_sandbox_network_commit(ngx_http_sandbox_network_op_t *n,
                                ngx_uint_t give_back,
                                ngx_http_sandbox_redis_handler_pt handler)
{
    ngx_http_sandbox_key_t record, events;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, n->op.id);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, n->op.id);
    ngx_http_sandbox_arg(&a, n->claim);
    ngx_http_sandbox_arg_key(&a, &events);

    if (give_back) {
        ngx_http_sandbox_arg(&a, "");

    } else {
        ngx_http_sandbox_arg_states(&a, NGX_HTTP_SANDBOX_NETWORKED);
        ngx_http_sandbox_arg_field(
            &a, "internet_access",
            ngx_http_sandbox_network_flag(n->patch.internet));
        ngx_http_sandbox_arg_field(&a, "allow_out", n->patch.allow_out);
        ngx_http_sandbox_arg_field(&a, "deny_out", n->patch.deny_out);
        ngx_http_sandbox_arg_field(
            &a, "public_traffic",
            ngx_http_sandbox_network_flag(n->patch.public_traffic));
        ngx_http_sandbox_arg_field(&a, "mask_host", n->patch.mask_host);
    }

    return ngx_http_sandbox_redis_eval(ngx_http_sandbox_worker.redis, handler,
                                       n, &ngx_http_sandbox_lua_network_commit,
                                       1, a.n, a.values);
}


/* The claim was given back: ends the operation with the error it has. */
static void
ngx_http_sandbox_network_given_back(void *data, redisReply *reply)
{
    ngx_http_sandbox_op_finish(data);
}


static void
ngx_http_sandbox_network_give_back(ngx_http_sandbox_network_op_t *n,
                                   const ngx_http_sandbox_error_t *error,
                                   const char *message)
{
    n->op.error = error;
    n->op.message = message;

    if (ngx_http_sandbox_network_commit(n, 1,
                                        ngx_http_sandbox_network_given_back)
        != NGX_OK)
    {
        ngx_http_sandbox_op_finish(&n->op);
    }
}


static void
ngx_http_sandbox_network_write(ngx_http_sandbox_network_op_t *n)
{
    if (ngx_http_sandbox_network_commit(n, 0,
                                        ngx_http_sandbox_network_committed)
        != NGX_OK)
    {
        ngx_http_sandbox_op_no_redis(&n->op);
    }
}


/* Sets the old policy from the record, and the wanted one from the patch. */
static ngx_int_t
ngx_http_sandbox_network_plan(ngx_http_sandbox_network_op_t *n,
                              redisReply *reply)
{
    int internet;
    const char *allow, *deny;

    n->wanted.generation = ngx_http_sandbox_reply_integer(reply, 1);
    sandbox_network_name(&n->wanted,
                         ngx_http_sandbox_worker.conf->hypervisor.bridge,
                         (uint32_t) ngx_http_sandbox_reply_integer(reply, 4));

    internet = ngx_strcmp(ngx_http_sandbox_reply_string(reply, 5), "0") != 0;
    allow = ngx_http_sandbox_reply_string(reply, 6);
    deny = ngx_http_sandbox_reply_string(reply, 7);

    return sandbox_policy_parse(&n->old, internet, allow, deny) == 0
                   && sandbox_policy_parse(
                          &n->wanted.policy,
                          n->patch.internet == -1 ? internet
                                                  : n->patch.internet,
                          n->patch.allow_out ? n->patch.allow_out : allow,
                          n->patch.deny_out ? n->patch.deny_out : deny)
                          == 0
               ? NGX_OK
               : NGX_ERROR;
}


/* 1 if the hypervisor need not be told of the change. */
static ngx_uint_t
ngx_http_sandbox_network_is_ours(ngx_http_sandbox_network_op_t *n,
                                 const char *state)
{
    return ngx_http_sandbox_state_of(state) == NGX_HTTP_SANDBOX_PAUSED
           || (n->patch.internet == -1 && n->patch.allow_out == NULL
               && n->patch.deny_out == NULL);
}


static void
ngx_http_sandbox_network_begin(ngx_http_sandbox_network_op_t *n,
                               redisReply *reply)
{
    const char *node;
    const ngx_str_t *self;

    self = ngx_http_sandbox_self();
    node = ngx_http_sandbox_reply_string(reply, 3);

    if (ngx_http_sandbox_network_is_ours(
            n, ngx_http_sandbox_reply_string(reply, 2)))
    {
        ngx_http_sandbox_network_write(n);

    } else if (ngx_strlen(node) != self->len
               || ngx_strncmp(node, self->data, self->len) != 0)
    {
        ngx_http_sandbox_op_elsewhere(&n->op, node);
        ngx_http_sandbox_network_give_back(
            n, &ngx_http_sandbox_no_eligible_runtime_host,
            "The sandbox runs on another node.");

    } else if (ngx_http_sandbox_network_plan(n, reply) != NGX_OK) {
        ngx_http_sandbox_network_give_back(n, &ngx_http_sandbox_internal_error,
                                           "The record of the sandbox is odd.");

    } else if (ngx_http_sandbox_op_task(&n->op,
                                        ngx_http_sandbox_worker.conf->quick,
                                        ngx_http_sandbox_network_apply,
                                        ngx_http_sandbox_network_applied)
               != NGX_OK)
    {
        ngx_http_sandbox_network_give_back(
            n, &ngx_http_sandbox_capacity_exceeded,
            "Too much is being done at once; try again.");

    } else {
        ngx_http_sandbox_op_linger(&n->op, NGX_HTTP_SANDBOX_NETWORK_CLAIM_MS);
    }
}


static void
ngx_http_sandbox_network_conflict(ngx_http_sandbox_op_t *op, const char *state)
{
    const ngx_http_sandbox_error_t *error;

    ngx_cpystrn((u_char *) op->state, (u_char *) state, sizeof(op->state));

    switch (ngx_http_sandbox_state_of(state)) {
    case NGX_HTTP_SANDBOX_CREATING:
        error = &ngx_http_sandbox_sandbox_not_ready;
        break;
    case NGX_HTTP_SANDBOX_HIBERNATING:
    case NGX_HTTP_SANDBOX_RESUMING:
        error = &ngx_http_sandbox_transition_in_progress;
        break;
    default:
        error = &ngx_http_sandbox_transition_conflict;
    }

    ngx_http_sandbox_op_finish_error(
        op, error,
        ngx_http_sandbox_refusal(ngx_http_sandbox_state_of(state),
                                 "The sandbox is neither running nor "
                                 "paused."));
}


/*
 * The outcome that a script replies; NULL if n was ended, as Redis is away or
 * the state of the sandbox does not allow the change.
 */
static const char *
ngx_http_sandbox_network_outcome(ngx_http_sandbox_network_op_t *n,
                                 redisReply *reply)
{
    const char *outcome;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_op_no_redis(&n->op);
        return NULL;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "conflict") == 0) {
        ngx_http_sandbox_network_conflict(
            &n->op, ngx_http_sandbox_reply_string(reply, 1));
        return NULL;
    }

    return outcome;
}


static void
ngx_http_sandbox_network_claimed(void *data, redisReply *reply)
{
    ngx_http_sandbox_network_op_t *n = data;

    const char *outcome;

    outcome = ngx_http_sandbox_network_outcome(n, reply);
    if (outcome == NULL) {
        return;
    }

    if (ngx_strcmp(outcome, "claimed") == 0) {
        ngx_http_sandbox_network_begin(n, reply);

    } else if (ngx_strcmp(outcome, "alias") == 0) {
        ngx_http_sandbox_op_follow(&n->op,
                                   ngx_http_sandbox_reply_string(reply, 1),
                                   ngx_http_sandbox_network_claim);

    } else if (ngx_strcmp(outcome, "busy") == 0) {
        ngx_http_sandbox_op_finish_error(
            &n->op, &ngx_http_sandbox_transition_in_progress,
            "The network settings are being changed by another request.");

    } else {
        ngx_http_sandbox_op_finish_error(&n->op,
                                         &ngx_http_sandbox_sandbox_not_found,
                                         "There is no such sandbox.");
    }
}


/* In a thread. */
static void
ngx_http_sandbox_network_apply(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_network_op_t *n = data;

    int64_t now;

    SANDBOX_CRASH_POINT("network.apply.before");
    now = sandbox_time_monotonic_ms();

    /* after a long wait for a thread, another request may get the claim */
    if (now + NGX_HTTP_SANDBOX_NETWORK_APPLY_MS
            + NGX_HTTP_SANDBOX_NETWORK_REVERT_MS
        > n->claiming_ms + NGX_HTTP_SANDBOX_NETWORK_CLAIM_MS)
    {
        n->late = 1;
        return;
    }

    (void) sandbox_hypervisor_network(n->op.id, &n->wanted,
                                      now + NGX_HTTP_SANDBOX_NETWORK_APPLY_MS,
                                      &n->result);
}


static void
ngx_http_sandbox_network_applied(ngx_event_t *ev)
{
    ngx_http_sandbox_network_op_t *n = ev->data;

    if (n->late) {
        ngx_http_sandbox_network_give_back(
            n, &ngx_http_sandbox_capacity_exceeded,
            "Too much is being done at once; try again.");
        return;
    }

    if (n->result.status == SANDBOX_HV_OK) {
        ngx_http_sandbox_network_write(n);
        return;
    }

    ngx_http_sandbox_op_log(&n->op, NGX_LOG_ERR, "network policy: %s",
                            n->result.message);

    /* a watcher that was away must find the old policy when it is back */
    n->wanted.generation++;
    n->wanted.policy = n->old;

    if (ngx_http_sandbox_op_task(&n->op, ngx_http_sandbox_worker.conf->quick,
                                 ngx_http_sandbox_network_revert,
                                 ngx_http_sandbox_network_reverted)
        != NGX_OK)
    {
        ngx_http_sandbox_network_reverted(ev);
    }
}


/* In a thread. */
static void
ngx_http_sandbox_network_revert(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_network_op_t *n = data;

    (void) sandbox_hypervisor_network(n->op.id, &n->wanted,
                                      sandbox_time_monotonic_ms()
                                          + NGX_HTTP_SANDBOX_NETWORK_REVERT_MS,
                                      &n->result);
}


static void
ngx_http_sandbox_network_reverted(ngx_event_t *ev)
{
    ngx_http_sandbox_network_op_t *n = ev->data;

    ngx_http_sandbox_network_give_back(
        n, &ngx_http_sandbox_hypervisor_unavailable,
        "The hypervisor has not put the policy in force; the old one stays.");
}


static void
ngx_http_sandbox_network_answer(ngx_http_sandbox_network_op_t *n,
                                redisReply *reply)
{
    const char *mask;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    mask = ngx_http_sandbox_reply_string(reply, 5);

    sandbox_text_fmt(&t, "{\"internet_access\":%s,\"allow_out\":",
                     ngx_strcmp(ngx_http_sandbox_reply_string(reply, 1), "0")
                             != 0
                         ? "true"
                         : "false");
    sandbox_cidrs_json(&t, ngx_http_sandbox_reply_string(reply, 2));
    sandbox_text_str(&t, ",\"deny_out\":");
    sandbox_cidrs_json(&t, ngx_http_sandbox_reply_string(reply, 3));
    sandbox_text_fmt(&t, ",\"allow_public_traffic\":%s,\"mask_request_host\":",
                     ngx_strcmp(ngx_http_sandbox_reply_string(reply, 4), "0")
                             != 0
                         ? "true"
                         : "false");

    if (*mask) {
        sandbox_text_json_string(&t, mask, ngx_strlen(mask));

    } else {
        sandbox_text_str(&t, "null");
    }

    sandbox_text_str(&t, "}");

    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        ngx_http_sandbox_op_finish_error(
            &n->op, &ngx_http_sandbox_internal_error, "Out of memory.");
        return;
    }

    ngx_http_sandbox_op_log(&n->op, NGX_LOG_NOTICE,
                            "network settings changed in %L ms",
                            sandbox_time_monotonic_ms() - n->op.started_ms);

    n->op.status = NGX_HTTP_OK;
    n->op.answer = t.data;
    n->op.answer_len = t.len;
    ngx_http_sandbox_op_finish(&n->op);
}


static void
ngx_http_sandbox_network_committed(void *data, redisReply *reply)
{
    ngx_http_sandbox_network_op_t *n = data;

    const char *outcome;

    outcome = ngx_http_sandbox_network_outcome(n, reply);
    if (outcome == NULL) {
        return;
    }

    if (ngx_strcmp(outcome, "done") == 0) {
        ngx_http_sandbox_network_answer(n, reply);

    } else {
        ngx_http_sandbox_op_finish_error(
            &n->op, &ngx_http_sandbox_transition_in_progress,
            "The change took too long; repeat it.");
    }
}
