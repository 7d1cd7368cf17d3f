/* What the files of the take verb share.  Not for others. */

#ifndef SANDBOX_CHECKPOINT_TAKE_H
#define SANDBOX_CHECKPOINT_TAKE_H

#include "sandbox_checkpoint_parts.h"
#include "sandbox_copy.h"
#include "sandbox_devices.h"

#include <pthread.h>

#define SANDBOX_TAKING_SCRATCH ".tmp"
#define SANDBOX_TAKING_READER "sandbox-reader"

/* The pipe to which the QEMU of a source that goes on sends its memory. */
typedef struct {
    int ends[3];      /* one to write, two to read (O_NONBLOCK); or -1 */
    size_t filler;    /* bytes in the pipe that are to be read away first */
    int64_t begun_ms; /* monotonic: when QEMU was told to migrate; or 0 */
} sandbox_taking_pipe_t;

typedef struct {
    sandbox_checkpoint_take_t *take;
    sandbox_hv_conn_t *conn;
    sandbox_accel_t accel;
    sandbox_checkpoint_t kind; /* the machine; id, memory, disk are not used */
    sandbox_checkpoint_names_t names;
    sandbox_disk_chain_t chain; /* the sandbox's disk when it was looked at */
    int64_t disk_mb;
    virDomainPtr source;
    int begun;      /* 1: parts of the checkpoint, or all of it, may be there */
    int held_chain; /* the lock of the source's disk chain, or -1 */
    int sync;       /* of sandbox_disk_sync_open() when the take began */
    char *ram;      /* the file that the source's memory maps, or NULL */
    int origin;     /* the device state the source was started with, or -1 */
    char next[SANDBOX_HV_PATH_SIZE]; /* the overlay the source goes on with */
    int memory; /* the new memory on tmpfs, locked; -1: it is on disk */
    int tmpfs;  /* 1: the new memory was made on tmpfs */

    /* the way "copied": out of the source's process */
    int direct;           /* 1: this way is tried, and moving is left */
    sandbox_copy_t *copy; /* NULL: the source is moved to a receiver */
    sandbox_devices_t devices;
    int to;      /* the file of the new memory, or -1 */
    int looking; /* 1: looker is to be joined */
    int copying; /* 1: copier is to be joined */
    int stop;    /* 1: copier is to end */
    int broken;  /* 1: copier has failed */
    pthread_t looker;
    pthread_t copier;
    sandbox_hv_error_t looked; /* looker's */
    sandbox_hv_error_t copied; /* copier's */

    /* the source goes on while it is copied */
    int live; /* 1: this way is used */
    sandbox_taking_pipe_t pipe;
    int held;               /* the source's memory on tmpfs, locked, or -1 */
    int touching;           /* 1: toucher is to be joined */
    int hurry;              /* 1: toucher is to end */
    int late;               /* 1: toucher has ended before QEMU had read all */
    int64_t touch_until_ms; /* monotonic: when toucher ends */
    int waking;             /* 1: waker is to be joined */
    pthread_t toucher;
    pthread_t waker;

    /* the way "moved": by migration to a receiver */
    virDomainPtr receiver;
    char uuid[SANDBOX_UUID_SIZE]; /* the receiver's, even if there is none */
    char scratch[SANDBOX_HV_PATH_SIZE]; /* the receiver's disk, never used */
} sandbox_taking_t;

/* sandbox_checkpoint_take.c */

/* 1, or 0 with *err: another process may have taken over; see `ours`. */
int sandbox_taking_is_ours(const sandbox_taking_t *t, sandbox_hv_error_t *err);
/* 1 if the checkpoint is to be on disk when the verb returns. */
int sandbox_taking_is_durable(const sandbox_taking_t *t);

/* sandbox_checkpoint_steps.c */

/*
 * Makes the checkpoint, by the way that t->direct says; the caller holds the
 * chain.  OK: it is whole.  Else the caller resets and undoes; t->direct is
 * still 1 if the other way may be tried then.
 */
sandbox_hv_status_t
sandbox_taking_steps(sandbox_taking_t *t, sandbox_hv_error_t *err);
/* Frees what the steps have opened, except the source; may be repeated. */
void sandbox_taking_reset(sandbox_taking_t *t);

/* sandbox_checkpoint_direct.c */

/* Sets t->copy if the source can be copied out of its process. */
void sandbox_taking_direct(sandbox_taking_t *t);
/* Copies the pages that the source has not changed, while it runs. */
sandbox_hv_status_t
sandbox_taking_direct_base(sandbox_taking_t *t, sandbox_hv_error_t *err);
/*
 * With the source suspended, before its memory is protected: begins a look at
 * which pages are its own, in a thread; the second function waits for the end.
 */
sandbox_hv_status_t
sandbox_taking_direct_look(sandbox_taking_t *t, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_taking_direct_looked(sandbox_taking_t *t, sandbox_hv_error_t *err);
/* Starts the copying thread: the source is about to run and send its memory. */
sandbox_hv_status_t
sandbox_taking_direct_start(sandbox_taking_t *t, sandbox_hv_error_t *err);
/* 1 if the copying has failed; between start and end. */
int sandbox_taking_direct_broken(const sandbox_taking_t *t);
/* Waits until all of the memory is copied; the source may still be sending. */
sandbox_hv_status_t
sandbox_taking_direct_end(sandbox_taking_t *t, sandbox_hv_error_t *err);
/* The device state of the checkpoint, which the caller closes; -1 with *err. */
int sandbox_taking_direct_state(sandbox_taking_t *t, sandbox_hv_error_t *err);
/* Ends the threads and closes all of this way; may be repeated. */
void sandbox_taking_direct_close(sandbox_taking_t *t);

/* sandbox_checkpoint_live.c */

/*
 * Sets t->live: whether the source can be copied out of its process while it
 * runs, and has written enough for that to pay.
 */
void sandbox_taking_live(sandbox_taking_t *t);
/*
 * If t->live, begins what takes long: QEMU reads all of the source's memory
 * once.  After a failure from here to the move, undoing may have to wait until
 * QEMU has sent all of the memory, so the caller does what fails easily before.
 */
sandbox_hv_status_t
sandbox_taking_live_begin(sandbox_taking_t *t, sandbox_hv_error_t *err);
/*
 * Waits for the reading that sandbox_taking_live_begin() has begun, if it has.
 * If it takes more than half of the time that was left, t->live is 0
 * afterwards.
 */
void sandbox_taking_live_ready(sandbox_taking_t *t);
/* Has the suspended source send its memory, and waits until it runs again. */
sandbox_hv_status_t
sandbox_taking_live_run(sandbox_taking_t *t, sandbox_hv_error_t *err);
/*
 * Waits for the thread that resumes the source.  After a move that failed only
 * after the undoing, for which that thread may be waiting.
 */
void sandbox_taking_woken(sandbox_taking_t *t);
/* Closes what these have opened in this process; may be repeated. */
void sandbox_taking_live_close(sandbox_taking_t *t);
/* Joins the thread if *running, and clears *running. */
void sandbox_taking_join(int *running, pthread_t thread);

/* sandbox_checkpoint_move.c */

/* Prepares the source for sending all of its memory to fd. */
sandbox_hv_status_t
sandbox_taking_source(sandbox_taking_t *t, int fd, sandbox_hv_error_t *err);
/*
 * Suspends the source and copies or moves its memory and devices.  With keep,
 * the source runs again when this returns OK, its disk flipped to t->next.
 */
sandbox_hv_status_t
sandbox_taking_move(sandbox_taking_t *t, sandbox_hv_error_t *err);
/*
 * OK if the source stands still.  A taker that has lost its lease may resume
 * it, once: so it has stood still all the time if it still does.
 */
sandbox_hv_status_t
sandbox_taking_stands(sandbox_taking_t *t, sandbox_hv_error_t *err);
/* Sets the error of a source that does not; gives its status. */
sandbox_hv_status_t
sandbox_taking_was_resumed(const sandbox_taking_t *t, sandbox_hv_error_t *err);

/* sandbox_checkpoint_undo.c */

/*
 * Removes the checkpoint, except a layer that the source's disk, or a
 * checkpoint that the source was paused into, stands on; breaks off a
 * flattening of the source's disk, and resumes the source.  t->source is NULL
 * if there is no domain; else the caller holds the chain.  Nothing is done if
 * the take is not ours any more, or another undoing goes on (TIMEOUT).
 */
sandbox_hv_status_t
sandbox_taking_undo(sandbox_taking_t *t, sandbox_hv_error_t *err);

/*
 * Renames the layer of the source's disk at path, which nobody writes to any
 * more, to the checkpoint's disk, also in the header of the overlay above it.
 */
sandbox_hv_status_t sandbox_taking_freeze(sandbox_taking_t *t, const char *path,
                                          sandbox_hv_error_t *err);

/* Resumes the source if it stands still. */
sandbox_hv_status_t
sandbox_taking_resume(sandbox_taking_t *t, sandbox_hv_error_t *err);

#endif
