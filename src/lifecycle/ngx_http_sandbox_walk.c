/* See the header. */

#include "ngx_http_sandbox_walk.h"

#define NGX_HTTP_SANDBOX_WALK_BATCH 64 /* commands under way at most */


static void
ngx_http_sandbox_walk_on(ngx_http_sandbox_walk_t *w)
{
    while (!w->broken && w->pending < NGX_HTTP_SANDBOX_WALK_BATCH
           && w->next < w->survey->n)
    {
        switch (w->visit(&w->survey->entries[w->next++])) {
        case NGX_OK:
            w->pending++;
            break;

        case NGX_DONE:
            break;

        default:
            w->broken = 1;
        }
    }

    if (w->pending == 0) {
        w->end(w->broken ? NGX_ERROR : NGX_OK);
    }
}


void
ngx_http_sandbox_walk_start(ngx_http_sandbox_walk_t *w)
{
    w->next = 0;
    w->pending = 0;
    w->broken = 0;

    ngx_http_sandbox_walk_on(w);
}


void
ngx_http_sandbox_walk_back(ngx_http_sandbox_walk_t *w, ngx_int_t rc)
{
    w->pending--;

    if (rc != NGX_OK) {
        w->broken = 1;
    }

    ngx_http_sandbox_walk_on(w);
}
