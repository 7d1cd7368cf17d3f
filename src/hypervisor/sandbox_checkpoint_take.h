/* What the files of the take verb share.  Not for others. */

#ifndef SANDBOX_CHECKPOINT_TAKE_H
#define SANDBOX_CHECKPOINT_TAKE_H

#include "sandbox_checkpoint_parts.h"

#include <pthread.h>

#define SANDBOX_TAKE_SCRATCH ".tmp"
#define SANDBOX_TAKE_LIVE "background-snapshot" /* QEMU's capability */
#define SANDBOX_TAKE_READER "sandbox-reader"

/* The pipe, while it is in this process too. */
typedef struct {
    int ends[3];   /* to write, to read, to read without waiting, or -1 */
    size_t filler; /* bytes in it that are to be read away first */
    int64_t begun; /* since when the source waits with its header; 0: not */
} sandbox_take_pipe_t;

typedef struct {
    sandbox_checkpoint_take_t *take;
    sandbox_hv_conn_t *conn;
    sandbox_accel_t accel;
    sandbox_checkpoint_t kind; /* what the machine is: no id, memory or disk */
    sandbox_checkpoint_names_t names;
    sandbox_disk_chain_t chain; /* the sandbox's disk when it was looked at */
    int64_t disk_mb;
    virDomainPtr source;
    virDomainPtr receiver;
    char next[SANDBOX_HV_PATH_SIZE];    /* the overlay it goes on with */
    char scratch[SANDBOX_HV_PATH_SIZE]; /* the receiver's, never used */
    char uuid[SANDBOX_UUID_SIZE];       /* of the receiver */
    sandbox_take_pipe_t pipe;
    int memory;   /* holds the new memory on tmpfs; -1: it is on disk */
    int held;     /* holds the source's there; -1: it is not there */
    int still;    /* 1: not to be copied while the source runs */
    int touching; /* 1: toucher is to be joined */
    int filling;  /* 1: filler is to be joined */
    int waking;   /* 1: waker is to be joined */
    pthread_t toucher;
    pthread_t filler;
    pthread_t waker;
    sandbox_hv_error_t filled; /* filler's: not OK if there was no room */
} sandbox_take_t;

/* sandbox_checkpoint_move.c */

/*
 * Finds out whether the source can be copied while it runs, which take->live
 * says from then on.
 */
void sandbox_take_prepare(sandbox_take_t *t);
/*
 * Begins what takes as long as the start of a receiver does: the source's
 * memory is read, if it is to be copied while it runs, and the pages of
 * t->memory are made, if there is that.  After a failure, of this or of what
 * comes before the move, the source may have to send all of its memory until
 * it is undone, so what fails easily comes before.
 */
sandbox_hv_status_t
sandbox_take_begin(sandbox_take_t *t, sandbox_hv_error_t *err);
/* Ends what these two have begun, in this process; may be repeated. */
void sandbox_take_unprepare(sandbox_take_t *t);

/*
 * The memory and devices of the source go to the receiver, which is then
 * complete.  If the source is to go on it does so when this returns OK, with
 * its disk flipped to t->next.
 */
sandbox_hv_status_t
sandbox_take_move(sandbox_take_t *t, sandbox_hv_error_t *err);

/*
 * Waits for whoever resumes the source.  After a move that failed not before
 * its undoing, which he may be waiting for.
 */
void sandbox_take_woken(sandbox_take_t *t);

/* sandbox_checkpoint_undo.c */

/*
 * Nothing of the checkpoint is left but a layer that the source's disk stands
 * on, or what it is paused in, and the source, if it has a domain (else NULL),
 * runs.
 */
sandbox_hv_status_t
sandbox_take_undo(sandbox_take_t *t, sandbox_hv_error_t *err);

/*
 * The layer of the source's disk at path, which nobody writes to any more, is
 * called after the checkpoint, here and in the header of what stands on it.
 */
sandbox_hv_status_t sandbox_take_freeze(sandbox_take_t *t, const char *path,
                                        sandbox_hv_error_t *err);

/* The source, which sends no more, is ready for whoever moves it again. */
sandbox_hv_status_t
sandbox_take_quiet(sandbox_take_t *t, sandbox_hv_error_t *err);

/* Resumes the source if it stands still. */
sandbox_hv_status_t
sandbox_take_resume(sandbox_take_t *t, sandbox_hv_error_t *err);

#endif
