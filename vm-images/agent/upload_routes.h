/*
 * The routes of resumable uploads: rows of main_routes.  docs/api.md says what
 * they do.
 */

#ifndef AGENT_UPLOAD_ROUTES_H
#define AGENT_UPLOAD_ROUTES_H

#include "http.h"

void agent_upload_create(agent_request_t *r, const char *body, size_t len);
void agent_upload_complete(agent_request_t *r, const char *body, size_t len);

/* begin() of workers */
void agent_upload_get(agent_request_t *r);
void agent_upload_delete(agent_request_t *r);
void agent_upload_part(agent_request_t *r);

#endif
