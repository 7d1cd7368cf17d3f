/*
 * The arguments of a command or a script.  Values are pointed at and must live
 * until the command is sent; numbers are spelled into the struct itself.  Event
 * loop only.
 */

#ifndef NGX_HTTP_SANDBOX_ARGS_H
#define NGX_HTTP_SANDBOX_ARGS_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_HTTP_SANDBOX_ARGS_MAX 80

typedef struct {
    ngx_str_t values[NGX_HTTP_SANDBOX_ARGS_MAX];
    ngx_uint_t n;
    u_char numbers[16][NGX_INT64_LEN + 1];
    ngx_uint_t nnumbers;
} ngx_http_sandbox_args_t;

void ngx_http_sandbox_arg(ngx_http_sandbox_args_t *args, const char *value);
void ngx_http_sandbox_arg_len(ngx_http_sandbox_args_t *args, const void *value,
                              size_t len);
void ngx_http_sandbox_arg_int(ngx_http_sandbox_args_t *args, int64_t value);
/* Append a field and its value; arg_field() appends nothing for NULL. */
void ngx_http_sandbox_arg_field(ngx_http_sandbox_args_t *args, const char *name,
                                const char *value);
void ngx_http_sandbox_arg_field_int(ngx_http_sandbox_args_t *args,
                                    const char *name, int64_t value);

#endif
