/* Clock and RFC 3339.  Any thread. */

#ifndef SANDBOX_TIME_H
#define SANDBOX_TIME_H

#include <stdint.h>

#define SANDBOX_TIME_SIZE 25 /* "2026-01-02T03:04:05.678Z" and its NUL */

/*
 * Milliseconds since the epoch, wall clock of this host.  Times in Redis are by
 * Redis' own clock: ngx_http_sandbox_clock.h.
 */
int64_t sandbox_time_now_ms(void);

/* Milliseconds of a clock that never steps, for deadlines in a process. */
int64_t sandbox_time_monotonic_ms(void);

/* UTC with milliseconds; years 1970 to 9999, others are clamped. */
void sandbox_time_format(char out[SANDBOX_TIME_SIZE], int64_t ms);

#endif
