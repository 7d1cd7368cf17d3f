/*
 * Walking a directory: iterative, of bounded depth, by descriptors, never
 * through a link, never into another file system or into what the agent keeps
 * for itself.  Blocking; in a worker.
 */

#ifndef AGENT_WALK_H
#define AGENT_WALK_H

#include <dirent.h>
#include <stddef.h>
#include <sys/stat.h>

#include "sandbox_path.h"

#define AGENT_WALK_DEPTH 256

typedef struct {
    DIR *dir;
    size_t path;  /* length of its path */
    char **names; /* of a sorted walk */
    size_t n, next, size;
} agent_walk_level_t;

typedef struct {
    agent_walk_level_t levels[AGENT_WALK_DEPTH];
    unsigned depth; /* levels that are open */
    size_t keep;
    dev_t dev;
    struct stat hidden; /* what is left out; st_nlink 0: nothing */
    int cut;            /* names were left out, or a directory not entered */
    int recursive;

    /* The entry: */
    char path[SANDBOX_PATH_MAX]; /* from the directory that was given on */
    const char *name;            /* its last part, to be looked for in */
    int dir;                     /* this; -1 once all is walked */
    int leaves; /* a directory whose entries have all been given */
    struct stat st;
} agent_walk_t;

/*
 * Begins at fd, a directory opened to read, which is taken over.  recursive:
 * with what is in its directories, each after the directory itself.  keep:
 * sorted by the bytes of names, only that many of each directory; 0: as they
 * come, all of them, and each directory once more when it was walked.  w is
 * ended by agent_walk_end() in any case.  -1 with errno set.
 */
int agent_walk_begin(agent_walk_t *w, int fd, int recursive, size_t keep);

/*
 * The next entry: 1, 0 after the last, -1 with errno set; ENAMETOOLONG if it
 * is too deep, which a sorted walk leaves out and notes.
 */
int agent_walk_next(agent_walk_t *w);

void agent_walk_end(agent_walk_t *w);

#endif
