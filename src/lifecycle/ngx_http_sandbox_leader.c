/* Which worker reconciles the node; see the header. */

#include "ngx_http_sandbox_leader.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_scripts.h"

/* For which a silent host keeps its name. */
#define NGX_HTTP_SANDBOX_LEADER_HOST_MS 60000


void
ngx_http_sandbox_leader_start(void)
{
    size_t len;
    FILE *file;
    char *host;

    host = ngx_http_sandbox_worker.host;
    file = fopen("/etc/machine-id", "r");

    if (file == NULL) {
        return;
    }

    len = fread(host, 1, sizeof(ngx_http_sandbox_worker.host) - 1, file);
    host[len] = '\0';
    host[strcspn(host, "\n")] = '\0';

    (void) fclose(file);
}


ngx_int_t
ngx_http_sandbox_leader_pulse(ngx_http_sandbox_redis_handler_pt handler,
                              ngx_msec_t ms)
{
    ngx_http_sandbox_key_t lock, host;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_node(&lock, "reconcile");
    ngx_http_sandbox_key_node(&host, "host");
    ngx_http_sandbox_arg_key(&a, &lock);
    ngx_http_sandbox_arg_key(&a, &host);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.owner);
    ngx_http_sandbox_arg_int(&a, (int64_t) ms);
    ngx_http_sandbox_arg(&a, ngx_http_sandbox_worker.host);
    ngx_http_sandbox_arg_int(&a, NGX_HTTP_SANDBOX_LEADER_HOST_MS);

    return ngx_http_sandbox_redis_eval(ngx_http_sandbox_worker.redis, handler,
                                       NULL, &ngx_http_sandbox_lua_lead, 2, a.n,
                                       a.values);
}


static void
ngx_http_sandbox_leader_foreign(ngx_uint_t foreign)
{
    if (foreign == ngx_http_sandbox_worker.foreign) {
        return;
    }

    ngx_http_sandbox_worker.foreign = foreign;
    ngx_http_sandbox_metric_set(NGX_HTTP_SANDBOX_METRIC_FOREIGN, 0, foreign);

    if (foreign) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "sandbox: another host is the node \"%V\" in this Redis; "
                      "nothing is made, reached or ended here before "
                      "\"sandbox_node\" or the \"prefix\" differ",
                      &ngx_http_sandbox_worker.conf->node);

    } else {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "sandbox: the node \"%V\" is this host now",
                      &ngx_http_sandbox_worker.conf->node);
    }
}


ngx_uint_t
ngx_http_sandbox_leader_is(redisReply *reply)
{
    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) {
        ngx_http_sandbox_worker.ours = 0;
        return 0;
    }

    ngx_http_sandbox_leader_foreign(reply->integer < 0);
    ngx_http_sandbox_worker.ours = reply->integer >= 0;

    return reply->integer == 1;
}
