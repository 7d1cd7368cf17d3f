/* Reading the head of a request; see http.h. */

#ifndef AGENT_HTTP_HEAD_H
#define AGENT_HTTP_HEAD_H

#include <microhttpd.h>
#include <stddef.h>

#define AGENT_REQUEST_ID_SIZE 65
#define AGENT_SEGMENT_SIZE 65
#define AGENT_SEGMENTS 2

/* The X-Request-Id of the request, or a new one. */
void agent_head_id(struct MHD_Connection *c, char id[AGENT_REQUEST_ID_SIZE]);

/* The part of a path after the sandbox's id; NULL: the path is not ours. */
const char *agent_head_name(const char *url);

/* 1 if name matches pattern; the text at each "*" goes to segments. */
int agent_head_match(const char *pattern, const char *name,
                     char segments[AGENT_SEGMENTS][AGENT_SEGMENT_SIZE]);

/* 1 if the Content-Type is JSON, or there is none. */
int agent_head_is_json(struct MHD_Connection *c);

/*
 * NULL if the query has only the parameters of the list, which ends in NULL,
 * each at most once; else the reason (static), and in fault (size bytes) the
 * name of the wrong parameter.
 */
const char *agent_head_query(struct MHD_Connection *c, const char *const *names,
                             char *fault, size_t size);

#endif
