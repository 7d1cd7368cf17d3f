/*
 * Configuration: directives with "name=value" parameters, and the checks that
 * need all directives.  Master process, while it reads the configuration.
 */

#ifndef NGX_HTTP_SANDBOX_CONF_H
#define NGX_HTTP_SANDBOX_CONF_H

#include "ngx_http_sandbox_module.h"

char *ngx_http_sandbox_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_sandbox_network(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *
ngx_http_sandbox_thread_pools(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *
ngx_http_sandbox_wake_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* The value of a "name=value" argument; NULL if name differs or value is "". */
u_char *
ngx_http_sandbox_param(ngx_str_t *arg, const char *name, ngx_str_t *value);

/* Reads one argument of a directive; not NGX_OK if the argument is wrong. */
typedef ngx_int_t (*ngx_http_sandbox_param_pt)(
    ngx_http_sandbox_main_conf_t *mcf, ngx_str_t *arg);

/* Reads the arguments from number first on with param. */
char *
ngx_http_sandbox_params(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf,
                        ngx_uint_t first, ngx_http_sandbox_param_pt param);

/*
 * The handler of a directive that has only parameters.  Its post is one of the
 * structs below; the flag at its offset is set, so that a second directive is
 * refused.
 */
char *
ngx_http_sandbox_params_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

typedef struct {
    ngx_http_sandbox_param_pt param;
} ngx_http_sandbox_params_t;

extern ngx_http_sandbox_params_t ngx_http_sandbox_limits;
extern ngx_http_sandbox_params_t ngx_http_sandbox_traffic_limits;
extern ngx_http_sandbox_params_t ngx_http_sandbox_api_limits;
extern ngx_http_sandbox_params_t ngx_http_sandbox_reconcile;
extern ngx_http_sandbox_params_t ngx_http_sandbox_warm_pools;

/* Logs which argument is wrong; gives NGX_CONF_ERROR. */
char *ngx_http_sandbox_invalid_param(ngx_conf_t *cf, ngx_str_t *arg);

/*
 * Refuses a configuration that lacks what sandbox_api and sandbox_traffic
 * need, and loads the templates.
 */
ngx_int_t
ngx_http_sandbox_conf_check(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf);

#endif
