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
#include <sys/types.h>

#include "sandbox_text.h"

#define AGENT_HTTP_PORT 891
#define AGENT_BODY_MAX (1024 * 1024)

typedef struct agent_request_s agent_request_t;
struct MHD_UpgradeResponseHandle;

/* One method of a resource; rows of one name stand for one resource. */
typedef struct {
    const char *name; /* what follows /v1/sandboxes/{id}/; "*": any segment */
    const char *method;

    /*
     * The route reads the query, and checks it by agent_http_query_check().
     * Of one that does not, any parameter is refused.
     */
    int query;

    /* The whole body is there: answer now or later. */
    void (*handler)(agent_request_t *r, const char *body, size_t len);

    /*
     * The client has gone before the answer: ctx is to be given up.  The
     * request is no longer the route's then.
     */
    void (*abort)(void *ctx);

    /*
     * For bodies of any size and type, in place of handler.  begin: the head
     * is there; answer, or set a ctx.  piece: takes some of what came; if that
     * is not all, the connection rests until agent_http_wake().  finish: there
     * is no more of it.  None of them is called after the answer.
     */
    void (*begin)(agent_request_t *r);
    size_t (*piece)(void *ctx, const char *data, size_t len);
    void (*finish)(void *ctx);
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

/* The segment at the "*" of the route, "" if it has none; and the next one. */
const char *agent_http_segment(const agent_request_t *r);
const char *agent_http_second_segment(const agent_request_t *r);

/*
 * A parameter of the query, percent escapes undone, "" for a bare name; NULL
 * if it is not there.
 */
const char *agent_http_query(const agent_request_t *r, const char *name);

/*
 * 0 if the query has only parameters of the list, which ends in NULL, each at
 * most once; -1 after a 400 that names the one at fault.
 */
int agent_http_query_check(agent_request_t *r, const char *const *names);

/* A header of the request, or NULL. */
const char *agent_http_header(const agent_request_t *r, const char *name);

/*
 * Answers with a JSON text, whose memory is taken over, or with a 503 if that
 * is long and would have to wait for its client beyond the share of output
 * (memory.h).  Once per request; the request is no longer the route's then.
 */
void
agent_http_answer(agent_request_t *r, unsigned status, sandbox_text_t *body);

/* How long a text may be now so as not to be refused. */
size_t agent_http_room(void);

/*
 * Answers with the public error envelope.  field and reason go together and
 * may be NULL.
 */
void
agent_http_error(agent_request_t *r, unsigned status, const char *code,
                 const char *message, const char *field, const char *reason);
void agent_http_no_memory(agent_request_t *r);

/* Answers without a body. */
void agent_http_empty(agent_request_t *r, unsigned status);

/* Answers with size bytes of a file, whose descriptor is taken over. */
void agent_http_file(agent_request_t *r, unsigned status, int fd,
                     int64_t offset, int64_t size);

/* Adds a header to the answer just given, in the same turn of the loop. */
void
agent_http_add_header(agent_request_t *r, const char *name, const char *value);

/* Where the body of a streamed answer comes from. */
typedef struct {
    /*
     * At most size bytes into buf: how many; 0 if there are none yet, and
     * agent_http_wake() follows when there are; -1 at the end; -2 if it breaks
     * off, which the client is let see.
     */
    ssize_t (*read)(void *ctx, char *buf, size_t size);

    /* Once, after the last read(), also if the client has gone. */
    void (*end)(void *ctx);
} agent_http_source_t;

/* Answers 200 with what source gives, whose end() follows in any case. */
void agent_http_stream(agent_request_t *r, const char *type,
                       const agent_http_source_t *source, void *ctx);
/* The same with a status, and with a length unless size is -1. */
void agent_http_stream_sized(agent_request_t *r, unsigned status, int64_t size,
                             const char *type,
                             const agent_http_source_t *source, void *ctx);
void agent_http_wake(agent_request_t *r);

/*
 * Switches to WebSocket; accept is the answer to the client's key.  When the
 * head has been sent handler gets the socket, which does not block, with the
 * bytes that followed the request (copied if kept), and ends it by
 * agent_http_upgrade_end().  It is not called if the client has gone.
 */
typedef void (*agent_http_upgraded_pt)(void *data, int fd, const char *extra,
                                       size_t len,
                                       struct MHD_UpgradeResponseHandle *h);
void agent_http_upgrade(agent_request_t *r, const char *accept,
                        agent_http_upgraded_pt handler, void *data);
void agent_http_upgrade_end(struct MHD_UpgradeResponseHandle *h);

#endif
