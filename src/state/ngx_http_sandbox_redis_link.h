/*
 * One connection to Redis that is made again when it is lost; behind
 * ngx_http_sandbox_redis.h, for its two users: commands and subscriptions.
 *
 * Event loop only.  Queued commands are sent once per turn of the loop.  Until
 * Redis has answered the greeting (AUTH, SELECT, PING) nothing else is sent, so
 * that no command runs in the wrong database or while Redis loads its data.
 */

#ifndef NGX_HTTP_SANDBOX_REDIS_LINK_H
#define NGX_HTTP_SANDBOX_REDIS_LINK_H

#include "ngx_http_sandbox_redis.h"

#include <ngx_event.h>

typedef enum {
    NGX_HTTP_SANDBOX_REDIS_CLOSED = 0,
    NGX_HTTP_SANDBOX_REDIS_WAITING, /* for the next attempt */
    NGX_HTTP_SANDBOX_REDIS_CONNECTING,
    NGX_HTTP_SANDBOX_REDIS_GREETING,
    NGX_HTTP_SANDBOX_REDIS_UP
} ngx_http_sandbox_redis_state_e;

/*
 * None of these functions may close the link.  up may be NULL.  down is called
 * after each failed attempt, too; while it runs the link takes no commands.
 */
typedef struct {
    void (*reply)(void *data, redisReply *reply);
    void (*up)(void *data);
    void (*down)(void *data);
} ngx_http_sandbox_redis_link_ops_t;

/* The user sets the first four members and zeroes all others. */
typedef struct {
    ngx_http_sandbox_redis_conf_t *conf;
    const ngx_http_sandbox_redis_link_ops_t *ops;
    void *data;
    ngx_str_t channel; /* subscribed to by the greeting, if not empty */

    ngx_log_t *log;
    ngx_connection_t *connection;
    redisReader *reader;
    ngx_pool_t *replies; /* memory of the reply being read or handled */
    ngx_http_sandbox_redis_state_e state;
    ngx_event_t timer; /* for the next attempt, or the limit of this one */
    ngx_event_t flush; /* posted while out holds something to send */

    u_char *out;
    size_t pos;  /* sent up to here */
    size_t last; /* filled up to here */
    size_t size;
    ngx_uint_t turn; /* grows when the queue is sent or dropped */

    size_t greeting;    /* the end of the greeting in out */
    ngx_uint_t awaited; /* replies to the greeting that have not come */

    ngx_msec_t backoff;
    ngx_msec_t since; /* when Redis went away */

    unsigned fresh : 1; /* the first attempt has not ended */
    unsigned away : 1;  /* Redis is away, and that was logged */
} ngx_http_sandbox_redis_link_t;

/* The first attempt to connect is made from the event loop. */
ngx_int_t ngx_http_sandbox_redis_link_open(ngx_http_sandbox_redis_link_t *link,
                                           ngx_log_t *log);

/* Sends what the socket takes at once and closes; calls no function of ops. */
void ngx_http_sandbox_redis_link_close(ngx_http_sandbox_redis_link_t *link);

/* Drops the connection and tries again later. */
void ngx_http_sandbox_redis_link_fail(ngx_http_sandbox_redis_link_t *link,
                                      ngx_err_t err, const char *reason);

/*
 * 1 if commands may be queued: the link is up, or at its very first attempt
 * (a worker just started would else refuse its first requests).
 */
ngx_uint_t
ngx_http_sandbox_redis_link_ready(ngx_http_sandbox_redis_link_t *link);

/*
 * Reserves room for size bytes in the queue; NULL if memory is out or the queue
 * is at its bound.  The caller fills the room and commits its end before it
 * does anything else with the link.
 */
u_char *ngx_http_sandbox_redis_link_reserve(ngx_http_sandbox_redis_link_t *link,
                                            size_t size);
void ngx_http_sandbox_redis_link_commit(ngx_http_sandbox_redis_link_t *link,
                                        u_char *last);

/* Queues a whole command; NGX_OK, or NGX_DECLINED if there is no room. */
ngx_int_t ngx_http_sandbox_redis_link_send(ngx_http_sandbox_redis_link_t *link,
                                           ngx_uint_t argc, ngx_str_t *argv);

#endif
