/* The warm pool schema; see the header. */

#include "sandbox_pool.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox_body.h"
#include "sandbox_machine.h"
#include "sandbox_syntax.h"

#define POOL_IDLE_SECONDS 600
#define POOL_STALE_SECONDS 3600
#define POOL_TAG_MAX 128
#define POOL_TAG "latest" /* what a template without a tag has */
#define POOL_LABELS_MAX 4096


enum {
    M_NAME,
    M_TEMPLATE_REF,
    M_MIN_READY,
    M_MAX_READY,
    M_RESOURCES,
    M_VCPUS,
    M_MEMORY,
    M_DISK,
    M_CHECKOUT_POLICY,
    M_IDLE_TIMEOUT,
    M_STALE_AFTER,
    M_VERSION_POLICY,
    M_TRACK_TAG,
    M_LABELS,
    M_METADATA
};


static sandbox_schema_status_t
pool_name(sandbox_schema_t *s, const sandbox_json_node_t *node,
          const char *text)
{
    (void) node;

    for (; *text; text++) {
        if ((unsigned char) *text < ' ' || *text == 0x7f) {
            return sandbox_schema_refuse(s, NULL,
                                         "must not have control characters");
        }
    }

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
pool_labels(sandbox_schema_t *s, const sandbox_json_node_t *object,
            const char *none)
{
    char *name;
    const sandbox_json_node_t *node;

    (void) none;

    for (node = sandbox_json_child(&s->doc, object); node;
         node = sandbox_json_next(&s->doc, node))
    {
        if (node->type == SANDBOX_JSON_STRING) {
            continue;
        }

        name = sandbox_json_key(&s->doc, node, NULL);
        if (name == NULL) {
            return SANDBOX_SCHEMA_NO_MEMORY;
        }

        (void) sandbox_schema_enter(s, name);
        free(name);

        return sandbox_schema_refuse(s, NULL, "must be a string");
    }

    return SANDBOX_SCHEMA_OK;
}


/* Other tags are not built: builds of templates would set them. */
static int
pool_plain_tag(const sandbox_schema_t *s, const sandbox_schema_member_t *m)
{
    return sandbox_schema_is(s, m->slot, POOL_TAG);
}


static const char *const pool_checkouts[] = { "oldest_first", "newest_first",
                                              NULL };
static const char *const pool_versions[] = { "pinned_build", "track_tag",
                                             NULL };

/* clang-format off */

#define NAME(name_, slot_, type_)                                              \
    .name = name_, .slot = slot_, .type = SANDBOX_SCHEMA_##type_
#define RANGE(min_, max_) .min = min_, .max = max_
#define END { .name = NULL }

/* The members that a PATCH may change. */
#define POOL_MEMBERS(required_)                                                \
    { NAME("name", M_NAME, STRING), RANGE(1, SANDBOX_POOL_NAME_MAX),           \
      .required = required_, .check = pool_name },                             \
    { NAME("min_ready", M_MIN_READY, INTEGER),                                 \
      RANGE(0, SANDBOX_POOL_READY_MAX), .required = required_ },               \
    { NAME("max_ready", M_MAX_READY, INTEGER),                                 \
      RANGE(1, SANDBOX_POOL_READY_MAX) },                                      \
    { NAME("checkout_policy", M_CHECKOUT_POLICY, WORD),                        \
      .words = pool_checkouts },                                               \
    { NAME("idle_timeout_seconds", M_IDLE_TIMEOUT, INTEGER),                   \
      RANGE(1, SANDBOX_POOL_SECONDS_MAX) },                                    \
    { NAME("stale_after_seconds", M_STALE_AFTER, INTEGER),                     \
      RANGE(1, SANDBOX_POOL_SECONDS_MAX) },                                    \
    { NAME("version_policy", M_VERSION_POLICY, WORD),                          \
      .words = pool_versions },                                                \
    { NAME("track_tag", M_TRACK_TAG, STRING), RANGE(1, POOL_TAG_MAX),          \
      .check = sandbox_schema_id, .plain = pool_plain_tag },                   \
    { NAME("labels", M_LABELS, OBJECT), RANGE(0, POOL_LABELS_MAX),             \
      .check = pool_labels },                                                  \
    { NAME("metadata", M_METADATA, OBJECT), RANGE(0, SANDBOX_METADATA_MAX) }

static const sandbox_schema_member_t pool_resources[] = {
    SANDBOX_MACHINE_SIZE_MEMBERS(M_VCPUS, M_MEMORY, M_DISK),
    END
};

static const sandbox_schema_member_t pool_create_members[] = {
    POOL_MEMBERS(1),
    { NAME("template_ref", M_TEMPLATE_REF, STRING), RANGE(1, 255),
      .required = 1, .check = sandbox_machine_reference },
    { NAME("resources", M_RESOURCES, OBJECT), .members = pool_resources },
    END
};

static const sandbox_schema_member_t pool_patch_members[] = {
    POOL_MEMBERS(0),
    END
};

#undef NAME
#undef RANGE
#undef END

/* clang-format on */


const sandbox_template_t *
sandbox_pool_template(sandbox_template_t *const *templates,
                      const char *reference, const char *tag)
{
    size_t len;
    const char *slash, *colon;
    sandbox_template_t *const *t;

    if (tag[0] && strcmp(tag, POOL_TAG) != 0) {
        return NULL;
    }

    slash = strrchr(reference, '/');
    colon = strrchr(slash ? slash : reference, ':');
    len = colon && tag[0] ? (size_t) (colon - reference) : strlen(reference);

    for (t = templates; *t; t++) {
        if (strncmp((*t)->name, reference, len) == 0 && (*t)->name[len] == '\0')
        {
            return *t;
        }
    }

    return NULL;
}


static int64_t
pool_ms(const sandbox_schema_t *s, int slot, int64_t otherwise)
{
    int64_t seconds;

    seconds = sandbox_schema_value(s, slot, otherwise);

    return seconds < 0 ? -1 : seconds * 1000;
}


/* Copies a string, or the text of an object, into *copy. */
static int
pool_copy(const sandbox_schema_t *s, int slot, const char *otherwise,
          char **copy)
{
    const sandbox_json_node_t *node;

    node = s->node[slot];

    if (node == NULL && otherwise == NULL) {
        return 0;
    }

    *copy = node == NULL ? strdup(otherwise)
            : node->type == SANDBOX_JSON_STRING
                ? sandbox_json_string(&s->doc, node, NULL)
                : sandbox_schema_verbatim(s, node);

    return *copy ? 0 : -1;
}


static const char *
pool_word(const sandbox_schema_t *s, int slot, const char *const *words,
          int patch)
{
    if (s->node[slot] == NULL) {
        return patch ? NULL : words[0];
    }

    return words[sandbox_schema_is(s, slot, words[1])];
}


static int
pool_read(sandbox_pool_spec_t *pool, int patch, sandbox_schema_t *s)
{
    int64_t most;
    const char *empty;

    empty = patch ? NULL : "{}";
    pool->min_ready = sandbox_schema_value(s, M_MIN_READY, -1);
    most = pool->min_ready > 0 ? pool->min_ready : 1;

    pool->max_ready = sandbox_schema_value(s, M_MAX_READY, patch ? -1 : most);
    pool->idle_timeout_ms =
        pool_ms(s, M_IDLE_TIMEOUT, patch ? -1 : POOL_IDLE_SECONDS);
    pool->stale_after_ms =
        pool_ms(s, M_STALE_AFTER, patch ? -1 : POOL_STALE_SECONDS);
    pool->checkout_policy =
        pool_word(s, M_CHECKOUT_POLICY, pool_checkouts, patch);
    pool->version_policy = pool_word(s, M_VERSION_POLICY, pool_versions, patch);

    return pool_copy(s, M_NAME, NULL, &pool->name)
           || pool_copy(s, M_TEMPLATE_REF, NULL, &pool->template_ref)
           || pool_copy(s, M_LABELS, empty, &pool->labels)
           || pool_copy(s, M_METADATA, empty, &pool->metadata)
           || pool_copy(s, M_TRACK_TAG, patch ? NULL : "", &pool->track_tag);
}


/* Rules between members, as far as both are in the body. */
static sandbox_schema_status_t
pool_combine(const sandbox_pool_spec_t *pool, int patch, sandbox_schema_t *s)
{
    int tracks;

    if (pool->max_ready >= 0 && pool->max_ready < pool->min_ready) {
        return sandbox_schema_refuse(s, "max_ready",
                                     "must be at least min_ready");
    }

    tracks = sandbox_schema_is(s, M_VERSION_POLICY, "track_tag");

    if (s->node[M_TRACK_TAG] && !tracks
        && (!patch || s->node[M_VERSION_POLICY])) {
        return sandbox_schema_refuse(s, "track_tag",
                                     "needs version_policy \"track_tag\"");
    }

    if (tracks && !patch && s->node[M_TRACK_TAG] == NULL) {
        return sandbox_schema_refuse(
            s, "track_tag", "must be given with version_policy \"track_tag\"");
    }

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
pool_size(sandbox_pool_spec_t *pool, sandbox_schema_t *s,
          const sandbox_create_limits_t *lim)
{
    sandbox_machine_size_t size;
    sandbox_schema_status_t rc;

    static const sandbox_machine_members_t members = {
        M_VCPUS, M_MEMORY, M_DISK, "resources.memory_mb", "resources.disk_mb"
    };

    rc = sandbox_machine_size(s, &members, pool->template, lim->max_memory_mb,
                              &size);

    pool->vcpus = size.vcpus;
    pool->memory_mb = size.memory_mb;
    pool->disk_mb = size.disk_mb;

    return rc;
}


static sandbox_body_status_t
pool_check(sandbox_pool_spec_t *pool, int patch, sandbox_schema_t *s,
           const sandbox_create_limits_t *lim)
{
    sandbox_schema_status_t rc;
    const sandbox_schema_member_t *table;

    table = patch ? pool_patch_members : pool_create_members;
    rc = sandbox_schema_walk(s, table, &s->doc.nodes[0]);

    if (rc == SANDBOX_SCHEMA_OK && pool_read(pool, patch, s) != 0) {
        rc = SANDBOX_SCHEMA_NO_MEMORY;
    }

    if (rc == SANDBOX_SCHEMA_OK) {
        rc = pool_combine(pool, patch, s);
    }

    if (rc == SANDBOX_SCHEMA_OK && !patch) {
        pool->template =
            sandbox_pool_template(lim->templates, pool->template_ref,
                                  s->node[M_TRACK_TAG] ? POOL_TAG : "");

        if (pool->template == NULL) {
            return sandbox_machine_no_template(s, "template_ref",
                                               pool->template_ref);
        }

        rc = pool_size(pool, s, lim);
    }

    if (rc != SANDBOX_SCHEMA_OK) {
        return sandbox_body_status(rc, SANDBOX_BODY_INVALID);
    }

    return sandbox_body_status(sandbox_schema_features(s, table),
                               SANDBOX_BODY_NOT_IMPLEMENTED);
}


sandbox_body_status_t
sandbox_pool_parse(sandbox_pool_spec_t *pool, int patch, const char *body,
                   size_t len, const sandbox_create_limits_t *lim,
                   sandbox_body_error_t *err)
{
    sandbox_schema_t s;
    sandbox_body_status_t rc;

    memset(pool, 0, sizeof(*pool));

    rc = sandbox_body_open(&s, body, len, lim, NULL);

    if (rc == SANDBOX_BODY_OK) {
        rc = pool_check(pool, patch, &s, lim);
    }

    if (rc != SANDBOX_BODY_OK) {
        sandbox_pool_free(pool);
    }

    return sandbox_body_close(&s, rc, err);
}


void
sandbox_pool_free(sandbox_pool_spec_t *pool)
{
    free(pool->name);
    free(pool->template_ref);
    free(pool->track_tag);
    free(pool->labels);
    free(pool->metadata);
    memset(pool, 0, sizeof(*pool));
}
