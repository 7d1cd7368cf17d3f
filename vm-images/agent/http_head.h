/* What the head of a request says; see http.h. */

#ifndef AGENT_HTTP_HEAD_H
#define AGENT_HTTP_HEAD_H

#include <microhttpd.h>
#include <stddef.h>

#define AGENT_REQUEST_ID_SIZE 65
#define AGENT_SEGMENT_SIZE 65
#define AGENT_SEGMENTS 2

/* The X-Request-Id of the request, or one of our own. */
void agent_head_id(struct MHD_Connection *c, char id[AGENT_REQUEST_ID_SIZE]);

/* What follows the id of the sandbox in a path; NULL: no path of ours. */
const char *agent_head_name(const char *url);

/* 1 if name is of the form pattern; what is at each "*" goes to segments. */
int agent_head_match(const char *pattern, const char *name,
                     char segments[AGENT_SEGMENTS][AGENT_SEGMENT_SIZE]);

/* 1 if the body is said to be JSON, or nothing is said of it. */
int agent_head_is_json(struct MHD_Connection *c);

/*
 * NULL if the query has only the parameters of the list, which ends in NULL,
 * each at most once; else why not (static), and the name of the one at fault.
 */
const char *agent_head_query(struct MHD_Connection *c, const char *const *names,
                             char *fault, size_t size);

#endif
