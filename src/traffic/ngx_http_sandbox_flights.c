/*
 * Reading of routes for requests that find none in the cache.  Knows Redis'
 * records and the cache, not requests.
 *
 * A flight is one read of Redis for all requests that ask for the same id in
 * this worker.  A request joins a flight only if nothing about the sandbox has
 * changed since the flight took off, and a flight that was overtaken by a
 * change reads again: no route is older than the requests it answers.  The same
 * flight follows aliases; each record on the way is cached under its own id.
 *
 * A flight has memory of its own and outlives requests whose clients went
 * away.
 */

#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_route.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_traffic.h"

#define NGX_HTTP_SANDBOX_FLIGHT_SLOTS 256 /* a power of two */
#define NGX_HTTP_SANDBOX_FLIGHTS_MAX 4096
#define NGX_HTTP_SANDBOX_FLIGHT_READS 3

typedef struct {
    ngx_queue_t queue; /* of its slot */
    ngx_queue_t passengers;
    ngx_uint_t epoch; /* of id when the flight took off */
    char id[SANDBOX_ID_SIZE];

    /* the record that is being read: of id, or of an id that it leads to */
    char at[SANDBOX_ID_SIZE];
    ngx_uint_t at_epoch;
    ngx_uint_t reads;
    ngx_uint_t hops;
} ngx_http_sandbox_flight_t;


static void ngx_http_sandbox_flight_landed(void *data, ngx_int_t rc,
                                           ngx_http_sandbox_route_t *route);


static ngx_queue_t ngx_http_sandbox_flights[NGX_HTTP_SANDBOX_FLIGHT_SLOTS];
static ngx_uint_t ngx_http_sandbox_nflights;


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


static ngx_int_t
ngx_http_sandbox_flight_read(ngx_http_sandbox_flight_t *flight)
{
    flight->at_epoch =
        ngx_http_sandbox_routes_epoch(ngx_http_sandbox_worker.conf, flight->at);

    return ngx_http_sandbox_record_route(
        flight->at, ngx_http_sandbox_flight_landed, flight);
}


static ngx_int_t
ngx_http_sandbox_flight_take_off(ngx_queue_t *slot, const char *id,
                                 ngx_http_sandbox_flight_t **made)
{
    ngx_http_sandbox_flight_t *flight;

    flight = ngx_calloc(sizeof(ngx_http_sandbox_flight_t), ngx_cycle->log);
    if (flight == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&flight->passengers);
    ngx_cpystrn((u_char *) flight->id, (u_char *) id, sizeof(flight->id));
    ngx_memcpy(flight->at, flight->id, sizeof(flight->at));
    flight->reads = 1;

    if (ngx_http_sandbox_flight_read(flight) != NGX_OK) {
        ngx_free(flight);
        return NGX_ERROR;
    }

    flight->epoch = flight->at_epoch;
    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LOOKUPS,
                                NGX_HTTP_SANDBOX_LOOKUP_MISS, 1);
    ngx_queue_insert_tail(slot, &flight->queue);
    ngx_http_sandbox_nflights++;
    *made = flight;

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_flight_board(ngx_http_sandbox_passenger_t *p, const char *id)
{
    ngx_int_t rc;
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
            goto found;
        }
    }

    if (ngx_http_sandbox_nflights >= NGX_HTTP_SANDBOX_FLIGHTS_MAX) {
        return NGX_BUSY;
    }

    rc = ngx_http_sandbox_flight_take_off(slot, id, &flight);
    if (rc != NGX_OK) {
        return rc;
    }

found:

    p->waiting = 1;
    ngx_queue_insert_tail(&flight->passengers, &p->queue);

    return NGX_OK;
}


void
ngx_http_sandbox_flight_leave(ngx_http_sandbox_passenger_t *p)
{
    if (p->waiting) {
        ngx_queue_remove(&p->queue);
        p->waiting = 0;
    }
}


/* Tells the outcome to all passengers, and frees the flight. */
static void
ngx_http_sandbox_flight_end(ngx_http_sandbox_flight_t *flight, ngx_int_t rc,
                            ngx_http_sandbox_route_t *route)
{
    ngx_queue_t *q;
    ngx_http_sandbox_passenger_t *p;

    /* out of the table first: a request that goes on may ask again */

    ngx_queue_remove(&flight->queue);
    ngx_http_sandbox_nflights--;

    while (!ngx_queue_empty(&flight->passengers)) {
        q = ngx_queue_head(&flight->passengers);
        p = ngx_queue_data(q, ngx_http_sandbox_passenger_t, queue);
        ngx_http_sandbox_flight_leave(p);
        p->handler(p->data, rc, route);
    }

    ngx_free(flight);
}


/* route may be an alias: 1 if the record that it leads to is being read. */
static ngx_uint_t
ngx_http_sandbox_flight_hop(ngx_http_sandbox_flight_t *flight,
                            const ngx_http_sandbox_route_t *route)
{
    if (route->next[0] == '\0' || flight->hops++ >= NGX_HTTP_SANDBOX_HOPS_MAX) {
        return 0;
    }

    ngx_memcpy(flight->at, route->next, sizeof(flight->at));
    flight->reads = 1;

    return ngx_http_sandbox_flight_read(flight) == NGX_OK;
}


/* Stores a route that was read, if it lasts; 1 if another read is under way. */
static ngx_uint_t
ngx_http_sandbox_flight_found(ngx_http_sandbox_flight_t *flight,
                              ngx_http_sandbox_route_t *route)
{
    /* states that soon change are not worth an entry, nor are refusals */

    if ((route->state != NGX_HTTP_SANDBOX_RUNNING || route->elsewhere)
        && route->state != NGX_HTTP_SANDBOX_RESUMED)
    {
        return 0;
    }

    if (ngx_http_sandbox_routes_store(ngx_http_sandbox_worker.conf, route,
                                      flight->at_epoch)
        == NGX_OK)
    {
        return route->state == NGX_HTTP_SANDBOX_RESUMED
               && ngx_http_sandbox_flight_hop(flight, route);
    }

    /* the sandbox changed after its route was read */

    if (flight->reads++ < NGX_HTTP_SANDBOX_FLIGHT_READS
        && ngx_http_sandbox_flight_read(flight) == NGX_OK)
    {
        return 1;
    }

    route->state = NGX_HTTP_SANDBOX_CREATING;

    return 0;
}


static void
ngx_http_sandbox_flight_landed(void *data, ngx_int_t rc,
                               ngx_http_sandbox_route_t *route)
{
    ngx_http_sandbox_flight_t *flight = data;

    ngx_http_sandbox_route_t last;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    if (rc == NGX_OK) {
        last = *route;

        if (ngx_http_sandbox_flight_found(flight, &last)) {
            return;
        }

        if (last.state == NGX_HTTP_SANDBOX_RESUMED) {
            /* the alias leads nowhere, or Redis went away meanwhile */
            rc = flight->hops > NGX_HTTP_SANDBOX_HOPS_MAX || !last.next[0]
                     ? NGX_DECLINED
                     : NGX_ERROR;
        }

    } else if (rc == NGX_ERROR) {
        /* see invalidation.c for what may be served then */
        rc = ngx_http_sandbox_routes_lookup(mcf, flight->at, mcf->route_stale,
                                            &last);
        rc = rc == NGX_OK ? NGX_OK : NGX_ERROR;

    } else if (ngx_http_sandbox_routes_lookup(mcf, flight->at, mcf->route_stale,
                                              &last)
               == NGX_OK)
    {
        /* the event of the sandbox's end was missed: no stale route of it */
        ngx_http_sandbox_routes_forget(mcf, flight->at);
    }

    ngx_http_sandbox_flight_end(flight, rc, &last);
}
