/*
 * Writes the JSON objects of the API from records: what GET and list return,
 * and what POST answers and stores for replays.  One table has the members of a
 * sandbox, for writing and for masks.  Any thread.
 */

#ifndef NGX_HTTP_SANDBOX_OBJECT_H
#define NGX_HTTP_SANDBOX_OBJECT_H

#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_snapshot.h"
#include "ngx_http_sandbox_state.h"
#include "sandbox_text.h"

/* The status that clients see for a state. */
const char *ngx_http_sandbox_status(ngx_http_sandbox_state_e state);

/*
 * The message for a request that is refused in this state: which operation is
 * under way, as the status does not tell that, or else `otherwise`.
 */
const char *
ngx_http_sandbox_refusal(ngx_http_sandbox_state_e state, const char *otherwise);

/*
 * Appends the object of record with the members of mask.  token is the traffic
 * access token, checkout the JSON text of create_outcome(); both are for the
 * answer to a create only, else NULL.
 */
void
ngx_http_sandbox_object(sandbox_text_t *t,
                        const ngx_http_sandbox_record_t *record, uint32_t mask,
                        const char *token, const char *checkout);

/*
 * The mask of the first members of an object, id first.  Their values are equal
 * for all sandboxes of one template and size, except for the id.
 */
uint32_t ngx_http_sandbox_object_head(void);

/* Appends an object with the members of mask that the record has. */
void ngx_http_sandbox_object_masked(sandbox_text_t *t,
                                    const ngx_http_sandbox_record_t *record,
                                    uint32_t mask);

/* The number of a member's bit in masks; -1 if there is no such member. */
int ngx_http_sandbox_object_member(const char *name, size_t len);

/* 1 if mask has metadata, the one member that may be long. */
ngx_uint_t ngx_http_sandbox_object_has_metadata(uint32_t mask);

/* Appends a snapshot's object; metadata that was not read is written as {}. */
void
ngx_http_sandbox_snapshot_object(sandbox_text_t *t,
                                 const ngx_http_sandbox_snapshot_t *snapshot);

#endif
