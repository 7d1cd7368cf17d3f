/*
 * What the two halves of a create share: the reservation (op_create.c) and the
 * making of what was reserved (create_run.c).  Not for others.
 */

#ifndef NGX_HTTP_SANDBOX_CREATE_PARTS_H
#define NGX_HTTP_SANDBOX_CREATE_PARTS_H

#include "ngx_http_sandbox_operation.h"
#include "sandbox_boot.h"

/* The route in the scope of an Idempotency-Key. */
#define NGX_HTTP_SANDBOX_ROUTE_CREATE "sandboxes"

typedef struct {
    ngx_http_sandbox_op_t op;

    char tenant[128];
    uint8_t idem[SANDBOX_SHA256_LEN];
    sandbox_create_t spec;
    int64_t created_at;
    int64_t timeout_at;
    uint32_t address;       /* host order */
    int64_t admitted_until; /* ms since the epoch */
    char agent_token[SANDBOX_TOKEN_SIZE];
    char traffic_token[SANDBOX_TOKEN_SIZE];
    uint64_t execution;

    sandbox_boot_t boot;
    int64_t reserving;  /* monotonic ms */
    int64_t committing; /* monotonic ms */
    int64_t joining;    /* monotonic ms at which it ends; 0: not yet */
    unsigned peeking : 1;
    unsigned full : 1; /* the node is, at least for this one */
    unsigned lost : 1; /* Redis has no record of it any more */
    unsigned left : 1; /* could not be undone: the agenda's */
} ngx_http_sandbox_create_op_t;

typedef struct {
    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_key_t index;
    ngx_http_sandbox_key_t idem;
} ngx_http_sandbox_create_keys_t;

/* The three keys of reserve.lua and abandon.lua. */
void ngx_http_sandbox_create_keys(ngx_http_sandbox_create_op_t *c,
                                  ngx_http_sandbox_create_keys_t *k,
                                  ngx_http_sandbox_args_t *a);

/* Redis does not answer: ends c, and undoes nothing. */
void ngx_http_sandbox_create_no_redis(ngx_http_sandbox_create_op_t *c);

/* The sandbox is reserved and its lease held: makes it, and ends c. */
void ngx_http_sandbox_create_run(ngx_http_sandbox_create_op_t *c);

#endif
