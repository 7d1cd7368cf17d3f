/* Shared by the files of the upload routes; private to them. */

#ifndef AGENT_UPLOAD_PARTS_H
#define AGENT_UPLOAD_PARTS_H

#include "http.h"
#include "sandbox_idem_key.h"
#include "upload_store.h"

typedef struct {
    char text[SANDBOX_IDEM_KEY_MAX];
    size_t len;
} agent_upload_key_t;

/* The Idempotency-Key of r; 0, or -1 after an answer. */
int agent_upload_key(agent_request_t *r, agent_upload_key_t *key);

/* Opens store and session; 0, or -1 after an answer. */
int agent_upload_find(int peer, agent_upload_t *u, const char *id);

/* Answers a request that cannot be carried out for want of disk space. */
void agent_upload_no_room(int peer);

#endif
