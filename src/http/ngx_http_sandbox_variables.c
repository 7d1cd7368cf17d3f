/* The variables; docs/directives.md describes them. */

#include "ngx_http_sandbox_variables.h"

#include "ngx_http_sandbox_ctx.h"


static ngx_int_t
ngx_http_sandbox_request_id_variable(ngx_http_request_t *r,
                                     ngx_http_variable_value_t *v,
                                     uintptr_t data)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = ctx->request_id.data;
    v->len = ctx->request_id.len;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


/* $sandbox_host: the Host for the guest, the client's or the masked one. */
static ngx_int_t
ngx_http_sandbox_host_variable(ngx_http_request_t *r,
                               ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t *host;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    host = &r->headers_in.server;

    if (ctx && ctx->host.len) {
        host = &ctx->host;

    } else if (r->headers_in.host) {
        host = &r->headers_in.host->value;
    }

    v->data = host->data;
    v->len = host->len;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


/*
 * $sandbox_connection, for the guest: "upgrade" if the client wants an upgrade,
 * else empty, which lets "keepalive" keep the connection.
 */
static ngx_int_t
ngx_http_sandbox_connection_variable(ngx_http_request_t *r,
                                     ngx_http_variable_value_t *v,
                                     uintptr_t data)
{
    static ngx_str_t upgrade = ngx_string("upgrade");

    v->data = upgrade.data;
    v->len = r->headers_in.upgrade && r->headers_in.upgrade->value.len
                 ? upgrade.len
                 : 0;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_http_variable_t ngx_http_sandbox_variables[] = {
    { ngx_string("sandbox_request_id"), NULL,
      ngx_http_sandbox_request_id_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sandbox_host"), NULL, ngx_http_sandbox_host_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* changeable: configurations may have a map of this name */
    { ngx_string("sandbox_connection"), NULL,
      ngx_http_sandbox_connection_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    ngx_http_null_variable
};


ngx_int_t
ngx_http_sandbox_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *v, *var;

    for (v = ngx_http_sandbox_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
    }

    return NGX_OK;
}
