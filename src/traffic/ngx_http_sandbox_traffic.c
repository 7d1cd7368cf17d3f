/*
 * Public traffic in the precontent phase: from the Host header to ctx->peer, or
 * to an error.  Knows neither Redis nor how the cache is laid out.
 *
 * A request is a visit.  The visit asks the cache or a flight for the route of
 * its sandbox; shows its token; waits, if the sandbox is paused and resumes by
 * itself, until the sandbox is woken; and asks again.  While the visit waits
 * (visit_wait.c), the handler returns NGX_AGAIN from every pass through the
 * phase.  A visit whose guest ends before it has answered comes back here
 * (live.h) and asks again.
 *
 * The body of a request that waits is not read: nginx reads it when the
 * request goes on to proxy_pass.
 */

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_visit.h"

#include "ngx_http_sandbox_route.h"
#include "ngx_http_sandbox_state.h"
#include "sandbox_edge.h"


static ngx_int_t
ngx_http_sandbox_traffic_unknown(ngx_http_request_t *r)
{
    return ngx_http_sandbox_error(r, &ngx_http_sandbox_sandbox_not_found,
                                  "There is no such sandbox.");
}


/* The Host that the guest is to see, with the port in place of "${PORT}". */
static ngx_int_t
ngx_http_sandbox_traffic_mask(ngx_http_request_t *r,
                              const ngx_http_sandbox_route_t *route,
                              ngx_uint_t port)
{
    size_t size;
    u_char *p;
    const char *mark;
    ngx_http_sandbox_ctx_t *ctx;

    size = sizeof(route->mask_host) + NGX_INT_T_LEN;
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    ctx->host.data = ngx_pnalloc(r->pool, size);
    if (ctx->host.data == NULL) {
        return NGX_ERROR;
    }

    mark = ngx_strstr(route->mask_host, "${PORT}");

    if (mark) {
        p = ngx_snprintf(ctx->host.data, size, "%*s%ui%s",
                         (size_t) (mark - route->mask_host), route->mask_host,
                         port, mark + sizeof("${PORT}") - 1);
    } else {
        p = ngx_snprintf(ctx->host.data, size, "%s", route->mask_host);
    }

    ctx->host.len = p - ctx->host.data;

    return NGX_OK;
}


/* From the cleanup of the request. */
static void
ngx_http_sandbox_visit_cleanup(void *data)
{
    ngx_http_sandbox_visit_t *visit = data;

    if (visit->wait) {
        ngx_http_sandbox_flight_leave(&visit->wait->passenger);
        ngx_http_sandbox_wake_leave(&visit->wait->waker);
    }

    ngx_http_sandbox_live_leave(&visit->live);
    ngx_http_sandbox_limits_leave(&visit->count);
}


static ngx_http_sandbox_visit_t *
ngx_http_sandbox_visit_find(ngx_http_request_t *r)
{
    ngx_http_cleanup_t *cln;

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_sandbox_visit_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


/* Makes the visit of r, whose context is in it unless r has one already. */
static ngx_http_sandbox_visit_t *
ngx_http_sandbox_visit_make(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_visit_t *visit;

    visit = ngx_pcalloc(r->pool, sizeof(ngx_http_sandbox_visit_t));
    if (visit == NULL) {
        return NULL;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx == NULL) {
        ctx = &visit->ctx;

        if (ngx_http_sandbox_ctx_init(r, ctx) != NGX_OK) {
            return NULL;
        }
    }

    ctx->traffic = 1;
    visit->request = r;

    /* as ngx_http_cleanup_add(), with one allocation in place of three */
    visit->cleanup.handler = ngx_http_sandbox_visit_cleanup;
    visit->cleanup.data = visit;
    visit->cleanup.next = r->cleanup;
    r->cleanup = &visit->cleanup;

    return visit;
}


/* Counts the visit at the sandbox: at its guest, or waiting for one. */
static ngx_int_t
ngx_http_sandbox_visit_enter(ngx_http_sandbox_visit_t *visit,
                             const ngx_http_sandbox_route_t *route)
{
    if (ngx_http_sandbox_limits_enter(&visit->count, NGX_HTTP_SANDBOX_TO_PORTS,
                                      route->id)
        == NGX_OK)
    {
        return NGX_OK;
    }

    return ngx_http_sandbox_error(
        visit->request, &ngx_http_sandbox_rate_limit_exceeded,
        "The sandbox has too many connections at the moment.");
}


/* NGX_OK if the visit can go to a guest, NGX_AGAIN if it waits for one. */
static ngx_int_t
ngx_http_sandbox_visit_state(ngx_http_sandbox_visit_t *visit,
                             const ngx_http_sandbox_route_t *route)
{
    ngx_int_t rc;
    ngx_http_request_t *r;

    r = visit->request;

    switch (route->state) {
    case NGX_HTTP_SANDBOX_PAUSED:
        if (!route->auto_resume) {
            return ngx_http_sandbox_error(
                r, &ngx_http_sandbox_sandbox_paused_auto_resume_disabled,
                "The sandbox is paused and does not resume by itself.");
        }

        /* fall through */

    case NGX_HTTP_SANDBOX_HIBERNATING:
    case NGX_HTTP_SANDBOX_RESUMING:
        if (route->auto_resume && !visit->spent) {
            rc = ngx_http_sandbox_visit_enter(visit, route);

            return rc == NGX_OK ? ngx_http_sandbox_visit_wake(visit, route)
                                : rc;
        }

        break;

    case NGX_HTTP_SANDBOX_RUNNING:
        /* on this node, another guest may have its address */
        if (route->elsewhere || ngx_http_sandbox_worker.foreign) {
            return ngx_http_sandbox_error(
                r, &ngx_http_sandbox_no_eligible_runtime_host,
                "The sandbox runs on another node.");
        }

        if (route->address && !visit->spent) {
            return NGX_OK;
        }

        break;

    case NGX_HTTP_SANDBOX_CREATING:
        break;

    case NGX_HTTP_SANDBOX_FAILED:
        return ngx_http_sandbox_error(r, &ngx_http_sandbox_sandbox_unreachable,
                                      "The sandbox is in the state \"error\".");

    case NGX_HTTP_SANDBOX_DESTROYING:
    case NGX_HTTP_SANDBOX_DESTROYED:
    default:
        return ngx_http_sandbox_traffic_unknown(r);
    }

    if (visit->spent && visit->live.end == NGX_HTTP_SANDBOX_LIVE_FORBIDDEN) {
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_sandbox_changing,
            "The sandbox's traffic became private before it had answered.");
    }

    return ngx_http_sandbox_error(
        r, &ngx_http_sandbox_sandbox_changing,
        visit->spent ? "The sandbox was paused before it had answered."
                     : "The sandbox is not running at the moment.");
}


/* The guest ended before it answered, or is silent; or the visit is too old. */
static void
ngx_http_sandbox_visit_back(ngx_http_request_t *r, void *data, ngx_uint_t spent)
{
    ngx_http_sandbox_visit_t *visit = data;

    ngx_http_sandbox_limits_leave(&visit->count);

    visit->state = NGX_HTTP_SANDBOX_VISIT_ASKS;
    visit->spent = spent;

    if (visit->wait) {
        visit->wait->waker.wait_until_ms = 0; /* the waits led to a guest */
    }

    if (visit->live.end == NGX_HTTP_SANDBOX_LIVE_AGED) {
        visit->state = NGX_HTTP_SANDBOX_VISIT_REFUSED;
        visit->rc = ngx_http_sandbox_error(r, &ngx_http_sandbox_timeout,
                                           "The request took too long.");
    }

    if (visit->live.end == NGX_HTTP_SANDBOX_LIVE_SILENT) {
        visit->state = NGX_HTTP_SANDBOX_VISIT_REFUSED;
        visit->rc =
            ngx_http_sandbox_error(r, &ngx_http_sandbox_sandbox_unreachable,
                                   ngx_http_sandbox_live_silence);
    }

    ngx_http_sandbox_visit_go_on(visit);
}


static ngx_int_t
ngx_http_sandbox_visit_rate(ngx_http_request_t *r,
                            const ngx_http_sandbox_route_t *route)
{
    ngx_uint_t seconds;

    seconds = ngx_http_sandbox_limits_rate(NGX_HTTP_SANDBOX_RATE_TRAFFIC,
                                           route->tenant);

    if (seconds == 0) {
        return NGX_OK;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LIMITS,
                                NGX_HTTP_SANDBOX_LIMIT_RATE, 1);

    return ngx_http_sandbox_error_later(
        r, &ngx_http_sandbox_rate_limit_exceeded,
        "There are too many requests for the sandboxes of this owner.",
        seconds);
}


/*
 * First of all: a client without the token learns nothing and wakes nothing.
 * An admission without a token lasts for as long as the traffic is public.
 */
static ngx_int_t
ngx_http_sandbox_visit_admit(ngx_http_sandbox_visit_t *visit,
                             const ngx_http_sandbox_route_t *route)
{
    ngx_int_t rc;
    ngx_http_request_t *r;

    r = visit->request;

    if (!visit->admitted) {
        visit->ntokens = ngx_http_sandbox_traffic_take_token(r, &visit->token);
    }

    rc =
        ngx_http_sandbox_traffic_admit(r, route, visit->ntokens, &visit->token);

    if (rc != NGX_OK) {
        return rc;
    }

    visit->live.open = route->public_traffic;

    if (visit->admitted) {
        return NGX_OK;
    }

    rc = ngx_http_sandbox_visit_rate(r, route);

    if (rc == NGX_OK) {
        visit->admitted = 1;
    }

    return rc;
}


static ngx_int_t
ngx_http_sandbox_visit_go(ngx_http_sandbox_visit_t *visit,
                          const ngx_http_sandbox_route_t *route)
{
    ngx_int_t rc;
    ngx_http_request_t *r;

    r = visit->request;

    if (!visit->admitted || (visit->live.open && !route->public_traffic)) {
        rc = ngx_http_sandbox_visit_admit(visit, route);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_sandbox_visit_state(visit, route);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_sandbox_visit_enter(visit, route);

    if (rc != NGX_OK) {
        return rc;
    }

    if ((route->masked
         && ngx_http_sandbox_traffic_mask(r, route, visit->host.port) != NGX_OK)
        || ngx_http_sandbox_peer_set(r, route, visit->host.port) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    visit->live.back = ngx_http_sandbox_visit_back;
    visit->live.data = visit;
    visit->live.aging = 1;
    ngx_http_sandbox_live_enter(&visit->live, r, route->id);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_sandbox_visit_outcome(ngx_http_sandbox_visit_t *visit, ngx_int_t rc,
                               const ngx_http_sandbox_route_t *route)
{
    ngx_http_request_t *r;

    r = visit->request;

    switch (rc) {
    case NGX_OK:
        return ngx_http_sandbox_visit_go(visit, route);

    case NGX_DECLINED:
        return ngx_http_sandbox_traffic_unknown(r);

    case NGX_BUSY:
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_capacity_exceeded,
            "Too many sandboxes are being looked up.");

    default:
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_state_store_unavailable,
            "The state of the sandbox cannot be read at the moment.");
    }
}


static ngx_int_t
ngx_http_sandbox_visit_ask(ngx_http_sandbox_visit_t *visit)
{
    ngx_int_t rc;
    ngx_uint_t current;
    ngx_http_sandbox_route_t route;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;
    current = ngx_http_sandbox_routes_current();

    rc = ngx_http_sandbox_routes_lookup(mcf, visit->host.id, 0, &route);

    if (rc == NGX_OK && current) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LOOKUPS,
                                    NGX_HTTP_SANDBOX_LOOKUP_HIT, 1);
        return ngx_http_sandbox_visit_go(visit, &route);
    }

    /* a cached alias is believed only while its events are heard */
    rc =
        ngx_http_sandbox_visit_read(visit, current ? route.id : visit->host.id);

    if (rc == NGX_AGAIN || rc == NGX_HTTP_INTERNAL_SERVER_ERROR) {
        return rc;
    }

    if (rc == NGX_ERROR) {
        /* Redis is away: see invalidation.c for what may be served then */
        rc = ngx_http_sandbox_routes_lookup(mcf, visit->host.id,
                                            mcf->route_stale, &route);
        rc = rc == NGX_OK ? NGX_OK : NGX_ERROR;
    }

    return ngx_http_sandbox_visit_outcome(visit, rc, &route);
}


/*
 * Takes the part that names the sandbox off the path that goes to the guest.
 * Both the client's spelling of the path and the one that nginx normalised must
 * begin with it, so that rules of locations saw the sandbox that is asked for.
 */
static ngx_int_t
ngx_http_sandbox_traffic_edge(ngx_http_request_t *r, sandbox_host_t *host)
{
    size_t prefix;
    ngx_str_t rest;

    if (!r->valid_unparsed_uri
        || sandbox_edge_parse(host, &prefix, (char *) r->unparsed_uri.data,
                              r->unparsed_uri.len)
               != 0
        || r->uri.len < prefix
        || ngx_memcmp(r->uri.data, r->unparsed_uri.data, prefix) != 0
        || (r->uri.len > prefix && r->uri.data[prefix] != '/'))
    {
        return NGX_DECLINED;
    }

    rest.data = r->unparsed_uri.data + prefix;
    rest.len = r->unparsed_uri.len - prefix;

    if (rest.len == 0 || rest.data[0] != '/') {
        rest.data = ngx_pnalloc(r->pool, rest.len + 1);
        if (rest.data == NULL) {
            return NGX_ERROR;
        }

        rest.data[0] = '/';
        ngx_memcpy(rest.data + 1, r->unparsed_uri.data + prefix, rest.len++);
    }

    r->unparsed_uri = rest;

    return NGX_OK;
}


/* Finds which sandbox the request names, by its Host or else by its path. */
static ngx_int_t
ngx_http_sandbox_visit_target(ngx_http_sandbox_visit_t *visit)
{
    ngx_http_request_t *r;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_main_conf_t *mcf;

    r = visit->request;
    mcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_module);

    if (sandbox_host_parse(&visit->host, (char *) mcf->domain.data,
                           mcf->domain.len, (char *) r->headers_in.server.data,
                           r->headers_in.server.len)
        == 0)
    {
        return NGX_OK;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    ctx->edge = visit->edge = 1;

    return ngx_http_sandbox_traffic_edge(r, &visit->host);
}


/* The first pass through the phase. */
static ngx_int_t
ngx_http_sandbox_visit_start(ngx_http_sandbox_visit_t *visit)
{
    ngx_int_t rc;
    ngx_http_request_t *r;

    r = visit->request;

    if (r->content_handler == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "a location with \"sandbox_traffic\" has no "
                      "\"proxy_pass\" to an upstream with \"sandbox_peer\"");
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_internal_error,
            "The server cannot reach into sandboxes; its log says more.");
    }

    rc = ngx_http_sandbox_visit_target(visit);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_sandbox_traffic_unknown(r);
    }

    if (!sandbox_host_port_allowed(visit->host.port)) {
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_port_not_allowed,
            "This port of a sandbox is never reachable from outside.");
    }

    ngx_http_sandbox_traffic_take_key(r);
    ngx_http_sandbox_traffic_take_upgrade(r, 1);

    return ngx_http_sandbox_visit_ask(visit);
}


/*
 * After a redirect to a location that leads to no guest, by error_page: asks
 * for none again, and the error stays the one that it was.
 */
static ngx_int_t
ngx_http_sandbox_visit_end(ngx_http_sandbox_visit_t *visit)
{
    ngx_http_request_t *r;

    r = visit->request;
    ngx_http_sandbox_live_leave(&visit->live);

    if (ngx_http_get_module_ctx(r, ngx_http_sandbox_module) == NULL
        && visit->ctx.request_id.len)
    {
        ngx_http_set_ctx(r, &visit->ctx, ngx_http_sandbox_module);
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_sandbox_traffic_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_visit_t *visit;

    /* a subrequest shares the headers of its request, and has no route */
    if (r != r->main) {
        return NGX_DECLINED;
    }

    visit = ngx_http_sandbox_visit_find(r);

    if (visit == NULL) {
        visit = ngx_http_sandbox_visit_make(r);
        return visit ? ngx_http_sandbox_visit_start(visit)
                     : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->content_handler == NULL) {
        return ngx_http_sandbox_visit_end(visit);
    }

    /* an internal redirect takes the context away */
    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->traffic = 1;
    ctx->edge = visit->edge;

    switch (visit->state) {
    case NGX_HTTP_SANDBOX_VISIT_WAITS:
        return NGX_AGAIN;

    case NGX_HTTP_SANDBOX_VISIT_KNOWS:
        visit->state = NGX_HTTP_SANDBOX_VISIT_ASKS;
        return ngx_http_sandbox_visit_outcome(visit, visit->rc,
                                              &visit->wait->route);

    case NGX_HTTP_SANDBOX_VISIT_REFUSED:
        visit->state = NGX_HTTP_SANDBOX_VISIT_ASKS;
        return visit->rc;

    case NGX_HTTP_SANDBOX_VISIT_ASKS:
    default:
        return ngx_http_sandbox_visit_ask(visit);
    }
}


ngx_int_t
ngx_http_sandbox_traffic_count(ngx_http_request_t *r)
{
    ngx_uint_t outcome;
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx == NULL || !ctx->traffic) {
        return NGX_OK;
    }

    switch (ctx->error ? ctx->error->status : 0) {
    case 0:
        outcome = NGX_HTTP_SANDBOX_TRAFFIC_PROXIED;

        if (r->upstream && r->upstream->header_sent) {
            break;
        }

        if (r->connection->error || r->connection->timedout) {
            outcome = NGX_HTTP_SANDBOX_TRAFFIC_LEFT;

        } else if (r->upstream == NULL) {
            return NGX_OK;
        }

        break;

    case NGX_HTTP_NOT_FOUND:
        outcome = NGX_HTTP_SANDBOX_TRAFFIC_NOT_FOUND;
        break;

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        outcome = NGX_HTTP_SANDBOX_TRAFFIC_UNREACHABLE;
        break;

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        outcome = NGX_HTTP_SANDBOX_TRAFFIC_UNAVAILABLE;
        break;

    default:
        outcome = ctx->error->status < NGX_HTTP_INTERNAL_SERVER_ERROR
                      ? NGX_HTTP_SANDBOX_TRAFFIC_REFUSED
                      : NGX_HTTP_SANDBOX_TRAFFIC_FAILED;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_TRAFFIC, outcome, 1);

    return NGX_OK;
}
