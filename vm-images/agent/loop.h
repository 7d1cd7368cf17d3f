/*
 * The event loop: descriptors, timers, and one hook for a library that has a
 * loop of its own.  Single-threaded; handlers must not block.
 *
 * Watches and timers are embedded in their owners' structures, which may be
 * freed in any handler after the watch or timer is removed.
 */

#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

typedef struct {
    int fd; /* -1 while not watched */
    void (*handler)(void *data, uint32_t events);
    void *data;
} agent_watch_t;

typedef struct agent_timer_s agent_timer_t;

struct agent_timer_s {
    int64_t at; /* monotonic milliseconds */
    int active;
    void (*handler)(void *data);
    void *data;
    TAILQ_ENTRY(agent_timer_s) link;
};

/* 0, or -1 with errno set. */
int agent_loop_init(void);

/* Watches w->fd for EPOLL* events; 0, or -1 with errno set. */
int agent_loop_watch(agent_watch_t *w, int fd, uint32_t events);
/* Changes the events of a watch; 0, or -1 with errno set. */
int agent_loop_change(agent_watch_t *w, uint32_t events);
/* Stops watching; does not close.  Does nothing on an idle watch. */
void agent_loop_unwatch(agent_watch_t *w);

/* Runs t->handler once after ms; replaces an earlier setting. */
void agent_loop_timer(agent_timer_t *t, int64_t ms);
void agent_loop_timer_stop(agent_timer_t *t);

/*
 * hook runs once a turn, after all handlers, and returns the most milliseconds
 * that the loop may sleep, or -1 for no limit.  NULL removes the hook.
 */
void agent_loop_hook(int64_t (*hook)(void *data), void *data);

/* Runs until agent_loop_stop(); 0, or -1 with errno set. */
int agent_loop_run(void);
void agent_loop_stop(void);

#endif
