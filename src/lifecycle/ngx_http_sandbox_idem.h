/*
 * The Idempotency-Key of an operation: checks whether the key is taken, waits
 * for the operation that has it, and replays the answer of that operation.  See
 * "Waiting for others" in docs/lifecycle.md.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_IDEM_H
#define NGX_HTTP_SANDBOX_IDEM_H

#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_redis.h"

/* A member of the operation that has the key. */
typedef struct {
    ngx_http_sandbox_op_t *op;
    void (*go)(ngx_http_sandbox_op_t *op); /* called if the key is free */
    const char *tenant;
    const char *route; /* in the scope of the key */
    uint8_t key[SANDBOX_SHA256_LEN];
    char fingerprint[SANDBOX_SHA256_HEX_SIZE]; /* of the request */
    int64_t wait_until_ms; /* monotonic: when the wait ends; 0: not begun */
    unsigned peeking : 1;
    unsigned again : 1; /* the key is read a second time, so by idem_again() */
} ngx_http_sandbox_idem_t;

/* Fills key and fingerprint; NGX_ERROR if OpenSSL fails. */
ngx_int_t
ngx_http_sandbox_idem_init(ngx_http_sandbox_idem_t *idem, const ngx_str_t *key,
                           const uint8_t *fingerprint);

/* 1 if the request has a key: idem_init() was called. */
ngx_uint_t ngx_http_sandbox_idem_given(const ngx_http_sandbox_idem_t *idem);

/* The name of the key in Redis. */
void ngx_http_sandbox_idem_name(ngx_http_sandbox_idem_t *idem,
                                ngx_http_sandbox_key_t *name);

/*
 * How long (ms) a script that reserves keeps the key if its operation never
 * ends, because its node is gone for good.
 */
int64_t ngx_http_sandbox_idem_kept(void);

/*
 * Reads the key.  If it is free, go is called.  Else op ends: with the stored
 * answer (op->id is then the id of that answer), with the outcome of the
 * operation that has the key, or with an error.  Neither happens from inside
 * the call.  NGX_ERROR: Redis is away, nothing is called.
 */
ngx_int_t ngx_http_sandbox_idem_peek(ngx_http_sandbox_idem_t *idem);

/*
 * Reads the key again a little later, for an operation that found it free and
 * lacks room: another request with the same key may have taken the room.  again
 * is set if go is called.  op ends if Redis does not answer for wait ms.
 */
void
ngx_http_sandbox_idem_again(ngx_http_sandbox_idem_t *idem, ngx_msec_t wait);

/*
 * Goes on as after a read of a taken key: held is the reply of a script that
 * reserves, with the fields of the key.
 */
void
ngx_http_sandbox_idem_taken(ngx_http_sandbox_idem_t *idem, redisReply *held);

/* Redis does not answer: ends op with a 503 and undoes nothing. */
void ngx_http_sandbox_idem_no_redis(ngx_http_sandbox_idem_t *idem);

#endif
