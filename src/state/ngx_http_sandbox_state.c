/* States by name; see the header. */

#include "ngx_http_sandbox_state.h"


static const struct {
    const char *name;
    ngx_http_sandbox_state_e state;
} ngx_http_sandbox_states[] = {
    { "creating", NGX_HTTP_SANDBOX_CREATING },
    { "running", NGX_HTTP_SANDBOX_RUNNING },
    { "paused", NGX_HTTP_SANDBOX_PAUSED },
    { "hibernating", NGX_HTTP_SANDBOX_HIBERNATING },
    { "resuming", NGX_HTTP_SANDBOX_RESUMING },
    { "resumed", NGX_HTTP_SANDBOX_RESUMED },
    { "warming", NGX_HTTP_SANDBOX_WARMING },
    { "pooled", NGX_HTTP_SANDBOX_POOLED },
    { "destroying", NGX_HTTP_SANDBOX_DESTROYING },
    { "destroyed", NGX_HTTP_SANDBOX_DESTROYED },
    { "error", NGX_HTTP_SANDBOX_FAILED },
};


const char *
ngx_http_sandbox_state_name(ngx_http_sandbox_state_e state)
{
    ngx_uint_t i;

    for (i = 0; i < sizeof(ngx_http_sandbox_states)
                        / sizeof(ngx_http_sandbox_states[0]);
         i++)
    {
        if (ngx_http_sandbox_states[i].state == state) {
            return ngx_http_sandbox_states[i].name;
        }
    }

    return "";
}


ngx_http_sandbox_state_e
ngx_http_sandbox_state_of(const char *name)
{
    ngx_uint_t i;

    for (i = 0; i < sizeof(ngx_http_sandbox_states)
                        / sizeof(ngx_http_sandbox_states[0]);
         i++)
    {
        if (ngx_strcmp(name, ngx_http_sandbox_states[i].name) == 0) {
            return ngx_http_sandbox_states[i].state;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_sandbox_state_hidden(ngx_http_sandbox_state_e state)
{
    return state == NGX_HTTP_SANDBOX_DESTROYING
           || state == NGX_HTTP_SANDBOX_DESTROYED
           || state == NGX_HTTP_SANDBOX_WARMING
           || state == NGX_HTTP_SANDBOX_POOLED;
}
