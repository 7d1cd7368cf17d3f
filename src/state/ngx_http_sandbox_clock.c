/* Redis' clock; see the header. */

#include "ngx_http_sandbox_clock.h"

#include "ngx_http_sandbox_reply.h"
#include "sandbox_time.h"


static struct {
    int64_t ahead_ms; /* Redis' clock less the monotonic one */
    int heard;
} ngx_http_sandbox_clock;


void
ngx_http_sandbox_clock_hear(int64_t ms)
{
    ngx_http_sandbox_clock.ahead_ms = ms - sandbox_time_monotonic_ms();
    ngx_http_sandbox_clock.heard = 1;
}


ngx_int_t
ngx_http_sandbox_clock_hear_time(redisReply *reply)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 2) {
        return NGX_ERROR;
    }

    ngx_http_sandbox_clock_hear(ngx_http_sandbox_reply_integer(reply, 0) * 1000
                                + ngx_http_sandbox_reply_integer(reply, 1)
                                      / 1000);

    return NGX_OK;
}


static void
ngx_http_sandbox_clock_told(void *data, redisReply *reply)
{
    (void) ngx_http_sandbox_clock_hear_time(reply);
}


void
ngx_http_sandbox_clock_start(ngx_http_sandbox_redis_t *redis)
{
    static ngx_str_t time = ngx_string("TIME");

    (void) ngx_http_sandbox_redis_command(redis, ngx_http_sandbox_clock_told,
                                          NULL, 1, &time);
}


int64_t
ngx_http_sandbox_clock_ms(void)
{
    return ngx_http_sandbox_clock.heard
               ? sandbox_time_monotonic_ms() + ngx_http_sandbox_clock.ahead_ms
               : sandbox_time_now_ms();
}
