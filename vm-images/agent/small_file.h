/* Small files of the root file system.  Blocking. */

#ifndef AGENT_SMALL_FILE_H
#define AGENT_SMALL_FILE_H

#include <stddef.h>

/*
 * The text of a regular file of at most max bytes, NUL-terminated, freed by
 * the caller; NULL with errno set.
 */
char *agent_small_file_read(const char *path, size_t max);

/*
 * Whatever path was (a dangling link of an image, too), it is a file of mode
 * 0644 with this text afterwards; makes its directory.  A file that is like
 * that, and has no other name, stays the same one.  0, or -1 with errno set.
 */
int agent_small_file_replace(const char *path, const char *data, size_t len);

/* Makes a normalised path and its parents; 0, or -1 with errno set. */
int agent_small_file_mkdirs(const char *path);

#endif
