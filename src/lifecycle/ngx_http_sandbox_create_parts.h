/*
 * What the files of a create share: the reservation (op_create.c, op_resume.c),
 * the warm pool (create_checkout.c, create_member.c), the record that the
 * sandbox comes from (create_source.c) and the run after the reservation
 * (create_run.c).  Not for other files.  Event loop only; while a pool thread
 * works, fork.take and boot belong to the thread.
 */

#ifndef NGX_HTTP_SANDBOX_CREATE_PARTS_H
#define NGX_HTTP_SANDBOX_CREATE_PARTS_H

#include "ngx_http_sandbox_args.h"
#include "ngx_http_sandbox_idem.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_operation.h"
#include "ngx_http_sandbox_redis.h"
#include "sandbox_boot.h"
#include "sandbox_take.h"
#include "sandbox_tenant.h"
#include "sandbox_text.h"

/* The routes in the scope of an Idempotency-Key. */
#define NGX_HTTP_SANDBOX_ROUTE_CREATE "sandboxes"
#define NGX_HTTP_SANDBOX_ROUTE_FORK "fork"
#define NGX_HTTP_SANDBOX_ROUTE_RESUME "resume"

typedef enum {
    NGX_HTTP_SANDBOX_FROM_TEMPLATE = 0,
    NGX_HTTP_SANDBOX_FROM_SNAPSHOT,
    NGX_HTTP_SANDBOX_FROM_FORK,   /* of a running sandbox */
    NGX_HTTP_SANDBOX_FROM_PAUSED, /* a resume; idempotency key or none */
    NGX_HTTP_SANDBOX_FOR_POOL     /* from a template; no idempotency key */
} ngx_http_sandbox_source_e;

/* The record that the sandbox comes from, if no template (create_source.c). */
typedef struct {
    char id[SANDBOX_ID_SIZE]; /* of a snapshot or a sandbox */
    int64_t wait_until_ms;    /* monotonic: the end of the wait for it, or 0 */
    unsigned reading : 1;
} ngx_http_sandbox_create_parent_t;

/* Of a fork (create_run.c). */
typedef struct {
    sandbox_take_t take;
    unsigned taken : 1; /* its checkpoint was taken */
} ngx_http_sandbox_create_fork_t;

/* Of a resume (op_resume.c). */
typedef struct {
    char origin[SANDBOX_ID_SIZE];       /* the first execution */
    char generation[NGX_INT64_LEN + 1]; /* of the parent's network policy */
    unsigned wake : 1;                  /* a request waits for it */
} ngx_http_sandbox_create_resume_t;

/* Of a create that names a warm pool (create_checkout.c). */
typedef struct {
    char pool[SANDBOX_ID_SIZE];
    ngx_event_t patience;  /* fires when the wait for a member ends */
    int64_t wait_until_ms; /* monotonic: when that wait ends; 0: not begun */
    ngx_uint_t skews;      /* times that the clock was found wrong */
    unsigned asking : 1;   /* checkout.lua is under way */
    unsigned news : 1;     /* an event of the pool came meanwhile */
    unsigned missed : 1;   /* the pool has no member for this request */
} ngx_http_sandbox_create_checkout_t;

/* Of a create for a warm pool (create_member.c). */
typedef struct {
    char pool[SANDBOX_ID_SIZE];
    int64_t fence; /* of the pool's lease */
} ngx_http_sandbox_create_member_t;

/* A create of any kind; it uses what concerns it of the structures above. */
typedef struct {
    ngx_http_sandbox_op_t op;
    ngx_http_sandbox_idem_t idem;

    ngx_http_sandbox_source_e source;
    ngx_http_sandbox_create_parent_t parent;
    ngx_http_sandbox_create_fork_t fork;
    ngx_http_sandbox_create_resume_t resume;
    ngx_http_sandbox_create_checkout_t checkout;
    ngx_http_sandbox_create_member_t member;

    char tenant[SANDBOX_TENANT_SIZE]; /* empty: a wake that has not read its
                                         record yet */

    /* the sandbox's own checkpoint, or that of a reusable snapshot */
    char checkpoint[SANDBOX_ID_SIZE];

    sandbox_create_t spec; /* template may be NULL, template_name is not */
    char *template_name;   /* heap */
    int64_t created_at;
    int64_t timeout_at;
    uint32_t address;       /* host order */
    int64_t admitted_until; /* ms since the epoch */
    char agent_token[SANDBOX_TOKEN_SIZE];
    char traffic_token[SANDBOX_TOKEN_SIZE];
    uint64_t execution;

    sandbox_boot_t boot;
    int64_t reserving_ms;  /* monotonic: when the reservation was sent */
    int64_t committing_ms; /* monotonic: when the commit was sent */
    unsigned lost : 1;     /* Redis has no record of the sandbox any more */
    unsigned left : 1;     /* could not be undone: left to the agenda */
} ngx_http_sandbox_create_op_t;

typedef struct {
    ngx_http_sandbox_key_t record;
    ngx_http_sandbox_key_t index;
    ngx_http_sandbox_key_t idem;
    ngx_http_sandbox_key_t parent;
    ngx_http_sandbox_key_t lives;
} ngx_http_sandbox_create_keys_t;

/* A create without a source yet, ctx may be NULL; NULL if memory is out. */
ngx_http_sandbox_create_op_t *
ngx_http_sandbox_create_new(ngx_http_sandbox_ctx_t *ctx,
                            ngx_http_sandbox_op_done_pt done, void *data);

/* Appends the three keys of reserve.lua and abandon.lua; k is their memory. */
void ngx_http_sandbox_create_keys(ngx_http_sandbox_create_op_t *c,
                                  ngx_http_sandbox_create_keys_t *k,
                                  ngx_http_sandbox_args_t *a);

/* As ngx_http_sandbox_idem_name() and ngx_http_sandbox_idem_taken(). */
void ngx_http_sandbox_create_idem_key(ngx_http_sandbox_create_op_t *c,
                                      ngx_http_sandbox_key_t *key);
void ngx_http_sandbox_create_key_taken(ngx_http_sandbox_create_op_t *c,
                                       redisReply *held);

/*
 * Goes on with a create whose key is free: asks the pool for a member, reads
 * the record of the source, or asks for a place on the node.
 */
void ngx_http_sandbox_create_next(ngx_http_sandbox_create_op_t *c);

/* Asks the pool for a member; NGX_ERROR if Redis is away. */
ngx_int_t ngx_http_sandbox_create_checkout(ngx_http_sandbox_create_op_t *c);

/*
 * Writes what the answer says of the pool as JSON; source is where the machine
 * comes from.  NGX_DECLINED: the request named no pool, nothing is written.
 */
ngx_int_t
ngx_http_sandbox_create_outcome(ngx_http_sandbox_create_op_t *c,
                                const char *source, sandbox_text_t *t);

/* Send pool_reserve.lua and pool_ready.lua, in place of reserve and commit. */
ngx_int_t ngx_http_sandbox_member_reserve(ngx_http_sandbox_create_op_t *c,
                                          const char *execution);
ngx_int_t ngx_http_sandbox_member_commit(ngx_http_sandbox_create_op_t *c);

/* Undoes c after its take or boot by teardown and abandon.lua, and ends c. */
void ngx_http_sandbox_create_undo(ngx_http_sandbox_create_op_t *c);

/* Sets the error of c: another owner has taken its record. */
void ngx_http_sandbox_create_fenced(ngx_http_sandbox_create_op_t *c);

/* Sets the times of c and logs that the sandbox was made. */
void ngx_http_sandbox_create_log(ngx_http_sandbox_create_op_t *c);

/*
 * Reads the record of parent into spec, and goes on with admit, waits, or ends
 * c.
 */
void ngx_http_sandbox_create_source(ngx_http_sandbox_create_op_t *c);

/* Waits for an event of parent, then reads its record again. */
void ngx_http_sandbox_create_source_wait(ngx_http_sandbox_create_op_t *c);

/* Makes all ids and tokens, and asks for a place on the node (admit.lua). */
void ngx_http_sandbox_create_admit(ngx_http_sandbox_create_op_t *c);

/* Sends resume.lua in place of reserve.lua. */
ngx_int_t
ngx_http_sandbox_create_reserve_resume(ngx_http_sandbox_create_op_t *c);

/*
 * Appends the fields and values of the record.  lives is memory for a key that
 * is used when the sandbox comes from a snapshot.
 */
void ngx_http_sandbox_create_record(ngx_http_sandbox_create_op_t *c,
                                    ngx_http_sandbox_args_t *a,
                                    ngx_http_sandbox_key_t *lives,
                                    const char *execution);

/* What is done at the sandbox's deadline, as the record names it. */
const char *
ngx_http_sandbox_create_action(const ngx_http_sandbox_create_op_t *c);

/* Handles the replies of reserve.lua, resume.lua and pool_reserve.lua. */
void ngx_http_sandbox_create_reserved(void *data, redisReply *reply);

/* Redis does not answer: ends c, and undoes nothing. */
void ngx_http_sandbox_create_no_redis(ngx_http_sandbox_create_op_t *c);

/* Makes a sandbox that is reserved and whose lease is held, and ends c. */
void ngx_http_sandbox_create_run(ngx_http_sandbox_create_op_t *c);

#endif
