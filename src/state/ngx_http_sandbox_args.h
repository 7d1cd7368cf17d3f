/*
 * The arguments of a command or a script.  Values are pointed at and must live
 * until the command is sent; numbers are spelled into the struct itself.
 *
 * How many a command can have at most is written in our code, whatever a client
 * sends.  So one that finds no room is a mistake of ours: it is logged at
 * alert, and the worker is aborted.  An error code would have to be looked at
 * behind each of some hundreds of calls, and a command without its last
 * arguments could still be one that Redis carries out.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_ARGS_H
#define NGX_HTTP_SANDBOX_ARGS_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_HTTP_SANDBOX_ARGS_MAX 80
#define NGX_HTTP_SANDBOX_ARGS_NUMBERS 16

/* On the caller's stack or elsewhere; freed with that. */
typedef struct {
    ngx_str_t values[NGX_HTTP_SANDBOX_ARGS_MAX];
    ngx_uint_t n;
    u_char numbers[NGX_HTTP_SANDBOX_ARGS_NUMBERS][NGX_INT64_LEN + 1];
    ngx_uint_t nnumbers;
} ngx_http_sandbox_args_t;

/* Makes args, memory of any content, empty. */
void ngx_http_sandbox_args_init(ngx_http_sandbox_args_t *args);

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
