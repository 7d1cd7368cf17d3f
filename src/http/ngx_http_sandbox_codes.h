/*
 * The machine codes of the API with their HTTP statuses: the one place that
 * maps an inner outcome to HTTP.  Constants only; errors.h sends them.
 */

#ifndef NGX_HTTP_SANDBOX_CODES_H
#define NGX_HTTP_SANDBOX_CODES_H

#include "ngx_http_sandbox_module.h"

/* An error of the API. */
typedef struct {
    ngx_uint_t status;
    ngx_str_t code;
    ngx_uint_t retry_after; /* seconds; 0: not retryable */
} ngx_http_sandbox_error_t;

/* X(code, status, seconds of Retry-After or 0 if not retryable) */
#define NGX_HTTP_SANDBOX_CODES(X)                                              \
    X(invalid_request, 400, 0)                                                 \
    X(invalid_fields, 400, 0)                                                  \
    X(invalid_json, 400, 0)                                                    \
    X(idempotency_key_required, 400, 0)                                        \
    X(unauthorized, 401, 0)                                                    \
    X(forbidden, 403, 0)                                                       \
    X(port_not_allowed, 403, 0)                                                \
    X(traffic_token_required, 403, 0)                                          \
    X(traffic_token_invalid, 403, 0)                                           \
    X(sandbox_not_found, 404, 0)                                               \
    X(snapshot_not_found, 404, 0)                                              \
    X(template_not_found, 404, 0)                                              \
    X(warm_pool_not_found, 404, 0)                                             \
    X(not_found, 404, 0)                                                       \
    X(method_not_allowed, 405, 0)                                              \
    X(transition_in_progress, 409, 1)                                          \
    X(transition_conflict, 409, 0)                                             \
    X(sandbox_not_ready, 409, 1)                                               \
    X(snapshot_in_use, 409, 0)                                                 \
    X(sandbox_paused_auto_resume_disabled, 409, 0)                             \
    X(incompatible_snapshot, 409, 0)                                           \
    X(conflict, 409, 0)                                                        \
    X(idempotency_in_progress, 409, 1)                                         \
    X(body_too_large, 413, 0)                                                  \
    X(unsupported_media_type, 415, 0)                                          \
    X(idempotency_key_reused, 422, 0)                                          \
    X(quota_exceeded, 429, 0)                                                  \
    X(rate_limit_exceeded, 429, 1)                                             \
    X(internal_error, 500, 0)                                                  \
    X(not_implemented, 501, 0)                                                 \
    X(port_not_open, 502, 0)                                                   \
    X(sandbox_unreachable, 502, 0)                                             \
    X(capacity_exceeded, 503, 5)                                               \
    X(no_eligible_runtime_host, 503, 5)                                        \
    X(warm_pool_unavailable, 503, 5)                                           \
    X(hypervisor_unavailable, 503, 2)                                          \
    X(state_store_unavailable, 503, 1)                                         \
    X(sandbox_changing, 503, 5)                                                \
    X(wake_limit_exceeded, 503, 60)                                            \
    X(timeout, 504, 0)

#define NGX_HTTP_SANDBOX_CODE_EXTERN(name, status, retry)                      \
    extern const ngx_http_sandbox_error_t ngx_http_sandbox_##name;

NGX_HTTP_SANDBOX_CODES(NGX_HTTP_SANDBOX_CODE_EXTERN)

#undef NGX_HTTP_SANDBOX_CODE_EXTERN

/* The error with this code, or NULL if there is none. */
const ngx_http_sandbox_error_t *
ngx_http_sandbox_code_find(const u_char *code, size_t len);

#endif
