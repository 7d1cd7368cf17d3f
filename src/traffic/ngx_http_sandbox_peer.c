/*
 * "sandbox_peer": the balancer of an upstream {} whose requests bring their
 * own address in ctx->peer.  Serves public traffic and the API's requests to
 * guest agents alike; knows neither hosts nor routes.
 *
 * Addresses are used again by later sandboxes, so a connection that stock
 * "keepalive" holds must never outlive its guest.  That module compares all
 * bytes of the socket address, and the kernel ignores the eight bytes of
 * sin_zero: the execution number there keys its connections by execution.
 *
 * There is one peer, hence one try; "keepalive" grants another try when a
 * connection it had kept turns out to be closed.
 */

#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_errors.h"
#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_live.h"
#include "ngx_http_sandbox_traffic.h"

#include "ngx_http_sandbox_route.h"
#include "sandbox_connect.h"
#include "sandbox_suspects.h"


_Static_assert(sizeof(((struct sockaddr_in *) 0)->sin_zero) == sizeof(uint64_t),
               "an execution fits into the rest of an address");


static ngx_int_t
ngx_http_sandbox_peer_init_upstream(ngx_conf_t *cf,
                                    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_sandbox_peer_init(ngx_http_request_t *r,
                                            ngx_http_upstream_srv_conf_t *us);
static ngx_int_t
ngx_http_sandbox_peer_get(ngx_peer_connection_t *pc, void *data);
static void ngx_http_sandbox_peer_free(ngx_peer_connection_t *pc, void *data,
                                       ngx_uint_t state);


char *
ngx_http_sandbox_peer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upstream_server_t *server;
    ngx_http_upstream_srv_conf_t *us;

    us = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (us->peer.init_upstream == ngx_http_sandbox_peer_init_upstream) {
        return "is duplicate";
    }

    if (us->peer.init_upstream) {
        return "must stand before \"keepalive\" and excludes other balancers";
    }

    /*
     * nginx wants a server.  This one has no address: a balancer that takes
     * the upstream over from us later finds no servers and fails nginx -t.
     */

    server = ngx_array_push(us->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_http_upstream_server_t));
    ngx_str_set(&server->name, "sandbox");

    us->peer.init_upstream = ngx_http_sandbox_peer_init_upstream;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_sandbox_peer_init_upstream(ngx_conf_t *cf,
                                    ngx_http_upstream_srv_conf_t *us)
{
    const char *useless;

    useless = us->servers->nelts > 1 ? "server" : NULL;

#if (NGX_HTTP_UPSTREAM_ZONE)
    /* "zone" would copy a list of peers that is not there */
    useless = us->shm_zone ? "zone" : useless;
#endif

    if (useless) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s\" and \"sandbox_peer\" exclude each other in "
                      "upstream \"%V\" in %s:%ui",
                      useless, &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_sandbox_peer_init;

    return NGX_OK;
}


#if (NGX_HTTP_SSL)

/* No TLS session of one guest is ever offered to another. */
static ngx_int_t
ngx_http_sandbox_peer_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


static void
ngx_http_sandbox_peer_save_session(ngx_peer_connection_t *pc, void *data)
{
}

#endif


/* Notes an error that replaces the one nginx will raise. */
static void
ngx_http_sandbox_peer_changing(ngx_http_request_t *r)
{
    (void) ngx_http_sandbox_error(r, &ngx_http_sandbox_sandbox_changing,
                                  "The sandbox is being hibernated; try "
                                  "again.");
}


static ngx_int_t
ngx_http_sandbox_peer_init(ngx_http_request_t *r,
                           ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx == NULL || ctx->peer.sin_family != AF_INET) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "no sandbox was chosen for upstream \"%V\": is "
                      "\"sandbox_traffic\" off in this location?",
                      &us->host);
        return NGX_ERROR;
    }

    if (ctx->live->over) {
        /* the guest ended while another module kept the request waiting */
        ngx_http_sandbox_peer_changing(r);
        return NGX_ERROR;
    }

    r->upstream->peer.data = ctx;
    r->upstream->peer.get = ngx_http_sandbox_peer_get;
    r->upstream->peer.free = ngx_http_sandbox_peer_free;
    r->upstream->peer.tries = 1;

#if (NGX_HTTP_SSL)
    r->upstream->peer.set_session = ngx_http_sandbox_peer_set_session;
    r->upstream->peer.save_session = ngx_http_sandbox_peer_save_session;
#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_sandbox_ctx_t *ctx = data;

    pc->sockaddr = (struct sockaddr *) &ctx->peer;
    pc->socklen = sizeof(struct sockaddr_in);
    pc->name = ctx->peer_name;

    /* these are left over when a kept connection failed */
    pc->cached = 0;
    pc->connection = NULL;

    return NGX_OK;
}


/* Has the node of this worker look if the machine of id is still there. */
static void
ngx_http_sandbox_peer_suspect(const char *id)
{
    static sandbox_suspects_t suspects;

    if (sandbox_suspects_new(&suspects, id, (int64_t) ngx_current_msec)) {
        ngx_http_sandbox_events_publish(id, "suspect",
                                        &ngx_http_sandbox_worker.conf->node);
    }
}


/*
 * Notes the error of a connect that failed: refused, or not answered.  nginx
 * has read SO_ERROR by now.  Where connect() failed at once the socket is gone:
 * the kernel fails so for lack of a route or memory, never for a refusal.
 */
static void
ngx_http_sandbox_peer_note(ngx_peer_connection_t *pc,
                           ngx_http_sandbox_live_t *live)
{
    ngx_uint_t changing;
    sandbox_connect_e result;

    changing = live->changing;
    result = pc->connection ? sandbox_connect_result(pc->connection->fd)
                            : SANDBOX_CONNECT_FAILED;

    switch (result) {
    case SANDBOX_CONNECT_REFUSED:
        (void) ngx_http_sandbox_error(
            live->request, &ngx_http_sandbox_port_not_open,
            "Nothing listens on this port of the sandbox.");
        break;

    case SANDBOX_CONNECT_FAILED:
        if (changing) {
            ngx_http_sandbox_peer_changing(live->request);
            break;
        }

        ngx_http_sandbox_peer_suspect(live->id);
        (void) ngx_http_sandbox_error(live->request,
                                      &ngx_http_sandbox_sandbox_unreachable,
                                      "The sandbox cannot be reached.");
        break;

    case SANDBOX_CONNECT_DONE:
        if (changing) {
            ngx_http_sandbox_peer_changing(live->request);
        }

        break;
    }
}


static void
ngx_http_sandbox_peer_free(ngx_peer_connection_t *pc, void *data,
                           ngx_uint_t state)
{
    ngx_http_sandbox_ctx_t *ctx = data;

    if ((state & NGX_PEER_FAILED) && !pc->cached) {
        ngx_http_sandbox_peer_note(pc, ctx->live);
    }

    if (pc->tries) {
        pc->tries--;
    }
}


ngx_int_t
ngx_http_sandbox_peer_set(ngx_http_request_t *r,
                          const ngx_http_sandbox_route_t *route,
                          ngx_uint_t port)
{
    size_t len;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_peer_name_t *peer;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    /* $upstream_addr names what was tried before, too */
    peer = ctx->peer_name
               ? ngx_palloc(r->pool, sizeof(ngx_http_sandbox_peer_name_t))
               : &ctx->first_peer;
    if (peer == NULL) {
        return NGX_ERROR;
    }

    ctx->peer.sin_family = AF_INET;
    ctx->peer.sin_addr.s_addr = route->address;
    ctx->peer.sin_port = htons((in_port_t) port);
    ngx_memcpy(ctx->peer.sin_zero, &route->execution, sizeof(uint64_t));

    /* for log lines and $upstream_addr */
    len = route->text_len;
    ngx_memcpy(peer->text, route->text, sizeof(route->text));
    peer->text[len++] = ':';
    peer->name.len = len + sandbox_net_port(peer->text + len, (uint16_t) port);
    peer->name.data = (u_char *) peer->text;
    ctx->peer_name = &peer->name;

    return NGX_OK;
}
