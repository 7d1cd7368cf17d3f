/* The sandbox object as JSON; see the header. */

#include "ngx_http_sandbox_object.h"

#include "sandbox_time.h"


static const char *
ngx_http_sandbox_status(ngx_http_sandbox_state_e state)
{
    switch (state) {
    case NGX_HTTP_SANDBOX_CREATING:
        return "creating";
    case NGX_HTTP_SANDBOX_RUNNING:
        return "running";
    case NGX_HTTP_SANDBOX_PAUSED:
        return "paused";
    case NGX_HTTP_SANDBOX_DESTROYING:
    case NGX_HTTP_SANDBOX_DESTROYED:
        return "destroyed";
    case NGX_HTTP_SANDBOX_FAILED:
        break;
    }

    return "error";
}


static void
ngx_http_sandbox_object_string(sandbox_text_t *t, const char *name,
                               const char *value)
{
    sandbox_text_fmt(t, ",\"%s\":", name);
    sandbox_text_json_string(t, value, strlen(value));
}


static void
ngx_http_sandbox_object_time(sandbox_text_t *t, const char *name, int64_t ms)
{
    char text[SANDBOX_TIME_SIZE];

    sandbox_time_format(text, ms);
    ngx_http_sandbox_object_string(t, name, text);
}


void
ngx_http_sandbox_object(sandbox_text_t *t,
                        const ngx_http_sandbox_record_t *record,
                        const char *token)
{
    sandbox_text_fmt(t, "{\"id\":\"%s\",\"status\":\"%s\"", record->id,
                     ngx_http_sandbox_status(record->state));
    sandbox_text_fmt(t,
                     ",\"config\":{\"vcpus\":%lld,\"memory_mb\":%lld,"
                     "\"disk_mb\":%lld}",
                     (long long) record->vcpus, (long long) record->memory_mb,
                     (long long) record->disk_mb);

    ngx_http_sandbox_object_string(t, "template", record->template);
    ngx_http_sandbox_object_time(t, "created_at", record->created_at);

    sandbox_text_str(t, ",\"metadata\":");
    sandbox_text_str(t, record->metadata);

    if (record->started_at) {
        ngx_http_sandbox_object_time(t, "started_at", record->started_at);
    }

    sandbox_text_fmt(t, ",\"timeout_ms\":%lld", (long long) record->timeout_ms);

    if (record->timeout_at) {
        ngx_http_sandbox_object_time(t, "timeout_at", record->timeout_at);
        ngx_http_sandbox_object_time(t, "expires_at", record->timeout_at);
    }

    sandbox_text_str(t, ",\"timeout_action\":\"destroy\"");

    if (record->cwd) {
        ngx_http_sandbox_object_string(t, "cwd", record->cwd);
    }

    if (token) {
        ngx_http_sandbox_object_string(t, "traffic_access_token", token);
    }

    sandbox_text_str(t, "}");
}
