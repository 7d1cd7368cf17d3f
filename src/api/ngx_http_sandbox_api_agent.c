/*
 * Routes that the agent in the guest answers: finds the guest, wakes it if it
 * is paused and resumes by itself, and lets proxy_pass carry the request there
 * unchanged but for its credentials and the spelling of its path.
 *
 * A JSON body has been read by now, so such a request can be sent again.  Other
 * bodies are not read before the request goes on: while the guest is looked for
 * or woken, they wait in the kernel and at the client.  When the guest ends
 * before it has answered, or is silent, the request comes back here (live.h).
 * An exec has a time limit of its own, and is answered soon after it, whatever
 * runs in the guest in place of the agent.  As many requests may be at an
 * agent, or wait for one, as visitors at a sandbox's ports.  A request that
 * lasts is ended when its API key is revoked (auth.h).
 *
 * A record may be older than an event that this worker has handled, because the
 * two come on different connections: a request that went by such a record would
 * not hear of the end of its guest.  So the record is read again, as routes are
 * (flights.c), if anything about the sandbox has changed since the read began.
 */

#include "ngx_http_sandbox_auth.h"
#include "ngx_http_sandbox_headers.h"
#include "ngx_http_sandbox_limits.h"
#include "ngx_http_sandbox_live.h"
#include "ngx_http_sandbox_object.h"
#include "ngx_http_sandbox_record.h"
#include "ngx_http_sandbox_resources.h"
#include "ngx_http_sandbox_route.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_traffic.h"
#include "ngx_http_sandbox_wake.h"
#include "ngx_http_sandbox_watch_client.h"
#include "sandbox_agent.h"
#include "sandbox_crash.h"
#include "sandbox_json.h"

/* The agent's own bounds of "timeout_secs". */
#define NGX_HTTP_SANDBOX_EXEC_SECONDS 30
#define NGX_HTTP_SANDBOX_EXEC_SECONDS_MAX 86400

/* The time that an agent has to kill a command and to answer so. */
#define NGX_HTTP_SANDBOX_EXEC_GRACE_MS 10000

#define NGX_HTTP_SANDBOX_AGENT_READS 4

/* In the pool of its request. */
typedef struct {
    ngx_http_request_t *request;
    ngx_http_sandbox_record_get_t get;
    ngx_uint_t epoch; /* of the id whose record is read */
    ngx_uint_t reads;
    ngx_http_sandbox_waker_t waker;
    ngx_http_sandbox_live_t live;
    ngx_http_sandbox_auth_hold_t hold;
    ngx_http_sandbox_count_t *count; /* at a guest or waiting, or NULL */
    unsigned revoked : 1;            /* the client's key, while it waited */
} ngx_http_sandbox_call_t;


static void ngx_http_sandbox_agent_find(ngx_http_sandbox_call_t *call);
static void ngx_http_sandbox_agent_read(ngx_http_sandbox_call_t *call);


/*
 * The client's API key must not reach the guest: every Authorization header
 * is given the agent's token instead.
 */
static ngx_int_t
ngx_http_sandbox_agent_credentials(ngx_http_request_t *r, const char *token)
{
    ngx_str_t bearer;
    ngx_table_elt_t *h;
    ngx_http_sandbox_headers_t it;

    bearer.len = sizeof("Bearer ") - 1 + ngx_strlen(token);
    bearer.data = ngx_pnalloc(r->pool, bearer.len + 1);
    if (bearer.data == NULL) {
        return NGX_ERROR;
    }

    ngx_snprintf(bearer.data, bearer.len + 1, "Bearer %s%Z", token);

    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_next_header(r, &it, "authorization"))) {
        h->value = bearer;
    }

    return NGX_OK;
}


/* Our request id, in place of whatever the client sent under that name. */
static ngx_int_t
ngx_http_sandbox_agent_request_id(ngx_http_request_t *r,
                                  ngx_http_sandbox_ctx_t *ctx)
{
    ngx_table_elt_t *h;
    ngx_uint_t found;
    ngx_http_sandbox_headers_t it;

    found = 0;
    ngx_memzero(&it, sizeof(it));

    while ((h = ngx_http_sandbox_next_header(r, &it, "x-request-id"))) {
        h->value = ctx->request_id;
        found = 1;
    }

    if (found) {
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&h->key, "X-Request-Id");
    h->value = ctx->request_id;
    h->lowcase_key = (u_char *) "x-request-id";
    h->hash = ngx_hash_key(h->lowcase_key, h->key.len);

    return NGX_OK;
}


/* The wake has ended: the sandbox runs, or error says why not. */
static void
ngx_http_sandbox_agent_woken(void *data, const ngx_http_sandbox_error_t *error,
                             const char *message, const char *node)
{
    ngx_http_sandbox_call_t *call = data;

    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = call->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);
    r->read_event_handler = ngx_http_block_reading;

    if (error && node[0]) {
        ngx_http_sandbox_api_elsewhere(r, message, node);

    } else if (error) {
        ngx_http_sandbox_api_fail(r, error, message);

    } else {
        ngx_http_sandbox_agent_find(call);
    }

    ngx_http_run_posted_requests(c);
}


/* Counts the call at the sandbox; NGX_BUSY when r was refused. */
static ngx_int_t
ngx_http_sandbox_agent_enter(ngx_http_sandbox_call_t *call, const char *id)
{
    ngx_int_t rc;

    rc = ngx_http_sandbox_limits_enter(&call->count, NGX_HTTP_SANDBOX_TO_AGENT,
                                       id);

    if (rc != NGX_OK) {
        ngx_http_sandbox_api_fail(call->request,
                                  &ngx_http_sandbox_rate_limit_exceeded,
                                  "Too many requests are at the sandbox's "
                                  "agent at the moment.");
    }

    return rc;
}


static void
ngx_http_sandbox_agent_wake(ngx_http_sandbox_call_t *call, const char *id)
{
    ngx_http_request_t *r;

    if (ngx_http_sandbox_agent_enter(call, id) != NGX_OK) {
        return;
    }

    r = call->request;
    call->waker.handler = ngx_http_sandbox_agent_woken;
    call->waker.data = call;

    switch (ngx_http_sandbox_wake(&call->waker, id, ngx_http_sandbox_ctx(r))) {
    case NGX_OK:
        if (ngx_http_sandbox_watch_client(r) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;

    case NGX_DECLINED:
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_sandbox_changing,
                                  ngx_http_sandbox_wake_late);
        return;

    default:
        ngx_http_sandbox_api_no_store(r);
    }
}


/* NGX_OK if there is a guest to go to; else r waits, or was answered. */
static ngx_int_t
ngx_http_sandbox_agent_state(ngx_http_sandbox_call_t *call,
                             ngx_http_sandbox_record_t *record)
{
    const ngx_http_sandbox_error_t *error;

    switch (record->state) {
    case NGX_HTTP_SANDBOX_RUNNING:
        if (record->elsewhere == NULL) {
            return NGX_OK;
        }

        /* on this node, another guest may have its address */
        ngx_http_sandbox_api_elsewhere(call->request,
                                       "The sandbox runs on another node.",
                                       record->elsewhere);
        return NGX_DONE;

    case NGX_HTTP_SANDBOX_PAUSED:
    case NGX_HTTP_SANDBOX_HIBERNATING:
    case NGX_HTTP_SANDBOX_RESUMING:
        if (record->auto_resume) {
            ngx_http_sandbox_agent_wake(call, record->id);
            return NGX_AGAIN;
        }

        error = record->state == NGX_HTTP_SANDBOX_PAUSED
                    ? &ngx_http_sandbox_sandbox_paused_auto_resume_disabled
                    : &ngx_http_sandbox_transition_in_progress;
        break;

    case NGX_HTTP_SANDBOX_CREATING:
        error = &ngx_http_sandbox_sandbox_not_ready;
        break;

    default:
        error = &ngx_http_sandbox_transition_conflict;
    }

    ngx_http_sandbox_api_fail_state(
        call->request, error,
        record->state == NGX_HTTP_SANDBOX_PAUSED
            ? "The sandbox is paused and does not resume by itself."
            : ngx_http_sandbox_refusal(record->state,
                                       "The sandbox is not running."),
        ngx_http_sandbox_state_name(record->state));

    return NGX_DONE;
}


static void
ngx_http_sandbox_agent_unauthorized(ngx_http_request_t *r)
{
    ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_unauthorized,
                              "The API key was revoked.");
}


/* The guest ended before it answered, is late or silent; or the key is gone. */
static void
ngx_http_sandbox_agent_back(ngx_http_request_t *r, void *data, ngx_uint_t spent)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_call_t *call;

    call = data;
    ngx_http_sandbox_limits_leave(&call->count);
    call->waker.wait_until_ms = 0; /* the waits led to a guest */
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    ctx->passed = 0;

    if (call->live.end == NGX_HTTP_SANDBOX_LIVE_LATE) {
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_timeout,
                                  "The sandbox did not answer in time; the "
                                  "command may go on.");
        return;
    }

    if (call->live.end == NGX_HTTP_SANDBOX_LIVE_REVOKED) {
        ngx_http_sandbox_agent_unauthorized(r);
        return;
    }

    if (call->live.end == NGX_HTTP_SANDBOX_LIVE_SILENT) {
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_sandbox_unreachable,
                                  ngx_http_sandbox_live_silence);
        return;
    }

    if (spent) {
        ngx_http_sandbox_api_fail(r, &ngx_http_sandbox_transition_in_progress,
                                  "The sandbox was paused or destroyed before "
                                  "it had answered.");
        return;
    }

    ngx_http_sandbox_agent_find(call);
}


/* The sandbox changed after its record was read. */
static void
ngx_http_sandbox_agent_again(ngx_http_sandbox_call_t *call)
{
    if (call->reads < NGX_HTTP_SANDBOX_AGENT_READS) {
        ngx_http_sandbox_agent_read(call);
        return;
    }

    ngx_http_sandbox_api_fail(call->request,
                              &ngx_http_sandbox_transition_in_progress,
                              "The sandbox is changing; try again.");
}


static void
ngx_http_sandbox_agent_pass(ngx_http_sandbox_call_t *call, ngx_int_t rc,
                            ngx_http_sandbox_record_t *record)
{
    ngx_http_request_t *r;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_http_sandbox_route_t route;

    r = call->request;
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (call->revoked) {
        ngx_http_sandbox_agent_unauthorized(r);
        return;
    }

    if (rc == NGX_ERROR) {
        ngx_http_sandbox_api_no_store(r);
        return;
    }

    if (rc == NGX_DECLINED
        || ngx_strcmp(record->tenant, (char *) ctx->tenant.data) != 0)
    {
        ngx_http_sandbox_api_no_sandbox(r);
        return;
    }

    if (ngx_http_sandbox_agent_state(call, record) != NGX_OK) {
        return;
    }

    if (call->epoch
        != ngx_http_sandbox_routes_epoch(ngx_http_sandbox_worker.conf,
                                         record->id))
    {
        ngx_http_sandbox_agent_again(call);
        return;
    }

    if (ngx_http_sandbox_agent_enter(call, record->id) != NGX_OK) {
        return;
    }

    ngx_http_sandbox_record_to_route(&route, record);

    if (ngx_http_sandbox_agent_credentials(r, record->agent_token) != NGX_OK
        || ngx_http_sandbox_agent_request_id(r, ctx) != NGX_OK
        || ngx_http_sandbox_peer_set(r, &route, SANDBOX_AGENT_PORT) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    /* the agent gets the path that was routed, not the client's spelling */
    r->valid_unparsed_uri = 0;

    call->live.back = ngx_http_sandbox_agent_back;
    call->live.data = call;
    ngx_http_sandbox_live_enter(&call->live, r, route.id);

    ngx_http_sandbox_api_pass(r);
}


static void
ngx_http_sandbox_agent_found(void *data, ngx_int_t rc,
                             ngx_http_sandbox_record_t *record)
{
    ngx_http_sandbox_call_t *call = data;

    ngx_connection_t *c;

    SANDBOX_CRASH_POINT("agent.read.after");

    c = call->request->connection;
    ngx_http_sandbox_agent_pass(call, rc, record);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_sandbox_agent_cleanup(void *data)
{
    ngx_http_sandbox_call_t *call = data;

    if (ngx_http_sandbox_worker.redis) {
        ngx_http_sandbox_redis_forget(ngx_http_sandbox_worker.redis,
                                      &call->get);
    }

    ngx_http_sandbox_auth_release(&call->hold);
    ngx_http_sandbox_wake_leave(&call->waker);
    ngx_http_sandbox_live_leave(&call->live);
    ngx_http_sandbox_limits_leave(&call->count);
}


/* The client's key is no good any more: a call that waits ends after that. */
static void
ngx_http_sandbox_agent_revoked(void *data)
{
    ngx_http_sandbox_call_t *call = data;

    call->revoked = 1;
    ngx_http_sandbox_live_revoke(&call->live);
}


static void
ngx_http_sandbox_agent_reading(void *data, const char *id)
{
    ngx_http_sandbox_call_t *call = data;

    call->epoch =
        ngx_http_sandbox_routes_epoch(ngx_http_sandbox_worker.conf, id);
}


/* Reads the record that the client's id leads to now. */
static void
ngx_http_sandbox_agent_find(ngx_http_sandbox_call_t *call)
{
    call->reads = 0;
    ngx_http_sandbox_agent_read(call);
}


static void
ngx_http_sandbox_agent_read(ngx_http_sandbox_call_t *call)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(call->request, ngx_http_sandbox_module);

    call->reads++;
    call->get.handler = ngx_http_sandbox_agent_found;
    call->get.reading = ngx_http_sandbox_agent_reading;
    call->get.data = call;
    call->get.hops = 0;

    if (sandbox_id_parse(call->get.id, "sb", (char *) ctx->sandbox.data,
                         ctx->sandbox.len)
        != 0)
    {
        ngx_http_sandbox_agent_pass(call, NGX_DECLINED, NULL);
        return;
    }

    if (ngx_http_sandbox_record_get(&call->get) != NGX_OK) {
        ngx_http_sandbox_agent_pass(call, NGX_ERROR, NULL);
    }
}


/* NULL when r has been answered.  websocket: r may become one. */
static ngx_http_sandbox_call_t *
ngx_http_sandbox_agent_call(ngx_http_request_t *r, ngx_uint_t websocket)
{
    ngx_http_cleanup_t *cln;
    ngx_http_sandbox_call_t *call;

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_sandbox_call_t));
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NULL;
    }

    call = cln->data;
    ngx_memzero(call, sizeof(ngx_http_sandbox_call_t));
    call->request = r;
    call->hold.handler = ngx_http_sandbox_agent_revoked;
    call->hold.data = call;
    cln->handler = ngx_http_sandbox_agent_cleanup;

    if (ngx_http_sandbox_auth_hold(&call->hold, ngx_http_sandbox_ctx(r))
        != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NULL;
    }

    ngx_http_sandbox_traffic_take_upgrade(r, websocket);

    return call;
}


static void
ngx_http_sandbox_agent_start(ngx_http_request_t *r, ngx_uint_t websocket)
{
    sandbox_query_error_t err;
    sandbox_query_status_t rc;
    ngx_http_sandbox_call_t *call;

    /* the agent's library takes a malformed escape for what it spells */
    rc = sandbox_query_escapes((char *) r->args.data, r->args.len, &err);

    if (rc != SANDBOX_QUERY_OK) {
        ngx_http_sandbox_api_fail_query(r, rc, &err);
        return;
    }

    call = ngx_http_sandbox_agent_call(r, websocket);

    if (call) {
        ngx_http_sandbox_agent_find(call);
    }
}


void
ngx_http_sandbox_api_agent(ngx_http_request_t *r)
{
    ngx_http_sandbox_agent_start(r, 0);
}


void
ngx_http_sandbox_api_websocket(ngx_http_request_t *r)
{
    ngx_http_sandbox_agent_start(r, 1);
}


/*
 * For how long the command of a body may run, in seconds.  An invalid body has
 * the default: the agent refuses it.
 */
static int64_t
ngx_http_sandbox_agent_seconds(const ngx_str_t *body)
{
    int64_t seconds;
    sandbox_json_t doc;
    sandbox_json_error_t err;
    const sandbox_json_node_t *root, *background, *timeout;

    if (sandbox_json_parse(&doc, (char *) body->data, body->len, &err) != 0) {
        return NGX_HTTP_SANDBOX_EXEC_SECONDS;
    }

    root = &doc.nodes[0];
    background = sandbox_json_member(&doc, root, "background");
    timeout = sandbox_json_member(&doc, root, "timeout_secs");

    /* a command in the background is answered at once */
    if ((background && background->type == SANDBOX_JSON_TRUE) || timeout == NULL
        || sandbox_json_integer(&doc, timeout, &seconds) != 0 || seconds < 1
        || seconds > NGX_HTTP_SANDBOX_EXEC_SECONDS_MAX)
    {
        seconds = NGX_HTTP_SANDBOX_EXEC_SECONDS;
    }

    sandbox_json_free(&doc);

    return seconds;
}


void
ngx_http_sandbox_api_exec(ngx_http_request_t *r)
{
    int64_t seconds;
    ngx_str_t body;
    ngx_http_sandbox_call_t *call;

    if (ngx_http_sandbox_api_body(r, &body) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    call = ngx_http_sandbox_agent_call(r, 0);

    if (call) {
        seconds = ngx_http_sandbox_agent_seconds(&body);
        call->live.patience =
            (ngx_msec_t) seconds * 1000 + NGX_HTTP_SANDBOX_EXEC_GRACE_MS;
        ngx_http_sandbox_agent_find(call);
    }
}
