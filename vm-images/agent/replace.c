/* Replacing files; see the header.  Must not know where bytes come from. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fs.h"
#include "lock.h"
#include "replace.h"

#define REPLACE_ATTEMPTS 8


/* The target of the link at path and its status; -1 with errno set. */
static int
replace_target(int root, const char *path, char real[SANDBOX_PATH_MAX],
               struct stat *st)
{
    int fd, rc;

    fd = agent_fs_open(root, path, O_PATH, 0);
    if (fd == -1) {
        return -1;
    }

    rc = fstat(fd, st) == 0 ? agent_fs_where(root, fd, real) : -1;
    close(fd);

    return rc;
}


/* The status of path itself: 1, 0 if it does not exist, -1 with errno set. */
static int
replace_stat(int root, const char *path, struct stat *st)
{
    int fd, rc;

    fd = agent_fs_open(root, path, O_PATH | O_NOFOLLOW, 0);
    if (fd == -1) {
        return errno == ENOENT ? 0 : -1;
    }

    rc = fstat(fd, st);
    close(fd);

    return rc == -1 ? -1 : 1;
}


/*
 * Finds the path that a link at path leads to; "" if there is no link.  The
 * kernel gives "NAME (deleted)" for a file that was replaced after it was
 * opened, so the path counts only if that very file is there.
 */
static int
replace_follow(int root, const char *path, char real[SANDBOX_PATH_MAX])
{
    int i, rc;
    struct stat st, there;

    for (i = 0; i < REPLACE_ATTEMPTS; i++) {
        real[0] = '\0';

        rc = replace_stat(root, path, &st);
        if (rc != 1 || !S_ISLNK(st.st_mode)) {
            return rc == -1 ? -1 : 0;
        }

        /* the link leads to nothing, or was removed meanwhile */
        if (replace_target(root, path, real, &st) == -1) {
            if (errno != ENOENT) {
                return -1;
            }

            errno = ELOOP;
            continue;
        }

        rc = replace_stat(root, real, &there);
        if (rc == -1) {
            return -1;
        }

        if (rc == 1 && there.st_dev == st.st_dev && there.st_ino == st.st_ino) {
            return 0;
        }

        errno = EBUSY;
    }

    return -1;
}


static int
replace_look(agent_replace_t *p, agent_replace_how_t how)
{
    if (how != AGENT_REPLACE_OWN && agent_fs_is_private_at(p->dir, p->name)) {
        errno = EPERM;
        return -1;
    }

    if (fstatat(p->dir, p->name, &p->old, AT_SYMLINK_NOFOLLOW) == -1) {
        return errno == ENOENT ? 0 : -1;
    }

    p->exists = 1;

    if (S_ISREG(p->old.st_mode)
        || (S_ISLNK(p->old.st_mode) && how != AGENT_REPLACE_FOLLOW))
    {
        return 0;
    }

    errno = S_ISDIR(p->old.st_mode) ? EISDIR : EINVAL;

    return -1;
}


int
agent_replace_find(agent_replace_t *p, int root, const char *path,
                   agent_replace_how_t how)
{
    int err;
    const char *name;
    char real[SANDBOX_PATH_MAX];

    memset(p, 0, sizeof(*p));
    p->dir = -1;
    p->fd = -1;
    real[0] = '\0';

    if (how == AGENT_REPLACE_FOLLOW && replace_follow(root, path, real) == -1) {
        return -1;
    }

    p->dir = agent_fs_parent(root, real[0] ? real : path, &name);
    if (p->dir == -1) {
        return -1;
    }

    if (name[0] == '\0' || strlen(name) > SANDBOX_PATH_NAME_MAX) {
        errno = name[0] == '\0' ? EISDIR : ENAMETOOLONG;
    } else {
        memcpy(p->name, name, strlen(name) + 1);

        if (replace_look(p, how) == 0) {
            return 0;
        }
    }

    err = errno;
    agent_replace_abort(p);
    errno = err;

    return -1;
}


static int
replace_lock(agent_replace_t *p)
{
    if (!p->locked && agent_lock(p->dir) == -1) {
        return -1;
    }

    p->locked = 1;

    return 0;
}


int
agent_replace_again(agent_replace_t *p)
{
    if (replace_lock(p) == -1) {
        return -1;
    }

    p->exists = fstatat(p->dir, p->name, &p->old, AT_SYMLINK_NOFOLLOW) == 0;

    return 0;
}


/* Makes a random temporary name. */
static void
replace_name(agent_replace_t *p)
{
    uint64_t n[2];

    memset(n, 0, sizeof(n));
    (void) !getrandom(n, sizeof(n), GRND_NONBLOCK);

    snprintf(p->temp, sizeof(p->temp), ".%016llx%016llx.new",
             (unsigned long long) n[0], (unsigned long long) n[1]);
}


int
agent_replace_is_temp(const char *name)
{
    return name[0] == '.' && strspn(name + 1, "0123456789abcdef") == 32
           && strcmp(name + 33, ".new") == 0;
}


int
agent_replace_open(agent_replace_t *p)
{
    mode_t mode;

    mode = p->exists && S_ISREG(p->old.st_mode) ? p->old.st_mode & 07777 : 0644;
    replace_name(p);

    /* The new file has no name until it is whole, if the file system can. */
    p->fd = openat(p->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (p->fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        p->fd = openat(p->dir, p->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                       0600);
        p->named = p->fd != -1;
    }

    if (p->fd == -1) {
        return -1;
    }

    if (p->exists && fchown(p->fd, p->old.st_uid, p->old.st_gid) == -1) {
        return -1;
    }

    return fchmod(p->fd, mode);
}


/*
 * Links straight to the final name if no file has it, so that watchers see a
 * new file; the temporary name is used only to replace an existing file.
 */
int
agent_replace_hard(agent_replace_t *p, int from, const char *name)
{
    if (!p->exists && linkat(from, name, p->dir, p->name, 0) == 0) {
        p->placed = 1;
        return 0;
    }

    replace_name(p);

    if (linkat(from, name, p->dir, p->temp, 0) == -1) {
        return -1;
    }

    p->named = 1;

    return 0;
}


int
agent_replace_symlink(agent_replace_t *p, const char *target, uid_t uid,
                      gid_t gid)
{
    if (!p->exists && symlinkat(target, p->dir, p->name) == 0) {
        p->placed = 1;
        return fchownat(p->dir, p->name, uid, gid, AT_SYMLINK_NOFOLLOW);
    }

    replace_name(p);

    if (symlinkat(target, p->dir, p->temp) == -1) {
        return -1;
    }

    p->named = 1;

    return fchownat(p->dir, p->temp, uid, gid, AT_SYMLINK_NOFOLLOW);
}


static int
replace_link(agent_replace_t *p, const char *name)
{
    char proc[64];

    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", p->fd);

    return linkat(AT_FDCWD, proc, p->dir, name, AT_SYMLINK_FOLLOW);
}


/* Gives the new file a temporary name, unless it has one. */
static int
replace_link_temp(agent_replace_t *p)
{
    int i;

    for (i = 0; !p->named && i < REPLACE_ATTEMPTS; i++) {
        replace_name(p);

        if (replace_link(p, p->temp) == 0) {
            p->named = 1;
        } else if (errno != EEXIST) {
            return -1;
        }
    }

    return p->named ? 0 : -1;
}


static int
replace_commit(agent_replace_t *p, int exclusive)
{
    if (p->placed) {
        return 0;
    }

    /* The file gets its final name at once where no other file has it. */
    if (!p->named && (exclusive || !p->exists)) {
        if (replace_link(p, p->name) == 0) {
            return 0;
        }

        if (exclusive || errno != EEXIST) {
            return -1;
        }
    }

    if (replace_link_temp(p) == -1
        || renameat2(p->dir, p->temp, p->dir, p->name,
                     exclusive ? RENAME_NOREPLACE : 0)
               == -1)
    {
        return -1;
    }

    /* if both names were links of one file, the temporary one still exists */
    return 0;
}


int
agent_replace_commit(agent_replace_t *p, int exclusive)
{
    int rc, err;

    rc = replace_lock(p) == -1 ? -1 : replace_commit(p, exclusive);
    err = errno;
    agent_replace_abort(p);
    errno = err;

    return rc;
}


void
agent_replace_abort(agent_replace_t *p)
{
    if (p->named) {
        unlinkat(p->dir, p->temp, 0);
        p->named = 0;
    }

    if (p->locked) {
        agent_unlock();
        p->locked = 0;
    }

    if (p->fd != -1) {
        close(p->fd);
        p->fd = -1;
    }

    if (p->dir != -1) {
        close(p->dir);
        p->dir = -1;
    }
}
