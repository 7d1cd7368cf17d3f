/*
 * Who needs which file of the directory of disks.  The truth about a domain
 * is its live XML, about a checkpoint its "<id>.state".  Not for other rooms.
 */

#ifndef SANDBOX_CHECKPOINT_REFS_H
#define SANDBOX_CHECKPOINT_REFS_H

#include "sandbox_checkpoint_parts.h"

typedef struct {
    char file[SANDBOX_CHECKPOINT_NAME_SIZE]; /* its name; "": the domain is */
    char by[SANDBOX_ID_SIZE];                /* the domain or the checkpoint */
    unsigned domain : 1;                     /* by is a domain */
    unsigned memory : 1;                     /* else a disk */
} sandbox_checkpoint_ref_t;

typedef struct {
    sandbox_checkpoint_ref_t *list;
    size_t n;
    size_t size;

    /*
     * A domain's disk has a file that is not there: it is being renamed, so
     * that nobody can tell which disks are needed.
     */
    unsigned unsettled : 1;
} sandbox_checkpoint_refs_t;

/*
 * Looks at domains, checkpoints, and domains again: who starts from a
 * checkpoint that goes, or becomes one as he ends, is seen by one of them.
 */
sandbox_hv_status_t sandbox_checkpoint_refs(sandbox_hv_conn_t *conn,
                                            sandbox_checkpoint_refs_t *refs,
                                            sandbox_hv_error_t *err);
/* At domains alone, and at their memories, not their disks. */
sandbox_hv_status_t
sandbox_checkpoint_refs_domains(sandbox_hv_conn_t *conn,
                                sandbox_checkpoint_refs_t *refs,
                                sandbox_hv_error_t *err);
void sandbox_checkpoint_refs_free(sandbox_checkpoint_refs_t *refs);

/* One that needs the file, or NULL. */
const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_file(const sandbox_checkpoint_refs_t *refs,
                             const char *file);
/* One other than id that needs a file of the checkpoint id, or NULL. */
const sandbox_checkpoint_ref_t *
sandbox_checkpoint_refs_id(const sandbox_checkpoint_refs_t *refs,
                           const char *id, int memory_only);
/* 1 if a domain has the name. */
int sandbox_checkpoint_refs_domain(const sandbox_checkpoint_refs_t *refs,
                                   const char *name);

/*
 * The names of the files that begin with prefix, sorted: read by ourselves
 * where we may, for libvirt looks into each of them.  Freed by
 * sandbox_disk_names_free().
 */
sandbox_hv_status_t
sandbox_checkpoint_names_of(sandbox_hv_conn_t *conn, const char *prefix,
                            char ***names, size_t *n, sandbox_hv_error_t *err);

typedef enum {
    SANDBOX_CHECKPOINT_SPARE = 0,
    SANDBOX_CHECKPOINT_NEEDED, /* something refers to it */
    SANDBOX_CHECKPOINT_MAKING, /* of a checkpoint that is being made */

    /*
     * Of one whose state is there and cannot be read: it is being written, or
     * for somebody to look at.
     */
    SANDBOX_CHECKPOINT_UNREAD
} sandbox_checkpoint_need_t;

/*
 * Of a memory or disk of the checkpoint id; names: all in the directory, from
 * before the look.
 */
sandbox_checkpoint_need_t
sandbox_checkpoint_refs_needed(const sandbox_checkpoint_refs_t *refs,
                               char **names, size_t n, const char *id,
                               const char *file);

/*
 * What "<id>.state" names: OK and *found, else there is none, or one of which
 * nothing can be told.
 */
sandbox_hv_status_t
sandbox_checkpoint_head(sandbox_hv_conn_t *conn, const char *id,
                        sandbox_checkpoint_t *c, int *found,
                        sandbox_hv_error_t *err);

#endif
