/*
 * Who needs which file of the directory of disks.  The truth about a domain
 * is its live XML, about a checkpoint its "<id>.state".  Not for other rooms.
 */

#ifndef SANDBOX_CHECKPOINT_REFS_H
#define SANDBOX_CHECKPOINT_REFS_H

#include "sandbox_checkpoint_parts.h"

typedef struct {
    char file[SANDBOX_CHECKPOINT_NAME_SIZE]; /* first: they are sorted by it */
    char by[SANDBOX_ID_SIZE];                /* the domain or the checkpoint */
    unsigned domain : 1;                     /* by is a domain */
    unsigned memory : 1;                     /* else a disk */
    unsigned forgotten : 1;                  /* by the caller: it counts not */
} sandbox_checkpoint_ref_t;

/* A domain or a checkpoint that was looked at. */
typedef struct {
    char id[SANDBOX_ID_SIZE]; /* first: they are sorted by it */
    int number; /* libvirt's of a domain; -1: it is starting; 0: no domain */
} sandbox_checkpoint_seen_t;

/*
 * Empty (all zeroes) before the first look, and freed after the last one, also
 * if that failed.  What was seen once is there to the end.
 */
typedef struct {
    sandbox_checkpoint_ref_t *list;
    size_t n;
    size_t size;

    sandbox_checkpoint_seen_t *seen;
    size_t nseen;
    size_t seen_size;

    /* set by the caller before the first: memories of domains, no disks */
    unsigned memories : 1;

    /*
     * A domain's disk has a file that is not there: it is being renamed, so
     * that nobody can tell which disks are needed.  Or states come and go too
     * fast.
     */
    unsigned unsettled : 1;
} sandbox_checkpoint_refs_t;

/*
 * A look at those domains that it has not seen: one that runs may come to need
 * files that are made or renamed after the first look at it, and no others.  So
 * the names that are judged by it must be from before its first look.
 */
sandbox_hv_status_t
sandbox_checkpoint_refs_domains(sandbox_hv_conn_t *conn,
                                sandbox_checkpoint_refs_t *refs,
                                sandbox_hv_error_t *err);
/*
 * Such a look, one at the checkpoints, one at the domains again, and a last one
 * whether there are new checkpoints: who starts from one that goes, or becomes
 * one as he ends, is seen by one of them.
 */
sandbox_hv_status_t sandbox_checkpoint_refs(sandbox_hv_conn_t *conn,
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
/* 1 if the state of the checkpoint was there and could be read. */
int sandbox_checkpoint_refs_read(const sandbox_checkpoint_refs_t *refs,
                                 const char *id);

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
 * Of a memory or disk of the checkpoint id; names: all in the directory,
 * sorted, from before the look.
 */
sandbox_checkpoint_need_t
sandbox_checkpoint_refs_needed(const sandbox_checkpoint_refs_t *refs,
                               char **names, size_t n, const char *id,
                               const char *file);

/*
 * The names in "<id>.state": its memory, its disk, and what that stands on,
 * nearest first; each with its NUL, an empty one at the end; malloc'd.  NULL
 * with OK: there is none (*there 0), or one of which nothing can be told.
 */
sandbox_hv_status_t
sandbox_checkpoint_files(sandbox_hv_conn_t *conn, const char *id, char **files,
                         int *there, sandbox_hv_error_t *err);

#endif
