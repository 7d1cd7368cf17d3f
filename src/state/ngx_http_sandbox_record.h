/*
 * Records in Redis: the names of the keys, the typed record of a sandbox, and
 * reading it.  Event loop only.  Keys (P is sandbox_redis prefix=, braces are
 * cluster hash tags: a script touches keys of one tag only):
 *
 *   P{<shard>}:sandbox:<id>        hash, the record of a sandbox
 *   P{<shard>}:sandbox:<first id>:aliases  list of the ids of its executions
 *                                  between the first and the newest, oldest
 *                                  first, that are kept while it lives
 *   P{<shard>}:snapshot:<id>, and others of snapshots:
 *                                  ngx_http_sandbox_snapshot.h
 *   P{<shard>}:pool:<id>, and others of warm pools: ngx_http_sandbox_pool.h
 *   P{<shard>}:tenant:<tenant>     zset of live ids by creation time (ms)
 *   P{<shard>}:tenant:<tenant>:destroyed   the same of those whose end has
 *                                  begun; ids may stand longer than tombstones
 *   P{<shard>}:tenant:<tenant>:graves      zset of ids by the end of their
 *                                  tombstone, for trimming the former
 *   P{<shard>}:idem:<tenant>:<route>:<sha256 of key>   hash
 *   P{<node>}:agenda               zset of ids by the time (ms) at which
 *                                  somebody must look at the sandbox: the end
 *                                  of its operation's lease, or its deadline
 *   P{<node>}:addresses, :guests   hashes address -> id and id -> address
 *   P{<node>}:cursor               where the next address is looked for
 *   P{<node>}:reconcile            the worker that compares Redis and libvirt
 *   P{<node>}:host                 the machine-id of the host that the node is
 *   Pkey:<sha256 of API key>       hash, tenant
 *   Pevents                        channel, see ngx_http_sandbox_events.h
 */

#ifndef NGX_HTTP_SANDBOX_RECORD_H
#define NGX_HTTP_SANDBOX_RECORD_H

#include "ngx_http_sandbox_module.h"
#include "sandbox_net.h"

typedef enum {
    NGX_HTTP_SANDBOX_CREATING = 1,
    NGX_HTTP_SANDBOX_RUNNING,
    NGX_HTTP_SANDBOX_PAUSED,
    NGX_HTTP_SANDBOX_HIBERNATING, /* running, until it is paused */
    NGX_HTTP_SANDBOX_RESUMING,    /* paused, until it is resumed */
    NGX_HTTP_SANDBOX_RESUMED,     /* an alias of its later execution */
    NGX_HTTP_SANDBOX_WARMING,     /* creating, for a warm pool */
    NGX_HTTP_SANDBOX_POOLED,      /* in a warm pool, nobody's yet */
    NGX_HTTP_SANDBOX_DESTROYING,
    NGX_HTTP_SANDBOX_DESTROYED,
    NGX_HTTP_SANDBOX_FAILED
} ngx_http_sandbox_state_e;

/* As it stands in Redis; "error" for FAILED. */
const char *ngx_http_sandbox_state_name(ngx_http_sandbox_state_e state);

/* The state of a name, or 0. */
ngx_http_sandbox_state_e ngx_http_sandbox_state_of(const char *name);

/* 1 if nobody is to be told of a sandbox in that state: gone, or not had yet */
ngx_uint_t ngx_http_sandbox_state_hidden(ngx_http_sandbox_state_e state);

#define NGX_HTTP_SANDBOX_ACTION_DESTROY "destroy"
#define NGX_HTTP_SANDBOX_ACTION_HIBERNATE "hibernate"

/* A key in a buffer of its own, so that callers allocate nothing. */
typedef struct {
    ngx_str_t name;
    u_char buf[384];
} ngx_http_sandbox_key_t;

void ngx_http_sandbox_key_record(ngx_http_sandbox_key_t *key, const char *id);
/* The record key less the id, or the index key less the tenant. */
void ngx_http_sandbox_key_shard(ngx_http_sandbox_key_t *key, const char *shard,
                                const char *kind);
void
ngx_http_sandbox_key_tenant(ngx_http_sandbox_key_t *key, const char *tenant);
void ngx_http_sandbox_key_tenant_destroyed(ngx_http_sandbox_key_t *key,
                                           const char *tenant);
void ngx_http_sandbox_key_idem(ngx_http_sandbox_key_t *key, const char *tenant,
                               const char *route, const uint8_t *digest);
/* "agenda", "guests" or another key of a node, and of this one. */
void ngx_http_sandbox_key_of_node(ngx_http_sandbox_key_t *key,
                                  const ngx_str_t *node, const char *kind);
void ngx_http_sandbox_key_node(ngx_http_sandbox_key_t *key, const char *kind);
void ngx_http_sandbox_key_events(ngx_http_sandbox_key_t *key);

/*
 * The name by which this worker takes records for its own: the node's, or,
 * while another host has that, "", which is in none.
 */
const ngx_str_t *ngx_http_sandbox_self(void);

/* For keys of other kinds: appends to what key_shard() gave. */
void ngx_http_sandbox_key_append(ngx_http_sandbox_key_t *key, const char *text);

/* The shard inside an id; not NUL-terminated. */
const char *ngx_http_sandbox_id_shard(const char *id);

/* Arguments of a command; numbers are spelled into the struct itself. */
#define NGX_HTTP_SANDBOX_ARGS_MAX 80

typedef struct {
    ngx_str_t values[NGX_HTTP_SANDBOX_ARGS_MAX];
    ngx_uint_t n;
    u_char numbers[16][NGX_INT64_LEN + 1];
    ngx_uint_t nnumbers;
} ngx_http_sandbox_args_t;

void ngx_http_sandbox_arg(ngx_http_sandbox_args_t *args, const char *value);
void ngx_http_sandbox_arg_len(ngx_http_sandbox_args_t *args, const void *value,
                              size_t len);
void ngx_http_sandbox_arg_key(ngx_http_sandbox_args_t *args,
                              ngx_http_sandbox_key_t *key);
void ngx_http_sandbox_arg_int(ngx_http_sandbox_args_t *args, int64_t value);
void ngx_http_sandbox_arg_self(ngx_http_sandbox_args_t *args);
/* A field and its value; the first one only if value is not NULL. */
void ngx_http_sandbox_arg_field(ngx_http_sandbox_args_t *args, const char *name,
                                const char *value);
void ngx_http_sandbox_arg_field_int(ngx_http_sandbox_args_t *args,
                                    const char *name, int64_t value);

/* The keys of admit.lua and release.lua, made and appended to args. */
typedef struct {
    ngx_http_sandbox_key_t agenda;
    ngx_http_sandbox_key_t addresses;
    ngx_http_sandbox_key_t guests;
    ngx_http_sandbox_key_t cursor;
} ngx_http_sandbox_node_keys_t;

void ngx_http_sandbox_node_keys(ngx_http_sandbox_node_keys_t *keys,
                                ngx_http_sandbox_args_t *args);

/* One value of a reply: NULL, or 0, if it is not there. */
const char *ngx_http_sandbox_reply_text(redisReply *reply);
int64_t ngx_http_sandbox_reply_int(redisReply *reply);

/* Strings point into the reply they were read from, NUL-terminated. */
typedef struct {
    const char *id;
    const char *tenant;
    ngx_http_sandbox_state_e state;
    const char *template;
    int64_t vcpus;
    int64_t memory_mb;
    int64_t disk_mb;
    int64_t created_at; /* ms since the epoch */
    int64_t started_at; /* 0 while creating */
    int64_t timeout_ms;
    int64_t timeout_at;
    const char *timeout_action; /* what is then done */
    const char *metadata;       /* JSON text; NULL if it was not read */
    const char *cwd;            /* NULL if not set */
    uint32_t address;           /* IPv4, host order */
    uint64_t execution;
    const char *agent_token; /* NULL unless there is or was a guest */
    int64_t auto_resume;
    const char *snapshot_id;  /* NULL unless PAUSED */
    const char *next;         /* of RESUMED: the later execution */
    const char *error_detail; /* JSON text; NULL unless FAILED */
    const char *elsewhere; /* the node of its address, if it is another one */
} ngx_http_sandbox_record_t;

/* 1 if a record's node is another one; of a record that has none, 0. */
ngx_uint_t ngx_http_sandbox_reply_elsewhere(redisReply *reply);

/*
 * handler gets NGX_OK with the record, NGX_DECLINED if there is none (never
 * was, or is gone), NGX_ERROR if Redis is away.  An id that is an alias gives
 * the record, and the id, of the execution it leads to.  Called once, never
 * from inside the call, unless ngx_http_sandbox_redis_forget() detached data.
 * NGX_OK, or NGX_ERROR if Redis is away (handler is not called).
 */
typedef void (*ngx_http_sandbox_record_pt)(void *data, ngx_int_t rc,
                                           ngx_http_sandbox_record_t *record);
typedef struct {
    ngx_http_sandbox_record_pt handler;
    void *data;
    /* told of each id on the way before its record is read; or NULL */
    void (*reading)(void *data, const char *id);
    char id[SANDBOX_ID_SIZE];
    ngx_uint_t hops; /* 0 */
} ngx_http_sandbox_record_get_t;

/* get is the caller's, filled by it, and what forget() takes. */
ngx_int_t ngx_http_sandbox_record_get(ngx_http_sandbox_record_get_t *get);

/*
 * The fields a script is to give, and reading such a row, which begins with
 * the id; destroyed ones are read like others.  NGX_ERROR: it is no record.
 */
void ngx_http_sandbox_record_fields(ngx_http_sandbox_args_t *args,
                                    ngx_uint_t metadata);
ngx_int_t
ngx_http_sandbox_record_row(ngx_http_sandbox_record_t *record, redisReply *row);

/* What a route needs: few fields, fixed size, no allocation. */
typedef struct {
    char id[SANDBOX_ID_SIZE];
    ngx_http_sandbox_state_e state;
    in_addr_t address;                /* network order; 0 if none */
    char text[SANDBOX_NET_IPV4_SIZE]; /* of the address */
    u_char text_len;
    uint64_t execution; /* differs between executions that share an address */
    uint64_t tenant;    /* ngx_http_sandbox_tenant_hash() */
    unsigned public_traffic : 1;
    unsigned masked : 1;
    unsigned auto_resume : 1;
    unsigned elsewhere : 1; /* its address is another node's; not cached */
    int64_t wakes; /* since wakes_since, ms since the epoch; not cached */
    int64_t wakes_since;
    int64_t busy_until; /* likewise: a snapshot of it is being taken, or was */
    /* only set when traffic is not public, when masked, and when RESUMED */
    char token[SANDBOX_TOKEN_SIZE];
    char mask_host[SANDBOX_MASK_HOST_MAX + 1];
    char next[SANDBOX_ID_SIZE];
} ngx_http_sandbox_route_t;

/* What tells tenants apart where names would take too much room. */
uint64_t ngx_http_sandbox_tenant_hash(const char *name);

/* From an execution in the middle to the first one, and to the last. */
#define NGX_HTTP_SANDBOX_HOPS_MAX 3

/*
 * Reads the route of id, an alias as it stands.  handler gets NGX_OK with
 * route, NGX_DECLINED if no such sandbox (never existed or is destroyed),
 * NGX_ERROR if Redis is away.  Called once, never from inside the call.
 */
typedef void (*ngx_http_sandbox_route_pt)(void *data, ngx_int_t rc,
                                          ngx_http_sandbox_route_t *route);
ngx_int_t
ngx_http_sandbox_record_route(const char *id, ngx_http_sandbox_route_pt handler,
                              void *data);

void ngx_http_sandbox_record_to_route(ngx_http_sandbox_route_t *route,
                                      const ngx_http_sandbox_record_t *record);

#endif
