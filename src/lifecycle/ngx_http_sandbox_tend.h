/*
 * Looking after warm pools: their members are made, checked, and taken away.
 *
 * A pool has a place on the agenda of the node that has its lease, see
 * pool_lease.h.  Whoever finds it due there, has just claimed a member, or has
 * just made one, tends it: pool_tend.lua says what is to be done.  Several may
 * do so at once: pool_reserve.lua lets no one make more than are wanted.  Event
 * loop only.
 */

#ifndef NGX_HTTP_SANDBOX_TEND_H
#define NGX_HTTP_SANDBOX_TEND_H

#include "ngx_http_sandbox_operation.h"

/* What the members of a pool are made of. */
typedef struct {
    char pool[SANDBOX_ID_SIZE];
    int64_t fence; /* of its lease */
    char tenant[128];
    char name[256]; /* of the template, as the client wrote it */
    const sandbox_template_t *template;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
} ngx_http_sandbox_shape_t;

/*
 * Tends a pool, soon; again, if it is being tended.  If its lease is over, this
 * node may get it; if it is another node's, that one is told.
 */
void ngx_http_sandbox_tend(const char *id);

/* The same as an operation, for the agenda. */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_tend(const char *id, ngx_http_sandbox_op_done_pt done,
                         void *data);

/*
 * Makes one member, if the pool wants one: the error is conflict if not.  done
 * may be called from inside the call.  NGX_ERROR: memory is out, and it is not
 * called.
 */
ngx_int_t
ngx_http_sandbox_op_member(const ngx_http_sandbox_shape_t *shape,
                           ngx_http_sandbox_op_done_pt done, void *data);

/* From init_process, before anything is tended. */
void ngx_http_sandbox_tend_init(ngx_cycle_t *cycle);

#endif
