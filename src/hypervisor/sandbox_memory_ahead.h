/*
 * Reads ahead the memory of a machine that is to run from the directory of
 * disks.  While its domain is made little else needs the disk; afterwards the
 * guest finds its pages in the page cache, and waits for none.
 *
 * Not for other rooms; one thread, which may block.
 */

#ifndef SANDBOX_MEMORY_AHEAD_H
#define SANDBOX_MEMORY_AHEAD_H

#include <pthread.h>

typedef struct {
    int fd; /* the file, or -1: nothing is read */
    int stop;
    pthread_t thread;
} sandbox_memory_ahead_t;

/*
 * Begins to read the file at path, without its holes.  A file that cannot be
 * opened (of another host) is not read: the machine starts all the same.
 * *ahead must not move until sandbox_memory_ahead_end().
 */
void sandbox_memory_ahead(sandbox_memory_ahead_t *ahead, const char *path);

/*
 * Ends the reading, finished or not: always, when the machine runs or was given
 * up.  On a slow disk the guest's own reads would wait behind it.  Waits for
 * the two pieces that are under way.
 */
void sandbox_memory_ahead_end(sandbox_memory_ahead_t *ahead);

#endif
