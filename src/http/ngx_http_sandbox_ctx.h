/* The context of a request.  Event loop only. */

#ifndef NGX_HTTP_SANDBOX_CTX_H
#define NGX_HTTP_SANDBOX_CTX_H

#include "ngx_http_sandbox_codes.h"
#include "sandbox_id.h"
#include "sandbox_net.h"

/* A guest's address and port, as long as nginx may name what it has tried. */
typedef struct {
    ngx_str_t name; /* in text */
    char text[SANDBOX_NET_IPV4_SIZE + SANDBOX_NET_PORT_SIZE];
} ngx_http_sandbox_peer_name_t;

typedef struct {
    ngx_str_t request_id; /* in request */
    char request[SANDBOX_ID_SIZE];
    ngx_str_t tenant;   /* NUL-terminated */
    const uint8_t *key; /* the SHA-256 of the API key; NULL without one */
    ngx_str_t sandbox;  /* the id in the path, as the client spelled it */
    const void *route;  /* row of the API's route table, once known */

    /* where an upstream {} with "sandbox_peer" goes; sin_family 0: nowhere */
    struct sockaddr_in peer;
    ngx_str_t *peer_name; /* the same as text; NULL before the first one */
    ngx_http_sandbox_peer_name_t first_peer;
    struct ngx_http_sandbox_live_s *live; /* the request at that guest */
    ngx_str_t host; /* the Host that the guest sees, if masked */

    /* the error to be answered, for the envelope; NULL if none */
    const ngx_http_sandbox_error_t *error;
    ngx_str_t message; /* a sentence for a person */
    ngx_str_t field;   /* error_detail, when not empty */
    ngx_str_t reason;
    const char *detail_name;
    char *detail;           /* error_detail, when not NULL */
    ngx_uint_t retry_after; /* seconds, in place of the error's; or 0 */

    /* the body that the error filter sends in place of nginx's page */
    ngx_str_t envelope;
    ngx_uint_t http_version; /* the client's */
    off_t received;          /* bytes of the body so far, if bounded */
    unsigned bounded : 1;    /* the body may have at most 1 MiB */
    unsigned passed : 1;     /* the request goes on to proxy_pass */
    unsigned traffic : 1;    /* the location has sandbox_traffic */
    unsigned edge : 1;       /* the path, not the Host, names the sandbox */
} ngx_http_sandbox_ctx_t;

/* The context of r, made at first use; NULL if memory is out. */
ngx_http_sandbox_ctx_t *ngx_http_sandbox_ctx(ngx_http_request_t *r);

/*
 * Makes ctx, zeroed memory of the caller's that lives as long as r, the
 * context of r.  NGX_ERROR if no request id can be made.
 */
ngx_int_t
ngx_http_sandbox_ctx_init(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx);

#endif
