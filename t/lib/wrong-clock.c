/*
 * Preloaded into a process, with those that it forks: its wall clock is
 * WRONG_CLOCK seconds ahead of the host's, or behind it.
 */

#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t wrong_clock;

static void wrong_clock_read(void) __attribute__((constructor));


static void
wrong_clock_read(void)
{
    const char *seconds = getenv("WRONG_CLOCK");

    wrong_clock = seconds ? strtol(seconds, NULL, 10) : 0;
}


int
clock_gettime(clockid_t clock, struct timespec *ts)
{
    int rc = (int) syscall(SYS_clock_gettime, clock, ts);

    if (rc == 0 && clock == CLOCK_REALTIME) {
        ts->tv_sec += wrong_clock;
    }

    return rc;
}


int
gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec ts;

    (void) zone;

    if (clock_gettime(CLOCK_REALTIME, &ts) != 0) {
        return -1;
    }

    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;

    return 0;
}


time_t
time(time_t *seconds)
{
    struct timespec ts;

    if (clock_gettime(CLOCK_REALTIME, &ts) != 0) {
        return -1;
    }

    if (seconds) {
        *seconds = ts.tv_sec;
    }

    return ts.tv_sec;
}
