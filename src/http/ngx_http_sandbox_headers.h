/* Headers of requests and answers.  Event loop only. */

#ifndef NGX_HTTP_SANDBOX_HEADERS_H
#define NGX_HTTP_SANDBOX_HEADERS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

/*
 * Request headers of one name (lower case), in the order they came; start
 * with a zeroed iterator.  NULL after the last.
 */
typedef struct {
    ngx_list_part_t *part;
    ngx_uint_t i;
} ngx_http_sandbox_headers_t;

ngx_table_elt_t *
ngx_http_sandbox_next_header(ngx_http_request_t *r,
                             ngx_http_sandbox_headers_t *it, const char *name);

/* 1 if a Content-Type says JSON, whatever its parameters. */
ngx_uint_t ngx_http_sandbox_json_type(const ngx_str_t *type);

/* The key of "Authorization: Bearer <key>", in h; empty if there is none. */
ngx_str_t ngx_http_sandbox_bearer(const ngx_table_elt_t *h);

/* Adds a response header; name is static, value lives as long as r. */
ngx_int_t ngx_http_sandbox_add_header(ngx_http_request_t *r, const char *name,
                                      ngx_str_t *value);

#endif
