/*
 * /v1/template-warm-pools: the resource and its actions.  Each change is one
 * script; then the pool is tended, and read for the answer.
 */

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_pool.h"
#include "ngx_http_sandbox_pool_lease.h"
#include "ngx_http_sandbox_pool_object.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_tend.h"
#include "ngx_http_sandbox_wait.h"
#include "sandbox_pool.h"

#define NGX_HTTP_SANDBOX_POOLS_MAX 100 /* of a tenant: a list is one page */

/* When the agenda looks at a new pool, should its creator die. */
#define NGX_HTTP_SANDBOX_POOLS_SOON_MS 1000


typedef enum {
    POOLS_OBJECT = 0,
    POOLS_STATUS,
    POOLS_LIST
} ngx_http_sandbox_pools_view_e;

typedef struct ngx_http_sandbox_pools_s ngx_http_sandbox_pools_t;

/* Answers the request from a script's reply, which is an array. */
typedef void (*ngx_http_sandbox_pools_pt)(ngx_http_sandbox_pools_t *p,
                                          redisReply *reply);

/* The state of a request, in the request's memory pool. */
struct ngx_http_sandbox_pools_s {
    ngx_http_request_t *request;
    const char *tenant;
    char id[SANDBOX_ID_SIZE];
    ngx_http_sandbox_pools_view_e view;
    ngx_uint_t status; /* of the answer */
    ngx_http_sandbox_pools_pt handler;
};

/* What a script that changes a pool is given. */
typedef struct {
    ngx_http_sandbox_key_t pool;
    ngx_http_sandbox_pool_keys_t keys;
    ngx_http_sandbox_args_t args;
} ngx_http_sandbox_pools_call_t;


static void
ngx_http_sandbox_pools_cleanup(void *data)
{
    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis, data);
    }
}


/* NULL when r was answered because memory is out. */
static ngx_http_sandbox_pools_t *
ngx_http_sandbox_pools(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_pools_t *p;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_pools_t));
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NULL;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    p = cln->data;
    ngx_memzero(p, sizeof(ngx_http_sandbox_pools_t));
    p->request = r;
    p->tenant = (const char *) ctx->tenant.data;
    p->status = NGX_HTTP_OK;
    cln->handler = ngx_http_sandbox_pools_cleanup;

    return p;
}


static void
ngx_http_sandbox_pools_none(ngx_http_sandbox_pools_t *p)
{
    ngx_http_sandbox_api_fail(p->request, &ngx_http_sandbox_warm_pool_not_found,
                              "There is no such warm pool.");
}


/*
 * As ngx_http_sandbox_pools(), for the pool that the path names; NULL when r
 * was answered.
 */
static ngx_http_sandbox_pools_t *
ngx_http_sandbox_pools_one(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_pools_t *p;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    p = ngx_http_sandbox_pools(r);
    if (p == NULL) {
        return NULL;
    }

    if (!ngx_http_sandbox_pool_id(p->id, p->tenant, (char *) ctx->sandbox.data,
                                  ctx->sandbox.len))
    {
        ngx_http_sandbox_pools_none(p);
        return NULL;
    }

    return p;
}


/* The body against its schema; NGX_ERROR when r has been answered. */
static ngx_int_t
ngx_http_sandbox_pools_body(ngx_http_request_t *r, int patch,
                            sandbox_pool_spec_t *spec)
{
    ngx_str_t body;
    sandbox_body_error_t *err;
    sandbox_create_limits_t limits;
    sandbox_body_status_t status;

    if (ngx_http_sandbox_wait_body(r, &body, &err) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_sandbox_api_sandbox_limits(r, &limits);

    status = sandbox_pool_parse(spec, patch, (char *) body.data, body.len,
                                &limits, err);
    if (status != SANDBOX_BODY_OK) {
        ngx_http_sandbox_wait_refuse(r, status, err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_sandbox_pools_replied(void *data, redisReply *reply)
{
    ngx_http_sandbox_pools_t *p = data;

    ngx_connection_t *c;

    c = p->request->connection;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_api_no_store(p->request);
    } else {
        p->handler(p, reply);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_sandbox_pools_eval(ngx_http_sandbox_pools_t *p,
                            ngx_http_sandbox_script_t *script, ngx_uint_t nkeys,
                            ngx_http_sandbox_args_t *a,
                            ngx_http_sandbox_pools_pt handler)
{
    p->handler = handler;

    if (ngx_http_sandbox_redis_eval(ngx_http_sandbox_worker.redis,
                                    ngx_http_sandbox_pools_replied, p, script,
                                    nkeys, a->n, a->values)
        != NGX_OK)
    {
        ngx_http_sandbox_api_no_store(p->request);
    }
}


static void
ngx_http_sandbox_pools_answer(ngx_http_sandbox_pools_t *p, redisReply *reply)
{
    size_t i;
    sandbox_text_t t = SANDBOX_TEXT_INIT;
    ngx_http_sandbox_pool_t pool;

    sandbox_text_str(&t, p->view == POOLS_LIST ? "[" : "");

    for (i = 0; i < reply->elements; i++) {
        if (ngx_http_sandbox_pool_row(&pool, reply->element[i]) != NGX_OK) {
            continue;
        }

        if (p->view == POOLS_STATUS) {
            ngx_http_sandbox_pool_status(&t, &pool);
            continue;
        }

        sandbox_text_str(&t, t.len > 1 ? "," : "");
        ngx_http_sandbox_pool_object(&t, &pool);
    }

    sandbox_text_str(&t, p->view == POOLS_LIST ? "]" : "");

    if (t.len == 0 && !sandbox_text_failed(&t)) {
        ngx_http_sandbox_pools_none(p);
    } else {
        ngx_http_sandbox_wait_text(p->request, p->status, &t);
    }

    sandbox_text_free(&t);
}


/* Reads one pool, or all of them, for the answer. */
static void
ngx_http_sandbox_pools_start(ngx_http_sandbox_pools_t *p)
{
    char shard[SANDBOX_SHARD_LEN];
    ngx_http_sandbox_key_t index, pools;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_pools(&index, p->tenant);
    ngx_http_sandbox_arg_key(&a, &index);

    sandbox_id_shard(shard, p->tenant, ngx_strlen(p->tenant));
    ngx_http_sandbox_key_shard(&pools, shard, "pool");
    ngx_http_sandbox_arg_key(&a, &pools);
    ngx_http_sandbox_arg(&a, p->id);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_POOLS_MAX);
    ngx_http_sandbox_pool_fields(&a);

    ngx_http_sandbox_pools_eval(p, &ngx_http_sandbox_lua_pool_read, 1, &a,
                                ngx_http_sandbox_pools_answer);
}


/* Appends the keys, and the id, which is the first argument. */
static void
ngx_http_sandbox_pools_call(ngx_http_sandbox_pools_call_t *call,
                            const ngx_http_sandbox_pools_t *p)
{
    ngx_http_sandbox_args_init(&call->args);
    ngx_http_sandbox_key_pool(&call->pool, p->id);
    ngx_http_sandbox_arg_key(&call->args, &call->pool);
    ngx_http_sandbox_pool_keys(&call->keys, p->tenant, &call->args);
    ngx_http_sandbox_arg(&call->args, p->id);
}


/* The JSON that all members will have in common: status and machine. */
static ngx_int_t
ngx_http_sandbox_pools_head(const sandbox_pool_spec_t *spec, sandbox_text_t *t)
{
    ngx_http_sandbox_record_t record;

    ngx_memzero(&record, sizeof(ngx_http_sandbox_record_t));
    record.state = NGX_HTTP_SANDBOX_RUNNING;
    record.template = spec->template_ref;
    record.vcpus = spec->vcpus;
    record.memory_mb = spec->memory_mb;
    record.disk_mb = spec->disk_mb;

    ngx_http_sandbox_object_masked(t, &record, ngx_http_sandbox_object_head());

    return sandbox_text_failed(t) ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_sandbox_pools_arg_int(ngx_http_sandbox_args_t *a, const char *name,
                               int64_t value)
{
    if (value >= 0) {
        ngx_http_sandbox_arg_field_int(a, name, value);
    }
}


/* Appends fields and values of the members that a PATCH may change. */
static void
ngx_http_sandbox_pools_args(ngx_http_sandbox_args_t *a,
                            const sandbox_pool_spec_t *spec)
{
    ngx_http_sandbox_pools_arg_int(a, "min_ready", spec->min_ready);
    ngx_http_sandbox_pools_arg_int(a, "max_ready", spec->max_ready);
    ngx_http_sandbox_pools_arg_int(a, "idle_timeout_ms", spec->idle_timeout_ms);
    ngx_http_sandbox_pools_arg_int(a, "stale_after_ms", spec->stale_after_ms);
    ngx_http_sandbox_arg_field(a, "checkout_policy", spec->checkout_policy);
    ngx_http_sandbox_arg_field(a, "version_policy", spec->version_policy);
    ngx_http_sandbox_arg_field(a, "track_tag", spec->track_tag);
    ngx_http_sandbox_arg_field(a, "labels", spec->labels);
    ngx_http_sandbox_arg_field(a, "metadata", spec->metadata);
}


static void
ngx_http_sandbox_pools_taken(ngx_http_sandbox_pools_t *p)
{
    ngx_http_sandbox_api_fail_field(p->request, &ngx_http_sandbox_conflict,
                                    "Another warm pool has this name.", "name",
                                    "is that of another warm pool");
}


static void
ngx_http_sandbox_pools_created(ngx_http_sandbox_pools_t *p, redisReply *reply)
{
    u_char buf[128], *end;
    const char *outcome;

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "taken") == 0) {
        ngx_http_sandbox_pools_taken(p);
        return;
    }

    if (ngx_strcmp(outcome, "new") != 0) {
        ngx_http_sandbox_api_fail(
            p->request, &ngx_http_sandbox_quota_exceeded,
            "The limit of warm pools is reached; delete one that is not "
            "needed.");
        return;
    }

    end = ngx_slprintf(buf, buf + sizeof(buf), "/v1/template-warm-pools/%s",
                       p->id);

    if (ngx_http_sandbox_api_header(p->request, "Location", (char *) buf,
                                    end - buf)
        != NGX_OK)
    {
        ngx_http_finalize_request(p->request, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_sandbox_tend(p->id);
    ngx_http_sandbox_pools_start(p);
}


static void
ngx_http_sandbox_pools_create(ngx_http_sandbox_pools_t *p,
                              const sandbox_pool_spec_t *spec,
                              const sandbox_text_t *head)
{
    ngx_http_sandbox_args_t *a;
    ngx_http_sandbox_main_conf_t *mcf;
    ngx_http_sandbox_pools_call_t call;

    mcf = ngx_http_sandbox_worker.conf;
    a = &call.args;

    ngx_http_sandbox_pools_call(&call, p);
    ngx_http_sandbox_arg(a, spec->name);
    ngx_http_sandbox_arg_int(a, NGX_HTTP_SANDBOX_POOLS_MAX);
    ngx_http_sandbox_arg_int(a, (int64_t) mcf->lease);
    ngx_http_sandbox_pools_args(a, spec);
    ngx_http_sandbox_arg_field(a, "tenant", p->tenant);
    ngx_http_sandbox_arg(a, "node");
    ngx_http_sandbox_arg_len(a, mcf->node.data, mcf->node.len);
    ngx_http_sandbox_arg_field(a, "template", spec->template_ref);
    ngx_http_sandbox_arg_field(a, "version", spec->template->version);
    ngx_http_sandbox_pools_arg_int(a, "vcpus", spec->vcpus);
    ngx_http_sandbox_pools_arg_int(a, "memory_mb", spec->memory_mb);
    ngx_http_sandbox_pools_arg_int(a, "disk_mb", spec->disk_mb);

    /* the members without their braces; checkout.lua puts the id before them */
    ngx_http_sandbox_arg(a, "head");
    ngx_http_sandbox_arg_len(a, head->data + 1, head->len - 2);

    /* before the pool exists, so that the agenda cannot miss it */
    ngx_http_sandbox_schedule_in(p->id, NGX_HTTP_SANDBOX_POOLS_SOON_MS);
    ngx_http_sandbox_pool_lease_begin(p->id, (int64_t) mcf->lease);

    ngx_http_sandbox_pools_eval(p, &ngx_http_sandbox_lua_pool_create, 3, a,
                                ngx_http_sandbox_pools_created);
}


void
ngx_http_sandbox_api_create_pool(ngx_http_request_t *r)
{
    char shard[SANDBOX_SHARD_LEN];
    sandbox_text_t head = SANDBOX_TEXT_INIT;
    sandbox_pool_spec_t spec;
    ngx_http_sandbox_pools_t *p;

    p = ngx_http_sandbox_pools(r);

    if (p == NULL || ngx_http_sandbox_pools_body(r, 0, &spec) != NGX_OK) {
        return;
    }

    p->status = NGX_HTTP_CREATED;
    sandbox_id_shard(shard, p->tenant, ngx_strlen(p->tenant));

    if (sandbox_id_make(p->id, NGX_HTTP_SANDBOX_POOL_PREFIX, shard) != 0
        || ngx_http_sandbox_pools_head(&spec, &head) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);

    } else {
        ngx_http_sandbox_pools_create(p, &spec, &head);
    }

    sandbox_text_free(&head);
    sandbox_pool_free(&spec);
}


static void
ngx_http_sandbox_pools_get(ngx_http_request_t *r,
                           ngx_http_sandbox_pools_view_e view)
{
    ngx_http_sandbox_pools_t *p;

    p = view == POOLS_LIST ? ngx_http_sandbox_pools(r)
                           : ngx_http_sandbox_pools_one(r);

    if (p) {
        p->view = view;
        ngx_http_sandbox_pools_start(p);
    }
}


void
ngx_http_sandbox_api_list_pools(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_get(r, POOLS_LIST);
}


void
ngx_http_sandbox_api_get_pool(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_get(r, POOLS_OBJECT);
}


void
ngx_http_sandbox_api_pool_status(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_get(r, POOLS_STATUS);
}


/* Answers by the outcome of pool_change.lua. */
static void
ngx_http_sandbox_pools_changed(ngx_http_sandbox_pools_t *p, redisReply *reply)
{
    const char *outcome;

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "changed") == 0) {
        ngx_http_sandbox_tend(p->id);
        ngx_http_sandbox_pools_start(p);

    } else if (ngx_strcmp(outcome, "taken") == 0) {
        ngx_http_sandbox_pools_taken(p);

    } else if (ngx_strcmp(outcome, "none") == 0) {
        ngx_http_sandbox_pools_none(p);

    } else if (ngx_strcmp(ngx_http_sandbox_reply_string(reply, 1), "max_ready")
               == 0)
    {
        ngx_http_sandbox_api_fail_field(
            p->request, &ngx_http_sandbox_invalid_request,
            "A member of the body is not valid.", "max_ready",
            "must be at least min_ready");

    } else {
        ngx_http_sandbox_api_fail_field(
            p->request, &ngx_http_sandbox_invalid_request,
            "A member of the body is not valid.", "track_tag",
            "goes together with version_policy \"track_tag\"");
    }
}


/* state: the new one of the pool, or "" for none; spec may be NULL. */
static void
ngx_http_sandbox_pools_change(ngx_http_sandbox_pools_t *p, const char *state,
                              const sandbox_pool_spec_t *spec)
{
    ngx_http_sandbox_pools_call_t call;

    ngx_http_sandbox_pools_call(&call, p);
    ngx_http_sandbox_arg(&call.args, state);
    ngx_http_sandbox_arg(&call.args, spec && spec->name ? spec->name : "");

    if (spec) {
        ngx_http_sandbox_pools_args(&call.args, spec);
    }

    ngx_http_sandbox_pools_eval(p, &ngx_http_sandbox_lua_pool_change, 3,
                                &call.args, ngx_http_sandbox_pools_changed);
}


void
ngx_http_sandbox_api_patch_pool(ngx_http_request_t *r)
{
    sandbox_pool_spec_t spec;
    ngx_http_sandbox_pools_t *p;

    p = ngx_http_sandbox_pools_one(r);

    if (p == NULL || ngx_http_sandbox_pools_body(r, 1, &spec) != NGX_OK) {
        return;
    }

    ngx_http_sandbox_pools_change(p, "", &spec);
    sandbox_pool_free(&spec);
}


static void
ngx_http_sandbox_pools_lead(ngx_http_request_t *r, const char *state)
{
    ngx_http_sandbox_pools_t *p;

    p = ngx_http_sandbox_pools_one(r);

    if (p && ngx_http_sandbox_wait_nothing(r) == NGX_OK) {
        ngx_http_sandbox_pools_change(p, state, NULL);
    }
}


void
ngx_http_sandbox_api_enable_pool(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_lead(r, "enabled");
}


void
ngx_http_sandbox_api_disable_pool(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_lead(r, "disabled");
}


void
ngx_http_sandbox_api_drain_pool(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_lead(r, "draining");
}


/* Has the pool tended at once, whatever has failed before. */
void
ngx_http_sandbox_api_reconcile_pool(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_lead(r, "");
}


static void
ngx_http_sandbox_pools_deleted(ngx_http_sandbox_pools_t *p, redisReply *reply)
{
    u_char buf[128], *end;
    const char *outcome;

    outcome = ngx_http_sandbox_reply_string(reply, 0);

    if (ngx_strcmp(outcome, "none") == 0) {
        ngx_http_sandbox_pools_none(p);
        return;
    }

    if (ngx_strcmp(outcome, "conflict") == 0) {
        ngx_http_sandbox_api_fail_state(
            p->request, &ngx_http_sandbox_conflict,
            "Drain the warm pool first, and wait until no member is left.",
            ngx_http_sandbox_reply_string(reply, 1));
        return;
    }

    /* tending finds that the pool is gone, and takes it off the agenda */
    ngx_http_sandbox_tend(p->id);

    end = ngx_slprintf(buf, buf + sizeof(buf),
                       "{\"id\":\"%s\",\"status\":\"deleted\"}", p->id);
    ngx_http_sandbox_api_answer(p->request, NGX_HTTP_OK, (char *) buf,
                                end - buf);
}


void
ngx_http_sandbox_api_delete_pool(ngx_http_request_t *r)
{
    ngx_http_sandbox_pools_t *p;
    ngx_http_sandbox_pools_call_t call;

    p = ngx_http_sandbox_pools_one(r);
    if (p == NULL) {
        return;
    }

    ngx_http_sandbox_pools_call(&call, p);
    ngx_http_sandbox_arg(&call.args, p->tenant);
    ngx_http_sandbox_arg_int(&call.args,
                             (int64_t) ngx_http_sandbox_worker.conf->retention);

    ngx_http_sandbox_pools_eval(p, &ngx_http_sandbox_lua_pool_delete, 3,
                                &call.args, ngx_http_sandbox_pools_deleted);
}
