/*
 * Redis on nginx's event loop: one pipelined connection a worker for
 * commands, one more for a subscription.
 *
 * Event loop only.  Owns the sockets, the reconnect and the deadlines; knows
 * nothing of sandboxes.  While Redis is away every command completes at once
 * with an error, so that the caller can answer 503; the connection comes back
 * by itself (exponential backoff with jitter, 50 ms to 2 s).
 */

#ifndef NGX_HTTP_SANDBOX_REDIS_H
#define NGX_HTTP_SANDBOX_REDIS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>

typedef struct ngx_http_sandbox_redis_conf_s {
    ngx_sockaddr_t addr; /* numeric or unix; resolved at configuration */
    socklen_t socklen;
    ngx_str_t name; /* for log lines */
    ngx_str_t username;
    ngx_str_t password;
    ngx_uint_t db;
    ngx_msec_t timeout; /* of one command */
    ngx_msec_t connect_timeout;
} ngx_http_sandbox_redis_conf_t;

typedef struct ngx_http_sandbox_redis_s ngx_http_sandbox_redis_t;

/*
 * Called exactly once per accepted command, never from inside the call that
 * made it.  reply is NULL if there is none (connection lost, deadline passed,
 * worker exiting); it may be of type REDIS_REPLY_ERROR, which is counted, and
 * logged once a minute at most.  The handler must not change reply, since other
 * handlers may get the same one; it is freed after the handler returns.
 */
typedef void (*ngx_http_sandbox_redis_handler_pt)(void *data,
                                                  redisReply *reply);

/* A Lua script; sha is filled at start.  See sandbox_scripts.h (generated). */
typedef struct {
    const char *name;
    const char *body;
    size_t len;
    char sha[41];
} ngx_http_sandbox_script_t;

/* From init_process; connects in the background.  NULL if memory is out. */
ngx_http_sandbox_redis_t *
ngx_http_sandbox_redis_create(ngx_http_sandbox_redis_conf_t *conf,
                              ngx_log_t *log);

/* From exit_process; pending handlers run with NULL. */
void ngx_http_sandbox_redis_destroy(ngx_http_sandbox_redis_t *redis);

/*
 * Sends a command of argc binary-safe arguments; they are copied.  Equal HGET
 * or HMGET commands of one turn of the event loop are sent once and share the
 * reply.  NGX_OK, or NGX_DECLINED if Redis is away (the handler is not called).
 */
ngx_int_t
ngx_http_sandbox_redis_command(ngx_http_sandbox_redis_t *redis,
                               ngx_http_sandbox_redis_handler_pt handler,
                               void *data, ngx_uint_t argc, ngx_str_t *argv);

/*
 * Sends EVALSHA, and once EVAL if the server does not know the script.  args
 * holds nkeys keys, then the other arguments; nargs counts both.  Returns as
 * ngx_http_sandbox_redis_command() does.
 */
ngx_int_t
ngx_http_sandbox_redis_eval(ngx_http_sandbox_redis_t *redis,
                            ngx_http_sandbox_redis_handler_pt handler,
                            void *data, ngx_http_sandbox_script_t *script,
                            ngx_uint_t nkeys, ngx_uint_t nargs,
                            ngx_str_t *args);

/*
 * Detaches the handlers of all pending commands with this data, e.g. when the
 * request went away: data will not be touched again.
 */
void ngx_http_sandbox_redis_forget(ngx_http_sandbox_redis_t *redis, void *data);

/*
 * Subscribes to one channel on a connection of its own.  message is called
 * for each message, lost whenever the subscription was interrupted (messages
 * may have been missed), also if the first attempt to get it fails.
 */
typedef struct {
    void (*message)(void *data, ngx_str_t *payload);
    void (*lost)(void *data);
    void (*ready)(void *data); /* subscribed (again) */
    void *data;
} ngx_http_sandbox_redis_listener_t;

ngx_int_t
ngx_http_sandbox_redis_subscribe(ngx_http_sandbox_redis_t *redis,
                                 ngx_str_t *channel,
                                 ngx_http_sandbox_redis_listener_t *listener);

#endif
