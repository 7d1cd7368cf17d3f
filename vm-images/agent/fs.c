/* Access to the guest's files; see the header.  Must not know requests. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs.h"
#include "sandbox_time.h"
#include "small_file.h"
#include "user.h"

#define FS_ATTEMPTS 16 /* openat2() fails if names change meanwhile */

static char fs_root[SANDBOX_PATH_MAX] = "/";


void
agent_fs_set_root(const char *path)
{
    snprintf(fs_root, sizeof(fs_root), "%s", path);
}


int
agent_fs_root(void)
{
    return open(fs_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
}


int
agent_fs_open(int root, const char *path, int flags, mode_t mode)
{
    int fd, i;
    struct open_how how;

    memset(&how, 0, sizeof(how));
    how.flags = (uint64_t) (unsigned) (flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
        how.mode = mode;
    }

    for (i = 0; i < FS_ATTEMPTS; i++) {
        fd = (int) syscall(SYS_openat2, root, path[0] ? path : ".", &how,
                           sizeof(how));
        if (fd != -1 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }

    return fd;
}


int
agent_fs_parent(int root, const char *path, const char **name)
{
    char dir[SANDBOX_PATH_MAX];
    const char *slash;

    slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;

    if ((size_t) (*name - path) >= sizeof(dir)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    memcpy(dir, path, *name - path);
    dir[*name - path] = '\0';

    return agent_fs_open(root, dir, O_PATH | O_DIRECTORY, 0);
}


void
agent_fs_above(char above[SANDBOX_PATH_MAX], const char *path)
{
    char *slash;

    snprintf(above, SANDBOX_PATH_MAX, "%s", path);

    slash = strrchr(above, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
}


static int
fs_mkdir_in(int dir, const char *name, mode_t mode, int own)
{
    if (name[0] == '\0') {
        return 0;
    }

    if (!own && agent_fs_is_private_at(dir, name)) {
        errno = EPERM;
        return -1;
    }

    return mkdirat(dir, name, mode);
}


/* Makes one directory at a time, each looked up anew below the root. */
static int
fs_mkdirs(int root, const char *path, mode_t mode, int own)
{
    int dir, err, rc;
    size_t len;
    const char *name;
    char part[SANDBOX_PATH_MAX];

    for (len = 0; path[len] != '\0';) {
        len += path[len] == '/';
        len += strcspn(path + len, "/");

        if (len >= sizeof(part)) {
            errno = ENAMETOOLONG;
            return -1;
        }

        memcpy(part, path, len);
        part[len] = '\0';

        dir = agent_fs_parent(root, part, &name);
        if (dir == -1) {
            return -1;
        }

        rc = fs_mkdir_in(dir, name, mode, own);
        err = errno;
        close(dir);

        if (rc == -1 && err != EEXIST) {
            errno = err;
            return -1;
        }
    }

    dir = agent_fs_open(root, path, O_PATH | O_DIRECTORY, 0);
    if (dir == -1) {
        return -1;
    }

    close(dir);

    return 0;
}


int
agent_fs_mkdirs(int root, const char *path, mode_t mode)
{
    return fs_mkdirs(root, path, mode, 0);
}


int
agent_fs_mkdirs_own(int root, const char *path, mode_t mode)
{
    return fs_mkdirs(root, path, mode, 1);
}


/* Sets *mode to that of an existing directory; EEXIST if it is none. */
static int
fs_mkdir_there(int root, const char *path, mode_t *mode)
{
    int dir, err, rc;
    struct stat st;

    dir = agent_fs_open(root, path, O_PATH | O_DIRECTORY, 0);
    if (dir == -1) {
        errno = EEXIST;
        return -1;
    }

    rc = -1;
    errno = EPERM;

    if (!agent_fs_is_private(dir) && fstat(dir, &st) == 0) {
        *mode = st.st_mode;
        rc = 0;
    }

    err = errno;
    close(dir);
    errno = err;

    return rc;
}


int
agent_fs_mkdir(int root, const char *path, mode_t *mode, int parents)
{
    int dir, rc, err;
    mode_t mask;
    const char *name;
    char above[SANDBOX_PATH_MAX];

    if (parents) {
        agent_fs_above(above, path);

        if (agent_fs_mkdirs(root, above, 0755) == -1) {
            return -1;
        }
    }

    dir = agent_fs_parent(root, path, &name);
    if (dir == -1) {
        return -1;
    }

    rc = -1;
    err = EEXIST; /* the root */

    if (name[0] != '\0') {
        if (agent_fs_is_private_at(dir, name)) {
            err = EPERM;
        } else {
            mask = umask(0);
            rc = mkdirat(dir, name, *mode);
            err = errno;
            umask(mask);
        }
    }

    close(dir);

    if (rc == -1 && err == EEXIST && parents) {
        return fs_mkdir_there(root, path, mode);
    }

    errno = err;

    return rc == -1 ? -1 : 1;
}


DIR *
agent_fs_list(int dir)
{
    int fd;
    DIR *stream;

    fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1) {
        return NULL;
    }

    stream = fdopendir(fd);
    if (stream == NULL) {
        close(fd);
    }

    return stream;
}


/* Finds what a client wants to read, O_PATH; -1 with errno set. */
static int
fs_find(int root, const char *path)
{
    int fd;

    fd = agent_fs_open(root, path, O_PATH, 0);

    if (fd != -1 && agent_fs_is_private(fd)) {
        close(fd);
        errno = ENOENT;
        return -1;
    }

    return fd;
}


int
agent_fs_open_dir(int root, const char *path)
{
    int fd, err, place;

    place = fs_find(root, path);
    if (place == -1) {
        return -1;
    }

    fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    err = errno;
    close(place);
    errno = err;

    return fd;
}


/*
 * The type of the file is checked before it is opened to read: opening a device
 * may already have an effect.
 */
int
agent_fs_open_file(int root, const char *path, struct stat *st)
{
    int fd, err, place;
    char proc[64];

    place = fs_find(root, path);
    if (place == -1) {
        return -1;
    }

    fd = -1;

    if (fstat(place, st) == 0) {
        if (S_ISREG(st->st_mode)) {
            snprintf(proc, sizeof(proc), "/proc/self/fd/%d", place);
            fd = open(proc, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        } else {
            errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
        }
    }

    err = errno;
    close(place);
    errno = err;

    return fd;
}


static int
fs_place(int fd, char path[SANDBOX_PATH_MAX])
{
    ssize_t n;
    char proc[64];

    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);

    n = readlink(proc, path, SANDBOX_PATH_MAX);
    if (n == -1) {
        return -1;
    }

    if (n == SANDBOX_PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }

    path[n] = '\0';

    return 0;
}


int
agent_fs_where(int root, int fd, char path[SANDBOX_PATH_MAX])
{
    size_t len;
    char top[SANDBOX_PATH_MAX];

    if (fs_place(root, top) == -1 || fs_place(fd, path) == -1) {
        return -1;
    }

    if (path[0] != '/' || !sandbox_path_within(path, top)) {
        errno = ENOENT;
        return -1;
    }

    len = strlen(top);

    if (len > 1) {
        memmove(path, path + len, strlen(path + len) + 1);
        if (path[0] == '\0') {
            snprintf(path, SANDBOX_PATH_MAX, "/");
        }
    }

    return 0;
}


int
agent_fs_is_private(int fd)
{
    return agent_fs_is_private_at(fd, "");
}


/* The present path of a name in the directory dir; 0 or -1, as for dir. */
static int
fs_where_at(int root, int dir, const char *name,
            char path[2 * SANDBOX_PATH_MAX])
{
    char above[SANDBOX_PATH_MAX];

    if (agent_fs_where(root, dir, above) == -1) {
        return -1;
    }

    snprintf(path, 2 * SANDBOX_PATH_MAX, "%s/%s", above[1] ? above : "", name);

    return 0;
}


/*
 * The path of the private directory, which is another than its name where an
 * image has a link for the directory that it is in.
 */
static void
fs_private(int root, char path[2 * SANDBOX_PATH_MAX])
{
    int dir;
    const char *name;

    dir = agent_fs_parent(root, AGENT_FS_PRIVATE, &name);

    if (dir == -1 || fs_where_at(root, dir, name, path) == -1) {
        strcpy(path, AGENT_FS_PRIVATE);
    }

    if (dir != -1) {
        close(dir);
    }
}


int
agent_fs_is_private_at(int dir, const char *name)
{
    int rc, root;
    char path[2 * SANDBOX_PATH_MAX], private[2 * SANDBOX_PATH_MAX];

    root = agent_fs_root();
    if (root == -1) {
        return 1;
    }

    rc = 0;

    if (fs_where_at(root, dir, name, path) == 0) {
        fs_private(root, private);
        rc = sandbox_path_within(path, private);
    }

    close(root);

    return rc;
}


void
agent_fs_etag(char out[AGENT_FS_ETAG_SIZE], const struct stat *st)
{
    snprintf(out, AGENT_FS_ETAG_SIZE, "\"%llx-%llx-%llx%09lx\"",
             (unsigned long long) st->st_ino, (unsigned long long) st->st_size,
             (unsigned long long) st->st_mtim.tv_sec,
             (unsigned long) st->st_mtim.tv_nsec);
}


void
agent_fs_mode(char out[8], mode_t mode)
{
    snprintf(out, 8, "%04o", (unsigned) (mode & 07777));
}


static const char *
fs_type(mode_t mode)
{
    return S_ISREG(mode)   ? "file"
           : S_ISDIR(mode) ? "directory"
           : S_ISLNK(mode) ? "symlink"
                           : "other";
}


static const char *
fs_user(agent_fs_names_t *names, uid_t uid)
{
    char number[16];
    agent_user_t user;

    if (!names->has_user || names->uid != uid) {
        snprintf(number, sizeof(number), "%u", (unsigned) uid);
        names->has_user = 1;
        names->uid = uid;
        names->user[0] = '\0';

        if (agent_user_find(&user, number) == 0
            && strcmp(user.name, number) != 0) {
            snprintf(names->user, sizeof(names->user), "%s", user.name);
        }
    }

    return names->user;
}


static const char *
fs_group(agent_fs_names_t *names, gid_t gid)
{
    FILE *f;
    struct group *gr;

    if (names->has_group && names->gid == gid) {
        return names->group;
    }

    names->has_group = 1;
    names->gid = gid;
    names->group[0] = '\0';

    f = agent_small_file_open("/etc/group");
    if (f == NULL) {
        return names->group;
    }

    while ((gr = fgetgrent(f)) != NULL) {
        if (gr->gr_gid == gid) {
            snprintf(names->group, sizeof(names->group), "%s", gr->gr_name);
            break;
        }
    }

    fclose(f);

    return names->group;
}


void
agent_fs_json(sandbox_text_t *t, const char *path, const struct stat *st,
              int dir, const char *name, agent_fs_names_t *names)
{
    ssize_t n;
    const char *owner;
    char mode[8], at[SANDBOX_TIME_SIZE], target[SANDBOX_PATH_MAX];

    agent_fs_mode(mode, st->st_mode);
    sandbox_time_format(at, (int64_t) st->st_mtim.tv_sec * 1000
                                + st->st_mtim.tv_nsec / 1000000);

    sandbox_text_str(t, "{\"path\":");
    sandbox_text_json_string(t, path, strlen(path));
    sandbox_text_fmt(t,
                     ",\"type\":\"%s\",\"size\":%lld,\"mode\":\"%s\","
                     "\"uid\":%u,\"gid\":%u",
                     fs_type(st->st_mode), (long long) st->st_size, mode,
                     (unsigned) st->st_uid, (unsigned) st->st_gid);

    owner = fs_user(names, st->st_uid);
    if (owner[0] != '\0') {
        sandbox_text_str(t, ",\"user\":");
        sandbox_text_json_string(t, owner, strlen(owner));
    }

    owner = fs_group(names, st->st_gid);
    if (owner[0] != '\0') {
        sandbox_text_str(t, ",\"group\":");
        sandbox_text_json_string(t, owner, strlen(owner));
    }

    sandbox_text_fmt(t, ",\"modified_at\":\"%s\"", at);

    if (S_ISLNK(st->st_mode)) {
        n = readlinkat(dir, name, target, sizeof(target));
        if (n > 0) {
            sandbox_text_str(t, ",\"target\":");
            sandbox_text_json_string(t, target, (size_t) n);
        }
    }

    sandbox_text_str(t, "}");
}


int
agent_fs_write(int fd, const void *data, size_t len)
{
    ssize_t n;
    const char *p = data;

    while (len > 0) {
        n = write(fd, p, len);
        if (n == -1 && errno != EINTR) {
            return -1;
        }

        if (n > 0) {
            p += n;
            len -= (size_t) n;
        }
    }

    return 0;
}
