/* Watching a client; see the header. */

#include "ngx_http_sandbox_watch_client.h"


ngx_int_t
ngx_http_sandbox_watch_client(ngx_http_request_t *r)
{
    ngx_event_t *rev;

    rev = r->connection->read;

    if (rev->ready) {
        /* as limit_req does: the end may have come with the request */
        ngx_post_event(rev, &ngx_posted_events);

    } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;

    return NGX_OK;
}
