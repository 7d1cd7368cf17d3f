/* Small files of the root file system.  Blocking. */

#ifndef AGENT_SMALL_FILE_H
#define AGENT_SMALL_FILE_H

#include <stddef.h>
#include <stdio.h>

/* Opens a regular file to read, without waiting; NULL with errno set. */
FILE *agent_small_file_open(const char *path);

/*
 * The text of a regular file of at most max bytes, NUL-terminated, freed by
 * the caller; NULL with errno set.
 */
char *agent_small_file_read(const char *path, size_t max);

/* The same of a descriptor, which is closed in any case. */
char *agent_small_file_text(int fd, size_t max);

/*
 * Makes path a file of mode 0644 with this text, whatever path was before (also
 * a dangling link of an image), and makes its directory.  A small regular file
 * of that mode, our user and a single link is rewritten in place.  0, or -1
 * with errno set.
 */
int agent_small_file_replace(const char *path, const char *data, size_t len);

/* Makes a normalised path and its parents; 0, or -1 with errno set. */
int agent_small_file_mkdirs(const char *path);

#endif
