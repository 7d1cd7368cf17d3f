/*
 * The Idempotency-Key of an operation: whether it is taken, waiting for the
 * operation that has it, and the answer of that one.  See the part of
 * docs/lifecycle.md about waiting for others.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_IDEM_H
#define NGX_HTTP_SANDBOX_IDEM_H

#include "ngx_http_sandbox_operation.h"

/* A member of the operation. */
typedef struct {
    ngx_http_sandbox_op_t *op;
    void (*go)(ngx_http_sandbox_op_t *op); /* the key is nobody's */
    const char *tenant;
    const char *route; /* in the scope of the key */
    uint8_t key[SANDBOX_SHA256_LEN];
    char fingerprint[SANDBOX_SHA256_HEX_SIZE]; /* of the request */
    int64_t joining; /* monotonic ms at which it ends; 0: not yet */
    unsigned peeking : 1;
    unsigned again : 1; /* the look is that of idem_again() */
} ngx_http_sandbox_idem_t;

/* Fills key and fingerprint; NGX_ERROR if OpenSSL fails. */
ngx_int_t
ngx_http_sandbox_idem_init(ngx_http_sandbox_idem_t *idem, const ngx_str_t *key,
                           const uint8_t *fingerprint);

/* The name of the key in Redis. */
void ngx_http_sandbox_idem_name(ngx_http_sandbox_idem_t *idem,
                                ngx_http_sandbox_key_t *name);

/*
 * For how long (ms) a script that reserves keeps the key, should its operation
 * never be ended: its node may be gone for good.
 */
int64_t ngx_http_sandbox_idem_kept(void);

/*
 * Looks at the key, by a plain read.  If it is free, go is called; else op is
 * ended: with the stored answer (op->id is the id it was about), that of the
 * operation that is under way, or an error.  Never from inside the call.
 * NGX_ERROR: Redis is away, nothing is called.
 */
ngx_int_t ngx_http_sandbox_idem_peek(ngx_http_sandbox_idem_t *idem);

/*
 * The same a little later, for one who found the key free, but cannot go on if
 * nobody with the same key has: again is set when go is called.  Redis that
 * does not answer for wait ms ends op.
 */
void
ngx_http_sandbox_idem_again(ngx_http_sandbox_idem_t *idem, ngx_msec_t wait);

/*
 * The same for what a script that reserves has found: held is what it says of
 * a key that is taken.
 */
void
ngx_http_sandbox_idem_taken(ngx_http_sandbox_idem_t *idem, redisReply *held);

/* Redis does not answer: ends op, and undoes nothing. */
void ngx_http_sandbox_idem_no_redis(ngx_http_sandbox_idem_t *idem);

#endif
