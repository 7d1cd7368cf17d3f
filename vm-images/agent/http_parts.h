/*
 * Shared by the files of the HTTP server; private to them.
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
    size_t collected; /* bytes of the share of input that body takes */
    size_t discarded;
    agent_watch_t hangup;
    struct MHD_Response *response;
    size_t held; /* bytes of the share of output that the answer takes */
    const agent_http_source_t *source; /* of a streamed answer */
    void *source_ctx;
    agent_http_upgraded_pt upgraded;
    void *upgraded_data;
    unsigned status;
    unsigned authorized : 1; /* the request had our token */
    unsigned started : 1;    /* the route has the request */
    unsigned finished : 1;   /* the route has all of the body */
    unsigned suspended : 1;  /* the library does not process it */
    unsigned gone : 1;
    char id[AGENT_REQUEST_ID_SIZE];
    char segments[AGENT_SEGMENTS][AGENT_SEGMENT_SIZE];
    LIST_ENTRY(agent_request_s) link;
};

/* Suspends the connection until resume() or the client goes; 0 or -1. */
int http_wait(agent_request_t *r);
void http_resume(agent_request_t *r);

#endif
