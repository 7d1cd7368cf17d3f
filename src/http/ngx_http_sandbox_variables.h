/* The variables of the module. */

#ifndef NGX_HTTP_SANDBOX_VARIABLES_H
#define NGX_HTTP_SANDBOX_VARIABLES_H

#include "ngx_http_sandbox_module.h"

/* From preconfiguration. */
ngx_int_t ngx_http_sandbox_add_variables(ngx_conf_t *cf);

#endif
