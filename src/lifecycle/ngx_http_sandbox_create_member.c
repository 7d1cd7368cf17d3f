/*
 * A create for a warm pool: as any other from a template, except for its
 * reservation and its commit.  No request waits for it, and no tenant sees the
 * sandbox before a create claims it.
 */

#include "ngx_http_sandbox_create_parts.h"

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_pool.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_tend.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_crash.h"
#include "sandbox_time.h"


ngx_int_t
ngx_http_sandbox_op_member(const ngx_http_sandbox_shape_t *shape,
                           ngx_http_sandbox_op_done_pt done, void *data)
{
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_new(NULL, done, data);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->source = NGX_HTTP_SANDBOX_FOR_POOL;
    ngx_cpystrn((u_char *) c->tenant, (u_char *) shape->tenant,
                sizeof(c->tenant));
    ngx_cpystrn((u_char *) c->member.pool, (u_char *) shape->pool,
                sizeof(c->member.pool));

    c->member.fence = shape->fence;

    c->spec.template = shape->template;
    c->spec.vcpus = shape->vcpus;
    c->spec.memory_mb = shape->memory_mb;
    c->spec.disk_mb = shape->disk_mb;
    c->spec.public_traffic = 1;
    c->spec.internet = 1;
    c->spec.metadata = strdup("{}");
    c->template_name = strdup(shape->name);

    if (c->spec.metadata == NULL || c->template_name == NULL) {
        sandbox_create_free(&c->spec);
        free(c->template_name);
        ngx_http_sandbox_op_discard(&c->op);
        return NGX_ERROR;
    }

    ngx_http_sandbox_create_admit(c);

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_member_reserve(ngx_http_sandbox_create_op_t *c,
                                const char *execution)
{
    ngx_http_sandbox_key_t record, pool;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, c->op.id);
    ngx_http_sandbox_key_pool(&pool, c->member.pool);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &pool);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) mcf->lease);
    ngx_http_sandbox_arg_int(&a, c->admitted_until);
    ngx_http_sandbox_arg_int(&a, mcf->refill_parallel);
    ngx_http_sandbox_arg_int(&a, c->member.fence);
    ngx_http_sandbox_create_record(c, &a, NULL, execution);

    SANDBOX_CRASH_POINT("member.reserve.before");
    c->reserving_ms = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_reserved, c,
        &ngx_http_sandbox_lua_pool_reserve, 2, a.n, a.values);
}


static void
ngx_http_sandbox_member_committed(void *data, redisReply *reply)
{
    ngx_http_sandbox_create_op_t *c = data;

    int64_t outcome;

    SANDBOX_CRASH_POINT("member.commit.after");

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        /* pool_ready.lua may have run: the agenda finds out */
        ngx_http_sandbox_create_no_redis(c);
        return;
    }

    outcome = ngx_http_sandbox_reply_integer(reply, 0);

    if (outcome != 1) {
        ngx_http_sandbox_create_fenced(c);
        c->lost = outcome < 0;
        ngx_http_sandbox_create_undo(c);
        return;
    }

    ngx_http_sandbox_schedule_postpone_at(
        c->op.id, ngx_http_sandbox_reply_integer(reply, 1));
    ngx_http_sandbox_create_log(c);

    c->op.status = NGX_HTTP_CREATED;
    ngx_http_sandbox_op_finish(&c->op);
}


ngx_int_t
ngx_http_sandbox_member_commit(ngx_http_sandbox_create_op_t *c)
{
    ngx_http_sandbox_key_t record, pool, events;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, c->op.id);
    ngx_http_sandbox_key_pool(&pool, c->member.pool);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &pool);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, c->op.fence);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg(&a, c->member.pool);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_POOL);

    SANDBOX_CRASH_POINT("member.commit.before");
    c->committing_ms = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_member_committed, c,
        &ngx_http_sandbox_lua_pool_ready, 2, a.n, a.values);
}
