/*
 * The directory of disks as a whole, for operators: each file, its size, and
 * the sandbox or checkpoint that needs it.  Verbs as in sandbox_hypervisor.h.
 */

#ifndef SANDBOX_STORAGE_H
#define SANDBOX_STORAGE_H

#include "sandbox_hypervisor.h"

#define SANDBOX_STORAGE_NAME_SIZE 256

typedef enum {
    SANDBOX_STORAGE_OTHER = 0, /* not ours */
    SANDBOX_STORAGE_OVERLAY,   /* the disk of a sandbox */
    SANDBOX_STORAGE_STATE,     /* "<id>.state" of a checkpoint */
    SANDBOX_STORAGE_MEMORY,
    SANDBOX_STORAGE_LAYER /* the disk of a checkpoint, or of a discarded one */
} sandbox_storage_kind_t;

typedef enum {
    SANDBOX_STORAGE_NEEDED = 0, /* by `by`, or nobody can tell */
    SANDBOX_STORAGE_YOUNG,      /* not needed, and too young to be left over */
    SANDBOX_STORAGE_SPARE
} sandbox_storage_need_t;

typedef struct {
    char name[SANDBOX_STORAGE_NAME_SIZE];
    char id[SANDBOX_ID_SIZE]; /* of the sandbox or checkpoint; "": not ours */
    char by[SANDBOX_ID_SIZE]; /* a sandbox or checkpoint that needs it, or "" */
    sandbox_storage_kind_t kind;
    sandbox_storage_need_t need;
    const char *why; /* static; a phrase for people */
    int64_t bytes;   /* blocks taken */
    int64_t age_ms;
} sandbox_storage_file_t;

typedef struct {
    int64_t grace_ms; /* a file that has changed within it is young */

    /*
     * Returns 1 if there is a record of the checkpoint; 0: the checkpoint is
     * spare if nothing runs from it.  NULL: every whole checkpoint is needed.
     * Not called for boot checkpoints.
     */
    int (*known)(void *data, const char *id);
    void *data;

    int unsettled; /* out: a take is going on: no memory or layer is spare */
} sandbox_storage_look_t;

/* *list is malloc'd, the caller frees it; sorted by name. */
sandbox_hv_status_t sandbox_storage_list(sandbox_storage_look_t *look,
                                         sandbox_storage_file_t **list,
                                         size_t *n, sandbox_hv_error_t *err);

/*
 * Removes a file that sandbox_storage_list() has found spare (else IN_USE).  A
 * state is removed with its checkpoint, by sandbox_checkpoint_discard().
 */
sandbox_hv_status_t sandbox_storage_remove(const sandbox_storage_file_t *file,
                                           sandbox_hv_error_t *err);

#endif
