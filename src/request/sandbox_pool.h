/*
 * The bodies of POST and PATCH /v1/template-warm-pools, from JSON text to
 * checked values (docs: warm-pools.md).  Pure C: no nginx, no I/O, any thread.
 */

#ifndef SANDBOX_POOL_H
#define SANDBOX_POOL_H

#include "sandbox_create.h"

#define SANDBOX_POOL_NAME_MAX 160
#define SANDBOX_POOL_READY_MAX 1000
#define SANDBOX_POOL_SECONDS_MAX (7 * 86400)

/* Members that a PATCH does not change are NULL, or -1 if numbers. */
typedef struct {
    char *name;
    char *template_ref; /* NULL or 0 in a PATCH, as the next four */
    const sandbox_template_t *template; /* what template_ref stands for */
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    int64_t min_ready;
    int64_t max_ready;
    int64_t idle_timeout_ms;
    int64_t stale_after_ms;
    const char *checkout_policy; /* static, as the next */
    const char *version_policy;
    char *track_tag; /* "": none */
    char *labels;    /* verbatim text of an object, as the next */
    char *metadata;
} sandbox_pool_spec_t;

/*
 * patch: the body is that of a PATCH.  On OK the caller frees pool with
 * sandbox_pool_free(); otherwise it is empty and err is set.
 */
sandbox_body_status_t
sandbox_pool_parse(sandbox_pool_spec_t *pool, int patch, const char *body,
                   size_t len, const sandbox_create_limits_t *lim,
                   sandbox_body_error_t *err);
void sandbox_pool_free(sandbox_pool_spec_t *pool);

/*
 * The template that a reference stands for, or NULL.  Unless tag is "", it
 * takes the place of the tag in the reference.  Templates have no tags yet:
 * each of them counts as "latest".
 */
const sandbox_template_t *
sandbox_pool_template(sandbox_template_t *const *templates,
                      const char *reference, const char *tag);

#endif
