/* Metrics of operations; see the header. */

#include "ngx_http_sandbox_counts.h"

#include "ngx_http_sandbox_metrics.h"


/* The time of a create that made a sandbox. */
static void
ngx_http_sandbox_count_times(const ngx_http_sandbox_op_times_t *times)
{
    ngx_uint_t i;
    const int64_t steps[] = {
        [NGX_HTTP_SANDBOX_STEP_QUEUE] = times->queue_ms,
        [NGX_HTTP_SANDBOX_STEP_TAKE] = times->take_ms,
        [NGX_HTTP_SANDBOX_STEP_CHECKPOINT] = times->checkpoint_ms,
        [NGX_HTTP_SANDBOX_STEP_DISK] = times->hypervisor.disk_ms,
        [NGX_HTTP_SANDBOX_STEP_DOMAIN] = times->hypervisor.domain_ms,
        [NGX_HTTP_SANDBOX_STEP_GUEST] = times->guest_ms,
        [NGX_HTTP_SANDBOX_STEP_COMMIT] = times->commit_ms,
    };

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_CREATE_STEPS, i,
                                    steps[i]);
    }

    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_CREATE_TIME,
                                    times->total_ms);
}


/* The outcome of an operation with a key; -1 if it is not counted here. */
static ngx_int_t
ngx_http_sandbox_count_outcome(const ngx_http_sandbox_op_t *op,
                               ngx_uint_t joined)
{
    if (op->error) {
        if (op->error->status < NGX_HTTP_INTERNAL_SERVER_ERROR) {
            return -1;
        }

        return op->error->status == NGX_HTTP_INTERNAL_SERVER_ERROR
                   ? NGX_HTTP_SANDBOX_CREATE_FAILED
                   : NGX_HTTP_SANDBOX_CREATE_UNAVAILABLE;
    }

    if (op->status == 0) {
        /* the client left while the operation waited for the first one */
        return -1;
    }

    if (op->replayed) {
        return joined ? NGX_HTTP_SANDBOX_CREATE_JOINED
                      : NGX_HTTP_SANDBOX_CREATE_REPLAYED;
    }

    return NGX_HTTP_SANDBOX_CREATE_MADE;
}


/* Counts op in a metric of outcomes; 1 if op has made something. */
static ngx_uint_t
ngx_http_sandbox_count_keyed(const ngx_http_sandbox_op_t *op, ngx_uint_t joined,
                             ngx_http_sandbox_metric_e metric)
{
    ngx_int_t outcome;

    outcome = ngx_http_sandbox_count_outcome(op, joined);

    if (outcome >= 0) {
        ngx_http_sandbox_metric_add(metric, (ngx_uint_t) outcome, 1);
    }

    return outcome == NGX_HTTP_SANDBOX_CREATE_MADE;
}


void
ngx_http_sandbox_count_create(ngx_http_sandbox_op_t *op, ngx_uint_t joined)
{
    if (ngx_http_sandbox_count_keyed(op, joined,
                                     NGX_HTTP_SANDBOX_METRIC_CREATES)) {
        ngx_http_sandbox_count_times(&op->times);
    }
}


void
ngx_http_sandbox_count_snapshot(ngx_http_sandbox_op_t *op, ngx_uint_t joined)
{
    if (ngx_http_sandbox_count_keyed(op, joined,
                                     NGX_HTTP_SANDBOX_METRIC_SNAPSHOTS)) {
        ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_SNAPSHOT_TIME,
                                        op->times.total_ms);
    }
}


void
ngx_http_sandbox_count_member(ngx_http_sandbox_op_t *op)
{
    if (op->error == NULL) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_MEMBERS,
                                    NGX_HTTP_SANDBOX_MEMBER_READY, 1);

    } else if (op->error->status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_MEMBERS,
                                    NGX_HTTP_SANDBOX_MEMBER_FAILED, 1);
    }
}
