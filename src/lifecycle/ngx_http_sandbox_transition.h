/*
 * The table of the states in which each verb is allowed, and of the state that
 * it leads to; one more is allowed by hibernate.lua itself: "error", for a
 * sandbox that was hibernated before Redis lost the claim.
 *
 * The scripts that change a state get "from" and "to" of their verb as
 * arguments: Redis decides, next to the record, by this table.  A script that
 * finds another state changes nothing.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_TRANSITION_H
#define NGX_HTTP_SANDBOX_TRANSITION_H

#include "ngx_http_sandbox_args.h"

typedef enum {
    NGX_HTTP_SANDBOX_COMMIT,    /* the guest has confirmed */
    NGX_HTTP_SANDBOX_ABANDON,   /* a create was undone, or is left to be */
    NGX_HTTP_SANDBOX_DESTROY,   /* by DELETE, a deadline or a lost lease */
    NGX_HTTP_SANDBOX_TIMEOUT,   /* POST …/timeout moves the deadline */
    NGX_HTTP_SANDBOX_HIBERNATE, /* by POST …/hibernate or a deadline */
    NGX_HTTP_SANDBOX_PAUSE,     /* the hibernation has ended well */
    NGX_HTTP_SANDBOX_GO_ON,     /* the hibernation has failed */
    NGX_HTTP_SANDBOX_RESUME,    /* a new execution is started; when that is
                                   committed, this one becomes its alias */
    NGX_HTTP_SANDBOX_LOSE,      /* its machine is gone */
    NGX_HTTP_SANDBOX_TAKE,      /* a snapshot is taken of it; it goes on */
    NGX_HTTP_SANDBOX_NETWORK,   /* PATCH …/network begins */
    NGX_HTTP_SANDBOX_NETWORKED, /* it ends; a hibernation may have begun */
    NGX_HTTP_SANDBOX_POOL,      /* a member of a warm pool is ready */
    NGX_HTTP_SANDBOX_CHECKOUT,  /* a member is handed to a create */
    NGX_HTTP_SANDBOX_LIVE       /* no verb: keeps its snapshot in use */
} ngx_http_sandbox_verb_e;

/*
 * Appends two arguments: the states in which verb is allowed, each between
 * spaces, and the state it leads to.
 */
void ngx_http_sandbox_arg_transition(ngx_http_sandbox_args_t *args,
                                     ngx_http_sandbox_verb_e verb);

/* Appends the first of these arguments alone. */
void ngx_http_sandbox_arg_states(ngx_http_sandbox_args_t *args,
                                 ngx_http_sandbox_verb_e verb);

#endif
