/* Removing trees; see the header. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lock.h"
#include "tree.h"
#include "walk.h"

#define TREE_ATTEMPTS 3 /* at directories that others write to meanwhile */


/* Removes a file as a change of its directory; 0, or -1 with errno set. */
static int
tree_unlink(int dir, const char *name)
{
    int rc;

    if (agent_lock(dir) == -1) {
        return -1;
    }

    rc = unlinkat(dir, name, 0);
    agent_unlock();

    return rc;
}


/* Removes the entry that a walk is at, unless what is in it comes first. */
static int
tree_entry(const agent_walk_t *w)
{
    int rc;

    if (S_ISDIR(w->st.st_mode) && !w->leaves) {
        return 0;
    }

    rc = w->leaves ? unlinkat(w->dir, w->name, AT_REMOVEDIR)
                   : tree_unlink(w->dir, w->name);

    if (rc == 0 || errno == ENOENT || errno == ENOTEMPTY || errno == EBUSY) {
        return 0;
    }

    return -1;
}


/* Empties a directory, whose descriptor is taken over. */
static int
tree_empty(int fd)
{
    int rc, err;
    agent_walk_t *w;

    w = malloc(sizeof(*w));
    if (w == NULL) {
        close(fd);
        return -1;
    }

    rc = agent_walk_begin(w, fd, 1, 0);

    while (rc == 0 && (rc = agent_walk_next(w)) == 1) {
        rc = tree_entry(w);
    }

    err = errno;
    agent_walk_end(w);
    free(w);
    errno = err;

    return rc;
}


int
agent_tree_remove(int dir, const char *name)
{
    int fd, i;

    if (tree_unlink(dir, name) == 0) {
        return 0;
    }

    if (errno != EISDIR && errno != EPERM) {
        return -1;
    }

    for (i = 0; i < TREE_ATTEMPTS; i++) {
        if (unlinkat(dir, name, AT_REMOVEDIR) == 0) {
            return 0;
        }

        if (errno != ENOTEMPTY && errno != EEXIST) {
            return -1;
        }

        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd == -1 || tree_empty(fd) == -1) {
            return -1;
        }
    }

    return unlinkat(dir, name, AT_REMOVEDIR);
}
