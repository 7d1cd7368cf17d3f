/*
 * libFuzzer target of the create schema: no crash, no leak, and the promises
 * of the header about what is set after success and after a refusal.
 */

#include <string.h>

#include "fuzz.h"
#include "sandbox_create.h"


static sandbox_template_t fuzz_base = {
    .name = "base",
    .workdir = "/workspace",
    .disk_mb = 2048,
    .min_memory_mb = 128,
};

static sandbox_template_t fuzz_desktop = {
    .name = "desk",
    .workdir = "/",
    .disk_mb = 512,
    .min_memory_mb = 512,
    .desktop = 1,
};

static sandbox_template_t *const fuzz_templates[] = { &fuzz_base, &fuzz_desktop,
                                                      NULL };

static const sandbox_create_limits_t fuzz_limits = {
    .max_vcpus = 8,
    .max_memory_mb = 16384,
    .max_disk_mb = 131072,
    .max_timeout_ms = 86400000,
    .templates = fuzz_templates,
};


/* With a snapshot, what was left out is unset. */
static void
check_size(const sandbox_create_t *c)
{
    int unset;

    unset = c->snapshot_id != NULL;

    require(c->template == &fuzz_base || c->template == &fuzz_desktop
            || (unset && c->template == NULL));
    require((c->vcpus >= 1 && c->vcpus <= fuzz_limits.max_vcpus)
            || (unset && c->vcpus == 0));

    if (unset) {
        require(c->memory_mb >= 0 && c->memory_mb <= fuzz_limits.max_memory_mb);
        require(c->disk_mb == 0);
        return;
    }

    require(c->memory_mb >= c->template->min_memory_mb
            && c->memory_mb <= fuzz_limits.max_memory_mb);
    require(c->disk_mb >= c->template->disk_mb
            && c->disk_mb <= fuzz_limits.max_disk_mb);
}


static void
check_accepted(const sandbox_create_t *c)
{
    check_size(c);
    require(c->timeout_ms >= 1 && c->timeout_ms <= fuzz_limits.max_timeout_ms);
    require(c->metadata && c->metadata[0] == '{'
            && strlen(c->metadata) <= SANDBOX_METADATA_MAX);
    require(!c->envs || strlen(c->envs) <= SANDBOX_ENVS_MAX);
    require(!c->cwd || (c->cwd[0] == '/' && !strstr(c->cwd, "//")));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sandbox_create_t create;
    sandbox_body_error_t err;
    sandbox_body_status_t rc;

    rc = sandbox_create_parse(&create, (const char *) data, size, &fuzz_limits,
                              &err);

    if (rc == SANDBOX_BODY_OK) {
        check_accepted(&create);
        sandbox_create_free(&create);
        return 0;
    }

    require(rc != SANDBOX_BODY_NO_MEMORY);
    require_utf8(err.field, sizeof(err.field));
    require_utf8(err.reason, sizeof(err.reason));
    require(rc == SANDBOX_BODY_INVALID_JSON || err.field[0] != '\0');
    require(err.reason[0] != '\0');
    require(!create.metadata && !create.envs && !create.cwd);

    return 0;
}
