/*
 * How late the event loop of this worker is.
 *
 * A timer of 5 ms looks at the clock.  What it is late by is the lag.  On a
 * host whose cores are busy with guests most of that only means that the
 * kernel ran others: the time the thread stood in the run queue, from
 * /proc/thread-self/schedstat, is taken off, and the rest is the stall.
 * Stopping the process (SIGSTOP, a debugger) is told as a stall, too; the
 * run queue does not know it.
 *
 * A stall that begins right after the timer was set is seen 5 ms shorter than
 * it is, and so is one whose worker waited for its CPU in those 5 ms.
 */

#include "ngx_http_sandbox_metrics.h"

#include <ngx_event.h>

#define NGX_HTTP_SANDBOX_LOOP_INTERVAL 5        /* ms */
#define NGX_HTTP_SANDBOX_LOOP_STALL (20 * 1000) /* us */


static void ngx_http_sandbox_loop_tick(ngx_event_t *ev);


static ngx_event_t ngx_http_sandbox_loop_event;
static ngx_fd_t ngx_http_sandbox_loop_fd = NGX_INVALID_FILE;
static int64_t ngx_http_sandbox_loop_due;    /* monotonic us */
static int64_t ngx_http_sandbox_loop_waited; /* us, since the thread began */


static int64_t
ngx_http_sandbox_loop_now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/* The file holds "<ns on a CPU> <ns in the run queue> <turns>". */
static int64_t
ngx_http_sandbox_loop_wait(void)
{
    char buf[80], *p;
    ssize_t n;

    if (ngx_http_sandbox_loop_fd == NGX_INVALID_FILE) {
        return 0;
    }

    n = pread(ngx_http_sandbox_loop_fd, buf, sizeof(buf) - 1, 0);

    if (n <= 0) {
        return ngx_http_sandbox_loop_waited;
    }

    buf[n] = '\0';
    p = strchr(buf, ' ');

    return p ? strtoll(p, NULL, 10) / 1000 : 0;
}


static void
ngx_http_sandbox_loop_arm(ngx_event_t *ev)
{
    ngx_http_sandbox_loop_due =
        ngx_http_sandbox_loop_now() + NGX_HTTP_SANDBOX_LOOP_INTERVAL * 1000;
    ngx_add_timer(ev, NGX_HTTP_SANDBOX_LOOP_INTERVAL);
}


static void
ngx_http_sandbox_loop_tick(ngx_event_t *ev)
{
    int64_t lag, stall, waited;

    lag = ngx_http_sandbox_loop_now() - ngx_http_sandbox_loop_due;
    lag = ngx_max(lag, 0);

    waited = ngx_http_sandbox_loop_wait();
    stall = lag - (waited - ngx_http_sandbox_loop_waited);
    stall = ngx_max(stall, 0);
    ngx_http_sandbox_loop_waited = waited;

    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_LAG, lag);
    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_STALL, stall);
    ngx_http_sandbox_metric_peak(NGX_HTTP_SANDBOX_METRIC_LAG_PEAK, lag);
    ngx_http_sandbox_metric_peak(NGX_HTTP_SANDBOX_METRIC_STALL_PEAK, stall);

    if (stall > NGX_HTTP_SANDBOX_LOOP_STALL) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_STALLS, 0, 1);
        ngx_log_error(NGX_LOG_WARN, ev->log, 0,
                      "sandbox: the event loop stood still for %L ms",
                      stall / 1000);
    }

    if (!ngx_exiting) {
        ngx_http_sandbox_loop_arm(ev);
    }
}


void
ngx_http_sandbox_loop_start(ngx_cycle_t *cycle)
{
    ngx_event_t *ev;

    ngx_http_sandbox_loop_fd = ngx_open_file("/proc/thread-self/schedstat",
                                             NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (ngx_http_sandbox_loop_fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, ngx_errno,
                      "sandbox: no /proc/thread-self/schedstat: each lag of "
                      "the event loop will count as a stall");
    }

    ngx_http_sandbox_loop_waited = ngx_http_sandbox_loop_wait();

    ev = &ngx_http_sandbox_loop_event;
    ngx_memzero(ev, sizeof(ngx_event_t));
    ev->handler = ngx_http_sandbox_loop_tick;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_http_sandbox_loop_arm(ev);
}


void
ngx_http_sandbox_loop_stop(void)
{
    if (ngx_http_sandbox_loop_fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(ngx_http_sandbox_loop_fd);
        ngx_http_sandbox_loop_fd = NGX_INVALID_FILE;
    }
}
