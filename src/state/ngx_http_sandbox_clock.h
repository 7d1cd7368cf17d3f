/*
 * Redis' clock, by which every time in a record and on an agenda is made and
 * judged.  This host's clock may be wrong, so such a time is never compared
 * with it.  What is to be done some time from now is scheduled by Redis itself
 * (schedule.lua); this file is for judging times that were read from Redis.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_CLOCK_H
#define NGX_HTTP_SANDBOX_CLOCK_H

#include "ngx_http_sandbox_redis.h"

/*
 * From init_process, the first command of the connection: every later reply
 * finds the clock known.
 */
void ngx_http_sandbox_clock_start(ngx_http_sandbox_redis_t *redis);

/* Sets the clock to ms since the epoch, from a reply that has just come. */
void ngx_http_sandbox_clock_hear(int64_t ms);

/* The same of a reply to TIME.  NGX_ERROR if it is none. */
ngx_int_t ngx_http_sandbox_clock_hear_time(redisReply *reply);

/*
 * The time by Redis' clock, in ms since the epoch, computed from the last reply
 * that this worker heard; it lags by that reply's way, a few ms.  Before the
 * first reply: the time by this host's clock.
 */
int64_t ngx_http_sandbox_clock_ms(void);

#endif
