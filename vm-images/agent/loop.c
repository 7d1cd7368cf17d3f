/*
 * The event loop, over epoll.  Owns the epoll descriptor and the list of
 * timers; must not know what is behind a descriptor.
 */

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "loop.h"
#include "sandbox_time.h"

#define SLEEP_MAX_MS 60000

static int loop_epoll = -1;
static int loop_stopped;
static int64_t (*loop_hook)(void *data);
static void *loop_hook_data;
static TAILQ_HEAD(agent_timers_s, agent_timer_s)
    loop_timers = TAILQ_HEAD_INITIALIZER(loop_timers);


int
agent_loop_init(void)
{
    loop_epoll = epoll_create1(EPOLL_CLOEXEC);

    return loop_epoll == -1 ? -1 : 0;
}


int
agent_loop_watch(agent_watch_t *w, int fd, uint32_t events)
{
    struct epoll_event ev;

    ev.events = events;
    ev.data.ptr = w;

    if (epoll_ctl(loop_epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
        return -1;
    }

    w->fd = fd;

    return 0;
}


int
agent_loop_change(agent_watch_t *w, uint32_t events)
{
    struct epoll_event ev;

    ev.events = events;
    ev.data.ptr = w;

    return epoll_ctl(loop_epoll, EPOLL_CTL_MOD, w->fd, &ev);
}


void
agent_loop_unwatch(agent_watch_t *w)
{
    if (w->fd != -1) {
        epoll_ctl(loop_epoll, EPOLL_CTL_DEL, w->fd, NULL);
        w->fd = -1;
    }
}


void
agent_loop_timer(agent_timer_t *t, int64_t ms)
{
    agent_loop_timer_stop(t);

    t->at = sandbox_time_monotonic_ms() + ms;
    t->active = 1;
    TAILQ_INSERT_TAIL(&loop_timers, t, link);
}


void
agent_loop_timer_stop(agent_timer_t *t)
{
    if (t->active) {
        t->active = 0;
        TAILQ_REMOVE(&loop_timers, t, link);
    }
}


void
agent_loop_hook(int64_t (*hook)(void *data), void *data)
{
    loop_hook = hook;
    loop_hook_data = data;
}


/* A plain list is enough: there are a few timers for each command. */
static agent_timer_t *
loop_next_timer(void)
{
    agent_timer_t *t, *next;

    next = NULL;

    for (t = TAILQ_FIRST(&loop_timers); t != NULL; t = TAILQ_NEXT(t, link)) {
        if (next == NULL || t->at < next->at) {
            next = t;
        }
    }

    return next;
}


static void
loop_run_timers(void)
{
    int64_t now;
    agent_timer_t *t;

    now = sandbox_time_monotonic_ms();

    while ((t = loop_next_timer()) != NULL && t->at <= now) {
        agent_loop_timer_stop(t);
        t->handler(t->data);
    }
}


/*
 * How long to sleep.  The hook comes after all handlers of this turn, for
 * they may give it work that no descriptor tells of; it may set timers, so
 * these are looked at last.
 */
static int
loop_sleep(void)
{
    int64_t ms, left;
    agent_timer_t *t;

    ms = loop_hook ? loop_hook(loop_hook_data) : -1;

    t = loop_next_timer();
    if (t != NULL) {
        left = t->at - sandbox_time_monotonic_ms();
        left = left < 0 ? 0 : left;
        ms = ms == -1 || left < ms ? left : ms;
    }

    return ms > SLEEP_MAX_MS ? SLEEP_MAX_MS : (int) ms;
}


int
agent_loop_run(void)
{
    int n, sleep;
    agent_watch_t *w;
    struct epoll_event ev;

    loop_stopped = 0;

    while (!loop_stopped) {
        loop_run_timers();
        sleep = loop_sleep();
        if (loop_stopped) {
            break;
        }

        /*
         * One event at a time: a handler may remove and free any watch, and
         * no pointer to it may then be left in a batch.
         */
        n = epoll_wait(loop_epoll, &ev, 1, sleep);
        if (n == -1 && errno != EINTR) {
            return -1;
        }

        if (n == 1) {
            w = ev.data.ptr;
            w->handler(w->data, ev.events);
        }
    }

    return 0;
}


void
agent_loop_stop(void)
{
    loop_stopped = 1;
}
