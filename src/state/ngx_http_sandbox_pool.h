/*
 * Records of warm pools in Redis: the names of their keys, the typed record,
 * and reading it.  Event loop only.  An id ("twp_…") carries its tenant's
 * shard as that of a sandbox does.  Keys, beside those of
 * ngx_http_sandbox_keys.h:
 *
 *   P{<shard>}:pool:<id>            hash, the record
 *   P{<shard>}:pool:<id>:<set>      zset of ids of members by the time (ms) at
 *                                   which they came into the set: warming,
 *                                   ready, old, draining, expired, failed and
 *                                   claimed (there: by the time of the last
 *                                   look at the member), see pool_tend.lua
 *   P{<shard>}:tenant:<tenant>:pools       zset of ids by creation time (ms)
 *   P{<shard>}:tenant:<tenant>:pool-names  hash name -> id
 *   Pleases                         zset of ids of pools of all tenants by the
 *                                   time (ms) at which a worker looks whether
 *                                   the lease of their node is over
 *
 * The record of a member that nobody has claimed names its pool's key in
 * "member"; that of a claimed member names it in "claimed_from".  A node has a
 * pool until "lease_at" (ms), under the number "fence"; "redis_run" is
 * the run_id that Redis had when the pool was tended; see pool_tend.lua.
 */

#ifndef NGX_HTTP_SANDBOX_POOL_H
#define NGX_HTTP_SANDBOX_POOL_H

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_redis.h"
#include "sandbox_id.h"

#define NGX_HTTP_SANDBOX_POOL_PREFIX "twp_"

void ngx_http_sandbox_key_pool(ngx_http_sandbox_key_t *key, const char *id);
void
ngx_http_sandbox_key_pools(ngx_http_sandbox_key_t *key, const char *tenant);
void ngx_http_sandbox_key_leases(ngx_http_sandbox_key_t *key);

/* Reads an id as a client wrote it.  1, or 0 if it can be none of tenant's. */
ngx_uint_t
ngx_http_sandbox_pool_id(char id[SANDBOX_ID_SIZE], const char *tenant,
                         const char *text, size_t len);

/* The keys of a tenant's indexes: its pools, and the names of its pools. */
typedef struct {
    ngx_http_sandbox_key_t pools;
    ngx_http_sandbox_key_t names;
} ngx_http_sandbox_pool_keys_t;

/* Makes the keys of tenant and appends both to args. */
void
ngx_http_sandbox_pool_keys(ngx_http_sandbox_pool_keys_t *keys,
                           const char *tenant, ngx_http_sandbox_args_t *args);

/* Strings point into the reply they were read from, NUL-terminated. */
typedef struct {
    const char *id;
    const char *name;
    const char *state; /* "enabled", "disabled" or "draining" */
    const char *node;
    const char *template; /* as the client named it */
    const char *version;  /* of the template, for its members */
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    int64_t min_ready;
    int64_t max_ready;
    int64_t idle_timeout_ms;
    int64_t stale_after_ms;
    const char *checkout_policy;
    const char *version_policy;
    const char *track_tag; /* NULL if none */
    const char *labels;    /* JSON text */
    const char *metadata;  /* JSON text */
    int64_t created_at;    /* ms since the epoch */
    int64_t updated_at;    /* ms since the epoch */
    int64_t target;        /* wanted number of ready members */
    const char *reason;    /* why there are fewer; NULL: none is known */
    int64_t reason_at;     /* ms since the epoch */

    /* Numbers of members; ready counts those of the set "old", too. */
    int64_t ready;
    int64_t warming;
    int64_t claimed;
    int64_t draining;
    int64_t failed;
    int64_t expired;
} ngx_http_sandbox_pool_t;

/*
 * fields() appends the names of the fields that pool_read.lua is to give;
 * row() reads a row of its reply.  NGX_ERROR: the row is no record.
 */
void ngx_http_sandbox_pool_fields(ngx_http_sandbox_args_t *args);
ngx_int_t
ngx_http_sandbox_pool_row(ngx_http_sandbox_pool_t *pool, redisReply *row);

#endif
