/*
 * A subscription to one channel.  Tells its user when messages may have been
 * missed, also if the peer died without a word: a PING that is still
 * unanswered when the next one is due ends the connection.  Knows nothing of
 * commands.
 */

#include "ngx_http_sandbox_redis_listener.h"

#define NGX_HTTP_SANDBOX_REDIS_PING_MIN_MS 1000 /* between two */


typedef struct {
    ngx_http_sandbox_redis_link_t link;
    ngx_queue_t queue;
    ngx_http_sandbox_redis_listener_t user;
    ngx_event_t ping;
    unsigned unanswered : 1;
    unsigned lost : 1; /* the user was told of the loss */
    u_char channel[];
} ngx_http_sandbox_redis_listening_t;


static void
ngx_http_sandbox_redis_listening_ping(ngx_event_t *ev)
{
    ngx_str_t ping = ngx_string("PING");
    ngx_http_sandbox_redis_listening_t *l;

    l = ev->data;

    if (l->unanswered
        || ngx_http_sandbox_redis_link_send(&l->link, 1, &ping) != NGX_OK)
    {
        ngx_http_sandbox_redis_link_fail(&l->link, NGX_ETIMEDOUT,
                                         "PING was not answered in time");
        return;
    }

    l->unanswered = 1;
    ngx_add_timer(&l->ping, ngx_max(l->link.conf->timeout,
                                    NGX_HTTP_SANDBOX_REDIS_PING_MIN_MS));
}


static void
ngx_http_sandbox_redis_listening_reply(void *data, redisReply *reply)
{
    ngx_http_sandbox_redis_listening_t *l = data;

    ngx_str_t payload;
    redisReply **v;

    /* any reply shows that the peer lives */
    l->unanswered = 0;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return;
    }

    v = reply->element;

    if (v[0]->type == REDIS_REPLY_STRING
        && ngx_strcmp(v[0]->str, "message") == 0
        && v[2]->type == REDIS_REPLY_STRING)
    {
        payload.data = (u_char *) v[2]->str;
        payload.len = v[2]->len;
        l->user.message(l->user.data, &payload);
    }
}


static void
ngx_http_sandbox_redis_listening_up(void *data)
{
    ngx_http_sandbox_redis_listening_t *l = data;

    l->unanswered = 0;
    l->lost = 0;
    ngx_add_timer(&l->ping, ngx_max(l->link.conf->timeout,
                                    NGX_HTTP_SANDBOX_REDIS_PING_MIN_MS));

    l->user.ready(l->user.data);
}


static void
ngx_http_sandbox_redis_listening_down(void *data)
{
    ngx_http_sandbox_redis_listening_t *l = data;

    if (l->ping.timer_set) {
        ngx_del_timer(&l->ping);
    }

    if (!l->lost) {
        l->lost = 1;
        l->user.lost(l->user.data);
    }
}


static const ngx_http_sandbox_redis_link_ops_t
    ngx_http_sandbox_redis_listening_ops = {
        ngx_http_sandbox_redis_listening_reply,
        ngx_http_sandbox_redis_listening_up,
        ngx_http_sandbox_redis_listening_down
    };


ngx_int_t
ngx_http_sandbox_redis_listeners_add(
    ngx_queue_t *listeners, ngx_http_sandbox_redis_conf_t *conf, ngx_log_t *log,
    ngx_str_t *channel, ngx_http_sandbox_redis_listener_t *listener)
{
    ngx_http_sandbox_redis_listening_t *l;

    l = ngx_calloc(sizeof(ngx_http_sandbox_redis_listening_t) + channel->len,
                   log);
    if (l == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(l->channel, channel->data, channel->len);
    l->link.channel.data = l->channel;
    l->link.channel.len = channel->len;
    l->link.conf = conf;
    l->link.ops = &ngx_http_sandbox_redis_listening_ops;
    l->link.data = l;

    l->user = *listener;

    l->ping.handler = ngx_http_sandbox_redis_listening_ping;
    l->ping.data = l;
    l->ping.log = log;
    l->ping.cancelable = 1;

    if (ngx_http_sandbox_redis_link_open(&l->link, log) != NGX_OK) {
        ngx_http_sandbox_redis_link_close(&l->link);
        ngx_free(l);
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(listeners, &l->queue);

    return NGX_OK;
}


void
ngx_http_sandbox_redis_listeners_close(ngx_queue_t *listeners)
{
    ngx_queue_t *q;
    ngx_http_sandbox_redis_listening_t *l;

    while (!ngx_queue_empty(listeners)) {
        q = ngx_queue_head(listeners);
        ngx_queue_remove(q);
        l = ngx_queue_data(q, ngx_http_sandbox_redis_listening_t, queue);

        if (l->ping.timer_set) {
            ngx_del_timer(&l->ping);
        }

        ngx_http_sandbox_redis_link_close(&l->link);
        ngx_free(l);
    }
}
