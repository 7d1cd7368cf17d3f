/*
 * Redis commands as text.  The put functions return the end of what they have
 * written; the caller provides the room.  Any thread.
 */

#ifndef NGX_HTTP_SANDBOX_REDIS_TEXT_H
#define NGX_HTTP_SANDBOX_REDIS_TEXT_H

#include <ngx_config.h>
#include <ngx_core.h>

/* Most bytes of the head of a command: "*<argc>\r\n". */
#define NGX_HTTP_SANDBOX_REDIS_HEAD (NGX_INT_T_LEN + sizeof("*\r\n") - 1)

u_char *ngx_http_sandbox_redis_put_head(u_char *p, ngx_uint_t argc);

/* Most bytes that put_args() writes. */
size_t ngx_http_sandbox_redis_args_size(ngx_uint_t argc, ngx_str_t *argv);

u_char *
ngx_http_sandbox_redis_put_args(u_char *p, ngx_uint_t argc, ngx_str_t *argv);

#endif
