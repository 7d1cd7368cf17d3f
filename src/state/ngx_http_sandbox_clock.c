/* Redis' clock; see the header. */

#include "ngx_http_sandbox_clock.h"

#include "sandbox_time.h"


static struct {
    int64_t ahead; /* of the monotonic clock, ms */
    int heard;
} ngx_http_sandbox_clock;


void
ngx_http_sandbox_clock_hear(int64_t ms)
{
    ngx_http_sandbox_clock.ahead = ms - sandbox_time_monotonic_ms();
    ngx_http_sandbox_clock.heard = 1;
}


int64_t
ngx_http_sandbox_clock_ms(void)
{
    return ngx_http_sandbox_clock.heard
               ? sandbox_time_monotonic_ms() + ngx_http_sandbox_clock.ahead
               : sandbox_time_now_ms();
}
