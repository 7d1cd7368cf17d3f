/*
 * Checkpoints: a machine's memory, device state and disk at one instant, from
 * which any number of others start copy-on-write.  docs/checkpoints.md is the
 * design.
 *
 * As in sandbox_hypervisor.h, all verbs block and are for pool threads only.
 * What they are given stays the caller's.  They may be repeated after a crash,
 * and are safe against each other in any number of threads and processes, but
 * for take: that one process at a time takes a sandbox is the caller's affair.
 *
 * They need a local libvirt (descriptors are passed to QEMU); with any other
 * they fail before they change anything, and a cold boot is the way.
 */

#ifndef SANDBOX_CHECKPOINT_H
#define SANDBOX_CHECKPOINT_H

#include "sandbox_hypervisor.h"

/*
 * The id of the boot checkpoint of a shape.  It depends on everything that
 * would make the guest another one: the template's files, the machine, QEMU.
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
    size_t max;       /* how many shapes are kept here; 0: any number */
    int64_t deadline; /* monotonic ms */

    /*
     * Returns once the guest waits to be configured; ch belongs to the
     * caller of ready.  In the thread of the verb.
     */
    sandbox_hv_status_t (*ready)(void *data, sandbox_channel_t *ch,
                                 int64_t deadline, sandbox_hv_error_t *err);
    void *data;

    int made; /* out: 0 if there was one */
} sandbox_checkpoint_boot_t;

/*
 * Boots the shape and keeps what came of it, unless that was done before.
 * One is made at a time on a host; who asks meanwhile waits, till his own
 * deadline (TIMEOUT).  A maker that died holds nobody up: what it left is
 * ended and done anew.  Nothing is left of a failure as long as libvirt can
 * be reached; what is, goes with sandbox_checkpoint_sweep().
 *
 * NO_CHECKPOINT: max shapes are kept, and all of them are in use.
 */
sandbox_hv_status_t sandbox_checkpoint_boot(sandbox_checkpoint_boot_t *boot,
                                            sandbox_hv_error_t *err);

/*
 * Starts a sandbox from a checkpoint; running when it returns OK, and not
 * configured.  Of the spec, vcpus, memory_mb and template are not read: they
 * are the checkpoint's.  disk_mb may be larger than its disk, never smaller.
 * NO_CHECKPOINT: there is none that could be started here.  On failure no
 * domain and no overlay is left.
 */
sandbox_hv_status_t
sandbox_checkpoint_start(const char *id, const sandbox_domain_spec_t *spec,
                         sandbox_hv_times_t *times, sandbox_hv_error_t *err);

/* How the memory was copied. */
typedef enum {
    SANDBOX_CHECKPOINT_STILL = 0, /* while the sandbox stood still */
    SANDBOX_CHECKPOINT_LIVE,      /* while it went on */
    SANDBOX_CHECKPOINT_MOVED      /* to another machine, while it stood still */
} sandbox_checkpoint_way_t;

typedef struct {
    const char *id;      /* of the checkpoint that is to be: "snap_…" */
    const char *sandbox; /* one that was started from a checkpoint */
    int keep;            /* 1: the sandbox goes on; 0: it ends */
    int durable;         /* 1: on disk and synced when the verb returns; 0:
                            it may be lost with the host.  keep 0 is durable */
    int64_t deadline;    /* monotonic ms, for the copying of its memory */

    /*
     * Called in this thread, or NULL: before the sandbox is stopped, which
     * it is only after an OK; and with keep 1 once it runs again.  Where the
     * way of copying fails, both once more with the next.
     */
    sandbox_hv_status_t (*stopping)(void *data, sandbox_hv_error_t *err);
    void (*resumed)(void *data);

    /*
     * 0: somebody else may be at it, so nothing is kept, ended or undone any
     * more; NULL: that cannot be.
     */
    int (*ours)(void *data);
    void *data;

    /* out */
    int untouched; /* it failed before anything was done: the sandbox runs */
    sandbox_checkpoint_way_t way;
    int64_t pause_ms;   /* the sandbox stood still (keep 1) */
    int64_t bytes;      /* blocks that it takes, disk and memory */
    int64_t prepare_ms; /* until it was to stand still */
    int64_t move_ms;    /* copying, pause included */
    int64_t keep_ms;    /* until all of it was where it is to be */
} sandbox_checkpoint_take_t;

/*
 * Takes a checkpoint of a running sandbox: memory, processes and disk as they
 * were at one instant.
 *
 * With keep 0 the sandbox ends; they are the checkpoint's then.  On failure the
 * sandbox goes on, but where libvirt could not be reached or the sandbox not
 * be ended at last: then it stands still, as after a crash.
 *
 * With keep 1 the sandbox goes on after a pause, with a new overlay on the disk
 * that is the checkpoint's, on failure as well.
 *
 * Either way the verb may be repeated after a crash or a failure, which
 * finishes or begins anew, or be settled by sandbox_checkpoint_cancel().
 *
 * NO_CHECKPOINT: its domain does not say what it was booted from (an earlier
 * version of this module did not write that), or is of another machine type.
 */
sandbox_hv_status_t sandbox_checkpoint_take(sandbox_checkpoint_take_t *take,
                                            sandbox_hv_error_t *err);

/*
 * Settles a take that failed or whose taker died: nothing of the checkpoint is
 * left but a layer of disk that the sandbox stands on, and the sandbox, if it
 * has a domain, runs.  IN_USE if a domain runs from the checkpoint.  No take
 * of either may be going on.
 *
 * whole: 1: also if it is whole; 0: IN_USE then, and nothing is done, for of a
 * sandbox that was to end it may be all there is: to be taken again, which
 * finishes.
 */
sandbox_hv_status_t
sandbox_checkpoint_cancel(const char *id, const char *sandbox, int whole,
                          sandbox_hv_error_t *err);

/*
 * Makes the disk of a running sandbox flatter, if it has more than max_layers
 * (its own included, the template's not): what the youngest of the others hold
 * is copied into its own, in the background of the guest.  How many is chosen
 * so that it can be done till the deadline (sandbox_flatten.h), and more where
 * the disk is deeper.  OK as well if none is worth it.
 *
 * One that goes on already, whoever began it, is waited for.  TIMEOUT after the
 * deadline, and it goes on until it is done or a take breaks it off; so it does
 * if the caller dies.  FAILED if a take broke it off.  TIMEOUT as well, at once
 * and with nothing begun, while another process takes the sandbox.  Either way
 * nothing is lost, what is copied stays, and it may be repeated.
 *
 * urgent: as fast as it goes, one layer at least if there is time for it; it is
 * broken off at the deadline.
 */
sandbox_hv_status_t
sandbox_checkpoint_flatten(const char *sandbox, size_t max_layers, int urgent,
                           int64_t deadline, sandbox_hv_error_t *err);

/*
 * Removes a checkpoint; OK as well if there is none.  IN_USE if a domain runs
 * from its memory.  Its disk stays as long as a domain's disk or another
 * checkpoint's stands on it, and goes with the last of them: see collect.  Who
 * begins to start from it meanwhile fails to, or makes it IN_USE.  One that is
 * being taken is the caller's affair.
 */
sandbox_hv_status_t
sandbox_checkpoint_discard(const char *id, sandbox_hv_error_t *err);

/*
 * *used: 1 if a domain runs from its memory, or a domain's disk or another
 * checkpoint's stands on its disk.  Also of one that was discarded.
 */
sandbox_hv_status_t
sandbox_checkpoint_used(const char *id, int *used, sandbox_hv_error_t *err);

/*
 * Removes what is left of checkpoints that were discarded, or died as they
 * were made, and nothing needs any more.  Safe at any time: what has changed
 * within the grace stays, and nothing goes while a sandbox is being taken.
 * Costs a look into the directory if there is nothing to be removed, else one
 * at each domain and checkpoint.  For whoever has ended a sandbox; the sweep
 * does it as well.
 */
#ifndef SANDBOX_CHECKPOINT_GRACE_MS
#define SANDBOX_CHECKPOINT_GRACE_MS 60000
#endif
sandbox_hv_status_t sandbox_checkpoint_collect(sandbox_hv_error_t *err);

/*
 * Removes, of the boot checkpoints that nothing runs from, those that are no
 * shape of a template of the list (NULL-terminated) on this host as it is, the
 * torn ones and what dead makers left, their domains too, unless one is being
 * made; and then collects.  Each is logged.
 */
sandbox_hv_status_t
sandbox_checkpoint_sweep(sandbox_template_t *const *templates,
                         sandbox_hv_error_t *err);

typedef struct {
    char id[SANDBOX_ID_SIZE];
    int whole;     /* 0: parts, of one being made or of a failure, or a layer */
    int64_t bytes; /* of its memory, its disk and the rest, in blocks taken */
    int64_t left; /* of files of its name that are not its own: layers, parts */
} sandbox_checkpoint_info_t;

/* All on this host; *list is malloc'd, the caller frees it. */
sandbox_hv_status_t sandbox_checkpoint_list(sandbox_checkpoint_info_t **list,
                                            size_t *n, sandbox_hv_error_t *err);

/* The blocks that one takes, its own disk included and no other layer. */
sandbox_hv_status_t sandbox_checkpoint_size(const char *id, int64_t *bytes,
                                            sandbox_hv_error_t *err);

#endif
