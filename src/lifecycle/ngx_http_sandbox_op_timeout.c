/*
 * Moving a deadline.
 *
 *   move    the record has the new deadline             timeout.lua
 *   hasten  the agenda of its node looks in time        ZADD LT
 *
 * The record decides, the agenda only says when to look at it: a look that
 * comes too early is put off to the record's deadline (claim.lua).  So a
 * deadline that becomes later needs nothing, and one that becomes earlier must
 * never find its entry put off by somebody who read the record before: who
 * puts off looks at the record again afterwards.
 */

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_time.h"


typedef struct {
    char id[SANDBOX_ID_SIZE];
    int64_t at;
} ngx_http_sandbox_postponed_t;


static void ngx_http_sandbox_timeout_moved(void *data, redisReply *reply);


static void
ngx_http_sandbox_timeout_free(ngx_http_sandbox_op_t *op)
{
    ngx_free(op);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_timeout(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            int64_t timeout_ms, const char *action,
                            ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_op_t *op;
    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_args_t a;

    op = ngx_calloc(sizeof(ngx_http_sandbox_op_t), ngx_cycle->log);
    if (op == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(op, ctx, done, data);
    op->destroy = ngx_http_sandbox_timeout_free;
    ngx_cpystrn((u_char *) op->id, (u_char *) id, sizeof(op->id));

    /* before the record: should this worker die, the look is not too late */
    ngx_http_sandbox_op_hasten(id, sandbox_time_now_ms() + timeout_ms);

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_key_record(&record, id);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, op->id);
    ngx_http_sandbox_arg_len(&a, ctx->tenant.data, ctx->tenant.len);
    ngx_http_sandbox_arg_int(&a, timeout_ms);
    ngx_http_sandbox_arg(&a, action ? action : "");
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_TIMEOUT);
    ngx_http_sandbox_record_fields(&a, 1);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_timeout_moved, op,
            &ngx_http_sandbox_lua_timeout, 1, a.n, a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_op_discard(op);
        return NULL;
    }

    return op;
}


static void
ngx_http_sandbox_timeout_no_redis(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_op_finish_error(
        op, &ngx_http_sandbox_state_store_unavailable,
        "The state store does not answer; try again.");
}


/* The agenda has it. */
static void
ngx_http_sandbox_timeout_done(void *data, redisReply *reply)
{
    ngx_http_sandbox_op_t *op = data;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        ngx_http_sandbox_timeout_no_redis(op);
        return;
    }

    op->status = NGX_HTTP_OK;
    ngx_http_sandbox_op_finish(op);
}


/* ZADD LT: id is looked at by then at the latest. */
static ngx_int_t
ngx_http_sandbox_timeout_hasten(const char *id, const ngx_str_t *node,
                                int64_t at,
                                ngx_http_sandbox_redis_handler_pt handler,
                                void *data)
{
    ngx_http_sandbox_key_t agenda;
    ngx_http_sandbox_args_t a;

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_key_of_node(
        &agenda, node->len ? node : &ngx_http_sandbox_worker.conf->node,
        "agenda");
    ngx_http_sandbox_arg(&a, "ZADD");
    ngx_http_sandbox_arg_key(&a, &agenda);
    ngx_http_sandbox_arg(&a, "LT");
    ngx_http_sandbox_arg_int(&a, at);
    ngx_http_sandbox_arg(&a, id);

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          handler, data, a.n, a.values);
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

    ngx_http_sandbox_object(&t, &record, NULL);

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

    if (ngx_http_sandbox_timeout_hasten(op->id, &node, at,
                                        ngx_http_sandbox_timeout_done, op)
        != NGX_OK)
    {
        ngx_http_sandbox_timeout_no_redis(op);
    }
}


static void
ngx_http_sandbox_timeout_moved(void *data, redisReply *reply)
{
    ngx_http_sandbox_op_t *op = data;

    const char *outcome;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_timeout_no_redis(op);
        return;
    }

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "moved") == 0) {
        ngx_http_sandbox_timeout_set(op, reply);

    } else if (ngx_strcmp(outcome, "conflict") == 0) {
        ngx_cpystrn((u_char *) op->state,
                    (u_char *) ngx_http_sandbox_reply_string(reply, 1),
                    sizeof(op->state));
        ngx_http_sandbox_op_finish_error(
            op,
            ngx_strcmp(op->state,
                       ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_CREATING))
                    == 0
                ? &ngx_http_sandbox_sandbox_not_ready
                : &ngx_http_sandbox_transition_conflict,
            "The sandbox is not running.");

    } else {
        ngx_http_sandbox_op_finish_error(op,
                                         &ngx_http_sandbox_sandbox_not_found,
                                         "There is no such sandbox.");
    }
}


/* The record as it was after the entry was put off. */
static void
ngx_http_sandbox_postpone_checked(void *data, redisReply *reply)
{
    ngx_http_sandbox_postponed_t *p = data;

    int64_t at;
    const char *state;

    state = reply ? ngx_http_sandbox_reply_string(reply, 0) : "";

    if (ngx_strcmp(state, ngx_http_sandbox_state_name(NGX_HTTP_SANDBOX_RUNNING))
        == 0)
    {
        at = ngx_http_sandbox_reply_integer(reply, 1);

    } else if (ngx_strcmp(state, ngx_http_sandbox_state_name(
                                     NGX_HTTP_SANDBOX_DESTROYING))
               == 0)
    {
        /* a DELETE came between: its owner may die */
        at = ngx_http_sandbox_reply_integer(reply, 2);

    } else {
        at = 0;
    }

    if (at && at < p->at) {
        ngx_http_sandbox_op_hasten(p->id, at);
    }

    ngx_free(p);
}


static void
ngx_http_sandbox_postpone_check(void *data, redisReply *reply)
{
    ngx_http_sandbox_postponed_t *p = data;

    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_args_t a;

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_key_record(&record, p->id);
    ngx_http_sandbox_arg(&a, "HMGET");
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, "state");
    ngx_http_sandbox_arg(&a, "timeout_at");
    ngx_http_sandbox_arg(&a, "lease_at");

    if (reply == NULL
        || ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_postpone_checked, p,
                                          a.n, a.values)
               != NGX_OK)
    {
        ngx_free(p);
    }
}


void
ngx_http_sandbox_op_postpone(const char *id, int64_t at)
{
    ngx_http_sandbox_key_t agenda;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_postponed_t *p;

    p = ngx_alloc(sizeof(ngx_http_sandbox_postponed_t), ngx_cycle->log);
    if (p == NULL) {
        return;
    }

    ngx_cpystrn((u_char *) p->id, (u_char *) id, sizeof(p->id));
    p->at = at;

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_key_node(&agenda, "agenda");
    ngx_http_sandbox_arg(&a, "ZADD");
    ngx_http_sandbox_arg_key(&a, &agenda);
    ngx_http_sandbox_arg_int(&a, at);
    ngx_http_sandbox_arg(&a, id);

    if (ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                       ngx_http_sandbox_postpone_check, p, a.n,
                                       a.values)
        != NGX_OK)
    {
        ngx_free(p);
    }
}
