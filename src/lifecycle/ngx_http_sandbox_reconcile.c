/*
 * Decides when a survey is made and by which worker, and fills it:
 *
 *   pulse    does this worker hold the lock?               lead.lua
 *   node     guests and agenda of the node, and the time   HGETALL, ZRANGE,
 *            by which the agenda is judged                 TIME
 *   host     domains and overlays                          thread
 *   records  the record of every id that was found         HMGET each
 *   judge    sandbox_survey_judge(), with the reasoning
 *   settle   settle.c
 *
 * Redis may be a wrong or an empty one.  So nothing is concluded from a survey
 * in which a command failed or the connection was interrupted.  A domain or
 * overlay without a record is only destroyed if every survey during the grace
 * found none; the grace begins anew with each interruption.
 */

#include "ngx_http_sandbox_reconcile.h"

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_clock.h"
#include "ngx_http_sandbox_doubt.h"
#include "ngx_http_sandbox_events.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_leader.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_reply.h"
#include "ngx_http_sandbox_settle.h"
#include "ngx_http_sandbox_state.h"
#include "ngx_http_sandbox_sweep.h"
#include "ngx_http_sandbox_timer.h"
#include "ngx_http_sandbox_walk.h"
#include "sandbox_time.h"

#define NGX_HTTP_SANDBOX_RECONCILE_SOON_MS 100
#define NGX_HTTP_SANDBOX_RECONCILE_RETRY_MS 1000
#define NGX_HTTP_SANDBOX_RECONCILE_PULSE_MS 1000
#define NGX_HTTP_SANDBOX_RECONCILE_LOCK_MS 4000 /* some pulses */
#define NGX_HTTP_SANDBOX_RECONCILE_SUSPECTS 16


typedef struct {
    sandbox_survey_t survey;
    sandbox_survey_t before;
    ngx_http_sandbox_walk_t walk;
    ngx_thread_task_t task;
    ngx_event_t timer;
    ngx_event_t pulse;
    sandbox_hv_error_t result; /* of the thread */
    ngx_uint_t pending;        /* replies about the node under way */
    int64_t next;              /* ms until the next survey is due, or -1 */
    ngx_msec_t ended;          /* when the last survey was over */
    ngx_uint_t nsuspects;      /* suspects noted so far; the last are kept */
    char suspects[NGX_HTTP_SANDBOX_RECONCILE_SUSPECTS][SANDBOX_ID_SIZE];
    unsigned leading : 1;
    unsigned busy : 1;
    unsigned again : 1;  /* a suspect was noted while busy */
    unsigned broken : 1; /* void: the replies may not belong together */
    unsigned away : 1;   /* libvirt is away, and that was logged */
} ngx_http_sandbox_reconcile_t;


static void ngx_http_sandbox_reconcile_look(ngx_event_t *ev);
static void ngx_http_sandbox_reconcile_guests(void *data, redisReply *reply);
static void ngx_http_sandbox_reconcile_agenda(void *data, redisReply *reply);
static void ngx_http_sandbox_reconcile_time(void *data, redisReply *reply);
static void ngx_http_sandbox_reconcile_host(void *data, ngx_log_t *log);
static void ngx_http_sandbox_reconcile_records(ngx_event_t *ev);
static void ngx_http_sandbox_reconcile_record(void *data, redisReply *reply);
static void ngx_http_sandbox_reconcile_judge(ngx_int_t rc);


static ngx_http_sandbox_reconcile_t ngx_http_sandbox_reconciler;


static void
ngx_http_sandbox_reconcile_in(ngx_msec_t ms)
{
    ngx_event_t *ev;

    ev = &ngx_http_sandbox_reconciler.timer;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, ms);
}


/*
 * Moves the timer up, but not to less than a second after the last survey:
 * repeated calls must neither put the survey off nor start one after another.
 */
static void
ngx_http_sandbox_reconcile_soon(void)
{
    ngx_msec_int_t wait;
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;
    wait = (ngx_msec_int_t) (r->ended + NGX_HTTP_SANDBOX_RECONCILE_RETRY_MS
                             - ngx_current_msec);
    wait = ngx_max(wait, NGX_HTTP_SANDBOX_RECONCILE_SOON_MS);

    if (!r->timer.timer_set
        || (ngx_msec_int_t) (r->timer.timer.key - ngx_current_msec) > wait)
    {
        ngx_http_sandbox_reconcile_in((ngx_msec_t) wait);
    }
}


static void
ngx_http_sandbox_reconcile_end(ngx_int_t rc)
{
    ngx_msec_t wait;
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;
    wait = ngx_http_sandbox_worker.conf->reconcile_interval;

    if (rc != NGX_OK || r->broken) {
        wait = ngx_min(wait, NGX_HTTP_SANDBOX_RECONCILE_RETRY_MS);

    } else if (r->next >= 0) {
        wait = ngx_min(wait, (ngx_msec_t) r->next + 1);
    }

    if (r->again) {
        wait = ngx_min(wait, NGX_HTTP_SANDBOX_RECONCILE_RETRY_MS);
    }

    r->ended = ngx_current_msec;
    r->busy = 0;
    r->again = 0;

    if (!ngx_exiting) {
        ngx_http_sandbox_reconcile_in(wait);
    }
}


/* Voids what was read, and the survey before: another Redis may answer next. */
static void
ngx_http_sandbox_reconcile_void(void)
{
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;
    r->broken = 1;
    sandbox_survey_free(&r->before);
}


static ngx_int_t
ngx_http_sandbox_reconcile_ask_guests(void)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_node(&key, "guests");
    ngx_http_sandbox_arg(&a, "HGETALL");
    ngx_http_sandbox_arg_key(&a, &key);

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_reconcile_guests,
                                          NULL, a.n, a.values);
}


static ngx_int_t
ngx_http_sandbox_reconcile_ask_agenda(void)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_node(&key, "agenda");
    ngx_http_sandbox_arg(&a, "ZRANGE");
    ngx_http_sandbox_arg_key(&a, &key);
    ngx_http_sandbox_arg(&a, "0");
    ngx_http_sandbox_arg(&a, "-1");
    ngx_http_sandbox_arg(&a, "WITHSCORES");

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_reconcile_agenda,
                                          NULL, a.n, a.values);
}


static void
ngx_http_sandbox_reconcile_look(ngx_event_t *ev)
{
    ngx_http_sandbox_reconcile_t *r;
    static ngx_str_t time = ngx_string("TIME");

    r = &ngx_http_sandbox_reconciler;

    if (ngx_exiting || r->busy || !r->leading) {
        return;
    }

    r->busy = 1;
    r->broken = 0;
    r->next = -1;
    r->survey.n = 0;
    r->pending = 0;

    if (ngx_http_sandbox_reconcile_ask_guests() == NGX_OK) {
        r->pending++;
    }

    if (ngx_http_sandbox_reconcile_ask_agenda() == NGX_OK) {
        r->pending++;
    }

    if (ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                       ngx_http_sandbox_reconcile_time, NULL, 1,
                                       &time)
        == NGX_OK)
    {
        r->pending++;
    }

    if (r->pending < 3) {
        ngx_http_sandbox_reconcile_void();
    }

    if (r->pending == 0) {
        ngx_http_sandbox_reconcile_end(NGX_ERROR);
    }
}


/* The reply to a pulse; NULL if Redis is away. */
static void
ngx_http_sandbox_reconcile_pulsed(void *data, redisReply *reply)
{
    ngx_uint_t leading;
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;
    leading = ngx_http_sandbox_leader_is(reply);

    if (leading && !r->leading) {
        r->leading = 1;

        if (!r->busy) {
            ngx_http_sandbox_reconcile_in(0);
        }

    } else if (!leading && r->leading) {
        r->leading = 0;
        ngx_http_sandbox_reconcile_void();
    }
}


static void
ngx_http_sandbox_reconcile_pulse(ngx_event_t *ev)
{
    if (ngx_exiting) {
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_SANDBOX_RECONCILE_PULSE_MS);

    if (ngx_http_sandbox_leader_pulse(ngx_http_sandbox_reconcile_pulsed,
                                      NGX_HTTP_SANDBOX_RECONCILE_LOCK_MS)
        != NGX_OK)
    {
        ngx_http_sandbox_reconcile_pulsed(NULL, NULL);
    }
}


/* Adds an entry for each pair of an id and its address, or agenda time. */
static ngx_int_t
ngx_http_sandbox_reconcile_pairs(redisReply *reply, ngx_uint_t agenda)
{
    size_t i;
    char id[SANDBOX_ID_SIZE];
    const char *text;
    sandbox_survey_entry_t *e;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return NGX_ERROR;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {
        text = ngx_http_sandbox_reply_string(reply, i);

        if (sandbox_id_parse(id, "sb", text, ngx_strlen(text)) != 0) {
            continue;
        }

        e = sandbox_survey_add(&ngx_http_sandbox_reconciler.survey, id);
        if (e == NULL) {
            return NGX_ERROR;
        }

        if (agenda) {
            e->agenda = 1;
            e->agenda_at = ngx_http_sandbox_reply_integer(reply, i + 1);

        } else {
            e->guest = 1;
        }
    }

    return NGX_OK;
}


/* Counts a reply about the node; after the last one the host is read. */
static void
ngx_http_sandbox_reconcile_asked(void)
{
    ngx_thread_task_t *task;
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;

    if (--r->pending) {
        return;
    }

    task = &r->task;
    ngx_memzero(task, sizeof(ngx_thread_task_t));
    task->ctx = r;
    task->handler = ngx_http_sandbox_reconcile_host;
    task->event.handler = ngx_http_sandbox_reconcile_records;
    task->event.log = ngx_cycle->log;

    if (r->broken
        || ngx_thread_task_post(ngx_http_sandbox_worker.conf->quick, task)
               != NGX_OK)
    {
        ngx_http_sandbox_reconcile_end(NGX_ERROR);
    }
}


static void
ngx_http_sandbox_reconcile_guests(void *data, redisReply *reply)
{
    if (ngx_http_sandbox_reconcile_pairs(reply, 0) == NGX_OK) {
        ngx_http_sandbox_metric_set(NGX_HTTP_SANDBOX_METRIC_SANDBOXES, 0,
                                    (int64_t) reply->elements / 2);

    } else {
        ngx_http_sandbox_reconcile_void();
    }

    ngx_http_sandbox_reconcile_asked();
}


static void
ngx_http_sandbox_reconcile_agenda(void *data, redisReply *reply)
{
    if (ngx_http_sandbox_reconcile_pairs(reply, 1) != NGX_OK) {
        ngx_http_sandbox_reconcile_void();
    }

    ngx_http_sandbox_reconcile_asked();
}


static void
ngx_http_sandbox_reconcile_time(void *data, redisReply *reply)
{
    if (ngx_http_sandbox_clock_hear_time(reply) != NGX_OK) {
        ngx_http_sandbox_reconcile_void();
    }

    ngx_http_sandbox_reconcile_asked();
}


static int
ngx_http_sandbox_reconcile_domains(ngx_http_sandbox_reconcile_t *r)
{
    int rc;
    size_t i, n;
    sandbox_domain_info_t *list;
    sandbox_survey_entry_t *e;

    if (sandbox_hypervisor_list(&list, &n, &r->result) != SANDBOX_HV_OK) {
        return -1;
    }

    rc = 0;

    for (i = 0; rc == 0 && i < n; i++) {
        e = sandbox_survey_add(&r->survey, list[i].id);

        if (e == NULL) {
            rc = -1;

        } else {
            e->domain = 1;
            e->ours = list[i].ours;
        }
    }

    free(list);
    return rc;
}


static int
ngx_http_sandbox_reconcile_disks(ngx_http_sandbox_reconcile_t *r)
{
    int rc;
    char(*ids)[SANDBOX_ID_SIZE];
    size_t i, n;
    sandbox_survey_entry_t *e;

    if (sandbox_hypervisor_list_disks(&ids, &n, &r->result) != SANDBOX_HV_OK) {
        return -1;
    }

    rc = 0;

    for (i = 0; rc == 0 && i < n; i++) {
        e = sandbox_survey_add(&r->survey, ids[i]);

        if (e == NULL) {
            rc = -1;

        } else {
            e->overlay = 1;
        }
    }

    free(ids);
    return rc;
}


/* In a thread, to which the survey belongs meanwhile. */
static void
ngx_http_sandbox_reconcile_host(void *data, ngx_log_t *log)
{
    ngx_http_sandbox_reconcile_t *r = data;

    if (ngx_http_sandbox_reconcile_domains(r) == 0
        && ngx_http_sandbox_reconcile_disks(r) == 0)
    {
        sandbox_survey_merge(&r->survey);
        ngx_http_sandbox_sweep();
        r->result.status = SANDBOX_HV_OK;

    } else if (r->result.status == SANDBOX_HV_OK) {
        r->result.status = SANDBOX_HV_NO_CAPACITY;
        ngx_cpystrn((u_char *) r->result.message, (u_char *) "out of memory",
                    sizeof(r->result.message));
    }

    sandbox_hypervisor_release();
}


static ngx_int_t
ngx_http_sandbox_reconcile_visit(sandbox_survey_entry_t *e)
{
    ngx_http_sandbox_key_t key;
    ngx_http_sandbox_args_t a;
    static const char *fields[] = { "state",         "node",    "lease_at",
                                    "timeout_at",    "address", "execution",
                                    "timeout_action" };

    ngx_http_sandbox_args_init(&a);
    ngx_http_sandbox_key_record(&key, e->id);
    ngx_http_sandbox_args_hmget(&a, &key, fields,
                                sizeof(fields) / sizeof(fields[0]));

    return ngx_http_sandbox_redis_command(ngx_http_sandbox_worker.redis,
                                          ngx_http_sandbox_reconcile_record, e,
                                          a.n, a.values)
                   == NGX_OK
               ? NGX_OK
               : NGX_ERROR;
}


static void
ngx_http_sandbox_reconcile_records(ngx_event_t *ev)
{
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;
    ngx_http_sandbox_metric_set(NGX_HTTP_SANDBOX_METRIC_HYPERVISOR_AWAY, 0,
                                r->result.status != SANDBOX_HV_OK);

    if (r->result.status != SANDBOX_HV_OK) {
        if (!r->away) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "sandbox: reconcile waits for the hypervisor: %s",
                          r->result.message);
            r->away = 1;
        }

        ngx_http_sandbox_reconcile_end(NGX_ERROR);
        return;
    }

    r->away = 0;

    r->walk.survey = &r->survey;
    r->walk.visit = ngx_http_sandbox_reconcile_visit;
    r->walk.end = ngx_http_sandbox_reconcile_judge;

    ngx_http_sandbox_walk_start(&r->walk);
}


static void
ngx_http_sandbox_reconcile_record(void *data, redisReply *reply)
{
    sandbox_survey_entry_t *e = data;

    ngx_str_t *own;
    const char *node;
    ngx_http_sandbox_state_e state;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        ngx_http_sandbox_walk_back(&ngx_http_sandbox_reconciler.walk,
                                   NGX_ERROR);
        return;
    }

    own = &ngx_http_sandbox_worker.conf->node;
    state = ngx_http_sandbox_state_of(ngx_http_sandbox_reply_string(reply, 0));
    node = ngx_http_sandbox_reply_string(reply, 1);

    e->recorded = state && state != NGX_HTTP_SANDBOX_DESTROYED;
    e->elsewhere = *node
                   && (ngx_strlen(node) != own->len
                       || ngx_strncmp(node, own->data, own->len) != 0);
    e->running =
        state == NGX_HTTP_SANDBOX_RUNNING || state == NGX_HTTP_SANDBOX_POOLED;
    e->failed = state == NGX_HTTP_SANDBOX_FAILED;
    e->paused = state == NGX_HTTP_SANDBOX_PAUSED
                || state == NGX_HTTP_SANDBOX_RESUMING
                || state == NGX_HTTP_SANDBOX_RESUMED;
    e->leased = state == NGX_HTTP_SANDBOX_CREATING
                || state == NGX_HTTP_SANDBOX_WARMING
                || state == NGX_HTTP_SANDBOX_HIBERNATING
                || state == NGX_HTTP_SANDBOX_DESTROYING;
    e->lease_at = ngx_http_sandbox_reply_integer(reply, 2);
    e->timeout_at = ngx_http_sandbox_reply_integer(reply, 3);
    e->address = (uint32_t) ngx_http_sandbox_reply_integer(reply, 4);
    ngx_cpystrn((u_char *) e->execution,
                (u_char *) ngx_http_sandbox_reply_string(reply, 5),
                sizeof(e->execution));
    e->sleeps =
        ngx_strcmp(ngx_http_sandbox_reply_string(reply, 6), "hibernate") == 0;

    ngx_http_sandbox_walk_back(&ngx_http_sandbox_reconciler.walk, NGX_OK);
}


static ngx_uint_t
ngx_http_sandbox_reconcile_suspected(const char *id)
{
    ngx_uint_t i;

    for (i = 0; i < NGX_HTTP_SANDBOX_RECONCILE_SUSPECTS; i++) {
        if (ngx_strcmp(ngx_http_sandbox_reconciler.suspects[i], id) == 0) {
            return 1;
        }
    }

    return 0;
}


/* Logs the number of orphans and strays that were not known before. */
static void
ngx_http_sandbox_reconcile_warn(ngx_uint_t fresh)
{
    ngx_http_sandbox_main_conf_t *mcf;

    mcf = ngx_http_sandbox_worker.conf;

    if (fresh == 0) {
        return;
    }

    if (mcf->reconcile_orphans == NGX_HTTP_SANDBOX_ORPHANS_KEEP) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "sandbox: %ui sandboxes of this node have no record in "
                      "Redis and are kept",
                      fresh);
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "sandbox: %ui sandboxes of this node have no record in Redis "
                  "and are destroyed in %M ms",
                  fresh, mcf->reconcile_grace);
}


static void
ngx_http_sandbox_reconcile_settled(ngx_int_t rc)
{
    sandbox_survey_t old;
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;

    if (r->broken) {
        sandbox_survey_free(&r->before);

    } else {
        old = r->before;
        r->before = r->survey;
        r->survey = old;
    }

    ngx_http_sandbox_reconcile_end(rc);
}


static void
ngx_http_sandbox_reconcile_judge(ngx_int_t rc)
{
    size_t i;
    int64_t now, monotonic;
    ngx_uint_t fresh;
    sandbox_survey_entry_t *e;
    ngx_http_sandbox_reconcile_t *r;
    ngx_http_sandbox_main_conf_t *mcf;

    r = &ngx_http_sandbox_reconciler;

    if (rc != NGX_OK || r->broken) {
        ngx_http_sandbox_reconcile_void();
        ngx_http_sandbox_reconcile_end(NGX_ERROR);
        return;
    }

    mcf = ngx_http_sandbox_worker.conf;
    now = ngx_http_sandbox_clock_ms();
    monotonic = sandbox_time_monotonic_ms();

    for (i = 0; i < r->survey.n; i++) {
        e = &r->survey.entries[i];
        sandbox_survey_judge(e, now,
                             (int64_t) (mcf->boot_timeout + mcf->lease));
        e->suspect = e->verdict == SANDBOX_SURVEY_LOST
                     && ngx_http_sandbox_reconcile_suspected(e->id);
    }

    r->next = sandbox_survey_age(&r->survey, &r->before, monotonic,
                                 (int64_t) mcf->reconcile_grace);
    fresh = 0;

    for (i = 0; i < r->survey.n; i++) {
        e = &r->survey.entries[i];
        fresh += e->since_ms == monotonic;

        if (mcf->reconcile_orphans == NGX_HTTP_SANDBOX_ORPHANS_KEEP) {
            e->ripe = 0;
        }
    }

    ngx_http_sandbox_reconcile_warn(fresh);
    ngx_http_sandbox_settle(&r->survey, ngx_http_sandbox_reconcile_settled);
}


/* Notes a sandbox that has no domain any more, and asks for a survey. */
static void
ngx_http_sandbox_reconcile_gone(const char *id)
{
    ngx_http_sandbox_reconcile_t *r;

    r = &ngx_http_sandbox_reconciler;

    ngx_cpystrn(
        (u_char *)
            r->suspects[r->nsuspects++ % NGX_HTTP_SANDBOX_RECONCILE_SUSPECTS],
        (u_char *) id, SANDBOX_ID_SIZE);

    if (r->busy) {
        r->again = 1;

    } else if (!ngx_exiting) {
        ngx_http_sandbox_reconcile_soon();
    }
}


static void
ngx_http_sandbox_reconcile_message(const char *id, ngx_str_t *word,
                                   ngx_str_t *detail)
{
    ngx_str_t *own;

    own = &ngx_http_sandbox_worker.conf->node;

    if (ngx_http_sandbox_reconciler.leading
        && ngx_http_sandbox_events_is(word, "suspect")
        && detail->len == own->len
        && ngx_memcmp(detail->data, own->data, own->len) == 0)
    {
        ngx_http_sandbox_doubt(id);
    }
}


static void
ngx_http_sandbox_reconcile_lost(void)
{
    ngx_http_sandbox_reconcile_void();
    ngx_http_sandbox_settle_stop();
}


static void
ngx_http_sandbox_reconcile_ready(void)
{
    if (!ngx_http_sandbox_reconciler.busy && !ngx_exiting) {
        ngx_http_sandbox_reconcile_soon();
    }
}


void
ngx_http_sandbox_reconcile_subscribe(void)
{
    static ngx_http_sandbox_subscriber_t subscriber = {
        ngx_http_sandbox_reconcile_message, ngx_http_sandbox_reconcile_lost,
        ngx_http_sandbox_reconcile_ready, NULL
    };

    ngx_http_sandbox_events_subscribe(&subscriber);
}


void
ngx_http_sandbox_reconcile_start(void)
{
    ngx_event_t *ev;

    ngx_http_sandbox_leader_start();
    ngx_http_sandbox_doubt_start(ngx_http_sandbox_reconcile_gone);

    ngx_http_sandbox_timer_init(&ngx_http_sandbox_reconciler.timer,
                                ngx_http_sandbox_reconcile_look);

    ev = &ngx_http_sandbox_reconciler.pulse;
    ngx_http_sandbox_timer_init(ev, ngx_http_sandbox_reconcile_pulse);
    ngx_add_timer(ev, NGX_HTTP_SANDBOX_RECONCILE_SOON_MS);
}


void
ngx_http_sandbox_reconcile_stop(void)
{
    (void) ngx_http_sandbox_leader_pulse(ngx_http_sandbox_reply_ignore, 0);
}
