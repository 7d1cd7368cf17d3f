/*
 * Gauges of warm pools: one row a pool, written by the worker that tended the
 * pool last, in a shared memory zone of its own.
 */

#include "ngx_http_sandbox_metrics.h"

#include "ngx_http_sandbox_shm.h"

#include "sandbox_time.h"

typedef struct {
    char id[NGX_HTTP_SANDBOX_METRIC_POOL_ID];
    int64_t until_ms; /* monotonic; then the row is out of date, and free */
    int64_t values[NGX_HTTP_SANDBOX_METRIC_POOL_N];
} ngx_http_sandbox_pool_row_t;


/* In the order of the values. */
static const char *const ngx_http_sandbox_pool_states[] = {
    "ready", "warming", "claimed", "draining", "failed", "expired",
};

static ngx_slab_pool_t *ngx_http_sandbox_pool_slab;
static ngx_http_sandbox_pool_row_t *ngx_http_sandbox_pool_rows;


static void
ngx_http_sandbox_metric_pools_mapped(ngx_slab_pool_t *pool)
{
    ngx_http_sandbox_pool_slab = pool;
    ngx_http_sandbox_pool_rows = pool->data;
}


static ngx_http_sandbox_shm_t ngx_http_sandbox_metric_pools_shm = {
    ngx_string("sandbox_metrics_pools"),
    NGX_HTTP_SANDBOX_METRIC_POOLS * sizeof(ngx_http_sandbox_pool_row_t),
    ngx_http_sandbox_metric_pools_mapped
};


ngx_int_t
ngx_http_sandbox_metric_pools_init(ngx_conf_t *cf, void *tag)
{
    return ngx_http_sandbox_shm_add(cf, &ngx_http_sandbox_metric_pools_shm,
                                    tag);
}


/* The row of a pool, else one that is free; NULL if there is none. */
static ngx_http_sandbox_pool_row_t *
ngx_http_sandbox_metric_pool_row(const char *id, int64_t now)
{
    ngx_uint_t i;
    ngx_http_sandbox_pool_row_t *row, *unused;

    unused = NULL;

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_POOLS; i++) {
        row = &ngx_http_sandbox_pool_rows[i];

        if (ngx_strncmp(row->id, id, sizeof(row->id)) == 0) {
            return row;
        }

        if (unused == NULL && row->until_ms <= now) {
            unused = row;
        }
    }

    return unused;
}


void
ngx_http_sandbox_metric_pool(const char *id, const int64_t *values, int64_t ms)
{
    int64_t now;
    ngx_http_sandbox_pool_row_t *row;

    now = sandbox_time_monotonic_ms();

    ngx_shmtx_lock(&ngx_http_sandbox_pool_slab->mutex);

    row = ngx_http_sandbox_metric_pool_row(id, now);

    if (row) {
        ngx_cpystrn((u_char *) row->id, (u_char *) id, sizeof(row->id));
        row->until_ms = ms ? now + ms : 0;

        if (ms) {
            ngx_memcpy(row->values, values, sizeof(row->values));
        }
    }

    ngx_shmtx_unlock(&ngx_http_sandbox_pool_slab->mutex);
}


/* Copies the rows that are not out of date; gives how many there are. */
static ngx_uint_t
ngx_http_sandbox_metric_pools_read(ngx_http_sandbox_pool_row_t *rows)
{
    int64_t now;
    ngx_uint_t i, n;

    n = 0;
    now = sandbox_time_monotonic_ms();

    ngx_shmtx_lock(&ngx_http_sandbox_pool_slab->mutex);

    for (i = 0; i < NGX_HTTP_SANDBOX_METRIC_POOLS; i++) {
        if (ngx_http_sandbox_pool_rows[i].until_ms > now) {
            rows[n++] = ngx_http_sandbox_pool_rows[i];
        }
    }

    ngx_shmtx_unlock(&ngx_http_sandbox_pool_slab->mutex);

    return n;
}


void
ngx_http_sandbox_metric_pools_text(sandbox_text_t *t)
{
    ngx_uint_t i, k, n;
    ngx_http_sandbox_pool_row_t rows[NGX_HTTP_SANDBOX_METRIC_POOLS];

    n = ngx_http_sandbox_metric_pools_read(rows);

    sandbox_text_str(t,
                     "# HELP sandbox_warm_pool_sandboxes Sandboxes of a warm "
                     "pool whose lease this node has, by their state.\n"
                     "# TYPE sandbox_warm_pool_sandboxes gauge\n");

    for (i = 0; i < n; i++) {
        for (k = 0; k < NGX_HTTP_SANDBOX_METRIC_POOL_TARGET; k++) {
            sandbox_text_fmt(t,
                             "sandbox_warm_pool_sandboxes{pool=\"%s\","
                             "state=\"%s\"} %lld\n",
                             rows[i].id, ngx_http_sandbox_pool_states[k],
                             (long long) rows[i].values[k]);
        }
    }

    sandbox_text_str(t, "# HELP sandbox_warm_pool_target Members that are to "
                        "be ready.\n"
                        "# TYPE sandbox_warm_pool_target gauge\n");

    for (i = 0; i < n; i++) {
        sandbox_text_fmt(
            t, "sandbox_warm_pool_target{pool=\"%s\"} %lld\n", rows[i].id,
            (long long) rows[i].values[NGX_HTTP_SANDBOX_METRIC_POOL_TARGET]);
    }
}
