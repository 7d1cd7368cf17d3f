/*
 * A visit: a request from public traffic, with the way to its guest (traffic.c)
 * and the waits on that way (visit_wait.c).  Private to these two files.  Event
 * loop only.
 */

#ifndef NGX_HTTP_SANDBOX_VISIT_H
#define NGX_HTTP_SANDBOX_VISIT_H

#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_limits.h"
#include "ngx_http_sandbox_live.h"
#include "ngx_http_sandbox_route.h"
#include "ngx_http_sandbox_traffic.h"
#include "ngx_http_sandbox_wake.h"
#include "sandbox_host.h"

typedef enum {
    NGX_HTTP_SANDBOX_VISIT_ASKS = 0,
    NGX_HTTP_SANDBOX_VISIT_WAITS,
    NGX_HTTP_SANDBOX_VISIT_KNOWS,  /* rc and wait->route are set */
    NGX_HTTP_SANDBOX_VISIT_REFUSED /* rc is the status of the noted error */
} ngx_http_sandbox_visit_state_e;

/* The part of a visit that only a request that waits needs. */
typedef struct {
    ngx_http_sandbox_passenger_t passenger;
    ngx_http_sandbox_waker_t waker;
    ngx_http_sandbox_route_t route;
} ngx_http_sandbox_visit_wait_t;

/* In the pool of the request, whose list of cleanups leads to it. */
typedef struct {
    ngx_http_sandbox_ctx_t ctx; /* the request's, unless that had one before */
    ngx_http_cleanup_t cleanup;
    ngx_http_request_t *request;
    sandbox_host_t host;
    ngx_http_sandbox_visit_state_e state;
    ngx_int_t rc;
    unsigned edge : 1;     /* the path names the sandbox */
    unsigned admitted : 1; /* for good, or while public: live.open */
    unsigned spent : 1;    /* the request must not be sent again */
    ngx_http_sandbox_live_t live;
    ngx_uint_t ntokens;                  /* that the client sent */
    ngx_str_t token;                     /* the last one */
    ngx_http_sandbox_count_t *count;     /* while r is at a guest, or NULL */
    ngx_http_sandbox_visit_wait_t *wait; /* NULL before the first wait */
} ngx_http_sandbox_visit_t;

/*
 * Has the route of id read.  NGX_AGAIN: visit waits, and goes on in the state
 * KNOWS.  NGX_BUSY and NGX_ERROR as of ngx_http_sandbox_flight_board();
 * NGX_HTTP_INTERNAL_SERVER_ERROR if memory is out or nginx's events fail.
 */
ngx_int_t
ngx_http_sandbox_visit_read(ngx_http_sandbox_visit_t *visit, const char *id);

/*
 * Has the sandbox of a route woken.  NGX_AGAIN: visit waits, and goes on in the
 * state ASKS or REFUSED.  Else the status of the error that was noted, or
 * NGX_HTTP_INTERNAL_SERVER_ERROR.
 */
ngx_int_t ngx_http_sandbox_visit_wake(ngx_http_sandbox_visit_t *visit,
                                      const ngx_http_sandbox_route_t *route);

/* From outside of any phase: the request runs through its phases again. */
void ngx_http_sandbox_visit_go_on(ngx_http_sandbox_visit_t *visit);

#endif
