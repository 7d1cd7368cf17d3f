/*
 * How late the event loop of this worker is, and what the worker caused of
 * that.
 *
 * A timer of 10 ms measures how late it is: the lag, whatever its cause.  On a
 * host whose cores are busy with guests, or that is a guest itself, most of
 * the lag means that the worker was not run.  What the worker has caused is the
 * stall: the time from the return of epoll_wait() to the next call of it, in
 * which handlers compute or block.  The time the thread stood in the run
 * queue meanwhile, from /proc/thread-self/schedstat, is taken off.
 *
 * A turn begins at nginx's own time, which nginx reads when epoll_wait()
 * returns, and ends at the next call of process_events(), which this file
 * wraps.
 */

#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_module.h"
#include "ngx_http_sandbox_timer.h"

#include <ngx_event.h>

#define NGX_HTTP_SANDBOX_LOOP_INTERVAL_MS 10
#define NGX_HTTP_SANDBOX_LOOP_STALL_US (20 * 1000) /* worth a log line */
#define NGX_HTTP_SANDBOX_LOOP_LONG_US (2 * 1000)   /* worth a system call */


/* Times of the thread since it began, in us. */
typedef struct {
    int64_t ran_us;
    int64_t waited_us; /* ready to run, but not let */
} ngx_http_sandbox_loop_sched_t;


static ngx_event_t ngx_http_sandbox_loop_event;
static ngx_fd_t ngx_http_sandbox_loop_fd = NGX_INVALID_FILE;
static int64_t ngx_http_sandbox_loop_due;     /* monotonic us */
static int64_t ngx_http_sandbox_loop_longest; /* us, since the last tick */
static ngx_uint_t ngx_http_sandbox_loop_turning;
static ngx_http_sandbox_loop_sched_t ngx_http_sandbox_loop_sched;
static ngx_http_sandbox_loop_sched_t ngx_http_sandbox_loop_carry;
static ngx_int_t (*ngx_http_sandbox_loop_next)(ngx_cycle_t *cycle,
                                               ngx_msec_t timer,
                                               ngx_uint_t flags);


static int64_t
ngx_http_sandbox_loop_now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/* The change since the last call; zeros if the kernel does not tell. */
static ngx_http_sandbox_loop_sched_t
ngx_http_sandbox_loop_sched_since(void)
{
    char buf[80], *p;
    ssize_t n;
    ngx_http_sandbox_loop_sched_t now, since = { 0, 0 };

    n = pread(ngx_http_sandbox_loop_fd, buf, sizeof(buf) - 1, 0);
    if (n <= 0) {
        return since;
    }

    /* "<ns run> <ns waited> <turns>" */
    buf[n] = '\0';
    now.ran_us = strtoll(buf, &p, 10) / 1000;
    now.waited_us = strtoll(p, NULL, 10) / 1000;

    since.ran_us = now.ran_us - ngx_http_sandbox_loop_sched.ran_us;
    since.waited_us = now.waited_us - ngx_http_sandbox_loop_sched.waited_us;
    ngx_http_sandbox_loop_sched = now;

    return since;
}


/* Counts a turn of the loop that took so many us. */
static void
ngx_http_sandbox_loop_turn(int64_t took)
{
    ngx_http_sandbox_loop_sched_t since;

    if (took > NGX_HTTP_SANDBOX_LOOP_LONG_US) {
        since = ngx_http_sandbox_loop_sched_since();
        since.ran_us += ngx_http_sandbox_loop_carry.ran_us;
        since.waited_us += ngx_http_sandbox_loop_carry.waited_us;
        took -= ngx_min(since.waited_us, took);

        if (took > NGX_HTTP_SANDBOX_LOOP_STALL_US) {
            ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_STALLS, 0, 1);
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "sandbox: the event loop stood still for %L ms, on a "
                          "CPU for %L ms, beside %L ms of waiting for one",
                          took / 1000, since.ran_us / 1000,
                          since.waited_us / 1000);
        }
    }

    ngx_memzero(&ngx_http_sandbox_loop_carry,
                sizeof(ngx_http_sandbox_loop_carry));

    ngx_http_sandbox_loop_longest =
        ngx_max(ngx_http_sandbox_loop_longest, took);
}


static ngx_int_t
ngx_http_sandbox_loop_process(ngx_cycle_t *cycle, ngx_msec_t timer,
                              ngx_uint_t flags)
{
    if (ngx_http_sandbox_loop_turning) {
        ngx_http_sandbox_loop_turn(ngx_http_sandbox_loop_now()
                                   - (int64_t) ngx_current_msec * 1000);
    }

    /* what came before the first turn was the start of the worker */
    ngx_http_sandbox_loop_turning = 1;

    return ngx_http_sandbox_loop_next(cycle, timer, flags);
}


static void
ngx_http_sandbox_loop_arm(ngx_event_t *ev)
{
    ngx_http_sandbox_loop_due =
        ngx_http_sandbox_loop_now() + NGX_HTTP_SANDBOX_LOOP_INTERVAL_MS * 1000;
    ngx_add_timer(ev, NGX_HTTP_SANDBOX_LOOP_INTERVAL_MS);
}


static void
ngx_http_sandbox_loop_tick(ngx_event_t *ev)
{
    int64_t lag, stall;

    lag = ngx_http_sandbox_loop_now() - ngx_http_sandbox_loop_due;
    lag = ngx_max(lag, 0);

    stall = ngx_http_sandbox_loop_longest;
    ngx_http_sandbox_loop_longest = 0;

    /* the wait for a CPU until now belongs to this turn and no later one */
    ngx_http_sandbox_loop_carry = ngx_http_sandbox_loop_sched_since();

    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_LAG, lag);
    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_STALL, stall);
    ngx_http_sandbox_metric_peak(NGX_HTTP_SANDBOX_METRIC_LAG_PEAK, lag);
    ngx_http_sandbox_metric_peak(NGX_HTTP_SANDBOX_METRIC_STALL_PEAK, stall);

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
                      "sandbox: no /proc/thread-self/schedstat: waiting for a "
                      "CPU will count as a stall of the event loop");
    }

    ngx_http_sandbox_loop_next = ngx_event_actions.process_events;
    ngx_event_actions.process_events = ngx_http_sandbox_loop_process;

    ev = &ngx_http_sandbox_loop_event;
    ngx_memzero(ev, sizeof(ngx_event_t));
    ngx_http_sandbox_timer_init(ev, ngx_http_sandbox_loop_tick);
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
