/*
 * Requests that are at a guest, by its execution, and what becomes of them
 * when that ends or says nothing any more.  A machine that ends sends no FIN,
 * nor does one whose network hangs: without this they would hang until their
 * timeouts.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_LIVE_H
#define NGX_HTTP_SANDBOX_LIVE_H

#include "ngx_http_sandbox_module.h"

typedef enum {
    NGX_HTTP_SANDBOX_LIVE_ENDED = 0, /* its guest has ended */
    NGX_HTTP_SANDBOX_LIVE_AGED,      /* it has lasted for max_age */
    NGX_HTTP_SANDBOX_LIVE_LATE,      /* its answer has not begun in time */
    NGX_HTTP_SANDBOX_LIVE_SILENT     /* its guest acknowledges nothing */
} ngx_http_sandbox_live_end_e;

/*
 * r was taken back from its guest, which has said nothing yet: it is to be
 * answered, or, where live->end is ENDED, to look for the sandbox again and go
 * on from the phase in which it entered.  spent: the guest may have acted upon
 * it, or its body is gone; it must not be sent again.
 */
typedef void (*ngx_http_sandbox_back_pt)(ngx_http_request_t *r, void *data,
                                         ngx_uint_t spent);

/* A member of a request's state, zeroed at first. */
typedef struct ngx_http_sandbox_live_s {
    ngx_queue_t queue;
    ngx_http_request_t *request;
    ngx_http_sandbox_back_pt back;
    void *data;
    ngx_int_t phase;
    ngx_msec_t began;
    ngx_msec_t patience; /* set by its owner: for its answer to begin, or 0 */
    char id[SANDBOX_ID_SIZE];
    unsigned listed : 1;
    unsigned changing : 1; /* its hibernation has begun */
    unsigned over : 1;     /* it has ended: no connection to it is of use */
    unsigned aging : 1;    /* set by its owner: max_age is for it, too */
    unsigned watched : 1;  /* the kernel asks its guest if it is there */
    unsigned silent : 1;   /* that had not answered when it was last looked */
    ngx_http_sandbox_live_end_e end; /* why it is taken back, or cut off */
} ngx_http_sandbox_live_t;

/* From a handler of a phase, or as if from there: r goes to the guest of id. */
void ngx_http_sandbox_live_enter(ngx_http_sandbox_live_t *live,
                                 ngx_http_request_t *r, const char *id);

/* In r's cleanup at the latest. */
void ngx_http_sandbox_live_leave(ngx_http_sandbox_live_t *live);

/* What its client is told of a silent guest. */
extern const char ngx_http_sandbox_live_silence[];

/*
 * From init_process, when the worker's conf is set, and before
 * routes_subscribe(): of two subscribers the later
 * one hears first, and what is cached must be forgotten by then.
 */
void ngx_http_sandbox_live_subscribe(void);

#endif
