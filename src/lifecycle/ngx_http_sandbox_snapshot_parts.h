/*
 * What the files of snapshots share: the reservation (op_snapshot.c), the run
 * after the reservation (snapshot_run.c) and the end of a snapshot
 * (op_snapshot_delete.c).  Not for other files.  Event loop only; while a pool
 * thread works, take belongs to the thread.
 */

#ifndef NGX_HTTP_SANDBOX_SNAPSHOT_PARTS_H
#define NGX_HTTP_SANDBOX_SNAPSHOT_PARTS_H

#include "ngx_http_sandbox_idem.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_redis.h"
#include "sandbox_take.h"
#include "sandbox_tenant.h"

/* The route in the scope of an Idempotency-Key. */
#define NGX_HTTP_SANDBOX_ROUTE_SNAPSHOT "snapshots"

typedef struct {
    ngx_http_sandbox_op_t op; /* its id is the snapshot's */
    ngx_http_sandbox_idem_t idem;

    char tenant[SANDBOX_TENANT_SIZE];
    char source[SANDBOX_ID_SIZE];
    sandbox_snapshot_t spec;
    int64_t created_at;
    int64_t placed_until; /* ms since the epoch: time of the agenda entry */

    sandbox_take_t take;
    int64_t reserving_ms;  /* monotonic: when the reservation was sent */
    int64_t committing_ms; /* monotonic: when the commit was sent */
    int64_t wait_until_ms; /* monotonic: when the wait for the source ends */
    unsigned asking : 1; /* schedule.lua or snapshot_reserve.lua is under way */
    unsigned lost : 1;   /* Redis has no record of the snapshot any more */
} ngx_http_sandbox_snapshot_op_t;

/* Takes a snapshot that is reserved and whose lease is held, and ends s. */
void ngx_http_sandbox_snapshot_run(ngx_http_sandbox_snapshot_op_t *s);

/*
 * Sends snapshot_end.lua for op->id.  how is "gone", "left", "untried" or
 * "kept"; error is published to the operations that wait for op->id, NULL for
 * none.  Result and handler are as for ngx_http_sandbox_redis_eval().
 */
ngx_int_t
ngx_http_sandbox_snapshot_end(ngx_http_sandbox_op_t *op, const char *how,
                              const ngx_http_sandbox_error_t *error,
                              ngx_http_sandbox_redis_handler_pt handler);

#endif
