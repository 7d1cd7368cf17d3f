/*
 * Why a sandbox could not be taken: what the outcome of sandbox_take() is to
 * who asked for a snapshot, a fork or a hibernation.  Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_TAKE_ERROR_H
#define NGX_HTTP_SANDBOX_TAKE_ERROR_H

#include "ngx_http_sandbox_operation.h"
#include "sandbox_take.h"

/* Sentences for a person, static. */
typedef struct {
    const char *no_room;
    const char *lost;    /* the lease, while it was taken */
    const char *late;    /* the guest is mute, or the time was over */
    const char *old;     /* booted by a version that noted nothing */
    const char *refused; /* the guest said that it failed */
    const char *failed;  /* anything else */
} ngx_http_sandbox_take_words_t;

/* Notes in op the error of take, which has failed. */
void ngx_http_sandbox_take_error(ngx_http_sandbox_op_t *op,
                                 const sandbox_take_t *take,
                                 const ngx_http_sandbox_take_words_t *words);

#endif
