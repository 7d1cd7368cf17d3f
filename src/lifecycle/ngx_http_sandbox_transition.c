/* The table; see the header. */

#include "ngx_http_sandbox_transition.h"


static const struct {
    const char *from;
    const char *to;
} ngx_http_sandbox_transitions[] = {
    [NGX_HTTP_SANDBOX_COMMIT] = { " creating ", "running" },
    [NGX_HTTP_SANDBOX_ABANDON] = { " creating warming ", "destroying" },
    [NGX_HTTP_SANDBOX_DESTROY] = { " creating running hibernating paused error "
                                   "warming pooled destroying ",
                                   "destroying" },
    [NGX_HTTP_SANDBOX_TIMEOUT] = { " running ", "running" },
    [NGX_HTTP_SANDBOX_HIBERNATE] = { " running ", "hibernating" },
    [NGX_HTTP_SANDBOX_PAUSE] = { " hibernating ", "paused" },
    [NGX_HTTP_SANDBOX_GO_ON] = { " hibernating ", "running" },
    [NGX_HTTP_SANDBOX_RESUME] = { " paused ", "resuming" },
    [NGX_HTTP_SANDBOX_LOSE] = { " running pooled ", "error" },
    [NGX_HTTP_SANDBOX_TAKE] = { " running ", "running" },
    [NGX_HTTP_SANDBOX_NETWORK] = { " running paused ", "" },
    [NGX_HTTP_SANDBOX_NETWORKED] = { " running hibernating paused ", "" },
    [NGX_HTTP_SANDBOX_POOL] = { " warming ", "pooled" },
    [NGX_HTTP_SANDBOX_CHECKOUT] = { " pooled ", "running" },
    [NGX_HTTP_SANDBOX_LIVE] = { " creating running hibernating paused resuming "
                                "resumed ",
                                "" },
};


void
ngx_http_sandbox_arg_transition(ngx_http_sandbox_args_t *args,
                                ngx_http_sandbox_verb_e verb)
{
    ngx_http_sandbox_arg(args, ngx_http_sandbox_transitions[verb].from);
    ngx_http_sandbox_arg(args, ngx_http_sandbox_transitions[verb].to);
}


void
ngx_http_sandbox_arg_states(ngx_http_sandbox_args_t *args,
                            ngx_http_sandbox_verb_e verb)
{
    ngx_http_sandbox_arg(args, ngx_http_sandbox_transitions[verb].from);
}
