/*
 * Operations: what changes a sandbox, detached from any request.
 *
 * An operation lives on the heap of one worker and walks its steps from
 * callback to callback: scripts in Redis on the event loop, blocking steps as
 * tasks of a thread pool.  While it holds the lease of a sandbox it renews it
 * by a timer that also keeps a worker that is shutting down alive.  The
 * request that asked for it only waits; it may go away at any time.
 *
 * What a worker's death leaves is found on the node's agenda (agenda.h).
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_OPERATION_H
#define NGX_HTTP_SANDBOX_OPERATION_H

#include "ngx_http_sandbox_await.h"
#include "ngx_http_sandbox_snapshot.h"
#include "sandbox_create.h"
#include "sandbox_network_patch.h"
#include "sandbox_snapshot.h"

typedef struct ngx_http_sandbox_op_s ngx_http_sandbox_op_t;

/* Called once, at the end; op and all in it are freed after it returns. */
typedef void (*ngx_http_sandbox_op_done_pt)(void *data,
                                            ngx_http_sandbox_op_t *op);

/* Milliseconds spent in the steps of a create. */
typedef struct {
    int64_t queue; /* waiting for a thread */
    sandbox_hv_times_t hypervisor;
    int64_t guest; /* from the open channel to the confirmed guest */
    int64_t commit;
    int64_t total;
} ngx_http_sandbox_op_times_t;

struct ngx_http_sandbox_op_s {
    char id[SANDBOX_ID_SIZE];
    char request_id[SANDBOX_ID_SIZE]; /* "-" if no request asked for it */
    int64_t fence;
    int64_t started; /* monotonic ms */

    ngx_http_sandbox_op_done_pt done; /* NULL: nobody waits */
    void *data;
    void (*destroy)(ngx_http_sandbox_op_t *op); /* frees the whole */

    ngx_event_t lease;
    int64_t renewing;      /* monotonic ms of a renewal under way, or 0 */
    _Atomic int64_t holds; /* the lease at least until then; for threads too */
    ngx_thread_task_t task;
    void (*work)(void *op, ngx_log_t *log); /* of the task */
    ngx_http_sandbox_await_t await;
    unsigned fenced : 1;   /* another owner has taken over */
    unsigned replayed : 1; /* the answer is that of an earlier request */

    /* The outcome: an error, or a status and an answer. */
    const ngx_http_sandbox_error_t *error;
    const char *message;
    char state[16]; /* that forbids it, of a transition_conflict */
    /* that could do it, of a no_eligible_runtime_host */
    char node[NGX_HTTP_SANDBOX_PREFIX_MAX + 1];
    const char *field;  /* of the body that is to blame, static, or NULL */
    const char *reason; /* and why, static */
    ngx_uint_t status;
    char *answer; /* heap */
    size_t answer_len;
    ngx_http_sandbox_op_times_t times;
};

/*
 * POST /v1/sandboxes.  create is taken over (emptied); of ctx the tenant and
 * the request id are copied.  idem_key is the client's Idempotency-Key.  done
 * is never called from inside the call.  NULL if memory is out or Redis is
 * away.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_create(sandbox_create_t *create,
                           ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                           ngx_http_sandbox_op_done_pt done, void *data);

/*
 * The same for a body that this node refuses: as a repeated request is
 * answered, or, if there was none, with no error and not replayed.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_recall(const uint8_t *fingerprint,
                           ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                           ngx_http_sandbox_op_done_pt done, void *data);

/*
 * POST …/fork: one live child of the running sandbox id.  The metadata of
 * body, if given, is taken over; else the child has that of its source.  As
 * above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_fork(const char *id, ngx_http_sandbox_ctx_t *ctx,
                         ngx_str_t *idem_key, sandbox_snapshot_t *body,
                         ngx_http_sandbox_op_done_pt done, void *data);

/*
 * A new execution of a paused sandbox: by its id, that of a later execution,
 * or that of its snapshot.  op->id is then the new one's.
 *
 * wake: somebody wants to use it.  Then it is no error if it runs already or
 * is started by somebody else, who is waited for (status 200, op->id is the
 * one that runs, there is no answer), and only a sandbox with auto_resume is
 * started.  ctx->tenant may be empty then: whoever's it is.  As above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_resume(const char *id, ngx_http_sandbox_ctx_t *ctx,
                           ngx_uint_t wake, ngx_http_sandbox_op_done_pt done,
                           void *data);

/*
 * Hibernates a running sandbox, of the tenant of ctx, or of whomever if ctx
 * is NULL and its time has come.  The answer is the snapshot.  As above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_hibernate(const char *id, ngx_http_sandbox_ctx_t *ctx,
                              ngx_http_sandbox_op_done_pt done, void *data);

/*
 * Destroys a sandbox: of the tenant of ctx, as asked by its request, or of
 * whomever if ctx is NULL and its time on the agenda has come.  As above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_destroy(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            ngx_http_sandbox_op_done_pt done, void *data);

/*
 * Moves the deadline of a sandbox of ctx's tenant to timeout_ms from now;
 * action (static) may be NULL, to leave it as it is.  As above; the answer is
 * the object.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_timeout(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            int64_t timeout_ms, const char *action,
                            ngx_http_sandbox_op_done_pt done, void *data);

/*
 * PATCH /v1/sandboxes/{id}/network of a sandbox of ctx's tenant, running or
 * paused; patch is taken over (emptied).  As above; the answer is the policy
 * that is in force then.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_network(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            sandbox_network_patch_t *patch,
                            ngx_http_sandbox_op_done_pt done, void *data);

/*
 * POST /v1/sandboxes/{id}/snapshots: a reusable snapshot of a sandbox of ctx's
 * tenant, which goes on.  As create; snapshot is taken over (emptied).  The
 * operation's id is the snapshot's.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot(sandbox_snapshot_t *snapshot, const char *sandbox,
                             ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                             ngx_http_sandbox_op_done_pt done, void *data);

/* Deletes a reusable snapshot of ctx's tenant.  As destroy. */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot_delete(const char *id, ngx_http_sandbox_ctx_t *ctx,
                                    ngx_http_sandbox_op_done_pt done,
                                    void *data);

/*
 * The time of a snapshot on the agenda has come: what a taker or a deletion
 * that died has left is settled.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot_settle(const char *id,
                                    ngx_http_sandbox_op_done_pt done,
                                    void *data);

/* The waiter goes away; the operation goes on. */
void ngx_http_sandbox_op_detach(ngx_http_sandbox_op_t *op);

/*
 * Lets a thread find out how guests will run, so that the first create need
 * not wait for the probe.  Once, from init_process.
 */
void ngx_http_sandbox_op_probe(void);


/* For the operations themselves. */

/* Ends op: tells the waiter, frees it.  op is gone afterwards. */
void ngx_http_sandbox_op_finish(ngx_http_sandbox_op_t *op);
void ngx_http_sandbox_op_finish_error(ngx_http_sandbox_op_t *op,
                                      const ngx_http_sandbox_error_t *error,
                                      const char *message);

/* Notes the node of a no_eligible_runtime_host, as it stands in a record. */
void ngx_http_sandbox_op_elsewhere(ngx_http_sandbox_op_t *op, const char *node);

/* Redis does not answer: ends op, and undoes nothing. */
void ngx_http_sandbox_op_no_redis(ngx_http_sandbox_op_t *op);

/* Fills what every operation has; ctx may be NULL. */
void
ngx_http_sandbox_op_init(ngx_http_sandbox_op_t *op, ngx_http_sandbox_ctx_t *ctx,
                         ngx_http_sandbox_op_done_pt done, void *data);

/* Frees an op that was initialized and has not begun; nobody is told. */
void ngx_http_sandbox_op_discard(ngx_http_sandbox_op_t *op);

/* A line in the error log with the ids of the sandbox and of the request. */
void ngx_http_sandbox_op_log(ngx_http_sandbox_op_t *op, ngx_uint_t level,
                             const char *fmt, ...);

/*
 * Starts and stops renewing the lease of op->id, which was taken by a script
 * sent at a monotonic time in ms.
 */
void ngx_http_sandbox_op_hold_lease(ngx_http_sandbox_op_t *op, int64_t taken);
void ngx_http_sandbox_op_drop_lease(ngx_http_sandbox_op_t *op);

/*
 * Nobody is at it any more, and it is not done: whoever comes may go on, or do
 * something else, before the lease has run out.
 */
void ngx_http_sandbox_op_give_up_lease(ngx_http_sandbox_op_t *op);
/*
 * For one that waits for a thread and has no lease: a worker that is to exit
 * waits for it, for so long at most.
 */
void ngx_http_sandbox_op_linger(ngx_http_sandbox_op_t *op, ngx_msec_t ms);

/* Runs work in a thread of pool, then then(op) on the event loop. */
ngx_int_t
ngx_http_sandbox_op_task(ngx_http_sandbox_op_t *op, ngx_thread_pool_t *pool,
                         void (*work)(void *op, ngx_log_t *log),
                         void (*then)(ngx_event_t *ev));

/* release.lua for id; nobody waits for it. */
void ngx_http_sandbox_op_release(const char *id);
/* The same, but its place on the agenda stays. */
void ngx_http_sandbox_op_release_address(const char *id);

/* Takes id off the agenda of this node; its address stays held. */
void ngx_http_sandbox_op_unschedule(const char *id);

/*
 * Puts id on a node's agenda, ms from now; hasten: only if it is there, at a
 * later time.  As ngx_http_sandbox_redis_eval(); the reply is that of
 * schedule.lua.
 */
ngx_int_t
ngx_http_sandbox_op_place_in(const ngx_str_t *node, const char *id, int64_t ms,
                             ngx_uint_t hasten,
                             ngx_http_sandbox_redis_handler_pt handler,
                             void *data);

/*
 * The same at a time (ms since the epoch) that has come from Redis: agendas are
 * judged by its clock, so none that this host's has made.  As
 * ngx_http_sandbox_redis_command(); the reply is that of ZADD.
 */
ngx_int_t
ngx_http_sandbox_op_place_at(const ngx_str_t *node, const char *id, int64_t at,
                             ngx_uint_t hasten,
                             ngx_http_sandbox_redis_handler_pt handler,
                             void *data);

/* The same, and nobody waits for it: on a node's agenda, or on this one's. */
void ngx_http_sandbox_op_schedule_on(const ngx_str_t *node, const char *id,
                                     int64_t ms);
void ngx_http_sandbox_op_schedule_in(const char *id, int64_t ms);
void ngx_http_sandbox_op_schedule_at(const char *id, int64_t at);

/*
 * Schedules a look at a record that was read before, and may have got an
 * earlier deadline since: then that counts.
 */
void ngx_http_sandbox_op_postpone_in(const char *id, int64_t ms);
void ngx_http_sandbox_op_postpone_at(const char *id, int64_t at);

/* free.lua for a sandbox that taker was taking a checkpoint of. */
void ngx_http_sandbox_op_free(const char *id, const char *taker);

/* Moves id, if it is on an agenda, up to a time that is not later. */
void ngx_http_sandbox_op_hasten_on(const ngx_str_t *node, const char *id,
                                   int64_t ms);
void ngx_http_sandbox_op_hasten_in(const char *id, int64_t ms);
void ngx_http_sandbox_op_hasten_at(const char *id, int64_t at);

/* A handler for replies nobody waits for. */
void ngx_http_sandbox_op_ignore(void *data, redisReply *reply);

/* The nth element of an array reply as text ("" if none) or integer. */
const char *ngx_http_sandbox_reply_string(redisReply *reply, size_t n);
int64_t ngx_http_sandbox_reply_integer(redisReply *reply, size_t n);

#endif
