/* Commands as text; see the header. */

#include "ngx_http_sandbox_redis_text.h"

/* "$<len>\r\n" and the "\r\n" after the bytes */
#define NGX_HTTP_SANDBOX_REDIS_ARG (NGX_SIZE_T_LEN + sizeof("$\r\n\r\n") - 1)


/* "<mark><n>\r\n"; by hand, since each argument of a command has one. */
static u_char *
ngx_http_sandbox_redis_put_number(u_char *p, u_char mark, size_t n)
{
    u_char digits[NGX_SIZE_T_LEN], *first;

    first = digits + sizeof(digits);

    do {
        *--first = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    *p++ = mark;

    while (first < digits + sizeof(digits)) {
        *p++ = *first++;
    }

    *p++ = CR;
    *p++ = LF;

    return p;
}


u_char *
ngx_http_sandbox_redis_put_head(u_char *p, ngx_uint_t argc)
{
    return ngx_http_sandbox_redis_put_number(p, '*', argc);
}


size_t
ngx_http_sandbox_redis_args_size(ngx_uint_t argc, ngx_str_t *argv)
{
    size_t size;
    ngx_uint_t i;

    size = argc * NGX_HTTP_SANDBOX_REDIS_ARG;

    for (i = 0; i < argc; i++) {
        size += argv[i].len;
    }

    return size;
}


u_char *
ngx_http_sandbox_redis_put_args(u_char *p, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_uint_t i;

    for (i = 0; i < argc; i++) {
        p = ngx_http_sandbox_redis_put_number(p, '$', argv[i].len);

        if (argv[i].len) {
            p = ngx_cpymem(p, argv[i].data, argv[i].len);
        }

        *p++ = CR;
        *p++ = LF;
    }

    return p;
}
