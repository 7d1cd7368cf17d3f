/* Timers; see the header. */

#include "ngx_http_sandbox_timer.h"


void
ngx_http_sandbox_timer_init(ngx_event_t *ev, ngx_event_handler_pt handler)
{
    /* debug logs print the descriptor of the event's connection */
    static ngx_connection_t idle = { .fd = -1 };

    ev->handler = handler;
    ev->log = ngx_cycle->log;
    ev->data = &idle;
    ev->cancelable = 1;
}


static void
ngx_http_sandbox_lingered(ngx_event_t *ev)
{ /* void */
}


void
ngx_http_sandbox_linger(ngx_event_t *ev, ngx_msec_t ms)
{
    ngx_http_sandbox_timer_init(ev, ngx_http_sandbox_lingered);
    ev->cancelable = 0;
    ngx_add_timer(ev, ms);
}
