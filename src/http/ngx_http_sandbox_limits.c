/*
 * Counters in shared memory for limits; see the header.  Knows neither
 * requests nor records.
 *
 * Connections: each worker counts in a row of its own, with a place for each
 * hash of an id, and the sum of a column is how many a sandbox has.  No other
 * worker writes into a row, so there is no lock and no atomic operation.  The
 * row of a worker that was killed is left out of sums, and cleared by the next
 * worker that gets it.  A worker for which there is no row counts in memory of
 * its own, which other workers do not see.  A worker counts a connection before
 * it compares the sum with the limit, so that there are never too many.
 * Sandboxes whose ids have the same hash share their limit: one in 16,384.  The
 * calls of a sandbox's agent are counted at another place than its visitors.
 *
 * Rates: a leaky bucket is one number for a tenant, the time at which the
 * bucket will be empty.  So it needs no repair when a worker is killed.  After
 * a reload with other limits a bucket may be fuller than it can be now: it then
 * counts as full.
 */

#include "ngx_http_sandbox_limits.h"

#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_shm.h"

#define NGX_HTTP_SANDBOX_LIMIT_PLACES 16384 /* 2 ^ (64 - shift) */
#define NGX_HTTP_SANDBOX_LIMIT_SHIFT 50
#define NGX_HTTP_SANDBOX_LIMIT_TENANTS 4096 /* a power of two */

/* The clocks of two workers, which are set once a turn, differ by less. */
#define NGX_HTTP_SANDBOX_LIMIT_SKEW_US 1000000

typedef struct {
    ngx_atomic_t nrows; /* rows that were ever used */
    ngx_atomic_t rates[NGX_HTTP_SANDBOX_RATES][NGX_HTTP_SANDBOX_LIMIT_TENANTS];
    ngx_http_sandbox_count_t rows[NGX_HTTP_SANDBOX_METRIC_SLOTS]
                                 [NGX_HTTP_SANDBOX_LIMIT_PLACES];
} ngx_http_sandbox_limits_table_t;


static ngx_http_sandbox_limits_table_t *ngx_http_sandbox_limits_table;
static ngx_http_sandbox_count_t *ngx_http_sandbox_limits_row;
static ngx_http_sandbox_count_t
    ngx_http_sandbox_limits_alone[NGX_HTTP_SANDBOX_LIMIT_PLACES];


static void
ngx_http_sandbox_limits_mapped(ngx_slab_pool_t *pool)
{
    ngx_http_sandbox_limits_table = pool->data;
}


static ngx_http_sandbox_shm_t ngx_http_sandbox_limits_shm = {
    ngx_string("sandbox_limits"), sizeof(ngx_http_sandbox_limits_table_t),
    ngx_http_sandbox_limits_mapped
};


ngx_int_t
ngx_http_sandbox_limits_init(ngx_conf_t *cf, void *tag)
{
    return ngx_http_sandbox_shm_add(cf, &ngx_http_sandbox_limits_shm, tag);
}


void
ngx_http_sandbox_limits_start(ngx_uint_t slot)
{
    ngx_atomic_uint_t n;
    ngx_http_sandbox_limits_table_t *table;

    if (slot == NGX_HTTP_SANDBOX_METRIC_SLOTS) {
        ngx_http_sandbox_limits_row = ngx_http_sandbox_limits_alone;
        return;
    }

    table = ngx_http_sandbox_limits_table;
    ngx_http_sandbox_limits_row = table->rows[slot];
    ngx_memzero(table->rows[slot], sizeof(table->rows[slot]));

    do {
        n = table->nrows;
    } while (n <= slot && !ngx_atomic_cmp_set(&table->nrows, n, slot + 1));
}


/* The sum of a place: over all rows, or over those of workers that live. */
static ngx_uint_t
ngx_http_sandbox_limits_sum(uint64_t place, ngx_uint_t all)
{
    ngx_uint_t i, n, sum;

    sum = ngx_http_sandbox_limits_alone[place];
    n = ngx_http_sandbox_limits_table->nrows;

    for (i = 0; i < n; i++) {
        if (all || ngx_http_sandbox_metrics_alive(i)) {
            sum += ngx_http_sandbox_limits_table->rows[i][place];
        }
    }

    return sum;
}


/* The counter, or NULL if there are max connections. */
static ngx_http_sandbox_count_t *
ngx_http_sandbox_limits_count(uint64_t place, ngx_uint_t max)
{
    ngx_http_sandbox_count_t *count;

    count = &ngx_http_sandbox_limits_row[place];

    if (*count == (ngx_http_sandbox_count_t) -1) {
        return NULL;
    }

    (*count)++;
    ngx_memory_barrier();

    /* asks the kernel which workers live only when it matters */
    if (ngx_http_sandbox_limits_sum(place, 1) > max
        && ngx_http_sandbox_limits_sum(place, 0) > max)
    {
        (*count)--;
        return NULL;
    }

    return count;
}


ngx_int_t
ngx_http_sandbox_limits_enter(ngx_http_sandbox_count_t **count,
                              ngx_http_sandbox_connections_e which,
                              const char *id)
{
    uint64_t place;
    ngx_uint_t max;

    max = ngx_http_sandbox_worker.conf->max_connections;

    if (max == 0) {
        return NGX_OK;
    }

    /* the end of an id is random */
    ngx_memcpy(&place, id + SANDBOX_ID_LEN - sizeof(place), sizeof(place));
    place += which;
    place *= 0x9e3779b97f4a7c15;
    place >>= NGX_HTTP_SANDBOX_LIMIT_SHIFT;

    if (*count) {
        if (*count == &ngx_http_sandbox_limits_row[place]) {
            return NGX_OK;
        }

        ngx_http_sandbox_limits_leave(count);
    }

    *count = ngx_http_sandbox_limits_count(place, max);

    if (*count) {
        return NGX_OK;
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_LIMITS,
                                which == NGX_HTTP_SANDBOX_TO_AGENT
                                    ? NGX_HTTP_SANDBOX_LIMIT_API_CONNECTIONS
                                    : NGX_HTTP_SANDBOX_LIMIT_CONNECTIONS,
                                1);

    return NGX_BUSY;
}


void
ngx_http_sandbox_limits_leave(ngx_http_sandbox_count_t **count)
{
    if (*count) {
        (**count)--;
        *count = NULL;
    }
}


ngx_uint_t
ngx_http_sandbox_limits_rate(ngx_http_sandbox_rate_e which, uint64_t tenant)
{
    uint64_t now, empty, full, old;
    ngx_atomic_t *cell;
    ngx_http_sandbox_rate_t *rate;

    rate = &ngx_http_sandbox_worker.conf->rates[which];

    if (rate->interval == 0) {
        return 0;
    }

    now = (uint64_t) ngx_current_msec * 1000;
    full = now + rate->burst * rate->interval;
    cell = &ngx_http_sandbox_limits_table
                ->rates[which][tenant & (NGX_HTTP_SANDBOX_LIMIT_TENANTS - 1)];

    do {
        old = *cell;
        empty = old > now ? old : now;

        if (empty > full + rate->interval + NGX_HTTP_SANDBOX_LIMIT_SKEW_US) {
            empty = full; /* counted by other limits */
        }

        if (empty > full) {
            return (ngx_uint_t) ((empty - full) / 1000000) + 1;
        }
    } while (!ngx_atomic_cmp_set(cell, old, empty + rate->interval));

    return 0;
}
