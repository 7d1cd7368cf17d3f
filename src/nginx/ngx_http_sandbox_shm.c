/* A block of shared memory; see the header. */

#include "ngx_http_sandbox_shm.h"


static ngx_int_t
ngx_http_sandbox_shm_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t *shpool;
    ngx_http_sandbox_shm_t *shm;

    shm = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data == NULL && !zone->shm.exists) {
        shpool->data = ngx_slab_calloc(shpool, shm->size);
    }

    shm->mapped(shpool);

    return shpool->data ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_sandbox_shm_add(ngx_conf_t *cf, ngx_http_sandbox_shm_t *shm, void *tag)
{
    size_t size;
    ngx_shm_zone_t *zone;

    /* and room for the slab allocator's own pages */
    size = shm->size + shm->size / 64 + 8 * ngx_pagesize;

    zone = ngx_shared_memory_add(cf, &shm->name, ngx_align(size, ngx_pagesize),
                                 tag);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_sandbox_shm_init;
    zone->data = shm;

    return NGX_OK;
}
