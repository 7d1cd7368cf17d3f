/*
 * Checkpoints: a machine's memory, device state and disk at one instant, from
 * which any number of others start copy-on-write.  docs/checkpoints.md is the
 * design.
 *
 * As in sandbox_hypervisor.h, all verbs block and are for pool threads only.
 * Arguments stay the caller's.  Every verb may be repeated after a crash, and
 * may run beside the others in any number of threads and processes, except
 * take: the caller sees to it that one process at a time takes a sandbox.
 *
 * A libvirt on another host accepts no descriptors: there take fails before it
 * changes anything, and boot and start need QEMU 8.2 or later.
 */

#ifndef SANDBOX_CHECKPOINT_H
#define SANDBOX_CHECKPOINT_H

#include "sandbox_hypervisor.h"

/*
 * The id of the boot checkpoint of a shape.  The id depends on everything that
 * determines the guest: the template's files, the machine type, QEMU.
 */
sandbox_hv_status_t
sandbox_checkpoint_shape(char id[SANDBOX_ID_SIZE],
                         const sandbox_template_t *template, int vcpus,
                         int64_t memory_mb, sandbox_hv_error_t *err);

typedef struct {
    const char *id; /* as sandbox_checkpoint_shape() gives it */
    const sandbox_template_t *template;
    int vcpus;
    int64_t memory_mb;
    size_t max;          /* shapes kept on this host; 0: any number */
    int64_t deadline_ms; /* monotonic */

    /*
     * Called in the thread of the verb; returns once the guest waits to be
     * configured.  The verb closes ch.
     */
    sandbox_hv_status_t (*ready)(void *data, sandbox_channel_t *ch,
                                 int64_t deadline_ms, sandbox_hv_error_t *err);
    void *data;

    int made; /* out: 1: this call made the checkpoint; 0: it existed */
} sandbox_checkpoint_boot_t;

/*
 * Boots the shape and keeps it as a checkpoint, unless that exists already.  A
 * host makes one boot checkpoint at a time; other callers wait, each till its
 * own deadline (TIMEOUT).  If a maker died, the next caller ends its domain and
 * begins anew.  A failed boot leaves nothing as long as libvirt can be reached;
 * otherwise sandbox_checkpoint_sweep() removes what is left.
 *
 * NO_CHECKPOINT: max shapes are kept, and all of them are in use.
 */
sandbox_hv_status_t sandbox_checkpoint_boot(sandbox_checkpoint_boot_t *boot,
                                            sandbox_hv_error_t *err);

/*
 * Starts a sandbox from a checkpoint; when it returns OK the sandbox runs and
 * is not configured.  Of the spec, vcpus, memory_mb and template are not read:
 * the checkpoint has them.  disk_mb may exceed the checkpoint's, never be less.
 * NO_CHECKPOINT: there is no such checkpoint, or this host cannot start it.
 * Until the deadline (monotonic ms) it waits for a memory that is being tidied
 * and is nowhere else.  On failure no domain and no overlay is left.
 */
sandbox_hv_status_t
sandbox_checkpoint_start(const char *id, const sandbox_domain_spec_t *spec,
                         int64_t deadline_ms, sandbox_hv_times_t *times,
                         sandbox_hv_error_t *err);

/* How the memory was copied. */
typedef enum {
    SANDBOX_CHECKPOINT_STILL = 0, /* while the sandbox stood still */
    SANDBOX_CHECKPOINT_LIVE,      /* while it went on */
    SANDBOX_CHECKPOINT_MOVED      /* to another machine, while it stood still */
} sandbox_checkpoint_way_t;

typedef struct {
    const char *id;      /* of the checkpoint to be made: "snap_…" */
    const char *sandbox; /* the id of the sandbox to take it of */
    int keep;            /* 1: the sandbox goes on; 0: it ends */
    int durable;         /* 1: on disk and synced when the verb returns; 0: may
                            be lost with the host.  keep 0 is always durable */
    int64_t deadline_ms; /* monotonic, for the copying of its memory */

    /*
     * Both are called in this thread, or are NULL.  stopping: before the
     * sandbox is suspended, which happens only if it returns OK.  resumed: with
     * keep 1, once the sandbox runs again.  If one way of copying fails, both
     * are called once more for the next way.
     */
    sandbox_hv_status_t (*stopping)(void *data, sandbox_hv_error_t *err);
    void (*resumed)(void *data);

    /*
     * Returns 0 if another process may have taken over the operation: then the
     * verb keeps, ends and undoes nothing any more.  NULL: no other can.
     */
    int (*ours)(void *data);
    void *data;

    /* out */
    int untouched; /* 1: the take failed before it began: the sandbox runs */
    sandbox_checkpoint_way_t way;
    int64_t pause_ms;   /* how long the sandbox stood still (keep 1) */
    int64_t bytes;      /* blocks of the checkpoint's files on disk */
    int64_t prepare_ms; /* until the suspending began */
    int64_t move_ms;    /* copying, pause included */
    int64_t keep_ms;    /* storing of disk, memory and state */
} sandbox_checkpoint_take_t;

/*
 * Takes a checkpoint of a running sandbox: memory, processes and disk as they
 * were at one instant.
 *
 * With keep 0 the sandbox ends, and its memory and disk become the
 * checkpoint's.  On failure the sandbox goes on, unless libvirt could not be
 * reached or the sandbox could not be ended at last: then it stays suspended,
 * as after a crash.
 *
 * With keep 1 the sandbox goes on after a pause, with a new overlay above the
 * checkpoint's disk; it goes on after a failure as well.
 *
 * Either way, after a crash or a failure the caller may repeat the verb, which
 * finishes the take or begins it anew, or call sandbox_checkpoint_cancel().
 *
 * NO_CHECKPOINT: the sandbox's domain does not say what it was booted from (an
 * earlier version of this module did not write that), or this host could not
 * start such a machine.
 */
sandbox_hv_status_t sandbox_checkpoint_take(sandbox_checkpoint_take_t *take,
                                            sandbox_hv_error_t *err);

/*
 * Settles a take that failed or whose taker died: removes the checkpoint,
 * except a layer that the sandbox's disk stands on, and resumes the sandbox if
 * it has a domain.  IN_USE if a domain runs from the checkpoint.  The caller
 * sees to it that no take of this checkpoint or this sandbox is in progress;
 * ours, unless NULL, tells as in a take whether that still holds.  If not, or
 * if somebody else is in the middle of that, nothing is done (TIMEOUT).
 *
 * whole: 1: a checkpoint that is whole is cancelled too.  0: it is left alone
 * (IN_USE), because it may be all that is left of a sandbox that was to end;
 * repeating the take finishes it.
 */
sandbox_hv_status_t
sandbox_checkpoint_cancel(const char *id, const char *sandbox, int whole,
                          int (*ours)(void *data), void *data,
                          sandbox_hv_error_t *err);

/*
 * Makes the disk of a running sandbox flatter, if it has more than max_layers
 * (its overlay included, the template's disk not): a block job of QEMU copies
 * what the youngest lower layers hold into the overlay, while the guest runs.
 * The number of layers is chosen so that the copying fits the deadline
 * (sandbox_flatten.h), with a larger budget for a deeper disk.  OK as well if
 * no merge is worth its cost.
 *
 * A job that is already in progress, whoever began it, is waited for.  TIMEOUT:
 * the deadline has passed; the job goes on, as after the caller's death, until
 * it is done or a take breaks it off.  FAILED: a take broke it off.  TIMEOUT
 * at once, with nothing begun: another process takes the sandbox.  No failure
 * loses data; copied blocks stay copied, and the verb may be repeated.
 *
 * urgent: no limit of bandwidth, and one layer at least if there is time for
 * it; the job is broken off at the deadline.
 */
sandbox_hv_status_t
sandbox_checkpoint_flatten(const char *sandbox, size_t max_layers, int urgent,
                           int64_t deadline_ms, sandbox_hv_error_t *err);

/*
 * Removes a checkpoint; OK as well if there is none.  IN_USE if a domain runs
 * from its memory.  Its disk stays as long as the disk of a domain or of
 * another checkpoint stands on it, and goes when nothing does any more.
 * A start from the checkpoint at the same time fails, or makes this IN_USE.
 * The caller sees to it that the checkpoint is not being taken.
 */
sandbox_hv_status_t
sandbox_checkpoint_discard(const char *id, sandbox_hv_error_t *err);

/*
 * Removes boot checkpoints that nothing runs from, if they are torn or no
 * template of the list (NULL-terminated) has that shape on this host any more,
 * and the domains and files of makers that died.  Each removal is logged.  All
 * that is skipped while a boot checkpoint is being made.  Then disks and
 * memories that nothing needs are removed, and those on tmpfs tidied.
 */
sandbox_hv_status_t
sandbox_checkpoint_sweep(sandbox_template_t *const *templates,
                         sandbox_hv_error_t *err);

/*
 * The blocks of a checkpoint in bytes: memory, state, and its own disk without
 * the layers below.  NO_CHECKPOINT: there is none.  A torn "<id>.state" counts
 * if the names in it can be read.
 */
sandbox_hv_status_t sandbox_checkpoint_size(const char *id, int64_t *bytes,
                                            sandbox_hv_error_t *err);

/*
 * The same, if its taker has finished: NO_CHECKPOINT also if "<id>.state" is
 * torn.  That only another host could start it is no matter.
 */
sandbox_hv_status_t sandbox_checkpoint_whole(const char *id, int64_t *bytes,
                                             sandbox_hv_error_t *err);

#endif
