/*
 * Replies of Redis in memory that is taken once: hiredis' own objects cost two
 * allocations for each element of a record.  Behind ngx_http_sandbox_redis.h.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_REDIS_REPLY_H
#define NGX_HTTP_SANDBOX_REDIS_REPLY_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>

/*
 * A reader whose replies are in *pool, which must outlive it.  One reply at a
 * time: before the next is asked for, the caller ends the last one.
 */
redisReader *ngx_http_sandbox_redis_reader(ngx_pool_t **pool);

/* Ends a reply; memory beyond what most replies need is given back. */
void ngx_http_sandbox_redis_reply_end(ngx_pool_t **pool);

#endif
