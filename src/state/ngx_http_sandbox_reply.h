/*
 * Reading Redis' replies.  What is missing, or of another type than is asked
 * for, reads as nothing: a caller checks only what it must tell apart.  Results
 * point into the reply.  Event loop only.
 *
 * An integer is Redis' own, or text of digits; a fraction, which the score of a
 * sorted set may have, is cut off.  Any other text is 0, also a negative
 * number: our scripts give no such number as text.
 */

#ifndef NGX_HTTP_SANDBOX_REPLY_H
#define NGX_HTTP_SANDBOX_REPLY_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>

/* A value as text (NULL if none) or integer (0). */
const char *ngx_http_sandbox_value_text(redisReply *value);
int64_t ngx_http_sandbox_value_integer(redisReply *value);

/*
 * The nth element of an array reply as text ("" if none), integer (0) or array
 * (an empty one).
 */
const char *ngx_http_sandbox_reply_string(redisReply *reply, size_t n);
int64_t ngx_http_sandbox_reply_integer(redisReply *reply, size_t n);
redisReply *ngx_http_sandbox_reply_array(redisReply *reply, size_t n);

/* A handler (ngx_http_sandbox_redis.h) for replies that are not needed. */
void ngx_http_sandbox_reply_ignore(void *data, redisReply *reply);

#endif
