/*
 * Redis' clock, by which every time in a record and on an agenda is made and
 * judged.  This host's may be wrong: such a time is never compared with it.
 * What is to be done some time from now is scheduled by Redis itself
 * (schedule.lua); this is for times that were read.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_CLOCK_H
#define NGX_HTTP_SANDBOX_CLOCK_H

#include "ngx_http_sandbox_redis.h"

/*
 * From init_process, the first command of the connection: every later reply
 * finds the clock known.
 */
void ngx_http_sandbox_clock_start(ngx_http_sandbox_redis_t *redis);

/* A reply that has just come says that it is then, in ms since the epoch. */
void ngx_http_sandbox_clock_hear(int64_t ms);

/* The same of a reply to TIME.  NGX_ERROR if it is none. */
ngx_int_t ngx_http_sandbox_clock_hear_time(redisReply *reply);

/*
 * What Redis' clock says, as this worker last heard it (a few ms ago at least,
 * which it may be behind); before that, what this host's does.
 */
int64_t ngx_http_sandbox_clock_ms(void);

#endif
