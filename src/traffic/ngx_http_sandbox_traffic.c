/*
 * Public traffic in the precontent phase: from the Host header to ctx->peer, or
 * to an error.  Knows neither Redis nor how the cache is laid out.
 *
 * A request whose route is not cached waits for a flight, one read of Redis
 * for all requests of this worker that ask for the same id.  A request joins
 * a flight only if nothing about the sandbox has changed since it took off,
 * and a flight that was overtaken by a change reads again: what is proxied
 * was right when the request came in.
 *
 * A waiting request holds a wait in its own pool; the flight has memory of
 * its own and outlives requests whose clients went away.
 */

#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_traffic.h"

#include "sandbox_edge.h"

#define NGX_HTTP_SANDBOX_FLIGHT_SLOTS 256 /* a power of two */
#define NGX_HTTP_SANDBOX_FLIGHTS_MAX 4096
#define NGX_HTTP_SANDBOX_FLIGHT_READS 3

typedef struct {
    ngx_queue_t queue; /* of its slot */
    ngx_queue_t waits;
    ngx_uint_t epoch;
    ngx_uint_t reads;
    char id[SANDBOX_ID_SIZE];
} ngx_http_sandbox_flight_t;

typedef struct {
    ngx_queue_t queue; /* of flight->waits */
    ngx_http_request_t *request;
    ngx_uint_t port;
    ngx_int_t rc;
    ngx_http_sandbox_route_t route;
    unsigned waiting : 1;
    unsigned done : 1; /* rc and route are there, not yet acted upon */
} ngx_http_sandbox_wait_t;


static void ngx_http_sandbox_flight_landed(void *data, ngx_int_t rc,
                                           ngx_http_sandbox_route_t *route);


static ngx_queue_t ngx_http_sandbox_flights[NGX_HTTP_SANDBOX_FLIGHT_SLOTS];
static ngx_uint_t ngx_http_sandbox_nflights;


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


/* NGX_OK if there is a guest to go to. */
static ngx_int_t
ngx_http_sandbox_traffic_state(ngx_http_request_t *r,
                               const ngx_http_sandbox_route_t *route)
{
    switch (route->state) {
    case NGX_HTTP_SANDBOX_RUNNING:
        if (route->address) {
            return NGX_OK;
        }

        /* fall through */

    case NGX_HTTP_SANDBOX_CREATING:
    case NGX_HTTP_SANDBOX_PAUSED:
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_sandbox_changing,
            "The sandbox is not running at the moment.");

    case NGX_HTTP_SANDBOX_FAILED:
        return ngx_http_sandbox_error(r, &ngx_http_sandbox_sandbox_unreachable,
                                      "The sandbox is in the state \"error\".");

    case NGX_HTTP_SANDBOX_DESTROYING:
    case NGX_HTTP_SANDBOX_DESTROYED:
    default:
        return ngx_http_sandbox_traffic_unknown(r);
    }
}


static ngx_int_t
ngx_http_sandbox_traffic_go(ngx_http_request_t *r,
                            const ngx_http_sandbox_route_t *route,
                            ngx_uint_t port)
{
    ngx_int_t rc;
    ngx_str_t token;
    ngx_uint_t ntokens;

    ntokens = ngx_http_sandbox_traffic_take_token(r, &token);

    /* first: who may not come in learns nothing and wakes nothing */
    rc = ngx_http_sandbox_traffic_admit(r, route, ntokens, &token);

    if (rc == NGX_OK) {
        rc = ngx_http_sandbox_traffic_state(r, route);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (route->masked
        && ngx_http_sandbox_traffic_mask(r, route, port) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_sandbox_peer_set(ngx_http_sandbox_ctx(r), route, port);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_sandbox_traffic_outcome(ngx_http_request_t *r, ngx_int_t rc,
                                 const ngx_http_sandbox_route_t *route,
                                 ngx_uint_t port)
{
    switch (rc) {
    case NGX_OK:
        return ngx_http_sandbox_traffic_go(r, route, port);

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


/* From the cleanup of the request; the flight goes on without it. */
static void
ngx_http_sandbox_wait_cleanup(void *data)
{
    ngx_http_sandbox_wait_t *wait = data;

    if (wait->waiting) {
        ngx_queue_remove(&wait->queue);
        wait->waiting = 0;
    }
}


/* The wait of r that is under way or not yet acted upon. */
static ngx_http_sandbox_wait_t *
ngx_http_sandbox_wait_find(ngx_http_request_t *r)
{
    ngx_http_cleanup_t *cln;
    ngx_http_sandbox_wait_t *wait;

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_sandbox_wait_cleanup) {
            wait = cln->data;

            if (wait->waiting || wait->done) {
                return wait;
            }
        }
    }

    return NULL;
}


static void
ngx_http_sandbox_wait_done(ngx_http_sandbox_wait_t *wait, ngx_int_t rc,
                           const ngx_http_sandbox_route_t *route)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = wait->request;
    c = r->connection;

    ngx_queue_remove(&wait->queue);
    wait->waiting = 0;
    wait->done = 1;
    wait->rc = rc;

    if (rc == NGX_OK) {
        wait->route = *route;
    }

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static ngx_queue_t *
ngx_http_sandbox_flight_slot(const char *id)
{
    ngx_uint_t n;
    ngx_queue_t *slot;

    n = ngx_murmur_hash2((u_char *) id, ngx_strlen(id));
    slot = &ngx_http_sandbox_flights[n & (NGX_HTTP_SANDBOX_FLIGHT_SLOTS - 1)];

    if (slot->next == NULL) {
        ngx_queue_init(slot);
    }

    return slot;
}


/*
 * A flight to join or a new one, whose outcome cannot come before this
 * returns.  NGX_BUSY if there are too many, NGX_ERROR if Redis is away.
 */
static ngx_int_t
ngx_http_sandbox_flight_take(const char *id, ngx_http_sandbox_flight_t **found)
{
    ngx_uint_t epoch;
    ngx_queue_t *q, *slot;
    ngx_http_sandbox_flight_t *flight;

    epoch = ngx_http_sandbox_routes_epoch(ngx_http_sandbox_worker.conf, id);
    slot = ngx_http_sandbox_flight_slot(id);

    for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot);
         q = ngx_queue_next(q))
    {
        flight = ngx_queue_data(q, ngx_http_sandbox_flight_t, queue);

        if (flight->epoch == epoch && ngx_strcmp(flight->id, id) == 0) {
            ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LOOKUPS,
                                        NGX_HTTP_SANDBOX_LOOKUP_JOINED, 1);
            *found = flight;
            return NGX_OK;
        }
    }

    if (ngx_http_sandbox_nflights >= NGX_HTTP_SANDBOX_FLIGHTS_MAX) {
        return NGX_BUSY;
    }

    flight = ngx_alloc(sizeof(ngx_http_sandbox_flight_t), ngx_cycle->log);
    if (flight == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&flight->waits);
    flight->epoch = epoch;
    flight->reads = 1;
    ngx_cpystrn((u_char *) flight->id, (u_char *) id, sizeof(flight->id));

    if (ngx_http_sandbox_record_route(id, ngx_http_sandbox_flight_landed,
                                      flight)
        != NGX_OK)
    {
        ngx_free(flight);
        return NGX_ERROR;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LOOKUPS,
                                NGX_HTTP_SANDBOX_LOOKUP_MISS, 1);
    ngx_queue_insert_tail(slot, &flight->queue);
    ngx_http_sandbox_nflights++;
    *found = flight;

    return NGX_OK;
}


/* Redis is away: see invalidation.c for what may be served then. */
static ngx_int_t
ngx_http_sandbox_traffic_fallback(const char *id,
                                  ngx_http_sandbox_route_t *route)
{
    return ngx_http_sandbox_routes_lookup(ngx_http_sandbox_worker.conf, id,
                                          route)
                   == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}


/* 1 if the state changed after it was read, and is being read again. */
static ngx_uint_t
ngx_http_sandbox_flight_again(ngx_http_sandbox_flight_t *flight)
{
    if (flight->reads++ >= NGX_HTTP_SANDBOX_FLIGHT_READS) {
        return 0;
    }

    flight->epoch =
        ngx_http_sandbox_routes_epoch(ngx_http_sandbox_worker.conf, flight->id);

    return ngx_http_sandbox_record_route(flight->id,
                                         ngx_http_sandbox_flight_landed, flight)
           == NGX_OK;
}


static void
ngx_http_sandbox_flight_landed(void *data, ngx_int_t rc,
                               ngx_http_sandbox_route_t *route)
{
    ngx_http_sandbox_flight_t *flight = data;

    ngx_queue_t *q;
    ngx_http_sandbox_route_t last;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    if (rc == NGX_OK) {
        last = *route;

        /* states that soon change are not worth a place */

        if (last.state == NGX_HTTP_SANDBOX_RUNNING
            && ngx_http_sandbox_routes_store(mcf, &last, flight->epoch)
                   != NGX_OK)
        {
            if (ngx_http_sandbox_flight_again(flight)) {
                return;
            }

            last.state = NGX_HTTP_SANDBOX_CREATING;
        }

    } else if (rc == NGX_ERROR) {
        rc = ngx_http_sandbox_traffic_fallback(flight->id, &last);

    } else if (ngx_http_sandbox_traffic_fallback(flight->id, &last) == NGX_OK) {
        /* its event was missed: it must not be fallen back on */
        ngx_http_sandbox_routes_forget(mcf, flight->id);
    }

    /* out of the table first: a request that goes on may ask again */

    ngx_queue_remove(&flight->queue);
    ngx_http_sandbox_nflights--;

    while (!ngx_queue_empty(&flight->waits)) {
        q = ngx_queue_head(&flight->waits);
        ngx_http_sandbox_wait_done(
            ngx_queue_data(q, ngx_http_sandbox_wait_t, queue), rc, &last);
    }

    ngx_free(flight);
}


static ngx_int_t
ngx_http_sandbox_traffic_wait(ngx_http_request_t *r,
                              ngx_http_sandbox_flight_t *flight,
                              ngx_uint_t port)
{
    ngx_http_cleanup_t *cln;
    ngx_http_sandbox_wait_t *wait;

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_sandbox_wait_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    wait = cln->data;
    ngx_memzero(wait, sizeof(ngx_http_sandbox_wait_t));
    cln->handler = ngx_http_sandbox_wait_cleanup;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    wait->request = r;
    wait->port = port;
    wait->waiting = 1;
    ngx_queue_insert_tail(&flight->waits, &wait->queue);

    /* notices a client that goes away */
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


/*
 * Takes the part that names the sandbox off the path, as the client wrote it
 * and as nginx normalised it: both must begin with it, so that what rules of
 * locations saw is what is asked for.
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
    ngx_http_sandbox_traffic_take_key(r);

    return NGX_OK;
}


/* Which sandbox r is for, by its Host or else by its path. */
static ngx_int_t
ngx_http_sandbox_traffic_target(ngx_http_request_t *r,
                                ngx_http_sandbox_main_conf_t *mcf,
                                sandbox_host_t *host)
{
    if (sandbox_host_parse(host, (char *) mcf->domain.data, mcf->domain.len,
                           (char *) r->headers_in.server.data,
                           r->headers_in.server.len)
        == 0)
    {
        return NGX_OK;
    }

    return ngx_http_sandbox_traffic_edge(r, host);
}


/* A request that has no wait yet. */
static ngx_int_t
ngx_http_sandbox_traffic_start(ngx_http_request_t *r)
{
    ngx_int_t rc;
    sandbox_host_t host;
    ngx_http_sandbox_route_t route;
    ngx_http_sandbox_flight_t *flight;
    ngx_http_sandbox_main_conf_t *mcf;

    if (r->content_handler == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "a location with \"sandbox_traffic\" has no "
                      "\"proxy_pass\" to an upstream with \"sandbox_peer\"");
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_internal_error,
            "The server cannot reach into sandboxes; its log says more.");
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_module);
    rc = ngx_http_sandbox_traffic_target(r, mcf, &host);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_sandbox_traffic_unknown(r);
    }

    if (!sandbox_host_port_allowed(host.port)) {
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_port_not_allowed,
            "This port of a sandbox is never reachable from outside.");
    }

    if (ngx_http_sandbox_routes_current()
        && ngx_http_sandbox_routes_lookup(mcf, host.id, &route) == NGX_OK)
    {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LOOKUPS,
                                    NGX_HTTP_SANDBOX_LOOKUP_HIT, 1);
        return ngx_http_sandbox_traffic_go(r, &route, host.port);
    }

    rc = ngx_http_sandbox_flight_take(host.id, &flight);

    if (rc == NGX_OK) {
        return ngx_http_sandbox_traffic_wait(r, flight, host.port);
    }

    if (rc == NGX_ERROR) {
        rc = ngx_http_sandbox_traffic_fallback(host.id, &route);
    }

    return ngx_http_sandbox_traffic_outcome(r, rc, &route, host.port);
}


ngx_int_t
ngx_http_sandbox_traffic_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_wait_t *wait;
    ngx_http_sandbox_loc_conf_t *slcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_module);

    /* a subrequest shares the headers of its request, and has no route */
    if (!slcf->traffic || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_sandbox_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->traffic = 1;
    wait = ngx_http_sandbox_wait_find(r);

    if (wait == NULL) {
        return ngx_http_sandbox_traffic_start(r);
    }

    if (wait->waiting) {
        return NGX_AGAIN;
    }

    wait->done = 0;

    return ngx_http_sandbox_traffic_outcome(r, wait->rc, &wait->route,
                                            wait->port);
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

    /* its client went away before there was an outcome */
    if (ctx->error == NULL && r->upstream == NULL) {
        return NGX_OK;
    }

    switch (ctx->error ? ctx->error->status : 0) {
    case 0:
        outcome = NGX_HTTP_SANDBOX_TRAFFIC_PROXIED;
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
