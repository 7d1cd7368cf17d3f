/* The sandbox object as JSON; see the header. */

#include "ngx_http_sandbox_object.h"

#include "sandbox_time.h"


typedef enum {
    NGX_HTTP_SANDBOX_OBJECT_STRING, /* left out if NULL */
    NGX_HTTP_SANDBOX_OBJECT_NUMBER,
    NGX_HTTP_SANDBOX_OBJECT_TIME, /* left out if 0 */
    NGX_HTTP_SANDBOX_OBJECT_JSON, /* left out if NULL */
    NGX_HTTP_SANDBOX_OBJECT_STATUS,
    NGX_HTTP_SANDBOX_OBJECT_CONFIG
} ngx_http_sandbox_object_kind_e;

/* clang-format off */

#define NAME(name) { name, sizeof(name) - 1, ",\"" name "\":" }
#define MEMBER(name, kind, field)                                              \
    { NAME(name), NGX_HTTP_SANDBOX_OBJECT_##kind,                              \
      offsetof(ngx_http_sandbox_record_t, field) }

/* text: what is written before a value, as most of an object is names. */
typedef struct {
    const char *name;
    size_t len;
    const char *text;
} ngx_http_sandbox_object_name_t;

static const struct {
    ngx_http_sandbox_object_name_t name;
    ngx_http_sandbox_object_kind_e kind;
    size_t field; /* of the record, the first one of several */
} ngx_http_sandbox_members[] = {
    MEMBER("id", STRING, id),
    MEMBER("status", STATUS, state),
    MEMBER("config", CONFIG, vcpus),
    MEMBER("template", STRING, template),
    MEMBER("created_at", TIME, created_at),
    MEMBER("metadata", JSON, metadata),
    MEMBER("started_at", TIME, started_at),
    MEMBER("timeout_ms", NUMBER, timeout_ms),
    MEMBER("timeout_at", TIME, timeout_at),
    MEMBER("expires_at", TIME, timeout_at),
    MEMBER("timeout_action", STRING, timeout_action),
    MEMBER("cwd", STRING, cwd),
    MEMBER("error_detail", JSON, error_detail),
    MEMBER("snapshot_id", STRING, snapshot_id),
};

static const ngx_http_sandbox_object_name_t ngx_http_sandbox_object_token =
    NAME("traffic_access_token");
static const ngx_http_sandbox_object_name_t ngx_http_sandbox_object_checkout =
    NAME("warm_pool_checkout");

enum {
    SNAPSHOT_ID = 0,
    SNAPSHOT_SANDBOX,
    SNAPSHOT_SIZE,
    SNAPSHOT_CREATED,
    SNAPSHOT_METADATA
};

static const ngx_http_sandbox_object_name_t ngx_http_sandbox_snapshot_names[] =
    { NAME("id"), NAME("sandbox_id"), NAME("size_bytes"), NAME("created_at"),
      NAME("metadata") };

#undef MEMBER
#undef NAME

/* clang-format on */

#define NGX_HTTP_SANDBOX_NMEMBERS                                              \
    (sizeof(ngx_http_sandbox_members) / sizeof(ngx_http_sandbox_members[0]))


const char *
ngx_http_sandbox_status(ngx_http_sandbox_state_e state)
{
    switch (state) {
    case NGX_HTTP_SANDBOX_CREATING:
    case NGX_HTTP_SANDBOX_WARMING:
    case NGX_HTTP_SANDBOX_POOLED:
        return "creating";
    case NGX_HTTP_SANDBOX_RUNNING:
    case NGX_HTTP_SANDBOX_HIBERNATING:
        return "running";
    case NGX_HTTP_SANDBOX_PAUSED:
    case NGX_HTTP_SANDBOX_RESUMING:
        return "paused";
    case NGX_HTTP_SANDBOX_RESUMED:
    case NGX_HTTP_SANDBOX_DESTROYING:
    case NGX_HTTP_SANDBOX_DESTROYED:
        return "destroyed";
    case NGX_HTTP_SANDBOX_FAILED:
        break;
    }

    return "error";
}


const char *
ngx_http_sandbox_refusal(ngx_http_sandbox_state_e state, const char *otherwise)
{
    switch (state) {
    case NGX_HTTP_SANDBOX_HIBERNATING:
        return "The sandbox is being hibernated; try again.";
    case NGX_HTTP_SANDBOX_RESUMING:
        return "The sandbox is being resumed; try again.";
    default:
        return otherwise;
    }
}


static void
ngx_http_sandbox_object_name(sandbox_text_t *t,
                             const ngx_http_sandbox_object_name_t *name)
{
    size_t first;

    first = t->len && t->data[t->len - 1] == '{';
    sandbox_text_add(t, name->text + first,
                     name->len + sizeof(",\"\":") - 1 - first);
}


static void
ngx_http_sandbox_object_string(sandbox_text_t *t,
                               const ngx_http_sandbox_object_name_t *name,
                               const char *value)
{
    ngx_http_sandbox_object_name(t, name);
    sandbox_text_json_string(t, value, strlen(value));
}


static void
ngx_http_sandbox_object_time(sandbox_text_t *t,
                             const ngx_http_sandbox_object_name_t *name,
                             int64_t ms)
{
    char text[SANDBOX_TIME_SIZE + 2];

    sandbox_time_format(text + 1, ms);
    text[0] = text[SANDBOX_TIME_SIZE] = '"';

    ngx_http_sandbox_object_name(t, name);
    sandbox_text_add(t, text, sizeof(text) - 1);
}


static void
ngx_http_sandbox_object_config(sandbox_text_t *t,
                               const ngx_http_sandbox_record_t *record)
{
    sandbox_text_str(t, "{\"vcpus\":");
    sandbox_text_int(t, record->vcpus);
    sandbox_text_str(t, ",\"memory_mb\":");
    sandbox_text_int(t, record->memory_mb);
    sandbox_text_str(t, ",\"disk_mb\":");
    sandbox_text_int(t, record->disk_mb);
    sandbox_text_str(t, "}");
}


static void
ngx_http_sandbox_object_write(sandbox_text_t *t,
                              const ngx_http_sandbox_record_t *record,
                              ngx_uint_t i)
{
    int64_t number;
    const char *text;
    const u_char *field;
    const ngx_http_sandbox_object_name_t *name;

    name = &ngx_http_sandbox_members[i].name;
    field = (const u_char *) record + ngx_http_sandbox_members[i].field;
    text = NULL;
    number = 0;

    switch (ngx_http_sandbox_members[i].kind) {
    case NGX_HTTP_SANDBOX_OBJECT_STRING:
        ngx_memcpy(&text, field, sizeof(text));
        if (text) {
            ngx_http_sandbox_object_string(t, name, text);
        }
        return;

    case NGX_HTTP_SANDBOX_OBJECT_NUMBER:
        ngx_memcpy(&number, field, sizeof(number));
        ngx_http_sandbox_object_name(t, name);
        sandbox_text_int(t, number);
        return;

    case NGX_HTTP_SANDBOX_OBJECT_TIME:
        ngx_memcpy(&number, field, sizeof(number));
        if (number) {
            ngx_http_sandbox_object_time(t, name, number);
        }
        return;

    case NGX_HTTP_SANDBOX_OBJECT_JSON:
        ngx_memcpy(&text, field, sizeof(text));
        if (text) {
            ngx_http_sandbox_object_name(t, name);
            sandbox_text_str(t, text);
        }
        return;

    case NGX_HTTP_SANDBOX_OBJECT_STATUS:
        ngx_http_sandbox_object_string(t, name,
                                       ngx_http_sandbox_status(record->state));
        return;

    case NGX_HTTP_SANDBOX_OBJECT_CONFIG:
        ngx_http_sandbox_object_name(t, name);
        ngx_http_sandbox_object_config(t, record);
        return;
    }
}


static void
ngx_http_sandbox_object_members(sandbox_text_t *t,
                                const ngx_http_sandbox_record_t *record,
                                uint32_t mask)
{
    ngx_uint_t i;

    sandbox_text_str(t, "{");

    for (i = 0; i < NGX_HTTP_SANDBOX_NMEMBERS && !sandbox_text_failed(t); i++) {
        if (mask & UINT32_C(1) << i) {
            ngx_http_sandbox_object_write(t, record, i);
        }
    }
}


void
ngx_http_sandbox_object(sandbox_text_t *t,
                        const ngx_http_sandbox_record_t *record, uint32_t mask,
                        const char *token, const char *checkout)
{
    ngx_http_sandbox_object_members(t, record, mask);

    if (token && !sandbox_text_failed(t)) {
        ngx_http_sandbox_object_string(t, &ngx_http_sandbox_object_token,
                                       token);
    }

    if (checkout && !sandbox_text_failed(t)) {
        ngx_http_sandbox_object_name(t, &ngx_http_sandbox_object_checkout);
        sandbox_text_str(t, checkout);
    }

    sandbox_text_str(t, "}");
}


void
ngx_http_sandbox_object_masked(sandbox_text_t *t,
                               const ngx_http_sandbox_record_t *record,
                               uint32_t mask)
{
    ngx_http_sandbox_object_members(t, record, mask);
    sandbox_text_str(t, "}");
}


int
ngx_http_sandbox_object_member(const char *name, size_t len)
{
    int i;

    for (i = 0; i < (int) NGX_HTTP_SANDBOX_NMEMBERS; i++) {
        if (ngx_http_sandbox_members[i].name.len == len
            && ngx_memcmp(ngx_http_sandbox_members[i].name.name, name, len)
                   == 0)
        {
            return i;
        }
    }

    return -1;
}


uint32_t
ngx_http_sandbox_object_head(void)
{
    ngx_uint_t i;
    uint32_t mask;
    static const char *names[] = { "id", "status", "config", "template" };

    mask = 0;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        mask |= UINT32_C(1) << ngx_http_sandbox_object_member(
                    names[i], ngx_strlen(names[i]));
    }

    return mask;
}


ngx_uint_t
ngx_http_sandbox_object_has_metadata(uint32_t mask)
{
    int i;

    i = ngx_http_sandbox_object_member("metadata", sizeof("metadata") - 1);

    return (mask >> i & 1) != 0;
}


void
ngx_http_sandbox_snapshot_object(sandbox_text_t *t,
                                 const ngx_http_sandbox_snapshot_t *snapshot)
{
    const ngx_http_sandbox_object_name_t *names;

    names = ngx_http_sandbox_snapshot_names;

    sandbox_text_str(t, "{");
    ngx_http_sandbox_object_string(t, &names[SNAPSHOT_ID], snapshot->id);
    ngx_http_sandbox_object_string(t, &names[SNAPSHOT_SANDBOX],
                                   snapshot->sandbox_id);
    ngx_http_sandbox_object_name(t, &names[SNAPSHOT_SIZE]);
    sandbox_text_int(t, snapshot->size_bytes);
    ngx_http_sandbox_object_time(t, &names[SNAPSHOT_CREATED],
                                 snapshot->created_at);
    ngx_http_sandbox_object_name(t, &names[SNAPSHOT_METADATA]);
    sandbox_text_str(t, snapshot->metadata ? snapshot->metadata : "{}");
    sandbox_text_str(t, "}");
}
