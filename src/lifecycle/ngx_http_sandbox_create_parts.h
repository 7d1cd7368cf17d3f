/*
 * What the parts of a create share: the reservation (op_create.c, op_resume.c),
 * where the sandbox comes from (create_source.c) and the making of what was
 * reserved (create_run.c).  Not for others.  Event loop only; while a thread
 * is at work, take and boot are the thread's.
 */

#ifndef NGX_HTTP_SANDBOX_CREATE_PARTS_H
#define NGX_HTTP_SANDBOX_CREATE_PARTS_H

#include "ngx_http_sandbox_idem.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_snapshot.h"
#include "sandbox_boot.h"
#include "sandbox_take.h"
#include "sandbox_text.h"

/* The routes in the scope of an Idempotency-Key. */
#define NGX_HTTP_SANDBOX_ROUTE_CREATE "sandboxes"
#define NGX_HTTP_SANDBOX_ROUTE_FORK "fork"

typedef enum {
    NGX_HTTP_SANDBOX_FROM_TEMPLATE = 0,
    NGX_HTTP_SANDBOX_FROM_SNAPSHOT,
    NGX_HTTP_SANDBOX_FROM_FORK,   /* of a running sandbox */
    NGX_HTTP_SANDBOX_FROM_PAUSED, /* a resume, which has no idempotency key */
    NGX_HTTP_SANDBOX_FOR_POOL     /* from a template, nor has it one */
} ngx_http_sandbox_source_e;

typedef struct {
    ngx_http_sandbox_op_t op;
    ngx_http_sandbox_idem_t idem;

    char tenant[128]; /* empty: of a wake, until it is known */
    ngx_http_sandbox_source_e source;
    char parent[SANDBOX_ID_SIZE]; /* the snapshot or sandbox it comes from */
    char origin[SANDBOX_ID_SIZE]; /* of a resume: the first execution */

    /* a checkpoint that ends with the sandbox, or a reusable snapshot's */
    char checkpoint[SANDBOX_ID_SIZE];

    char pool[SANDBOX_ID_SIZE]; /* that it is looked for in, or made for */
    int64_t pool_fence;         /* of the lease under which it is made */
    ngx_event_t patience;       /* the end of the wait for a member */
    int64_t waiting;            /* monotonic ms of the same; 0: not yet */

    sandbox_create_t spec; /* template may be NULL, template_name is not */
    char *template_name;   /* heap */
    char generation[NGX_INT64_LEN + 1]; /* of the source's network policy */
    int64_t created_at;
    int64_t timeout_at;
    uint32_t address;       /* host order */
    int64_t admitted_until; /* ms since the epoch */
    char agent_token[SANDBOX_TOKEN_SIZE];
    char traffic_token[SANDBOX_TOKEN_SIZE];
    uint64_t execution;

    sandbox_take_t take; /* of a fork */
    sandbox_boot_t boot;
    int64_t reserving;  /* monotonic ms */
    int64_t committing; /* monotonic ms */
    int64_t changing;   /* monotonic ms: the end of the wait for parent, or 0 */
    ngx_uint_t hops;    /* aliases that were followed */
    unsigned peeking : 1; /* at parent or the pool */
    unsigned wake : 1;    /* of a resume */
    unsigned taken : 1;   /* of a fork: its checkpoint is there */
    unsigned lost : 1;    /* Redis has no record of it any more */
    unsigned left : 1;    /* could not be undone: the agenda's */
    unsigned missed : 1;  /* the pool has nothing for it */
    unsigned news : 1;    /* of the pool, while it was being asked */
} ngx_http_sandbox_create_op_t;

typedef struct {
    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_key_t index;
    ngx_http_sandbox_key_t idem;
    ngx_http_sandbox_key_t parent;
    ngx_http_sandbox_key_t lives;
} ngx_http_sandbox_create_keys_t;

/* A create of nothing yet; NULL if memory is out. */
ngx_http_sandbox_create_op_t *
ngx_http_sandbox_create_new(ngx_http_sandbox_ctx_t *ctx,
                            ngx_http_sandbox_op_done_pt done, void *data);

/* The three keys of reserve.lua and abandon.lua. */
void ngx_http_sandbox_create_keys(ngx_http_sandbox_create_op_t *c,
                                  ngx_http_sandbox_create_keys_t *k,
                                  ngx_http_sandbox_args_t *a);

/* See ngx_http_sandbox_idem_name() and _taken(). */
void ngx_http_sandbox_create_idem_key(ngx_http_sandbox_create_op_t *c,
                                      ngx_http_sandbox_key_t *key);
void ngx_http_sandbox_create_key_taken(ngx_http_sandbox_create_op_t *c,
                                       redisReply *held);

/*
 * The key is free: what is to be done next is a look into the pool, at what it
 * comes from, or a place on the node.
 */
void ngx_http_sandbox_create_next(ngx_http_sandbox_create_op_t *c);

/* Asks the pool for a member; NGX_ERROR if Redis is away. */
ngx_int_t ngx_http_sandbox_create_checkout(ngx_http_sandbox_create_op_t *c);

/*
 * What the answer says of the pool, as JSON; source is where the machine is
 * from.  NGX_DECLINED: nothing, none was considered.
 */
ngx_int_t
ngx_http_sandbox_create_outcome(ngx_http_sandbox_create_op_t *c,
                                const char *source, sandbox_text_t *t);

/* pool_reserve.lua and pool_ready.lua, in place of reserve and commit. */
ngx_int_t ngx_http_sandbox_member_reserve(ngx_http_sandbox_create_op_t *c,
                                          const char *execution);
ngx_int_t ngx_http_sandbox_member_commit(ngx_http_sandbox_create_op_t *c);

/* Goes back after the boot: teardown, abandon.lua; ends c. */
void ngx_http_sandbox_create_undo(ngx_http_sandbox_create_op_t *c);

/* Why c ends: somebody else has taken its record. */
void ngx_http_sandbox_create_fenced(ngx_http_sandbox_create_op_t *c);

/* Notes the times of c, and that it is there, in the log. */
void ngx_http_sandbox_create_log(ngx_http_sandbox_create_op_t *c);

/*
 * Reads what the sandbox comes from into spec, and goes on with admit, or
 * ends c.
 */
void ngx_http_sandbox_create_source(ngx_http_sandbox_create_op_t *c);

/* Waits for news of parent, and reads it again. */
void ngx_http_sandbox_create_source_wait(ngx_http_sandbox_create_op_t *c);

/* Makes all ids, and asks for a place on the node. */
void ngx_http_sandbox_create_admit(ngx_http_sandbox_create_op_t *c);

/* resume.lua in place of reserve.lua. */
ngx_int_t
ngx_http_sandbox_create_reserve_resume(ngx_http_sandbox_create_op_t *c);

/*
 * Appends the fields and values of the record; lives is memory for a key, used
 * when it comes from a snapshot.
 */
void ngx_http_sandbox_create_record(ngx_http_sandbox_create_op_t *c,
                                    ngx_http_sandbox_args_t *a,
                                    ngx_http_sandbox_key_t *lives,
                                    const char *execution);

/* What is done at its deadline. */
const char *
ngx_http_sandbox_create_action(const ngx_http_sandbox_create_op_t *c);

/* The common part of what reserve.lua and resume.lua answer. */
void ngx_http_sandbox_create_reserved(void *data, redisReply *reply);

/* Redis does not answer: ends c, and undoes nothing. */
void ngx_http_sandbox_create_no_redis(ngx_http_sandbox_create_op_t *c);

/* The sandbox is reserved and its lease held: makes it, and ends c. */
void ngx_http_sandbox_create_run(ngx_http_sandbox_create_op_t *c);

#endif
