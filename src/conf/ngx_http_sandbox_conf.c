/* Directives with parameters of their own; see the header. */

#include "ngx_http_sandbox_conf.h"

#include "ngx_http_sandbox_redis.h"


u_char *
ngx_http_sandbox_param(ngx_str_t *arg, const char *name, ngx_str_t *value)
{
    size_t len;

    len = ngx_strlen(name);

    if (arg->len <= len + 1 || ngx_strncmp(arg->data, name, len) != 0
        || arg->data[len] != '=')
    {
        return NULL;
    }

    value->data = arg->data + len + 1;
    value->len = arg->len - len - 1;

    return value->data;
}


char *
ngx_http_sandbox_invalid_param(ngx_conf_t *cf, ngx_str_t *arg)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", arg);

    return NGX_CONF_ERROR;
}


char *
ngx_http_sandbox_params(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf,
                        ngx_uint_t first, ngx_http_sandbox_param_pt param)
{
    ngx_str_t *args;
    ngx_uint_t i;

    args = cf->args->elts;

    for (i = first; i < cf->args->nelts; i++) {
        if (param(mcf, &args[i]) != NGX_OK) {
            return ngx_http_sandbox_invalid_param(cf, &args[i]);
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_sandbox_params_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_flag_t *given;
    ngx_http_sandbox_params_t *params = cmd->post;

    given = (ngx_flag_t *) ((u_char *) conf + cmd->offset);

    if (*given) {
        return "is duplicate";
    }

    *given = 1;

    return ngx_http_sandbox_params(cf, conf, 1, params->param);
}


static ngx_int_t
ngx_http_sandbox_redis_param(ngx_http_sandbox_main_conf_t *mcf, ngx_str_t *arg)
{
    ngx_int_t n;
    ngx_str_t value;
    ngx_http_sandbox_redis_conf_t *redis;

    redis = mcf->redis;

    if (ngx_http_sandbox_param(arg, "db", &value)) {
        n = ngx_atoi(value.data, value.len);
        redis->db = n;
        return n == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "user", &redis->username)
        || ngx_http_sandbox_param(arg, "password", &redis->password)
        || ngx_http_sandbox_param(arg, "prefix", &mcf->prefix))
    {
        return NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "timeout", &value)) {
        n = ngx_parse_time(&value, 0);
        redis->timeout = n;
        return n <= 0 ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "connect_timeout", &value)) {
        n = ngx_parse_time(&value, 0);
        redis->connect_timeout = n;
        return n <= 0 ? NGX_ERROR : NGX_OK;
    }

    return NGX_ERROR;
}


char *
ngx_http_sandbox_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_main_conf_t *mcf = conf;

    ngx_url_t u;
    ngx_str_t *value;

    if (mcf->redis) {
        return "is duplicate";
    }

    mcf->redis = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_redis_conf_t));
    if (mcf->redis == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->redis->timeout = 1000;
    mcf->redis->connect_timeout = 1000;
    ngx_str_set(&mcf->prefix, "sbx:");

    value = cf->args->elts;

    if (ngx_http_sandbox_params(cf, mcf, 2, ngx_http_sandbox_redis_param)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (mcf->prefix.len > NGX_HTTP_SANDBOX_PREFIX_MAX) {
        return "has a \"prefix\" that is too long";
    }

    /* the first braces of a key are its hash tag */
    if (ngx_strlchr(mcf->prefix.data, mcf->prefix.data + mcf->prefix.len, '{')
        || ngx_strlchr(mcf->prefix.data, mcf->prefix.data + mcf->prefix.len,
                       '}'))
    {
        return "has a \"prefix\" with braces";
    }

    if (mcf->redis->username.len && mcf->redis->password.len == 0) {
        return "has a \"user\" without a \"password\"";
    }

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url = value[1];
    u.default_port = 6379;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK || u.naddrs == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"%V\"",
                           u.err ? u.err : "no address", &u.url);
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(&mcf->redis->addr, u.addrs[0].sockaddr, u.addrs[0].socklen);
    mcf->redis->socklen = u.addrs[0].socklen;
    mcf->redis->name = u.addrs[0].name;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_sandbox_subnet(ngx_http_sandbox_main_conf_t *mcf, ngx_str_t *value)
{
    ngx_cidr_t cidr;

    if (ngx_ptocidr(value, &cidr) != NGX_OK || cidr.family != AF_INET) {
        return NGX_ERROR;
    }

    mcf->subnet = ntohl(cidr.u.in.addr);
    mcf->subnet_bits = 32;

    while (mcf->subnet_bits
           && !(ntohl(cidr.u.in.mask) & (1u << (32 - mcf->subnet_bits))))
    {
        mcf->subnet_bits--;
    }

    /* at least a gateway and one guest, at most a /8 */
    return mcf->subnet_bits < 8 || mcf->subnet_bits > 30 ? NGX_ERROR : NGX_OK;
}


char *
ngx_http_sandbox_network(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_main_conf_t *mcf = conf;

    char **dns;
    ngx_str_t *args, value;
    ngx_uint_t i, ndns;

    if (mcf->hypervisor.bridge) {
        return "is duplicate";
    }

    args = cf->args->elts;
    ndns = 0;

    dns = ngx_pcalloc(cf->pool, cf->args->nelts * sizeof(char *));
    if (dns == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_sandbox_param(&args[i], "bridge", &value)
            && sandbox_network_is_bridge((char *) value.data))
        {
            mcf->hypervisor.bridge = (char *) value.data;
            continue;
        }

        if (ngx_http_sandbox_param(&args[i], "subnet", &value)
            && ngx_http_sandbox_subnet(mcf, &value) == NGX_OK)
        {
            continue;
        }

        if (ngx_http_sandbox_param(&args[i], "dns", &value)
            && ngx_inet_addr(value.data, value.len) != INADDR_NONE)
        {
            dns[ndns++] = (char *) value.data;
            continue;
        }

        return ngx_http_sandbox_invalid_param(cf, &args[i]);
    }

    if (mcf->hypervisor.bridge == NULL || mcf->subnet == 0) {
        return "needs both \"bridge=\" and \"subnet=\"";
    }

    mcf->dns = dns;

    return NGX_CONF_OK;
}


char *
ngx_http_sandbox_thread_pools(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_main_conf_t *mcf = conf;

    ngx_str_t *args, value;
    ngx_uint_t i;

    if (mcf->quick || mcf->slow) {
        return "is duplicate";
    }

    args = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_sandbox_param(&args[i], "quick", &value)) {
            mcf->quick = ngx_thread_pool_add(cf, &value);
            continue;
        }

        if (ngx_http_sandbox_param(&args[i], "slow", &value)) {
            mcf->slow = ngx_thread_pool_add(cf, &value);
            continue;
        }

        if (ngx_http_sandbox_param(&args[i], "refill", &value)) {
            mcf->refill = ngx_thread_pool_add(cf, &value);
            continue;
        }

        if (ngx_http_sandbox_param(&args[i], "tenant_threads", &value)) {
            mcf->tenant_threads = ngx_atoi(value.data, value.len);

            if (mcf->tenant_threads >= 1 && mcf->tenant_threads <= 1024) {
                continue;
            }
        }

        if (ngx_http_sandbox_param(&args[i], "tenant_queue", &value)) {
            mcf->tenant_queue = ngx_atoi(value.data, value.len);

            if (mcf->tenant_queue >= 0 && mcf->tenant_queue <= 65536) {
                continue;
            }
        }

        return ngx_http_sandbox_invalid_param(cf, &args[i]);
    }

    if (mcf->refill == NULL) {
        mcf->refill = mcf->slow;
    }

    if (mcf->quick == NULL || mcf->slow == NULL) {
        return "needs both \"quick=\" and \"slow=\"";
    }

    if (mcf->quick == mcf->slow || mcf->quick == mcf->refill) {
        return "needs two pools: boots would keep everything else waiting";
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_sandbox_limits_param(ngx_http_sandbox_main_conf_t *mcf, ngx_str_t *arg)
{
    ngx_int_t n;
    ngx_str_t value;
    ngx_uint_t i;
    struct {
        const char *name;
        ngx_int_t *limit;
        ngx_int_t max;
    } limits[] = {
        { "vcpus", &mcf->max_vcpus, 1024 },
        { "memory_mb", &mcf->max_memory_mb, 16 * 1024 * 1024 },
        { "disk_mb", &mcf->max_disk_mb, 131072 },
        { "sandboxes", &mcf->max_sandboxes, 1000000 },
    };

    if (ngx_http_sandbox_param(arg, "timeout", &value)) {
        n = ngx_parse_time(&value, 0);
        mcf->max_timeout = n;
        return n <= 0 ? NGX_ERROR : NGX_OK;
    }

    for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (ngx_http_sandbox_param(arg, limits[i].name, &value)) {
            n = ngx_atoi(value.data, value.len);
            *limits[i].limit = n;
            return n < 1 || n > limits[i].max ? NGX_ERROR : NGX_OK;
        }
    }

    return NGX_ERROR;
}


ngx_http_sandbox_params_t ngx_http_sandbox_limits = {
    ngx_http_sandbox_limits_param
};


static ngx_int_t
ngx_http_sandbox_reconcile_param(ngx_http_sandbox_main_conf_t *mcf,
                                 ngx_str_t *arg)
{
    ngx_int_t n;
    ngx_str_t value;

    if (ngx_http_sandbox_param(arg, "interval", &value)) {
        n = ngx_parse_time(&value, 0);
        mcf->reconcile_interval = n;
        return n < 1000 || n > 3600 * 1000 ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "grace", &value)) {
        n = ngx_parse_time(&value, 0);
        mcf->reconcile_grace = n;
        return n < 0 || n > 24 * 3600 * 1000 ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "orphans", &value)) {
        if (ngx_strcmp(value.data, "destroy") == 0) {
            mcf->reconcile_orphans = NGX_HTTP_SANDBOX_ORPHANS_DESTROY;
            return NGX_OK;
        }

        if (ngx_strcmp(value.data, "keep") == 0) {
            mcf->reconcile_orphans = NGX_HTTP_SANDBOX_ORPHANS_KEEP;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


ngx_http_sandbox_params_t ngx_http_sandbox_reconcile = {
    ngx_http_sandbox_reconcile_param
};


static ngx_int_t
ngx_http_sandbox_warm_pools_param(ngx_http_sandbox_main_conf_t *mcf,
                                  ngx_str_t *arg)
{
    ngx_int_t n;
    ngx_str_t value;

    if (ngx_http_sandbox_param(arg, "parallel", &value)) {
        n = ngx_atoi(value.data, value.len);
        mcf->refill_parallel = n;
        return n < 1 || n > 64 ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "interval", &value)) {
        n = ngx_parse_time(&value, 0);
        mcf->refill_interval = n;
        return n < 500 || n > 3600 * 1000 ? NGX_ERROR : NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "check", &value)) {
        n = ngx_parse_time(&value, 0);
        mcf->refill_check = n;
        return n < 1000 || n > 3600 * 1000 ? NGX_ERROR : NGX_OK;
    }

    return NGX_ERROR;
}


ngx_http_sandbox_params_t ngx_http_sandbox_warm_pools = {
    ngx_http_sandbox_warm_pools_param
};
