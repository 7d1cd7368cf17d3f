/*
 * Walks a directory: iterative, of bounded depth, by descriptors, never through
 * a link, never into another file system or the agent's private directory.
 * Blocking; in a worker.
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
    size_t path;  /* length of the directory's path */
    char **names; /* of a sorted walk */
    size_t n, next, size;
} agent_walk_level_t;

typedef struct {
    agent_walk_level_t levels[AGENT_WALK_DEPTH];
    unsigned depth; /* levels that are open */
    size_t keep;
    dev_t dev;
    struct stat hidden; /* the directory to skip; st_nlink 0: none */
    int cut;            /* names or directories were left out */
    int recursive;

    /* The current entry: */
    char path[SANDBOX_PATH_MAX]; /* relative to the directory of the walk */
    const char *name;            /* the last part of path, an entry of dir */
    int dir;                     /* -1 after the last entry */
    int leaves; /* a directory whose entries have all been given */
    struct stat st;
} agent_walk_t;

/*
 * Begins a walk at fd, a directory opened to read, which is taken over.
 * recursive: the entries of a subdirectory follow the subdirectory.  keep: the
 * entries are sorted by the bytes of their names, and only the first keep of
 * each directory are given; 0: all entries, in the order of the directory, and
 * each subdirectory once more after its entries.  The caller ends w by
 * agent_walk_end() in any case.  0, or -1 with errno set.
 */
int agent_walk_begin(agent_walk_t *w, int fd, int recursive, size_t keep);

/*
 * Goes to the next entry: 1, 0 after the last, -1 with errno set; ENAMETOOLONG
 * if the entry is too deep, which a sorted walk leaves out and notes in cut.
 */
int agent_walk_next(agent_walk_t *w);

void agent_walk_end(agent_walk_t *w);

#endif
