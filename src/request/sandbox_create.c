/*
 * The create schema; see the header.
 *
 * Three passes, so that the answer does not depend on the order of members:
 * each member by itself (sandbox_create_members.c), then the rules between
 * members and against the template, then what is valid but not built yet.
 * The first two are 400 or 404, and win over the last one's 501.
 *
 * Knows nothing of HTTP, nor of what a sandbox is made of.
 */

#include "sandbox_create_members.h"

#include <stdlib.h>
#include <string.h>

#include "sandbox_body.h"
#include "sandbox_machine.h"

#define CREATE_TIMEOUT_MS 300000


/* Rules between members that need no template. */
static sandbox_schema_status_t
create_combine(sandbox_schema_t *s)
{
    int hibernate, pause;
    sandbox_create_data_t *data = s->data;

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


static sandbox_body_status_t
create_find_template(sandbox_schema_t *s)
{
    char *text;
    const char *name;
    sandbox_create_data_t *data = s->data;
    sandbox_body_status_t rc;
    sandbox_template_t *const *t;

    name = "base";
    text = NULL;

    if (s->node[M_TEMPLATE]) {
        text = sandbox_json_string(&s->doc, s->node[M_TEMPLATE], NULL);
        if (text == NULL) {
            return SANDBOX_BODY_NO_MEMORY;
        }
        name = text;
    }

    for (t = data->lim->templates; *t && strcmp((*t)->name, name) != 0; t++) {
        /* void */
    }

    data->create->template = *t;
    rc =
        *t ? SANDBOX_BODY_OK : sandbox_machine_no_template(s, "template", name);
    free(text);

    return rc;
}


/* Sets the size, with defaults, and checks it against the template. */
static sandbox_schema_status_t
create_size(sandbox_schema_t *s)
{
    sandbox_create_data_t *data = s->data;
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
 * Reads warm_pool, and finds a member that no warm pool can serve: a machine
 * that runs already takes no environment, no other disk and no other policy.
 */
static sandbox_schema_status_t
create_pool(sandbox_schema_t *s)
{
    size_t i;
    sandbox_create_data_t *data = s->data;
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


/* Sets the members that do not depend on what the sandbox is made from. */
static sandbox_schema_status_t
create_rest(sandbox_schema_t *s)
{
    int64_t most;
    sandbox_create_data_t *data = s->data;
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


static sandbox_body_status_t
create_check(sandbox_schema_t *s)
{
    sandbox_create_data_t *data = s->data;

    sandbox_schema_status_t rc;
    sandbox_body_status_t found;

    rc = sandbox_schema_walk(s, sandbox_create_members, &s->doc.nodes[0]);

    if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_combine(s);
    }

    if (rc == SANDBOX_SCHEMA_OK
        && (s->node[M_SNAPSHOT_ID] == NULL || s->node[M_TEMPLATE]))
    {
        found = create_find_template(s);
        if (found != SANDBOX_BODY_OK) {
            /* another node may have the template */
            s->limited = found == SANDBOX_BODY_UNKNOWN_TEMPLATE;
            return found;
        }
    }

    if (rc == SANDBOX_SCHEMA_OK && s->node[M_SNAPSHOT_ID]) {
        /* the snapshot determines the rest of the size */
        data->create->vcpus = sandbox_schema_value(s, M_VCPUS, 0);
        data->create->memory_mb = sandbox_schema_value(s, M_MEMORY, 0);

    } else if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_size(s);
        s->limited = rc == SANDBOX_SCHEMA_REFUSED;
    }

    if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_rest(s);
    }

    if (rc == SANDBOX_SCHEMA_OK) {
        rc = create_pool(s);
    }

    if (rc != SANDBOX_SCHEMA_OK) {
        return sandbox_body_status(rc, SANDBOX_BODY_INVALID);
    }

    rc = sandbox_schema_features(s, sandbox_create_members);

    if (rc == SANDBOX_SCHEMA_OK
        && sandbox_body_fingerprint(data->create->fingerprint, NULL, s) != 0)
    {
        rc = SANDBOX_SCHEMA_NO_MEMORY;
    }

    return sandbox_body_status(rc, SANDBOX_BODY_NOT_IMPLEMENTED);
}


static void
create_close(sandbox_create_data_t *data)
{
    while (data->nmounts) {
        free(data->mounts[--data->nmounts]);
    }
}


/*
 * The fingerprint of a body that is refused for this node's limits, as a node
 * without limits would make it, which reads all of the body.  -1 if the body is
 * not valid there either, or memory is out.
 */
static int
create_fingerprint(uint8_t *fingerprint, const char *body, size_t len)
{
    int rc;
    sandbox_create_data_t data;
    sandbox_create_t create;
    sandbox_body_error_t ignored;
    sandbox_schema_t s;
    static const sandbox_create_limits_t wide = { INT64_MAX, INT64_MAX,
                                                  INT64_MAX, INT64_MAX, NULL };

    memset(&create, 0, sizeof(create));
    memset(&data, 0, sizeof(data));
    data.lim = &wide;
    data.create = &create;

    rc = sandbox_body_open(&s, body, len, &wide, &data) == SANDBOX_BODY_OK
                 && sandbox_schema_walk(&s, sandbox_create_members,
                                        &s.doc.nodes[0])
                        == SANDBOX_SCHEMA_OK
             ? sandbox_body_fingerprint(fingerprint, NULL, &s)
             : -1;

    create_close(&data);
    sandbox_create_free(&create);
    (void) sandbox_body_close(&s, SANDBOX_BODY_OK, &ignored);

    return rc;
}


sandbox_body_status_t
sandbox_create_parse(sandbox_create_t *create, const char *body, size_t len,
                     const sandbox_create_limits_t *lim,
                     sandbox_body_error_t *err)
{
    sandbox_create_data_t data;
    sandbox_schema_t s;
    sandbox_body_status_t rc;

    memset(create, 0, sizeof(*create));
    memset(&data, 0, sizeof(data));

    data.lim = lim;
    data.create = create;

    rc = sandbox_body_open(&s, body, len, lim, &data);

    if (rc == SANDBOX_BODY_OK) {
        rc = create_check(&s);
    }

    create_close(&data);

    if (rc != SANDBOX_BODY_OK) {
        sandbox_create_free(create);
        create->limited =
            s.limited
            && create_fingerprint(create->fingerprint, body, len) == 0;
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
