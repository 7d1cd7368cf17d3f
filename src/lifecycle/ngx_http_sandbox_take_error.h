/*
 * Maps a failure of sandbox_take() to the API's error for the snapshot, the
 * fork or the hibernation that it was part of.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_TAKE_ERROR_H
#define NGX_HTTP_SANDBOX_TAKE_ERROR_H

#include "ngx_http_sandbox_operation.h"
#include "sandbox_take.h"

/* The messages of the errors, static. */
typedef struct {
    const char *no_room;
    const char *lost;    /* the lease ended while the sandbox was taken */
    const char *late;    /* the guest is silent, or the deadline has passed */
    const char *old;     /* a sandbox that no checkpoint can be taken of */
    const char *refused; /* the guest answered that it failed */
    const char *failed;  /* anything else */
} ngx_http_sandbox_take_words_t;

/* Sets error and message of op from take, which has failed. */
void ngx_http_sandbox_take_error(ngx_http_sandbox_op_t *op,
                                 const sandbox_take_t *take,
                                 const ngx_http_sandbox_take_words_t *words);

#endif
