/*
 * Counters, gauges and histograms of all workers, in shared memory.
 *
 * What each metric is stands in the table of ngx_http_sandbox_metrics.c; what
 * it tells of is counted where it happens.  Each worker counts into a slot of
 * its own, so that workers neither wait for each other nor share cache lines,
 * and a killed worker leaves no lock behind.  What a worker has counted
 * outlives it and a reload; only a restart of nginx begins at 0.
 *
 * Event loop only.  Before a worker has its slot, and in the master, all these
 * functions may be called, but count nowhere.
 */

#ifndef NGX_HTTP_SANDBOX_METRICS_H
#define NGX_HTTP_SANDBOX_METRICS_H

#include <ngx_config.h>
#include <ngx_core.h>

#include "sandbox_text.h"

typedef enum {
    NGX_HTTP_SANDBOX_METRIC_CREATES = 0,
    NGX_HTTP_SANDBOX_METRIC_CREATE_TIME,
    NGX_HTTP_SANDBOX_METRIC_CREATE_STEPS,
    NGX_HTTP_SANDBOX_METRIC_STARTS,
    NGX_HTTP_SANDBOX_METRIC_DESTROYS,
    NGX_HTTP_SANDBOX_METRIC_LOST,
    NGX_HTTP_SANDBOX_METRIC_SANDBOXES,
    NGX_HTTP_SANDBOX_METRIC_SANDBOXES_MAX,
    NGX_HTTP_SANDBOX_METRIC_HIBERNATES,
    NGX_HTTP_SANDBOX_METRIC_RESUMES,
    NGX_HTTP_SANDBOX_METRIC_WAKES,
    NGX_HTTP_SANDBOX_METRIC_WAKE_WAITS,
    NGX_HTTP_SANDBOX_METRIC_WAKE_TIME,
    NGX_HTTP_SANDBOX_METRIC_SNAPSHOTS,
    NGX_HTTP_SANDBOX_METRIC_SNAPSHOT_TIME,
    NGX_HTTP_SANDBOX_METRIC_SNAPSHOT_PAUSE,
    NGX_HTTP_SANDBOX_METRIC_TAKES,
    NGX_HTTP_SANDBOX_METRIC_CHECKOUTS,
    NGX_HTTP_SANDBOX_METRIC_MEMBERS,
    NGX_HTTP_SANDBOX_METRIC_OPERATIONS,
    NGX_HTTP_SANDBOX_METRIC_OVERFLOWS,
    NGX_HTTP_SANDBOX_METRIC_TENANT_WAITS,
    NGX_HTTP_SANDBOX_METRIC_API,
    NGX_HTTP_SANDBOX_METRIC_TRAFFIC,
    NGX_HTTP_SANDBOX_METRIC_LOOKUPS,
    NGX_HTTP_SANDBOX_METRIC_LIMITS,
    NGX_HTTP_SANDBOX_METRIC_REDIS_UP,
    NGX_HTTP_SANDBOX_METRIC_REDIS_RECONNECTS,
    NGX_HTTP_SANDBOX_METRIC_REDIS_TIMEOUTS,
    NGX_HTTP_SANDBOX_METRIC_REDIS_ERRORS,
    NGX_HTTP_SANDBOX_METRIC_HYPERVISOR_AWAY,
    NGX_HTTP_SANDBOX_METRIC_FOREIGN,
    NGX_HTTP_SANDBOX_METRIC_LATENESS,
    NGX_HTTP_SANDBOX_METRIC_LAG,
    NGX_HTTP_SANDBOX_METRIC_STALL,
    NGX_HTTP_SANDBOX_METRIC_STALLS,
    NGX_HTTP_SANDBOX_METRIC_LAG_PEAK,
    NGX_HTTP_SANDBOX_METRIC_STALL_PEAK,
    NGX_HTTP_SANDBOX_METRIC_N
} ngx_http_sandbox_metric_e;

/* Values of labels; ngx_http_sandbox_metrics.c has their texts. */
/* Of creates and snapshots. */
enum {
    NGX_HTTP_SANDBOX_CREATE_MADE = 0,
    NGX_HTTP_SANDBOX_CREATE_REPLAYED,
    NGX_HTTP_SANDBOX_CREATE_JOINED,
    NGX_HTTP_SANDBOX_CREATE_REFUSED, /* a 4xx */
    NGX_HTTP_SANDBOX_CREATE_FAILED,  /* a 500 */
    NGX_HTTP_SANDBOX_CREATE_UNAVAILABLE
};

enum {
    NGX_HTTP_SANDBOX_CHECKOUT_HIT = 0,
    NGX_HTTP_SANDBOX_CHECKOUT_MISS,       /* made without the pool */
    NGX_HTTP_SANDBOX_CHECKOUT_UNAVAILABLE /* refused */
};

enum {
    NGX_HTTP_SANDBOX_MEMBER_READY = 0,
    NGX_HTTP_SANDBOX_MEMBER_FAILED, /* the member could not be made */
    NGX_HTTP_SANDBOX_MEMBER_UNFIT   /* the member answered no more */
};

enum {
    NGX_HTTP_SANDBOX_STEP_QUEUE = 0,
    NGX_HTTP_SANDBOX_STEP_TAKE,
    NGX_HTTP_SANDBOX_STEP_CHECKPOINT,
    NGX_HTTP_SANDBOX_STEP_DISK,
    NGX_HTTP_SANDBOX_STEP_DOMAIN,
    NGX_HTTP_SANDBOX_STEP_GUEST,
    NGX_HTTP_SANDBOX_STEP_COMMIT
};

enum { NGX_HTTP_SANDBOX_OUTCOME_DONE = 0, NGX_HTTP_SANDBOX_OUTCOME_FAILED };

enum {
    NGX_HTTP_SANDBOX_WAKE_SERVED = 0,
    NGX_HTTP_SANDBOX_WAKE_FAILED,
    NGX_HTTP_SANDBOX_WAKE_LATE,
    NGX_HTTP_SANDBOX_WAKE_LEFT /* the client went away */
};

enum {
    NGX_HTTP_SANDBOX_CAUSE_API = 0,
    NGX_HTTP_SANDBOX_CAUSE_DEADLINE,
    NGX_HTTP_SANDBOX_CAUSE_LEASE, /* its operation was cut short */
    NGX_HTTP_SANDBOX_CAUSE_ORPHAN /* the sandbox had no record */
};

enum {
    NGX_HTTP_SANDBOX_TRAFFIC_PROXIED = 0,
    NGX_HTTP_SANDBOX_TRAFFIC_REFUSED,
    NGX_HTTP_SANDBOX_TRAFFIC_NOT_FOUND,
    NGX_HTTP_SANDBOX_TRAFFIC_UNREACHABLE,
    NGX_HTTP_SANDBOX_TRAFFIC_UNAVAILABLE,
    NGX_HTTP_SANDBOX_TRAFFIC_FAILED,
    NGX_HTTP_SANDBOX_TRAFFIC_LEFT /* the client, before any answer */
};

enum {
    NGX_HTTP_SANDBOX_LOOKUP_HIT = 0,
    NGX_HTTP_SANDBOX_LOOKUP_MISS,
    NGX_HTTP_SANDBOX_LOOKUP_JOINED
};

enum {
    NGX_HTTP_SANDBOX_LIMIT_CONNECTIONS = 0,
    NGX_HTTP_SANDBOX_LIMIT_API_CONNECTIONS,
    NGX_HTTP_SANDBOX_LIMIT_RATE,
    NGX_HTTP_SANDBOX_LIMIT_API_RATE,
    NGX_HTTP_SANDBOX_LIMIT_WAKES,
    NGX_HTTP_SANDBOX_LIMIT_AGE
};

enum { NGX_HTTP_SANDBOX_LINK_COMMANDS = 0, NGX_HTTP_SANDBOX_LINK_EVENTS };

enum {
    NGX_HTTP_SANDBOX_POOL_QUICK = 0,
    NGX_HTTP_SANDBOX_POOL_SLOW,
    NGX_HTTP_SANDBOX_POOL_REFILL
};

/* Rows of the API's route table that are told apart. */
#define NGX_HTTP_SANDBOX_METRIC_ROUTES 64

/* Classes of status, "1xx" to "5xx"; others count as the nearest. */
#define NGX_HTTP_SANDBOX_METRIC_CLASSES 5

/* From init_main_conf: the shared memory zones. */
ngx_int_t ngx_http_sandbox_metrics_init(ngx_conf_t *cf, void *tag);

/* The label of a row of the API's route table; name is static. */
void ngx_http_sandbox_metrics_route(ngx_uint_t row, const char *name);

/*
 * From init_process and exit_process.  start takes a slot and gives its number,
 * or NGX_HTTP_SANDBOX_METRIC_SLOTS if the worker has to share the last slot;
 * stop gives the slot back.
 */
#define NGX_HTTP_SANDBOX_METRIC_SLOTS 128

ngx_uint_t ngx_http_sandbox_metrics_start(void);
void ngx_http_sandbox_metrics_stop(void);
/* 1 while the worker that has the slot of this number lives. */
ngx_uint_t ngx_http_sandbox_metrics_alive(ngx_uint_t number);

/*
 * label is the index of the label's value, 0 if there is none; with two
 * labels, first * (values of the second) + second.  Values are in the unit
 * that the table says.  One of the node replaces what any worker has set.
 */
void ngx_http_sandbox_metric_add(ngx_http_sandbox_metric_e metric,
                                 ngx_uint_t label, int64_t n);
void ngx_http_sandbox_metric_set(ngx_http_sandbox_metric_e metric,
                                 ngx_uint_t label, int64_t value);
void
ngx_http_sandbox_metric_peak(ngx_http_sandbox_metric_e metric, int64_t value);
void ngx_http_sandbox_metric_observe(ngx_http_sandbox_metric_e metric,
                                     int64_t value);

/*
 * Gauges of warm pools, for at most so many pools; the values of a row are how
 * many of its sandboxes are ready, warming, claimed, draining, failed and
 * expired, and its target.
 */
#define NGX_HTTP_SANDBOX_METRIC_POOLS 128
#define NGX_HTTP_SANDBOX_METRIC_POOL_ID 32 /* bytes, with the NUL */
#define NGX_HTTP_SANDBOX_METRIC_POOL_TARGET 6
#define NGX_HTTP_SANDBOX_METRIC_POOL_N 7

ngx_int_t ngx_http_sandbox_metric_pools_init(ngx_conf_t *cf, void *tag);

/* Sets the gauges of a pool, for ms; 0: this node no longer has the pool. */
void
ngx_http_sandbox_metric_pool(const char *id, const int64_t *values, int64_t ms);
void ngx_http_sandbox_metric_pools_text(sandbox_text_t *t);

/* What "git describe" says of the clone this is built from, or "unknown". */
extern const char ngx_http_sandbox_version[];

/* Appends all metrics in Prometheus' text format 0.0.4. */
void ngx_http_sandbox_metrics_text(sandbox_text_t *t);

/* The location's directive "sandbox_metrics on". */
char *ngx_http_sandbox_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * The timer that measures how late this worker's event loop is; from
 * init_process and exit_process.
 */
void ngx_http_sandbox_loop_start(ngx_cycle_t *cycle);
void ngx_http_sandbox_loop_stop(void);

#endif
