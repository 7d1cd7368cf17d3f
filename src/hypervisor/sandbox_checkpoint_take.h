/* What the files of the take verb share.  Not for others. */

#ifndef SANDBOX_CHECKPOINT_TAKE_H
#define SANDBOX_CHECKPOINT_TAKE_H

#include "sandbox_checkpoint_parts.h"

#include <pthread.h>

#define SANDBOX_TAKE_SCRATCH ".tmp"
#define SANDBOX_TAKE_LIVE "background-snapshot" /* QEMU's capability */
#define SANDBOX_TAKE_READER "sandbox-reader"

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
    char scratch[SANDBOX_HV_STEM_SIZE]; /* the receiver's, never used */
    char uuid[SANDBOX_UUID_SIZE];       /* of the receiver */
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
 * says from then on, and begins to read its memory in a thread: that takes as
 * long as the start of a receiver does.
 */
void sandbox_take_prepare(sandbox_take_t *t);
/* Begins to make the pages of t->memory, if there is that, in a thread. */
void sandbox_take_fill(sandbox_take_t *t);
/* Ends what these two have begun; may be repeated. */
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
 * on, and the source, if it has a domain (else NULL), runs.
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
