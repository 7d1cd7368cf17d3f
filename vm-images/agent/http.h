/*
 * The HTTP/1.1 server: connections, authentication, routes, answers.  Event
 * loop only.
 *
 * A route gets its request in pieces and may answer at any later time; until
 * then the connection is at rest and only watched for its end.  So a route
 * that streams or that waits for a process needs nothing but its callbacks.
 */

#ifndef AGENT_HTTP_H
#define AGENT_HTTP_H

#include <netinet/in.h>
#include <stddef.h>

#include "sandbox_text.h"

#define AGENT_HTTP_PORT 891
#define AGENT_BODY_MAX (1024 * 1024)
#define AGENT_REQUEST_ID_SIZE 65

typedef struct agent_request_s agent_request_t;

typedef struct {
    const char *name; /* what follows /v1/sandboxes/{id}/ */
    const char *method;

    /* The whole body is there: answer now or later. */
    void (*handler)(agent_request_t *r, const char *body, size_t len);

    /*
     * The client has gone before the answer: ctx is to be given up.  The
     * request is no longer the route's then.
     */
    void (*abort)(void *ctx);
} agent_route_t;

typedef struct {
    struct in_addr address;
    in_port_t port;      /* host order */
    struct in_addr peer; /* the only one that is let in */
    const char *token;   /* copied */
    const agent_route_t *routes;
    size_t nroutes;
} agent_http_conf_t;

/* 0, or -1 with errno set. */
int agent_http_start(const agent_http_conf_t *conf);
/* Ends every connection; what runs for them is aborted. */
void agent_http_stop(void);

/* What the route keeps until it answers; given to its abort(). */
void agent_http_set_ctx(agent_request_t *r, void *ctx);

/*
 * Answers with a JSON text, whose memory is taken over.  Once per request;
 * the request is no longer the route's then.
 */
void
agent_http_answer(agent_request_t *r, unsigned status, sandbox_text_t *body);

/*
 * Answers with the public error envelope.  field and reason go together and
 * may be NULL.
 */
void
agent_http_error(agent_request_t *r, unsigned status, const char *code,
                 const char *message, const char *field, const char *reason);

#endif
