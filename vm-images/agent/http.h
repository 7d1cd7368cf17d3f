/*
 * The HTTP/1.1 server: connections, authentication, routes, answers.  Event
 * loop only.
 *
 * A route gets its request in pieces and may answer at any later time; until
 * then the connection is suspended and only watched for its end.  So a route
 * that streams or waits for a process needs nothing but its callbacks.
 */

#ifndef AGENT_HTTP_H
#define AGENT_HTTP_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/types.h>

#include "sandbox_text.h"

#define AGENT_BODY_MAX (1024 * 1024)

typedef struct agent_request_s agent_request_t;
struct MHD_UpgradeResponseHandle;

/* One method of a resource; rows of the same name are one resource. */
typedef struct {
    const char *name; /* what follows /v1/sandboxes/{id}/; "*": any segment */
    const char *method;

    /*
     * 1: the route reads the query, and checks it by agent_http_query_check().
     * 0: any parameter is refused.
     */
    int query;

    /* Called with the whole body: answers now or later. */
    void (*handler)(agent_request_t *r, const char *body, size_t len);

    /*
     * Called when the client has gone before the answer: gives ctx up.  The
     * route must not use the request any more.
     */
    void (*abort)(void *ctx);

    /*
     * For bodies of any size and type, in place of handler.  begin: the head
     * has come; it answers, or sets a ctx.  piece: takes bytes of the body and
     * returns their number; if it does not take all, the connection rests until
     * agent_http_wake().  finish: the body has ended.  None of them is called
     * after the answer.
     */
    void (*begin)(agent_request_t *r);
    size_t (*piece)(void *ctx, const char *data, size_t len);
    void (*finish)(void *ctx);
} agent_route_t;

typedef struct {
    struct in_addr address;
    in_port_t port;      /* host order */
    struct in_addr peer; /* the only address that may connect */
    const char *token;   /* copied */
    const agent_route_t *routes;
    size_t nroutes;
} agent_http_conf_t;

/* 0, or -1 with errno set. */
int agent_http_start(const agent_http_conf_t *conf);

/* Ends every connection, and aborts their requests. */
void agent_http_stop(void);

/*
 * The same in a guest that was started from a checkpoint, with as little work
 * as can be before it is of use: connections end without a packet, for it was
 * the guest of before that the other sides spoke to, and their memory is given
 * back a second later.
 */
void agent_http_retire(void);

/* Sets the route's context until the answer; passed to its abort(). */
void agent_http_set_ctx(agent_request_t *r, void *ctx);

/* The segment at the "*" of the route, "" if it has none; and the next one. */
const char *agent_http_segment(const agent_request_t *r);
const char *agent_http_second_segment(const agent_request_t *r);

/*
 * A parameter of the query, with percent escapes decoded, "" for a bare name;
 * NULL if the query does not have it.
 */
const char *agent_http_query(const agent_request_t *r, const char *name);

/*
 * 0 if the query has only parameters of the list, which ends in NULL, each at
 * most once; -1 after a 400 that names the wrong one.
 */
int agent_http_query_check(agent_request_t *r, const char *const *names);

/* A header of the request, or NULL. */
const char *agent_http_header(const agent_request_t *r, const char *name);

/*
 * Answers with a JSON text, whose memory is taken over, or with 503 if the text
 * is long and exceeds the share of output (memory.h) until the client has read
 * it.  Once per request; the route must not use the request afterwards.
 */
void
agent_http_answer(agent_request_t *r, unsigned status, sandbox_text_t *body);

/* The longest text that agent_http_answer() would not refuse now. */
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
     * Writes at most size bytes to buf and returns their number; 0 if there are
     * none yet, and agent_http_wake() follows when there are; -1 at the end; -2
     * if the body breaks off, which the client can tell.
     */
    ssize_t (*read)(void *ctx, char *buf, size_t size);

    /* Called once, after the last read(), also if the client has gone. */
    void (*end)(void *ctx);
} agent_http_source_t;

/* Answers 200 with a body from source; its end() is called in any case. */
void agent_http_stream(agent_request_t *r, const char *type,
                       const agent_http_source_t *source, void *ctx);
/* The same with a status, and with a length unless size is -1. */
void agent_http_stream_sized(agent_request_t *r, unsigned status, int64_t size,
                             const char *type,
                             const agent_http_source_t *source, void *ctx);
void agent_http_wake(agent_request_t *r);

/*
 * Switches to WebSocket; accept is the answer to the client's key.  When the
 * head has been sent, handler gets the non-blocking socket and the bytes that
 * followed the request, which it copies to keep them, and ends the socket by
 * agent_http_upgrade_end().  It is not called if the client has gone.
 */
typedef void (*agent_http_upgraded_pt)(void *data, int fd, const char *extra,
                                       size_t len,
                                       struct MHD_UpgradeResponseHandle *h);
void agent_http_upgrade(agent_request_t *r, const char *accept,
                        agent_http_upgraded_pt handler, void *data);
void agent_http_upgrade_end(struct MHD_UpgradeResponseHandle *h);

#endif
