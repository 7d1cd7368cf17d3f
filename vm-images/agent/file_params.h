/* Reading the parameters and bodies of requests to the routes of files. */

#ifndef AGENT_FILE_PARAMS_H
#define AGENT_FILE_PARAMS_H

#include <sys/stat.h>

#include "body.h"
#include "conditions.h"
#include "http.h"

/* Reads the query; 0, or -1 after an answer.  At most 7 members. */
int agent_file_query(agent_request_t *r, agent_field_t *members, size_t n);

/* The same for a query whose only parameter is the path. */
int agent_file_query_path(agent_request_t *r, char path[SANDBOX_PATH_MAX]);

/* Reads a JSON body; 0, or -1 after an answer. */
int agent_file_body(agent_request_t *r, agent_field_t *members, size_t n,
                    const char *body, size_t len);

/* The conditional headers of r; valid as long as its head. */
void agent_file_conditions(agent_request_t *r, agent_conditions_t *c);

/*
 * In a worker: 0 if the conditions allow to change what has that status, which
 * is NULL if there is nothing; -1 after an answer.  Only a file has a tag.
 */
int agent_file_allowed(int peer, const agent_conditions_t *c,
                       const struct stat *st);

/* The ids of a user; "" is root.  0, or -1 after an answer. */
int
agent_file_user(agent_request_t *r, const char *name, uid_t *uid, gid_t *gid);

/* The X-Content-SHA256 of r, "" if none; 0, or -1 after an answer. */
int agent_file_sha256(agent_request_t *r, char out[AGENT_SHA256_HEX_SIZE]);

#endif
