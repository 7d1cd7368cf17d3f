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

/* The name of a state as it stands in Redis; "error" for FAILED. */
const char *ngx_http_sandbox_state_name(ngx_http_sandbox_state_e state);

/* The state with that name, or 0. */
ngx_http_sandbox_state_e ngx_http_sandbox_state_of(const char *name);

/*
 * 1 if clients must not see a sandbox in that state: it is gone or going, or
 * is a member of a warm pool that nobody has claimed.
 */
ngx_uint_t ngx_http_sandbox_state_hidden(ngx_http_sandbox_state_e state);

#define NGX_HTTP_SANDBOX_ACTION_DESTROY "destroy"
#define NGX_HTTP_SANDBOX_ACTION_HIBERNATE "hibernate"

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
void ngx_http_sandbox_key_events(ngx_http_sandbox_key_t *key);

/*
 * The node name that this worker looks for in records to find its own: that of
 * its node, or "", which is in no record, while another host has that name.
 */
const ngx_str_t *ngx_http_sandbox_self(void);

/* Appends text to a key; makes other kinds of keys from key_shard()'s. */
void ngx_http_sandbox_key_append(ngx_http_sandbox_key_t *key, const char *text);

/* Points at the shard inside an id; not NUL-terminated. */
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
/* Append a field and its value; arg_field() appends nothing for NULL. */
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
    const char *timeout_action; /* done at timeout_at */
    const char *metadata;       /* JSON text; NULL if it was not read */
    const char *cwd;            /* NULL if not set */
    uint32_t address;           /* IPv4, host order */
    uint64_t execution;
    const char *agent_token; /* NULL unless there is or was a guest */
    int64_t auto_resume;
    const char *snapshot_id;  /* NULL unless PAUSED */
    const char *next;         /* of RESUMED: id of the later execution */
    const char *error_detail; /* JSON text; NULL unless FAILED */
    const char *elsewhere; /* its node, if that is another than this worker's */
} ngx_http_sandbox_record_t;

/* 1 if the value, a record's node, names another node; 0 if it has none. */
ngx_uint_t ngx_http_sandbox_reply_elsewhere(redisReply *reply);

/*
 * handler gets NGX_OK with the record, NGX_DECLINED if there is none that
 * clients may see, NGX_ERROR if Redis is away.  For an id that is an alias it
 * gets the record, and the id, of the execution that the alias leads to.  It is
 * called once, never from inside record_get(), and not at all after
 * ngx_http_sandbox_redis_forget() detached data.
 */
typedef void (*ngx_http_sandbox_record_pt)(void *data, ngx_int_t rc,
                                           ngx_http_sandbox_record_t *record);
typedef struct {
    ngx_http_sandbox_record_pt handler;
    void *data;
    /* called with each id on the way before its record is read; or NULL */
    void (*reading)(void *data, const char *id);
    char id[SANDBOX_ID_SIZE];
    ngx_uint_t hops; /* 0 */
} ngx_http_sandbox_record_get_t;

/*
 * The caller owns and fills get, which must live until handler is called, and
 * passes it to ngx_http_sandbox_redis_forget().  NGX_OK, or NGX_ERROR if Redis
 * is away (handler is not called then).
 */
ngx_int_t ngx_http_sandbox_record_get(ngx_http_sandbox_record_get_t *get);

/*
 * fields() appends the names of the fields that a script is to give; row()
 * reads such a row, which begins with the id, also of a sandbox that was
 * destroyed.  NGX_ERROR: the row is no record.
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
    uint64_t tenant;    /* sandbox_tenant_hash() */
    unsigned public_traffic : 1;
    unsigned masked : 1;
    unsigned auto_resume : 1;
    unsigned elsewhere : 1; /* another node has its guest; not cached */
    int64_t wakes; /* since wakes_since, ms since the epoch; not cached */
    int64_t wakes_since;
    int64_t busy_until; /* ms: a snapshot is taken until then; not cached */
    /* only set when traffic is not public, when masked, and when RESUMED */
    char token[SANDBOX_TOKEN_SIZE];
    char mask_host[SANDBOX_MASK_HOST_MAX + 1];
    char next[SANDBOX_ID_SIZE];
} ngx_http_sandbox_route_t;

/* Most aliases followed: from a middle execution to the first, to the last. */
#define NGX_HTTP_SANDBOX_HOPS_MAX 3

/*
 * Reads the route of id; an alias is not followed.  handler gets NGX_OK with
 * route, NGX_DECLINED if there is no such sandbox (it never existed or is
 * destroyed), NGX_ERROR if Redis is away.  handler is called once, never from
 * inside the call.
 */
typedef void (*ngx_http_sandbox_route_pt)(void *data, ngx_int_t rc,
                                          ngx_http_sandbox_route_t *route);
ngx_int_t
ngx_http_sandbox_record_route(const char *id, ngx_http_sandbox_route_pt handler,
                              void *data);

void ngx_http_sandbox_record_to_route(ngx_http_sandbox_route_t *route,
                                      const ngx_http_sandbox_record_t *record);

#endif
