/*
 * The states of a sandbox, and their names in Redis; transition.h has the verbs
 * that lead from one to another.  Any thread.
 */

#ifndef NGX_HTTP_SANDBOX_STATE_H
#define NGX_HTTP_SANDBOX_STATE_H

#include <ngx_config.h>
#include <ngx_core.h>

typedef enum {
    NGX_HTTP_SANDBOX_CREATING = 1,
    NGX_HTTP_SANDBOX_RUNNING,
    NGX_HTTP_SANDBOX_PAUSED,
    NGX_HTTP_SANDBOX_HIBERNATING, /* running, until it is paused */
    NGX_HTTP_SANDBOX_RESUMING,    /* paused, until it is resumed */
    NGX_HTTP_SANDBOX_RESUMED,     /* an alias of its later execution */
    NGX_HTTP_SANDBOX_WARMING,     /* creating, for a warm pool */
    NGX_HTTP_SANDBOX_POOLED,      /* in a warm pool, nobody's yet */
    NGX_HTTP_SANDBOX_DESTROYING,
    NGX_HTTP_SANDBOX_DESTROYED,
    NGX_HTTP_SANDBOX_FAILED
} ngx_http_sandbox_state_e;

/* The name of a state as it stands in Redis; "error" for FAILED. */
const char *ngx_http_sandbox_state_name(ngx_http_sandbox_state_e state);

/* The state with that name, or 0. */
ngx_http_sandbox_state_e ngx_http_sandbox_state_of(const char *name);

/*
 * 1 if clients must not see a sandbox in that state: it is gone or going, or
 * is a member of a warm pool that nobody has claimed.
 */
ngx_uint_t ngx_http_sandbox_state_hidden(ngx_http_sandbox_state_e state);

#endif
