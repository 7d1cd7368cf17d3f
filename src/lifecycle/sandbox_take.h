/*
 * Takes a checkpoint of one running sandbox: what a pool thread does for a
 * snapshot or a fork (the sandbox goes on) and for a hibernation (it ends).
 * The guest's agent stops its commands for the instant of the checkpoint.
 *
 *   flush    the guest writes its file systems, and goes on
 *   take     the engine takes the checkpoint
 *   freeze   within the take, as late as possible: the agent stops commands
 *            and, if the sandbox ends, the guest writes the rest
 *   thaw     within the take, as soon as the sandbox runs again; after a
 *            failed take: cancel, thaw
 *
 * Knows the hypervisor and the guest, nothing of nginx.  Blocking; pool
 * threads only.
 */

#ifndef SANDBOX_TAKE_H
#define SANDBOX_TAKE_H

#include "sandbox_checkpoint.h"
#include "sandbox_hypervisor.h"

typedef struct {
    /* in; strings must live as long as the call */
    const char *id;      /* of the checkpoint */
    const char *sandbox; /* its source */
    int keep;            /* 1: the sandbox goes on; 0: it ends */
    int again;           /* 1: an earlier taker has begun, and may have died */
    int durable;         /* 1: on disk and synced when sandbox_take() returns */
    int64_t asked_ms;    /* monotonic: when the call was asked for */
    int64_t deadline_ms; /* monotonic */
    const _Atomic int64_t *holds_until_ms; /* monotonic: when the lease ends */

    /* out */
    sandbox_hv_error_t result;
    int left;    /* failed and not undone: sandbox_untake() must settle it */
    int refused; /* failed: the guest answered that it cannot */
    int lost;    /* the lease has passed: another operation may have the source
                    now */
    sandbox_checkpoint_way_t way;
    int64_t bytes;     /* blocks on disk */
    int64_t pause_ms;  /* the machine stood still */
    int64_t frozen_ms; /* the guest's commands stood still */
    int64_t queue_ms;  /* waiting for a thread */
    int64_t flush_ms;
    int64_t take_ms; /* all of the engine's part, including the copying */
} sandbox_take_t;

/*
 * Takes the checkpoint; the outcome is in result.  After a failure nothing is
 * left of the checkpoint and the source goes on, unless "left" is set.
 * TIMEOUT: the guest is silent, or the deadline or the lease has passed.  If
 * that happened before a thread was free, nothing is begun; "left" is then set
 * if an earlier taker has begun.
 */
void sandbox_take(sandbox_take_t *take);

/*
 * Settles a take whose taker has died or failed.  The caller sets id, sandbox
 * and holds_until_ms.  The result is OK if nothing is left of the checkpoint
 * and, with thaw set, the source, unless its domain is gone, runs and was
 * thawed; TIMEOUT with "lost" set if the lease has passed.
 */
void sandbox_untake(sandbox_take_t *take, int thaw);

#endif
