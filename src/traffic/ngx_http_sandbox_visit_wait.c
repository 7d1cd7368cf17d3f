/* The waits of a visit: for its route, and for its sandbox; see the header. */

#include "ngx_http_sandbox_visit.h"

#include "ngx_http_sandbox_clock.h"
#include "ngx_http_sandbox_codes.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_watch_client.h"


/* NGX_ERROR if memory is out. */
static ngx_int_t
ngx_http_sandbox_visit_prepare(ngx_http_sandbox_visit_t *visit)
{
    if (visit->wait == NULL) {
        visit->wait = ngx_pcalloc(visit->request->pool,
                                  sizeof(ngx_http_sandbox_visit_wait_t));
    }

    return visit->wait ? NGX_OK : NGX_ERROR;
}


void
ngx_http_sandbox_visit_go_on(ngx_http_sandbox_visit_t *visit)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = visit->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_sandbox_visit_wait(ngx_http_sandbox_visit_t *visit)
{
    ngx_http_request_t *r;

    r = visit->request;

    if (ngx_http_sandbox_watch_client(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    visit->state = NGX_HTTP_SANDBOX_VISIT_WAITS;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


static void
ngx_http_sandbox_visit_landed(void *data, ngx_int_t rc,
                              ngx_http_sandbox_route_t *route)
{
    ngx_http_sandbox_visit_t *visit = data;

    visit->state = NGX_HTTP_SANDBOX_VISIT_KNOWS;
    visit->rc = rc;

    if (rc == NGX_OK) {
        visit->wait->route = *route;
    }

    ngx_http_sandbox_visit_go_on(visit);
}


ngx_int_t
ngx_http_sandbox_visit_read(ngx_http_sandbox_visit_t *visit, const char *id)
{
    ngx_int_t rc;

    if (ngx_http_sandbox_visit_prepare(visit) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    visit->wait->passenger.handler = ngx_http_sandbox_visit_landed;
    visit->wait->passenger.data = visit;

    rc = ngx_http_sandbox_flight_board(&visit->wait->passenger, id);

    return rc == NGX_OK ? ngx_http_sandbox_visit_wait(visit) : rc;
}


/* Most errors of a wake are "changing" to the clients of public traffic. */
static const ngx_http_sandbox_error_t *
ngx_http_sandbox_visit_error(const ngx_http_sandbox_error_t *error)
{
    if (error->status == NGX_HTTP_SERVICE_UNAVAILABLE
        || error == &ngx_http_sandbox_sandbox_not_found
        || error == &ngx_http_sandbox_sandbox_paused_auto_resume_disabled
        || error == &ngx_http_sandbox_incompatible_snapshot)
    {
        return error;
    }

    return &ngx_http_sandbox_sandbox_changing;
}


/* The wake has ended.  Clients of public traffic are not told the node. */
static void
ngx_http_sandbox_visit_woken(void *data, const ngx_http_sandbox_error_t *error,
                             const char *message, const char *node)
{
    ngx_http_sandbox_visit_t *visit = data;

    visit->state = NGX_HTTP_SANDBOX_VISIT_ASKS;

    if (error) {
        visit->state = NGX_HTTP_SANDBOX_VISIT_REFUSED;
        visit->rc = ngx_http_sandbox_error(
            visit->request, ngx_http_sandbox_visit_error(error), message);
    }

    ngx_http_sandbox_visit_go_on(visit);
}


/* 1 if a paused or hibernating sandbox is at its limit of wakes. */
static ngx_uint_t
ngx_http_sandbox_visit_tired(const ngx_http_sandbox_route_t *route,
                             ngx_uint_t *seconds)
{
    int64_t left;
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    if ((route->state != NGX_HTTP_SANDBOX_PAUSED
         && route->state != NGX_HTTP_SANDBOX_HIBERNATING)
        || mcf->max_wakes == 0 || route->wakes < (int64_t) mcf->max_wakes)
    {
        return 0;
    }

    left = route->wakes_since + (int64_t) mcf->wakes_interval
           - ngx_http_sandbox_clock_ms();
    *seconds = (ngx_uint_t) (left / 1000) + 1;

    return left > 0;
}


ngx_int_t
ngx_http_sandbox_visit_wake(ngx_http_sandbox_visit_t *visit,
                            const ngx_http_sandbox_route_t *route)
{
    ngx_uint_t seconds;
    ngx_http_request_t *r;

    r = visit->request;

    if (ngx_http_sandbox_visit_tired(route, &seconds)) {
        if (route->state == NGX_HTTP_SANDBOX_HIBERNATING) {
            /* it may also run on, if the hibernation fails */
            return ngx_http_sandbox_error(
                r, &ngx_http_sandbox_sandbox_changing,
                "The sandbox is about to be paused, and was woken too often.");
        }

        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LIMITS,
                                    NGX_HTTP_SANDBOX_LIMIT_WAKES, 1);
        return ngx_http_sandbox_error_later(
            r, &ngx_http_sandbox_wake_limit_exceeded,
            "The sandbox is paused, and was woken too often.", seconds);
    }

    if (ngx_http_sandbox_visit_prepare(visit) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    visit->wait->waker.handler = ngx_http_sandbox_visit_woken;
    visit->wait->waker.data = visit;

    switch (ngx_http_sandbox_wake(&visit->wait->waker, route->id,
                                  ngx_http_sandbox_ctx(r)))
    {
    case NGX_OK:
        return ngx_http_sandbox_visit_wait(visit);

    case NGX_DECLINED:
        return ngx_http_sandbox_error(r, &ngx_http_sandbox_sandbox_changing,
                                      ngx_http_sandbox_wake_late);

    default:
        return ngx_http_sandbox_error(
            r, &ngx_http_sandbox_state_store_unavailable,
            "The sandbox cannot be woken at the moment.");
    }
}
