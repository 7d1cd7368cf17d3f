/* Reading Redis' replies; see the header. */

#include "ngx_http_sandbox_reply.h"


const char *
ngx_http_sandbox_value_text(redisReply *value)
{
    return value->type == REDIS_REPLY_STRING ? value->str : NULL;
}


int64_t
ngx_http_sandbox_value_integer(redisReply *value)
{
    int64_t n;

    if (value->type == REDIS_REPLY_INTEGER) {
        return value->integer;
    }

    if (value->type != REDIS_REPLY_STRING) {
        return 0;
    }

    n = ngx_atoof((u_char *) value->str, strcspn(value->str, "."));

    return n == NGX_ERROR ? 0 : n;
}


/* The nth element of an array reply, or NULL. */
static redisReply *
ngx_http_sandbox_reply_element(redisReply *reply, size_t n)
{
    return reply->type == REDIS_REPLY_ARRAY && n < reply->elements
               ? reply->element[n]
               : NULL;
}


const char *
ngx_http_sandbox_reply_string(redisReply *reply, size_t n)
{
    const char *text;
    redisReply *value;

    value = ngx_http_sandbox_reply_element(reply, n);
    text = value ? ngx_http_sandbox_value_text(value) : NULL;

    return text ? text : "";
}


int64_t
ngx_http_sandbox_reply_integer(redisReply *reply, size_t n)
{
    redisReply *value;

    value = ngx_http_sandbox_reply_element(reply, n);

    return value ? ngx_http_sandbox_value_integer(value) : 0;
}


redisReply *
ngx_http_sandbox_reply_array(redisReply *reply, size_t n)
{
    redisReply *value;
    static redisReply none = { .type = REDIS_REPLY_ARRAY };

    value = ngx_http_sandbox_reply_element(reply, n);

    return value && value->type == REDIS_REPLY_ARRAY ? value : &none;
}


void
ngx_http_sandbox_reply_ignore(void *data, redisReply *reply)
{
}
