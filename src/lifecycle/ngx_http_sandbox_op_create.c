/*
 * Creates a sandbox from a template, a snapshot, a running sandbox (fork) or a
 * paused one (resume).  This file has the steps up to the reservation; the
 * record of the source is read in ngx_http_sandbox_create_source.c, the steps
 * after the reservation are in ngx_http_sandbox_create_run.c.
 *
 *   checkout  a member of a warm pool; the end if hit  checkout.lua
 *   peek      is the idempotency key taken?            HMGET
 *   source    its record is read, unless a template    HMGET
 *   admit     an address, a place on the agenda        admit.lua
 *   reserve   key, record, index; all ids fixed        reserve.lua
 *             (of a resume: resume.lua; for a pool: pool_reserve.lua)
 *   take      of a fork: the checkpoint                thread
 *   boot      overlay, domain, guest confirmed         thread
 *   commit    running, answer stored, routes told      commit.lua
 *             (for a pool: pool_ready.lua)
 *
 * ngx_http_sandbox_idem.c handles a key that is taken, by a create that has
 * ended or is still running.
 *
 * A failure undoes the steps: teardown (thread), abandon.lua, release.lua; only
 * then the client is answered.  When Redis does not answer, it is unknown
 * whether a script ran: then nothing is undone here, and the agenda settles
 * what is left.
 */

#include "ngx_http_sandbox_create_parts.h"

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_counts.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_pool.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_snapshot.h"
#include "sandbox_crash.h"
#include "sandbox_digest.h"
#include "sandbox_time.h"

/*
 * Ms for the second read of the key when the node is full: an earlier request
 * with the same key may have taken the last place.
 */
#define NGX_HTTP_SANDBOX_FULL_WAIT_MS 5000


static void ngx_http_sandbox_create_admitted(void *data, redisReply *reply);


static void
ngx_http_sandbox_create_free(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_create_op_t *c = (ngx_http_sandbox_create_op_t *) op;

    if (c->checkout.patience.timer_set) {
        ngx_del_timer(&c->checkout.patience);
    }

    if (c->source == NGX_HTTP_SANDBOX_FOR_POOL) {
        ngx_http_sandbox_count_member(op);

    } else if (c->source != NGX_HTTP_SANDBOX_FROM_PAUSED) {
        ngx_http_sandbox_count_create(op, c->idem.wait_until_ms != 0);

    } else if (op->fence) {
        /* only a resume that has reserved its sandbox is counted */
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_RESUMES,
                                    op->error ? NGX_HTTP_SANDBOX_OUTCOME_FAILED
                                              : NGX_HTTP_SANDBOX_OUTCOME_DONE,
                                    1);
    }

    sandbox_create_free(&c->spec);
    free(c->template_name);
    ngx_free(c);
}


/* The idempotency key is free. */
static void
ngx_http_sandbox_create_go(ngx_http_sandbox_op_t *op)
{
    ngx_http_sandbox_create_op_t *c = (ngx_http_sandbox_create_op_t *) op;

    SANDBOX_CRASH_POINT("create.peek.after");

    if (c->idem.again && c->source != NGX_HTTP_SANDBOX_FROM_PAUSED) {
        ngx_http_sandbox_op_finish_error(
            op, &ngx_http_sandbox_capacity_exceeded,
            "The node runs as many sandboxes as it may.");
        return;
    }

    ngx_http_sandbox_create_next(c);
}


ngx_http_sandbox_create_op_t *
ngx_http_sandbox_create_new(ngx_http_sandbox_ctx_t *ctx,
                            ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_calloc(sizeof(ngx_http_sandbox_create_op_t), ngx_cycle->log);
    if (c == NULL) {
        return NULL;
    }

    ngx_http_sandbox_op_init(&c->op, ctx, done, data);
    c->op.destroy = ngx_http_sandbox_create_free;
    c->idem.op = &c->op;
    c->idem.go = ngx_http_sandbox_create_go;
    c->idem.tenant = c->tenant;
    c->idem.route = NGX_HTTP_SANDBOX_ROUTE_CREATE;

    if (ctx && ctx->tenant.len) {
        ngx_cpystrn((u_char *) c->tenant, ctx->tenant.data, sizeof(c->tenant));
    }

    return c;
}


void
ngx_http_sandbox_create_no_redis(ngx_http_sandbox_create_op_t *c)
{
    ngx_http_sandbox_idem_no_redis(&c->idem);
}


void
ngx_http_sandbox_create_idem_key(ngx_http_sandbox_create_op_t *c,
                                 ngx_http_sandbox_key_t *key)
{
    ngx_http_sandbox_idem_name(&c->idem, key);
}


void
ngx_http_sandbox_create_key_taken(ngx_http_sandbox_create_op_t *c,
                                  redisReply *held)
{
    ngx_http_sandbox_idem_taken(&c->idem, held);
}


void
ngx_http_sandbox_create_keys(ngx_http_sandbox_create_op_t *c,
                             ngx_http_sandbox_create_keys_t *k,
                             ngx_http_sandbox_args_t *a)
{
    ngx_http_sandbox_key_record(&k->record, c->op.id);
    ngx_http_sandbox_key_tenant(&k->index, c->tenant);

    if (ngx_http_sandbox_idem_given(&c->idem)) {
        ngx_http_sandbox_create_idem_key(c, &k->idem);

    } else {
        k->idem = k->record;
        k->idem.name.data = k->idem.buf;
    }

    ngx_http_sandbox_args_init(a);
    ngx_http_sandbox_arg_key(a, &k->record);
    ngx_http_sandbox_arg_key(a, &k->index);
    ngx_http_sandbox_arg_key(a, &k->idem);
}


const char *
ngx_http_sandbox_create_action(const ngx_http_sandbox_create_op_t *c)
{
    return c->spec.hibernate ? NGX_HTTP_SANDBOX_ACTION_HIBERNATE
                             : NGX_HTTP_SANDBOX_ACTION_DESTROY;
}


/* Makes id, tokens and execution of the sandbox, unless it has them. */
static ngx_int_t
ngx_http_sandbox_create_identify(ngx_http_sandbox_create_op_t *c)
{
    char nonce[SANDBOX_TOKEN_SIZE];
    char shard[SANDBOX_SHARD_LEN];
    uint8_t digest[SANDBOX_SHA256_LEN];

    if (c->op.id[0]) {
        return NGX_OK;
    }

    sandbox_id_shard(shard, c->tenant, ngx_strlen(c->tenant));

    if (sandbox_token_make(c->agent_token) != 0
        || (c->traffic_token[0] == '\0'
            && sandbox_token_make(c->traffic_token) != 0)
        || sandbox_token_make(nonce) != 0
        || sandbox_sha256(digest, nonce, sizeof(nonce)) != 0
        || sandbox_id_make(c->op.id, "sb_", shard) != 0
        || (c->source == NGX_HTTP_SANDBOX_FROM_FORK
            && sandbox_id_make(c->checkpoint, "snap_", shard) != 0))
    {
        c->op.id[0] = '\0';
        return NGX_ERROR;
    }

    ngx_memcpy(&c->execution, digest, sizeof(c->execution));

    return NGX_OK;
}


/* Appends the fields of the record that are written only if they are set. */
static void
ngx_http_sandbox_create_optional(const sandbox_create_t *spec,
                                 ngx_http_sandbox_args_t *a)
{
    if (spec->allow_out && *spec->allow_out) {
        ngx_http_sandbox_arg_field(a, "allow_out", spec->allow_out);
    }

    if (spec->deny_out && *spec->deny_out) {
        ngx_http_sandbox_arg_field(a, "deny_out", spec->deny_out);
    }

    ngx_http_sandbox_arg_field(a, "mask_host", spec->mask_host);
    ngx_http_sandbox_arg_field(a, "cwd", spec->cwd);
    /* the guest of a later execution is configured with envs again */
    ngx_http_sandbox_arg_field(a, "envs", spec->envs);
}


void
ngx_http_sandbox_create_record(ngx_http_sandbox_create_op_t *c,
                               ngx_http_sandbox_args_t *a,
                               ngx_http_sandbox_key_t *lives,
                               const char *execution)
{
    ngx_str_t *node;
    const sandbox_create_t *spec;

    node = &ngx_http_sandbox_worker.conf->node;
    spec = &c->spec;

    ngx_http_sandbox_arg_field(a, "tenant", c->tenant);
    ngx_http_sandbox_arg(a, "node");
    ngx_http_sandbox_arg_len(a, node->data, node->len);
    ngx_http_sandbox_arg_field(a, "template", c->template_name);
    ngx_http_sandbox_arg_field_int(a, "vcpus", spec->vcpus);
    ngx_http_sandbox_arg_field_int(a, "memory_mb", spec->memory_mb);
    ngx_http_sandbox_arg_field_int(a, "disk_mb", spec->disk_mb);
    ngx_http_sandbox_arg_field_int(a, "timeout_ms", spec->timeout_ms);
    ngx_http_sandbox_arg_field(a, "timeout_action",
                               ngx_http_sandbox_create_action(c));
    ngx_http_sandbox_arg_field(a, "auto_resume", spec->auto_resume ? "1" : "0");
    ngx_http_sandbox_arg_field(a, "metadata", spec->metadata);
    ngx_http_sandbox_arg_field_int(a, "address", c->address);
    ngx_http_sandbox_arg_field(a, "execution", execution);
    ngx_http_sandbox_arg_field(a, "agent_token", c->agent_token);
    ngx_http_sandbox_arg_field(a, "traffic_token", c->traffic_token);
    ngx_http_sandbox_arg_field(a, "public_traffic",
                               spec->public_traffic ? "1" : "0");
    ngx_http_sandbox_arg_field(a, "internet_access",
                               spec->internet ? "1" : "0");
    ngx_http_sandbox_create_optional(spec, a);

    switch (c->source) {
    case NGX_HTTP_SANDBOX_FROM_TEMPLATE:
        break;

    case NGX_HTTP_SANDBOX_FOR_POOL:
        ngx_http_sandbox_arg_field(a, "pool_version", spec->template->version);
        break;

    case NGX_HTTP_SANDBOX_FROM_SNAPSHOT:
        ngx_http_sandbox_key_snapshot_lives(lives, c->parent.id);
        ngx_http_sandbox_arg(a, "lives");
        ngx_http_sandbox_arg_key(a, lives);
        break;

    case NGX_HTTP_SANDBOX_FROM_FORK:
        ngx_http_sandbox_arg_field(a, "fork_of", c->parent.id);
        ngx_http_sandbox_arg_field(a, "checkpoint", c->checkpoint);
        break;

    case NGX_HTTP_SANDBOX_FROM_PAUSED:
        ngx_http_sandbox_arg_field(a, "origin", c->resume.origin);
        ngx_http_sandbox_arg_field(a, "checkpoint", c->checkpoint);
        break;
    }
}


static ngx_int_t
ngx_http_sandbox_create_reserve(ngx_http_sandbox_create_op_t *c)
{
    char execution[17];
    int64_t busy;
    ngx_uint_t nkeys;
    ngx_http_sandbox_create_keys_t keys;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    if (c->source == NGX_HTTP_SANDBOX_FROM_PAUSED) {
        return ngx_http_sandbox_create_reserve_resume(c);
    }

    ngx_snprintf((u_char *) execution, sizeof(execution), "%016xL%Z",
                 c->execution);

    if (c->source == NGX_HTTP_SANDBOX_FOR_POOL) {
        return ngx_http_sandbox_member_reserve(c, execution);
    }

    ngx_http_sandbox_create_keys(c, &keys, &a);

    if (c->source != NGX_HTTP_SANDBOX_FROM_TEMPLATE) {
        ngx_http_sandbox_key_of(&keys.parent, c->parent.id);
        ngx_http_sandbox_arg_key(&a, &keys.parent);
    }

    nkeys = a.n;
    busy = c->source == NGX_HTTP_SANDBOX_FROM_FORK
               ? (int64_t) (mcf->boot_timeout + mcf->lease)
               : 0;

    ngx_http_sandbox_arg(&a, c->idem.fingerprint);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    ngx_http_sandbox_arg_int(&a, c->admitted_until);
    ngx_http_sandbox_arg_int(&a, busy);
    ngx_http_sandbox_arg_int(&a, ngx_http_sandbox_idem_kept());
    ngx_http_sandbox_create_record(c, &a, &keys.lives, execution);

    SANDBOX_CRASH_POINT("create.reserve.before");
    c->reserving_ms = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_reserved, c,
        &ngx_http_sandbox_lua_reserve, nkeys, a.n, a.values);
}


/* A new create that a client asks for, with its Idempotency-Key. */
static ngx_http_sandbox_create_op_t *
ngx_http_sandbox_create_keyed(ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                              const uint8_t *fingerprint,
                              ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_new(ctx, done, data);

    if (c
        && ngx_http_sandbox_idem_init(&c->idem, idem_key, fingerprint)
               != NGX_OK) {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    return c;
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_create(sandbox_create_t *create,
                           ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                           ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_keyed(ctx, idem_key, create->fingerprint, done,
                                      data);
    if (c == NULL) {
        return NULL;
    }

    c->spec = *create;

    if (create->snapshot_id) {
        c->source = NGX_HTTP_SANDBOX_FROM_SNAPSHOT;

    } else {
        c->template_name = strdup(create->template->name);
        if (c->template_name == NULL) {
            ngx_http_sandbox_op_discard(&c->op);
            return NULL;
        }
    }

    if (create->pool_id
        && !ngx_http_sandbox_pool_id(c->checkout.pool, c->tenant,
                                     create->pool_id,
                                     ngx_strlen(create->pool_id)))
    {
        c->checkout.pool[0] = '\0';
    }

    SANDBOX_CRASH_POINT("create.peek.before");

    /* checkout.lua looks at the key, too */
    if ((c->checkout.pool[0] ? ngx_http_sandbox_create_checkout(c)
                             : ngx_http_sandbox_idem_peek(&c->idem))
        != NGX_OK)
    {
        free(c->template_name);
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    ngx_memzero(create, sizeof(sandbox_create_t));

    return &c->op;
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_recall(const uint8_t *fingerprint,
                           ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                           ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_keyed(ctx, idem_key, fingerprint, done, data);
    if (c == NULL) {
        return NULL;
    }

    c->idem.go = ngx_http_sandbox_op_finish;

    if (ngx_http_sandbox_idem_peek(&c->idem) != NGX_OK) {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    return &c->op;
}


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_fork(const char *id, ngx_http_sandbox_ctx_t *ctx,
                         ngx_str_t *idem_key, sandbox_snapshot_t *body,
                         ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_keyed(ctx, idem_key, body->fingerprint, done,
                                      data);
    if (c == NULL) {
        return NULL;
    }

    c->source = NGX_HTTP_SANDBOX_FROM_FORK;
    ngx_cpystrn((u_char *) c->parent.id, (u_char *) id, sizeof(c->parent.id));
    c->idem.route = NGX_HTTP_SANDBOX_ROUTE_FORK;

    if (ngx_http_sandbox_idem_peek(&c->idem) != NGX_OK) {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    if (body->given) {
        c->spec.metadata = body->metadata;
        body->metadata = NULL;
    }

    return &c->op;
}


void
ngx_http_sandbox_create_next(ngx_http_sandbox_create_op_t *c)
{
    if (c->spec.pool_id && c->checkout.pool[0] == '\0') {
        ngx_http_sandbox_op_finish_error(&c->op,
                                         &ngx_http_sandbox_warm_pool_not_found,
                                         "There is no such warm pool.");

    } else if (c->spec.pool_id && !c->checkout.missed) {
        if (ngx_http_sandbox_create_checkout(c) != NGX_OK) {
            ngx_http_sandbox_create_no_redis(c);
        }

    } else if (c->source == NGX_HTTP_SANDBOX_FROM_TEMPLATE) {
        ngx_http_sandbox_create_admit(c);

    } else {
        ngx_http_sandbox_create_source(c);
    }
}


void
ngx_http_sandbox_create_admit(ngx_http_sandbox_create_op_t *c)
{
    uint32_t hosts;
    ngx_http_sandbox_key_t host;
    ngx_http_sandbox_node_keys_t keys;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    if (ngx_http_sandbox_create_identify(c) != NGX_OK) {
        ngx_http_sandbox_op_finish_error(&c->op,
                                         &ngx_http_sandbox_internal_error,
                                         "The kernel gives no randomness.");
        return;
    }

    SANDBOX_CRASH_POINT("create.admit.before");
    mcf = ngx_http_sandbox_worker.conf;
    hosts = 1u << (32 - mcf->subnet_bits);

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_node_keys(&keys, &a);
    ngx_http_sandbox_key_node(&host, "host");
    ngx_http_sandbox_arg_key(&a, &host);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    /* less the network, the gateway and the broadcast address */
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->subnet + 2);
    ngx_http_sandbox_arg_int(&a, (int64_t) hosts - 3);
    ngx_http_sandbox_arg_int(&a, mcf->max_sandboxes);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.host);

    if (ngx_http_sandbox_redis_eval(
            ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_admitted, c,
            &ngx_http_sandbox_lua_admit, 5, a.n, a.values)
        != NGX_OK)
    {
        ngx_http_sandbox_create_no_redis(c);
    }
}


static void
ngx_http_sandbox_create_admitted(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    int64_t address;

    SANDBOX_CRASH_POINT("create.admit.after");

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    address = ngx_http_sandbox_reply_integer(reply, 0);

    if (address == -2) {
        ngx_snprintf((u_char *) c->op.node, sizeof(c->op.node), "%V%Z",
                     &ngx_http_sandbox_worker.conf->node);
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_no_eligible_runtime_host,
            "Another host has the name of this node.");
        return;
    }

    if (address < 0
        && (c->source == NGX_HTTP_SANDBOX_FROM_PAUSED
            || c->source == NGX_HTTP_SANDBOX_FOR_POOL))
    {
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_capacity_exceeded,
            "The node runs as many sandboxes as it may.");
        return;
    }

    if (address < 0) {
        /* a request with the same key may have just taken the last place */
        ngx_http_sandbox_idem_again(&c->idem, NGX_HTTP_SANDBOX_FULL_WAIT_MS);
        return;
    }

    c->address = (uint32_t) address;
    c->admitted_until = ngx_http_sandbox_reply_integer(reply, 1);

    if (ngx_http_sandbox_create_reserve(c) != NGX_OK) {
        ngx_http_sandbox_create_no_redis(c);
    }
}


/* 1 if outcome says that the source has changed: c waits or reads it again. */
static ngx_uint_t
ngx_http_sandbox_create_unsourced(ngx_http_sandbox_create_op_t *c,
                                  const char *outcome)
{
    if (ngx_strcmp(outcome, "busy") == 0) {
        ngx_http_sandbox_create_source_wait(c);
        return 1;
    }

    if (ngx_strcmp(outcome, "changed") == 0
        || ngx_strcmp(outcome, "conflict") == 0) {
        ngx_http_sandbox_create_source(c);
        return 1;
    }

    return 0;
}


void
ngx_http_sandbox_create_reserved(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    if (reply == NULL) {
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, 0), "late") == 0) {
        /* the admission has run out: the agenda may have taken it back */
        ngx_http_sandbox_op_release(c->op.id);
        ngx_http_sandbox_op_finish_error(
            &c->op, &ngx_http_sandbox_state_store_unavailable,
            "The state store answered too late; try again.");
        return;
    }

    if (ngx_http_sandbox_create_unsourced(
            c, ngx_http_sandbox_reply_string(reply, 0)))
    {
        return;
    }

    if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, 0), "enough") == 0) {
        ngx_http_sandbox_op_release(c->op.id);
        ngx_http_sandbox_op_finish_error(&c->op, &ngx_http_sandbox_conflict,
                                         "The pool wants no more.");
        return;
    }

    if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, 0), "new") != 0) {
        ngx_http_sandbox_op_release(c->op.id);
        c->op.id[0] = '\0'; /* that id is never used again */
        ngx_http_sandbox_idem_taken(&c->idem, reply);
        return;
    }

    SANDBOX_CRASH_POINT("create.reserve.after");
    c->op.fence = ngx_http_sandbox_reply_integer(reply, 1);
    c->created_at = ngx_http_sandbox_reply_integer(reply, 2);

    ngx_http_sandbox_op_hold_lease(&c->op, c->reserving_ms);
    ngx_http_sandbox_create_run(c);
}
