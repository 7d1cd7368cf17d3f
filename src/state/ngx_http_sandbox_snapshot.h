/*
 * Records of snapshots in Redis: the names of their keys, the typed record,
 * and reading it.  Event loop only.  An id ("snap_…") carries its tenant's
 * shard as that of a sandbox does, and is the name of its checkpoint, too.
 * Keys, beside those of ngx_http_sandbox_keys.h:
 *
 *   P{<shard>}:snapshot:<id>        hash, the record
 *   P{<shard>}:snapshot:<id>:lives  set of ids of sandboxes that were started
 *                                   from the snapshot; the record of such a
 *                                   sandbox names this set in its field "lives"
 *   P{<shard>}:tenant:<tenant>:snapshots  zset of ids of reusable snapshots,
 *                                   those being taken as well, by creation
 *                                   time (ms)
 *
 * While a snapshot is being taken, its source's record has "busy_until" (ms)
 * and "busy_by" (the snapshot's id): a DELETE, a hibernation or another
 * snapshot of the source waits.
 */

#ifndef NGX_HTTP_SANDBOX_SNAPSHOT_H
#define NGX_HTTP_SANDBOX_SNAPSHOT_H

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_redis.h"
#include "sandbox_id.h"

#define NGX_HTTP_SANDBOX_SNAPSHOT_PREFIX "snap_"

typedef enum {
    NGX_HTTP_SANDBOX_SNAPSHOT_TAKING = 1,
    NGX_HTTP_SANDBOX_SNAPSHOT_READY,
    NGX_HTTP_SANDBOX_SNAPSHOT_DELETING
} ngx_http_sandbox_snapshot_state_e;

/* What a snapshot is for; only a reusable one is shown to clients. */
#define NGX_HTTP_SANDBOX_SNAPSHOT_REUSABLE "reusable"
#define NGX_HTTP_SANDBOX_SNAPSHOT_HIBERNATE "hibernate"

void ngx_http_sandbox_key_snapshot(ngx_http_sandbox_key_t *key, const char *id);
void ngx_http_sandbox_key_snapshot_lives(ngx_http_sandbox_key_t *key,
                                         const char *id);
void ngx_http_sandbox_key_tenant_snapshots(ngx_http_sandbox_key_t *key,
                                           const char *tenant);

/* 1 if id is the id of a snapshot. */
ngx_uint_t ngx_http_sandbox_id_is_snapshot(const char *id);

/* The key of the record of id, which is a sandbox's or a snapshot's. */
void ngx_http_sandbox_key_of(ngx_http_sandbox_key_t *key, const char *id);

/* Strings point into the reply they were read from, NUL-terminated. */
typedef struct {
    const char *id;
    const char *tenant;
    const char *node; /* that has its files */
    ngx_http_sandbox_snapshot_state_e state;
    const char *kind;
    const char *sandbox_id; /* the source */
    int64_t created_at;     /* ms since the epoch */
    int64_t size_bytes;     /* 0 while the snapshot is being taken */
    const char *metadata;   /* JSON text; NULL if it was not read */

    /* of the source at that time; NULL if it had no such value */
    const char *template;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    const char *cwd;
    const char *envs;
    int64_t public_traffic;
    const char *mask_host;
} ngx_http_sandbox_snapshot_t;

/* As ngx_http_sandbox_record_get(), for any kind and state. */
typedef void (*ngx_http_sandbox_snapshot_pt)(
    void *data, ngx_int_t rc, ngx_http_sandbox_snapshot_t *snapshot);

typedef struct {
    ngx_http_sandbox_snapshot_pt handler;
    void *data;
    char id[SANDBOX_ID_SIZE];
} ngx_http_sandbox_snapshot_get_t;

ngx_int_t ngx_http_sandbox_snapshot_get(ngx_http_sandbox_snapshot_get_t *get);

/* As ngx_http_sandbox_record_fields() and ngx_http_sandbox_record_row(). */
void ngx_http_sandbox_snapshot_fields(ngx_http_sandbox_args_t *args,
                                      ngx_uint_t metadata);
ngx_int_t ngx_http_sandbox_snapshot_row(ngx_http_sandbox_snapshot_t *snapshot,
                                        redisReply *row);

#endif
