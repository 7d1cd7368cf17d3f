/*
 * Answers of the HTTP server, from texts, files and streams, and what routes
 * read of a request.  Must not know what the routes do.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http_parts.h"
#include "memory.h"

#define HTTP_STREAM_BLOCK 16384


/* Answers with response, which is taken over; NULL ends the connection. */
static void
http_respond(agent_request_t *r, unsigned status, struct MHD_Response *response,
             const char *type)
{
    r->response = response;
    r->status = status;

    if (response == NULL) {
        r->gone = 1; /* no memory to say more */
        return;
    }

    if (type != NULL) {
        MHD_add_response_header(response, "Content-Type", type);
    }

    MHD_add_response_header(response, "X-Request-Id", r->id);
}


static void
http_respond_text(agent_request_t *r, unsigned status, sandbox_text_t *body)
{
    struct MHD_Response *response;

    response = NULL;

    if (!sandbox_text_failed(body)) {
        response = MHD_create_response_from_buffer(body->len, body->data,
                                                   MHD_RESPMEM_MUST_FREE);
    }

    if (response == NULL) {
        sandbox_text_free(body);
    }

    memset(body, 0, sizeof(*body));
    http_respond(r, status, response, "application/json");
}


void
agent_http_set_ctx(agent_request_t *r, void *ctx)
{
    r->ctx = ctx;
}


const char *
agent_http_segment(const agent_request_t *r)
{
    return r->segments[0];
}


const char *
agent_http_second_segment(const agent_request_t *r)
{
    return r->segments[1];
}


const char *
agent_http_header(const agent_request_t *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}


const char *
agent_http_query(const agent_request_t *r, const char *name)
{
    const char *value;
    size_t len;

    value = NULL;

    if (MHD_lookup_connection_value_n(r->connection, MHD_GET_ARGUMENT_KIND,
                                      name, strlen(name), &value, &len)
        == MHD_NO)
    {
        return NULL;
    }

    return value ? value : "";
}


int
agent_http_query_check(agent_request_t *r, const char *const *names)
{
    char fault[64], message[160];
    const char *reason;

    reason = agent_head_query(r->connection, names, fault, sizeof(fault));
    if (reason == NULL) {
        return 0;
    }

    snprintf(message, sizeof(message), "The parameter \"%s\" %s.", fault,
             reason);
    agent_http_error(r, 400, "invalid_request", message, fault, reason);

    return -1;
}


size_t
agent_http_room(void)
{
    return agent_memory_left(AGENT_MEMORY_OUTPUT) + AGENT_MEMORY_FREE;
}


/* Counts body in the share of output until the request is over; 0 or -1. */
static int
http_hold(agent_request_t *r, sandbox_text_t *body)
{
    char *data;

    if (sandbox_text_failed(body)
        || agent_memory_count(AGENT_MEMORY_OUTPUT, &r->held, body->len) == -1)
    {
        return -1;
    }

    /* A text has grown by doubling: the rest is given back. */
    data = realloc(body->data, body->len + 1);
    if (data != NULL) {
        body->data = data;
    }

    return 0;
}


static void
http_answer(agent_request_t *r, unsigned status, sandbox_text_t *body)
{
    r->ctx = NULL;
    http_respond_text(r, status, body);
    http_resume(r);
}


void
agent_http_answer(agent_request_t *r, unsigned status, sandbox_text_t *body)
{
    if (http_hold(r, body) == -1) {
        sandbox_text_free(body);
        agent_http_no_memory(r);
        return;
    }

    http_answer(r, status, body);
}


static void
http_error_text(agent_request_t *r, sandbox_text_t *t, unsigned status,
                const char *code, const char *message, const char *field,
                const char *reason)
{
    sandbox_text_str(t, "{\"error\":");
    sandbox_text_json_string(t, message, strlen(message));
    sandbox_text_fmt(t, ",\"code\":\"%s\"", code);

    if (field != NULL) {
        sandbox_text_str(t, ",\"error_detail\":{\"field\":");
        sandbox_text_json_string(t, field, strlen(field));
        sandbox_text_str(t, ",\"reason\":");
        sandbox_text_json_string(t, reason, strlen(reason));
        sandbox_text_str(t, "}");
    }

    sandbox_text_fmt(t, ",\"request_id\":\"%s\",\"retryable\":%s}", r->id,
                     status == 503 ? "true" : "false");
}


void
agent_http_error(agent_request_t *r, unsigned status, const char *code,
                 const char *message, const char *field, const char *reason)
{
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    http_error_text(r, &t, status, code, message, field, reason);
    http_answer(r, status, &t);

    if (r->response == NULL) {
        return;
    }

    switch (status) {
    case 401:
        MHD_add_response_header(r->response, "WWW-Authenticate", "Bearer");
        break;
    case 503:
        MHD_add_response_header(r->response, "Retry-After", "1");
        break;
    default:
        break;
    }
}


void
agent_http_no_memory(agent_request_t *r)
{
    agent_http_error(r, 503, "capacity_exceeded",
                     "The sandbox is out of memory.", NULL, NULL);
}


void
agent_http_empty(agent_request_t *r, unsigned status)
{
    r->ctx = NULL;
    http_respond(
        r, status,
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT), NULL);
    http_resume(r);
}


void
agent_http_file(agent_request_t *r, unsigned status, int fd, int64_t offset,
                int64_t size)
{
    struct MHD_Response *response;

    response = MHD_create_response_from_fd_at_offset64((uint64_t) size, fd,
                                                       (uint64_t) offset);
    if (response == NULL) {
        close(fd);
    }

    r->ctx = NULL;
    http_respond(r, status, response, "application/octet-stream");
    http_resume(r);
}


void
agent_http_add_header(agent_request_t *r, const char *name, const char *value)
{
    if (r->response != NULL) {
        MHD_add_response_header(r->response, name, value);
    }
}


static ssize_t
http_stream_read(void *data, uint64_t pos, char *buf, size_t size)
{
    ssize_t n;
    agent_request_t *r = data;

    (void) pos;

    n = r->gone ? MHD_CONTENT_READER_END_WITH_ERROR
                : r->source->read(r->source_ctx, buf, size);

    if (n == -2) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }

    if (n == 0 && http_wait(r) == -1) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }

    return n;
}


/*
 * Lets the answer end its connection, so that it needs no chunks: of a body in
 * chunks the library sends the end even to a HEAD, and the client would take
 * that for the answer to its next request.
 */
static void
http_unchunk(agent_request_t *r)
{
    (void) MHD_set_response_options(
        r->response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
}


void
agent_http_stream(agent_request_t *r, const char *type,
                  const agent_http_source_t *source, void *ctx)
{
    agent_http_stream_sized(r, 200, -1, type, source, ctx);
}


void
agent_http_stream_sized(agent_request_t *r, unsigned status, int64_t size,
                        const char *type, const agent_http_source_t *source,
                        void *ctx)
{
    r->ctx = NULL;
    r->source = source;
    r->source_ctx = ctx;
    http_respond(r, status,
                 MHD_create_response_from_callback(
                     size < 0 ? MHD_SIZE_UNKNOWN : (uint64_t) size,
                     HTTP_STREAM_BLOCK, http_stream_read, r, NULL),
                 type);

    if (r->response != NULL && size < 0
        && strcmp(r->route->method, "HEAD") == 0) {
        http_unchunk(r);
    }

    http_resume(r);
}


void
agent_http_wake(agent_request_t *r)
{
    http_resume(r);
}


static void
http_upgraded(void *data, struct MHD_Connection *c, void *ctx,
              const char *extra, size_t len, MHD_socket fd,
              struct MHD_UpgradeResponseHandle *h)
{
    agent_request_t *r = ctx;

    (void) data;
    (void) c;

    r->upgraded(r->upgraded_data, fd, extra, len, h);
}


void
agent_http_upgrade(agent_request_t *r, const char *accept,
                   agent_http_upgraded_pt handler, void *data)
{
    r->upgraded = handler;
    r->upgraded_data = data;
    r->response = MHD_create_response_for_upgrade(http_upgraded, NULL);

    if (r->response == NULL) {
        r->gone = 1;
        return;
    }

    r->status = MHD_HTTP_SWITCHING_PROTOCOLS;
    MHD_add_response_header(r->response, "Upgrade", "websocket");
    MHD_add_response_header(r->response, "Sec-WebSocket-Accept", accept);
    MHD_add_response_header(r->response, "X-Request-Id", r->id);
}


void
agent_http_upgrade_end(struct MHD_UpgradeResponseHandle *h)
{
    MHD_upgrade_action(h, MHD_UPGRADE_ACTION_CLOSE);
}
