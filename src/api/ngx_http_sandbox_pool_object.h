/* The objects of warm pools, made from records.  Any thread. */

#ifndef NGX_HTTP_SANDBOX_POOL_OBJECT_H
#define NGX_HTTP_SANDBOX_POOL_OBJECT_H

#include "ngx_http_sandbox_pool.h"
#include "sandbox_text.h"

void ngx_http_sandbox_pool_object(sandbox_text_t *t,
                                  const ngx_http_sandbox_pool_t *pool);

/* How many members there are of each kind, and why not more. */
void ngx_http_sandbox_pool_status(sandbox_text_t *t,
                                  const ngx_http_sandbox_pool_t *pool);

#endif
