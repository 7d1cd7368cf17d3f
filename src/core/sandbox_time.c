/* Clock and RFC 3339; see the header. */

#include "sandbox_time.h"

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


/* Writes n digits of value and gives what follows them. */
static char *
sandbox_time_digits(char *out, unsigned n, unsigned value)
{
    unsigned i;

    for (i = n; i; i--) {
        out[i - 1] = (char) ('0' + value % 10);
        value /= 10;
    }

    return out + n;
}


/* By hand: strftime() and snprintf() cost more than all else of an object. */
void
sandbox_time_format(char out[SANDBOX_TIME_SIZE], int64_t ms)
{
    time_t seconds;
    char *p;
    struct tm tm;

    if (ms < 0) {
        ms = 0;
    }

    if (ms > SANDBOX_TIME_MAX) {
        ms = SANDBOX_TIME_MAX;
    }

    seconds = (time_t) (ms / 1000);
    (void) gmtime_r(&seconds, &tm);

    p = sandbox_time_digits(out, 4, (unsigned) tm.tm_year + 1900);
    *p++ = '-';
    p = sandbox_time_digits(p, 2, (unsigned) tm.tm_mon + 1);
    *p++ = '-';
    p = sandbox_time_digits(p, 2, (unsigned) tm.tm_mday);
    *p++ = 'T';
    p = sandbox_time_digits(p, 2, (unsigned) tm.tm_hour);
    *p++ = ':';
    p = sandbox_time_digits(p, 2, (unsigned) tm.tm_min);
    *p++ = ':';
    p = sandbox_time_digits(p, 2, (unsigned) tm.tm_sec);
    *p++ = '.';
    p = sandbox_time_digits(p, 3, (unsigned) (ms % 1000));
    *p++ = 'Z';
    *p = '\0';
}
