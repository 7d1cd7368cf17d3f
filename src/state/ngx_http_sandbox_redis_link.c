/*
 * One connection to Redis; see the header.  Owns the socket, the output
 * buffer, hiredis' reader and the reconnect.  Knows neither commands nor
 * deadlines.
 *
 * Of hiredis only the reader of replies is used.  Its async context makes the
 * socket itself (by getaddrinfo), asserts on what the server sends, and runs
 * callbacks from inside its own destructor.  With an nginx connection of our
 * own, edge-triggered reads and accounting work as everywhere in nginx.
 */

#include "ngx_http_sandbox_redis_link.h"

#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_redis_reply.h"
#include "ngx_http_sandbox_redis_text.h"

#define NGX_HTTP_SANDBOX_REDIS_BACKOFF_MIN_MS 100 /* jitter halves it */
#define NGX_HTTP_SANDBOX_REDIS_BACKOFF_MAX_MS 2000

#define NGX_HTTP_SANDBOX_REDIS_OUT_MIN 4096
#define NGX_HTTP_SANDBOX_REDIS_OUT_KEEP 65536 /* when all is sent */
#define NGX_HTTP_SANDBOX_REDIS_OUT_MAX (64 * 1024 * 1024)

#define NGX_HTTP_SANDBOX_REDIS_READ 16384
/* small, since the reader moves the rest of a piece at every second reply */
#define NGX_HTTP_SANDBOX_REDIS_FEED 2048


u_char *
ngx_http_sandbox_redis_link_reserve(ngx_http_sandbox_redis_link_t *link,
                                    size_t size)
{
    u_char *out;
    size_t queued, wanted;

    queued = link->last - link->pos;

    if (size > NGX_HTTP_SANDBOX_REDIS_OUT_MAX - queued) {
        return NULL;
    }

    if (size <= link->size - link->last) {
        return link->out + link->last;
    }

    wanted = ngx_max(link->size, NGX_HTTP_SANDBOX_REDIS_OUT_MIN);

    while (wanted < queued + size) {
        wanted *= 2;
    }

    /* always a new buffer: bytes that are sent already need not be copied */
    out = ngx_alloc(wanted, link->log);
    if (out == NULL) {
        return NULL;
    }

    if (link->out) {
        ngx_memcpy(out, link->out + link->pos, queued);
        ngx_free(link->out);
    }

    link->greeting -= ngx_min(link->greeting, link->pos);
    link->pos = 0;
    link->last = queued;
    link->out = out;
    link->size = wanted;

    return out + queued;
}


void
ngx_http_sandbox_redis_link_commit(ngx_http_sandbox_redis_link_t *link,
                                   u_char *last)
{
    link->last = last - link->out;

    if (link->state == NGX_HTTP_SANDBOX_REDIS_UP) {
        ngx_post_event(&link->flush, &ngx_posted_events);
    }
}


ngx_int_t
ngx_http_sandbox_redis_link_send(ngx_http_sandbox_redis_link_t *link,
                                 ngx_uint_t argc, ngx_str_t *argv)
{
    u_char *p;

    p = ngx_http_sandbox_redis_link_reserve(
        link, NGX_HTTP_SANDBOX_REDIS_HEAD
                  + ngx_http_sandbox_redis_args_size(argc, argv));
    if (p == NULL) {
        return NGX_DECLINED;
    }

    p = ngx_http_sandbox_redis_put_head(p, argc);
    p = ngx_http_sandbox_redis_put_args(p, argc, argv);
    ngx_http_sandbox_redis_link_commit(link, p);

    return NGX_OK;
}


ngx_uint_t
ngx_http_sandbox_redis_link_ready(ngx_http_sandbox_redis_link_t *link)
{
    return link->state == NGX_HTTP_SANDBOX_REDIS_UP || link->fresh;
}


static void
ngx_http_sandbox_redis_link_emptied(ngx_http_sandbox_redis_link_t *link)
{
    link->pos = 0;
    link->last = 0;
    link->greeting = 0;

    if (link->size > NGX_HTTP_SANDBOX_REDIS_OUT_KEEP) {
        ngx_free(link->out);
        link->out = NULL;
        link->size = 0;
    }
}


static ngx_uint_t
ngx_http_sandbox_redis_link_label(ngx_http_sandbox_redis_link_t *link)
{
    return link->channel.len ? NGX_HTTP_SANDBOX_LINK_EVENTS
                             : NGX_HTTP_SANDBOX_LINK_COMMANDS;
}


static void
ngx_http_sandbox_redis_link_disconnect(ngx_http_sandbox_redis_link_t *link)
{
    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }

    if (link->flush.posted) {
        ngx_delete_posted_event(&link->flush);
    }

    if (link->connection) {
        ngx_close_connection(link->connection);
        link->connection = NULL;
    }

    if (link->reader) {
        redisReaderFree(link->reader);
        link->reader = NULL;
    }

    ngx_http_sandbox_metric_set(NGX_HTTP_SANDBOX_METRIC_REDIS_UP,
                                ngx_http_sandbox_redis_link_label(link), 0);

    link->fresh = 0;
    link->awaited = 0;
    link->turn++;
    ngx_http_sandbox_redis_link_emptied(link);
}


/* One error line per loss, however many attempts to reconnect follow. */
static void
ngx_http_sandbox_redis_link_log(ngx_http_sandbox_redis_link_t *link,
                                ngx_err_t err, const char *reason)
{
    ngx_uint_t level;

    level = NGX_LOG_INFO;

    if (!link->away) {
        link->away = 1;
        link->since = ngx_current_msec;
        level = link->channel.len ? NGX_LOG_WARN : NGX_LOG_ERR;
    }

    if (link->channel.len) {
        ngx_log_error(level, link->log, err,
                      "redis %V: subscription to \"%V\" is lost: %s",
                      &link->conf->name, &link->channel, reason);

    } else {
        ngx_log_error(level, link->log, err, "redis %V is away: %s",
                      &link->conf->name, reason);
    }
}


void
ngx_http_sandbox_redis_link_fail(ngx_http_sandbox_redis_link_t *link,
                                 ngx_err_t err, const char *reason)
{
    ngx_msec_t delay;

    ngx_http_sandbox_redis_link_log(link, err, reason);
    ngx_http_sandbox_redis_link_disconnect(link);
    link->state = NGX_HTTP_SANDBOX_REDIS_WAITING;

    delay = link->backoff / 2;
    delay += (ngx_msec_t) ngx_random() % (delay + 1);
    link->backoff =
        ngx_min(link->backoff * 2, NGX_HTTP_SANDBOX_REDIS_BACKOFF_MAX_MS);

    ngx_add_timer(&link->timer, delay);

    link->ops->down(link->data);
}


static void
ngx_http_sandbox_redis_link_flush(ngx_http_sandbox_redis_link_t *link)
{
    ssize_t n;
    size_t end;
    ngx_connection_t *c;

    link->turn++;

    c = link->connection;
    end =
        link->state == NGX_HTTP_SANDBOX_REDIS_UP ? link->last : link->greeting;

    while (link->pos < end && c->write->ready) {
        n = c->send(c, link->out + link->pos, end - link->pos);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n < 0) {
            ngx_http_sandbox_redis_link_fail(link, 0, "send() failed");
            return;
        }

        link->pos += n;
    }

    if (link->pos == link->last) {
        ngx_http_sandbox_redis_link_emptied(link);
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_sandbox_redis_link_fail(link, 0, "no event for writing");
    }
}


static void
ngx_http_sandbox_redis_link_posted(ngx_event_t *ev)
{
    ngx_http_sandbox_redis_link_flush(ev->data);
}


static void
ngx_http_sandbox_redis_link_up(ngx_http_sandbox_redis_link_t *link)
{
    ngx_del_timer(&link->timer);

    link->state = NGX_HTTP_SANDBOX_REDIS_UP;
    link->backoff = NGX_HTTP_SANDBOX_REDIS_BACKOFF_MIN_MS;
    link->fresh = 0;

    ngx_http_sandbox_metric_set(NGX_HTTP_SANDBOX_METRIC_REDIS_UP,
                                ngx_http_sandbox_redis_link_label(link), 1);

    if (link->away) {
        link->away = 0;
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_REDIS_RECONNECTS,
                                    ngx_http_sandbox_redis_link_label(link), 1);

        if (link->channel.len) {
            ngx_log_error(NGX_LOG_NOTICE, link->log, 0,
                          "redis %V: subscribed to \"%V\" again after %M ms",
                          &link->conf->name, &link->channel,
                          ngx_current_msec - link->since);

        } else {
            ngx_log_error(NGX_LOG_NOTICE, link->log, 0,
                          "redis %V is back after %M ms", &link->conf->name,
                          ngx_current_msec - link->since);
        }
    }

    if (link->pos < link->last) {
        ngx_post_event(&link->flush, &ngx_posted_events);
    }

    if (link->ops->up) {
        link->ops->up(link->data);
    }
}


/* May take the link down: link->connection is NULL then. */
static void
ngx_http_sandbox_redis_link_reply(ngx_http_sandbox_redis_link_t *link,
                                  redisReply *reply)
{
    if (link->state == NGX_HTTP_SANDBOX_REDIS_UP) {
        link->ops->reply(link->data, reply);
        return;
    }

    /* wrong password, no such database, data being loaded */
    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_http_sandbox_redis_link_fail(link, 0, reply->str);
        return;
    }

    link->awaited--;

    if (link->awaited == 0) {
        ngx_http_sandbox_redis_link_up(link);
    }
}


static void
ngx_http_sandbox_redis_link_feed(ngx_http_sandbox_redis_link_t *link,
                                 u_char *buf, size_t len)
{
    void *reply;

    if (redisReaderFeed(link->reader, (char *) buf, len) != REDIS_OK) {
        ngx_http_sandbox_redis_link_fail(link, 0, link->reader->errstr);
        return;
    }

    while (link->connection) {
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            ngx_http_sandbox_redis_link_fail(link, 0, link->reader->errstr);
            return;
        }

        if (reply == NULL) {
            return;
        }

        ngx_http_sandbox_redis_link_reply(link, reply);
        ngx_http_sandbox_redis_reply_end(&link->replies);
    }
}


static void
ngx_http_sandbox_redis_link_parse(ngx_http_sandbox_redis_link_t *link,
                                  u_char *buf, size_t len)
{
    size_t n;

    while (len && link->connection) {
        n = ngx_min(len, NGX_HTTP_SANDBOX_REDIS_FEED);
        ngx_http_sandbox_redis_link_feed(link, buf, n);
        buf += n;
        len -= n;
    }
}


static ngx_int_t
ngx_http_sandbox_redis_link_connected(ngx_http_sandbox_redis_link_t *link)
{
    int err;
    socklen_t len;

    if (link->state != NGX_HTTP_SANDBOX_REDIS_CONNECTING) {
        return NGX_OK;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(link->connection->fd, SOL_SOCKET, SO_ERROR, &err, &len)
        == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_http_sandbox_redis_link_fail(link, err, "connect() failed");
        return NGX_ERROR;
    }

    link->state = NGX_HTTP_SANDBOX_REDIS_GREETING;

    return NGX_OK;
}


static void
ngx_http_sandbox_redis_link_write_handler(ngx_event_t *wev)
{
    ngx_connection_t *c;
    ngx_http_sandbox_redis_link_t *link;

    c = wev->data;
    link = c->data;

    if (ngx_http_sandbox_redis_link_connected(link) == NGX_OK) {
        ngx_http_sandbox_redis_link_flush(link);
    }
}


static void
ngx_http_sandbox_redis_link_read_handler(ngx_event_t *rev)
{
    ssize_t n;
    ngx_connection_t *c;
    ngx_http_sandbox_redis_link_t *link;
    u_char buf[NGX_HTTP_SANDBOX_REDIS_READ];

    c = rev->data;
    link = c->data;

    if (ngx_http_sandbox_redis_link_connected(link) != NGX_OK) {
        return;
    }

    do {
        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n <= 0) {
            ngx_http_sandbox_redis_link_fail(
                link, 0, n ? "recv() failed" : "connection closed by Redis");
            return;
        }

        ngx_http_sandbox_redis_link_parse(link, buf, n);

        if (link->connection == NULL) {
            return;
        }

    } while (rev->ready);

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_sandbox_redis_link_fail(link, 0, "no event for reading");
    }
}


/* Queues the greeting, which Redis must answer before the link is up. */
static ngx_int_t
ngx_http_sandbox_redis_link_greet(ngx_http_sandbox_redis_link_t *link)
{
    ngx_str_t args[3];
    ngx_uint_t n;
    ngx_http_sandbox_redis_conf_t *conf;
    u_char db[NGX_INT_T_LEN];

    conf = link->conf;
    link->awaited = 1;

    if (conf->password.len) {
        ngx_str_set(&args[0], "AUTH");
        n = 1;

        if (conf->username.len) {
            args[n++] = conf->username;
        }

        args[n++] = conf->password;
        link->awaited++;

        if (ngx_http_sandbox_redis_link_send(link, n, args) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (conf->db) {
        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_slprintf(db, db + sizeof(db), "%ui", conf->db) - db;
        link->awaited++;

        if (ngx_http_sandbox_redis_link_send(link, 2, args) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&args[0], "PING");

    if (ngx_http_sandbox_redis_link_send(link, 1, args) != NGX_OK) {
        return NGX_ERROR;
    }

    if (link->channel.len) {
        ngx_str_set(&args[0], "SUBSCRIBE");
        args[1] = link->channel;
        link->awaited++;

        if (ngx_http_sandbox_redis_link_send(link, 2, args) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    link->greeting = link->last;

    return NGX_OK;
}


static ngx_connection_t *
ngx_http_sandbox_redis_link_socket(ngx_http_sandbox_redis_link_t *link)
{
    int on;
    ngx_socket_t s;
    ngx_connection_t *c;

    s = ngx_socket(link->conf->addr.sockaddr.sa_family, SOCK_STREAM, 0);
    if (s == (ngx_socket_t) -1) {
        return NULL;
    }

    on = 1;

    if (ngx_nonblocking(s) == -1
        || (link->conf->addr.sockaddr.sa_family != AF_UNIX
            && setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)) == -1))
    {
        ngx_close_socket(s);
        return NULL;
    }

    c = ngx_get_connection(s, link->log);
    if (c == NULL) {
        ngx_close_socket(s);
        return NULL;
    }

    c->data = link;
    c->log = link->log;
    c->log_error = NGX_ERROR_INFO;
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->read->handler = ngx_http_sandbox_redis_link_read_handler;
    c->read->log = link->log;
    c->write->handler = ngx_http_sandbox_redis_link_write_handler;
    c->write->log = link->log;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    return c;
}


static ngx_int_t
ngx_http_sandbox_redis_link_events(ngx_connection_t *c)
{
    if (ngx_add_conn) {
        return ngx_add_conn(c);
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_handle_write_event(c->write, 0);
}


/*
 * Not ngx_event_connect_peer(): it would log an error at every attempt while
 * Redis is away.
 */
static void
ngx_http_sandbox_redis_link_connect(ngx_http_sandbox_redis_link_t *link)
{
    int rc;
    ngx_err_t err;

    if (!link->fresh && ngx_http_sandbox_redis_link_greet(link) != NGX_OK) {
        ngx_http_sandbox_redis_link_fail(link, 0, "no memory");
        return;
    }

    link->reader = ngx_http_sandbox_redis_reader(&link->replies);
    link->connection = ngx_http_sandbox_redis_link_socket(link);

    if (link->reader == NULL || link->connection == NULL) {
        ngx_http_sandbox_redis_link_fail(link, ngx_errno, "no socket");
        return;
    }

    link->state = NGX_HTTP_SANDBOX_REDIS_CONNECTING;
    ngx_add_timer(&link->timer, link->conf->connect_timeout);

    rc = connect(link->connection->fd, &link->conf->addr.sockaddr,
                 link->conf->socklen);
    err = ngx_socket_errno;

    if (rc == -1 && err != NGX_EINPROGRESS) {
        ngx_http_sandbox_redis_link_fail(link, err, "connect() failed");
        return;
    }

    if (ngx_http_sandbox_redis_link_events(link->connection) != NGX_OK) {
        ngx_http_sandbox_redis_link_fail(link, 0, "no events");
    }
}


static void
ngx_http_sandbox_redis_link_timer(ngx_event_t *ev)
{
    ngx_http_sandbox_redis_link_t *link;

    link = ev->data;

    if (link->state == NGX_HTTP_SANDBOX_REDIS_WAITING) {
        ngx_http_sandbox_redis_link_connect(link);
        return;
    }

    ngx_http_sandbox_redis_link_fail(link, NGX_ETIMEDOUT,
                                     "no connection in time");
}


ngx_int_t
ngx_http_sandbox_redis_link_open(ngx_http_sandbox_redis_link_t *link,
                                 ngx_log_t *log)
{
    link->log = log;
    link->backoff = NGX_HTTP_SANDBOX_REDIS_BACKOFF_MIN_MS;

    if (ngx_http_sandbox_redis_link_greet(link) != NGX_OK) {
        return NGX_ERROR;
    }

    link->timer.handler = ngx_http_sandbox_redis_link_timer;
    link->timer.data = link;
    link->timer.log = log;
    link->timer.cancelable = 1;

    link->flush.handler = ngx_http_sandbox_redis_link_posted;
    link->flush.data = link;
    link->flush.log = log;

    link->state = NGX_HTTP_SANDBOX_REDIS_WAITING;
    link->fresh = 1;
    ngx_add_timer(&link->timer, 1);

    return NGX_OK;
}


void
ngx_http_sandbox_redis_link_close(ngx_http_sandbox_redis_link_t *link)
{
    ngx_connection_t *c;

    c = link->connection;

    if (link->state == NGX_HTTP_SANDBOX_REDIS_UP && link->pos < link->last) {
        (void) c->send(c, link->out + link->pos, link->last - link->pos);
    }

    ngx_http_sandbox_redis_link_disconnect(link);
    link->state = NGX_HTTP_SANDBOX_REDIS_CLOSED;

    ngx_free(link->out);

    if (link->replies) {
        ngx_destroy_pool(link->replies);
        link->replies = NULL;
    }
    link->out = NULL;
    link->size = 0;
}
