/*
 * What the files of the HTTP server share; private to them.
 */

#ifndef AGENT_HTTP_PARTS_H
#define AGENT_HTTP_PARTS_H

#include <microhttpd.h>
#include <sys/queue.h>

#include "http.h"
#include "http_head.h"
#include "loop.h"

struct agent_request_s {
    struct MHD_Connection *connection;
    const agent_route_t *route;
    void *ctx;
    sandbox_text_t body;
    size_t collected; /* of the share of input, for the body */
    size_t discarded;
    agent_watch_t hangup;
    struct MHD_Response *response;
    size_t held; /* by the answer, of the share of output */
    const agent_http_source_t *source; /* of a streamed answer */
    void *source_ctx;
    agent_http_upgraded_pt upgraded;
    void *upgraded_data;
    unsigned status;
    unsigned authorized : 1; /* its token was ours */
    unsigned started : 1;    /* the route has it */
    unsigned finished : 1;   /* and all of its body */
    unsigned suspended : 1;  /* at rest in the library */
    unsigned gone : 1;
    char id[AGENT_REQUEST_ID_SIZE];
    char segments[AGENT_SEGMENTS][AGENT_SEGMENT_SIZE];
    LIST_ENTRY(agent_request_s) link;
};

/* Puts the connection aside until there is news or the client goes; 0 or -1. */
int http_wait(agent_request_t *r);
void http_resume(agent_request_t *r);

#endif
