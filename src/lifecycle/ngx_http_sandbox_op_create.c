/*
 * Creating a sandbox.
 *
 *   peek      is the idempotency key taken?            reserve.lua
 *   admit     an address, a place on the agenda        admit.lua
 *   reserve   key, record, index; all ids fixed        reserve.lua
 *   boot      overlay, domain, guest confirmed         thread
 *   commit    running, answer stored, routes told      commit.lua
 *
 * When the key is taken by a create that is still running, this one joins it:
 * it waits for news of that sandbox and peeks again.
 *
 * A failure walks back: teardown (thread), abandon.lua, release.lua, and only
 * then the client is told.  When Redis does not answer, it is unknown whether
 * a script ran; then nothing is undone here and the agenda settles it.
 */

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_counts.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_boot.h"
#include "sandbox_crash.h"
#include "sandbox_digest.h"
#include "sandbox_text.h"
#include "sandbox_time.h"

#define NGX_HTTP_SANDBOX_ROUTE_CREATE "sandboxes"

/* For the look that tells if a full node is so by the same request; ms. */
#define NGX_HTTP_SANDBOX_FULL_WAIT 5000


typedef struct {
    ngx_http_sandbox_op_t op;

    char tenant[128];
    uint8_t idem[SANDBOX_SHA256_LEN];
    sandbox_create_t spec;
    int64_t created_at;
    int64_t timeout_at;
    uint32_t address; /* host order */
    char agent_token[SANDBOX_TOKEN_SIZE];
    char traffic_token[SANDBOX_TOKEN_SIZE];
    uint64_t execution;

    sandbox_boot_t boot;
    int64_t reserving;  /* monotonic ms */
    int64_t committing; /* monotonic ms */
    int64_t joining;    /* monotonic ms at which it ends; 0: not yet */
    unsigned peeking : 1;
    unsigned full : 1; /* the node is, at least for this one */
    unsigned left : 1; /* could not be undone: the agenda's */
} ngx_http_sandbox_create_op_t;


typedef struct {
    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_key_t index;
    ngx_http_sandbox_key_t idem;
} ngx_http_sandbox_create_keys_t;


static void ngx_http_sandbox_create_peeked(void *data, redisReply *reply);
static void ngx_http_sandbox_create_admitted(void *data, redisReply *reply);
static void ngx_http_sandbox_create_reserved(void *data, redisReply *reply);
static void ngx_http_sandbox_create_boot(void *data, ngx_log_t *log);
static void ngx_http_sandbox_create_booted(ngx_event_t *ev);
static void ngx_http_sandbox_create_committed(void *data, redisReply *reply);
static void ngx_http_sandbox_create_undo(ngx_http_sandbox_create_op_t *c);
static void ngx_http_sandbox_create_teardown(void *data, ngx_log_t *log);
static void ngx_http_sandbox_create_undone(ngx_event_t *ev);
static void ngx_http_sandbox_create_abandon(ngx_http_sandbox_create_op_t *c);


static void
ngx_http_sandbox_create_free(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_create_op_t *c = (ngx_http_sandbox_create_op_t *) op;

    ngx_http_sandbox_count_create(op, c->joining != 0);
    sandbox_create_free(&c->spec);
    ngx_free(c);
}


static void
ngx_http_sandbox_create_no_redis(ngx_http_sandbox_create_op_t *c)
{
    ngx_http_sandbox_op_finish_error(
        &c->op, &ngx_http_sandbox_state_store_unavailable,
        "The state store does not answer; try again with the same key.");
}


/* Whatever went wrong, this is why: the guest died under the creator. */
static void
ngx_http_sandbox_create_fenced(ngx_http_sandbox_create_op_t *c)
{
    c->op.fenced = 1;
    c->op.error = &ngx_http_sandbox_transition_in_progress;
    c->op.message = "The sandbox was deleted while it was created.";
}


/* The three keys of reserve.lua and abandon.lua. */
static void
ngx_http_sandbox_create_keys(ngx_http_sandbox_create_op_t *c,
                             ngx_http_sandbox_create_keys_t *k,
                             ngx_http_sandbox_args_t *a)
{
    ngx_http_sandbox_key_record(&k->record, c->op.id);
    ngx_http_sandbox_key_tenant(&k->index, c->tenant);
    ngx_http_sandbox_key_idem(&k->idem, c->tenant,
                              NGX_HTTP_SANDBOX_ROUTE_CREATE, c->idem);

    a->n = a->nnumbers = 0;
    ngx_http_sandbox_arg_key(a, &k->record);
    ngx_http_sandbox_arg_key(a, &k->index);
    ngx_http_sandbox_arg_key(a, &k->idem);
}


static ngx_int_t
ngx_http_sandbox_create_peek(ngx_http_sandbox_create_op_t *c)
{
    char fingerprint[SANDBOX_SHA256_HEX_SIZE];
    ngx_http_sandbox_create_keys_t keys;
    ngx_http_sandbox_args_t a;

    sandbox_hex(fingerprint, c->spec.fingerprint, SANDBOX_SHA256_LEN);
    c->peeking = 1;

    ngx_http_sandbox_create_keys(c, &keys, &a);
    ngx_http_sandbox_arg(&a, "peek");
    ngx_http_sandbox_arg(&a, fingerprint);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_peeked, c,
        &ngx_http_sandbox_lua_reserve, 3, a.n, a.values);
}


/* Appends the fields and values of the record. */
static void
ngx_http_sandbox_create_record(ngx_http_sandbox_create_op_t *c,
                               ngx_http_sandbox_args_t *a,
                               const char *execution)
{
    ngx_http_sandbox_arg(a, "tenant");
    ngx_http_sandbox_arg(a, c->tenant);
    ngx_http_sandbox_arg(a, "node");
    ngx_http_sandbox_arg_len(a, ngx_http_sandbox_worker.conf->node.data,
                             ngx_http_sandbox_worker.conf->node.len);
    ngx_http_sandbox_arg(a, "template");
    ngx_http_sandbox_arg(a, c->spec.template->name);
    ngx_http_sandbox_arg(a, "vcpus");
    ngx_http_sandbox_arg_int(a, c->spec.vcpus);
    ngx_http_sandbox_arg(a, "memory_mb");
    ngx_http_sandbox_arg_int(a, c->spec.memory_mb);
    ngx_http_sandbox_arg(a, "disk_mb");
    ngx_http_sandbox_arg_int(a, c->spec.disk_mb);
    ngx_http_sandbox_arg(a, "timeout_ms");
    ngx_http_sandbox_arg_int(a, c->spec.timeout_ms);
    ngx_http_sandbox_arg(a, "timeout_action");
    ngx_http_sandbox_arg(a, NGX_HTTP_SANDBOX_ACTION_DESTROY);
    ngx_http_sandbox_arg(a, "metadata");
    ngx_http_sandbox_arg(a, c->spec.metadata);
    ngx_http_sandbox_arg(a, "address");
    ngx_http_sandbox_arg_int(a, c->address);
    ngx_http_sandbox_arg(a, "execution");
    ngx_http_sandbox_arg(a, execution);
    ngx_http_sandbox_arg(a, "agent_token");
    ngx_http_sandbox_arg(a, c->agent_token);
    ngx_http_sandbox_arg(a, "traffic_token");
    ngx_http_sandbox_arg(a, c->traffic_token);
    ngx_http_sandbox_arg(a, "public_traffic");
    ngx_http_sandbox_arg(a, c->spec.public_traffic ? "1" : "0");

    if (c->spec.mask_host) {
        ngx_http_sandbox_arg(a, "mask_host");
        ngx_http_sandbox_arg(a, c->spec.mask_host);
    }

    if (c->spec.cwd) {
        ngx_http_sandbox_arg(a, "cwd");
        ngx_http_sandbox_arg(a, c->spec.cwd);
    }
}


static ngx_int_t
ngx_http_sandbox_create_reserve(ngx_http_sandbox_create_op_t *c)
{
    char fingerprint[SANDBOX_SHA256_HEX_SIZE], execution[17];
    ngx_http_sandbox_create_keys_t keys;
    ngx_http_sandbox_args_t a;

    sandbox_hex(fingerprint, c->spec.fingerprint, SANDBOX_SHA256_LEN);
    ngx_snprintf((u_char *) execution, sizeof(execution), "%016xL%Z",
                 c->execution);

    ngx_http_sandbox_create_keys(c, &keys, &a);
    ngx_http_sandbox_arg(&a, "reserve");
    ngx_http_sandbox_arg(&a, fingerprint);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) ngx_http_sandbox_worker.conf->lease);
    ngx_http_sandbox_create_record(c, &a, execution);

    SANDBOX_CRASH_POINT("create.reserve.before");
    c->reserving = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_reserved, c,
        &ngx_http_sandbox_lua_reserve, 3, a.n, a.values);
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_create(sandbox_create_t *create,
                           ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                           ngx_http_sandbox_op_done_pt done, void *data)
{
    char nonce[SANDBOX_TOKEN_SIZE];
    char shard[SANDBOX_SHARD_LEN];
    uint8_t digest[SANDBOX_SHA256_LEN];
    ngx_http_sandbox_create_op_t *c;

    c = ngx_calloc(sizeof(ngx_http_sandbox_create_op_t), ngx_cycle->log);
    if (c == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(&c->op, ctx, done, data);
    c->op.destroy = ngx_http_sandbox_create_free;

    ngx_cpystrn((u_char *) c->tenant, ctx->tenant.data, sizeof(c->tenant));
    sandbox_id_shard(shard, c->tenant, ngx_strlen(c->tenant));

    if (sandbox_id_make(c->op.id, "sb_", shard) != 0
        || sandbox_token_make(c->agent_token) != 0
        || sandbox_token_make(c->traffic_token) != 0
        || sandbox_token_make(nonce) != 0
        || sandbox_sha256(digest, nonce, sizeof(nonce)) != 0
        || sandbox_sha256(c->idem, idem_key->data, idem_key->len) != 0)
    {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    ngx_memcpy(&c->execution, digest, sizeof(c->execution));

    c->spec = *create;

    SANDBOX_CRASH_POINT("create.peek.before");

    if (ngx_http_sandbox_create_peek(c) != NGX_OK) {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    ngx_memzero(create, sizeof(sandbox_create_t));

    return &c->op;
}


/* There is news of the create this one has joined, or it is time to look. */
static void
ngx_http_sandbox_create_wake(void *data, ngx_str_t *word, ngx_str_t *detail)
{
    ngx_http_sandbox_create_op_t *c = data;

    const ngx_http_sandbox_error_t *error;

    if (c->op.done == NULL) {
        ngx_http_sandbox_op_finish(&c->op);
        return;
    }

    if (word && word->len == sizeof("failed") - 1
        && ngx_strncmp(word->data, "failed", word->len) == 0)
    {
        error = ngx_http_sandbox_code_find(detail->data, detail->len);
        ngx_http_sandbox_op_finish_error(
            &c->op, error ? error : &ngx_http_sandbox_internal_error,
            "The request with this Idempotency-Key that came first failed.");
        return;
    }

    if (sandbox_time_monotonic_ms() >= c->joining) {
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_idempotency_in_progress,
            "A request with this Idempotency-Key is still running.");
        return;
    }

    if (!c->peeking && ngx_http_sandbox_create_peek(c) != NGX_OK) {
        ngx_http_sandbox_create_no_redis(c);
    }
}


/* Waits for the create of first, which has the same key. */
static void
ngx_http_sandbox_create_join(ngx_http_sandbox_create_op_t *c, const char *first)
{
    ngx_msec_t wait;

    wait = ngx_http_sandbox_worker.conf->idem_wait;

    if (c->joining == 0 || c->full) {
        c->full = 0;
        c->joining = sandbox_time_monotonic_ms() + (int64_t) wait;
    }

    if (wait == 0) {
        ngx_http_sandbox_create_wake(c, NULL, NULL);
        return;
    }

    ngx_http_sandbox_await(&c->op.await, first, ngx_http_sandbox_create_wake,
                           c);
}


/* Settles a reply of reserve.lua that says the key is taken. */
static void
ngx_http_sandbox_create_taken(ngx_http_sandbox_create_op_t *c,
                              redisReply *reply)
{
    const char *outcome, *answer;

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "replay") == 0) {
        answer = ngx_http_sandbox_reply_string(reply, 2);
        c->op.status = (ngx_uint_t) ngx_http_sandbox_reply_integer(reply, 1);
        c->op.answer_len = ngx_strlen(answer);
        c->op.answer = ngx_alloc(c->op.answer_len + 1, ngx_cycle->log);
        c->op.replayed = 1;
        ngx_cpystrn((u_char *) c->op.id,
                    (u_char *) ngx_http_sandbox_reply_string(reply, 3),
                    sizeof(c->op.id));

        if (c->op.answer == NULL) {
            ngx_http_sandbox_op_finish_error(
                &c->op, &ngx_http_sandbox_internal_error, "Out of memory.");
            return;
        }

        ngx_memcpy(c->op.answer, answer, c->op.answer_len + 1);
        ngx_http_sandbox_op_finish(&c->op);
        return;
    }

    if (ngx_strcmp(outcome, "running") == 0) {
        ngx_http_sandbox_create_join(c,
                                     ngx_http_sandbox_reply_string(reply, 1));
        return;
    }

    if (ngx_strcmp(outcome, "reused") == 0) {
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_idempotency_key_reused,
            "This Idempotency-Key was used with another request.");
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "sandbox %s: reserve: %s",
                      c->op.id, reply->str);
    }

    ngx_http_sandbox_create_no_redis(c);
}


static void
ngx_http_sandbox_create_peeked(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    uint32_t hosts;
    ngx_http_sandbox_node_keys_t keys;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    SANDBOX_CRASH_POINT("create.peek.after");
    c->peeking = 0;

    if (reply == NULL) {
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, 0), "absent") != 0) {
        ngx_http_sandbox_create_taken(c, reply);
        return;
    }

    if (c->full) {
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_capacity_exceeded,
            "The node runs as many sandboxes as it may.");
        return;
    }

    /* not joined, or the first one left nothing: this one makes it */
    ngx_http_sandbox_await_end(&c->op.await);

    SANDBOX_CRASH_POINT("create.admit.before");
    mcf = ngx_http_sandbox_worker.conf;
    hosts = 1u << (32 - mcf->subnet_bits);

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_node_keys(&keys, &a);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    /* less the network, the gateway and the broadcast address */
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->subnet + 2);
    ngx_http_sandbox_arg_int(&a, (int64_t) hosts - 3);
    ngx_http_sandbox_arg_int(&a, mcf->max_sandboxes);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_admitted, c,
            &ngx_http_sandbox_lua_admit, 4, a.n, a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_create_no_redis(c);
    }
}


static void
ngx_http_sandbox_create_admitted(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    SANDBOX_CRASH_POINT("create.admit.after");

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    if (reply->integer < 0) {
        /* one with the same key may have taken the last place just now */
        c->full = 1;
        c->joining = sandbox_time_monotonic_ms() + NGX_HTTP_SANDBOX_FULL_WAIT;
        ngx_http_sandbox_await(&c->op.await, c->op.id,
                               ngx_http_sandbox_create_wake, c);
        return;
    }

    c->address = (uint32_t) reply->integer;

    if (ngx_http_sandbox_create_reserve(c) != NGX_OK) {
        ngx_http_sandbox_create_no_redis(c);
    }
}


/* What the boot thread needs to know. */
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
    boot->checkpoints = (int) mcf->checkpoints;
    boot->vcpus = (int) c->spec.vcpus;
    boot->memory_mb = c->spec.memory_mb;
    boot->disk_mb = c->spec.disk_mb;
    boot->address = c->address;
    boot->gateway = mcf->subnet + 1;
    boot->prefix = (unsigned) mcf->subnet_bits;
    boot->dns = (const char *const *) mcf->dns;
    boot->agent_token = c->agent_token;
    boot->envs = c->spec.envs;
    boot->cwd = c->spec.cwd;
    boot->queued = sandbox_time_monotonic_ms();
    boot->deadline = boot->queued + (int64_t) mcf->boot_timeout;
}


static void
ngx_http_sandbox_create_reserved(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    ngx_http_sandbox_main_conf_t *mcf;

    if (reply == NULL) {
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, 0), "new") != 0) {
        ngx_http_sandbox_op_release(c->op.id);
        ngx_http_sandbox_create_taken(c, reply);
        return;
    }

    SANDBOX_CRASH_POINT("create.reserve.after");
    mcf = ngx_http_sandbox_worker.conf;
    c->op.fence = ngx_http_sandbox_reply_integer(reply, 1);
    c->created_at = ngx_http_sandbox_reply_integer(reply, 2);

    ngx_http_sandbox_op_hold_lease(&c->op, c->reserving);
    ngx_http_sandbox_create_plan(c, mcf);
    SANDBOX_CRASH_POINT("create.queue.before");

    if (ngx_http_sandbox_op_task(&c->op, mcf->slow,
                                 ngx_http_sandbox_create_boot,
                                 ngx_http_sandbox_create_booted)
        != NGX_OK)
    {
        c->op.error = &ngx_http_sandbox_capacity_exceeded;
        c->op.message = "Too many sandboxes are being created at once.";
        ngx_http_sandbox_create_abandon(c);
    }

    SANDBOX_CRASH_POINT("create.queue.after");
}


/* In a thread. */
static void
ngx_http_sandbox_create_boot(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_create_op_t *c = data;

    if (sandbox_time_monotonic_ms() >= c->op.holds) {
        /* the address may have been given back meanwhile */
        c->boot.result.status = SANDBOX_HV_TIMEOUT;
        ngx_cpystrn((u_char *) c->boot.result.message,
                    (u_char *) "the lease ran out before a thread was free",
                    sizeof(c->boot.result.message));
        return;
    }

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

    case SANDBOX_HV_TIMEOUT:
        c->op.error = &ngx_http_sandbox_capacity_exceeded;
        c->op.message = "The guest did not come up in time.";
        break;

    case SANDBOX_HV_GUEST:
        c->op.error = &ngx_http_sandbox_hypervisor_unavailable;
        c->op.message = "The guest ended while it came up; try again.";
        break;

    default:
        c->op.error = &ngx_http_sandbox_internal_error;
        c->op.message = "The sandbox could not be started.";
    }

    ngx_http_sandbox_op_log(&c->op, NGX_LOG_ERR, "create failed: %s",
                            c->boot.result.message);
}


/* The record as commit.lua will have made it, for the answer. */
static ngx_int_t
ngx_http_sandbox_create_answer(ngx_http_sandbox_create_op_t *c,
                               int64_t started_at)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_record_t record;

    ngx_memzero(&record, sizeof(ngx_http_sandbox_record_t));
    record.id = c->op.id;
    record.tenant = c->tenant;
    record.state = NGX_HTTP_SANDBOX_RUNNING;
    record.template = c->spec.template->name;
    record.vcpus = c->spec.vcpus;
    record.memory_mb = c->spec.memory_mb;
    record.disk_mb = c->spec.disk_mb;
    record.created_at = c->created_at;
    record.started_at = started_at;
    record.timeout_ms = c->spec.timeout_ms;
    record.timeout_at = started_at + c->spec.timeout_ms;
    record.timeout_action = NGX_HTTP_SANDBOX_ACTION_DESTROY;
    record.metadata = c->spec.metadata;
    record.cwd = c->spec.cwd;

    ngx_http_sandbox_object(&t, &record, c->traffic_token);

    if (sandbox_text_failed(&t)) {
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
    ngx_http_sandbox_key_t record, idem, events;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    started_at = sandbox_time_now_ms();

    if (ngx_http_sandbox_create_answer(c, started_at) != NGX_OK) {
        return NGX_ERROR;
    }

    a.n = a.nnumbers = 0;
    ngx_http_sandbox_key_record(&record, c->op.id);
    ngx_http_sandbox_key_idem(&idem, c->tenant, NGX_HTTP_SANDBOX_ROUTE_CREATE,
                              c->idem);
    ngx_http_sandbox_key_events(&events);

    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &idem);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, c->op.fence);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->retention);
    ngx_http_sandbox_arg_int(&a, (int64_t) c->op.status);
    ngx_http_sandbox_arg_len(&a, c->op.answer, c->op.answer_len);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_COMMIT);
    ngx_http_sandbox_arg(&a, "started_at");
    ngx_http_sandbox_arg_int(&a, started_at);
    ngx_http_sandbox_arg(&a, "timeout_at");
    ngx_http_sandbox_arg_int(&a, started_at + c->spec.timeout_ms);

    SANDBOX_CRASH_POINT("create.commit.before");
    c->committing = sandbox_time_monotonic_ms();
    c->timeout_at = started_at + c->spec.timeout_ms;

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_committed, c,
        &ngx_http_sandbox_lua_commit, 2, a.n, a.values);
}


static void
ngx_http_sandbox_create_booted(ngx_event_t *ev)
{
    ngx_http_sandbox_create_op_t *c = ev->data;

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

    if (ngx_http_sandbox_create_commit(c) != NGX_OK) {
        c->op.error = &ngx_http_sandbox_state_store_unavailable;
        c->op.message = "The state store does not answer.";
        ngx_http_sandbox_create_undo(c);
    }
}


static void
ngx_http_sandbox_create_committed(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    ngx_http_sandbox_op_times_t *times;

    SANDBOX_CRASH_POINT("create.commit.after");

    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        /* it may have been committed: the agenda will tell */
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    if (reply->integer < 0) {
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
    ngx_http_sandbox_op_postpone(c->op.id, c->timeout_at);
    SANDBOX_CRASH_POINT("create.agenda.after");

    times = &c->op.times;
    times->queue = c->boot.queue_ms;
    times->hypervisor = c->boot.times;
    times->guest = c->boot.guest_ms;
    times->commit = sandbox_time_monotonic_ms() - c->committing;

    ngx_http_sandbox_op_log(
        &c->op, NGX_LOG_NOTICE,
        "created in %L ms, %s: queue %L, disk %L, domain %L, guest %L, "
        "commit %L",
        sandbox_time_monotonic_ms() - c->op.started,
        c->boot.way != SANDBOX_BOOT_CHECKPOINT ? "cold"
        : c->boot.made                         ? "from a new checkpoint"
                                               : "from a checkpoint",
        times->queue, times->hypervisor.disk_ms, times->hypervisor.domain_ms,
        times->guest, times->commit);

    SANDBOX_CRASH_POINT("create.answer.before");
    ngx_http_sandbox_op_finish(&c->op);
    SANDBOX_CRASH_POINT("create.answer.after");
}


static void
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
        if (reply->integer == 0) {
            /* somebody else's: let the agenda see what is left, now */
            ngx_http_sandbox_create_fenced(c);
            ngx_http_sandbox_op_schedule(c->op.id, sandbox_time_now_ms());

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
