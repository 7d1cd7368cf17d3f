/* The checks that need all directives; see the header. */

#include "ngx_http_sandbox_conf.h"

#include "ngx_http_sandbox_redis.h"
#include "sandbox_syntax.h"

#define NGX_HTTP_SANDBOX_DOMAIN_MAX 200 /* a label fits before it */


/* The directives without which no location of ours can work. */
static ngx_int_t
ngx_http_sandbox_conf_required(ngx_conf_t *cf,
                               ngx_http_sandbox_main_conf_t *mcf)
{
    ngx_uint_t i;
    struct {
        const char *name;
        ngx_uint_t set;
    } required[] = {
        { "sandbox_redis", mcf->redis != NULL },
        { "sandbox_zone", mcf->zone != NULL },
        { "sandbox_network", mcf->hypervisor.bridge != NULL },
        { "sandbox_templates", mcf->templates_dir.len != 0 },
        { "sandbox_thread_pools", mcf->quick != NULL },
        { "sandbox_domain", mcf->domain.len != 0 || !mcf->traffic },
    };

    for (i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (!required[i].set) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"sandbox_api\" and \"sandbox_traffic\" need "
                               "the directive \"%s\"",
                               required[i].name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* The node's name is a hash tag in keys, and part of log lines. */
static ngx_int_t
ngx_http_sandbox_conf_node(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf)
{
    size_t i;
    u_char c;

    for (i = 0; i < mcf->node.len; i++) {
        c = mcf->node.data[i];

        if (c <= ' ' || c > '~' || c == '{' || c == '}') {
            break;
        }
    }

    if (mcf->node.len == 0 || i < mcf->node.len
        || mcf->node.len > NGX_HTTP_SANDBOX_PREFIX_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid sandbox_node \"%V\": it takes 1 to %d "
                           "visible characters other than braces",
                           &mcf->node, NGX_HTTP_SANDBOX_PREFIX_MAX);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Labels of letters, digits and inner "-", with dots between them. */
static ngx_int_t
ngx_http_sandbox_conf_domain(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf)
{
    size_t i, len;
    u_char c, before;

    len = mcf->domain.len;

    if (len > 1 && mcf->domain.data[len - 1] == '.') {
        len--;
    }

    before = '.';

    for (i = 0; i < len; i++) {
        c = mcf->domain.data[i];

        if (!isalnum(c) && !(c == '-' && before != '.')
            && !(c == '.' && before != '.' && before != '-'))
        {
            break;
        }

        before = c;
    }

    if (i < len || (len && !isalnum(before))
        || len > NGX_HTTP_SANDBOX_DOMAIN_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid sandbox_domain \"%V\": it takes a domain "
                           "name of at most %d characters",
                           &mcf->domain, NGX_HTTP_SANDBOX_DOMAIN_MAX);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* A worker must know if its renewal was heard before the lease is over. */
static ngx_int_t
ngx_http_sandbox_conf_lease(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf)
{
    if (mcf->redis->timeout > mcf->lease / 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"sandbox_lease\" (%M ms) must be at least twice "
                           "the \"timeout\" of \"sandbox_redis\" "
                           "(%M ms)",
                           mcf->lease, mcf->redis->timeout);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_conf_data_dir(ngx_conf_t *cf,
                               ngx_http_sandbox_main_conf_t *mcf)
{
    if (mcf->data_dir.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"sandbox_data_dir\" has no value");
        return NGX_ERROR;
    }

    if (ngx_conf_full_name(cf->cycle, &mcf->data_dir, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    mcf->hypervisor.data_dir = (char *) mcf->data_dir.data;

    return NGX_OK;
}


/* Creates must be able to name each template, also without sizes. */
static ngx_int_t
ngx_http_sandbox_check_templates(ngx_conf_t *cf,
                                 ngx_http_sandbox_main_conf_t *mcf)
{
    ngx_uint_t i;
    sandbox_template_t *t;

    for (i = 0; mcf->templates[i]; i++) {
        t = mcf->templates[i];

        if (!sandbox_syntax_reference(t->name)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "sandbox_templates: no create can name the "
                               "template \"%s\"",
                               t->name);
            return NGX_ERROR;
        }

        if (t->min_memory_mb > mcf->max_memory_mb
            || t->disk_mb > mcf->max_disk_mb) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"sandbox_limits\" allow less than the "
                               "template \"%s\" needs: memory_mb=%L "
                               "disk_mb=%L",
                               t->name, t->min_memory_mb, t->disk_mb);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_sandbox_free_templates(void *data)
{
    sandbox_templates_free(data);
}


static ngx_int_t
ngx_http_sandbox_load_templates(ngx_conf_t *cf,
                                ngx_http_sandbox_main_conf_t *mcf)
{
    char err[512];
    ngx_pool_cleanup_t *cln;

    if (ngx_conf_full_name(cf->cycle, &mcf->templates_dir, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    mcf->templates = sandbox_templates_load((char *) mcf->templates_dir.data,
                                            err, sizeof(err));
    if (mcf->templates == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "sandbox_templates: %s", err);
        return NGX_ERROR;
    }

    cln->handler = ngx_http_sandbox_free_templates;
    cln->data = mcf->templates;

    if (mcf->templates[0] == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "sandbox_templates: no template in \"%V\"",
                           &mcf->templates_dir);
        return NGX_ERROR;
    }

    return ngx_http_sandbox_check_templates(cf, mcf);
}


/*
 * Makes the name of the owner in each domain's metadata: of the node, and of
 * the prefix, because two installations may have a node of the same name.
 */
static ngx_int_t
ngx_http_sandbox_conf_owner(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf)
{
    size_t len;
    u_char *p;

    len = mcf->prefix.len + mcf->node.len + sizeof("{}");

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_snprintf(p, len, "%V{%V}%Z", &mcf->prefix, &mcf->node);
    mcf->hypervisor.node = (char *) p;

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_conf_check(ngx_conf_t *cf, ngx_http_sandbox_main_conf_t *mcf)
{
    if (ngx_http_sandbox_conf_required(cf, mcf) != NGX_OK
        || ngx_http_sandbox_conf_node(cf, mcf) != NGX_OK
        || ngx_http_sandbox_conf_domain(cf, mcf) != NGX_OK
        || ngx_http_sandbox_conf_lease(cf, mcf) != NGX_OK
        || ngx_http_sandbox_conf_data_dir(cf, mcf) != NGX_OK
        || ngx_http_sandbox_conf_owner(cf, mcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_load_templates(cf, mcf);
}
