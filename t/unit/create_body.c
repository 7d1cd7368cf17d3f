/* Bodies of creates, for the tests of their schema; see the header. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "create_body.h"


sandbox_template_t create_base = {
    .name = "base",
    .workdir = "/workspace",
    .disk_mb = 2048,
    .min_memory_mb = 128,
};

sandbox_template_t create_desktop = {
    .name = "desk",
    .workdir = "/root",
    .disk_mb = 4096,
    .min_memory_mb = 512,
    .desktop = 1,
};

static sandbox_template_t *const templates[] = { &create_base, &create_desktop,
                                                 NULL };

const sandbox_create_limits_t create_limits = {
    .max_vcpus = 8,
    .max_memory_mb = 16384,
    .max_disk_mb = 65536,
    .max_timeout_ms = 86400000,
    .templates = templates,
};


sandbox_body_status_t
create_parse(sandbox_create_t *create, sandbox_body_error_t *err,
             const char *body)
{
    char *copy;
    size_t len;
    sandbox_body_status_t rc;

    len = strlen(body);
    copy = malloc(len + 1);
    assert_non_null(copy);
    copy = realloc(copy, len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, body, len);
    rc = sandbox_create_parse(create, copy, len, &create_limits, err);
    free(copy);

    return rc;
}


void
check_refusals(const refusal_t *list, size_t n)
{
    size_t i;
    sandbox_create_t create;
    sandbox_body_error_t err;
    sandbox_body_status_t rc;

    for (i = 0; i < n; i++) {
        rc = create_parse(&create, &err, list[i].body);

        if (rc != list[i].status || strcmp(err.field, list[i].field) != 0
            || (list[i].reason && !strstr(err.reason, list[i].reason))
            || err.reason[0] == '\0' || create.metadata || create.envs
            || create.cwd || create.mask_host)
        {
            fail_msg("%.200s: status %d, field \"%s\", reason \"%s\"",
                     list[i].body, rc, err.field, err.reason);
        }
    }
}


void
check_accepted(const char *const *list, size_t n)
{
    size_t i;
    sandbox_create_t create;
    sandbox_body_error_t err;
    sandbox_body_status_t rc;

    for (i = 0; i < n; i++) {
        rc = create_parse(&create, &err, list[i]);

        if (rc != SANDBOX_BODY_OK) {
            fail_msg("%.200s: status %d, field \"%s\", reason \"%s\"", list[i],
                     rc, err.field, err.reason);
        }

        sandbox_create_free(&create);
    }
}
