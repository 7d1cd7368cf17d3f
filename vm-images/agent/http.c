/*
 * The HTTP server, over libmicrohttpd with its own polling turned off: the
 * library's epoll descriptor is one of our loop's.
 *
 * While a request waits for its answer its connection is suspended, and the
 * library would not notice that the client goes away, so our loop watches the
 * socket for that.  It also does while a body arrives that is not collected:
 * the library, whose events are edge-triggered, misses an end that comes
 * together with data.  A request is freed exactly once, in http_completed().
 * Must not know what the routes do.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_parts.h"
#include "memory.h"

#define HTTP_CONNECTIONS 1024
#define HTTP_CONNECTION_MEMORY 163840 /* some headers of 32 KiB */
#define HTTP_IDLE_S 120               /* longer than nginx keeps a connection */
#define HTTP_BACKLOG 256
#define HTTP_TOKEN_MAX 128
#define HTTP_ALLOW_SIZE 64
#define HTTP_RETIRED_MS 1000
#define HTTP_DISCARD_MAX (16 * AGENT_BODY_MAX)

typedef struct http_client_s http_client_t;

struct http_client_s {
    int fd;
    LIST_ENTRY(http_client_s) link;
};

static struct {
    struct MHD_Daemon *daemon;
    struct MHD_Daemon *retired; /* of an earlier life, until the burial */
    agent_timer_t burial;
    agent_watch_t watch;
    struct in_addr peer;
    char token[HTTP_TOKEN_MAX + 1];
    const agent_route_t *routes;
    size_t nroutes;
    LIST_HEAD(agent_requests_s, agent_request_s) requests;
    LIST_HEAD(http_clients_s, http_client_s) clients;
} http = { .watch = { .fd = -1 } };


static int http_watch(agent_request_t *r);


/* Compares sent to the token; the time depends on the length of sent only. */
static int
http_token_equal(const char *sent)
{
    size_t i, len, want;
    unsigned diff;

    len = strlen(sent);
    want = strlen(http.token);
    diff = len != want;

    for (i = 0; i < len; i++) {
        diff |= (unsigned char) sent[i]
                ^ (unsigned char) http.token[want ? i % want : 0];
    }

    return diff == 0 && want > 0;
}


static int
http_authorized(struct MHD_Connection *c)
{
    const char *value;

    value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");

    return value != NULL && strncasecmp(value, "Bearer ", 7) == 0
           && http_token_equal(value + 7);
}


void
http_resume(agent_request_t *r)
{
    if (r->suspended) {
        r->suspended = 0;
        if (!r->started || r->finished || r->gone || r->response != NULL) {
            agent_loop_unwatch(&r->hangup);
        }
        MHD_resume_connection(r->connection);
    }
}


/* Sets r->route; else allow gets the methods of the resource, "" if none. */
static void
http_route(agent_request_t *r, const char *url, const char *method, char *allow,
           size_t size)
{
    size_t i;
    const char *name;
    const agent_route_t *route;

    allow[0] = '\0';
    name = agent_head_name(url);

    for (i = 0; name != NULL && i < http.nroutes; i++) {
        route = &http.routes[i];

        if (!agent_head_match(route->name, name, r->segments)) {
            continue;
        }

        if (strcmp(method, route->method) == 0) {
            r->route = route;
            return;
        }

        snprintf(allow + strlen(allow), size - strlen(allow), "%s%s",
                 allow[0] ? ", " : "", route->method);
    }
}


/* Refuses a request whose head alone is wrong. */
static void
http_check(agent_request_t *r, const char *url, const char *method)
{
    char allow[HTTP_ALLOW_SIZE];
    static const char *const none[] = { NULL };

    r->authorized = http_authorized(r->connection);

    if (!r->authorized) {
        agent_http_error(r, 401, "unauthorized",
                         "The agent's token is missing or wrong.", NULL, NULL);
        return;
    }

    http_route(r, url, method, allow, sizeof(allow));

    if (r->route == NULL && allow[0] == '\0') {
        agent_http_error(r, 404, "not_found", "There is no such resource.",
                         NULL, NULL);

    } else if (r->route == NULL) {
        agent_http_error(r, 405, "method_not_allowed",
                         "The resource does not support this method.", NULL,
                         NULL);

        agent_http_add_header(r, "Allow", allow);

    } else if (r->route->begin == NULL && !agent_head_is_json(r->connection)) {
        agent_http_error(r, 415, "unsupported_media_type",
                         "The body must be application/json.", NULL, NULL);

    } else if (!r->route->query) {
        (void) agent_http_query_check(r, none);
    }
}


static enum MHD_Result
http_begin(struct MHD_Connection *c, const char *url, const char *method,
           void **ctx)
{
    agent_request_t *r;

    r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return MHD_NO;
    }

    r->connection = c;
    r->hangup.fd = -1;
    LIST_INSERT_HEAD(&http.requests, r, link);
    *ctx = r;

    agent_head_id(c, r->id);
    http_check(r, url, method);

    if (r->response == NULL && !r->gone && r->route->begin != NULL) {
        r->started = 1;
        r->route->begin(r);

        if (r->response == NULL && !r->gone && http_watch(r) == -1) {
            return MHD_NO;
        }
    }

    return r->gone ? MHD_NO : MHD_YES;
}


/* Tells the route that nobody waits for its answer any more. */
static void
http_abandon(agent_request_t *r)
{
    void *ctx;

    ctx = r->ctx;
    r->ctx = NULL;
    r->gone = 1;

    if (ctx != NULL) {
        r->route->abort(ctx);
    }
}


static void
http_hangup(void *data, uint32_t events)
{
    agent_request_t *r = data;

    (void) events;

    if (!r->suspended) {
        /* The library reads from a connection that is resumed. */
        agent_loop_unwatch(&r->hangup);
        MHD_suspend_connection(r->connection);
        MHD_resume_connection(r->connection);
        return;
    }

    http_abandon(r);
    http_resume(r);
}


/* Watches for the client going away; 0 or -1. */
static int
http_watch(agent_request_t *r)
{
    const union MHD_ConnectionInfo *info;

    if (r->hangup.fd != -1) {
        return 0;
    }

    info = MHD_get_connection_info(r->connection,
                                   MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == NULL) {
        return -1;
    }

    r->hangup.handler = http_hangup;
    r->hangup.data = r;

    return agent_loop_watch(&r->hangup, info->connect_fd, EPOLLRDHUP);
}


int
http_wait(agent_request_t *r)
{
    if (http_watch(r) == -1) {
        return -1;
    }

    r->suspended = 1;
    MHD_suspend_connection(r->connection);

    return 0;
}


/* Frees the collected body. */
static void
http_forget(agent_request_t *r)
{
    sandbox_text_free(&r->body);
    (void) agent_memory_count(AGENT_MEMORY_INPUT, &r->collected, 0);
}


/*
 * Drops a piece of the body of a refused request.  The body is read to its end,
 * for closing a connection with unread data resets it, and the answer may be
 * lost.  The limit does not hold for routes whose bodies may have any size.
 */
static enum MHD_Result
http_discard(agent_request_t *r, size_t len)
{
    http_forget(r);

    if (r->authorized && r->route != NULL && r->route->begin != NULL) {
        return MHD_YES;
    }

    r->discarded += len;

    return r->discarded > HTTP_DISCARD_MAX ? MHD_NO : MHD_YES;
}


static enum MHD_Result
http_collect(agent_request_t *r, const char *data, size_t len)
{
    if (len > AGENT_BODY_MAX - r->body.len) {
        agent_http_error(r, 413, "body_too_large",
                         "The body is larger than 1 MiB.", NULL, NULL);
        return http_discard(r, len);
    }

    if (agent_memory_count(AGENT_MEMORY_INPUT, &r->collected, r->body.len + len)
        == -1)
    {
        agent_http_no_memory(r);
        return http_discard(r, len);
    }

    sandbox_text_add(&r->body, data, len);

    return sandbox_text_failed(&r->body) ? MHD_NO : MHD_YES;
}


/*
 * Takes a piece of the body.  The library gives the last *len bytes again when
 * the connection is resumed.
 */
static enum MHD_Result
http_body(agent_request_t *r, const char *data, size_t *len)
{
    size_t n;

    n = *len;
    *len = 0;

    if (r->response != NULL || r->gone) {
        return http_discard(r, n);
    }

    if (!r->started) {
        return http_collect(r, data, n);
    }

    *len = n - r->route->piece(r->ctx, data, n);

    if (r->response != NULL || r->gone) {
        *len = 0;
        return MHD_YES;
    }

    return *len == 0 || http_wait(r) == 0 ? MHD_YES : MHD_NO;
}


static enum MHD_Result
http_end(agent_request_t *r)
{
    if (r->response == NULL && !r->gone && !r->finished) {
        r->finished = 1;

        if (r->started) {
            r->route->finish(r->ctx);
        } else {
            r->started = 1;
            r->route->handler(r, r->body.len ? r->body.data : "", r->body.len);
            http_forget(r);
        }
    }

    if (r->response != NULL) {
        agent_loop_unwatch(&r->hangup);
        return MHD_queue_response(r->connection, r->status, r->response);
    }

    return r->gone || http_wait(r) == -1 ? MHD_NO : MHD_YES;
}


static enum MHD_Result
http_access(void *data, struct MHD_Connection *c, const char *url,
            const char *method, const char *version, const char *body,
            size_t *len, void **ctx)
{
    (void) data;
    (void) version;

    if (*ctx == NULL) {
        return http_begin(c, url, method, ctx);
    }

    return *len > 0 ? http_body(*ctx, body, len) : http_end(*ctx);
}


/* Ends what serves the request. */
static void
http_end_service(agent_request_t *r)
{
    agent_loop_unwatch(&r->hangup);
    http_abandon(r);

    if (r->source != NULL) {
        r->source->end(r->source_ctx);
        r->source = NULL;
    }
}


static void
http_completed(void *data, struct MHD_Connection *c, void **ctx,
               enum MHD_RequestTerminationCode why)
{
    agent_request_t *r;

    (void) data;
    (void) c;
    (void) why;

    r = *ctx;
    if (r == NULL) {
        return;
    }

    *ctx = NULL;
    LIST_REMOVE(r, link);
    http_end_service(r);

    if (r->response != NULL) {
        MHD_destroy_response(r->response);
    }

    /* the library frees the answer when the request is over */
    (void) agent_memory_count(AGENT_MEMORY_OUTPUT, &r->held, 0);
    http_forget(r);
    free(r);
}


static enum MHD_Result
http_accept(void *data, const struct sockaddr *sa, socklen_t len)
{
    const struct sockaddr_in *sin;

    (void) data;

    if (len < sizeof(*sin) || sa->sa_family != AF_INET) {
        return MHD_NO;
    }

    sin = (const struct sockaddr_in *) (const void *) sa;

    return sin->sin_addr.s_addr == http.peer.s_addr ? MHD_YES : MHD_NO;
}


/* Keeps the list of connections, which the library does not show. */
static void
http_connection(void *data, struct MHD_Connection *c, void **ctx,
                enum MHD_ConnectionNotificationCode code)
{
    http_client_t *client;
    const union MHD_ConnectionInfo *info;

    (void) data;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        client = *ctx;

        if (client != NULL) {
            LIST_REMOVE(client, link);
            free(client);
        }

        return;
    }

    info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    client = info != NULL ? malloc(sizeof(*client)) : NULL;

    if (client != NULL) {
        client->fd = info->connect_fd;
        LIST_INSERT_HEAD(&http.clients, client, link);
    }

    *ctx = client;
}


/* Drops the library's messages, which are about mistakes of clients. */
static void
http_silence(void *data, const char *fmt, va_list args)
{
    (void) data;
    (void) fmt;
    (void) args;
}


static int64_t
http_turn(void *data)
{
    MHD_UNSIGNED_LONG_LONG timeout;

    (void) data;

    MHD_run(http.daemon);

    if (MHD_get_timeout(http.daemon, &timeout) != MHD_YES) {
        return -1;
    }

    return timeout > 60000 ? 60000 : (int64_t) timeout;
}


/* Does nothing: http_turn(), which follows every event, does the work. */
static void
http_event(void *data, uint32_t events)
{
    (void) data;
    (void) events;
}


static int
http_listen(const agent_http_conf_t *conf)
{
    int fd, on, err;
    struct sockaddr_in sin;

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(conf->port);
    sin.sin_addr = conf->address;

    on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1
        || bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, HTTP_BACKLOG) == -1)
    {
        err = errno;
        close(fd);
        errno = err;
        return -1;
    }

    return fd;
}


/* 0, or -1 with errno set; fd is taken over. */
static int
http_daemon(int fd)
{
    int err;
    const union MHD_DaemonInfo *info;

    errno = 0; /* the library may fail without setting it */
    http.daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE
            | MHD_USE_ERROR_LOG,
        0, http_accept, NULL, http_access, NULL, MHD_OPTION_EXTERNAL_LOGGER,
        http_silence, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned) HTTP_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) HTTP_CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) HTTP_IDLE_S,
        MHD_OPTION_NOTIFY_COMPLETED, http_completed, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, http_connection, NULL, MHD_OPTION_END);

    if (http.daemon == NULL) {
        err = errno ? errno : ENOMEM;
        close(fd);
        errno = err;
        return -1;
    }

    info = MHD_get_daemon_info(http.daemon, MHD_DAEMON_INFO_EPOLL_FD);

    http.watch.handler = http_event;
    if (info == NULL
        || agent_loop_watch(&http.watch, info->epoll_fd, EPOLLIN) == -1)
    {
        err = errno ? errno : ENOMEM;
        agent_http_stop();
        errno = err;
        return -1;
    }

    agent_loop_hook(http_turn, NULL);

    return 0;
}


int
agent_http_start(const agent_http_conf_t *conf)
{
    int fd;

    agent_http_stop();

    http.peer = conf->peer;
    http.routes = conf->routes;
    http.nroutes = conf->nroutes;
    snprintf(http.token, sizeof(http.token), "%s", conf->token);

    fd = http_listen(conf);
    if (fd == -1) {
        return -1;
    }

    return http_daemon(fd);
}


/* Ends the serving; what the library holds is left. */
static void
http_detach(void)
{
    int fd;
    agent_request_t *r;

    agent_loop_unwatch(&http.watch);
    agent_loop_hook(NULL, NULL);

    /* The library cannot stop while connections are suspended. */
    for (r = LIST_FIRST(&http.requests); r != NULL; r = LIST_NEXT(r, link)) {
        if (r->suspended) {
            http_hangup(r, 0);
        }
    }

    /*
     * A child between fork and exec has a copy of the listening socket:
     * closing ours would not free the port, and the next start would fail.
     */
    fd = MHD_quiesce_daemon(http.daemon);
    if (fd != MHD_INVALID_SOCKET) {
        shutdown(fd, SHUT_RDWR);
        close(fd);
    }

    explicit_bzero(http.token, sizeof(http.token));
}


void
agent_http_stop(void)
{
    if (http.daemon == NULL) {
        return;
    }

    http_detach();
    MHD_stop_daemon(http.daemon);
    http.daemon = NULL;
}


static void
http_bury(void *data)
{
    (void) data;

    agent_loop_timer_stop(&http.burial);

    if (http.retired != NULL) {
        MHD_stop_daemon(http.retired);
        http.retired = NULL;
    }
}


/* Ends all requests, whose connections stand still until they are freed. */
static void
http_abort(void)
{
    agent_request_t *r;

    for (r = LIST_FIRST(&http.requests); r != NULL; r = LIST_NEXT(r, link)) {
        http_end_service(r);
        http_forget(r);
    }
}


/* Has connections end without a packet, where the kernel can do that. */
static void
http_drop(void)
{
    int on;
    http_client_t *client;
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };

    on = 1;

    LIST_FOREACH(client, &http.clients, link)
    {
        /* A socket under repair sends nothing at its end. */
        if (setsockopt(client->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on))
            == 0) {
            (void) connect(client->fd, &nobody, sizeof(nobody));
        }
    }
}


void
agent_http_retire(void)
{
    if (http.daemon == NULL) {
        return;
    }

    http_bury(NULL);
    http_detach();
    http_abort();
    http_drop();

    http.retired = http.daemon;
    http.daemon = NULL;
    http.burial.handler = http_bury;
    agent_loop_timer(&http.burial, HTTP_RETIRED_MS);
}
