/*
 * For tests only: puts ngx_http_sandbox_redis.h behind HTTP.  A location with
 * "redis_test" does what the last part of its path says:
 *
 *   /command?SET,key,value   one command; its reply as text
 *   /eval?key,number         a script that adds number to key
 *   /burst?n                 n commands at once; counts what came of each
 *   /chain?n                 n commands, each sent by the handler before
 *   /forget?GET,key          sends, forgets, answers at once
 *   /reads?key               in one turn: a read that is forgotten, three
 *                            equal ones, a write, three more; the values read
 *   /arguments?n, /numbers?n a command with so many of them is made: 200 with
 *                            the number of arguments
 *   /events                  what the subscription has seen
 *
 * 503: declined; 502: accepted, but no reply.  Each worker starts with INCR of
 * "started", before there is a connection.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_sha1.h>

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_redis.h"

#define NGX_HTTP_REDIS_TEST_ARGS 8

typedef struct {
    ngx_http_sandbox_redis_conf_t *redis;
    ngx_str_t channel;
} ngx_http_redis_test_conf_t;

typedef struct {
    ngx_http_request_t *request;
    ngx_uint_t left;
    ngx_uint_t ok;
    ngx_uint_t failed;
    ngx_uint_t none;
    ngx_uint_t declined;
    u_char values[64];
    unsigned chain : 1;
} ngx_http_redis_test_ctx_t;


static char *
ngx_http_redis_test_server(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *
ngx_http_redis_test(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static void *ngx_http_redis_test_create_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_redis_test_init_process(ngx_cycle_t *cycle);
static void ngx_http_redis_test_exit_process(ngx_cycle_t *cycle);
static void ngx_http_redis_test_burst_reply(void *data, redisReply *reply);


static ngx_http_sandbox_redis_t *redis;
static ngx_uint_t in_call;
static ngx_uint_t messages, losses, readies;
static u_char last_message[64];

static const char body[] = "return redis.call('incrby', KEYS[1], ARGV[1])";
static ngx_http_sandbox_script_t script = { "add", body, sizeof(body) - 1, "" };


static ngx_command_t ngx_http_redis_test_commands[] = {

    /* address timeout [db [password [channel]]] */
    { ngx_string("redis_test_server"), NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE,
      ngx_http_redis_test_server, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL },

    { ngx_string("redis_test"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
      ngx_http_redis_test, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },

    ngx_null_command
};


static ngx_http_module_t ngx_http_redis_test_module_ctx = {
    NULL, NULL, ngx_http_redis_test_create_conf, NULL, NULL, NULL, NULL, NULL
};


ngx_module_t ngx_http_redis_test_module = { NGX_MODULE_V1,
                                            &ngx_http_redis_test_module_ctx,
                                            ngx_http_redis_test_commands,
                                            NGX_HTTP_MODULE,
                                            NULL,
                                            NULL,
                                            ngx_http_redis_test_init_process,
                                            NULL,
                                            NULL,
                                            ngx_http_redis_test_exit_process,
                                            NULL,
                                            NGX_MODULE_V1_PADDING };


static void
ngx_http_redis_test_answer(ngx_http_request_t *r, ngx_uint_t status,
                           const char *text, size_t len)
{
    ngx_int_t rc;
    ngx_buf_t *b;
    ngx_chain_t out;

    b = ngx_create_temp_buf(r->pool, len + 1);
    if (b == NULL) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    b->last = ngx_cpymem(b->last, text, len);
    *b->last++ = '\n';
    b->last_buf = 1;
    out.buf = b;
    out.next = NULL;

    r->headers_out.status = status;
    r->headers_out.content_length_n = len + 1;

    rc = ngx_http_send_header(r);
    if (rc == NGX_OK) {
        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);
}


static void
ngx_http_redis_test_check(void)
{
    if (in_call) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "redis test: handler inside the call");
    }
}


static void
ngx_http_redis_test_reply(void *data, redisReply *reply)
{
    ngx_http_redis_test_ctx_t *ctx = data;

    u_char *last;
    ngx_connection_t *c;
    ngx_http_request_t *r;
    u_char buf[NGX_INT64_LEN];

    ngx_http_redis_test_check();

    r = ctx->request;
    c = r->connection;

    if (reply == NULL) {
        ngx_http_redis_test_answer(r, 502, "no reply", 8);

    } else if (reply->type == REDIS_REPLY_INTEGER) {
        last = ngx_slprintf(buf, buf + sizeof(buf), "%L", reply->integer);
        ngx_http_redis_test_answer(r, 200, (char *) buf, last - buf);

    } else if (reply->type == REDIS_REPLY_NIL) {
        ngx_http_redis_test_answer(r, 200, "nil", 3);

    } else if (reply->type == REDIS_REPLY_ARRAY) {
        ngx_http_redis_test_answer(r, 200, "array", 5);

    } else {
        ngx_http_redis_test_answer(r,
                                   reply->type == REDIS_REPLY_ERROR ? 500 : 200,
                                   reply->str, reply->len);
    }

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_redis_test_incr(ngx_http_redis_test_ctx_t *ctx)
{
    ngx_int_t rc;
    ngx_str_t argv[] = { ngx_string("INCRBY"), ngx_string("counter"),
                         ngx_string("1") };

    in_call = 1;
    rc = ngx_http_sandbox_redis_command(redis, ngx_http_redis_test_burst_reply,
                                        ctx, 3, argv);
    in_call = 0;

    if (rc != NGX_OK) {
        ctx->declined++;
    }

    return rc;
}


static void
ngx_http_redis_test_burst_end(ngx_http_redis_test_ctx_t *ctx)
{
    u_char *last;
    ngx_connection_t *c;
    u_char buf[128];

    c = ctx->request->connection;

    last = ngx_slprintf(buf, buf + sizeof(buf),
                        "ok=%ui failed=%ui none=%ui declined=%ui", ctx->ok,
                        ctx->failed, ctx->none, ctx->declined);
    ngx_http_redis_test_answer(ctx->request, 200, (char *) buf, last - buf);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_redis_test_burst_reply(void *data, redisReply *reply)
{
    ngx_http_redis_test_ctx_t *ctx = data;

    ngx_http_redis_test_check();
    ctx->left--;

    if (reply == NULL) {
        ctx->none++;

    } else if (reply->type == REDIS_REPLY_INTEGER) {
        ctx->ok++;

    } else {
        ctx->failed++;
    }

    if (ctx->chain && ctx->left && ngx_http_redis_test_incr(ctx) != NGX_OK) {
        ctx->left = 0;
    }

    if (ctx->left == 0) {
        ngx_http_redis_test_burst_end(ctx);
    }
}


static void
ngx_http_redis_test_burst(ngx_http_redis_test_ctx_t *ctx, ngx_int_t n)
{
    ngx_int_t i;

    for (i = 0; i < n; i++) {
        if (ngx_http_redis_test_incr(ctx) == NGX_OK) {
            ctx->left++;
        }
    }

    if (ctx->left == 0) {
        ngx_http_redis_test_burst_end(ctx);
    }
}


static void
ngx_http_redis_test_value(void *data, redisReply *reply)
{
    ngx_http_redis_test_ctx_t *ctx = data;

    ngx_connection_t *c;

    ngx_http_redis_test_check();

    if (ctx->request == NULL) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "redis test: a forgotten read is answered");
        return;
    }

    c = ctx->request->connection;

    ngx_sprintf(ctx->values + ngx_strlen(ctx->values), "%s%Z",
                reply && reply->type == REDIS_REPLY_STRING ? reply->str : "-");

    if (--ctx->left == 0) {
        ngx_http_redis_test_answer(ctx->request, 200, (char *) ctx->values,
                                   ngx_strlen(ctx->values));
        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_http_redis_test_written(void *data, redisReply *reply)
{
}


static void
ngx_http_redis_test_reads(ngx_http_redis_test_ctx_t *ctx, ngx_str_t *key)
{
    ngx_int_t i;
    ngx_str_t read[] = { ngx_string("HGET"), *key, ngx_string("n") };
    ngx_str_t write[] = { ngx_string("HINCRBY"), *key, ngx_string("n"),
                          ngx_string("1") };
    static ngx_http_redis_test_ctx_t nobody;

    ctx->left = 6;
    in_call = 1;

    (void) ngx_http_sandbox_redis_command(redis, ngx_http_redis_test_value,
                                          &nobody, 3, read);
    ngx_http_sandbox_redis_forget(redis, &nobody);

    for (i = 0; i < 6; i++) {
        if (i == 3) {
            (void) ngx_http_sandbox_redis_command(
                redis, ngx_http_redis_test_written, NULL, 4, write);
        }

        if (ngx_http_sandbox_redis_command(redis, ngx_http_redis_test_value,
                                           ctx, 3, read)
            != NGX_OK)
        {
            ctx->left--;
        }
    }

    in_call = 0;

    if (ctx->left == 0) {
        ngx_http_redis_test_answer(ctx->request, 503, "declined", 8);
    }
}


static void
ngx_http_redis_test_cleanup(void *data)
{
    ngx_http_sandbox_redis_forget(redis, data);
}


static ngx_uint_t
ngx_http_redis_test_split(ngx_str_t *args, ngx_str_t *argv)
{
    u_char *p, *last, *comma;
    ngx_uint_t n;

    p = args->data;
    last = p + args->len;

    for (n = 0; n < NGX_HTTP_REDIS_TEST_ARGS; /* void */) {
        comma = ngx_strlchr(p, last, ',');
        argv[n].data = p;
        argv[n].len = (comma ? comma : last) - p;
        n++;

        if (comma == NULL) {
            break;
        }

        p = comma + 1;
    }

    return n;
}


static void
ngx_http_redis_test_state(ngx_http_request_t *r)
{
    u_char *last;
    u_char buf[256];

    last = ngx_slprintf(buf, buf + sizeof(buf),
                        "messages=%ui lost=%ui ready=%ui last=%s", messages,
                        losses, readies, last_message);
    ngx_http_redis_test_answer(r, 200, (char *) buf, last - buf);
}


static void
ngx_http_redis_test_send(ngx_http_redis_test_ctx_t *ctx, ngx_str_t *what,
                         ngx_uint_t n, ngx_str_t *argv)
{
    ngx_int_t rc;

    in_call = 1;

    if (ngx_strncmp(what->data, "/eval", what->len) == 0) {
        rc = ngx_http_sandbox_redis_eval(redis, ngx_http_redis_test_reply, ctx,
                                         &script, 1, n, argv);

    } else {
        rc = ngx_http_sandbox_redis_command(redis, ngx_http_redis_test_reply,
                                            ctx, n, argv);
    }

    in_call = 0;

    if (rc != NGX_OK) {
        ngx_http_redis_test_answer(ctx->request, 503, "declined", 8);

    } else if (ngx_strncmp(what->data, "/forget", what->len) == 0) {
        ngx_http_sandbox_redis_forget(redis, ctx);
        ngx_http_redis_test_answer(ctx->request, 200, "forgotten", 9);
    }
}


static void
ngx_http_redis_test_args(ngx_http_request_t *r, ngx_int_t n, ngx_uint_t numbers)
{
    u_char *last;
    u_char buf[NGX_INT64_LEN];
    ngx_http_sandbox_args_t args;

    ngx_http_sandbox_args_init(&args);

    while (n-- > 0) {
        if (numbers) {
            ngx_http_sandbox_arg_int(&args, n);
        } else {
            ngx_http_sandbox_arg(&args, "");
        }
    }

    last = ngx_slprintf(buf, buf + sizeof(buf), "%ui", args.n);
    ngx_http_redis_test_answer(r, 200, (char *) buf, last - buf);
}


static ngx_int_t
ngx_http_redis_test_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_uint_t n;
    ngx_pool_cleanup_t *cln;
    ngx_http_redis_test_ctx_t *ctx;
    ngx_str_t argv[NGX_HTTP_REDIS_TEST_ARGS];

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_redis_test_ctx_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_redis_test_ctx_t));
    ctx->request = r;
    cln->handler = ngx_http_redis_test_cleanup;

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    n = ngx_http_redis_test_split(&r->args, argv);

    if (ngx_strncmp(r->uri.data, "/events", r->uri.len) == 0) {
        ngx_http_redis_test_state(r);

    } else if (ngx_strncmp(r->uri.data, "/burst", r->uri.len) == 0) {
        ngx_http_redis_test_burst(ctx, ngx_atoi(r->args.data, r->args.len));

    } else if (ngx_strncmp(r->uri.data, "/chain", r->uri.len) == 0) {
        ctx->chain = 1;
        ctx->left = ngx_atoi(r->args.data, r->args.len);

        if (ngx_http_redis_test_incr(ctx) != NGX_OK) {
            ngx_http_redis_test_burst_end(ctx);
        }

    } else if (ngx_strncmp(r->uri.data, "/arguments", r->uri.len) == 0) {
        ngx_http_redis_test_args(r, ngx_atoi(r->args.data, r->args.len), 0);

    } else if (ngx_strncmp(r->uri.data, "/numbers", r->uri.len) == 0) {
        ngx_http_redis_test_args(r, ngx_atoi(r->args.data, r->args.len), 1);

    } else if (ngx_strncmp(r->uri.data, "/reads", r->uri.len) == 0) {
        ngx_http_redis_test_reads(ctx, &r->args);

    } else {
        ngx_http_redis_test_send(ctx, &r->uri, n, argv);
    }

    return NGX_DONE;
}


static void
ngx_http_redis_test_message(void *data, ngx_str_t *payload)
{
    messages++;
    ngx_cpystrn(last_message, payload->data,
                ngx_min(sizeof(last_message), payload->len + 1));
}


static void
ngx_http_redis_test_lost(void *data)
{
    losses++;
}


static void
ngx_http_redis_test_ready(void *data)
{
    readies++;
}


static ngx_int_t
ngx_http_redis_test_init_process(ngx_cycle_t *cycle)
{
    ngx_sha1_t sha1;
    ngx_http_redis_test_conf_t *conf;
    u_char digest[20];
    ngx_str_t argv[] = { ngx_string("INCR"), ngx_string("started") };
    ngx_http_sandbox_redis_listener_t listener = { ngx_http_redis_test_message,
                                                   ngx_http_redis_test_lost,
                                                   ngx_http_redis_test_ready,
                                                   NULL };

    conf =
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_redis_test_module);

    if (ngx_process != NGX_PROCESS_WORKER || conf == NULL
        || conf->redis == NULL) {
        return NGX_OK;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, body, sizeof(body) - 1);
    ngx_sha1_final(digest, &sha1);
    *ngx_hex_dump((u_char *) script.sha, digest, sizeof(digest)) = '\0';

    redis = ngx_http_sandbox_redis_create(conf->redis, cycle->log);
    if (redis == NULL
        || ngx_http_sandbox_redis_command(redis, NULL, NULL, 2, argv) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_redis_subscribe(redis, &conf->channel, &listener);
}


static void
ngx_http_redis_test_exit_process(ngx_cycle_t *cycle)
{
    if (redis) {
        ngx_http_sandbox_redis_destroy(redis);
        redis = NULL;
    }
}


static void *
ngx_http_redis_test_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_redis_test_conf_t));
}


static char *
ngx_http_redis_test_server(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_redis_test_conf_t *rcf = conf;

    ngx_url_t u;
    ngx_str_t *value;

    value = cf->args->elts;

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url = value[1];
    u.default_port = 6379;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK || u.naddrs == 0) {
        return "has no address";
    }

    rcf->redis = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_redis_conf_t));
    if (rcf->redis == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(&rcf->redis->addr, u.addrs[0].sockaddr, u.addrs[0].socklen);
    rcf->redis->socklen = u.addrs[0].socklen;
    rcf->redis->name = u.addrs[0].name;
    rcf->redis->timeout = ngx_parse_time(&value[2], 0);
    rcf->redis->connect_timeout = rcf->redis->timeout;
    ngx_str_set(&rcf->channel, "events");

    if (cf->args->nelts > 3) {
        rcf->redis->db = ngx_atoi(value[3].data, value[3].len);
    }

    if (cf->args->nelts > 4) {
        rcf->redis->password = value[4];
    }

    if (cf->args->nelts > 5) {
        rcf->channel = value[5];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_redis_test(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_redis_test_handler;

    return NGX_CONF_OK;
}
