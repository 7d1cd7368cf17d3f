/* Arguments; see the header.  Knows nothing of sandboxes. */

#include "ngx_http_sandbox_args.h"


void
ngx_http_sandbox_arg_len(ngx_http_sandbox_args_t *args, const void *value,
                         size_t len)
{
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
