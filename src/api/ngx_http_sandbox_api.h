/*
 * The /v1 REST API: the route table and authentication (api.c), what is read
 * of requests (api_request.c), answers (api_answer.c).  Event loop only.
 *
 * A resource handler is called with an authenticated tenant and, for routes
 * with a JSON body, that whole body.  It answers exactly once, now or
 * later, by one of the functions below; each of them finalizes the request.
 */

#ifndef NGX_HTTP_SANDBOX_API_H
#define NGX_HTTP_SANDBOX_API_H

#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_module.h"
#include "sandbox_query.h"
#include "sandbox_text.h"

/* The precontent-phase handler. */
ngx_int_t ngx_http_sandbox_api_handler(ngx_http_request_t *r);

/* The log-phase handler: metrics by route. */
ngx_int_t ngx_http_sandbox_api_count(ngx_http_request_t *r);

/* From postconfiguration: the bound on JSON bodies. */
void ngx_http_sandbox_api_bound_bodies(void);

/* From postconfiguration: the routes' names for the metrics. */
void ngx_http_sandbox_api_name_routes(void);

/*
 * Reads a body that is to be JSON, of at most 1 MiB, and calls handler with
 * it; or r is finalized with what is wrong.
 */
void ngx_http_sandbox_api_read_json(ngx_http_request_t *r,
                                    ngx_http_client_body_handler_pt handler);

/* The body that was read, in one piece; empty if there was none. */
ngx_int_t ngx_http_sandbox_api_body(ngx_http_request_t *r, ngx_str_t *body);

/* Sends status with a JSON body, which is copied, and finalizes r. */
void ngx_http_sandbox_api_answer(ngx_http_request_t *r, ngx_uint_t status,
                                 const char *json, size_t len);

/* Sends the envelope of an error and finalizes r; see errors.h. */
void ngx_http_sandbox_api_fail(ngx_http_request_t *r,
                               const ngx_http_sandbox_error_t *error,
                               const char *message);
void ngx_http_sandbox_api_fail_field(ngx_http_request_t *r,
                                     const ngx_http_sandbox_error_t *error,
                                     const char *message, const char *field,
                                     const char *reason);
void ngx_http_sandbox_api_fail_state(ngx_http_request_t *r,
                                     const ngx_http_sandbox_error_t *error,
                                     const char *message, const char *state);
void ngx_http_sandbox_api_fail_later(ngx_http_request_t *r,
                                     const ngx_http_sandbox_error_t *error,
                                     const char *message, ngx_uint_t seconds);

/*
 * What is asked for is on another node, whose name the client is told; never
 * for traffic.
 */
void ngx_http_sandbox_api_elsewhere(ngx_http_request_t *r, const char *message,
                                    const char *node);

/* Refuses a query string; err is copied. */
void ngx_http_sandbox_api_fail_query(ngx_http_request_t *r,
                                     sandbox_query_status_t status,
                                     const sandbox_query_error_t *err);

/* The errors that nearly every resource has. */
void ngx_http_sandbox_api_no_store(ngx_http_request_t *r);
void ngx_http_sandbox_api_no_sandbox(ngx_http_request_t *r);
void ngx_http_sandbox_api_no_snapshot(ngx_http_request_t *r);

/* Adds a response header; name is static, value is copied. */
ngx_int_t ngx_http_sandbox_api_header(ngx_http_request_t *r, const char *name,
                                      const char *value, size_t len);

/* Lets the request go on to proxy_pass, aimed at ctx->peer. */
void ngx_http_sandbox_api_pass(ngx_http_request_t *r);

#endif
