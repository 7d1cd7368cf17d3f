/*
 * What resource handlers share: a request that waits for an operation or for
 * Redis, what is read of a request (the id in the path, the Idempotency-Key,
 * the body) with its refusal, and an answer that is a text.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_WAIT_H
#define NGX_HTTP_SANDBOX_WAIT_H

#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_snapshot.h"
#include "sandbox_text.h"

typedef struct {
    ngx_http_request_t *request;
    ngx_http_sandbox_op_t *op;
    /* answers r by what op made; NULL: op->answer is sent */
    void (*answer)(ngx_http_request_t *r, ngx_http_sandbox_op_t *op);
    ngx_http_sandbox_record_get_t get;
    ngx_http_sandbox_snapshot_get_t snapshot;
    uint32_t fields; /* of the object, for get */
    /* the refusal of the body, unless an earlier answer is replayed */
    sandbox_body_status_t refused;
    const sandbox_body_error_t *refusal;
} ngx_http_sandbox_wait_t;

/*
 * One per request, in its pool; when the request goes away first, its
 * operation is detached and its reads are forgotten.  NULL when r was answered
 * because memory is out.
 */
ngx_http_sandbox_wait_t *ngx_http_sandbox_wait(ngx_http_request_t *r);

/*
 * The handler of an operation, with wait as its data: the operation has ended.
 * Answers its error, or calls wait->answer.
 */
void ngx_http_sandbox_wait_done(void *data, ngx_http_sandbox_op_t *op);

/* Has wait wait for op; if op is NULL, it could not begin: answers 503. */
void ngx_http_sandbox_wait_for(ngx_http_sandbox_wait_t *wait,
                               ngx_http_sandbox_op_t *op);

/*
 * The id of a sandbox in the path of r, into SANDBOX_ID_SIZE bytes; NGX_ERROR
 * when r was answered because it cannot be one.
 */
ngx_int_t ngx_http_sandbox_wait_id(ngx_http_request_t *r, char *id);

/*
 * The Idempotency-Key of r, in its pool.  NGX_ERROR: there is none that could
 * be used, and r was answered.
 */
ngx_int_t ngx_http_sandbox_wait_key(ngx_http_request_t *r, ngx_str_t *key);

/* The same; without the header NGX_OK, and key->len is 0. */
ngx_int_t
ngx_http_sandbox_wait_optional_key(ngx_http_request_t *r, ngx_str_t *key);

/*
 * The body of r, and the error for its parser, in r's pool.  NGX_ERROR when r
 * was answered because memory is out.
 */
ngx_int_t ngx_http_sandbox_wait_body(ngx_http_request_t *r, ngx_str_t *body,
                                     sandbox_body_error_t **err);

/* Checks that the body is {} or missing; NGX_ERROR when r was refused. */
ngx_int_t ngx_http_sandbox_wait_nothing(ngx_http_request_t *r);

/* Refuses a body; err must live as long as r. */
void ngx_http_sandbox_wait_refuse(ngx_http_request_t *r,
                                  sandbox_body_status_t status,
                                  const sandbox_body_error_t *err);

/*
 * Adds Location, which is under a collection ("/v1/…"), and Idempotent-Replayed
 * if op replayed an earlier answer.  NGX_ERROR if memory is out.
 */
ngx_int_t
ngx_http_sandbox_wait_made(ngx_http_request_t *r, ngx_http_sandbox_op_t *op,
                           const char *collection);

/* Answers with t, which stays the caller's, or with 500 if t has failed. */
void ngx_http_sandbox_wait_text(ngx_http_request_t *r, ngx_uint_t status,
                                const sandbox_text_t *t);

#endif
