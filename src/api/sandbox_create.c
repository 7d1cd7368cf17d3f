/*
 * The create schema; see the header.
 *
 * Three passes, so that the answer does not depend on the order of members:
 * the table below checks each member by itself, then come the rules between
 * members and against the template, then what is valid but not built yet.
 * The first two are 400 or 404, and win over the last one's 501.
 *
 * Knows nothing of HTTP, nor of what a sandbox is made of.
 */

#include "sandbox_create.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_body.h"
#include "sandbox_machine.h"
#include "sandbox_network_patch.h"
#include "sandbox_policy.h"
#include "sandbox_syntax.h"
#include "sandbox_text.h"

#define CREATE_ID_MAX 128
#define CREATE_TEXT_MAX 255
#define CREATE_VOLUMES_MAX 8
#define CREATE_ENVS_NAMES_MAX 1024 /* the guest takes no more */

#define CREATE_TIMEOUT_MS 300000
#define CREATE_RESERVED_DIR "/workspace/.nullspace"

#define CREATE_LIMIT(member)                                                   \
    SANDBOX_SCHEMA_LIMIT(sandbox_create_limits_t, member)


enum {
    M_SNAPSHOT_ID,
    M_WARM_POOL,
    M_WARM_POOL_ID,
    M_WARM_POOL_MODE,
    M_WARM_POOL_WAIT,
    M_TEMPLATE,
    M_VCPUS,
    M_MEMORY,
    M_DISK,
    M_TIMEOUT,
    M_TIMEOUT_ACTION,
    M_AUTO_RESUME,
    M_ENVS,
    M_METADATA,
    M_INTERNET,
    M_CWD,
    M_DESKTOP,
    M_WIDTH,
    M_HEIGHT,
    M_DPI,
    M_NETWORK,
    M_PUBLIC_TRAFFIC,
    M_ALLOW_OUT,
    M_DENY_OUT,
    M_MASK_HOST,
    M_VOLUMES,
    M_VOLUME_REF,
    M_VOLUME_MOUNT,
    M_VOLUME_SUBPATH,
    M_VOLUME_READ_ONLY,
    M_LIFECYCLE,
    M_ON_TIMEOUT,
    M_COUNT
};

_Static_assert(M_COUNT <= SANDBOX_SCHEMA_SLOTS, "too few slots");


typedef struct {
    const sandbox_create_limits_t *lim;
    sandbox_create_t *create;
    char *mounts[CREATE_VOLUMES_MAX]; /* mount_path of the volumes so far */
    size_t nmounts;
} create_data_t;


static char *
create_verbatim(const sandbox_schema_t *s, const sandbox_json_node_t *node)
{
    return strndup(s->doc.text + node->start, node->len);
}


static sandbox_schema_status_t
create_id(sandbox_schema_t *s, const sandbox_json_node_t *node,
          const char *text)
{
    (void) node;

    if (!sandbox_syntax_id(text)) {
        return sandbox_schema_refuse(
            s, NULL, "must be letters, digits, \"_\", \".\" and \"-\"");
    }

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
create_snapshot(sandbox_schema_t *s, const sandbox_json_node_t *node,
                const char *text)
{
    create_data_t *data = s->data;
    sandbox_schema_status_t rc;

    rc = create_id(s, node, text);
    if (rc != SANDBOX_SCHEMA_OK) {
        return rc;
    }

    data->create->snapshot_id = strdup(text);

    return data->create->snapshot_id ? SANDBOX_SCHEMA_OK
                                     : SANDBOX_SCHEMA_NO_MEMORY;
}


static sandbox_schema_status_t
create_envs(sandbox_schema_t *s, const sandbox_json_node_t *object,
            const char *text)
{
    int ok;
    char *name;
    size_t mark;
    create_data_t *data = s->data;
    const sandbox_json_node_t *node;

    (void) text;

    if (object->count > CREATE_ENVS_NAMES_MAX) {
        return sandbox_schema_refuse(s, NULL, "must be at most %d members",
                                     CREATE_ENVS_NAMES_MAX);
    }

    for (node = sandbox_json_child(&s->doc, object); node;
         node = sandbox_json_next(&s->doc, node))
    {
        name = sandbox_json_key(&s->doc, node, NULL);
        if (name == NULL) {
            return SANDBOX_SCHEMA_NO_MEMORY;
        }

        ok = sandbox_syntax_env(name);
        mark = sandbox_schema_enter(s, name);
        free(name);

        if (!ok) {
            return sandbox_schema_refuse(
                s, NULL,
                "must have a name of letters, digits and \"_\" that does not "
                "begin with a digit");
        }

        if (node->type != SANDBOX_JSON_STRING) {
            return sandbox_schema_refuse(s, NULL, "must be a string");
        }

        sandbox_schema_leave(s, mark);
    }

    data->create->envs = create_verbatim(s, object);

    return data->create->envs ? SANDBOX_SCHEMA_OK : SANDBOX_SCHEMA_NO_MEMORY;
}


static sandbox_schema_status_t
create_metadata(sandbox_schema_t *s, const sandbox_json_node_t *node,
                const char *text)
{
    create_data_t *data = s->data;

    (void) text;

    data->create->metadata = create_verbatim(s, node);

    return data->create->metadata ? SANDBOX_SCHEMA_OK
                                  : SANDBOX_SCHEMA_NO_MEMORY;
}


/* text normalised in new memory at *path. */
static sandbox_schema_status_t
create_path(sandbox_schema_t *s, const char *text, char **path)
{
    char buf[SANDBOX_PATH_MAX];
    const char *reason;

    if (sandbox_path_normalise(buf, sizeof(buf), text, strlen(text), &reason)
        != 0) {
        return sandbox_schema_refuse(s, NULL, "%s", reason);
    }

    if (sandbox_path_within(buf, CREATE_RESERVED_DIR)) {
        return sandbox_schema_refuse(s, NULL, "must not lie under %s",
                                     CREATE_RESERVED_DIR);
    }

    *path = strdup(buf);

    return *path ? SANDBOX_SCHEMA_OK : SANDBOX_SCHEMA_NO_MEMORY;
}


static sandbox_schema_status_t
create_cwd(sandbox_schema_t *s, const sandbox_json_node_t *node,
           const char *text)
{
    create_data_t *data = s->data;

    (void) node;

    return create_path(s, text, &data->create->cwd);
}


static sandbox_schema_status_t
create_allow_out(sandbox_schema_t *s, const sandbox_json_node_t *array,
                 const char *none)
{
    create_data_t *data = s->data;

    (void) none;

    return sandbox_network_list(s, array, &data->create->allow_out);
}


static sandbox_schema_status_t
create_deny_out(sandbox_schema_t *s, const sandbox_json_node_t *array,
                const char *none)
{
    create_data_t *data = s->data;

    (void) none;

    return sandbox_network_list(s, array, &data->create->deny_out);
}


static sandbox_schema_status_t
create_mask_host(sandbox_schema_t *s, const sandbox_json_node_t *node,
                 const char *text)
{
    create_data_t *data = s->data;

    (void) node;

    return sandbox_network_mask(s, text, &data->create->mask_host);
}


static sandbox_schema_status_t
create_mount_path(sandbox_schema_t *s, const char *path)
{
    size_t i;
    create_data_t *data = s->data;
    static const char *const reserved[] = { "/dev", "/proc", "/run", "/sys",
                                            NULL };

    if (strcmp(path, "/") == 0) {
        return sandbox_schema_refuse(s, NULL, "must not be \"/\"");
    }

    for (i = 0; reserved[i]; i++) {
        if (sandbox_path_within(path, reserved[i])) {
            return sandbox_schema_refuse(s, NULL, "must not lie under %s",
                                         reserved[i]);
        }
    }

    for (i = 0; i < data->nmounts; i++) {
        if (sandbox_path_within(path, data->mounts[i])
            || sandbox_path_within(data->mounts[i], path))
        {
            return sandbox_schema_refuse(
                s, NULL, "must not overlap the mount_path of volumes[%zu]", i);
        }
    }

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
create_mount(sandbox_schema_t *s, const sandbox_json_node_t *node,
             const char *text)
{
    char *path;
    create_data_t *data = s->data;
    sandbox_schema_status_t rc;

    (void) node;

    rc = create_path(s, text, &path);
    if (rc != SANDBOX_SCHEMA_OK) {
        return rc;
    }

    rc = create_mount_path(s, path);
    if (rc != SANDBOX_SCHEMA_OK) {
        free(path);
        return rc;
    }

    /* the table allows no more items than there is room for */
    data->mounts[data->nmounts++] = path;

    return SANDBOX_SCHEMA_OK;
}


static sandbox_schema_status_t
create_subpath(sandbox_schema_t *s, const sandbox_json_node_t *node,
               const char *text)
{
    char path[SANDBOX_PATH_MAX], absolute[SANDBOX_PATH_MAX + 1];
    const char *reason;

    (void) node;

    if (text[0] == '/') {
        return sandbox_schema_refuse(s, NULL, "must be a relative path");
    }

    (void) snprintf(absolute, sizeof(absolute), "/%s", text);

    if (sandbox_path_normalise(path, sizeof(path), absolute, strlen(absolute),
                               &reason)
        != 0)
    {
        return sandbox_schema_refuse(s, NULL, "%s", reason);
    }

    return SANDBOX_SCHEMA_OK;
}


static const char *const create_modes[] = { "prefer", "require", "bypass",
                                            NULL };
static const char *const create_actions[] = { "destroy", "hibernate", NULL };
static const char *const create_on_timeout[] = { "destroy", "pause", NULL };

/* clang-format off */

#define NAME(name_, slot_, type_)                                              \
    .name = name_, .slot = slot_, .type = SANDBOX_SCHEMA_##type_
#define RANGE(min_, max_) .min = min_, .max = max_
#define UNBUILT_UNLESS(value_) .plain = sandbox_schema_plain_##value_
#define END { .name = NULL }

static const sandbox_schema_member_t create_warm_pool[] = {
    { NAME("id", M_WARM_POOL_ID, STRING), RANGE(1, CREATE_ID_MAX),
      .check = create_id },
    { NAME("mode", M_WARM_POOL_MODE, WORD), .words = create_modes },
    { NAME("wait_ms", M_WARM_POOL_WAIT, INTEGER), RANGE(0, 60000) },
    END
};

static const sandbox_schema_member_t create_desktop[] = {
    { NAME("width", M_WIDTH, INTEGER), RANGE(320, 7680) },
    { NAME("height", M_HEIGHT, INTEGER), RANGE(240, 4320) },
    { NAME("dpi", M_DPI, INTEGER), RANGE(48, 480) },
    END
};

static const sandbox_schema_member_t create_network[] = {
    { NAME("allow_public_traffic", M_PUBLIC_TRAFFIC, BOOL) },
    { NAME("allow_out", M_ALLOW_OUT, ARRAY), RANGE(0, SANDBOX_POLICY_CIDRS),
      .check = create_allow_out },
    { NAME("deny_out", M_DENY_OUT, ARRAY), RANGE(0, SANDBOX_POLICY_CIDRS),
      .check = create_deny_out },
    { NAME("mask_request_host", M_MASK_HOST, STRING),
      RANGE(1, SANDBOX_MASK_HOST_MAX), .check = create_mask_host },
    END
};

static const sandbox_schema_member_t create_volume[] = {
    { NAME("ref", M_VOLUME_REF, STRING), RANGE(1, CREATE_ID_MAX),
      .required = 1, .check = create_id },
    { NAME("mount_path", M_VOLUME_MOUNT, STRING), .required = 1,
      .check = create_mount },
    { NAME("subpath", M_VOLUME_SUBPATH, STRING),
      RANGE(0, SANDBOX_PATH_MAX - 2), .check = create_subpath },
    { NAME("read_only", M_VOLUME_READ_ONLY, BOOL) },
    END
};

static const sandbox_schema_member_t create_lifecycle[] = {
    { NAME("on_timeout", M_ON_TIMEOUT, WORD), .words = create_on_timeout },
    END
};

static const sandbox_schema_member_t create_members[] = {
    { NAME("snapshot_id", M_SNAPSHOT_ID, STRING), RANGE(1, CREATE_ID_MAX),
      .check = create_snapshot },
    { NAME("warm_pool", M_WARM_POOL, OBJECT), .members = create_warm_pool },
    { NAME("template", M_TEMPLATE, STRING), RANGE(1, CREATE_TEXT_MAX),
      .check = sandbox_machine_reference },
    { NAME("vcpus", M_VCPUS, INTEGER), RANGE(1, 0),
      .limit = CREATE_LIMIT(max_vcpus) },
    { NAME("memory_mb", M_MEMORY, INTEGER), RANGE(1, 0),
      .limit = CREATE_LIMIT(max_memory_mb) },
    { NAME("disk_mb", M_DISK, INTEGER), RANGE(512, 131072),
      .limit = CREATE_LIMIT(max_disk_mb) },
    { NAME("timeout_ms", M_TIMEOUT, INTEGER), RANGE(1, 0),
      .limit = CREATE_LIMIT(max_timeout_ms) },
    { NAME("timeout_action", M_TIMEOUT_ACTION, WORD), .words = create_actions },
    { NAME("auto_resume", M_AUTO_RESUME, BOOL) },
    { NAME("envs", M_ENVS, OBJECT), RANGE(0, SANDBOX_ENVS_MAX),
      .check = create_envs },
    { NAME("metadata", M_METADATA, OBJECT), RANGE(0, SANDBOX_METADATA_MAX),
      .check = create_metadata },
    { NAME("internet_access", M_INTERNET, BOOL) },
    { NAME("cwd", M_CWD, STRING), .check = create_cwd },
    { NAME("desktop", M_DESKTOP, OBJECT), .members = create_desktop,
      UNBUILT_UNLESS(never) },
    { NAME("network", M_NETWORK, OBJECT), .members = create_network },
    { NAME("volumes", M_VOLUMES, ARRAY), RANGE(0, CREATE_VOLUMES_MAX),
      .members = create_volume, UNBUILT_UNLESS(empty) },
    { NAME("lifecycle", M_LIFECYCLE, OBJECT), .members = create_lifecycle },
    END
};

#undef NAME
#undef RANGE
#undef UNBUILT_UNLESS
#undef END

/* clang-format on */


/* Rules between members that need no template. */
static sandbox_schema_status_t
create_combine(sandbox_schema_t *s)
{
    int hibernate, pause;
    create_data_t *data = s->data;

    hibernate = sandbox_schema_is(s, M_TIMEOUT_ACTION, "hibernate");
    pause = sandbox_schema_is(s, M_ON_TIMEOUT, "pause");

    if (s->node[M_TIMEOUT_ACTION] && s->node[M_ON_TIMEOUT]
        && hibernate != pause) {
        return sandbox_schema_refuse(s, "lifecycle.on_timeout",
                                     "contradicts timeout_action");
    }

    data->create->hibernate = hibernate || pause;
    data->create->auto_resume = sandbox_schema_true(s, M_AUTO_RESUME);

    if (data->create->auto_resume && !data->create->hibernate) {
        return sandbox_schema_refuse(
            s, "auto_resume",
            "needs timeout_action \"hibernate\" or lifecycle.on_timeout "
            "\"pause\"");
    }

    if (s->node[M_SNAPSHOT_ID] && s->node[M_DISK]) {
        return sandbox_schema_refuse(s, "disk_mb",
                                     "must not be given with snapshot_id, "
                                     "which determines it");
    }

    if (s->node[M_WARM_POOL] && s->node[M_WARM_POOL_ID] == NULL
        && !sandbox_schema_is(s, M_WARM_POOL_MODE, "bypass"))
    {
        return sandbox_schema_refuse(s, "warm_pool.id",
                                     "must be given unless mode is \"bypass\"");
    }

    return SANDBOX_SCHEMA_OK;
}


static sandbox_create_status_t
create_find_template(sandbox_schema_t *s)
{
    char *text;
    const char *name;
    create_data_t *data = s->data;
    sandbox_template_t *const *t;

    name = "base";
    text = NULL;

    if (s->node[M_TEMPLATE]) {
        text = sandbox_json_string(&s->doc, s->node[M_TEMPLATE], NULL);
        if (text == NULL) {
            return SANDBOX_CREATE_NO_MEMORY;
        }
        name = text;
    }

    for (t = data->lim->templates; *t && strcmp((*t)->name, name) != 0; t++) {
        /* void */
    }

    data->create->template = *t;

    if (*t == NULL) {
        /* the syntax leaves nothing but ASCII to be cut */
        (void) sandbox_schema_refuse(s, "template", "\"%.160s\" is not known",
                                     name);
    }

    free(text);

    return *t ? SANDBOX_CREATE_OK : SANDBOX_CREATE_UNKNOWN_TEMPLATE;
}


/* Values and their defaults, against the template. */
static sandbox_schema_status_t
create_size(sandbox_schema_t *s)
{
    create_data_t *data = s->data;
    sandbox_create_t *create = data->create;
    const sandbox_template_t *t = create->template;

    sandbox_machine_size_t size;
    sandbox_schema_status_t rc;

    static const sandbox_machine_members_t members = { M_VCPUS, M_MEMORY,
                                                       M_DISK, "memory_mb",
                                                       "disk_mb" };

    rc = sandbox_machine_size(s, &members, t, data->lim->max_memory_mb, &size);

    create->vcpus = size.vcpus;
    create->memory_mb = size.memory_mb;
    create->disk_mb = size.disk_mb;

    if (rc == SANDBOX_SCHEMA_OK && s->node[M_DESKTOP] && !t->desktop) {
        return sandbox_schema_refuse(
            s, "desktop", "must not be given: template %.64s has no desktop",
            t->name);
    }

    return rc;
}


/*
 * What a warm pool can serve: a machine that is there already takes no
 * environment, no other disk and no other policy.
 */
static sandbox_schema_status_t
create_pool(sandbox_schema_t *s)
{
    size_t i;
    create_data_t *data = s->data;
    sandbox_create_t *create = data->create;

    const struct {
        int forbids;
        const char *member;
    } rules[] = {
        { s->node[M_SNAPSHOT_ID] != NULL, "snapshot_id" },
        { s->node[M_ENVS] && s->node[M_ENVS]->count, "envs" },
        { s->node[M_VOLUMES] && s->node[M_VOLUMES]->count, "volumes" },
        { s->node[M_CWD] != NULL, "cwd" },
        { s->node[M_DESKTOP] != NULL, "desktop" },
        { s->node[M_INTERNET] && !sandbox_schema_true(s, M_INTERNET),
          "internet_access" },
        { !create->public_traffic || create->mask_host
              || (s->node[M_ALLOW_OUT] && s->node[M_ALLOW_OUT]->count)
              || (s->node[M_DENY_OUT] && s->node[M_DENY_OUT]->count),
          "network" },
        { create->auto_resume, "auto_resume" },
        { create->hibernate, "timeout_action" },
    };

    if (s->node[M_WARM_POOL_ID] == NULL
        || sandbox_schema_is(s, M_WARM_POOL_MODE, "bypass"))
    {
        return SANDBOX_SCHEMA_OK;
    }

    create->pool_id =
        sandbox_json_string(&s->doc, s->node[M_WARM_POOL_ID], NULL);
    create->pool_required = sandbox_schema_is(s, M_WARM_POOL_MODE, "require");
    create->pool_wait_ms = sandbox_schema_value(s, M_WARM_POOL_WAIT, 0);

    create->given = (s->node[M_TEMPLATE] ? SANDBOX_CREATE_TEMPLATE : 0)
                    | (s->node[M_VCPUS] ? SANDBOX_CREATE_VCPUS : 0)
                    | (s->node[M_MEMORY] ? SANDBOX_CREATE_MEMORY : 0)
                    | (s->node[M_DISK] ? SANDBOX_CREATE_DISK : 0);

    for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].forbids) {
            create->unpoolable = rules[i].member;
            break;
        }
    }

    return create->pool_id ? SANDBOX_SCHEMA_OK : SANDBOX_SCHEMA_NO_MEMORY;
}


/* What does not depend on where the sandbox comes from. */
static sandbox_schema_status_t
create_rest(sandbox_schema_t *s)
{
    int64_t most;
    create_data_t *data = s->data;
    sandbox_create_t *create = data->create;

    most = data->lim->max_timeout_ms;
    create->timeout_ms = sandbox_schema_value(
        s, M_TIMEOUT, most < CREATE_TIMEOUT_MS ? most : CREATE_TIMEOUT_MS);

    create->public_traffic = s->node[M_PUBLIC_TRAFFIC] == NULL
                             || sandbox_schema_true(s, M_PUBLIC_TRAFFIC);

    create->internet = -1;

    if (s->node[M_INTERNET] || s->node[M_SNAPSHOT_ID] == NULL) {
        create->internet =
            s->node[M_INTERNET] == NULL || sandbox_schema_true(s, M_INTERNET);
    }

    if (create->metadata == NULL) {
        create->metadata = strdup("{}");
    }

    return create->metadata ? SANDBOX_SCHEMA_OK : SANDBOX_SCHEMA_NO_MEMORY;
}


static int
create_fingerprint(sandbox_schema_t *s)
{
    int rc;
    create_data_t *data = s->data;
    sandbox_text_t t = SANDBOX_TEXT_INIT;

    sandbox_text_json_canonical(&t, &s->doc, &s->doc.nodes[0]);

    rc = sandbox_text_failed(&t)
             ? -1
             : sandbox_sha256(data->create->fingerprint, t.data, t.len);
    sandbox_text_free(&t);

    return rc;
}


static sandbox_create_status_t
create_check(sandbox_schema_t *s)
{
    create_data_t *data = s->data;

    sandbox_schema_status_t rc;
    sandbox_create_status_t found;

    rc = sandbox_schema_walk(s, create_members, &s->doc.nodes[0]);

    if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_combine(s);
    }

    if (rc == SANDBOX_SCHEMA_OK
        && (s->node[M_SNAPSHOT_ID] == NULL || s->node[M_TEMPLATE]))
    {
        found = create_find_template(s);
        if (found != SANDBOX_CREATE_OK) {
            return found;
        }
    }

    if (rc == SANDBOX_SCHEMA_OK && s->node[M_SNAPSHOT_ID]) {
        /* a snapshot brings the rest along */
        data->create->vcpus = sandbox_schema_value(s, M_VCPUS, 0);
        data->create->memory_mb = sandbox_schema_value(s, M_MEMORY, 0);

    } else if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_size(s);
    }

    if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_rest(s);
    }

    if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_pool(s);
    }

    if (rc != SANDBOX_SCHEMA_OK) {
        return sandbox_body_status(rc, SANDBOX_CREATE_INVALID);
    }

    rc = sandbox_schema_features(s, create_members);

    if (rc == SANDBOX_SCHEMA_OK && create_fingerprint(s) != 0) {
        rc = SANDBOX_SCHEMA_NO_MEMORY;
    }

    return sandbox_body_status(rc, SANDBOX_CREATE_NOT_IMPLEMENTED);
}


sandbox_create_status_t
sandbox_create_parse(sandbox_create_t *create, const char *body, size_t len,
                     const sandbox_create_limits_t *lim,
                     sandbox_create_error_t *err)
{
    create_data_t data;
    sandbox_schema_t s;
    sandbox_create_status_t rc;

    memset(create, 0, sizeof(*create));
    memset(&data, 0, sizeof(data));

    data.lim = lim;
    data.create = create;

    rc = sandbox_body_open(&s, body, len, lim, &data);

    if (rc == SANDBOX_CREATE_OK) {
        rc = create_check(&s);
    }

    while (data.nmounts) {
        free(data.mounts[--data.nmounts]);
    }

    if (rc != SANDBOX_CREATE_OK) {
        sandbox_create_free(create);
    }

    return sandbox_body_close(&s, rc, err);
}


void
sandbox_create_free(sandbox_create_t *create)
{
    free(create->snapshot_id);
    free(create->metadata);
    free(create->envs);
    free(create->cwd);
    free(create->mask_host);
    free(create->allow_out);
    free(create->deny_out);
    free(create->pool_id);
    memset(create, 0, sizeof(*create));
}
