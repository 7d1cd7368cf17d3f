/* hiredis' objects in a pool of nginx; see the header. */

#include "ngx_http_sandbox_redis_reply.h"

#define NGX_HTTP_SANDBOX_REDIS_REPLY_POOL 8192

#if HIREDIS_MAJOR > 0
typedef size_t ngx_http_sandbox_redis_count_t;
#else
typedef int ngx_http_sandbox_redis_count_t;
#endif


/* Makes an object and puts it in its place in the parent. */
static redisReply *
ngx_http_sandbox_redis_object(const redisReadTask *task)
{
    ngx_pool_t **pool = task->privdata;

    redisReply *reply, *parent;

    reply = ngx_pcalloc(*pool, sizeof(redisReply));
    if (reply == NULL) {
        return NULL;
    }

    reply->type = task->type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->element[task->idx] = reply;
    }

    return reply;
}


static void *
ngx_http_sandbox_redis_string(const redisReadTask *task, char *str, size_t len)
{
    ngx_pool_t **pool = task->privdata;

    char *copy;
    redisReply *reply;

    copy = ngx_pnalloc(*pool, len + 1);
    if (copy == NULL) {
        return NULL;
    }

    ngx_memcpy(copy, str, len);
    copy[len] = '\0';

    reply = ngx_http_sandbox_redis_object(task);
    if (reply == NULL) {
        return NULL;
    }

    reply->str = copy;
    reply->len = len;

    return reply;
}


static void *
ngx_http_sandbox_redis_array(const redisReadTask *task,
                             ngx_http_sandbox_redis_count_t n)
{
    ngx_pool_t **pool = task->privdata;

    redisReply *reply;

    reply = ngx_http_sandbox_redis_object(task);
    if (reply == NULL) {
        return NULL;
    }

    if (n > 0) {
        reply->element = ngx_pcalloc(*pool, (size_t) n * sizeof(redisReply *));
        if (reply->element == NULL) {
            return NULL;
        }
    }

    reply->elements = (size_t) n;

    return reply;
}


static void *
ngx_http_sandbox_redis_integer(const redisReadTask *task, long long value)
{
    redisReply *reply;

    reply = ngx_http_sandbox_redis_object(task);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_http_sandbox_redis_nil(const redisReadTask *task)
{
    redisReply *reply;

    reply = ngx_http_sandbox_redis_object(task);

    if (reply) {
        /* task->type may be the type of the value that is missing */
        reply->type = REDIS_REPLY_NIL;
    }

    return reply;
}


/* Frees nothing: the reply is in the pool. */
static void
ngx_http_sandbox_redis_free(void *reply)
{
}


redisReader *
ngx_http_sandbox_redis_reader(ngx_pool_t **pool)
{
    static redisReplyObjectFunctions functions = {
        .createString = ngx_http_sandbox_redis_string,
        .createArray = ngx_http_sandbox_redis_array,
        .createInteger = ngx_http_sandbox_redis_integer,
        .createNil = ngx_http_sandbox_redis_nil,
        .freeObject = ngx_http_sandbox_redis_free,
    };

    redisReader *reader;

    if (*pool == NULL) {
        *pool =
            ngx_create_pool(NGX_HTTP_SANDBOX_REDIS_REPLY_POOL, ngx_cycle->log);
        if (*pool == NULL) {
            return NULL;
        }
    }

    reader = redisReaderCreateWithFunctions(&functions);

    if (reader) {
        reader->privdata = pool;
    }

    return reader;
}


void
ngx_http_sandbox_redis_reply_end(ngx_pool_t **pool)
{
    ngx_pool_t *fresh;

    if ((*pool)->d.next) {
        fresh =
            ngx_create_pool(NGX_HTTP_SANDBOX_REDIS_REPLY_POOL, ngx_cycle->log);
        if (fresh) {
            ngx_destroy_pool(*pool);
            *pool = fresh;
            return;
        }
    }

    ngx_reset_pool(*pool);
}
