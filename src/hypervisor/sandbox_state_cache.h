/*
 * The file names that were read from each "<id>.state", for the life of the
 * process: such a file is made once and never changed.  A file is recognised by
 * its device, inode, length and time of change, so one that was made anew is
 * read anew.  Any thread.
 */

#ifndef SANDBOX_STATE_CACHE_H
#define SANDBOX_STATE_CACHE_H

#include "sandbox_checkpoint_parts.h"

/* The maximum number of entries, of a few hundred bytes each. */
#define SANDBOX_STATE_CACHE_MAX 16384

/*
 * The names in the state: one after the other with their NULs, an empty one at
 * the end; malloc'd.  NULL: the cache does not know that file, or no memory.
 */
char *sandbox_state_cache_get(const char *id, const struct stat *st);

/*
 * Keeps a copy of files.  st comes from a stat() before the state was read; its
 * time of change must be so old that a later change has another one.  Without
 * memory nothing is kept.
 */
void sandbox_state_cache_put(const char *id, const struct stat *st,
                             const char *files);

/* Forgets states that are not among names: all of the directory, sorted. */
void sandbox_state_cache_trim(char **names, size_t n);

#endif
