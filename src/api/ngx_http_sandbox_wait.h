/*
 * What resource handlers share: a request that waits for an operation or for
 * Redis, what is read of a request (the id in the path, the Idempotency-Key,
 * the body) with its refusal, and an answer that is a text.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_WAIT_H
#define NGX_HTTP_SANDBOX_WAIT_H

#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_snapshot.h"
#include "sandbox_text.h"

typedef struct {
    ngx_http_request_t *request;
    ngx_http_sandbox_op_t *op;
    /* NULL: what the operation has */
    void (*answer)(ngx_http_request_t *r, ngx_http_sandbox_op_t *op);
    ngx_http_sandbox_record_get_t get;
    ngx_http_sandbox_snapshot_get_t snapshot;
    uint32_t fields; /* of the object, for get */
    /* what to refuse the body with, if nothing is to be replayed */
    sandbox_create_status_t refused;
    const sandbox_create_error_t *refusal;
} ngx_http_sandbox_wait_t;

/*
 * One per request, in its pool; when the request goes away first, its
 * operation is detached and its reads are forgotten.  NULL when r was answered
 * because memory is out.
 */
ngx_http_sandbox_wait_t *ngx_http_sandbox_wait(ngx_http_request_t *r);

/*
 * For operations, with wait as their data: the operation has ended, its error
 * is answered, or what wait->answer makes of it.
 */
void ngx_http_sandbox_wait_done(void *data, ngx_http_sandbox_op_t *op);

/* op was begun for wait; NULL: it could not be, and the request is answered. */
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

/*
 * The body of r, and the error for its parser, in r's pool.  NGX_ERROR when r
 * was answered because memory is out.
 */
ngx_int_t ngx_http_sandbox_wait_body(ngx_http_request_t *r, ngx_str_t *body,
                                     sandbox_create_error_t **err);

/* The body may be {} or missing; NGX_ERROR when r was answered otherwise. */
ngx_int_t ngx_http_sandbox_wait_nothing(ngx_http_request_t *r);

/* Refuses a body; err must live as long as r. */
void ngx_http_sandbox_wait_refuse(ngx_http_request_t *r,
                                  sandbox_create_status_t status,
                                  const sandbox_create_error_t *err);

/*
 * The headers that tell where a collection ("/v1/…") has what op has made, and
 * if that was for an earlier request.
 */
ngx_int_t
ngx_http_sandbox_wait_made(ngx_http_request_t *r, ngx_http_sandbox_op_t *op,
                           const char *collection);

/* Answers with t, which stays the caller's, or that memory is out. */
void ngx_http_sandbox_wait_text(ngx_http_request_t *r, ngx_uint_t status,
                                const sandbox_text_t *t);

#endif
