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

/* File names: "<id>.<8 random characters>.qcow2" and alike. */
#define SANDBOX_CHECKPOINT_NAME_SIZE (SANDBOX_HV_STEM_SIZE + 8)

/* A device state is some 400 KB; this is its bound. */
#define SANDBOX_CHECKPOINT_STATE_MAX (64 * 1024 * 1024)

/* QEMU takes milliseconds for a device state. */
#define SANDBOX_CHECKPOINT_STATE_MS 10000

/*
 * Reads the checkpoint and checks that it is whole and may be started here.
 * state, unless NULL, receives the descriptor of a copy of the device state.
 * NO_CHECKPOINT with *torn set: there is a file, and it is no good.
 */
sandbox_hv_status_t
sandbox_checkpoint_load(sandbox_hv_conn_t *conn, const char *id,
                        sandbox_accel_t accel, sandbox_checkpoint_t *c,
                        int *state, int *torn, sandbox_hv_error_t *err);

/*
 * What a checkpoint of a domain says that was started from none, by its live
 * XML: all but its id, memory and disk.  NO_CHECKPOINT: it does not tell, or
 * cannot be started here again.
 */
sandbox_hv_status_t
sandbox_checkpoint_booted(sandbox_hv_conn_t *conn, virDomainPtr domain,
                          const char *xml, sandbox_accel_t accel,
                          sandbox_checkpoint_t *c, sandbox_hv_error_t *err);

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

/* A domain named id that is what the checkpoint is of; NULL with *err. */
virDomainPtr
sandbox_checkpoint_domain(sandbox_hv_conn_t *conn,
                          const sandbox_checkpoint_t *c, const char *id,
                          const sandbox_domain_xml_t *host, unsigned flags,
                          sandbox_hv_error_t *err);

/*
 * Writes the checkpoint's file with the device state that is in state, a
 * descriptor that stays the caller's.  durable: all of it is synced.  may,
 * unless NULL, is asked right before that file is made, which is not after
 * anything but an OK.
 */
sandbox_hv_status_t
sandbox_checkpoint_seal(sandbox_hv_conn_t *conn, int state,
                        const sandbox_checkpoint_t *c, int durable,
                        sandbox_hv_status_t (*may)(void *data,
                                                   sandbox_hv_error_t *err),
                        void *data, sandbox_hv_error_t *err);

/* What the data directory is on reaches the disk. */
void sandbox_checkpoint_sync(void);

/* sandbox_checkpoint_state.c */

/* A descriptor of a copy in memory, to be read from its begin; -1. */
int sandbox_checkpoint_memory(const unsigned char *data, size_t len);

/*
 * Such a descriptor's content, for munmap(): what QEMU has written so far, and
 * nothing more is coming; NULL.
 */
const unsigned char *sandbox_checkpoint_map(int fd, size_t *len);

/*
 * The device state of a suspended domain, whose memory is the shared file of
 * the checkpoint id: a descriptor like that, which the caller closes, or -1
 * with *err.
 */
int sandbox_checkpoint_save(sandbox_hv_conn_t *conn, virDomainPtr domain,
                            const char *id, sandbox_hv_error_t *err);

/* Gives it to a domain that waits for it; the descriptor stays the caller's. */
sandbox_hv_status_t
sandbox_checkpoint_receive(sandbox_hv_conn_t *conn, virDomainPtr domain,
                           const sandbox_checkpoint_t *c, sandbox_accel_t accel,
                           int state, sandbox_hv_error_t *err);

/* sandbox_checkpoint_sent.c */

/*
 * Reads away what is sent to the pipe, without waiting for it: 1 when nobody
 * writes to it any more, 0 at the deadline or when *stop is set.
 */
int sandbox_checkpoint_read_away(int pipe, int64_t deadline, const int *stop);

/*
 * The same of the pipe that the last take of a sandbox has left, if it has:
 * until then its QEMU may not answer, and should not be ended.
 */
int sandbox_checkpoint_drain(const char *sandbox, int64_t deadline);

/*
 * Whatever the domain of a sandbox is sending ends: a state is cancelled, what
 * the last take of it has left to be sent is waited for, as is that of the take
 * `id` (or NULL).
 */
sandbox_hv_status_t
sandbox_checkpoint_sent(sandbox_hv_conn_t *conn, virDomainPtr domain,
                        const char *sandbox, const char *id, int64_t deadline,
                        sandbox_hv_error_t *err);

/* sandbox_checkpoint_discard.c */

/*
 * The file that vouches for it, its memory, its disk unless something stands
 * on that, and what else nothing needs any more.  IN_USE if a domain runs from
 * it, which stays as it is, or is left with memory and disk: whole 0, or the
 * domain was started meanwhile.  The caller knows that nobody makes it.
 */
sandbox_hv_status_t
sandbox_checkpoint_remove(sandbox_hv_conn_t *conn, const char *id, int whole,
                          sandbox_hv_error_t *err);

/* IN_USE if a domain runs from its memory. */
sandbox_hv_status_t
sandbox_checkpoint_unused(sandbox_hv_conn_t *conn, const char *id,
                          sandbox_hv_error_t *err);

/*
 * Removes disks and memories that nothing needs: all that have not changed
 * within the grace, and those of checkpoints whose id begins with `only` (or
 * NULL), of which the caller knows that nobody makes one.
 */
sandbox_hv_status_t
sandbox_checkpoint_clean(sandbox_hv_conn_t *conn, const char *only,
                         sandbox_hv_error_t *err);

/* sandbox_checkpoint_flatten.c */

/*
 * Holds what the disk of a running sandbox stands on, in all processes of this
 * host, until *fd is closed or the process ends: who begins to make it flatter
 * alone, who takes a checkpoint of it, or settles that, with others like him
 * (alone 0).  TIMEOUT after the deadline.  *fd is -1 on failure, and of a
 * libvirt of another host, where nothing is taken.
 */
sandbox_hv_status_t
sandbox_checkpoint_hold_chain(const char *sandbox, int alone, int64_t deadline,
                              int *fd, sandbox_hv_error_t *err);

/*
 * Breaks off the flattening of a running domain's disk, if there is one: for
 * whoever is about to change the disk, or to suspend and keep it.  He holds the
 * chain, or another one may begin.
 */
sandbox_hv_status_t
sandbox_checkpoint_unflatten(sandbox_hv_conn_t *conn, virDomainPtr domain,
                             sandbox_hv_error_t *err);

/* The id in the name of a checkpoint's file; 0, or -1 if it is none. */
int sandbox_checkpoint_id(char id[SANDBOX_ID_SIZE], const char *name);
int sandbox_checkpoint_ends(const char *name, const char *suffix);
/* 1 if it is the id of a boot checkpoint. */
int sandbox_checkpoint_is_shape(const char *id);

/* sandbox_checkpoint_sweep.c */

/*
 * Who makes or removes boot checkpoints on this host, one at a time: a
 * descriptor to be closed, or -1 with *err (TIMEOUT after the deadline).  It
 * is the kernel's, so it ends with the process that holds it.
 */
int sandbox_checkpoint_lock(int64_t deadline, sandbox_hv_error_t *err);

/*
 * With the lock: sees to it that fewer than max others are kept (0: any
 * number), by removing some that nothing uses; else NO_CHECKPOINT.
 */
sandbox_hv_status_t
sandbox_checkpoint_room(sandbox_hv_conn_t *conn, const char *id, size_t max,
                        sandbox_hv_error_t *err);

#endif
