/* Metrics of operations; see the header. */

#include "ngx_http_sandbox_counts.h"

#include "ngx_http_sandbox_metrics.h"


/* The time of a create that made a sandbox. */
static void
ngx_http_sandbox_count_times(const ngx_http_sandbox_op_times_t *times)
{
    ngx_uint_t i;
    const int64_t steps[] = {
        [NGX_HTTP_SANDBOX_STEP_QUEUE] = times->queue,
        [NGX_HTTP_SANDBOX_STEP_DISK] = times->hypervisor.disk_ms,
        [NGX_HTTP_SANDBOX_STEP_DOMAIN] = times->hypervisor.domain_ms,
        [NGX_HTTP_SANDBOX_STEP_GUEST] = times->guest,
        [NGX_HTTP_SANDBOX_STEP_COMMIT] = times->commit,
    };

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_CREATE_STEPS, i,
                                    steps[i]);
    }

    ngx_http_sandbox_metric_observe(NGX_HTTP_SANDBOX_METRIC_CREATE_TIME,
                                    times->total);
}


void
ngx_http_sandbox_count_create(ngx_http_sandbox_op_t *op, ngx_uint_t joined)
{
    ngx_uint_t outcome;

    if (op->error) {
        if (op->error->status < NGX_HTTP_INTERNAL_SERVER_ERROR) {
            return;
        }

        outcome = op->error->status == NGX_HTTP_INTERNAL_SERVER_ERROR
                      ? NGX_HTTP_SANDBOX_CREATE_FAILED
                      : NGX_HTTP_SANDBOX_CREATE_UNAVAILABLE;

    } else if (op->status == 0) {
        /* a joiner whose client has left */
        return;

    } else if (op->replayed) {
        outcome = joined ? NGX_HTTP_SANDBOX_CREATE_JOINED
                         : NGX_HTTP_SANDBOX_CREATE_REPLAYED;

    } else {
        outcome = NGX_HTTP_SANDBOX_CREATE_MADE;
        ngx_http_sandbox_count_times(&op->times);
    }

    ngx_http_sandbox_metric_add(NGX_HTTP_SANDBOX_METRIC_CREATES, outcome, 1);
}
