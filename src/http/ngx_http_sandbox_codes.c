/* The machine codes; see the header. */

#include "ngx_http_sandbox_codes.h"

#define NGX_HTTP_SANDBOX_CODE_DEFINE(name, status, retry)                      \
    const ngx_http_sandbox_error_t ngx_http_sandbox_##name = {                 \
        status, ngx_string(#name), retry                                       \
    };

NGX_HTTP_SANDBOX_CODES(NGX_HTTP_SANDBOX_CODE_DEFINE)

#define NGX_HTTP_SANDBOX_CODE_ADDRESS(name, status, retry)                     \
    &ngx_http_sandbox_##name,

static const ngx_http_sandbox_error_t *const ngx_http_sandbox_codes[] = {
    NGX_HTTP_SANDBOX_CODES(NGX_HTTP_SANDBOX_CODE_ADDRESS)
};


const ngx_http_sandbox_error_t *
ngx_http_sandbox_code_find(const u_char *code, size_t len)
{
    size_t i;
    const ngx_http_sandbox_error_t *e;

    for (i = 0;
         i < sizeof(ngx_http_sandbox_codes) / sizeof(ngx_http_sandbox_codes[0]);
         i++)
    {
        e = ngx_http_sandbox_codes[i];

        if (e->code.len == len && ngx_memcmp(e->code.data, code, len) == 0) {
            return e;
        }
    }

    return NULL;
}
