/*
 * hiredis' reply objects in an nginx pool: by itself hiredis makes two
 * allocations for each element of a record.  Behind ngx_http_sandbox_redis.h.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_REDIS_REPLY_H
#define NGX_HTTP_SANDBOX_REDIS_REPLY_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>

/*
 * Makes a reader whose replies are allocated from *pool, which must outlive the
 * reader.  One reply at a time: the caller ends the last one before it asks for
 * the next.
 */
redisReader *ngx_http_sandbox_redis_reader(ngx_pool_t **pool);

/* Ends a reply; pool memory beyond what most replies need is freed. */
void ngx_http_sandbox_redis_reply_end(ngx_pool_t **pool);

#endif
