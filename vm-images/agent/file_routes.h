/*
 * The routes of files: rows of main_routes.  docs/api.md says what they do.
 */

#ifndef AGENT_FILE_ROUTES_H
#define AGENT_FILE_ROUTES_H

#include "http.h"

/* GET and HEAD files: begin() */
void agent_file_get(agent_request_t *r);
/* GET and HEAD files/stat: begin() */
void agent_file_stat(agent_request_t *r);
/* GET and HEAD files/list: begin(), the rest is a worker's */
void agent_file_list(agent_request_t *r);
/* PUT files: begin(), the rest is a worker's */
void agent_file_put(agent_request_t *r);
/* GET, HEAD and PUT files/archive: begin(), the rest is a worker's */
void agent_archive_get(agent_request_t *r);
void agent_archive_put(agent_request_t *r);

void agent_file_mkdir(agent_request_t *r, const char *body, size_t len);
void agent_file_move(agent_request_t *r, const char *body, size_t len);
/* DELETE files: begin(), the rest is a worker's */
void agent_file_delete(agent_request_t *r);

#endif
