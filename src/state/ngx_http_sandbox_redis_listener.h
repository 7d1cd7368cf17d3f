/*
 * Subscriptions, each on a link of its own; behind ngx_http_sandbox_redis.h.
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_REDIS_LISTENER_H
#define NGX_HTTP_SANDBOX_REDIS_LISTENER_H

#include "ngx_http_sandbox_redis_link.h"

/* Copies channel and what listener points to. */
ngx_int_t ngx_http_sandbox_redis_listeners_add(
    ngx_queue_t *listeners, ngx_http_sandbox_redis_conf_t *conf, ngx_log_t *log,
    ngx_str_t *channel, ngx_http_sandbox_redis_listener_t *listener);

/* Closes all subscriptions; calls no function of their listeners. */
void ngx_http_sandbox_redis_listeners_close(ngx_queue_t *listeners);

#endif
