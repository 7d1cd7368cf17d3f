/* Warm pools as JSON; see the header. */

#include "ngx_http_sandbox_pool_object.h"

#include "sandbox_time.h"


/* ,"name":"value", or null if there is none. */
static void
ngx_http_sandbox_pool_string(sandbox_text_t *t, const char *name,
                             const char *value)
{
    sandbox_text_fmt(t, ",\"%s\":", name);

    if (value && *value) {
        sandbox_text_json_string(t, value, strlen(value));
    } else {
        sandbox_text_str(t, "null");
    }
}


static void
ngx_http_sandbox_pool_number(sandbox_text_t *t, const char *name, int64_t n)
{
    sandbox_text_fmt(t, ",\"%s\":%lld", name, (long long) n);
}


static void
ngx_http_sandbox_pool_time(sandbox_text_t *t, const char *name, int64_t ms)
{
    char text[SANDBOX_TIME_SIZE];

    sandbox_time_format(text, ms);
    sandbox_text_fmt(t, ",\"%s\":\"%s\"", name, text);
}


/* {"id":…,"status":…: what both objects begin with. */
static void
ngx_http_sandbox_pool_head(sandbox_text_t *t,
                           const ngx_http_sandbox_pool_t *pool)
{
    sandbox_text_fmt(t, "{\"id\":\"%s\"", pool->id);
    ngx_http_sandbox_pool_string(t, "status", pool->state);
}


void
ngx_http_sandbox_pool_object(sandbox_text_t *t,
                             const ngx_http_sandbox_pool_t *pool)
{
    ngx_http_sandbox_pool_head(t, pool);
    ngx_http_sandbox_pool_string(t, "name", pool->name);
    ngx_http_sandbox_pool_string(t, "template_ref", pool->template);
    ngx_http_sandbox_pool_string(t, "template_version", pool->version);
    sandbox_text_fmt(t,
                     ",\"resources\":{\"vcpus\":%lld,\"memory_mb\":%lld,"
                     "\"disk_mb\":%lld}",
                     (long long) pool->vcpus, (long long) pool->memory_mb,
                     (long long) pool->disk_mb);
    ngx_http_sandbox_pool_number(t, "min_ready", pool->min_ready);
    ngx_http_sandbox_pool_number(t, "max_ready", pool->max_ready);
    ngx_http_sandbox_pool_string(t, "checkout_policy", pool->checkout_policy);
    ngx_http_sandbox_pool_number(t, "idle_timeout_seconds",
                                 pool->idle_timeout_ms / 1000);
    ngx_http_sandbox_pool_number(t, "stale_after_seconds",
                                 pool->stale_after_ms / 1000);
    ngx_http_sandbox_pool_string(t, "version_policy", pool->version_policy);
    ngx_http_sandbox_pool_string(t, "track_tag", pool->track_tag);
    sandbox_text_str(t, ",\"labels\":");
    sandbox_text_str(t, pool->labels);
    sandbox_text_str(t, ",\"metadata\":");
    sandbox_text_str(t, pool->metadata);
    ngx_http_sandbox_pool_time(t, "created_at", pool->created_at);
    ngx_http_sandbox_pool_time(t, "updated_at", pool->updated_at);
    sandbox_text_str(t, "}");
}


void
ngx_http_sandbox_pool_status(sandbox_text_t *t,
                             const ngx_http_sandbox_pool_t *pool)
{
    int64_t missing;

    missing = pool->target - pool->ready - pool->warming;

    ngx_http_sandbox_pool_head(t, pool);
    ngx_http_sandbox_pool_number(t, "target", pool->target);
    ngx_http_sandbox_pool_number(t, "ready", pool->ready);
    ngx_http_sandbox_pool_number(t, "warming", pool->warming);
    ngx_http_sandbox_pool_number(t, "claimed", pool->claimed);
    ngx_http_sandbox_pool_number(t, "draining", pool->draining);
    ngx_http_sandbox_pool_number(t, "failed", pool->failed);
    ngx_http_sandbox_pool_number(t, "expired", pool->expired);
    ngx_http_sandbox_pool_number(t, "unavailable", ngx_max(missing, 0));
    ngx_http_sandbox_pool_string(t, "reason", pool->reason);

    if (pool->reason) {
        ngx_http_sandbox_pool_time(t, "reason_at", pool->reason_at);
    }

    sandbox_text_str(t, "}");
}
