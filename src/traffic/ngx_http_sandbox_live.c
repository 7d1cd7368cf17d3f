/*
 * The requests at guests; see the header.
 *
 * A request enters when its guest is chosen and leaves when the request ends,
 * so there is no moment in which a guest could end unnoticed.  What is done
 * with the request then depends on how far it has got:
 *
 *   body being read, nothing sent   looks for the sandbox again once it is read
 *   no answer yet                   taken back from the upstream, as nginx'
 *                                   own ngx_http_upstream_create() does, and
 *                                   let look for the sandbox again
 *   answer begun                    both connections are closed; a client of a
 *                                   WebSocket is told (1001, going away)
 *   answer complete                 nothing, also if the client is slow to
 *                                   take the rest of it
 *
 * A request that is too old, whose client's key was revoked, or whose guest is
 * silent, is ended likewise, but does not look for the sandbox again.  Silence
 * is that of the guest's kernel, which acknowledges what it gets whatever its
 * programs do: a stream may be quiet, and a window full, for any time.  A guest
 * of which a snapshot is being taken may stand still, though; the sandbox's
 * record says so, and is read before a request is ended because its guest is
 * silent or late.  So it is after the event "network", by which public traffic
 * may have become private.
 *
 * The event "hibernating" concerns only requests that are not yet connected: a
 * guest that is being copied answers no SYN.  The other requests may be
 * answered until the guest stands still, and are taken back when it is gone.
 */

#include "ngx_http_sandbox_live.h"

#include "ngx_http_sandbox_clock.h"
#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_metrics.h"

#include "ngx_http_sandbox_route.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_timer.h"
#include "sandbox_connect.h"


#define NGX_HTTP_SANDBOX_LIVE_SLOTS 1024 /* a power of two */
#define NGX_HTTP_SANDBOX_LIVE_SHIFT 54

/* Requests that nginx itself does not repeat either. */
#define NGX_HTTP_SANDBOX_LIVE_ONCE                                             \
    (NGX_HTTP_POST | NGX_HTTP_LOCK | NGX_HTTP_PATCH)

/* A failed read of a record is repeated after so long. */
#define NGX_HTTP_SANDBOX_LIVE_AGAIN_MS 1000

/* The bounds of the interval between two sweeps. */
#define NGX_HTTP_SANDBOX_LIVE_SWEEP_MIN_MS 500
#define NGX_HTTP_SANDBOX_LIVE_SWEEP_MAX_MS 5000

/* A guest that has acknowledged nothing for so long is not there. */
#define NGX_HTTP_SANDBOX_LIVE_SILENCE_MS 30000


static void ngx_http_sandbox_live_look(const char *id);
static void ngx_http_sandbox_live_look_again(void);
static void ngx_http_sandbox_live_sweep_later(ngx_event_t *ev);


const char ngx_http_sandbox_live_silence[] =
    "The sandbox does not answer any more.";

static ngx_queue_t ngx_http_sandbox_living[NGX_HTTP_SANDBOX_LIVE_SLOTS];
static ngx_event_t ngx_http_sandbox_live_timer;
static ngx_event_t ngx_http_sandbox_live_sweeper;


/* The end of an id is random. */
static ngx_queue_t *
ngx_http_sandbox_live_slot(const char *id)
{
    uint64_t n;
    ngx_queue_t *slot;

    ngx_memcpy(&n, id + SANDBOX_ID_LEN - sizeof(n), sizeof(n));
    n *= 0x9e3779b97f4a7c15;
    slot = &ngx_http_sandbox_living[n >> NGX_HTTP_SANDBOX_LIVE_SHIFT];

    if (slot->next == NULL) {
        ngx_queue_init(slot);
    }

    return slot;
}


static void
ngx_http_sandbox_live_list(ngx_http_sandbox_live_t *live)
{
    live->listed = 1;
    ngx_queue_insert_head(ngx_http_sandbox_live_slot(live->id), &live->queue);
}


void
ngx_http_sandbox_live_enter(ngx_http_sandbox_live_t *live,
                            ngx_http_request_t *r, const char *id)
{
    ngx_http_sandbox_ctx_t *ctx;

    ngx_http_sandbox_live_leave(live);

    live->request = r;
    live->phase = r->phase_handler;
    live->began = ngx_current_msec;
    live->changing = 0;
    live->over = 0;
    live->watched = 0;
    live->silent = 0;
    live->end = NGX_HTTP_SANDBOX_LIVE_ENDED;
    ngx_memcpy(live->id, id, sizeof(live->id));
    ngx_http_sandbox_live_list(live);

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    ctx->live = live;
}


void
ngx_http_sandbox_live_leave(ngx_http_sandbox_live_t *live)
{
    if (live->listed) {
        ngx_queue_remove(&live->queue);
        live->listed = 0;
    }
}


static void
ngx_http_sandbox_live_back(ngx_http_sandbox_live_t *live, ngx_uint_t spent)
{
    ngx_http_request_t *r;

    r = live->request;
    r->phase_handler = live->phase;

    /* the handlers of the upstream would finalize r once more */
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    live->back(r, live->data, spent);
}


/* In place of ngx_http_upstream_init: r has its body, and no guest any more. */
static void
ngx_http_sandbox_live_body_read(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    ngx_http_sandbox_live_back(ctx->live, 0);
}


/* Ends the upstream of r; r stays as it was before, less one count. */
static void
ngx_http_sandbox_live_end_upstream(ngx_http_request_t *r)
{
    ngx_http_cleanup_pt handler;

    handler = *r->upstream->cleanup;
    handler(r);
}


/*
 * Sends "going away", or "policy violation" for a revoked key, if no frame to
 * the client seems to be under way.
 */
static void
ngx_http_sandbox_live_say_goodbye(ngx_http_request_t *r,
                                  ngx_http_sandbox_live_end_e end)
{
    static u_char away[] = { 0x88, 2, 0x03, 0xe9 };
    static u_char policy[] = { 0x88, 2, 0x03, 0xf0 };

    ngx_connection_t *c;
    ngx_http_upstream_t *u;

    c = r->connection;
    u = r->upstream;

    /* no other upgrade passes: take_upgrade() */
    if (u->upgrade && r->out == NULL && u->buffer.pos == u->buffer.last
        && c->write->ready && !c->error)
    {
        (void) c->send(c, end == NGX_HTTP_SANDBOX_LIVE_REVOKED ? policy : away,
                       sizeof(away));
    }
}


static void
ngx_http_sandbox_live_cut(ngx_http_request_t *r,
                          ngx_http_sandbox_live_end_e end)
{
    static const char *reasons[] = {
        "the sandbox has ended while it was talked to",
        "the sandbox was talked to for too long",
        "the sandbox was late with its answer",
        "the sandbox has gone silent while it was talked to",
        "the sandbox may not be talked to without its token any more",
        "the API key was revoked while the sandbox was talked to",
    };

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "%s", reasons[end]);

    ngx_http_sandbox_live_say_goodbye(r, end);

    r->keepalive = 0;
    r->lingering_close = 1;
    ngx_http_sandbox_live_end_upstream(r);
}


/* A thread works for r: lists it again, and has the records read again soon. */
static void
ngx_http_sandbox_live_again(ngx_http_sandbox_live_t *live)
{
    ngx_http_sandbox_live_list(live);
    ngx_http_sandbox_live_look_again();
}


/*
 * 1 if the guest has given all of its answer, of which the client has yet to
 * take what u->buffer holds.  A buffered answer has left its upstream by then.
 */
static ngx_uint_t
ngx_http_sandbox_live_complete(ngx_http_upstream_t *u)
{
    return !u->upgrade && !u->buffering
           && (u->length == 0
               || (u->length == -1 && u->peer.connection->read->eof));
}


/* Takes a request back from its guest, or cuts it off; live->end says why. */
static void
ngx_http_sandbox_live_close(ngx_http_sandbox_live_t *live)
{
    ngx_uint_t spent;
    ngx_connection_t *c;
    ngx_http_request_t *r;
    ngx_http_upstream_t *u;
    ngx_http_sandbox_ctx_t *ctx;

    live->over = 1;
    r = live->request;
    c = r->connection;
    u = r->upstream;
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);

    if (ctx == NULL || ctx->live != live) {
        return; /* redirected: another location answers r */
    }

    if (u == NULL) {
        return; /* peer.c looks at live->over */
    }

    if (r->blocked || r->aio) {
        ngx_http_sandbox_live_again(live);
        return;
    }

    ngx_http_set_log_request(c->log, r);

    if (u->cleanup == NULL) {
        if (!u->header_sent && r->request_body
            && r->request_body->post_handler == ngx_http_upstream_init)
        {
            r->request_body->post_handler = ngx_http_sandbox_live_body_read;
        }

        return;
    }

    if (u->header_sent) {
        if (live->end == NGX_HTTP_SANDBOX_LIVE_AGED
            || live->end == NGX_HTTP_SANDBOX_LIVE_REVOKED
            || !ngx_http_sandbox_live_complete(u))
        {
            ngx_http_sandbox_live_cut(r, live->end);

        } else {
            ngx_http_sandbox_live_list(live); /* its age still counts */
        }

    } else {
        spent =
            r->request_body_no_buffering || r->reading_body
            || (u->request_sent && (r->method & NGX_HTTP_SANDBOX_LIVE_ONCE));

        if (r->reading_body) {
            r->keepalive = 0; /* nothing will read the rest of the body */
        }

        r->main->count++;
        ngx_http_sandbox_live_end_upstream(r);
        ngx_http_sandbox_live_back(live, spent);
    }

    ngx_http_run_posted_requests(c);
}


void
ngx_http_sandbox_live_revoke(ngx_http_sandbox_live_t *live)
{
    if (live->listed) {
        ngx_http_sandbox_live_leave(live);
        live->end = NGX_HTTP_SANDBOX_LIVE_REVOKED;
        ngx_http_sandbox_live_close(live);
    }
}


/* 1 if the begin of a hibernation concerns the request. */
static ngx_uint_t
ngx_http_sandbox_live_unconnected(ngx_http_sandbox_live_t *live)
{
    ngx_http_upstream_t *u;

    u = live->request->upstream;

    return u == NULL || u->cleanup == NULL || !u->request_sent;
}


/* Ends the requests of a list; those that end meanwhile leave it themselves. */
static void
ngx_http_sandbox_live_close_all(ngx_queue_t *meant)
{
    ngx_queue_t *q;
    ngx_http_sandbox_live_t *live;

    while (!ngx_queue_empty(meant)) {
        q = ngx_queue_head(meant);
        live = ngx_queue_data(q, ngx_http_sandbox_live_t, queue);
        ngx_http_sandbox_live_leave(live);
        ngx_http_sandbox_live_close(live);
    }
}


/*
 * Ends the requests at a guest for which ends(live, how) is 1.  The end of one
 * may end others of its connection, so these are first moved to a list of their
 * own.
 */
static void
ngx_http_sandbox_live_end_those(
    const char *id, ngx_uint_t how,
    ngx_uint_t (*ends)(ngx_http_sandbox_live_t *live, ngx_uint_t how))
{
    ngx_queue_t *q, *next, *slot, meant;
    ngx_http_sandbox_live_t *live;

    slot = ngx_http_sandbox_live_slot(id);
    ngx_queue_init(&meant);

    for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot); q = next) {
        next = ngx_queue_next(q);
        live = ngx_queue_data(q, ngx_http_sandbox_live_t, queue);

        if (ngx_strcmp(live->id, id) == 0 && ends(live, how)) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&meant, q);
        }
    }

    ngx_http_sandbox_live_close_all(&meant);
}


static ngx_uint_t
ngx_http_sandbox_live_ends_gone(ngx_http_sandbox_live_t *live,
                                ngx_uint_t hibernating)
{
    if (!hibernating) {
        return 1;
    }

    live->changing = 1;

    return ngx_http_sandbox_live_unconnected(live);
}


static void
ngx_http_sandbox_live_end(const char *id, ngx_uint_t hibernating)
{
    ngx_http_sandbox_live_end_those(id, hibernating,
                                    ngx_http_sandbox_live_ends_gone);
}


static ngx_uint_t
ngx_http_sandbox_live_ends_open(ngx_http_sandbox_live_t *live, ngx_uint_t how)
{
    if (live->open) {
        live->end = NGX_HTTP_SANDBOX_LIVE_FORBIDDEN;
    }

    return live->open;
}


static ngx_uint_t
ngx_http_sandbox_live_is_aged(ngx_http_sandbox_live_t *live)
{
    ngx_msec_t age;

    age = ngx_http_sandbox_worker.conf->max_age;

    return age && live->aging
           && (ngx_msec_int_t) (ngx_current_msec - live->began - age) >= 0;
}


static ngx_uint_t
ngx_http_sandbox_live_is_late(ngx_http_sandbox_live_t *live)
{
    ngx_http_upstream_t *u;

    u = live->request->upstream;

    return live->patience && u && !u->header_sent
           && (ngx_msec_int_t) (ngx_current_msec - live->began - live->patience)
                  >= 0;
}


/* 1 if the guest is silent.  Turns keepalive on at the first look. */
static ngx_uint_t
ngx_http_sandbox_live_is_silent(ngx_http_sandbox_live_t *live)
{
    ngx_fd_t fd;
    ngx_http_upstream_t *u;

    u = live->request->upstream;

    if (u == NULL || !u->request_sent || u->peer.connection == NULL) {
        return 0;
    }

    fd = u->peer.connection->fd;

    if (!live->watched) {
        sandbox_connect_watch(fd);
        live->watched = 1;
    }

    return sandbox_connect_silence(fd) >= NGX_HTTP_SANDBOX_LIVE_SILENCE_MS;
}


/*
 * 1 if a request is to be ended unless its guest stands still.  A guest counts
 * as silent only at the second sweep in a row: it has had no time to
 * acknowledge what has just been sent.
 */
static ngx_uint_t
ngx_http_sandbox_live_is_mute(ngx_http_sandbox_live_t *live)
{
    ngx_uint_t before;

    before = live->silent;
    live->silent = ngx_http_sandbox_live_is_silent(live);

    return (before && live->silent) || ngx_http_sandbox_live_is_late(live);
}


/* Moves a request that is too old to the list of those that end. */
static void
ngx_http_sandbox_live_age(ngx_http_sandbox_live_t *live, ngx_queue_t *meant)
{
    if (live->end != NGX_HTTP_SANDBOX_LIVE_AGED) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LIMITS,
                                    NGX_HTTP_SANDBOX_LIMIT_AGE, 1);
    }

    live->end = NGX_HTTP_SANDBOX_LIVE_AGED;
    ngx_queue_remove(&live->queue);
    ngx_queue_insert_tail(meant, &live->queue);
}


/* Looks for requests that are too old or late, and for silent guests. */
static void
ngx_http_sandbox_live_sweep(ngx_event_t *ev)
{
    char last[SANDBOX_ID_SIZE];
    ngx_uint_t i;
    ngx_queue_t *q, *next, *slot, meant;
    ngx_http_sandbox_live_t *live;

    ngx_queue_init(&meant);
    last[0] = '\0';

    for (i = 0; i < NGX_HTTP_SANDBOX_LIVE_SLOTS; i++) {
        slot = &ngx_http_sandbox_living[i];

        if (slot->next == NULL) {
            continue;
        }

        for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot); q = next)
        {
            next = ngx_queue_next(q);
            live = ngx_queue_data(q, ngx_http_sandbox_live_t, queue);

            if (ngx_http_sandbox_live_is_aged(live)) {
                ngx_http_sandbox_live_age(live, &meant);

            } else if (ngx_http_sandbox_live_is_mute(live)
                       && ngx_strcmp(live->id, last) != 0)
            {
                /* requests of one guest mostly stand together */
                ngx_memcpy(last, live->id, sizeof(last));
                ngx_http_sandbox_live_look(last);
            }
        }
    }

    ngx_http_sandbox_live_close_all(&meant);
    ngx_http_sandbox_live_sweep_later(ev);
}


static void
ngx_http_sandbox_live_sweep_later(ngx_event_t *ev)
{
    ngx_msec_t age, wait;

    age = ngx_http_sandbox_worker.conf->max_age;
    wait = NGX_HTTP_SANDBOX_LIVE_SWEEP_MAX_MS;

    if (age) {
        wait =
            ngx_min(wait, ngx_max(age / 8, NGX_HTTP_SANDBOX_LIVE_SWEEP_MIN_MS));
    }

    /* sweeps go on in a worker that is shutting down, as long as it lives */
    ngx_add_timer(ev, wait);
}


/*
 * The record says that the sandbox runs: its late or silent requests end. While
 * the sandbox is busy, a snapshot may hold it still, so their time begins anew.
 */
static ngx_uint_t
ngx_http_sandbox_live_ends_mute(ngx_http_sandbox_live_t *live, ngx_uint_t busy)
{
    ngx_uint_t late, silent;

    late = ngx_http_sandbox_live_is_late(live);
    silent = live->silent && ngx_http_sandbox_live_is_silent(live);

    if (busy) {
        live->began = late ? ngx_current_msec : live->began;
        live->silent = 0;
        return 0;
    }

    if (!late && !silent) {
        return 0;
    }

    live->end =
        late ? NGX_HTTP_SANDBOX_LIVE_LATE : NGX_HTTP_SANDBOX_LIVE_SILENT;

    return 1;
}


/* The sandbox runs (a hibernation may have failed): no request is changing. */
static void
ngx_http_sandbox_live_goes_on(const char *id)
{
    ngx_queue_t *q, *slot;
    ngx_http_sandbox_live_t *live;

    slot = ngx_http_sandbox_live_slot(id);

    for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot);
         q = ngx_queue_next(q))
    {
        live = ngx_queue_data(q, ngx_http_sandbox_live_t, queue);

        if (ngx_strcmp(live->id, id) == 0) {
            live->changing = 0;
        }
    }
}


/* The network settings of id have changed: are its visitors still let in? */
static void
ngx_http_sandbox_live_network(const char *id)
{
    ngx_queue_t *q, *slot;
    ngx_http_sandbox_live_t *live;

    slot = ngx_http_sandbox_live_slot(id);

    for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot);
         q = ngx_queue_next(q))
    {
        live = ngx_queue_data(q, ngx_http_sandbox_live_t, queue);

        if (live->open && ngx_strcmp(live->id, id) == 0) {
            ngx_http_sandbox_live_look(id);
            return;
        }
    }
}


static void
ngx_http_sandbox_live_message(const char *id, ngx_str_t *word,
                              ngx_str_t *detail)
{
    if (ngx_http_sandbox_events_is(word, "hibernating")) {
        ngx_http_sandbox_live_end(id, 1);

    } else if (ngx_http_sandbox_events_is(word, "running")) {
        ngx_http_sandbox_live_goes_on(id);

    } else if (ngx_http_sandbox_events_is(word, "network")) {
        ngx_http_sandbox_live_network(id);

    } else if (ngx_http_sandbox_events_is(word, "paused")
               || ngx_http_sandbox_events_is(word, "destroying")
               || ngx_http_sandbox_events_is(word, "destroyed")
               || ngx_http_sandbox_events_is(word, "error"))
    {
        ngx_http_sandbox_live_end(id, 0);
    }
}


/* The sandbox of id is in the state of the route. */
static void
ngx_http_sandbox_live_state(const char *id,
                            const ngx_http_sandbox_route_t *route)
{
    if (route->state == NGX_HTTP_SANDBOX_HIBERNATING) {
        ngx_http_sandbox_live_end(id, 1);

    } else if (route->state == NGX_HTTP_SANDBOX_RUNNING) {
        ngx_http_sandbox_live_goes_on(id);
        ngx_http_sandbox_live_end_those(
            id, route->busy_until > ngx_http_sandbox_clock_ms(),
            ngx_http_sandbox_live_ends_mute);

    } else {
        ngx_http_sandbox_live_end(id, 0);
    }
}


/*
 * Acts on a record that was read: for missed events, for mute requests, or for
 * visitors who may not be let in any more.
 */
static void
ngx_http_sandbox_live_read(void *data, ngx_int_t rc,
                           ngx_http_sandbox_route_t *route)
{
    char *id = data;

    if (rc == NGX_DECLINED) {
        ngx_http_sandbox_live_end(id, 0);

    } else if (rc != NGX_OK) {
        ngx_http_sandbox_live_look_again();

    } else {
        if (!route->public_traffic) {
            ngx_http_sandbox_live_end_those(id, 0,
                                            ngx_http_sandbox_live_ends_open);
        }

        ngx_http_sandbox_live_state(id, route);
    }

    ngx_free(id);
}


static void
ngx_http_sandbox_live_look(const char *id)
{
    char *copy;

    copy = ngx_alloc(SANDBOX_ID_SIZE, ngx_cycle->log);
    if (copy == NULL) {
        return;
    }

    ngx_memcpy(copy, id, SANDBOX_ID_SIZE);

    if (ngx_http_sandbox_record_route(copy, ngx_http_sandbox_live_read, copy)
        != NGX_OK)
    {
        ngx_free(copy);
        ngx_http_sandbox_live_look_again();
    }
}


/* The worker hears events again: reads the records of all guests. */
static void
ngx_http_sandbox_live_ready(void)
{
    char last[SANDBOX_ID_SIZE];
    ngx_uint_t i;
    ngx_queue_t *q, *slot;
    ngx_http_sandbox_live_t *live;

    for (i = 0; i < NGX_HTTP_SANDBOX_LIVE_SLOTS; i++) {
        slot = &ngx_http_sandbox_living[i];

        if (slot->next == NULL) {
            continue;
        }

        /* requests of one guest mostly stand together: one read serves them */
        last[0] = '\0';

        for (q = ngx_queue_head(slot); q != ngx_queue_sentinel(slot);
             q = ngx_queue_next(q))
        {
            live = ngx_queue_data(q, ngx_http_sandbox_live_t, queue);

            if (ngx_strcmp(live->id, last) != 0) {
                ngx_memcpy(last, live->id, sizeof(last));
                ngx_http_sandbox_live_look(last);
            }
        }
    }
}


static void
ngx_http_sandbox_live_look_now(ngx_event_t *ev)
{
    ngx_http_sandbox_live_ready();
}


static void
ngx_http_sandbox_live_look_again(void)
{
    ngx_event_t *ev;

    ev = &ngx_http_sandbox_live_timer;

    if (!ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_SANDBOX_LIVE_AGAIN_MS);
    }
}


void
ngx_http_sandbox_live_subscribe(void)
{
    static ngx_http_sandbox_subscriber_t subscriber = {
        ngx_http_sandbox_live_message, NULL, ngx_http_sandbox_live_ready, NULL
    };

    ngx_http_sandbox_timer_init(&ngx_http_sandbox_live_timer,
                                ngx_http_sandbox_live_look_now);
    ngx_http_sandbox_timer_init(&ngx_http_sandbox_live_sweeper,
                                ngx_http_sandbox_live_sweep);

    ngx_http_sandbox_events_subscribe(&subscriber);
    ngx_http_sandbox_live_sweep_later(&ngx_http_sandbox_live_sweeper);
}
