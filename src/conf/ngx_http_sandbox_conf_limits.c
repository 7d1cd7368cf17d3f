/* The directives that limit requests; see the header. */

#include "ngx_http_sandbox_conf.h"

#include "ngx_http_sandbox_limits.h"

#define NGX_HTTP_SANDBOX_CONNECTIONS_MAX 65535 /* what a counter holds */
#define NGX_HTTP_SANDBOX_RATE_MAX 1000000


/* "100r/s" or "100r/m", as limit_req has it, or "off". */
static ngx_int_t
ngx_http_sandbox_rate(ngx_http_sandbox_rate_t *rate, ngx_str_t *value)
{
    ngx_int_t n;
    uint64_t scale;

    if (ngx_strcmp(value->data, "off") == 0) {
        rate->interval = 0;
        return NGX_OK;
    }

    if (value->len <= 3) {
        return NGX_ERROR;
    }

    scale = 0;

    if (ngx_strcmp(value->data + value->len - 3, "r/s") == 0) {
        scale = 1000000;

    } else if (ngx_strcmp(value->data + value->len - 3, "r/m") == 0) {
        scale = 60 * 1000000;
    }

    n = ngx_atoi(value->data, value->len - 3);

    if (scale == 0 || n < 1 || n > NGX_HTTP_SANDBOX_RATE_MAX) {
        return NGX_ERROR;
    }

    rate->interval = scale / (uint64_t) n;

    return NGX_OK;
}


/* Reads "rate=" or "burst="; NGX_DECLINED if arg is neither. */
static ngx_int_t
ngx_http_sandbox_rate_param(ngx_http_sandbox_rate_t *rate, ngx_str_t *arg)
{
    ngx_int_t n;
    ngx_str_t value;

    if (ngx_http_sandbox_param(arg, "rate", &value)) {
        return ngx_http_sandbox_rate(rate, &value);
    }

    if (ngx_http_sandbox_param(arg, "burst", &value)) {
        n = ngx_atoi(value.data, value.len);
        rate->burst = (uint64_t) n;
        return n < 0 || n > NGX_HTTP_SANDBOX_RATE_MAX ? NGX_ERROR : NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_sandbox_traffic_param(ngx_http_sandbox_main_conf_t *mcf,
                               ngx_str_t *arg)
{
    ngx_int_t n;
    ngx_str_t value;

    if (ngx_http_sandbox_param(arg, "connections", &value)) {
        n = ngx_atoi(value.data, value.len);
        mcf->max_connections = n;
        return n < 0 || n > NGX_HTTP_SANDBOX_CONNECTIONS_MAX ? NGX_ERROR
                                                             : NGX_OK;
    }

    if (ngx_http_sandbox_param(arg, "age", &value)) {
        n = ngx_parse_time(&value, 0);
        mcf->max_age = n;
        return n == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    return ngx_http_sandbox_rate_param(
        &mcf->rates[NGX_HTTP_SANDBOX_RATE_TRAFFIC], arg);
}


ngx_http_sandbox_params_t ngx_http_sandbox_traffic_limits = {
    ngx_http_sandbox_traffic_param
};


static ngx_int_t
ngx_http_sandbox_api_param(ngx_http_sandbox_main_conf_t *mcf, ngx_str_t *arg)
{
    return ngx_http_sandbox_rate_param(&mcf->rates[NGX_HTTP_SANDBOX_RATE_API],
                                       arg);
}


ngx_http_sandbox_params_t ngx_http_sandbox_api_limits = {
    ngx_http_sandbox_api_param
};


char *
ngx_http_sandbox_wake_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_main_conf_t *mcf = conf;

    ngx_int_t n;
    ngx_str_t *args;

    if (mcf->wake_limited) {
        return "is duplicate";
    }

    mcf->wake_limited = 1;
    args = cf->args->elts;

    if (ngx_strcmp(args[1].data, "off") == 0 && cf->args->nelts == 2) {
        mcf->max_wakes = 0;
        return NGX_CONF_OK;
    }

    n = ngx_atoi(args[1].data, args[1].len);

    if (n < 1) {
        return ngx_http_sandbox_invalid_param(cf, &args[1]);
    }

    mcf->max_wakes = n;

    if (cf->args->nelts == 3) {
        n = ngx_parse_time(&args[2], 0);

        if (n < 1000) {
            return ngx_http_sandbox_invalid_param(cf, &args[2]);
        }

        mcf->wakes_interval = n;
    }

    return NGX_CONF_OK;
}
