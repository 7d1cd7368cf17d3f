/*
 * The requests of this worker that are at a guest, and what becomes of them
 * when the guest ends or falls silent.  A machine that ends sends no FIN, nor
 * does one whose network hangs: without this file the requests would hang until
 * their timeouts.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_LIVE_H
#define NGX_HTTP_SANDBOX_LIVE_H

#include "ngx_http_sandbox_module.h"

typedef enum {
    NGX_HTTP_SANDBOX_LIVE_ENDED = 0, /* the guest has ended */
    NGX_HTTP_SANDBOX_LIVE_AGED,      /* the request has lasted for max_age */
    NGX_HTTP_SANDBOX_LIVE_LATE,      /* the answer has not begun in time */
    NGX_HTTP_SANDBOX_LIVE_SILENT,    /* the guest acknowledges nothing */
    NGX_HTTP_SANDBOX_LIVE_FORBIDDEN, /* public traffic is private by now */
    NGX_HTTP_SANDBOX_LIVE_REVOKED    /* so is the API key: live_revoke() */
} ngx_http_sandbox_live_end_e;

/*
 * Called when r was taken back from a guest that had not begun its answer.  If
 * live->end is ENDED or FORBIDDEN, the owner looks for the sandbox again, and r
 * goes on from the phase in which it entered; else the owner answers r.  spent:
 * r must not be sent to a guest again, which may have acted upon it, or its
 * body is gone.
 */
typedef void (*ngx_http_sandbox_back_pt)(ngx_http_request_t *r, void *data,
                                         ngx_uint_t spent);

/* A member of the owner's state of a request, zeroed at first. */
typedef struct ngx_http_sandbox_live_s {
    ngx_queue_t queue;
    ngx_http_request_t *request;
    ngx_http_sandbox_back_pt back;
    void *data;
    ngx_int_t phase;
    ngx_msec_t began;
    ngx_msec_t patience; /* ms for the answer to begin, by the owner; or 0 */
    char id[SANDBOX_ID_SIZE];
    unsigned listed : 1;
    unsigned changing : 1; /* the sandbox's hibernation has begun */
    unsigned over : 1;     /* no connection is of use any more: see end */
    unsigned aging : 1;    /* set by the owner: max_age holds for the request */
    unsigned open : 1;     /* set by the owner: let in as traffic was public */
    unsigned watched : 1;  /* TCP keepalive is on for its connection */
    unsigned silent : 1;   /* the guest was silent at the last sweep */
    ngx_http_sandbox_live_end_e end; /* why r is taken back, or cut off */
} ngx_http_sandbox_live_t;

/* r, whose phase_handler is where it would go on, goes to the guest of id. */
void ngx_http_sandbox_live_enter(ngx_http_sandbox_live_t *live,
                                 ngx_http_request_t *r, const char *id);

/* r is at no guest any more; to be called in r's cleanup at the latest. */
void ngx_http_sandbox_live_leave(ngx_http_sandbox_live_t *live);

/*
 * Ends the request because its client's key is no good any more.  One that is
 * at no guest, or whose thread works, is left: call it again later.
 */
void ngx_http_sandbox_live_revoke(ngx_http_sandbox_live_t *live);

/* What the client of a silent guest is told. */
extern const char ngx_http_sandbox_live_silence[];

/*
 * From init_process, when the worker's conf is set, and before
 * routes_subscribe(): the later of two subscribers is told first, and the
 * cached route must be forgotten before requests look for the sandbox again.
 */
void ngx_http_sandbox_live_subscribe(void);

#endif
