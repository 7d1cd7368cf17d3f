/* What the files of the checkpoint verbs share.  Not for other rooms. */

#ifndef SANDBOX_CHECKPOINT_PARTS_H
#define SANDBOX_CHECKPOINT_PARTS_H

#include "sandbox_checkpoint.h"
#include "sandbox_checkpoint_file.h"
#include "sandbox_hv.h"

#define SANDBOX_CHECKPOINT_SHAPE_PREFIX "boot_"
#define SANDBOX_CHECKPOINT_SUFFIX ".state"
#define SANDBOX_CHECKPOINT_DISK ".qcow2"
#define SANDBOX_CHECKPOINT_RAM ".ram"
#define SANDBOX_CHECKPOINT_FD "sandbox-state"
#define SANDBOX_CHECKPOINT_URI "fd:" SANDBOX_CHECKPOINT_FD

/* File names: "<id>.<8 random characters>.qcow2" or ".ram". */
#define SANDBOX_CHECKPOINT_NAME_SIZE (SANDBOX_HV_STEM_SIZE + 8)

/* Bound of a device state, which usually has some 400 KB. */
#define SANDBOX_CHECKPOINT_STATE_MAX (64 * 1024 * 1024)

/* Time limit for saving or loading a device state, which takes milliseconds. */
#define SANDBOX_CHECKPOINT_STATE_MS 10000

/* sandbox_checkpoint_names.c */

/*
 * The names of a new generation of files, so that makers of one checkpoint
 * never touch each other's.
 */
typedef struct {
    char stem[SANDBOX_HV_STEM_SIZE];
    char ram[SANDBOX_CHECKPOINT_NAME_SIZE];
    char disk[SANDBOX_CHECKPOINT_NAME_SIZE];
    char ram_path[SANDBOX_HV_PATH_SIZE];
    char disk_path[SANDBOX_HV_PATH_SIZE];
} sandbox_checkpoint_names_t;

int sandbox_checkpoint_names(sandbox_checkpoint_names_t *names, const char *id);

/* The id in a file's name; 0, or -1: the file is not a checkpoint's. */
int sandbox_checkpoint_id(char id[SANDBOX_ID_SIZE], const char *name);
int sandbox_checkpoint_ends(const char *name, const char *suffix);
/* 1 if id is that of a boot checkpoint. */
int sandbox_checkpoint_is_shape(const char *id);

/* sandbox_checkpoint.c */

/*
 * Reads the checkpoint and checks that it is whole and may be started here.
 * state, unless NULL, receives the descriptor of a copy of the device state,
 * which the caller closes.  NO_CHECKPOINT with *torn set: the checkpoint is
 * damaged; with *torn 0: there is none, or it cannot be started here.
 */
sandbox_hv_status_t
sandbox_checkpoint_load(sandbox_hv_conn_t *conn, const char *id,
                        sandbox_accel_t accel, sandbox_checkpoint_t *c,
                        int *state, int *torn, sandbox_hv_error_t *err);

/*
 * Describes, from its live XML, a domain that was booted and not started from a
 * checkpoint: all members of *c but id, memory and disk.  NO_CHECKPOINT: the
 * XML does not say enough, or this host could not start such a machine.
 */
sandbox_hv_status_t
sandbox_checkpoint_booted(sandbox_hv_conn_t *conn, virDomainPtr domain,
                          const char *xml, sandbox_accel_t accel,
                          sandbox_checkpoint_t *c, sandbox_hv_error_t *err);

/*
 * Starts a domain named id, of the machine that the checkpoint describes; the
 * caller frees it.  NULL with *err.
 */
virDomainPtr
sandbox_checkpoint_domain(sandbox_hv_conn_t *conn,
                          const sandbox_checkpoint_t *c, const char *id,
                          const sandbox_domain_xml_t *host, unsigned flags,
                          sandbox_hv_error_t *err);

/*
 * Writes "<id>.state" with the device state from the descriptor state, which
 * stays the caller's.  durable: memory and disk are synced before, the file
 * after, by a descriptor of sandbox_disk_sync_open() that is older than they
 * are.  may, unless NULL, is called right before the file is made, and prevents
 * that by any status but OK; it is called again before the file is removed
 * because it could not be synced.
 */
sandbox_hv_status_t
sandbox_checkpoint_seal(sandbox_hv_conn_t *conn, int state,
                        const sandbox_checkpoint_t *c, int durable, int sync,
                        sandbox_hv_status_t (*may)(void *data,
                                                   sandbox_hv_error_t *err),
                        void *data, sandbox_hv_error_t *err);

/* sandbox_checkpoint_state.c */

/* A memfd with a copy of data, which the caller closes; -1: no memory. */
int sandbox_checkpoint_memory(const unsigned char *data, size_t len);

/*
 * Maps the content of such a memfd, once QEMU writes no more to it; the caller
 * unmaps it.  NULL: the memfd is empty or too long, or cannot be mapped.
 */
const unsigned char *sandbox_checkpoint_map(int fd, size_t *len);

/*
 * Saves the device state of a suspended domain, whose memory is the shared file
 * of the checkpoint id: such a memfd, which the caller closes, or -1 with *err.
 */
int sandbox_checkpoint_save(sandbox_hv_conn_t *conn, virDomainPtr domain,
                            const char *id, sandbox_hv_error_t *err);

/* Loads a device state into a domain that waits for one; state stays open. */
sandbox_hv_status_t
sandbox_checkpoint_receive(sandbox_hv_conn_t *conn, virDomainPtr domain,
                           const sandbox_checkpoint_t *c, sandbox_accel_t accel,
                           int state, sandbox_hv_error_t *err);

/* sandbox_checkpoint_sent.c */

/*
 * Reads and discards what is sent to the pipe, which is O_NONBLOCK: 1 when it
 * has no writer any more, 0 at the deadline or when *stop is set.
 */
int
sandbox_checkpoint_read_away(int pipe, int64_t deadline_ms, const int *stop);

/*
 * The same for the pipe that the last take of a sandbox has left, if there is
 * one: until it is drained QEMU may not answer, and should not be ended.
 */
int sandbox_checkpoint_drain(const char *sandbox, int64_t deadline_ms);

/*
 * Ends whatever the domain of a sandbox is sending: a device state is
 * cancelled; a memory that the last take, or the take `id` (or NULL), has left
 * to be sent is read away to its end.
 */
sandbox_hv_status_t
sandbox_checkpoint_sent(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *sandbox, const char *id,
                        int64_t deadline_ms, sandbox_hv_error_t *err);

/* sandbox_checkpoint_discard.c */

/*
 * Removes "<id>.state", the memory, the disk unless something stands on it, and
 * what else nothing needs any more.  IN_USE if a domain runs from the
 * checkpoint: with whole 1 nothing is removed; with whole 0, or if the domain
 * was started meanwhile, "<id>.state" is, and memory and disk stay.  The caller
 * sees to it that nobody is making the checkpoint.
 */
sandbox_hv_status_t
sandbox_checkpoint_remove(sandbox_hv_conn_t *conn, const char *id, int whole,
                          sandbox_hv_error_t *err);

/* IN_USE if a domain runs from the checkpoint's memory. */
sandbox_hv_status_t
sandbox_checkpoint_unused(sandbox_hv_conn_t *conn, const char *id,
                          sandbox_hv_error_t *err);

/*
 * Removes disks and memories that nothing needs any more, left by checkpoints
 * that were discarded or whose maker died: those that have not changed within
 * the grace, and, whatever their age, those of checkpoints whose id begins with
 * `only` (or NULL); the caller knows that nobody makes these.  Safe at any
 * time: nothing is removed while a take renames a disk.  Reads the directory;
 * only if a file there may be spare, also each domain and checkpoint.
 */
#ifndef SANDBOX_CHECKPOINT_GRACE_MS
#define SANDBOX_CHECKPOINT_GRACE_MS 60000
#endif
sandbox_hv_status_t
sandbox_checkpoint_clean(sandbox_hv_conn_t *conn, const char *only,
                         sandbox_hv_error_t *err);

/* sandbox_checkpoint_flatten.c */

/*
 * Locks the chain of a running sandbox's disk, for all processes of this host,
 * until *fd is closed or the process ends.  alone 1: exclusively, to begin a
 * flattening; 0: shared, to take a checkpoint of the sandbox or to settle a
 * take.  TIMEOUT after the deadline.  *fd is -1 on failure, and with OK for a
 * libvirt on another host, where no takes are possible.
 */
sandbox_hv_status_t
sandbox_checkpoint_hold_chain(const char *sandbox, int alone,
                              int64_t deadline_ms, int *fd,
                              sandbox_hv_error_t *err);

/*
 * Locks the undoing of takes of a sandbox in the same way, exclusively: who is
 * held up in the middle keeps everybody else from undoing and from beginning a
 * take.  Whether the sandbox is still his is to be asked with the lock held.
 */
sandbox_hv_status_t
sandbox_checkpoint_hold_undo(const char *sandbox, int64_t deadline_ms, int *fd,
                             sandbox_hv_error_t *err);

/*
 * Breaks off the flattening of a running domain's disk, if there is one: before
 * the disk is changed, or the domain suspended and kept.  The caller holds the
 * chain, otherwise another flattening may begin.
 */
sandbox_hv_status_t
sandbox_checkpoint_unflatten(sandbox_hv_conn_t *conn, virDomainPtr domain,
                             sandbox_hv_error_t *err);

/* sandbox_checkpoint_sweep.c */

/*
 * The lock for making or removing boot checkpoints on this host: a descriptor,
 * whose closing unlocks, or -1 with *err (TIMEOUT after the deadline).  The
 * kernel holds the lock (flock), so it ends with the process.
 */
int sandbox_checkpoint_lock(int64_t deadline_ms, sandbox_hv_error_t *err);

/*
 * With the lock held: makes room for the boot checkpoint id, so that fewer than
 * max are kept (0: any number), by removing others that nothing uses.
 * NO_CHECKPOINT: all are in use.
 */
sandbox_hv_status_t
sandbox_checkpoint_room(sandbox_hv_conn_t *conn, const char *id, size_t max,
                        sandbox_hv_error_t *err);

#endif
