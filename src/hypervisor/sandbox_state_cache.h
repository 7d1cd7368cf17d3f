/*
 * What was read of each "<id>.state", for the life of the process: such a file
 * is made once and never changed.  One is known again by its inode, its length
 * and its time of change, so whoever stats a file that was made anew, reads it
 * anew.  Any thread.
 */

#ifndef SANDBOX_STATE_CACHE_H
#define SANDBOX_STATE_CACHE_H

#include "sandbox_checkpoint_parts.h"

/* More are not kept: a few hundred bytes each. */
#define SANDBOX_STATE_CACHE_MAX 16384

/*
 * Names of files: one after the other with their NULs, an empty one at the
 * end; malloc'd.  NULL: nothing is known of that file.
 */
char *sandbox_state_cache_get(const char *id, const struct stat *st);

/*
 * st: from before it was read, and changed so long before that another change
 * cannot have the same time.  No matter if there is no memory for it.
 */
void sandbox_state_cache_put(const char *id, const struct stat *st,
                             const char *files);

/* Forgets those that are not among the names, all of the directory, sorted. */
void sandbox_state_cache_trim(char **names, size_t n);

#endif
