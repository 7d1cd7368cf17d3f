/*
 * Tends warm pools: makes, checks and destroys their members.
 *
 * A pool has an entry on the agenda of the node that holds its lease, see
 * pool_lease.h.  A worker tends the pool when it is due there, after a create
 * has asked for a member, and after a member was made; pool_tend.lua decides
 * what is to be done.  Several workers may do so at once: pool_reserve.lua
 * refuses members beyond those that are wanted.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_TEND_H
#define NGX_HTTP_SANDBOX_TEND_H

#include "ngx_http_sandbox_operation.h"
#include "sandbox_tenant.h"

/* What the members of a pool are made of. */
typedef struct {
    char pool[SANDBOX_ID_SIZE];
    int64_t fence; /* of the pool's lease */
    char tenant[SANDBOX_TENANT_SIZE];
    char name[256]; /* of the template, as the client wrote it */
    const sandbox_template_t *template;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
} ngx_http_sandbox_shape_t;

/*
 * Tends a pool; if this worker is tending it already, once more afterwards.  If
 * the pool's lease is over, this node may take it; if another node has the
 * pool, it is put on that node's agenda.
 */
void ngx_http_sandbox_tend(const char *id);

/* The same for the agenda; NULL if memory is out or Redis is away. */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_tend(const char *id, ngx_http_sandbox_op_done_pt done,
                         void *data);

/*
 * Makes one member; if the pool does not want one, op->error is conflict.  done
 * may be called from inside the call.  NGX_ERROR: memory is out, done is not
 * called.
 */
ngx_int_t
ngx_http_sandbox_op_member(const ngx_http_sandbox_shape_t *shape,
                           ngx_http_sandbox_op_done_pt done, void *data);

/* Called from init_process, before a pool is tended. */
void ngx_http_sandbox_tend_init(void);

#endif
