/*
 * Moves the deadline of a sandbox.
 *
 *   move    the record gets the new deadline            timeout.lua
 *   hasten  the node's agenda entry is moved up         ZADD LT
 *
 * The record decides, the agenda only says when to look at it: a look that
 * comes too early is put off to the record's deadline (claim.lua).  So a later
 * deadline needs no change of the agenda.  An earlier one must not be lost to a
 * worker that read the record before and puts the entry off: that worker reads
 * the record again afterwards (schedule_postpone).
 */

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_tenant.h"


typedef struct {
    ngx_http_sandbox_op_t op;

    char tenant[SANDBOX_TENANT_SIZE];
    int64_t timeout_ms;
    const char *action; /* static, or NULL */
} ngx_http_sandbox_timeout_op_t;


static void ngx_http_sandbox_timeout_moved(void *data, redisReply *reply);


static void
ngx_http_sandbox_timeout_free(ngx_http_sandbox_op_t *op)
{
    ngx_free(op);
}


static ngx_int_t
ngx_http_sandbox_timeout_move(void *data)
{
    ngx_http_sandbox_timeout_op_t *t = data;

    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_args_t a;

    /* before the record: if this worker dies, the entry is not too late */
    ngx_http_sandbox_schedule_hasten_in(t->op.id, t->timeout_ms);

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, t->op.id);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, t->op.id);
    ngx_http_sandbox_arg(&a, t->tenant);
    ngx_http_sandbox_arg_int(&a, t->timeout_ms);
    ngx_http_sandbox_arg(&a, t->action ? t->action : "");
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_TIMEOUT);
    ngx_http_sandbox_record_fields(&a, 1);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_timeout_moved, t,
        &ngx_http_sandbox_lua_timeout, 1, a.n, a.values);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_timeout(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            int64_t timeout_ms, const char *action,
                            ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_timeout_op_t *t;

    t = ngx_calloc(sizeof(ngx_http_sandbox_timeout_op_t), ngx_cycle->log);
    if (t == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(&t->op, ctx, done, data);
    t->op.destroy = ngx_http_sandbox_timeout_free;
    ngx_cpystrn((u_char *) t->op.id, (u_char *) id, sizeof(t->op.id));
    ngx_cpystrn((u_char *) t->tenant, ctx->tenant.data, sizeof(t->tenant));
    t->timeout_ms = timeout_ms;
    t->action = action;

    if (ngx_http_sandbox_timeout_move(t) != NGX_OK) {
        ngx_http_sandbox_op_discard(&t->op);
        return NULL;
    }

    return &t->op;
}


/* The agenda entry was moved up: ends the operation. */
static void
ngx_http_sandbox_timeout_done(void *data, redisReply *reply)
{
    ngx_http_sandbox_op_t *op = data;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        ngx_http_sandbox_op_no_redis(op);
        return;
    }

    op->status = NGX_HTTP_OK;
    ngx_http_sandbox_op_finish(op);
}


static void
ngx_http_sandbox_timeout_set(ngx_http_sandbox_op_t *op, redisReply *reply)
{
    int64_t at;
    ngx_str_t node;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_record_t record;

    if (reply->elements != 4
        || ngx_http_sandbox_record_row(&record, reply->element[3]) != NGX_OK)
    {
        ngx_http_sandbox_op_finish_error(op, &ngx_http_sandbox_internal_error,
                                         "The record of the sandbox is odd.");
        return;
    }

    ngx_http_sandbox_object_masked(&t, &record, UINT32_MAX);

    if (sandbox_text_failed(&t)) {
        sandbox_text_free(&t);
        ngx_http_sandbox_op_finish_error(op, &ngx_http_sandbox_internal_error,
                                         "Out of memory.");
        return;
    }

    op->answer = t.data;
    op->answer_len = t.len;

    at = ngx_http_sandbox_reply_integer(reply, 1);
    node.data = (u_char *) ngx_http_sandbox_reply_string(reply, 2);
    node.len = ngx_strlen(node.data);

    if (ngx_http_sandbox_schedule_place_by(
            node.len ? &node : &ngx_http_sandbox_worker.conf->node, op->id, at,
            ngx_http_sandbox_timeout_done, op)
        != NGX_OK)
    {
        ngx_http_sandbox_op_no_redis(op);
    }
}


static const ngx_http_sandbox_error_t *
ngx_http_sandbox_timeout_refusal(ngx_http_sandbox_op_t *op)
{
    switch (ngx_http_sandbox_state_of(op->state)) {
    case NGX_HTTP_SANDBOX_CREATING:
        return &ngx_http_sandbox_sandbox_not_ready;
    case NGX_HTTP_SANDBOX_HIBERNATING:
    case NGX_HTTP_SANDBOX_RESUMING:
        return &ngx_http_sandbox_transition_in_progress;
    default:
        return &ngx_http_sandbox_transition_conflict;
    }
}


static void
ngx_http_sandbox_timeout_moved(void *data, redisReply *reply)
{
    ngx_http_sandbox_timeout_op_t *t = data;

    const char *outcome;
    ngx_http_sandbox_op_t *op;

    op = &t->op;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_op_no_redis(op);
        return;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "set") == 0) {
        ngx_http_sandbox_timeout_set(op, reply);

    } else if (ngx_strcmp(outcome, "alias") == 0) {
        ngx_http_sandbox_op_follow(&t->op,
                                   ngx_http_sandbox_reply_string(reply, 1),
                                   ngx_http_sandbox_timeout_move);

    } else if (ngx_strcmp(outcome, "resumes") == 0) {
        ngx_http_sandbox_op_finish_error(
            op, &ngx_http_sandbox_conflict,
            "A sandbox that resumes by itself is not destroyed by its "
            "deadline.");

    } else if (ngx_strcmp(outcome, "conflict") == 0) {
        ngx_cpystrn((u_char *) op->state,
                    (u_char *) ngx_http_sandbox_reply_string(reply, 1),
                    sizeof(op->state));
        ngx_http_sandbox_op_finish_error(
            op, ngx_http_sandbox_timeout_refusal(op),
            ngx_http_sandbox_refusal(ngx_http_sandbox_state_of(op->state),
                                     "The sandbox is not running."));

    } else {
        ngx_http_sandbox_op_finish_error(op,
                                         &ngx_http_sandbox_sandbox_not_found,
                                         "There is no such sandbox.");
    }
}
