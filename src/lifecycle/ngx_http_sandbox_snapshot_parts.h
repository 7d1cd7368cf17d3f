/*
 * What the files of snapshots share: the reservation (op_snapshot.c), the
 * taking of what was reserved (snapshot_run.c) and the end of one
 * (op_snapshot_delete.c).  Not for others.  Event loop only; while a thread is
 * at work, take is the thread's.
 */

#ifndef NGX_HTTP_SANDBOX_SNAPSHOT_PARTS_H
#define NGX_HTTP_SANDBOX_SNAPSHOT_PARTS_H

#include "ngx_http_sandbox_idem.h"
#include "ngx_http_sandbox_operation.h"
#include "sandbox_take.h"

/* The route in the scope of an Idempotency-Key. */
#define NGX_HTTP_SANDBOX_ROUTE_SNAPSHOT "snapshots"

typedef struct {
    ngx_http_sandbox_op_t op; /* its id is the snapshot's */
    ngx_http_sandbox_idem_t idem;

    char tenant[128];
    char source[SANDBOX_ID_SIZE];
    sandbox_snapshot_t spec;
    int64_t created_at;
    int64_t placed_until; /* ms since the epoch: its place on the agenda */

    sandbox_take_t take;
    int64_t reserving;   /* monotonic ms */
    int64_t committing;  /* monotonic ms */
    int64_t patience;    /* monotonic ms at which the wait for others ends */
    ngx_uint_t hops;     /* from an alias to its newest execution */
    unsigned asking : 1; /* schedule.lua or snapshot_reserve.lua is under way */
    unsigned lost : 1;   /* Redis has no record of it any more */
} ngx_http_sandbox_snapshot_op_t;

/* The snapshot is reserved and its lease held: takes it, and ends s. */
void ngx_http_sandbox_snapshot_run(ngx_http_sandbox_snapshot_op_t *s);

/*
 * snapshot_end.lua for op->id: how is "gone", "left" or "kept", error what
 * those who wait are told (NULL: nothing).  As ngx_http_sandbox_redis_eval().
 */
ngx_int_t
ngx_http_sandbox_snapshot_end(ngx_http_sandbox_op_t *op, const char *how,
                              const ngx_http_sandbox_error_t *error,
                              ngx_http_sandbox_redis_handler_pt handler);

#endif
