/*
 * The table of metrics, the slots of the workers, and their sum as text; see
 * the header.  Owns the shared memory zone.
 *
 * A slot belongs to the process whose id it holds, and is free once that
 * process is gone.  A new worker first looks for the slot of a killed worker,
 * so that what that worker left is cleared soon, then for one that was given
 * back.  If there is none, the new worker counts into the last slot together
 * with its owner. Hence counters change atomically, though nearly always only
 * one process changes them.
 */

#include "ngx_http_sandbox_metrics.h"

#include "ngx_http_sandbox_shm.h"

#include <signal.h>

#define NGX_HTTP_SANDBOX_METRIC_CELLS 1024


typedef enum {
    NGX_HTTP_SANDBOX_COUNTER = 0, /* the sum over all workers since the start */
    NGX_HTTP_SANDBOX_HISTOGRAM,   /* likewise */
    NGX_HTTP_SANDBOX_GAUGE,       /* of each worker that lives */
    NGX_HTTP_SANDBOX_PEAK,        /* of each slot, over all its workers */
    NGX_HTTP_SANDBOX_NODE         /* of the node: what a worker has set last */
} ngx_http_sandbox_metric_kind_e;

typedef struct {
    const char *name; /* NULL: no label */
    ngx_uint_t n;
    const char *const *values;
} ngx_http_sandbox_labels_t;

typedef struct {
    const char *name;
    ngx_http_sandbox_metric_kind_e kind;
    int64_t unit; /* what is counted per printed unit: 1000 for ms */
    const ngx_http_sandbox_labels_t *first;
    const ngx_http_sandbox_labels_t *second;
    const int64_t *bounds; /* of a histogram: ends with 0 */
    const char *help;
} ngx_http_sandbox_metric_t;

typedef struct {
    ngx_atomic_t pid;  /* 0: free */
    ngx_atomic_t used; /* ever */
    ngx_atomic_t cells[NGX_HTTP_SANDBOX_METRIC_CELLS];
} ngx_http_sandbox_slot_t;


#define NGX_HTTP_SANDBOX_LABELS(set, label)                                    \
    static const ngx_http_sandbox_labels_t ngx_http_sandbox_label_##set = {    \
        label, sizeof(ngx_http_sandbox_##set) / sizeof(const char *),          \
        ngx_http_sandbox_##set                                                 \
    }

static const char *const ngx_http_sandbox_outcomes[] = {
    [NGX_HTTP_SANDBOX_CREATE_MADE] = "created",
    [NGX_HTTP_SANDBOX_CREATE_REPLAYED] = "replayed",
    [NGX_HTTP_SANDBOX_CREATE_JOINED] = "joined",
    [NGX_HTTP_SANDBOX_CREATE_REFUSED] = "refused",
    [NGX_HTTP_SANDBOX_CREATE_FAILED] = "failed",
    [NGX_HTTP_SANDBOX_CREATE_UNAVAILABLE] = "unavailable",
};
static const char *const ngx_http_sandbox_steps[] = {
    [NGX_HTTP_SANDBOX_STEP_QUEUE] = "queue",
    [NGX_HTTP_SANDBOX_STEP_TAKE] = "take",
    [NGX_HTTP_SANDBOX_STEP_CHECKPOINT] = "checkpoint",
    [NGX_HTTP_SANDBOX_STEP_DISK] = "disk",
    [NGX_HTTP_SANDBOX_STEP_DOMAIN] = "domain",
    [NGX_HTTP_SANDBOX_STEP_GUEST] = "guest",
    [NGX_HTTP_SANDBOX_STEP_COMMIT] = "commit",
};
/* as sandbox_boot_way_t */
static const char *const ngx_http_sandbox_ways[] = { "cold", "checkpoint",
                                                     "fallback" };
/* as sandbox_checkpoint_way_t */
static const char *const ngx_http_sandbox_takes[] = { "still", "live",
                                                      "moved" };
static const char *const ngx_http_sandbox_causes[] = {
    [NGX_HTTP_SANDBOX_CAUSE_API] = "api",
    [NGX_HTTP_SANDBOX_CAUSE_DEADLINE] = "deadline",
    [NGX_HTTP_SANDBOX_CAUSE_LEASE] = "lease",
    [NGX_HTTP_SANDBOX_CAUSE_ORPHAN] = "orphan",
};
static const char *const ngx_http_sandbox_checkouts[] = {
    [NGX_HTTP_SANDBOX_CHECKOUT_HIT] = "hit",
    [NGX_HTTP_SANDBOX_CHECKOUT_MISS] = "miss",
    [NGX_HTTP_SANDBOX_CHECKOUT_UNAVAILABLE] = "unavailable",
};
static const char *const ngx_http_sandbox_members[] = {
    [NGX_HTTP_SANDBOX_MEMBER_READY] = "ready",
    [NGX_HTTP_SANDBOX_MEMBER_FAILED] = "failed",
    [NGX_HTTP_SANDBOX_MEMBER_UNFIT] = "unfit",
};
static const char *const ngx_http_sandbox_ends[] = {
    [NGX_HTTP_SANDBOX_OUTCOME_DONE] = "done",
    [NGX_HTTP_SANDBOX_OUTCOME_FAILED] = "failed",
};
static const char *const ngx_http_sandbox_waits[] = {
    [NGX_HTTP_SANDBOX_WAKE_SERVED] = "served",
    [NGX_HTTP_SANDBOX_WAKE_FAILED] = "failed",
    [NGX_HTTP_SANDBOX_WAKE_LATE] = "late",
    [NGX_HTTP_SANDBOX_WAKE_LEFT] = "left",
};
static const char *const ngx_http_sandbox_pools[] = {
    [NGX_HTTP_SANDBOX_POOL_QUICK] = "quick",
    [NGX_HTTP_SANDBOX_POOL_SLOW] = "slow",
    [NGX_HTTP_SANDBOX_POOL_REFILL] = "refill",
};
static const char *const ngx_http_sandbox_classes[] = {
    "1xx", "2xx", "3xx", "4xx", "5xx",
};
static const char *const ngx_http_sandbox_traffics[] = {
    [NGX_HTTP_SANDBOX_TRAFFIC_PROXIED] = "proxied",
    [NGX_HTTP_SANDBOX_TRAFFIC_REFUSED] = "refused",
    [NGX_HTTP_SANDBOX_TRAFFIC_NOT_FOUND] = "not_found",
    [NGX_HTTP_SANDBOX_TRAFFIC_UNREACHABLE] = "unreachable",
    [NGX_HTTP_SANDBOX_TRAFFIC_UNAVAILABLE] = "unavailable",
    [NGX_HTTP_SANDBOX_TRAFFIC_FAILED] = "failed",
    [NGX_HTTP_SANDBOX_TRAFFIC_LEFT] = "left",
};
static const char *const ngx_http_sandbox_lookups[] = {
    [NGX_HTTP_SANDBOX_LOOKUP_HIT] = "hit",
    [NGX_HTTP_SANDBOX_LOOKUP_MISS] = "miss",
    [NGX_HTTP_SANDBOX_LOOKUP_JOINED] = "joined",
};
static const char *const ngx_http_sandbox_limits[] = {
    [NGX_HTTP_SANDBOX_LIMIT_CONNECTIONS] = "connections",
    [NGX_HTTP_SANDBOX_LIMIT_API_CONNECTIONS] = "api_connections",
    [NGX_HTTP_SANDBOX_LIMIT_RATE] = "rate",
    [NGX_HTTP_SANDBOX_LIMIT_API_RATE] = "api_rate",
    [NGX_HTTP_SANDBOX_LIMIT_WAKES] = "wakes",
    [NGX_HTTP_SANDBOX_LIMIT_AGE] = "age",
};
static const char *const ngx_http_sandbox_links[] = {
    [NGX_HTTP_SANDBOX_LINK_COMMANDS] = "commands",
    [NGX_HTTP_SANDBOX_LINK_EVENTS] = "events",
};

/* Rows that have no name are not printed. */
static const char *ngx_http_sandbox_routes[NGX_HTTP_SANDBOX_METRIC_ROUTES];

NGX_HTTP_SANDBOX_LABELS(outcomes, "outcome");
NGX_HTTP_SANDBOX_LABELS(steps, "step");
NGX_HTTP_SANDBOX_LABELS(ways, "way");
NGX_HTTP_SANDBOX_LABELS(takes, "way");
NGX_HTTP_SANDBOX_LABELS(causes, "cause");
NGX_HTTP_SANDBOX_LABELS(checkouts, "result");
NGX_HTTP_SANDBOX_LABELS(members, "outcome");
NGX_HTTP_SANDBOX_LABELS(ends, "outcome");
NGX_HTTP_SANDBOX_LABELS(waits, "outcome");
NGX_HTTP_SANDBOX_LABELS(pools, "pool");
NGX_HTTP_SANDBOX_LABELS(routes, "route");
NGX_HTTP_SANDBOX_LABELS(classes, "status");
NGX_HTTP_SANDBOX_LABELS(traffics, "outcome");
NGX_HTTP_SANDBOX_LABELS(lookups, "result");
NGX_HTTP_SANDBOX_LABELS(limits, "limit");
NGX_HTTP_SANDBOX_LABELS(links, "link");
static const ngx_http_sandbox_labels_t ngx_http_sandbox_label_none = {
    NULL,
    1,
    NULL,
};

static const int64_t ngx_http_sandbox_bounds_ms[] = {
    10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 20000, 30000, 60000, 0
};
static const int64_t ngx_http_sandbox_bounds_us[] = {
    1000,  2000,   5000,   10000,  15000,   20000, 30000,
    50000, 100000, 200000, 500000, 1000000, 0
};

#define NGX_HTTP_SANDBOX_METRIC(kind, name, unit, first, second, help)         \
    {                                                                          \
        "sandbox_" name, NGX_HTTP_SANDBOX_##kind, unit,                        \
            &ngx_http_sandbox_label_##first, &ngx_http_sandbox_label_##second, \
            NULL, help                                                         \
    }

#define NGX_HTTP_SANDBOX_METRIC_TIME(name, unit, bounds, help)                 \
    {                                                                          \
        "sandbox_" name, NGX_HTTP_SANDBOX_HISTOGRAM, unit,                     \
            &ngx_http_sandbox_label_none, &ngx_http_sandbox_label_none,        \
            ngx_http_sandbox_bounds_##bounds, help                             \
    }

static const ngx_http_sandbox_metric_t ngx_http_sandbox_metric_table[] = {
    [NGX_HTTP_SANDBOX_METRIC_CREATES] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "creates_total", 1, outcomes, none,
        "Creates by outcome: refused is a 4xx, failed a 500, unavailable a 503 "
        "or 504."),
    [NGX_HTTP_SANDBOX_METRIC_CREATE_TIME] = NGX_HTTP_SANDBOX_METRIC_TIME(
        "create_seconds", 1000, ms,
        "Time of creates that ended well, in the worker."),
    [NGX_HTTP_SANDBOX_METRIC_CREATE_STEPS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "create_step_seconds_total", 1000, steps, none,
        "Time of creates that ended well, by step."),
    [NGX_HTTP_SANDBOX_METRIC_STARTS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "starts_total", 1, ways, none,
        "Machines started, well or not: by a cold boot, from a checkpoint, or "
        "by a cold boot because the checkpoint failed."),
    [NGX_HTTP_SANDBOX_METRIC_DESTROYS] =
        NGX_HTTP_SANDBOX_METRIC(COUNTER, "destroys_total", 1, causes, none,
                                "Sandboxes destroyed, by cause."),
    [NGX_HTTP_SANDBOX_METRIC_LOST] =
        NGX_HTTP_SANDBOX_METRIC(COUNTER, "lost_total", 1, none, none,
                                "Sandboxes whose machine has ended by itself."),
    [NGX_HTTP_SANDBOX_METRIC_SANDBOXES] = NGX_HTTP_SANDBOX_METRIC(
        NODE, "sandboxes", 1, none, none,
        "Sandboxes that have a place on the node, at the last survey."),
    [NGX_HTTP_SANDBOX_METRIC_SANDBOXES_MAX] =
        NGX_HTTP_SANDBOX_METRIC(NODE, "sandboxes_max", 1, none, none,
                                "The sandboxes of sandbox_limits."),
    [NGX_HTTP_SANDBOX_METRIC_HIBERNATES] =
        NGX_HTTP_SANDBOX_METRIC(COUNTER, "hibernates_total", 1, ends, none,
                                "Hibernations that were begun, by outcome."),
    [NGX_HTTP_SANDBOX_METRIC_RESUMES] =
        NGX_HTTP_SANDBOX_METRIC(COUNTER, "resumes_total", 1, ends, none,
                                "Resumes that were begun, by outcome."),
    [NGX_HTTP_SANDBOX_METRIC_WAKES] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "wakes_total", 1, ends, none,
        "Wakes of sandboxes, one per worker that wanted it, by outcome."),
    [NGX_HTTP_SANDBOX_METRIC_WAKE_WAITS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "wake_waits_total", 1, waits, none,
        "Waits of requests for a sandbox to wake, by outcome: late is over "
        "sandbox_wake_timeout, left a client that went away."),
    [NGX_HTTP_SANDBOX_METRIC_WAKE_TIME] = NGX_HTTP_SANDBOX_METRIC_TIME(
        "wake_wait_seconds", 1000, ms,
        "How long requests waited for a sandbox to wake."),
    [NGX_HTTP_SANDBOX_METRIC_SNAPSHOTS] =
        NGX_HTTP_SANDBOX_METRIC(COUNTER, "snapshots_total", 1, outcomes, none,
                                "Reusable snapshots by outcome, as creates."),
    [NGX_HTTP_SANDBOX_METRIC_SNAPSHOT_TIME] = NGX_HTTP_SANDBOX_METRIC_TIME(
        "snapshot_seconds", 1000, ms,
        "Time of snapshots that were taken, in the worker."),
    [NGX_HTTP_SANDBOX_METRIC_SNAPSHOT_PAUSE] = NGX_HTTP_SANDBOX_METRIC_TIME(
        "snapshot_pause_seconds", 1000, ms,
        "How long the commands of a sandbox stood still for a snapshot."),
    [NGX_HTTP_SANDBOX_METRIC_TAKES] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "takes_total", 1, takes, none,
        "Running sandboxes that were forked, hibernated or taken a snapshot "
        "of, by how their memory was copied."),
    [NGX_HTTP_SANDBOX_METRIC_CHECKOUTS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "warm_pool_checkouts_total", 1, checkouts, none,
        "Creates that named a warm pool: hit got one of its members, miss was "
        "made without it, unavailable was refused."),
    [NGX_HTTP_SANDBOX_METRIC_MEMBERS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "warm_pool_members_total", 1, members, none,
        "Members of warm pools: made, not made, or given up because they "
        "answered no more."),
    [NGX_HTTP_SANDBOX_METRIC_OPERATIONS] = NGX_HTTP_SANDBOX_METRIC(
        GAUGE, "operations", 1, none, none, "Operations in flight."),
    [NGX_HTTP_SANDBOX_METRIC_OVERFLOWS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "thread_pool_overflows_total", 1, pools, none,
        "Tasks that found the queue of their thread pool, or of their tenant, "
        "full."),
    [NGX_HTTP_SANDBOX_METRIC_TENANT_WAITS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "thread_pool_tenant_waits_total", 1, none, none,
        "Tasks that had to wait because their tenant had its share of the slow "
        "threads."),
    [NGX_HTTP_SANDBOX_METRIC_API] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "api_requests_total", 1, routes, classes,
        "API requests by route and class of status."),
    [NGX_HTTP_SANDBOX_METRIC_TRAFFIC] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "traffic_requests_total", 1, traffics, none,
        "Requests to ports of sandboxes by outcome; proxied is whatever the "
        "guest answered, left a client that went away before."),
    [NGX_HTTP_SANDBOX_METRIC_LOOKUPS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "route_cache_lookups_total", 1, lookups, none,
        "Look-ups of routes; a miss reads Redis, joined ones wait for such a "
        "read."),
    [NGX_HTTP_SANDBOX_METRIC_LIMITS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "limited_total", 1, limits, none,
        "Requests that were refused or ended because of a limit."),
    [NGX_HTTP_SANDBOX_METRIC_REDIS_UP] = NGX_HTTP_SANDBOX_METRIC(
        GAUGE, "redis_connected", 1, links, none,
        "1 while the worker's connection to Redis stands."),
    [NGX_HTTP_SANDBOX_METRIC_REDIS_RECONNECTS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "redis_reconnects_total", 1, links, none,
        "Connections to Redis that came back after they were lost."),
    [NGX_HTTP_SANDBOX_METRIC_REDIS_TIMEOUTS] = NGX_HTTP_SANDBOX_METRIC(
        COUNTER, "redis_timeouts_total", 1, none, none,
        "Connections to Redis that were dropped because a command was not "
        "answered in time."),
    [NGX_HTTP_SANDBOX_METRIC_REDIS_ERRORS] =
        NGX_HTTP_SANDBOX_METRIC(COUNTER, "redis_errors_total", 1, none, none,
                                "Commands that Redis refused."),
    [NGX_HTTP_SANDBOX_METRIC_HYPERVISOR_AWAY] = NGX_HTTP_SANDBOX_METRIC(
        NODE, "hypervisor_away", 1, none, none,
        "1 if machines or disks could not be listed at the last survey."),
    [NGX_HTTP_SANDBOX_METRIC_FOREIGN] = NGX_HTTP_SANDBOX_METRIC(
        GAUGE, "node_foreign", 1, none, none,
        "1 while another host has the name of the node in this Redis."),
    [NGX_HTTP_SANDBOX_METRIC_LATENESS] = NGX_HTTP_SANDBOX_METRIC_TIME(
        "agenda_lateness_seconds", 1000, ms,
        "How late what was due was taken from the agenda."),
    [NGX_HTTP_SANDBOX_METRIC_LAG] = NGX_HTTP_SANDBOX_METRIC_TIME(
        "event_loop_lag_seconds", 1000000, us,
        "How late a timer of 10 ms was, for whatever reason."),
    [NGX_HTTP_SANDBOX_METRIC_STALL] = NGX_HTTP_SANDBOX_METRIC_TIME(
        "event_loop_stall_seconds", 1000000, us,
        "The longest turn of the event loop in 10 ms, less its wait for a CPU: "
        "what code of the worker or a blocking call has caused."),
    [NGX_HTTP_SANDBOX_METRIC_STALLS] =
        NGX_HTTP_SANDBOX_METRIC(COUNTER, "event_loop_stalls_total", 1, none,
                                none, "Stalls of more than 20 ms."),
    [NGX_HTTP_SANDBOX_METRIC_LAG_PEAK] = NGX_HTTP_SANDBOX_METRIC(
        PEAK, "event_loop_lag_seconds_max", 1000000, none, none,
        "The longest lag since nginx was started."),
    [NGX_HTTP_SANDBOX_METRIC_STALL_PEAK] = NGX_HTTP_SANDBOX_METRIC(
        PEAK, "event_loop_stall_seconds_max", 1000000, none, none,
        "The longest stall since nginx was started."),
};

static ngx_uint_t ngx_http_sandbox_metric_base[NGX_HTTP_SANDBOX_METRIC_N];

/* What a process without a slot counts into. */
static ngx_http_sandbox_slot_t ngx_http_sandbox_slot_nowhere;
static ngx_http_sandbox_slot_t *ngx_http_sandbox_slot =
    &ngx_http_sandbox_slot_nowhere;
static ngx_http_sandbox_slot_t *ngx_http_sandbox_slots;
/* Where the values of the node are: the first slot, which all workers write. */
static ngx_http_sandbox_slot_t *ngx_http_sandbox_slot_node =
    &ngx_http_sandbox_slot_nowhere;


/* Cells of a metric: one per series, or buckets (one is +Inf) and the sum. */
static ngx_uint_t
ngx_http_sandbox_metric_size(const ngx_http_sandbox_metric_t *m)
{
    ngx_uint_t n;

    if (m->kind != NGX_HTTP_SANDBOX_HISTOGRAM) {
        return m->first->n * m->second->n;
    }

    for (n = 0; m->bounds[n]; n++) { /* void */
    }

    return n + 2;
}


static ngx_int_t
ngx_http_sandbox_metric_layout(ngx_log_t *log)
{
    ngx_uint_t i, n;

    n = 0;

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_N; i++) {
        ngx_http_sandbox_metric_base[i] = n;
        n += ngx_http_sandbox_metric_size(&ngx_http_sandbox_metric_table[i]);
    }

    if (n > NGX_HTTP_SANDBOX_METRIC_CELLS) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "sandbox: metrics take %ui cells, a slot has %d", n,
                      NGX_HTTP_SANDBOX_METRIC_CELLS);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_sandbox_metrics_mapped(ngx_slab_pool_t *pool)
{
    ngx_http_sandbox_slots = pool->data;
}


static ngx_http_sandbox_shm_t ngx_http_sandbox_metrics_shm = {
    ngx_string("sandbox_metrics"),
    NGX_HTTP_SANDBOX_METRIC_SLOTS * sizeof(ngx_http_sandbox_slot_t),
    ngx_http_sandbox_metrics_mapped
};


ngx_int_t
ngx_http_sandbox_metrics_init(ngx_conf_t *cf, void *tag)
{
    if (ngx_http_sandbox_metric_layout(cf->log) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_sandbox_shm_add(cf, &ngx_http_sandbox_metrics_shm, tag)
        != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_sandbox_metric_pools_init(cf, tag);
}


void
ngx_http_sandbox_metrics_route(ngx_uint_t row, const char *name)
{
    ngx_http_sandbox_routes[row] = name;
}


/* 1 while the process that owns a slot lives. */
static ngx_uint_t
ngx_http_sandbox_slot_alive(ngx_http_sandbox_slot_t *slot)
{
    ngx_pid_t pid;

    pid = (ngx_pid_t) slot->pid;

    return pid && (kill(pid, 0) == 0 || ngx_errno != ESRCH);
}


ngx_uint_t
ngx_http_sandbox_metrics_alive(ngx_uint_t number)
{
    return ngx_http_sandbox_slot_alive(&ngx_http_sandbox_slots[number]);
}


/* Zeroes the gauges: they are of the worker that has the slot now. */
static void
ngx_http_sandbox_slot_reset(ngx_http_sandbox_slot_t *slot)
{
    ngx_uint_t i, n, base;
    const ngx_http_sandbox_metric_t *m;

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_N; i++) {
        m = &ngx_http_sandbox_metric_table[i];
        base = ngx_http_sandbox_metric_base[i];

        if (m->kind != NGX_HTTP_SANDBOX_GAUGE) {
            continue;
        }

        for (n = ngx_http_sandbox_metric_size(m); n; n--) {
            slot->cells[base + n - 1] = 0;
        }
    }
}


/* Takes a free slot; killed: one whose process died without giving it back. */
static ngx_http_sandbox_slot_t *
ngx_http_sandbox_slot_take(ngx_uint_t killed)
{
    ngx_uint_t i;
    ngx_atomic_uint_t pid;
    ngx_http_sandbox_slot_t *slot;

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_SLOTS; i++) {
        slot = &ngx_http_sandbox_slots[i];
        pid = slot->pid;

        if ((pid != 0) == killed && !ngx_http_sandbox_slot_alive(slot)
            && ngx_atomic_cmp_set(&slot->pid, pid, (ngx_atomic_uint_t) ngx_pid))
        {
            ngx_http_sandbox_slot_reset(slot);
            return slot;
        }
    }

    return NULL;
}


ngx_uint_t
ngx_http_sandbox_metrics_start(void)
{
    ngx_uint_t number;
    ngx_http_sandbox_slot_t *slot;

    slot = ngx_http_sandbox_slot_take(1);

    if (slot == NULL) {
        slot = ngx_http_sandbox_slot_take(0);
    }

    number = NGX_HTTP_SANDBOX_METRIC_SLOTS;

    if (slot) {
        number = (ngx_uint_t) (slot - ngx_http_sandbox_slots);
    } else {
        slot = &ngx_http_sandbox_slots[number - 1];
    }

    slot->used = 1;
    ngx_http_sandbox_slot = slot;
    ngx_http_sandbox_slot_node = &ngx_http_sandbox_slots[0];

    return number;
}


void
ngx_http_sandbox_metrics_stop(void)
{
    (void) ngx_atomic_cmp_set(&ngx_http_sandbox_slot->pid,
                              (ngx_atomic_uint_t) ngx_pid, 0);
    ngx_http_sandbox_slot = &ngx_http_sandbox_slot_nowhere;
    ngx_http_sandbox_slot_node = &ngx_http_sandbox_slot_nowhere;
}


static ngx_atomic_t *
ngx_http_sandbox_metric_cell(ngx_http_sandbox_metric_e metric, ngx_uint_t i)
{
    return &ngx_http_sandbox_slot
                ->cells[ngx_http_sandbox_metric_base[metric] + i];
}


void
ngx_http_sandbox_metric_add(ngx_http_sandbox_metric_e metric, ngx_uint_t label,
                            int64_t n)
{
    (void) ngx_atomic_fetch_add(ngx_http_sandbox_metric_cell(metric, label), n);
}


void
ngx_http_sandbox_metric_set(ngx_http_sandbox_metric_e metric, ngx_uint_t label,
                            int64_t value)
{
    ngx_atomic_t *cell;

    /* values of the node are only set, never added to */
    cell = ngx_http_sandbox_metric_table[metric].kind == NGX_HTTP_SANDBOX_NODE
               ? &ngx_http_sandbox_slot_node
                      ->cells[ngx_http_sandbox_metric_base[metric] + label]
               : ngx_http_sandbox_metric_cell(metric, label);

    *cell = (ngx_atomic_uint_t) value;
}


void
ngx_http_sandbox_metric_peak(ngx_http_sandbox_metric_e metric, int64_t value)
{
    ngx_atomic_t *cell;
    ngx_atomic_uint_t old;

    cell = ngx_http_sandbox_metric_cell(metric, 0);

    do {
        old = *cell;
    } while (value > (int64_t) old
             && !ngx_atomic_cmp_set(cell, old, (ngx_atomic_uint_t) value));
}


void
ngx_http_sandbox_metric_observe(ngx_http_sandbox_metric_e metric, int64_t value)
{
    ngx_uint_t i, n;
    const int64_t *bounds;

    bounds = ngx_http_sandbox_metric_table[metric].bounds;
    n = 0;

    while (bounds[n] && value > bounds[n]) {
        n++;
    }

    for (i = n; bounds[i]; i++) { /* void */
    }

    ngx_http_sandbox_metric_add(metric, n, 1);
    ngx_http_sandbox_metric_add(metric, i + 1, value);
}


/* What all workers have counted in a cell. */
static int64_t
ngx_http_sandbox_metric_sum(ngx_uint_t cell)
{
    int64_t sum;
    ngx_uint_t i;

    sum = 0;

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_SLOTS; i++) {
        if (ngx_http_sandbox_slots[i].used) {
            sum += (int64_t) ngx_http_sandbox_slots[i].cells[cell];
        }
    }

    return sum;
}


static void
ngx_http_sandbox_metric_number(sandbox_text_t *t,
                               const ngx_http_sandbox_metric_t *m,
                               int64_t value)
{
    int digits;

    digits = m->unit == 1000 ? 3 : 6;

    if (m->unit == 1) {
        sandbox_text_int(t, value);

    } else {
        sandbox_text_fmt(t, "%lld.%0*lld", (long long) (value / m->unit),
                         digits, (long long) (value % m->unit));
    }
}


/* One sample; worker is -1 where all are summed up. */
static void
ngx_http_sandbox_metric_sample(sandbox_text_t *t,
                               const ngx_http_sandbox_metric_t *m,
                               ngx_uint_t label, ngx_int_t worker,
                               int64_t value)
{
    const char *first, *second;

    first = m->first->name ? m->first->values[label / m->second->n] : NULL;
    second = m->second->name ? m->second->values[label % m->second->n] : NULL;

    if (m->first->name && first == NULL) {
        return;
    }

    sandbox_text_str(t, m->name);

    if (first || worker >= 0) {
        sandbox_text_str(t, "{");

        if (worker >= 0) {
            sandbox_text_fmt(t, "worker=\"%d\"", (int) worker);
            sandbox_text_str(t, first ? "," : "");
        }

        if (first) {
            sandbox_text_fmt(t, "%s=\"%s\"", m->first->name, first);
        }

        if (second) {
            sandbox_text_fmt(t, ",%s=\"%s\"", m->second->name, second);
        }

        sandbox_text_str(t, "}");
    }

    sandbox_text_str(t, " ");
    ngx_http_sandbox_metric_number(t, m, value);
    sandbox_text_str(t, "\n");
}


static void
ngx_http_sandbox_metric_histogram(sandbox_text_t *t,
                                  const ngx_http_sandbox_metric_t *m,
                                  ngx_uint_t base)
{
    int64_t count;
    ngx_uint_t i;

    count = 0;

    for (i = 0; m->bounds[i]; i++) {
        count += ngx_http_sandbox_metric_sum(base + i);
        sandbox_text_fmt(t, "%s_bucket{le=\"", m->name);
        ngx_http_sandbox_metric_number(t, m, m->bounds[i]);
        sandbox_text_fmt(t, "\"} %lld\n", (long long) count);
    }

    count += ngx_http_sandbox_metric_sum(base + i);
    sandbox_text_fmt(t, "%s_bucket{le=\"+Inf\"} %lld\n%s_sum ", m->name,
                     (long long) count, m->name);
    ngx_http_sandbox_metric_number(t, m,
                                   ngx_http_sandbox_metric_sum(base + i + 1));
    sandbox_text_fmt(t, "\n%s_count %lld\n", m->name, (long long) count);
}


static void
ngx_http_sandbox_metric_workers(sandbox_text_t *t,
                                const ngx_http_sandbox_metric_t *m,
                                ngx_uint_t base)
{
    ngx_uint_t i, n, size;
    ngx_http_sandbox_slot_t *slot;

    size = ngx_http_sandbox_metric_size(m);

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_SLOTS; i++) {
        slot = &ngx_http_sandbox_slots[i];

        if (!slot->used
            || (m->kind == NGX_HTTP_SANDBOX_GAUGE
                && !ngx_http_sandbox_slot_alive(slot)))
        {
            continue;
        }

        for (n = 0; n < size; n++) {
            ngx_http_sandbox_metric_sample(t, m, n, (ngx_int_t) i,
                                           (int64_t) slot->cells[base + n]);
        }
    }
}


void
ngx_http_sandbox_metrics_text(sandbox_text_t *t)
{
    ngx_uint_t i, n, base;
    const ngx_http_sandbox_metric_t *m;
    static const char *const types[] = { "counter", "histogram", "gauge",
                                         "gauge", "gauge" };

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_N; i++) {
        m = &ngx_http_sandbox_metric_table[i];
        base = ngx_http_sandbox_metric_base[i];

        sandbox_text_fmt(t, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help,
                         m->name, types[m->kind]);

        if (m->kind == NGX_HTTP_SANDBOX_HISTOGRAM) {
            ngx_http_sandbox_metric_histogram(t, m, base);
            continue;
        }

        if (m->kind == NGX_HTTP_SANDBOX_GAUGE
            || m->kind == NGX_HTTP_SANDBOX_PEAK) {
            ngx_http_sandbox_metric_workers(t, m, base);
            continue;
        }

        /* of a value of the node, other slots than the first have none */
        for (n = 0; n < ngx_http_sandbox_metric_size(m); n++) {
            ngx_http_sandbox_metric_sample(
                t, m, n, -1, ngx_http_sandbox_metric_sum(base + n));
        }
    }

    ngx_http_sandbox_metric_pools_text(t);
}
