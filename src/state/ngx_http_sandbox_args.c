/* Arguments; see the header.  Knows nothing of sandboxes. */

#include "ngx_http_sandbox_args.h"


static void
ngx_http_sandbox_args_overrun(const char *what)
{
    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "a command has more %s than there is room for", what);
    abort();
}


void
ngx_http_sandbox_args_init(ngx_http_sandbox_args_t *args)
{
    args->n = 0;
    args->nnumbers = 0;
}


void
ngx_http_sandbox_arg_len(ngx_http_sandbox_args_t *args, const void *value,
                         size_t len)
{
    if (args->n == NGX_HTTP_SANDBOX_ARGS_MAX) {
        ngx_http_sandbox_args_overrun("arguments");
    }

    args->values[args->n].data = (u_char *) value;
    args->values[args->n].len = len;
    args->n++;
}


void
ngx_http_sandbox_arg(ngx_http_sandbox_args_t *args, const char *value)
{
    ngx_http_sandbox_arg_len(args, value, ngx_strlen(value));
}


void
ngx_http_sandbox_arg_int(ngx_http_sandbox_args_t *args, int64_t value)
{
    u_char *p, *last;

    if (args->nnumbers == NGX_HTTP_SANDBOX_ARGS_NUMBERS) {
        ngx_http_sandbox_args_overrun("numbers");
    }

    p = args->numbers[args->nnumbers++];
    last = ngx_snprintf(p, NGX_INT64_LEN + 1, "%L", value);
    ngx_http_sandbox_arg_len(args, p, last - p);
}


void
ngx_http_sandbox_arg_field(ngx_http_sandbox_args_t *args, const char *name,
                           const char *value)
{
    if (value) {
        ngx_http_sandbox_arg(args, name);
        ngx_http_sandbox_arg(args, value);
    }
}


void
ngx_http_sandbox_arg_field_int(ngx_http_sandbox_args_t *args, const char *name,
                               int64_t value)
{
    ngx_http_sandbox_arg(args, name);
    ngx_http_sandbox_arg_int(args, value);
}
