/*
 * The filters of answers: every error of an API or traffic location gets the
 * envelope, raised by any code (our handlers, nginx itself, a failed upstream),
 * and what a guest must not send is kept from clients.
 */

#ifndef NGX_HTTP_SANDBOX_FILTERS_H
#define NGX_HTTP_SANDBOX_FILTERS_H

#include "ngx_http_sandbox_module.h"

/* Installs the header and body filter; from postconfiguration. */
void ngx_http_sandbox_filters_init(void);

#endif
