/*
 * The names of the keys in Redis.  Event loop only.  P is sandbox_redis
 * prefix=, braces are cluster hash tags: a script touches keys of one tag only.
 *
 *   P{<shard>}:sandbox:<id>        hash, the record of a sandbox
 *   P{<shard>}:sandbox:<first id>:aliases  list of the ids of its executions
 *                                  between the first and the newest, oldest
 *                                  first, that are kept while it lives
 *   P{<shard>}:snapshot:<id>, and others of snapshots:
 *                                  ngx_http_sandbox_snapshot.h
 *   P{<shard>}:pool:<id>, and others of warm pools: ngx_http_sandbox_pool.h
 *   P{<shard>}:tenant:<tenant>     zset of live ids by creation time (ms)
 *   P{<shard>}:tenant:<tenant>:destroyed   the same for sandboxes whose
 *                                  destruction has begun; an id may stay here
 *                                  longer than its tombstone
 *   P{<shard>}:tenant:<tenant>:graves      zset of ids by the end of their
 *                                  tombstone, for trimming ":destroyed"
 *   P{<shard>}:idem:<tenant>:<route>:<sha256 of key>   hash
 *   P{<node>}:agenda               zset of ids by the time (ms) at which
 *                                  a worker must look at the sandbox: the end
 *                                  of its operation's lease, or its deadline
 *   P{<node>}:addresses, :guests   hashes address -> id and id -> address
 *   P{<node>}:cursor               where the search for a free address goes on
 *   P{<node>}:reconcile            lock: the worker that compares Redis and
 *                                  libvirt
 *   P{<node>}:host                 the machine-id of the host that has the
 *                                  node's name
 *   Pkey:<sha256 of API key>       hash, tenant
 *   Pevents                        channel, see ngx_http_sandbox_events.h
 */

#ifndef NGX_HTTP_SANDBOX_KEYS_H
#define NGX_HTTP_SANDBOX_KEYS_H

#include "ngx_http_sandbox_args.h"

/* A key in a buffer of its own, so that callers allocate nothing. */
typedef struct {
    ngx_str_t name;
    u_char buf[384];
} ngx_http_sandbox_key_t;

void ngx_http_sandbox_key_record(ngx_http_sandbox_key_t *key, const char *id);
/* "P{<shard>}:<kind>:": a record key less its id, or an index less tenant. */
void ngx_http_sandbox_key_shard(ngx_http_sandbox_key_t *key, const char *shard,
                                const char *kind);
void
ngx_http_sandbox_key_tenant(ngx_http_sandbox_key_t *key, const char *tenant);
void ngx_http_sandbox_key_tenant_destroyed(ngx_http_sandbox_key_t *key,
                                           const char *tenant);
void ngx_http_sandbox_key_idem(ngx_http_sandbox_key_t *key, const char *tenant,
                               const char *route, const uint8_t *digest);
/* kind is "agenda", "guests" …; key_node() makes the key of this node. */
void ngx_http_sandbox_key_of_node(ngx_http_sandbox_key_t *key,
                                  const ngx_str_t *node, const char *kind);
void ngx_http_sandbox_key_node(ngx_http_sandbox_key_t *key, const char *kind);
/* "P<kind>", which all nodes share. */
void ngx_http_sandbox_key_common(ngx_http_sandbox_key_t *key, const char *kind);
void ngx_http_sandbox_key_events(ngx_http_sandbox_key_t *key);

/* Appends text to a key; makes other kinds of keys from key_shard()'s. */
void ngx_http_sandbox_key_append(ngx_http_sandbox_key_t *key, const char *text);

/* Points at the shard inside an id; not NUL-terminated. */
const char *ngx_http_sandbox_id_shard(const char *id);

void ngx_http_sandbox_arg_key(ngx_http_sandbox_args_t *args,
                              ngx_http_sandbox_key_t *key);
/* The command that reads n fields of a hash; args was empty. */
void ngx_http_sandbox_args_hmget(ngx_http_sandbox_args_t *args,
                                 ngx_http_sandbox_key_t *key,
                                 const char *const *fields, size_t n);

/* The keys of admit.lua and release.lua, made and appended to args. */
typedef struct {
    ngx_http_sandbox_key_t agenda;
    ngx_http_sandbox_key_t addresses;
    ngx_http_sandbox_key_t guests;
    ngx_http_sandbox_key_t cursor;
} ngx_http_sandbox_node_keys_t;

void ngx_http_sandbox_node_keys(ngx_http_sandbox_node_keys_t *keys,
                                ngx_http_sandbox_args_t *args);

/*
 * The node name that this worker looks for in records to find its own: that of
 * its node, or "", which is in no record, while another host has that name.
 */
const ngx_str_t *ngx_http_sandbox_self(void);

void ngx_http_sandbox_arg_self(ngx_http_sandbox_args_t *args);

#endif
