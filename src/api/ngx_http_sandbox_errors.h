/*
 * The one place that knows the machine codes of the API and their HTTP
 * statuses, and the filter that gives every error of an API or traffic
 * location the JSON envelope, whoever raised it (our handlers, nginx itself,
 * a failed upstream).  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_ERRORS_H
#define NGX_HTTP_SANDBOX_ERRORS_H

#include "ngx_http_sandbox_module.h"

extern const ngx_http_sandbox_error_t ngx_http_sandbox_invalid_request;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_invalid_json;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_idempotency_key_required;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_unauthorized;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_forbidden;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_port_not_allowed;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_traffic_token_required;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_sandbox_not_found;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_template_not_found;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_not_found;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_method_not_allowed;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_body_too_large;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_unsupported_media_type;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_transition_in_progress;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_sandbox_not_ready;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_idempotency_in_progress;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_idempotency_key_reused;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_internal_error;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_not_implemented;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_port_not_open;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_sandbox_unreachable;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_capacity_exceeded;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_hypervisor_unavailable;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_state_store_unavailable;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_sandbox_changing;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_rate_limit_exceeded;
extern const ngx_http_sandbox_error_t ngx_http_sandbox_timeout;

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

/* The envelope of the noted error, in r->pool. */
ngx_int_t ngx_http_sandbox_envelope(ngx_http_request_t *r, ngx_str_t *json);

/* Adds Retry-After and WWW-Authenticate as the noted error asks for. */
ngx_int_t ngx_http_sandbox_error_headers(ngx_http_request_t *r);

/* Adds a response header; name is static, value lives as long as r. */
ngx_int_t ngx_http_sandbox_add_header(ngx_http_request_t *r, const char *name,
                                      ngx_str_t *value);

/* Installs the header and body filter; from postconfiguration. */
ngx_int_t ngx_http_sandbox_errors_init(ngx_conf_t *cf);

#endif
