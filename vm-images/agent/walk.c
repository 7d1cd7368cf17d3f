/* Walking directories; see the header. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs.h"
#include "walk.h"


static int
walk_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


/* Sorts the names of a level, and drops all but the first w->keep. */
static void
walk_sort(agent_walk_t *w, agent_walk_level_t *level)
{
    qsort(level->names, level->n, sizeof(char *), walk_compare);

    while (level->n > w->keep) {
        free(level->names[--level->n]);
        w->cut = 1;
    }
}


static int
walk_is_dots(const char *name)
{
    return name[0] == '.'
           && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}


/*
 * Reads a whole directory.  How many names are held at once depends on w->keep,
 * not on the directory: less than four times w->keep, or 64.
 */
static int
walk_collect(agent_walk_t *w, agent_walk_level_t *level)
{
    size_t size;
    char **names;
    struct dirent *entry;

    while (errno = 0, (entry = readdir(level->dir)) != NULL) {
        if (walk_is_dots(entry->d_name)) {
            continue;
        }

        if (level->n == level->size && level->n >= 2 * w->keep) {
            walk_sort(w, level);
        }

        if (level->n == level->size) {
            size = level->size ? level->size * 2 : 64;
            names = realloc(level->names, size * sizeof(char *));
            if (names == NULL) {
                return -1;
            }

            level->names = names;
            level->size = size;
        }

        level->names[level->n] = strdup(entry->d_name);
        if (level->names[level->n] == NULL) {
            return -1;
        }

        level->n++;
    }

    if (errno != 0) {
        return -1;
    }

    if (level->n > 0) {
        walk_sort(w, level);
    }

    return 0;
}


/* Goes into a directory, whose descriptor is taken over. */
static int
walk_enter(agent_walk_t *w, int fd)
{
    agent_walk_level_t *level;

    level = &w->levels[w->depth];
    memset(level, 0, sizeof(*level));

    level->dir = fdopendir(fd);
    if (level->dir == NULL) {
        close(fd);
        return -1;
    }

    level->path = strlen(w->path);
    w->depth++;

    return w->keep ? walk_collect(w, level) : 0;
}


static void
walk_leave(agent_walk_t *w)
{
    agent_walk_level_t *level;

    level = &w->levels[--w->depth];

    while (level->n > level->next) {
        free(level->names[--level->n]);
    }

    free(level->names);
    closedir(level->dir);
}


/* Puts the next name of a level into w->path; 1, 0 if there is none, or -1. */
static int
walk_name(agent_walk_t *w, agent_walk_level_t *level)
{
    char *name;
    size_t len;
    struct dirent *entry;

    name = NULL;

    if (w->keep) {
        name = level->next < level->n ? level->names[level->next++] : NULL;

    } else {
        do {
            errno = 0;
            entry = readdir(level->dir);
        } while (entry != NULL && walk_is_dots(entry->d_name));

        if (entry == NULL && errno != 0) {
            return -1;
        }

        name = entry ? entry->d_name : NULL;
    }

    if (name == NULL) {
        return 0;
    }

    len = strlen(name);

    if (level->path + 1 + len >= sizeof(w->path)) {
        errno = ENAMETOOLONG;
        len = 0;
    } else {
        w->path[level->path] = '/';
        memcpy(w->path + level->path + (level->path > 0), name, len + 1);
    }

    if (w->keep) {
        free(name);
    }

    return len > 0 ? 1 : -1;
}


static int
walk_is_hidden(const agent_walk_t *w)
{
    return w->hidden.st_nlink > 0 && w->st.st_dev == w->hidden.st_dev
           && w->st.st_ino == w->hidden.st_ino;
}


/*
 * Enters the current entry, a directory.  0 also if the directory is gone, or
 * too deep for a sorted walk; -1 with errno set.
 */
static int
walk_descend(agent_walk_t *w)
{
    int fd;

    if (w->depth == AGENT_WALK_DEPTH) {
        w->cut = 1;
        errno = ENAMETOOLONG;
        return w->keep ? 0 : -1;
    }

    fd = openat(w->dir, w->name,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
    }

    return walk_enter(w, fd);
}


/* Sets the name and dir of the current entry, which is at w->path. */
static void
walk_point(agent_walk_t *w)
{
    const char *slash;

    slash = strrchr(w->path, '/');
    w->name = slash ? slash + 1 : w->path;
    w->dir = dirfd(w->levels[w->depth - 1].dir);
}


/*
 * Leaves the deepest level: its directory is the current entry again.  1, 0 if
 * it was the directory of the walk, or -1.
 */
static int
walk_up(agent_walk_t *w)
{
    w->path[w->levels[w->depth - 1].path] = '\0';
    walk_leave(w);

    if (w->depth == 0) {
        w->dir = -1;
        return 0;
    }

    walk_point(w);
    w->leaves = 1;

    return fstatat(w->dir, w->name, &w->st, AT_SYMLINK_NOFOLLOW) == 0 ? 1 : -1;
}


int
agent_walk_next(agent_walk_t *w)
{
    int rc;

    if (w->recursive && !w->leaves && w->dir != -1 && S_ISDIR(w->st.st_mode)
        && w->st.st_dev == w->dev && walk_descend(w) == -1)
    {
        return -1;
    }

    while (w->depth > 0) {
        w->leaves = 0;
        rc = walk_name(w, &w->levels[w->depth - 1]);

        if (rc == -1 && errno == ENAMETOOLONG && w->keep) {
            w->cut = 1;
            continue;
        }

        if (rc == -1) {
            return -1;
        }

        if (rc == 0) {
            rc = walk_up(w);

            if (rc == -1 && errno == ENOENT) {
                continue;
            }

            if (rc != 1 || !w->keep) {
                return rc;
            }

            continue;
        }

        walk_point(w);

        if (fstatat(w->dir, w->name, &w->st, AT_SYMLINK_NOFOLLOW) == -1) {
            if (errno == ENOENT) {
                continue; /* the entry was removed meanwhile */
            }

            return -1;
        }

        if (!walk_is_hidden(w)) {
            return 1;
        }
    }

    w->dir = -1;

    return 0;
}


int
agent_walk_begin(agent_walk_t *w, int fd, int recursive, size_t keep)
{
    int place, root;
    struct stat st;

    w->depth = 0;
    w->keep = keep;
    w->cut = 0;
    w->recursive = recursive;
    w->path[0] = '\0';
    w->dir = -1;
    w->leaves = 0;
    memset(&w->hidden, 0, sizeof(w->hidden));

    root = agent_fs_root();
    place = agent_fs_open(root, AGENT_FS_PRIVATE, O_PATH | O_NOFOLLOW, 0);

    if (place != -1) {
        if (fstat(place, &w->hidden) == -1) {
            w->hidden.st_nlink = 0;
        }

        close(place);
    }

    if (root != -1) {
        close(root);
    }

    if (fstat(fd, &st) == -1) {
        close(fd);
        return -1;
    }

    w->dev = st.st_dev;

    return walk_enter(w, fd);
}


void
agent_walk_end(agent_walk_t *w)
{
    while (w->depth > 0) {
        walk_leave(w);
    }
}
