/* Clients that go away while their requests wait.  Event loop only. */

#ifndef NGX_HTTP_SANDBOX_WATCH_CLIENT_H
#define NGX_HTTP_SANDBOX_WATCH_CLIENT_H

#include "ngx_http_sandbox_module.h"

/*
 * r waits: ends it when its client goes away, or at once (after this returns)
 * if it has gone.  NGX_ERROR if nginx's events fail.
 */
ngx_int_t ngx_http_sandbox_watch_client(ngx_http_request_t *r);

#endif
