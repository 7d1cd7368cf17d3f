/*
 * A block of shared memory: all 0 at first, and what processes of nginx have
 * written into it outlives them and a reload.  Master process, while it reads
 * the configuration.
 */

#ifndef NGX_HTTP_SANDBOX_SHM_H
#define NGX_HTTP_SANDBOX_SHM_H

#include <ngx_config.h>
#include <ngx_core.h>

/*
 * Static: the zones of the next configuration are compared with it.  The block
 * is pool->data; pool->mutex is one that the master frees if its holder is
 * killed.
 */
typedef struct {
    ngx_str_t name; /* of the zone */
    size_t size;
    /* is told where the block is, before workers are forked */
    void (*mapped)(ngx_slab_pool_t *pool);
} ngx_http_sandbox_shm_t;

/* From init_main_conf; tag as that of ngx_shared_memory_add(). */
ngx_int_t ngx_http_sandbox_shm_add(ngx_conf_t *cf, ngx_http_sandbox_shm_t *shm,
                                   void *tag);

#endif
