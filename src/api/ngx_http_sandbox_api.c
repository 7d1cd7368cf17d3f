/*
 * Routing and authentication of the REST API, and its metrics by route.
 *
 * Runs in the precontent phase.  A request that has to wait returns NGX_AGAIN
 * from every pass through the phase until it is answered, or until api_pass()
 * lets it through to the content phase, where proxy_pass takes it to the
 * agent in its guest.
 */

#include "ngx_http_sandbox_api.h"

#include "ngx_http_sandbox_auth.h"
#include "ngx_http_sandbox_limits.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_resources.h"
#include "sandbox_tenant.h"

/* For resources of which the contract does not list the methods. */
#define NGX_HTTP_SANDBOX_API_ANY                                               \
    (NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_POST | NGX_HTTP_PUT               \
     | NGX_HTTP_DELETE | NGX_HTTP_PATCH)


typedef struct {
    ngx_uint_t methods;
    ngx_str_t path;     /* below /v1/; "{…}" stands for one segment */
    unsigned json : 1;  /* has a JSON body */
    unsigned query : 1; /* may have a query, which the handler reads */
    void (*handler)(ngx_http_request_t *r);
} ngx_http_sandbox_api_route_t;


static void ngx_http_sandbox_api_unbuilt(ngx_http_request_t *r);


static const ngx_http_sandbox_api_route_t ngx_http_sandbox_api_routes[] = {
    { NGX_HTTP_POST, ngx_string("sandboxes"), 1, 0,
      ngx_http_sandbox_api_create },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("sandboxes"), 0, 1,
      ngx_http_sandbox_api_list },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("sandboxes/{id}"), 0, 1,
      ngx_http_sandbox_api_get },
    { NGX_HTTP_DELETE, ngx_string("sandboxes/{id}"), 0, 0,
      ngx_http_sandbox_api_delete },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/timeout"), 1, 0,
      ngx_http_sandbox_api_timeout },
    { NGX_HTTP_PATCH, ngx_string("sandboxes/{id}/network"), 1, 0,
      ngx_http_sandbox_api_network },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/hibernate"), 1, 0,
      ngx_http_sandbox_api_hibernate },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/resume"), 1, 0,
      ngx_http_sandbox_api_resume },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/fork"), 1, 0,
      ngx_http_sandbox_api_fork },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/exec"), 1, 0,
      ngx_http_sandbox_api_exec },
    { NGX_HTTP_GET, ngx_string("sandboxes/{id}/processes"), 0, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_GET, ngx_string("sandboxes/{id}/processes/{pid}/logs"), 0, 1,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/processes/{pid}/stdin"), 1, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/processes/{pid}/kill"), 1, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_GET, ngx_string("sandboxes/{id}/ws"), 0, 1,
      ngx_http_sandbox_api_websocket },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("sandboxes/{id}/files"), 0, 1,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_PUT, ngx_string("sandboxes/{id}/files"), 0, 1,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_DELETE, ngx_string("sandboxes/{id}/files"), 0, 1,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("sandboxes/{id}/files/stat"), 0,
      1, ngx_http_sandbox_api_agent },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("sandboxes/{id}/files/list"), 0,
      1, ngx_http_sandbox_api_agent },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("sandboxes/{id}/files/archive"),
      0, 1, ngx_http_sandbox_api_agent },
    { NGX_HTTP_PUT, ngx_string("sandboxes/{id}/files/archive"), 0, 1,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/files/mkdir"), 1, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/files/move"), 1, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/uploads"), 1, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_GET | NGX_HTTP_HEAD,
      ngx_string("sandboxes/{id}/uploads/{upload}"), 0, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_DELETE, ngx_string("sandboxes/{id}/uploads/{upload}"), 0, 0,
      ngx_http_sandbox_api_agent },
    { NGX_HTTP_PUT, ngx_string("sandboxes/{id}/uploads/{upload}/parts/{part}"),
      0, 0, ngx_http_sandbox_api_agent },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/uploads/{upload}/complete"), 1,
      0, ngx_http_sandbox_api_agent },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/snapshots"), 1, 0,
      ngx_http_sandbox_api_snapshot },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("snapshots"), 0, 1,
      ngx_http_sandbox_api_list_snapshots },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("snapshots/{id}"), 0, 0,
      ngx_http_sandbox_api_get_snapshot },
    { NGX_HTTP_DELETE, ngx_string("snapshots/{id}"), 0, 0,
      ngx_http_sandbox_api_delete_snapshot },
    { NGX_HTTP_POST, ngx_string("template-warm-pools"), 1, 0,
      ngx_http_sandbox_api_create_pool },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("template-warm-pools"), 0, 0,
      ngx_http_sandbox_api_list_pools },
    { NGX_HTTP_GET | NGX_HTTP_HEAD, ngx_string("template-warm-pools/{id}"), 0,
      0, ngx_http_sandbox_api_get_pool },
    { NGX_HTTP_PATCH, ngx_string("template-warm-pools/{id}"), 1, 0,
      ngx_http_sandbox_api_patch_pool },
    { NGX_HTTP_DELETE, ngx_string("template-warm-pools/{id}"), 0, 0,
      ngx_http_sandbox_api_delete_pool },
    { NGX_HTTP_GET | NGX_HTTP_HEAD,
      ngx_string("template-warm-pools/{id}/status"), 0, 0,
      ngx_http_sandbox_api_pool_status },
    { NGX_HTTP_POST, ngx_string("template-warm-pools/{id}/enable"), 1, 0,
      ngx_http_sandbox_api_enable_pool },
    { NGX_HTTP_POST, ngx_string("template-warm-pools/{id}/disable"), 1, 0,
      ngx_http_sandbox_api_disable_pool },
    { NGX_HTTP_POST, ngx_string("template-warm-pools/{id}/drain"), 1, 0,
      ngx_http_sandbox_api_drain_pool },
    { NGX_HTTP_POST, ngx_string("template-warm-pools/{id}/reconcile"), 1, 0,
      ngx_http_sandbox_api_reconcile_pool },

    { NGX_HTTP_SANDBOX_API_ANY, ngx_string("volumes"), 0, 1,
      ngx_http_sandbox_api_unbuilt },
    { NGX_HTTP_SANDBOX_API_ANY, ngx_string("sandboxes/{id}/volumes"), 0, 1,
      ngx_http_sandbox_api_unbuilt },
    { NGX_HTTP_POST, ngx_string("sandboxes/{id}/host"), 0, 1,
      ngx_http_sandbox_api_unbuilt },
    { NGX_HTTP_POST,
      ngx_string("sandboxes/{id}/ports/{port}/signed-preview-url"), 0, 1,
      ngx_http_sandbox_api_unbuilt },
};

static const struct {
    ngx_uint_t method;
    const char *name;
} ngx_http_sandbox_methods[] = {
    { NGX_HTTP_GET, "GET" },       { NGX_HTTP_HEAD, "HEAD" },
    { NGX_HTTP_POST, "POST" },     { NGX_HTTP_PUT, "PUT" },
    { NGX_HTTP_DELETE, "DELETE" }, { NGX_HTTP_PATCH, "PATCH" },
};


/* Row 0 of the metric is for what matches no route. */
_Static_assert(sizeof(ngx_http_sandbox_api_routes)
                   < NGX_HTTP_SANDBOX_METRIC_ROUTES
                         * sizeof(ngx_http_sandbox_api_routes[0]),
               "too many routes");


static void ngx_http_sandbox_api_proceed(ngx_http_request_t *r);


/* Answers the routes of the contract that are not built yet. */
static void
ngx_http_sandbox_api_unbuilt(ngx_http_request_t *r)
{
    ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_not_implemented,
                              "This route is not built yet.");
}


/* 1 if path is of the form pattern; its first "{…}" goes to id. */
static ngx_uint_t
ngx_http_sandbox_api_match(const ngx_str_t *pattern, const ngx_str_t *path,
                           ngx_str_t *id)
{
    u_char *p, *q, *plast, *qlast, *start;

    p = pattern->data;
    plast = p + pattern->len;
    q = path->data;
    qlast = q + path->len;

    while (p < plast) {
        if (*p == '{') {
            start = q;
            while (q < qlast && *q != '/') {
                q++;
            }

            if (q == start) {
                return 0;
            }

            if (id->data == NULL) {
                id->data = start;
                id->len = q - start;
            }

            while (*p++ != '}') { /* void */
            }
            continue;
        }

        if (q == qlast || *p != *q) {
            return 0;
        }

        p++;
        q++;
    }

    return q == qlast;
}


/* Answers 405, with the methods of the resource in Allow. */
static void
ngx_http_sandbox_api_bad_method(ngx_http_request_t *r, ngx_uint_t methods)
{
    u_char allow[64], *p;
    ngx_uint_t i;

    p = allow;

    for (i = 0; i < sizeof(ngx_http_sandbox_methods)
                        / sizeof(ngx_http_sandbox_methods[0]);
         i++)
    {
        if (methods & ngx_http_sandbox_methods[i].method) {
            p = ngx_slprintf(p, allow + sizeof(allow), "%s%s",
                             p == allow ? "" : ", ",
                             ngx_http_sandbox_methods[i].name);
        }
    }

    if (ngx_http_sandbox_api_header(r, "Allow", (char *) allow, p - allow)
        != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_method_not_allowed,
                              "This resource does not know this method.");
}


/* The route of r with ctx->sandbox set, or NULL when r has been answered. */
static const ngx_http_sandbox_api_route_t *
ngx_http_sandbox_api_route(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_str_t path, id;
    ngx_uint_t i, n, methods;

    methods = 0;
    n = sizeof(ngx_http_sandbox_api_routes)
        / sizeof(ngx_http_sandbox_api_routes[0]);

    if (r->uri.len > sizeof("/v1/") - 1
        && ngx_strncmp(r->uri.data, "/v1/", sizeof("/v1/") - 1) == 0)
    {
        path.data = r->uri.data + sizeof("/v1/") - 1;
        path.len = r->uri.len - (sizeof("/v1/") - 1);

        for (i = 0; i < n; i++) {
            ngx_str_null(&id);

            if (!ngx_http_sandbox_api_match(
                    &ngx_http_sandbox_api_routes[i].path, &path, &id))
            {
                continue;
            }

            if (!(r->method & ngx_http_sandbox_api_routes[i].methods)) {
                methods |= ngx_http_sandbox_api_routes[i].methods;
                continue;
            }

            ctx->sandbox = id;
            return &ngx_http_sandbox_api_routes[i];
        }
    }

    if (methods) {
        ngx_http_sandbox_api_bad_method(r, methods);
        return NULL;
    }

    ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_not_found,
                              "There is no such API route.");

    return NULL;
}


/* 1 if r exceeds the rate of its tenant, and was answered. */
static ngx_uint_t
ngx_http_sandbox_api_limited(ngx_http_request_t *r)
{
    ngx_uint_t seconds;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    seconds = ngx_http_sandbox_limits_rate(
        NGX_HTTP_SANDBOX_RATE_API,
        sandbox_tenant_hash((char *) ctx->tenant.data));

    if (seconds == 0) {
        return 0;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LIMITS,
                                NGX_HTTP_SANDBOX_LIMIT_API_RATE, 1);
    ngx_http_sandbox_api_fail_later(r, &ngx_http_sandbox_rate_limit_exceeded,
                                    "There are too many requests with keys of "
                                    "this owner.",
                                    seconds);

    return 1;
}


static void
ngx_http_sandbox_api_authenticated(ngx_http_request_t *r, ngx_int_t rc)
{
    switch (rc) {
    case NGX_OK:
        if (ngx_http_sandbox_api_limited(r)) {
            return;
        }

        ngx_http_sandbox_api_proceed(r);
        return;

    case NGX_DECLINED:
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_unauthorized,
                                  "A valid API key is required: "
                                  "\"Authorization: Bearer ns_live_...\".");
        return;

    default:
        ngx_http_sandbox_api_no_store(r);
    }
}


/* The look-up of the key has ended; called outside of any phase of r. */
static void
ngx_http_sandbox_api_key_found(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t *c;

    c = r->connection;
    ngx_http_sandbox_api_authenticated(r, rc);
    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_sandbox_api_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_loc_conf_t *slcf;
    const ngx_http_sandbox_api_route_t *route;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);

    if (!slcf->api || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->route) {
        return ctx->passed ? NGX_DECLINED : NGX_AGAIN;
    }

    route = ngx_http_sandbox_api_route(r, ctx);
    if (route == NULL) {
        return NGX_DONE;
    }

    ctx->route = route;

    rc = ngx_http_sandbox_authenticate(r, ngx_http_sandbox_api_key_found);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_sandbox_api_authenticated(r, rc);

    return NGX_DONE;
}


static void
ngx_http_sandbox_api_body_read(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    const ngx_http_sandbox_api_route_t *route;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    route = ctx->route;
    route->handler(r);
}


/* NGX_ERROR when r was answered because it has a parameter. */
static ngx_int_t
ngx_http_sandbox_api_no_query(ngx_http_request_t *r)
{
    sandbox_query_error_t err;
    sandbox_query_param_t none[] = { { NULL, NULL } };
    sandbox_query_status_t rc;

    rc = sandbox_query_parse(none, (char *) r->args.data, r->args.len, &err);

    if (rc != SANDBOX_QUERY_OK) {
        ngx_http_sandbox_api_fail_query(r, rc, &err);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Goes on with r, which is authenticated. */
static void
ngx_http_sandbox_api_proceed(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    const ngx_http_sandbox_api_route_t *route;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    route = ctx->route;

    if (!route->query && ngx_http_sandbox_api_no_query(r) != NGX_OK) {
        return;
    }

    if (route->json) {
        ngx_http_sandbox_api_read_json(r, ngx_http_sandbox_api_body_read);
        return;
    }

    route->handler(r);
}


void
ngx_http_sandbox_api_pass(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;

    if (r->content_handler == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "a location with \"sandbox_api\" has no \"proxy_pass\" "
                      "to an upstream with \"sandbox_peer\"");
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_internal_error,
                                  "The server cannot reach into sandboxes; "
                                  "its log says more.");
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    ctx->passed = 1;

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


void
ngx_http_sandbox_api_name_routes(void)
{
    size_t len;
    u_char *p;
    ngx_uint_t i, m, n;
    static u_char names[NGX_HTTP_SANDBOX_METRIC_ROUTES][64];

    ngx_http_sandbox_metrics_route(0, "none");
    n = sizeof(ngx_http_sandbox_api_routes)
        / sizeof(ngx_http_sandbox_api_routes[0]);

    for (i = 0; i < n; i++) {
        for (m = 0; !(ngx_http_sandbox_api_routes[i].methods
                      & ngx_http_sandbox_methods[m].method);
             m++)
        { /* void */
        }

        len = sizeof(names[i]) - 1;
        p = ngx_snprintf(names[i], len, "%s /v1/%V",
                         ngx_http_sandbox_methods[m].name,
                         &ngx_http_sandbox_api_routes[i].path);
        *p = '\0';

        ngx_http_sandbox_metrics_route(i + 1, (char *) names[i]);
    }
}


ngx_int_t
ngx_http_sandbox_api_count(ngx_http_request_t *r)
{
    ngx_uint_t row, class;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_loc_conf_t *slcf;
    const ngx_http_sandbox_api_route_t *route;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);

    if (!slcf->api) {
        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    route = ctx ? ctx->route : NULL;
    row = route ? (ngx_uint_t) (route - ngx_http_sandbox_api_routes) + 1 : 0;

    /* 0: the client left before there was an answer */
    class = r->err_status ? r->err_status : r->headers_out.status;
    class = class ? ngx_min(class / 100, NGX_HTTP_SANDBOX_METRIC_CLASSES) : 4;
    class -= class ? 1 : 0;

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_API,
                                row * NGX_HTTP_SANDBOX_METRIC_CLASSES + class,
                                1);

    if (route && class == 3
        && (route->handler == ngx_http_sandbox_api_create
            || route->handler == ngx_http_sandbox_api_fork))
    {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_CREATES,
                                    NGX_HTTP_SANDBOX_CREATE_REFUSED, 1);
    }

    if (route && route->handler == ngx_http_sandbox_api_snapshot && class == 3)
    {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_SNAPSHOTS,
                                    NGX_HTTP_SANDBOX_CREATE_REFUSED, 1);
    }

    return NGX_OK;
}
