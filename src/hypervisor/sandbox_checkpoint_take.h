/* What the files of the take verb share.  Not for others. */

#ifndef SANDBOX_CHECKPOINT_TAKE_H
#define SANDBOX_CHECKPOINT_TAKE_H

#include "sandbox_checkpoint_parts.h"
#include "sandbox_copy.h"
#include "sandbox_devices.h"

#include <pthread.h>

#define SANDBOX_TAKE_SCRATCH ".tmp"
#define SANDBOX_TAKE_READER "sandbox-reader"

/* What a source that goes on sends to. */
typedef struct {
    int ends[3];   /* to write; to read from, twice, without waiting; or -1 */
    size_t filler; /* bytes in it that are to be read away first */
    int64_t begun; /* monotonic ms: since then the source reads; or 0 */
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
    int begun;      /* 1: something of it may be there, or is to end */
    int held_chain; /* what the source's disk stands on, or -1 */
    char *ram;      /* the file that the source's memory is of, or NULL */
    int origin;     /* the device state it was started with, or -1 */
    char next[SANDBOX_HV_PATH_SIZE]; /* the overlay it goes on with */
    int memory; /* holds the new memory on tmpfs; -1: it is on disk */
    int tmpfs;  /* 1: it was there */

    /* copied out of its process */
    int direct;           /* 1: it is tried so, and there is another way */
    sandbox_copy_t *copy; /* NULL: it is moved to a receiver */
    sandbox_devices_t devices;
    int to;      /* the new memory, or -1 */
    int looking; /* 1: looker is to be joined */
    int copying; /* 1: copier is to be joined */
    int stop;    /* 1: it is to end */
    int broken;  /* 1: it has failed */
    pthread_t looker;
    pthread_t copier;
    sandbox_hv_error_t looked; /* looker's */
    sandbox_hv_error_t copied; /* copier's */

    /* while it goes on */
    int live; /* 1: it does */
    sandbox_take_pipe_t pipe;
    int held;     /* holds the source's memory on tmpfs, or -1 */
    int touching; /* 1: toucher is to be joined */
    int waking;   /* 1: waker is to be joined */
    pthread_t toucher;
    pthread_t waker;

    /* moved */
    virDomainPtr receiver;
    char uuid[SANDBOX_UUID_SIZE];       /* of it, also where there is none */
    char scratch[SANDBOX_HV_PATH_SIZE]; /* its disk, never used */
} sandbox_take_t;

/* sandbox_checkpoint_direct.c */

/* Sets t->copy if the source can be copied out of its process. */
void sandbox_take_direct(sandbox_take_t *t);
/* What of the source's memory is not its own, while it runs. */
sandbox_hv_status_t
sandbox_take_direct_base(sandbox_take_t *t, sandbox_hv_error_t *err);
/*
 * The source stands still, and is to go on while it is copied: what is to be
 * known before; in a thread, beside what else is done meanwhile.
 */
sandbox_hv_status_t
sandbox_take_direct_look(sandbox_take_t *t, sandbox_hv_error_t *err);
sandbox_hv_status_t
sandbox_take_direct_looked(sandbox_take_t *t, sandbox_hv_error_t *err);
/* The source is about to run again and to send its memory. */
sandbox_hv_status_t
sandbox_take_direct_start(sandbox_take_t *t, sandbox_hv_error_t *err);
/* 1 if that has failed; any time between. */
int sandbox_take_direct_broken(const sandbox_take_t *t);
/* Waits for all of the memory to be there; it may be sending on. */
sandbox_hv_status_t
sandbox_take_direct_end(sandbox_take_t *t, sandbox_hv_error_t *err);
/* The device state of the checkpoint, to be closed; -1 with *err. */
int sandbox_take_direct_state(sandbox_take_t *t, sandbox_hv_error_t *err);
/* May be repeated. */
void sandbox_take_direct_close(sandbox_take_t *t);

/* sandbox_checkpoint_live.c */

/*
 * Finds out whether a source that is copied out of its process can be so while
 * it runs, which t->live says from then on.
 */
void sandbox_take_live(sandbox_take_t *t);
/*
 * If so, begins what takes long: all of the source's memory is read once. After
 * a failure, of this or of what comes before the move, the source may have to
 * send all of it until it is undone, so what fails easily comes before.
 */
sandbox_hv_status_t
sandbox_take_live_begin(sandbox_take_t *t, sandbox_hv_error_t *err);
/* Waits for that, if it was begun. */
void sandbox_take_live_ready(sandbox_take_t *t);
/* The source, which stands still, sends and runs again. */
sandbox_hv_status_t
sandbox_take_live_run(sandbox_take_t *t, sandbox_hv_error_t *err);
/*
 * Waits for whoever resumes the source.  After a move that failed not before
 * its undoing, which he may be waiting for.
 */
void sandbox_take_woken(sandbox_take_t *t);
/* Ends what these have begun, in this process; may be repeated. */
void sandbox_take_live_close(sandbox_take_t *t);
/* Waits for a thread, if it is running, and says that it is not. */
void sandbox_take_join(int *running, pthread_t thread);

/* sandbox_checkpoint_move.c */

/* The source is ready to send all of its memory to fd. */
sandbox_hv_status_t
sandbox_take_source(sandbox_take_t *t, int fd, sandbox_hv_error_t *err);
/*
 * The memory and devices of the source are where they are to be.  If it is to
 * go on it does so when this returns OK, with its disk flipped to t->next.
 */
sandbox_hv_status_t
sandbox_take_move(sandbox_take_t *t, sandbox_hv_error_t *err);

/* sandbox_checkpoint_undo.c */

/*
 * Nothing of the checkpoint is left but a layer that the source's disk stands
 * on, or what it is paused in, and the source, if it has a domain (else NULL),
 * runs, and its disk is not made flatter.  The chain is held, of a source.
 */
sandbox_hv_status_t
sandbox_take_undo(sandbox_take_t *t, sandbox_hv_error_t *err);

/*
 * The layer of the source's disk at path, which nobody writes to any more, is
 * called after the checkpoint, here and in the header of what stands on it.
 */
sandbox_hv_status_t sandbox_take_freeze(sandbox_take_t *t, const char *path,
                                        sandbox_hv_error_t *err);

/* Resumes the source if it stands still. */
sandbox_hv_status_t
sandbox_take_resume(sandbox_take_t *t, sandbox_hv_error_t *err);

#endif
