/*
 * Errors: noting one in the context of a request, and what is sent of the noted
 * one, the JSON envelope or a page.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_ERRORS_H
#define NGX_HTTP_SANDBOX_ERRORS_H

#include "ngx_http_sandbox_codes.h"

/*
 * Notes the error of r in its context and returns its HTTP status, for
 * "return ngx_http_sandbox_error(…)" from a phase handler or to
 * ngx_http_finalize_request().  message is static or in r->pool.
 */
ngx_int_t ngx_http_sandbox_error(ngx_http_request_t *r,
                                 const ngx_http_sandbox_error_t *error,
                                 const char *message);

/* The same with error_detail {field, reason}. */
ngx_int_t ngx_http_sandbox_error_field(ngx_http_request_t *r,
                                       const ngx_http_sandbox_error_t *error,
                                       const char *message, const char *field,
                                       const char *reason);

/* The same with another Retry-After than that of error. */
ngx_int_t ngx_http_sandbox_error_later(ngx_http_request_t *r,
                                       const ngx_http_sandbox_error_t *error,
                                       const char *message, ngx_uint_t seconds);

/*
 * The same with one member of error_detail: name is static, value is copied, or
 * NULL: none.
 */
ngx_int_t ngx_http_sandbox_error_detail(ngx_http_request_t *r,
                                        const ngx_http_sandbox_error_t *error,
                                        const char *message, const char *name,
                                        const char *value);

/* The envelope of the noted error, in r->pool. */
ngx_int_t ngx_http_sandbox_envelope(ngx_http_request_t *r, ngx_str_t *json);

/* The noted error for a person, in r->pool; nothing in it is from outside. */
ngx_int_t ngx_http_sandbox_page(ngx_http_request_t *r, ngx_str_t *html);

/* Adds Retry-After and WWW-Authenticate as the noted error asks for. */
ngx_int_t ngx_http_sandbox_error_headers(ngx_http_request_t *r);

#endif
