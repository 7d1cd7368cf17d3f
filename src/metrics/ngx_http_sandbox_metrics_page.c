/* "sandbox_metrics on": the metrics as a page. */

#include "ngx_http_sandbox_module.h"

#include "ngx_http_sandbox_metrics.h"


static void
ngx_http_sandbox_metrics_free(void *data)
{
    sandbox_text_free(data);
}


/* The page; its memory goes with r. */
static sandbox_text_t *
ngx_http_sandbox_metrics_render(ngx_http_request_t *r)
{
    sandbox_text_t *t;
    ngx_pool_cleanup_t *cln;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(sandbox_text_t));
    if (cln == NULL) {
        return NULL;
    }

    t = cln->data;
    ngx_memzero(t, sizeof(sandbox_text_t));
    cln->handler = ngx_http_sandbox_metrics_free;

    sandbox_text_fmt(t,
                     "# HELP sandbox_build_info The version of the module.\n"
                     "# TYPE sandbox_build_info gauge\n"
                     "sandbox_build_info{version=\"%s\"} 1\n",
                     ngx_http_sandbox_version);
    ngx_http_sandbox_metrics_text(t);

    return sandbox_text_failed(t) ? NULL : t;
}


static ngx_int_t
ngx_http_sandbox_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_buf_t *b;
    ngx_chain_t out;
    sandbox_text_t *t;

    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    t = ngx_http_sandbox_metrics_render(r);
    b = ngx_calloc_buf(r->pool);

    if (t == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = (off_t) t->len;
    ngx_str_set(&r->headers_out.content_type, "text/plain; version=0.0.4");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->memory = 1;
    b->pos = (u_char *) t->data;
    b->last = b->pos + t->len;
    b->last_buf = r == r->main;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


char *
ngx_http_sandbox_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *rv;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_sandbox_loc_conf_t *slcf = conf;
    ngx_http_sandbox_main_conf_t *mcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv != NGX_CONF_OK || !slcf->metrics) {
        return rv;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_module);
    mcf->metrics = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_sandbox_metrics_handler;

    return NGX_CONF_OK;
}
