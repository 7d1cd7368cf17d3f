/* Path text as the API defines it.  Any thread; no I/O. */

#ifndef SANDBOX_PATH_H
#define SANDBOX_PATH_H

#include <stddef.h>

#define SANDBOX_PATH_MAX 4096
#define SANDBOX_PATH_NAME_MAX 255 /* of file systems */

/*
 * Normalises an absolute path ("/a//b/../c" to "/a/c") into out (size bytes,
 * NUL included).  0, or -1 with *reason (static) set: relative, climbing above
 * the root, containing NUL, or too long as a whole or in one of its names.
 */
int sandbox_path_normalise(char *out, size_t size, const char *path, size_t len,
                           const char **reason);

/* 1 if path is dir or lies below it; both normalised. */
int sandbox_path_within(const char *path, const char *dir);

#endif
