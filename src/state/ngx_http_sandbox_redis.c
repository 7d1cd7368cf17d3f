/*
 * Commands: a FIFO of what was sent and not yet answered, its deadlines, and
 * the retry of scripts the server does not know.  Owns that FIFO and the
 * listeners; knows nothing of sockets.
 *
 * A read that equals one which is queued and not sent is not sent itself: it
 * stands behind that one in the FIFO and takes its reply.  Redis answers them
 * after both were asked for, and no command of this worker stands between
 * them, so neither can tell.  When many clients ask for one sandbox, or repeat
 * one create, a turn of the loop costs Redis one look and not one each.
 *
 * Handlers run from events of the link (a reply, a loss, the deadline), and
 * no call of this file fails the link: hence never inside the call that made
 * the command.
 */

#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_redis_listener.h"
#include "ngx_http_sandbox_redis_text.h"

#define NGX_HTTP_SANDBOX_REDIS_PENDING_MAX 65536
#define NGX_HTTP_SANDBOX_REDIS_MOMENT_MS 1
#define NGX_HTTP_SANDBOX_REDIS_OWNERS 1024     /* a power of two */
#define NGX_HTTP_SANDBOX_REDIS_READS 32        /* remembered at a time */
#define NGX_HTTP_SANDBOX_REDIS_SHARED_MAX 2048 /* bytes of a command */
#define NGX_HTTP_SANDBOX_REDIS_SAY_MS 60000    /* between two log lines */
#define NGX_HTTP_SANDBOX_REDIS_SAY_MAX 200     /* bytes of what Redis says */


typedef struct {
    ngx_queue_t queue;
    ngx_http_sandbox_redis_handler_pt handler; /* NULL: forgotten */
    void *data;
    ngx_msec_t deadline;
    ngx_uint_t shares; /* gets the same reply as the command before it */

    /* for EVAL, should the server not know the script */
    ngx_http_sandbox_script_t *script; /* NULL: no retry */
    ngx_uint_t nargs;                  /* in args */
    size_t len;                        /* of args */
    u_char args[];                     /* from numkeys on, encoded */
} ngx_http_sandbox_redis_cmd_t;


/* A read whose reply later equal reads may share. */
typedef struct {
    ngx_uint_t turn;                    /* valid in this turn only */
    ngx_http_sandbox_redis_cmd_t *last; /* of the commands that share it */
    size_t len;
    u_char text[NGX_HTTP_SANDBOX_REDIS_SHARED_MAX];
} ngx_http_sandbox_redis_read_t;


struct ngx_http_sandbox_redis_s {
    ngx_http_sandbox_redis_link_t link;
    ngx_queue_t pending; /* cmd_t, as sent; so deadlines are in order */
    ngx_uint_t npending;
    /* numbers of pending commands by a hash of their data, for forget() */
    uint32_t owners[NGX_HTTP_SANDBOX_REDIS_OWNERS];
    ngx_event_t deadline; /* set while something is pending */
    ngx_uint_t overdue;   /* the first pending command was, a moment ago */
    ngx_uint_t others;    /* commands sent so far that may write */
    ngx_msec_t quiet;     /* until then no refusal is logged */
    ngx_http_sandbox_redis_read_t reads[NGX_HTTP_SANDBOX_REDIS_READS];
    ngx_queue_t listeners;
};


static void ngx_http_sandbox_redis_reply(void *data, redisReply *reply);
static void ngx_http_sandbox_redis_down(void *data);


static const ngx_http_sandbox_redis_link_ops_t ngx_http_sandbox_redis_ops = {
    ngx_http_sandbox_redis_reply, NULL, ngx_http_sandbox_redis_down
};


static uint32_t *
ngx_http_sandbox_redis_owner(ngx_http_sandbox_redis_t *redis, void *data)
{
    uintptr_t n;

    n = (uintptr_t) data >> 4; /* memory is aligned */
    n ^= n >> 10;

    return &redis->owners[n & (NGX_HTTP_SANDBOX_REDIS_OWNERS - 1)];
}


static ngx_http_sandbox_redis_cmd_t *
ngx_http_sandbox_redis_new(ngx_http_sandbox_redis_t *redis,
                           ngx_http_sandbox_redis_handler_pt handler,
                           void *data, size_t len)
{
    ngx_http_sandbox_redis_cmd_t *cmd;

    if (redis == NULL || !ngx_http_sandbox_redis_link_ready(&redis->link)
        || redis->npending >= NGX_HTTP_SANDBOX_REDIS_PENDING_MAX)
    {
        return NULL;
    }

    cmd =
        ngx_alloc(sizeof(ngx_http_sandbox_redis_cmd_t) + len, redis->link.log);
    if (cmd == NULL) {
        return NULL;
    }

    cmd->handler = handler;
    cmd->data = data;
    cmd->shares = 0;
    cmd->script = NULL;

    return cmd;
}


/* Inserts cmd behind the command before, or at the end if that is NULL. */
static void
ngx_http_sandbox_redis_push(ngx_http_sandbox_redis_t *redis,
                            ngx_http_sandbox_redis_cmd_t *cmd,
                            ngx_http_sandbox_redis_cmd_t *before)
{
    if (before) {
        cmd->shares = 1;
        cmd->deadline = before->deadline;
        ngx_queue_insert_after(&before->queue, &cmd->queue);

    } else {
        cmd->deadline = ngx_current_msec + redis->link.conf->timeout;
        ngx_queue_insert_tail(&redis->pending, &cmd->queue);
    }

    redis->npending++;
    (*ngx_http_sandbox_redis_owner(redis, cmd->data))++;

    if (!redis->deadline.timer_set) {
        ngx_add_timer(&redis->deadline, redis->link.conf->timeout);
    }
}


/*
 * The timer is not set anew at each reply: its handler checks the first pending
 * command.  It is deleted when no command is pending, since a timer keeps an
 * exiting worker alive.
 */
static ngx_http_sandbox_redis_cmd_t *
ngx_http_sandbox_redis_pop(ngx_http_sandbox_redis_t *redis)
{
    ngx_queue_t *q;
    ngx_http_sandbox_redis_cmd_t *cmd;

    q = ngx_queue_head(&redis->pending);
    cmd = ngx_queue_data(q, ngx_http_sandbox_redis_cmd_t, queue);
    ngx_queue_remove(q);
    redis->npending--;
    redis->overdue = 0;
    (*ngx_http_sandbox_redis_owner(redis, cmd->data))--;

    if (redis->npending == 0 && redis->deadline.timer_set) {
        ngx_del_timer(&redis->deadline);
    }

    return cmd;
}


static void
ngx_http_sandbox_redis_complete(ngx_http_sandbox_redis_cmd_t *cmd,
                                redisReply *reply)
{
    if (cmd->handler) {
        cmd->handler(cmd->data, reply);
    }

    ngx_free(cmd);
}


static void
ngx_http_sandbox_redis_deadline(ngx_event_t *ev)
{
    ngx_queue_t *q;
    ngx_msec_int_t left;
    ngx_http_sandbox_redis_t *redis;
    ngx_http_sandbox_redis_cmd_t *cmd;

    redis = ev->data;

    if (redis->npending == 0) {
        return;
    }

    q = ngx_queue_head(&redis->pending);
    cmd = ngx_queue_data(q, ngx_http_sandbox_redis_cmd_t, queue);
    left = (ngx_msec_int_t) (cmd->deadline - ngx_current_msec);

    if (left > 0) {
        ngx_add_timer(ev, (ngx_msec_t) left);
        return;
    }

    /*
     * A worker that was stopped handles its timers before its sockets: the
     * reply may have arrived.
     */
    if (!redis->overdue) {
        redis->overdue = 1;
        ngx_add_timer(ev, NGX_HTTP_SANDBOX_REDIS_MOMENT_MS);
        return;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_REDIS_TIMEOUTS, 0, 1);

    /* replies come in order: the commands behind this one wait for it, too */
    ngx_http_sandbox_redis_link_fail(&redis->link, NGX_ETIMEDOUT,
                                     "a command was not answered in time");
}


/* name: EVALSHA or EVAL; script: the digest or the body, accordingly. */
static ngx_int_t
ngx_http_sandbox_redis_send_eval(ngx_http_sandbox_redis_t *redis,
                                 ngx_http_sandbox_redis_cmd_t *cmd,
                                 ngx_str_t *name, ngx_str_t *script)
{
    u_char *p;
    ngx_str_t argv[2];

    argv[0] = *name;
    argv[1] = *script;

    p = ngx_http_sandbox_redis_link_reserve(
        &redis->link, NGX_HTTP_SANDBOX_REDIS_HEAD
                          + ngx_http_sandbox_redis_args_size(2, argv)
                          + cmd->len);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    p = ngx_http_sandbox_redis_put_head(p, 2 + cmd->nargs);
    p = ngx_http_sandbox_redis_put_args(p, 2, argv);
    p = ngx_cpymem(p, cmd->args, cmd->len);
    ngx_http_sandbox_redis_link_commit(&redis->link, p);

    redis->others++;
    ngx_http_sandbox_redis_push(redis, cmd, NULL);

    return NGX_OK;
}


/* NGX_OK if the reply was NOSCRIPT and the command was sent again as EVAL. */
static ngx_int_t
ngx_http_sandbox_redis_retry(ngx_http_sandbox_redis_t *redis,
                             ngx_http_sandbox_redis_cmd_t *cmd,
                             redisReply *reply)
{
    ngx_str_t body;
    static ngx_str_t eval = ngx_string("EVAL");

    if (cmd->script == NULL || reply->type != REDIS_REPLY_ERROR
        || ngx_strncmp(reply->str, "NOSCRIPT", sizeof("NOSCRIPT") - 1) != 0)
    {
        return NGX_DECLINED;
    }

    body.data = (u_char *) cmd->script->body;
    body.len = cmd->script->len;
    cmd->script = NULL;

    return ngx_http_sandbox_redis_send_eval(redis, cmd, &eval, &body);
}


/*
 * An error reply.  To the handlers it is as good as none, and as long as Redis
 * refuses writes (its disk or memory is full, it is a replica) nothing else
 * tells: the connection stands.
 */
static void
ngx_http_sandbox_redis_refused(ngx_http_sandbox_redis_t *redis,
                               redisReply *reply)
{
    size_t i, n;
    u_char text[NGX_HTTP_SANDBOX_REDIS_SAY_MAX];

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_REDIS_ERRORS, 0, 1);

    if ((ngx_msec_int_t) (redis->quiet - ngx_current_msec) > 0) {
        return;
    }

    redis->quiet = ngx_current_msec + NGX_HTTP_SANDBOX_REDIS_SAY_MS;
    n = ngx_min(reply->len, sizeof(text));

    for (i = 0; i < n; i++) {
        text[i] = (u_char) reply->str[i];

        if (text[i] < ' ' || text[i] == 0x7f) {
            text[i] = '?';
        }
    }

    ngx_log_error(NGX_LOG_ERR, redis->link.log, 0,
                  "redis %V refuses a command: %*s", &redis->link.conf->name, n,
                  text);
}


static void
ngx_http_sandbox_redis_reply(void *data, redisReply *reply)
{
    ngx_http_sandbox_redis_t *redis = data;

    ngx_queue_t *q;
    ngx_http_sandbox_redis_cmd_t *cmd;

    if (redis->npending == 0) {
        ngx_http_sandbox_redis_link_fail(&redis->link, 0,
                                         "a reply that nobody asked for");
        return;
    }

    cmd = ngx_http_sandbox_redis_pop(redis);

    if (ngx_http_sandbox_redis_retry(redis, cmd, reply) == NGX_OK) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_http_sandbox_redis_refused(redis, reply);
    }

    ngx_http_sandbox_redis_complete(cmd, reply);

    while (redis->npending) {
        q = ngx_queue_head(&redis->pending);
        cmd = ngx_queue_data(q, ngx_http_sandbox_redis_cmd_t, queue);

        if (!cmd->shares) {
            break;
        }

        ngx_http_sandbox_redis_complete(ngx_http_sandbox_redis_pop(redis),
                                        reply);
    }
}


/* This ends, since handlers cannot queue commands while the link is down. */
static void
ngx_http_sandbox_redis_down(void *data)
{
    ngx_http_sandbox_redis_t *redis = data;

    while (redis->npending) {
        ngx_http_sandbox_redis_complete(ngx_http_sandbox_redis_pop(redis),
                                        NULL);
    }
}


ngx_http_sandbox_redis_t *
ngx_http_sandbox_redis_create(ngx_http_sandbox_redis_conf_t *conf,
                              ngx_log_t *log)
{
    ngx_http_sandbox_redis_t *redis;

    redis = ngx_calloc(sizeof(ngx_http_sandbox_redis_t), log);
    if (redis == NULL) {
        return NULL;
    }

    ngx_queue_init(&redis->pending);
    ngx_queue_init(&redis->listeners);

    redis->deadline.handler = ngx_http_sandbox_redis_deadline;
    redis->deadline.data = redis;
    redis->deadline.log = log;

    redis->link.conf = conf;
    redis->link.ops = &ngx_http_sandbox_redis_ops;
    redis->link.data = redis;

    if (ngx_http_sandbox_redis_link_open(&redis->link, log) != NGX_OK) {
        ngx_http_sandbox_redis_link_close(&redis->link);
        ngx_free(redis);
        return NULL;
    }

    return redis;
}


void
ngx_http_sandbox_redis_destroy(ngx_http_sandbox_redis_t *redis)
{
    ngx_http_sandbox_redis_listeners_close(&redis->listeners);
    ngx_http_sandbox_redis_link_close(&redis->link);
    ngx_http_sandbox_redis_down(redis);
    ngx_free(redis);
}


/*
 * The slot in which the read argv is remembered; NULL if argv is no read of a
 * hash, or is too long.  The slot may hold another read, or one of an earlier
 * turn.
 */
static ngx_http_sandbox_redis_read_t *
ngx_http_sandbox_redis_place(ngx_http_sandbox_redis_t *redis, ngx_uint_t argc,
                             ngx_str_t *argv)
{
    uint32_t hash;

    if (argc < 3
        || (!(argv[0].len == 5 && ngx_strncmp(argv[0].data, "HMGET", 5) == 0)
            && !(argv[0].len == 4 && ngx_strncmp(argv[0].data, "HGET", 4) == 0))
        || ngx_http_sandbox_redis_args_size(argc, argv)
               > NGX_HTTP_SANDBOX_REDIS_SHARED_MAX
                     - NGX_HTTP_SANDBOX_REDIS_HEAD)
    {
        return NULL;
    }

    hash = ngx_murmur_hash2(argv[1].data, argv[1].len);

    return &redis->reads[hash % NGX_HTTP_SANDBOX_REDIS_READS];
}


static ngx_int_t
ngx_http_sandbox_redis_shared(ngx_http_sandbox_redis_t *redis,
                              ngx_http_sandbox_redis_cmd_t *cmd,
                              ngx_http_sandbox_redis_read_t *read,
                              ngx_uint_t argc, ngx_str_t *argv)
{
    u_char *p;
    size_t len;
    ngx_uint_t turn;
    u_char text[NGX_HTTP_SANDBOX_REDIS_SHARED_MAX];

    p = ngx_http_sandbox_redis_put_head(text, argc);
    len = ngx_http_sandbox_redis_put_args(p, argc, argv) - text;

    /* both counters only grow, so their sum changes with each of them */
    turn = redis->link.turn + redis->others;

    if (read->turn == turn && read->len == len
        && ngx_memcmp(read->text, text, len) == 0)
    {
        ngx_http_sandbox_redis_push(redis, cmd, read->last);
        read->last = cmd;
        return NGX_OK;
    }

    p = ngx_http_sandbox_redis_link_reserve(&redis->link, len);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_sandbox_redis_link_commit(&redis->link, ngx_cpymem(p, text, len));
    ngx_http_sandbox_redis_push(redis, cmd, NULL);

    read->turn = turn;
    read->last = cmd;
    read->len = len;
    ngx_memcpy(read->text, text, len);

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_redis_command(ngx_http_sandbox_redis_t *redis,
                               ngx_http_sandbox_redis_handler_pt handler,
                               void *data, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_http_sandbox_redis_cmd_t *cmd;
    ngx_http_sandbox_redis_read_t *read;

    cmd = ngx_http_sandbox_redis_new(redis, handler, data, 0);
    if (cmd == NULL) {
        return NGX_DECLINED;
    }

    read = ngx_http_sandbox_redis_place(redis, argc, argv);

    if (read) {
        if (ngx_http_sandbox_redis_shared(redis, cmd, read, argc, argv)
            != NGX_OK) {
            ngx_free(cmd);
            return NGX_DECLINED;
        }

        return NGX_OK;
    }

    if (ngx_http_sandbox_redis_link_send(&redis->link, argc, argv) != NGX_OK) {
        ngx_free(cmd);
        return NGX_DECLINED;
    }

    redis->others++;
    ngx_http_sandbox_redis_push(redis, cmd, NULL);

    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_redis_eval(ngx_http_sandbox_redis_t *redis,
                            ngx_http_sandbox_redis_handler_pt handler,
                            void *data, ngx_http_sandbox_script_t *script,
                            ngx_uint_t nkeys, ngx_uint_t nargs, ngx_str_t *args)
{
    u_char *p;
    ngx_str_t numkeys, sha;
    ngx_http_sandbox_redis_cmd_t *cmd;
    u_char buf[NGX_INT_T_LEN];
    static ngx_str_t evalsha = ngx_string("EVALSHA");

    numkeys.data = buf;
    numkeys.len = ngx_slprintf(buf, buf + sizeof(buf), "%ui", nkeys) - buf;

    cmd = ngx_http_sandbox_redis_new(
        redis, handler, data,
        ngx_http_sandbox_redis_args_size(1, &numkeys)
            + ngx_http_sandbox_redis_args_size(nargs, args));
    if (cmd == NULL) {
        return NGX_DECLINED;
    }

    p = ngx_http_sandbox_redis_put_args(cmd->args, 1, &numkeys);
    p = ngx_http_sandbox_redis_put_args(p, nargs, args);
    cmd->len = p - cmd->args;
    cmd->nargs = 1 + nargs;
    cmd->script = script;

    sha.data = (u_char *) script->sha;
    sha.len = sizeof(script->sha) - 1;

    if (ngx_http_sandbox_redis_send_eval(redis, cmd, &evalsha, &sha) != NGX_OK)
    {
        ngx_free(cmd);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_http_sandbox_redis_forget(ngx_http_sandbox_redis_t *redis, void *data)
{
    ngx_queue_t *q;
    ngx_http_sandbox_redis_cmd_t *cmd;

    if (redis == NULL || *ngx_http_sandbox_redis_owner(redis, data) == 0) {
        return;
    }

    for (q = ngx_queue_head(&redis->pending);
         q != ngx_queue_sentinel(&redis->pending); q = ngx_queue_next(q))
    {
        cmd = ngx_queue_data(q, ngx_http_sandbox_redis_cmd_t, queue);

        if (cmd->data == data) {
            cmd->handler = NULL;
        }
    }
}


ngx_int_t
ngx_http_sandbox_redis_subscribe(ngx_http_sandbox_redis_t *redis,
                                 ngx_str_t *channel,
                                 ngx_http_sandbox_redis_listener_t *listener)
{
    return ngx_http_sandbox_redis_listeners_add(
        &redis->listeners, redis->link.conf, redis->link.log, channel,
        listener);
}
