/*
 * What a verdict leads to:
 *
 *   orphan   put on the agenda for now: the destroy operation finds no record,
 *            ends the domain, removes the overlay and gives the address back;
 *            if the survey was wrong, claim.lua finds a record that is not due
 *   stray    the domain is destroyed here; the record belongs to another node
 *   lost     the domain is looked for once more; then lose.lua, which compares
 *            state and execution
 *   remains  the domain or overlay that is left of a sandbox in state error or
 *            paused is removed, its address given back; its agenda entry stays
 *   adopt    adopt.lua
 *   late     the agenda entry is moved up; claim.lua decides
 *
 * So each action is checked where it is done, and may be repeated.  The record
 * is changed first, the host is cleared afterwards.
 */

#include "ngx_http_sandbox_settle.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_clock.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_schedule.h"
#include "ngx_http_sandbox_scripts.h"
#include "ngx_http_sandbox_transition.h"
#include "ngx_http_sandbox_walk.h"
#include "sandbox_time.h"


/* Tasks that clear the host at once: each of them mostly waits for libvirt. */
#define NGX_HTTP_SANDBOX_SETTLE_THREADS 8

typedef struct {
    ngx_thread_task_t task;
    sandbox_hv_error_t result;
} ngx_http_sandbox_settle_part_t;

typedef struct {
    ngx_http_sandbox_walk_t walk;
    ngx_http_sandbox_settle_part_t parts[NGX_HTTP_SANDBOX_SETTLE_THREADS];
    ngx_uint_t working;        /* parts in a thread */
    ngx_atomic_t next;         /* the next entry that a thread takes */
    sandbox_hv_error_t result; /* the last failure of a part, or OK */
    void (*done)(ngx_int_t rc);
    unsigned stopped : 1;
} ngx_http_sandbox_settle_t;


static void ngx_http_sandbox_settle_confirmed(ngx_event_t *ev);
static void ngx_http_sandbox_settle_cleared(ngx_event_t *ev);


static ngx_http_sandbox_settle_t ngx_http_sandbox_settling;


static void
ngx_http_sandbox_settle_log(const sandbox_survey_entry_t *e, ngx_uint_t level,
                            const char *what)
{
    ngx_log_error(level, ngx_cycle->log, 0, "sandbox %s: %s", e->id, what);
}


static ngx_uint_t
ngx_http_sandbox_settle_any(sandbox_verdict_t a, sandbox_verdict_t b)
{
    size_t i;
    sandbox_survey_t *s;
    sandbox_survey_entry_t *e;

    s = ngx_http_sandbox_settling.walk.survey;

    for (i = 0; i < s->n; i++) {
        e = &s->entries[i];

        if (e->verdict == a || (e->verdict == b && e->ripe)) {
            return 1;
        }
    }

    return 0;
}


/* Posts work to up to that many pool threads, each with a part of its own. */
static ngx_int_t
ngx_http_sandbox_settle_task(ngx_uint_t threads,
                             void (*work)(void *data, ngx_log_t *log),
                             void (*then)(ngx_event_t *ev))
{
    ngx_uint_t i;
    ngx_thread_task_t *task;
    ngx_http_sandbox_settle_part_t *part;

    ngx_http_sandbox_settling.working = 0;
    ngx_http_sandbox_settling.next = 0;

    for (i = 0; i < threads; i++) {
        part = &ngx_http_sandbox_settling.parts[i];
        part->result.status = SANDBOX_HV_OK;

        task = &part->task;
        ngx_memzero(task, sizeof(ngx_thread_task_t));
        task->ctx = part;
        task->handler = work;
        task->event.handler = then;
        task->event.data = part;
        task->event.log = ngx_cycle->log;

        if (ngx_thread_task_post(ngx_http_sandbox_worker.conf->quick, task)
            != NGX_OK) {
            break;
        }

        ngx_http_sandbox_settling.working++;
    }

    return ngx_http_sandbox_settling.working ? NGX_OK : NGX_ERROR;
}


/* A part is back from its thread; 1 if it is the last one. */
static ngx_uint_t
ngx_http_sandbox_settle_back(ngx_event_t *ev)
{
    ngx_http_sandbox_settle_t *settle;
    ngx_http_sandbox_settle_part_t *part = ev->data;

    settle = &ngx_http_sandbox_settling;

    if (part->result.status != SANDBOX_HV_OK) {
        settle->result = part->result;
    }

    return --settle->working == 0;
}


static void
ngx_http_sandbox_settle_written(void *data, redisReply *reply)
{
    ngx_http_sandbox_walk_back(
        &ngx_http_sandbox_settling.walk,
        reply && reply->type == REDIS_REPLY_INTEGER ? NGX_OK : NGX_ERROR);
}


static void
ngx_http_sandbox_settle_lost(void *data, redisReply *reply)
{
    sandbox_survey_entry_t *e = data;

    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        ngx_http_sandbox_settle_log(e, NGX_LOG_WARN,
                                    "its machine has ended by itself");
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LOST, 0, 1);
        e->verdict = SANDBOX_SURVEY_REMAINS;
    }

    ngx_http_sandbox_settle_written(e, reply);
}


static ngx_int_t
ngx_http_sandbox_settle_lose(sandbox_survey_entry_t *e)
{
    char at[SANDBOX_TIME_SIZE], detail[128];
    ngx_http_sandbox_key_t record, events;
    ngx_http_sandbox_args_t a;

    sandbox_time_format(at, ngx_http_sandbox_clock_ms());
    ngx_snprintf((u_char *) detail, sizeof(detail),
                 "{\"reason\":\"The machine has ended.\",\"at\":\"%s\"}%Z", at);

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&record, e->id);
    ngx_http_sandbox_key_events(&events);
    ngx_http_sandbox_arg_key(&a, &record);
    ngx_http_sandbox_arg(&a, e->id);
    ngx_http_sandbox_arg(&a, e->execution);
    ngx_http_sandbox_arg_key(&a, &events);
    ngx_http_sandbox_arg_transition(&a, NGX_HTTP_SANDBOX_LOSE);
    ngx_http_sandbox_arg(&a, detail);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_settle_lost, e,
        &ngx_http_sandbox_lua_lose, 1, a.n, a.values);
}


static void
ngx_http_sandbox_settle_adopted(void *data, redisReply *reply)
{
    sandbox_survey_entry_t *e = data;

    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer == 0) {
            ngx_http_sandbox_settle_log(e, NGX_LOG_ERR,
                                        "has the address of another sandbox");

        } else if (reply->integer == 1) {
            ngx_http_sandbox_settle_log(e, NGX_LOG_NOTICE,
                                        "has its place on the node again");
        }
    }

    ngx_http_sandbox_settle_written(e, reply);
}


static ngx_int_t
ngx_http_sandbox_settle_adopt(sandbox_survey_entry_t *e)
{
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_node_keys_t keys;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_node_keys(&keys, &a);
    ngx_http_sandbox_arg(&a, e->id);
    ngx_http_sandbox_arg_int(
        &a, sandbox_survey_due(e, ngx_http_sandbox_clock_ms()));
    ngx_http_sandbox_arg_int(&a, e->failed ? 0 : e->address);

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_settle_adopted, e,
        &ngx_http_sandbox_lua_adopt, 4, a.n, a.values);
}


/* Puts e on the agenda at that time, whether or not e is there. */
static ngx_int_t
ngx_http_sandbox_settle_move(sandbox_survey_entry_t *e, int64_t at)
{
    /* the entry of a late one may have been moved up or removed since */
    return ngx_http_sandbox_schedule_place_at(
        &ngx_http_sandbox_worker.conf->node, e->id, at,
        e->verdict == SANDBOX_SURVEY_LATE, ngx_http_sandbox_settle_written, e);
}


static ngx_int_t
ngx_http_sandbox_settle_visit(sandbox_survey_entry_t *e)
{
    switch (e->verdict) {
    case SANDBOX_SURVEY_LOST:
        return ngx_http_sandbox_settle_lose(e);

    case SANDBOX_SURVEY_ADOPT:
        return ngx_http_sandbox_settle_adopt(e);

    case SANDBOX_SURVEY_LATE:
        return ngx_http_sandbox_settle_move(
            e, sandbox_survey_due(e, ngx_http_sandbox_clock_ms()));

    case SANDBOX_SURVEY_ORPHAN:
        if (e->ripe) {
            ngx_http_sandbox_settle_log(e, NGX_LOG_NOTICE,
                                        "has no record and is destroyed");
            return ngx_http_sandbox_settle_move(e, ngx_http_sandbox_clock_ms());
        }
        break;

    default:
        break;
    }

    return NGX_DONE;
}


/* In several threads, each of which takes the next entry in turn. */
static void
ngx_http_sandbox_settle_clear(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_settle_part_t *part = data;

    size_t i;
    sandbox_survey_t *s;
    sandbox_survey_entry_t *e;

    s = ngx_http_sandbox_settling.walk.survey;

    for (;;) {
        i = (size_t) ngx_atomic_fetch_add(&ngx_http_sandbox_settling.next, 1);

        if (i >= s->n) {
            break;
        }

        e = &s->entries[i];

        if (e->verdict != SANDBOX_SURVEY_REMAINS
            && (e->verdict != SANDBOX_SURVEY_STRAY || !e->ripe))
        {
            continue;
        }

        if (!e->domain && !e->overlay) {
            e->done = 1;
            continue;
        }

        if (sandbox_hypervisor_destroy(e->id, &part->result) == SANDBOX_HV_OK) {
            e->done = 1;
            continue;
        }

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "sandbox %s: what is left cannot be removed yet: %s",
                      e->id, part->result.message);

        if (part->result.status == SANDBOX_HV_UNAVAILABLE) {
            break;
        }
    }

    sandbox_hypervisor_release();
}


/* Gives the address of a cleared entry back, a stray's agenda entry as well. */
static ngx_int_t
ngx_http_sandbox_settle_release(sandbox_survey_entry_t *e)
{
    ngx_uint_t stray;
    ngx_http_sandbox_args_t a;
    ngx_http_sandbox_node_keys_t keys;

    if (!e->done) {
        return NGX_DONE;
    }

    stray = e->verdict == SANDBOX_SURVEY_STRAY;

    if (stray) {
        ngx_http_sandbox_settle_log(
            e, NGX_LOG_NOTICE,
            "belongs to another node; its machine here is destroyed");
    }

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_node_keys(&keys, &a);
    ngx_http_sandbox_arg(&a, e->id);
    ngx_http_sandbox_arg(&a, stray ? "all" : "address");

    return ngx_http_sandbox_redis_eval(
        ngx_http_sandbox_worker.redis, ngx_http_sandbox_settle_written, e,
        &ngx_http_sandbox_lua_release, 4, a.n, a.values);
}


static void
ngx_http_sandbox_settle_released(ngx_int_t rc)
{
    ngx_http_sandbox_settling.done(
        ngx_http_sandbox_settling.result.status == SANDBOX_HV_OK ? rc
                                                                 : NGX_ERROR);
}


static void
ngx_http_sandbox_settle_cleared(ngx_event_t *ev)
{
    ngx_http_sandbox_walk_t *walk;

    if (!ngx_http_sandbox_settle_back(ev)) {
        return;
    }

    if (ngx_http_sandbox_settling.stopped) {
        ngx_http_sandbox_settling.done(NGX_ERROR);
        return;
    }

    walk = &ngx_http_sandbox_settling.walk;
    walk->visit = ngx_http_sandbox_settle_release;
    walk->end = ngx_http_sandbox_settle_released;

    ngx_http_sandbox_walk_start(walk);
}


static void
ngx_http_sandbox_settle_walked(ngx_int_t rc)
{
    if (rc != NGX_OK
        || !ngx_http_sandbox_settle_any(SANDBOX_SURVEY_REMAINS,
                                        SANDBOX_SURVEY_STRAY))
    {
        ngx_http_sandbox_settling.done(rc);
        return;
    }

    if (ngx_http_sandbox_settle_task(NGX_HTTP_SANDBOX_SETTLE_THREADS,
                                     ngx_http_sandbox_settle_clear,
                                     ngx_http_sandbox_settle_cleared)
        != NGX_OK)
    {
        ngx_http_sandbox_settling.done(NGX_ERROR);
    }
}


/* In a thread: looks for the domains of LOST entries; done: there is none. */
static void
ngx_http_sandbox_settle_confirm(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_settle_part_t *part = data;

    size_t i, n;
    char(*ids)[SANDBOX_ID_SIZE];
    u_char *gone;
    sandbox_survey_t *s;

    s = ngx_http_sandbox_settling.walk.survey;
    ids = calloc(s->n, sizeof(*ids));
    gone = calloc(s->n, 1);

    for (i = 0, n = 0; ids && gone && i < s->n; i++) {
        if (s->entries[i].verdict == SANDBOX_SURVEY_LOST) {
            ngx_memcpy(ids[n++], s->entries[i].id, sizeof(*ids));
        }
    }

    if (n == 0
        || sandbox_hypervisor_gone((const char(*)[SANDBOX_ID_SIZE]) ids, gone,
                                   n, &part->result)
               != SANDBOX_HV_OK)
    {
        n = 0;
    }

    for (i = s->n; n && i-- > 0;) {
        if (s->entries[i].verdict == SANDBOX_SURVEY_LOST) {
            s->entries[i].done = gone[--n];
        }
    }

    free(ids);
    free(gone);
    sandbox_hypervisor_release();
}


static void
ngx_http_sandbox_settle_confirmed(ngx_event_t *ev)
{
    size_t i;
    sandbox_survey_t *s;
    sandbox_survey_entry_t *e;

    (void) ngx_http_sandbox_settle_back(ev);
    s = ngx_http_sandbox_settling.walk.survey;

    for (i = 0; i < s->n; i++) {
        e = &s->entries[i];

        if (e->verdict == SANDBOX_SURVEY_LOST && !e->done) {
            e->verdict = SANDBOX_SURVEY_FINE;
        }

        e->done = 0;
    }

    if (ngx_http_sandbox_settling.stopped) {
        ngx_http_sandbox_settling.done(NGX_ERROR);
        return;
    }

    ngx_http_sandbox_walk_start(&ngx_http_sandbox_settling.walk);
}


void
ngx_http_sandbox_settle_stop(void)
{
    ngx_http_sandbox_settling.stopped = 1;
    ngx_http_sandbox_settling.walk.broken = 1;
}


void
ngx_http_sandbox_settle(sandbox_survey_t *survey, void (*done)(ngx_int_t rc))
{
    ngx_http_sandbox_settle_t *settle;

    settle = &ngx_http_sandbox_settling;
    settle->walk.survey = survey;
    settle->walk.visit = ngx_http_sandbox_settle_visit;
    settle->walk.end = ngx_http_sandbox_settle_walked;
    settle->done = done;
    settle->stopped = 0;
    settle->result.status = SANDBOX_HV_OK;

    if (!ngx_http_sandbox_settle_any(SANDBOX_SURVEY_LOST, SANDBOX_SURVEY_LOST))
    {
        ngx_http_sandbox_walk_start(&settle->walk);
        return;
    }

    if (ngx_http_sandbox_settle_task(1, ngx_http_sandbox_settle_confirm,
                                     ngx_http_sandbox_settle_confirmed)
        != NGX_OK)
    {
        done(NGX_ERROR);
    }
}
