/* Clock and RFC 3339; see the header. */

#include "sandbox_time.h"

#include <time.h>

#define SANDBOX_TIME_MAX_MS 253402300799999 /* 9999-12-31T23:59:59.999Z */
#define SANDBOX_TIME_DAY_MS 86400000


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


/* Writes n digits of value; returns the end of them. */
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


/*
 * The date of a day since the epoch, in the Gregorian calendar: counted in
 * eras of 400 years that begin in March, so that the leap day ends a year.
 */
static void
sandbox_time_date(int64_t day, unsigned *year, unsigned *month, unsigned *mday)
{
    unsigned era, doe, yoe, doy, m;

    day += 719468; /* from 0000-03-01 to 1970-01-01 */
    era = (unsigned) (day / 146097);
    doe = (unsigned) (day % 146097);
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    m = (5 * doy + 2) / 153; /* from March on */

    *mday = doy - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = era * 400 + yoe + (m >= 10);
}


/*
 * By hand: strftime(), snprintf() and even gmtime_r() would cost more than all
 * other members of a JSON object.
 */
void
sandbox_time_format(char out[SANDBOX_TIME_SIZE], int64_t ms)
{
    char *p;
    int64_t day;
    unsigned year, month, mday, left;

    if (ms < 0) {
        ms = 0;
    }

    if (ms > SANDBOX_TIME_MAX_MS) {
        ms = SANDBOX_TIME_MAX_MS;
    }

    day = ms / SANDBOX_TIME_DAY_MS;
    left = (unsigned) (ms % SANDBOX_TIME_DAY_MS);
    sandbox_time_date(day, &year, &month, &mday);

    p = sandbox_time_digits(out, 4, year);
    *p++ = '-';
    p = sandbox_time_digits(p, 2, month);
    *p++ = '-';
    p = sandbox_time_digits(p, 2, mday);
    *p++ = 'T';
    p = sandbox_time_digits(p, 2, left / 3600000);
    *p++ = ':';
    p = sandbox_time_digits(p, 2, left / 60000 % 60);
    *p++ = ':';
    p = sandbox_time_digits(p, 2, left / 1000 % 60);
    *p++ = '.';
    p = sandbox_time_digits(p, 3, left % 1000);
    *p++ = 'Z';
    *p = '\0';
}
