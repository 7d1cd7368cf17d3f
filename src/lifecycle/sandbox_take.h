/*
 * Taking a checkpoint of one running sandbox: what a pool thread does for a
 * snapshot, a fork (the sandbox goes on) and a hibernation (it ends).  The
 * guest's agent stops its commands for the instant of the checkpoint.
 *
 *   flush    file systems written, while the guest goes on
 *   take     the engine's checkpoint
 *   freeze   within it, as late as can be: commands stopped; of a sandbox that
 *            ends, the rest is written
 *   thaw     within it, as soon as the sandbox runs again; or, if it failed:
 *            cancel, thaw
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
    int keep;            /* 1: it goes on; 0: it ends */
    int again;           /* somebody else has begun, and may have died */
    int durable;         /* 1: on disk and synced when this is over */
    int64_t queued;      /* monotonic ms at which the call was asked for */
    int64_t deadline;    /* monotonic ms */
    const _Atomic int64_t *holds; /* monotonic ms: it is ours till */

    /* out */
    sandbox_hv_error_t result;
    int left;    /* it failed, and is not undone: see sandbox_untake */
    int refused; /* it failed: the guest answered that it cannot */
    int lost;    /* it failed: "holds" has passed, others may be at it */
    sandbox_checkpoint_way_t way;
    int64_t bytes;     /* blocks on disk */
    int64_t pause_ms;  /* the machine stood still */
    int64_t frozen_ms; /* its commands stood still */
    int64_t queue_ms;  /* waiting for a thread */
    int64_t flush_ms;
    int64_t take_ms; /* all of the engine's part: copying as well */
} sandbox_take_t;

/*
 * Outcome in result.  On failure nothing is left of the checkpoint and the
 * source goes on, but for "left".  TIMEOUT: the guest is mute, or the time was
 * over; nothing is begun when the deadline has passed in the queue, and what
 * somebody else has begun is left.
 */
void sandbox_take(sandbox_take_t *take);

/*
 * Settles a take whose taker has died or failed: in are id and sandbox.  OK
 * when nothing is left of the checkpoint, and the source, if there is one and
 * thaw is set, runs and has been thawed.
 */
void sandbox_untake(sandbox_take_t *take, int thaw);

#endif
