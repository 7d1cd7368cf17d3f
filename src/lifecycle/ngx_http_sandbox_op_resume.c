/*
 * Resumes a paused sandbox: a create from the checkpoint of its hibernation.
 * The head comment of ngx_http_sandbox_op_create.c lists all steps.
 */

#include "ngx_http_sandbox_create_source.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_transition.h"
#include "sandbox_crash.h"
#include "sandbox_digest.h"
#include "sandbox_time.h"


ngx_http_sandbox_op_t *
ngx_http_sandbox_op_resume(const char *id, ngx_http_sandbox_ctx_t *ctx,
                           ngx_str_t *idem_key, ngx_uint_t wake,
                           ngx_http_sandbox_op_done_pt done, void *data)
{
    uint8_t fingerprint[SANDBOX_SHA256_LEN];
    ngx_http_sandbox_create_op_t *c;

    c = ngx_http_sandbox_create_new(ctx, done, data);
    if (c == NULL) {
        return NULL;
    }

    c->source = NGX_HTTP_SANDBOX_FROM_PAUSED;
    c->idem.route = NGX_HTTP_SANDBOX_ROUTE_RESUME;
    c->resume.wake = wake;
    ngx_cpystrn((u_char *) c->parent.id, (u_char *) id, sizeof(c->parent.id));

    /* the body says nothing: requests differ by the id only */
    if ((idem_key
         && (sandbox_sha256(fingerprint, id, ngx_strlen(id)) != 0
             || ngx_http_sandbox_idem_init(&c->idem, idem_key, fingerprint)
                    != NGX_OK))
        || (idem_key ? ngx_http_sandbox_idem_peek(&c->idem)
                     : ngx_http_sandbox_source_ask(c))
               != NGX_OK)
    {
        ngx_http_sandbox_op_discard(&c->op);
        return NULL;
    }

    return &c->op;
}


ngx_int_t
ngx_http_sandbox_create_reserve_resume(ngx_http_sandbox_create_op_t *c)
{
    char execution[17];
    ngx_uint_t nkeys;
    ngx_http_sandbox_key_t record, old, idem, events;
    ngx_http_sandbox_args_t a;

    ngx_snprintf((u_char *) execution, sizeof(execution), "%016xL%Z",
                 c->execution);

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, c->op.id);
    ngx_http_sandbox_key_record(&old, c->parent.id);
    ngx_http_sandbox_key_events(&events);

    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg_key(&a, &old);

    if (ngx_http_sandbox_idem_given(&c->idem)) {
        ngx_http_sandbox_idem_name(&c->idem, &idem);
        ngx_http_sandbox_arg_key(&a, &idem);
    }

    nkeys = a.n;
    ngx_http_sandbox_arg(&a, c->parent.id);
    ngx_http_sandbox_arg(&a, c->op.id);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) ngx_http_sandbox_worker.conf->lease);
    ngx_http_sandbox_arg_int(&a, c->admitted_until);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_RESUME);
    ngx_http_sandbox_arg(&a, c->resume.generation);
    ngx_http_sandbox_arg_int(
        &a, c->resume.wake
                ? (int64_t) ngx_http_sandbox_worker.conf->wakes_interval
                : 0);
    ngx_http_sandbox_arg(&a, c->idem.fingerprint);
    ngx_http_sandbox_arg_int(&a, ngx_http_sandbox_idem_kept());
    ngx_http_sandbox_create_record(c, &a, NULL, execution);

    SANDBOX_CRASH_POINT("resume.reserve.before");
    c->reserving_ms = sandbox_time_monotonic_ms();

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_create_reserved, c,
        &ngx_http_sandbox_lua_resume, nkeys, a.n, a.values);
}
