/*
 * The objects of the API, made from records: what GET and list give, and what
 * POST answers and stores for replays.  One table has the members of a
 * sandbox, for writing and for masks.  Any thread.
 */

#ifndef NGX_HTTP_SANDBOX_OBJECT_H
#define NGX_HTTP_SANDBOX_OBJECT_H

#include "ngx_http_sandbox_snapshot.h"
#include "sandbox_text.h"

/* What clients are told of a state. */
const char *ngx_http_sandbox_status(ngx_http_sandbox_state_e state);

/*
 * Why a request is refused in this state: what is being done, which the status
 * does not tell, or else `otherwise`.
 */
const char *
ngx_http_sandbox_refusal(ngx_http_sandbox_state_e state, const char *otherwise);

/*
 * token, the traffic access token, and checkout, JSON text of what a warm pool
 * had to do with it: in the create answer only; or NULL.
 */
void
ngx_http_sandbox_object(sandbox_text_t *t,
                        const ngx_http_sandbox_record_t *record, uint32_t mask,
                        const char *token, const char *checkout);

/*
 * The members with which an object begins, id first, that are the same for all
 * of one template and size but for the id.
 */
uint32_t ngx_http_sandbox_object_head(void);

/* The members of a mask, as far as the record has them. */
void ngx_http_sandbox_object_masked(sandbox_text_t *t,
                                    const ngx_http_sandbox_record_t *record,
                                    uint32_t mask);

/* The bit of a mask a member has; -1 if none may be asked for. */
int ngx_http_sandbox_object_member(const char *name, size_t len);

/* 1 if mask has the member metadata, which is the one that may be long. */
ngx_uint_t ngx_http_sandbox_object_has_metadata(uint32_t mask);

/* A snapshot; metadata must have been read. */
void
ngx_http_sandbox_snapshot_object(sandbox_text_t *t,
                                 const ngx_http_sandbox_snapshot_t *snapshot);

#endif
