/*
 * Which domains and checkpoints need which file of the directory of disks.  For
 * a domain its live XML is the truth, for a checkpoint its "<id>.state".
 * Private to src/hypervisor.
 */

#ifndef SANDBOX_CHECKPOINT_REFS_H
#define SANDBOX_CHECKPOINT_REFS_H

#include "sandbox_checkpoint_parts.h"

typedef struct {
    char file[SANDBOX_CHECKPOINT_NAME_SIZE]; /* first: the key for sorting */
    char by[SANDBOX_ID_SIZE];                /* the domain or the checkpoint */
    unsigned domain : 1;                     /* by is a domain */
    unsigned memory : 1;                     /* file is a memory, else a disk */
    unsigned forgotten : 1; /* set by the caller: not to be counted */
} sandbox_checkpoint_ref_t;

/* A domain or a checkpoint that was looked at. */
typedef struct {
    char id[SANDBOX_ID_SIZE]; /* first: the key for sorting */
    int number; /* libvirt's id of a domain; -1: starting; 0: a checkpoint */
} sandbox_checkpoint_seen_t;

/*
 * The references found by one or more looks.  All zeroes before the first look;
 * the caller frees it after the last one, also if that failed.  A reference
 * that was found once stays.
 */
typedef struct {
    sandbox_checkpoint_ref_t *list;
    size_t n;
    size_t size;

    sandbox_checkpoint_seen_t *seen;
    size_t nseen;
    size_t seen_size;

    /* set before the first look: only memories of domains, no disks */
    unsigned memories : 1;

    /*
     * It cannot be told which disks are needed: a file of a domain's disk is
     * missing (a take is renaming it), the chain cannot be asked for, or states
     * come and go too fast.
     */
    unsigned unsettled : 1;
} sandbox_checkpoint_refs_t;

/*
 * Looks at the domains that refs has not seen yet.  A domain that was seen may
 * later need files that are made or renamed after that look, but no others.  So
 * the caller must have listed the names that it judges before the first look.
 */
sandbox_hv_status_t
sandbox_checkpoint_refs_domains(sandbox_hv_conn_t *conn,
                                sandbox_checkpoint_refs_t *refs,
                                sandbox_hv_error_t *err);
/*
 * Looks at the domains, at the checkpoints, at the domains again, and at last
 * for new checkpoints.  So it sees a sandbox that starts from a checkpoint
 * while that is discarded, and one that becomes a checkpoint as it ends.
 */
sandbox_hv_status_t sandbox_checkpoint_refs(sandbox_hv_conn_t *conn,
                                            sandbox_checkpoint_refs_t *refs,
                                            sandbox_hv_error_t *err);
void sandbox_checkpoint_refs_free(sandbox_checkpoint_refs_t *refs);

/* A reference to the file, or NULL. */
const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_file(const sandbox_checkpoint_refs_t *refs,
                             const char *file);
/* A reference to a file of the checkpoint id, by anything but id; or NULL. */
const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_id(const sandbox_checkpoint_refs_t *refs,
                           const char *id, int memory_only);
/* 1 if a domain of that name was seen. */
int sandbox_checkpoint_refs_domain(const sandbox_checkpoint_refs_t *refs,
                                   const char *name);
/* 1 if the state of the checkpoint was there and could be read. */
int sandbox_checkpoint_refs_read(const sandbox_checkpoint_refs_t *refs,
                                 const char *id);

typedef enum {
    SANDBOX_CHECKPOINT_SPARE = 0,
    SANDBOX_CHECKPOINT_NEEDED, /* something refers to it */
    SANDBOX_CHECKPOINT_MAKING, /* of a checkpoint that is being made */

    /*
     * Of a checkpoint whose "<id>.state" exists and cannot be read: the state
     * is being written, or an operator should look at it.
     */
    SANDBOX_CHECKPOINT_UNREAD
} sandbox_checkpoint_need_t;

/*
 * Whether file, a memory or disk of the checkpoint id, is needed.  names: all
 * in the directory, sorted, listed before the look.
 */
sandbox_checkpoint_need_t
sandbox_checkpoint_refs_needed(const sandbox_checkpoint_refs_t *refs,
                               char **names, size_t n, const char *id,
                               const char *file);

/*
 * The file names in "<id>.state": the memory, the disk, and the layers below,
 * nearest first; each with its NUL, an empty one at the end; malloc'd.  NULL
 * with OK: there is no state (*there 0), or it cannot be read.
 */
sandbox_hv_status_t
sandbox_checkpoint_files(sandbox_hv_conn_t *conn, const char *id, char **files,
                         int *there, sandbox_hv_error_t *err);

#endif
