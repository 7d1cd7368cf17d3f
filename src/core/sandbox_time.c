/* Clock and RFC 3339; see the header. */

#include "sandbox_time.h"

#include <stdio.h>
#include <time.h>

#define SANDBOX_TIME_MAX 253402300799999 /* 9999-12-31T23:59:59.999Z */


static int64_t
sandbox_time_read(clockid_t clock)
{
    struct timespec ts;

    (void) clock_gettime(clock, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int64_t
sandbox_time_now_ms(void)
{
    return sandbox_time_read(CLOCK_REALTIME);
}


int64_t
sandbox_time_monotonic_ms(void)
{
    return sandbox_time_read(CLOCK_MONOTONIC);
}


void
sandbox_time_format(char out[SANDBOX_TIME_SIZE], int64_t ms)
{
    time_t seconds;
    size_t n;
    struct tm tm;

    if (ms < 0) {
        ms = 0;
    }

    if (ms > SANDBOX_TIME_MAX) {
        ms = SANDBOX_TIME_MAX;
    }

    seconds = (time_t) (ms / 1000);
    (void) gmtime_r(&seconds, &tm);

    n = strftime(out, SANDBOX_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    (void) snprintf(out + n, SANDBOX_TIME_SIZE - n, ".%03dZ",
                    (int) (ms % 1000));
}
