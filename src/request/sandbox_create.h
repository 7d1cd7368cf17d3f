/*
 * The body of POST /v1/sandboxes, from JSON text to a checked specification.
 *
 * One table of members (docs: api.md §2) drives types, ranges, unknown and
 * not-yet-built members; combinations are checked after it.  Pure C: no nginx,
 * no I/O, any thread; unit-tested and fuzzed on its own.
 */

#ifndef SANDBOX_CREATE_H
#define SANDBOX_CREATE_H

#include "sandbox_body.h"
#include "sandbox_digest.h"
#include "sandbox_path.h"
#include "sandbox_template.h"

#define SANDBOX_ENVS_MAX 65536

typedef struct {
    int64_t max_vcpus;
    int64_t max_memory_mb;
    int64_t max_disk_mb;
    int64_t max_timeout_ms;
    sandbox_template_t *const *templates; /* NULL-terminated */
} sandbox_create_limits_t;

/* Members that were in the body; a warm pool may determine the others. */
enum {
    SANDBOX_CREATE_TEMPLATE = 1,
    SANDBOX_CREATE_VCPUS = 2,
    SANDBOX_CREATE_MEMORY = 4,
    SANDBOX_CREATE_DISK = 8
};

/*
 * With snapshot_id, the snapshot determines members that were left out: then
 * template is NULL, sizes are 0, internet is -1, envs and the lists are NULL.
 */
typedef struct {
    char *snapshot_id; /* or NULL */
    const sandbox_template_t *template;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    int64_t timeout_ms;
    int hibernate; /* at the deadline, instead of destroy */
    int auto_resume;
    char *metadata; /* verbatim text of the object, "{}" if left out */
    char *envs;     /* verbatim text of the object, or NULL */
    char *cwd;      /* normalised, or NULL if left out */
    int public_traffic;
    char *mask_host; /* network.mask_request_host, or NULL */
    int internet;    /* internet_access */
    char *allow_out; /* as sandbox_cidrs_format() has it, or NULL */
    char *deny_out;
    char *pool_id;          /* of the warm pool to take from, or NULL */
    int pool_required;      /* no sandbox unless from the pool */
    int64_t pool_wait_ms;   /* to wait for a ready member */
    const char *unpoolable; /* member that no pool can serve; static, or NULL */
    unsigned given;         /* bits of the enum above */
    int limited;            /* 1: refused, but fingerprint is set */
    uint8_t fingerprint[SANDBOX_SHA256_LEN]; /* of the canonical body */
} sandbox_create_t;

/*
 * Reads body (an empty one means "{}").  On OK the caller frees create with
 * sandbox_create_free(); otherwise err is set and create is empty.  Only a body
 * that is refused for what this node lacks or does not allow has limited and
 * fingerprint set: another node may have created its sandbox.
 */
sandbox_body_status_t
sandbox_create_parse(sandbox_create_t *create, const char *body, size_t len,
                     const sandbox_create_limits_t *lim,
                     sandbox_body_error_t *err);
void sandbox_create_free(sandbox_create_t *create);

#endif
