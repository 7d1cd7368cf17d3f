/*
 * Operations: create, destroy and all else that changes a sandbox or a
 * snapshot, detached from the request that asked.
 *
 * An operation lives on the heap of one worker and walks its steps from
 * callback to callback: scripts in Redis on the event loop, blocking steps as
 * tasks of a thread pool.  While an operation holds the lease of a record, a
 * timer renews the lease and keeps a worker that is shutting down alive.  The
 * request that asked only waits for it, and may go away at any time.
 *
 * What a dead worker has left unfinished is found by the node's agenda
 * (agenda.h).
 * Event loop only.
 */

#ifndef NGX_HTTP_SANDBOX_OPERATION_H
#define NGX_HTTP_SANDBOX_OPERATION_H

#include "ngx_http_sandbox_await.h"
#include "ngx_http_sandbox_ctx.h"
#include "ngx_http_sandbox_gate.h"
#include "ngx_http_sandbox_keys.h"
#include "ngx_http_sandbox_redis.h"
#include "sandbox_create.h"
#include "sandbox_network_patch.h"
#include "sandbox_snapshot.h"

typedef struct ngx_http_sandbox_op_s ngx_http_sandbox_op_t;

/* Called once, when op ends; op and its answer are freed after this returns. */
typedef void (*ngx_http_sandbox_op_done_pt)(void *data,
                                            ngx_http_sandbox_op_t *op);

/* Milliseconds spent in the steps of a create. */
typedef struct {
    int64_t queue_ms;      /* waiting for a thread */
    int64_t take_ms;       /* of a fork: taking its source's checkpoint */
    int64_t checkpoint_ms; /* as sandbox_boot_t has it */
    sandbox_hv_times_t hypervisor;
    int64_t guest_ms; /* from the open channel to the confirmed guest */
    int64_t commit_ms;
    int64_t total_ms;
} ngx_http_sandbox_op_times_t;

struct ngx_http_sandbox_op_s {
    char id[SANDBOX_ID_SIZE];
    char request_id[SANDBOX_ID_SIZE]; /* "-" if no request asked for it */
    int64_t fence;      /* under which it has its record; 0: not yet */
    int64_t started_ms; /* monotonic */

    ngx_http_sandbox_op_done_pt done; /* NULL: nobody waits */
    void *data;
    void (*destroy)(ngx_http_sandbox_op_t *op); /* frees the operation */

    int64_t listed; /* ms by Redis' clock: the time that this node's agenda had
                       for the id when op began; 0: unknown */
    ngx_event_t timer;   /* one at a time: a renewal of the lease, a linger, or
                            another try when Redis was away */
    int64_t renewing_ms; /* monotonic; of a renewal under way, or 0 */

    /* monotonic: the lease holds at least till then; threads read it, too */
    _Atomic int64_t holds_until_ms;
    int64_t held_until_ms; /* what that was before the last renewal */
    ngx_thread_task_t task;
    ngx_http_sandbox_gate_place_t place;    /* of the task, if slow */
    void (*work)(void *op, ngx_log_t *log); /* of the task, in its thread */
    ngx_http_sandbox_await_t await;
    ngx_uint_t hops;     /* aliases that were followed, and claims made anew */
    unsigned fenced : 1; /* another owner has taken the record over */
    unsigned replayed : 1; /* the answer is that of an earlier request */

    /* The outcome: an error, or a status and an answer. */
    const ngx_http_sandbox_error_t *error;
    const char *message;
    char state[16]; /* of a transition_conflict: the state that forbids it */
    /* of a no_eligible_runtime_host: the node that could do it */
    char node[NGX_HTTP_SANDBOX_PREFIX_MAX + 1];
    const char *field;  /* the member of the body to blame, static, or NULL */
    const char *reason; /* what is wrong with it, static */
    ngx_uint_t status;
    char *answer; /* heap */
    size_t answer_len;
    ngx_http_sandbox_op_times_t times;
};

/*
 * Starts the operation of POST /v1/sandboxes.  The operation takes the contents
 * of create over (emptied) and copies tenant and request id from ctx.  idem_key
 * is the client's Idempotency-Key.  done is never called from inside the call.
 * NULL if memory is out or Redis is away.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_create(sandbox_create_t *create,
                           ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                           ngx_http_sandbox_op_done_pt done, void *data);

/*
 * The same for a body that this node refuses: a repeated request gets the
 * outcome of the first one; if the key is free, the operation ends without an
 * error and is not marked as replayed.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_recall(const uint8_t *fingerprint,
                           ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                           ngx_http_sandbox_op_done_pt done, void *data);

/*
 * POST …/fork: makes one live child of the running sandbox id.  The metadata
 * of body, if given, is moved to the operation; else the child gets the
 * metadata of its source.  ctx, idem_key, done and NULL are as above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_fork(const char *id, ngx_http_sandbox_ctx_t *ctx,
                         ngx_str_t *idem_key, sandbox_snapshot_t *body,
                         ngx_http_sandbox_op_done_pt done, void *data);

/*
 * Starts a new execution of a paused sandbox.  id names any execution of the
 * sandbox, or the snapshot of its hibernation.  op->id becomes the id of the
 * new execution.  idem_key may be NULL; else all that is said of it above.
 *
 * wake: a request wants to use the sandbox.  Then a sandbox that runs already,
 * or that another operation is starting (this one waits for it), is no error:
 * the status is 200, op->id is the execution that runs, there is no answer.
 * Only a sandbox with auto_resume is started.  With an empty ctx->tenant the
 * sandbox may belong to any tenant.  The rest is as above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_resume(const char *id, ngx_http_sandbox_ctx_t *ctx,
                           ngx_str_t *idem_key, ngx_uint_t wake,
                           ngx_http_sandbox_op_done_pt done, void *data);

/*
 * Hibernates a running sandbox of ctx's tenant; with ctx NULL, one of any
 * tenant whose deadline has passed; then done is called earlier if op has to
 * wait for a thread.  The answer is the snapshot.  The rest is as above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_hibernate(const char *id, ngx_http_sandbox_ctx_t *ctx,
                              ngx_http_sandbox_op_done_pt done, void *data);

/*
 * Destroys a sandbox of ctx's tenant, as its request asks; with ctx NULL, one
 * of any tenant that is due on the agenda.  The rest is as above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_destroy(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            ngx_http_sandbox_op_done_pt done, void *data);

/*
 * Moves the deadline of a sandbox of ctx's tenant to timeout_ms from now.
 * action (static) is what the deadline does, NULL leaves it as it is.  The
 * answer is the sandbox object.  The rest is as above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_timeout(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            int64_t timeout_ms, const char *action,
                            ngx_http_sandbox_op_done_pt done, void *data);

/*
 * PATCH /v1/sandboxes/{id}/network of a sandbox of ctx's tenant, running or
 * paused.  The operation takes the contents of patch over (emptied).  The
 * answer is the resulting policy.  The rest is as above.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_network(const char *id, ngx_http_sandbox_ctx_t *ctx,
                            sandbox_network_patch_t *patch,
                            ngx_http_sandbox_op_done_pt done, void *data);

/*
 * POST /v1/sandboxes/{id}/snapshots: takes a reusable snapshot of a sandbox of
 * ctx's tenant; the sandbox goes on.  The operation takes the contents of
 * snapshot over (emptied); op->id is the snapshot's id.  The rest is as for
 * create.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot(sandbox_snapshot_t *snapshot, const char *sandbox,
                             ngx_http_sandbox_ctx_t *ctx, ngx_str_t *idem_key,
                             ngx_http_sandbox_op_done_pt done, void *data);

/* Deletes a reusable snapshot of ctx's tenant.  The rest is as for destroy. */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot_delete(const char *id, ngx_http_sandbox_ctx_t *ctx,
                                    ngx_http_sandbox_op_done_pt done,
                                    void *data);

/*
 * For a snapshot that is due on the agenda: undoes or finishes what an
 * operation has left half taken or half deleted.  The rest is as for destroy.
 */
ngx_http_sandbox_op_t *
ngx_http_sandbox_op_snapshot_settle(const char *id,
                                    ngx_http_sandbox_op_done_pt done,
                                    void *data);

/* The request no longer waits: done is not called; the operation goes on. */
void ngx_http_sandbox_op_detach(ngx_http_sandbox_op_t *op);

/*
 * Lets a thread find out which accelerator guests will use, so that the first
 * create need not wait for the probe.  Called once, from init_process.
 */
void ngx_http_sandbox_op_probe(void);


/* For the operations themselves. */

/* Ends op: calls done and frees op, which must not be used afterwards. */
void ngx_http_sandbox_op_finish(ngx_http_sandbox_op_t *op);
void ngx_http_sandbox_op_finish_error(ngx_http_sandbox_op_t *op,
                                      const ngx_http_sandbox_error_t *error,
                                      const char *message);

/* Notes in op the node, as named in a record, of a no_eligible_runtime_host. */
void ngx_http_sandbox_op_elsewhere(ngx_http_sandbox_op_t *op, const char *node);

/*
 * id, op->id or that of its source (SANDBOX_ID_SIZE), is an alias of next:
 * makes it that.  NGX_DECLINED if next is "", or if too many aliases were
 * followed.
 */
ngx_int_t
ngx_http_sandbox_op_hop(ngx_http_sandbox_op_t *op, char *id, const char *next);

/*
 * The same for op->id; again, which gets op, then sends the script anew.  Ends
 * op with a 404 if there is nothing to follow, or a 503 if Redis is away.
 */
void ngx_http_sandbox_op_follow(ngx_http_sandbox_op_t *op, const char *next,
                                ngx_int_t (*again)(void *op));

/* Redis does not answer: ends op with a 503 and undoes nothing. */
void ngx_http_sandbox_op_no_redis(ngx_http_sandbox_op_t *op);

/* The same for whoever waits for op, which goes on without. */
void ngx_http_sandbox_op_tell_no_redis(ngx_http_sandbox_op_t *op);

/* Initializes the common members of a zeroed op; ctx may be NULL. */
void
ngx_http_sandbox_op_init(ngx_http_sandbox_op_t *op, ngx_http_sandbox_ctx_t *ctx,
                         ngx_http_sandbox_op_done_pt done, void *data);

/* Frees an op that was initialized but not begun; done is not called. */
void ngx_http_sandbox_op_discard(ngx_http_sandbox_op_t *op);

/* A line in the error log with the ids of the sandbox and of the request. */
void ngx_http_sandbox_op_log(ngx_http_sandbox_op_t *op, ngx_uint_t level,
                             const char *fmt, ...);

/*
 * Starts the renewal of the lease of op->id.  taken_ms is when the script that
 * took the lease was sent (monotonic).
 */
void
ngx_http_sandbox_op_hold_lease(ngx_http_sandbox_op_t *op, int64_t taken_ms);
/*
 * Stops the renewal, or what else op->timer waits for, and forgets all of op's
 * commands: no handler is called with op for a reply that is still to come.
 * The renewal may be started anew, after another claim.
 */
void ngx_http_sandbox_op_drop_lease(ngx_http_sandbox_op_t *op);

/*
 * In a thread: 1 if the lease holds.  Else *err is TIMEOUT: another operation
 * may be at the same work by now.
 */
ngx_uint_t ngx_http_sandbox_op_holds(const ngx_http_sandbox_op_t *op,
                                     sandbox_hv_error_t *err);

/*
 * Ends the lease of an operation that stops before its work is done, so that
 * another operation need not wait until the lease has run out.
 */
void ngx_http_sandbox_op_give_up_lease(ngx_http_sandbox_op_t *op);

/*
 * For an operation that waits for a thread and has no lease: keeps a worker
 * that is shutting down alive until op ends, for at most ms.
 */
void ngx_http_sandbox_op_linger(ngx_http_sandbox_op_t *op, ngx_msec_t ms);

/*
 * Runs work in a thread of pool, then calls then on the event loop, with op as
 * the event's data.  NGX_ERROR if the pool's queue is full.
 */
ngx_int_t
ngx_http_sandbox_op_task(ngx_http_sandbox_op_t *op, ngx_thread_pool_t *pool,
                         void (*work)(void *op, ngx_log_t *log),
                         void (*then)(ngx_event_t *ev));

/*
 * The same in the pool slow, as one of tenant's, whose name must stay until
 * then: NGX_AGAIN if it has to wait for others of the tenant to end (gate.h).
 * NGX_ERROR also if too many of the tenant's wait.
 */
ngx_int_t
ngx_http_sandbox_op_slow_task(ngx_http_sandbox_op_t *op, const char *tenant,
                              void (*work)(void *op, ngx_log_t *log),
                              void (*then)(ngx_event_t *ev));

/*
 * Sends release.lua, which gives the address and the agenda entry of id back.
 * Neither the reply nor a failure is reported.
 */
void ngx_http_sandbox_op_release(const char *id);
/*
 * The same for the address alone: the agenda entry stays.  As
 * ngx_http_sandbox_redis_eval().
 */
ngx_int_t
ngx_http_sandbox_op_release_address(const char *id,
                                    ngx_http_sandbox_redis_handler_pt handler,
                                    void *data);

/*
 * Sends free.lua: the sandbox id is no longer busy with the checkpoint that
 * taker (the id of a snapshot or of a fork) was taking of it.
 */
void ngx_http_sandbox_op_unbusy(const char *id, const char *taker);

#endif
