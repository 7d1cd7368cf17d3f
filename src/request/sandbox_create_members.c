/* Each member of a create by itself; see the header. */

#include "sandbox_create_members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_machine.h"
#include "sandbox_network_patch.h"
#include "sandbox_path.h"
#include "sandbox_policy.h"
#include "sandbox_syntax.h"

#define CREATE_ID_MAX 128
#define CREATE_TEXT_MAX 255
#define CREATE_ENVS_NAMES_MAX 1024 /* the guest takes no more */

#define CREATE_RESERVED_DIR "/workspace/.nullspace"


static sandbox_schema_status_t
create_snapshot(sandbox_schema_t *s, const sandbox_json_node_t *node,
                const char *text)
{
    sandbox_create_data_t *data = s->data;
    sandbox_schema_status_t rc;

    rc = sandbox_schema_id(s, node, text);
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
    sandbox_create_data_t *data = s->data;
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

    data->create->envs = sandbox_schema_verbatim(s, object);

    return data->create->envs ? SANDBOX_SCHEMA_OK : SANDBOX_SCHEMA_NO_MEMORY;
}


static sandbox_schema_status_t
create_metadata(sandbox_schema_t *s, const sandbox_json_node_t *node,
                const char *text)
{
    sandbox_create_data_t *data = s->data;

    (void) text;

    data->create->metadata = sandbox_schema_verbatim(s, node);

    return data->create->metadata ? SANDBOX_SCHEMA_OK
                                  : SANDBOX_SCHEMA_NO_MEMORY;
}


/* Sets *path to text, normalised, in new memory. */
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
    sandbox_create_data_t *data = s->data;

    (void) node;

    return create_path(s, text, &data->create->cwd);
}


static sandbox_schema_status_t
create_allow_out(sandbox_schema_t *s, const sandbox_json_node_t *array,
                 const char *none)
{
    sandbox_create_data_t *data = s->data;

    (void) none;

    return sandbox_network_list(s, array, &data->create->allow_out);
}


static sandbox_schema_status_t
create_deny_out(sandbox_schema_t *s, const sandbox_json_node_t *array,
                const char *none)
{
    sandbox_create_data_t *data = s->data;

    (void) none;

    return sandbox_network_list(s, array, &data->create->deny_out);
}


static sandbox_schema_status_t
create_mask_host(sandbox_schema_t *s, const sandbox_json_node_t *node,
                 const char *text)
{
    sandbox_create_data_t *data = s->data;

    (void) node;

    return sandbox_network_mask(s, text, &data->create->mask_host);
}


static sandbox_schema_status_t
create_mount_path(sandbox_schema_t *s, const char *path)
{
    size_t i;
    sandbox_create_data_t *data = s->data;
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
    sandbox_create_data_t *data = s->data;
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
      .check = sandbox_schema_id },
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
      .required = 1, .check = sandbox_schema_id },
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

const sandbox_schema_member_t sandbox_create_members[] = {
    { NAME("snapshot_id", M_SNAPSHOT_ID, STRING), RANGE(1, CREATE_ID_MAX),
      .check = create_snapshot },
    { NAME("warm_pool", M_WARM_POOL, OBJECT), .members = create_warm_pool },
    { NAME("template", M_TEMPLATE, STRING), RANGE(1, CREATE_TEXT_MAX),
      .check = sandbox_machine_reference },
    SANDBOX_MACHINE_SIZE_MEMBERS(M_VCPUS, M_MEMORY, M_DISK),
    { NAME("timeout_ms", M_TIMEOUT, INTEGER), RANGE(1, 0),
      .limit = SANDBOX_SCHEMA_LIMIT(sandbox_create_limits_t, max_timeout_ms) },
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
    { NAME("volumes", M_VOLUMES, ARRAY), RANGE(0, SANDBOX_CREATE_VOLUMES_MAX),
      .members = create_volume, UNBUILT_UNLESS(empty) },
    { NAME("lifecycle", M_LIFECYCLE, OBJECT), .members = create_lifecycle },
    END
};

#undef NAME
#undef RANGE
#undef UNBUILT_UNLESS
#undef END

/* clang-format on */
