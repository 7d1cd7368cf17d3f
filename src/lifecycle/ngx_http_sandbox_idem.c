/* Idempotency keys; see the header. */

#include "ngx_http_sandbox_idem.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_reply.h"
#include "sandbox_digest.h"
#include "sandbox_time.h"

#define NGX_HTTP_SANDBOX_IDEM_DAY_MS (24 * 60 * 60 * 1000)


ngx_int_t
ngx_http_sandbox_idem_init(ngx_http_sandbox_idem_t *idem, const ngx_str_t *key,
                           const uint8_t *fingerprint)
{
    sandbox_hex(idem->fingerprint, fingerprint, SANDBOX_SHA256_LEN);

    return sandbox_sha256(idem->key, key->data, key->len) == 0 ? NGX_OK
                                                               : NGX_ERROR;
}


ngx_uint_t
ngx_http_sandbox_idem_given(const ngx_http_sandbox_idem_t *idem)
{
    return idem->fingerprint[0] != '\0';
}


void
ngx_http_sandbox_idem_name(ngx_http_sandbox_idem_t *idem,
                           ngx_http_sandbox_key_t *name)
{
    ngx_http_sandbox_key_idem(name, idem->tenant, idem->route, idem->key);
}


/*
 * In addition to the time that the operation may take, the key is kept as long
 * as an answer, and at least a day: a node that is down usually comes back
 * within a day and frees the key itself.
 */
int64_t
ngx_http_sandbox_idem_kept(void)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    return (int64_t) mcf->boot_timeout
           + ngx_max((int64_t) mcf->retention, NGX_HTTP_SANDBOX_IDEM_DAY_MS);
}


void
ngx_http_sandbox_idem_no_redis(ngx_http_sandbox_idem_t *idem)
{
    if (!ngx_http_sandbox_idem_given(idem)) {
        ngx_http_sandbox_op_no_redis(idem->op);
        return;
    }

    ngx_http_sandbox_op_finish_error(
        idem->op, &ngx_http_sandbox_state_store_unavailable,
        "The state store does not answer; try again with the same key.");
}


static void
ngx_http_sandbox_idem_peeked(void *data, redisReply *reply)
{
    ngx_http_sandbox_idem_t *idem = data;

    idem->peeking = 0;

    if (reply == NULL) {
        ngx_http_sandbox_idem_no_redis(idem);
        return;
    }

    if (ngx_http_sandbox_reply_string(reply, 0)[0]
        || reply->type != REDIS_REPLY_ARRAY)
    {
        ngx_http_sandbox_idem_taken(idem, reply);
        return;
    }

    /* the key was free, or became free as the first operation failed */
    ngx_http_sandbox_await_end(&idem->op->await);
    idem->go(idem->op);
}


ngx_int_t
ngx_http_sandbox_idem_peek(ngx_http_sandbox_idem_t *idem)
{
    ngx_http_sandbox_key_t name;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_idem_name(idem, &name);
    ngx_http_sandbox_arg(&a, "HMGET");
    ngx_http_sandbox_arg_key(&a, &name);
    ngx_http_sandbox_arg(&a, "fingerprint");
    ngx_http_sandbox_arg(&a, "state");
    ngx_http_sandbox_arg(&a, "status");
    ngx_http_sandbox_arg(&a, "answer");
    ngx_http_sandbox_arg(&a, "id");

    idem->peeking = 1;

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_idem_peeked, idem,
                                          a.n, a.values)
                   == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}


/* Forgets a read of the key that may be under way, before op ends. */
static void
ngx_http_sandbox_idem_leave(ngx_http_sandbox_idem_t *idem)
{
    if (idem->peeking && ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, idem);
    }
}


/* An event of the operation that has the key, or the timer. */
static void
ngx_http_sandbox_idem_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_idem_t *idem = data;

    const ngx_http_sandbox_error_t *error;

    if (idem->op->done == NULL) {
        ngx_http_sandbox_idem_leave(idem);
        ngx_http_sandbox_op_finish(idem->op);
        return;
    }

    if (word && ngx_http_sandbox_events_is(word, "failed")) {
        error = ngx_http_sandbox_code_find(detail->data, detail->len);
        ngx_http_sandbox_idem_leave(idem);
        ngx_http_sandbox_op_finish_error(
            idem->op, error ? error : &ngx_http_sandbox_internal_error,
            "The request with this Idempotency-Key that came first failed.");
        return;
    }

    if (sandbox_time_monotonic_ms() >= idem->wait_until_ms) {
        ngx_http_sandbox_idem_leave(idem);
        ngx_http_sandbox_op_finish_error(
            idem->op, &ngx_http_sandbox_idempotency_in_progress,
            "A request with this Idempotency-Key is still running.");
        return;
    }

    if (!idem->peeking && ngx_http_sandbox_idem_peek(idem) != NGX_OK) {
        ngx_http_sandbox_idem_no_redis(idem);
    }
}


void
ngx_http_sandbox_idem_again(ngx_http_sandbox_idem_t *idem, ngx_msec_t wait)
{
    idem->again = 1;
    idem->wait_until_ms = sandbox_time_monotonic_ms() + (int64_t) wait;
    ngx_http_sandbox_await(&idem->op->await, idem->op->id,
                           ngx_http_sandbox_idem_wake, idem);
}


/* Waits for the operation that has the key; first is that operation's id. */
static void
ngx_http_sandbox_idem_join(ngx_http_sandbox_idem_t *idem, const char *first)
{
    ngx_msec_t wait;

    wait = ngx_http_sandbox_worker.conf->idem_wait;

    if (idem->wait_until_ms == 0 || idem->again) {
        idem->again = 0;
        idem->wait_until_ms = sandbox_time_monotonic_ms() + (int64_t) wait;
    }

    if (wait == 0) {
        ngx_http_sandbox_idem_wake(idem, NULL, NULL);
        return;
    }

    ngx_http_sandbox_await(&idem->op->await, first, ngx_http_sandbox_idem_wake,
                           idem);
}


static void
ngx_http_sandbox_idem_replay(ngx_http_sandbox_idem_t *idem, redisReply *held)
{
    const char *answer;
    ngx_http_sandbox_op_t *op;

    op = idem->op;
    answer = ngx_http_sandbox_reply_string(held, 3);
    op->status = (ngx_uint_t) ngx_http_sandbox_reply_integer(held, 2);
    op->answer_len = ngx_strlen(answer);
    op->answer = ngx_alloc(op->answer_len + 1, ngx_cycle->log);
    op->replayed = 1;
    ngx_cpystrn((u_char *) op->id,
                (u_char *) ngx_http_sandbox_reply_string(held, 4),
                sizeof(op->id));

    if (op->answer == NULL) {
        ngx_http_sandbox_op_finish_error(op, &ngx_http_sandbox_internal_error,
                                         "Out of memory.");
        return;
    }

    ngx_memcpy(op->answer, answer, op->answer_len + 1);
    ngx_http_sandbox_op_finish(op);
}


void
ngx_http_sandbox_idem_taken(ngx_http_sandbox_idem_t *idem, redisReply *held)
{
    if (held->type != REDIS_REPLY_ARRAY || held->elements != 5) {
        ngx_http_sandbox_op_log(
            idem->op, NGX_LOG_ERR, "reserve: reply of type %d, \"%s\"",
            held->type, held->type == REDIS_REPLY_ERROR ? held->str : "");
        ngx_http_sandbox_idem_no_redis(idem);

    } else if (ngx_strcmp(ngx_http_sandbox_reply_string(held, 0),
                          idem->fingerprint)
               != 0)
    {
        ngx_http_sandbox_op_finish_error(
            idem->op, &ngx_http_sandbox_idempotency_key_reused,
            "This Idempotency-Key was used with another request.");

    } else if (ngx_strcmp(ngx_http_sandbox_reply_string(held, 1), "done") == 0)
    {
        ngx_http_sandbox_idem_replay(idem, held);

    } else {
        ngx_http_sandbox_idem_join(idem,
                                   ngx_http_sandbox_reply_string(held, 4));
    }
}
