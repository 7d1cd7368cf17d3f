/* Reading and replacing small files.  Knows nothing of what is in them. */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox_path.h"
#include "small_file.h"

#define SMALL_FILE_MODE 0644
#define SMALL_FILE_IN_PLACE 4096


/* Reads a file to its end: the number of bytes, or -1 with errno set. */
static ssize_t
small_file_read_all(int fd, char *buf, size_t size)
{
    size_t len;
    ssize_t n;

    for (len = 0; len < size; len += (size_t) n) {
        do {
            n = read(fd, buf + len, size - len);
        } while (n == -1 && errno == EINTR);

        if (n == -1) {
            return -1;
        }

        if (n == 0) {
            break;
        }
    }

    return (ssize_t) len;
}


/* Opens a regular file to read; -1 with errno set. */
static int
small_file_open(const char *path)
{
    int fd;
    struct stat st;

    /* Not to be held up by a FIFO somebody put there. */
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }

    return fd;
}


FILE *
agent_small_file_open(const char *path)
{
    int fd, err;
    FILE *f;

    fd = small_file_open(path);
    if (fd == -1) {
        return NULL;
    }

    f = fdopen(fd, "r");
    if (f == NULL) {
        err = errno;
        close(fd);
        errno = err;
    }

    return f;
}


char *
agent_small_file_text(int fd, size_t max)
{
    int err;
    char *text;
    ssize_t n;

    text = malloc(max + 1);
    n = text ? small_file_read_all(fd, text, max) : -1;
    err = errno;
    close(fd);

    if (n == -1) {
        free(text);
        errno = err;
        return NULL;
    }

    text[n] = '\0';

    return text;
}


char *
agent_small_file_read(const char *path, size_t max)
{
    int fd;

    fd = small_file_open(path);

    return fd == -1 ? NULL : agent_small_file_text(fd, max);
}


static int
small_file_write_all(int fd, const char *data, size_t len)
{
    ssize_t n;

    while (len > 0) {
        n = write(fd, data, len);
        if (n == -1) {
            return -1;
        }

        data += n;
        len -= n;
    }

    return 0;
}


static int
small_file_change(int fd, size_t old_len, const char *data, size_t len)
{
    char old[SMALL_FILE_IN_PLACE];

    if (len == old_len && small_file_read_all(fd, old, len) == (ssize_t) len
        && memcmp(old, data, len) == 0)
    {
        return 0;
    }

    if (pwrite(fd, data, len, 0) != (ssize_t) len) {
        return -1;
    }

    return old_len > len ? ftruncate(fd, (off_t) len) : 0;
}


/*
 * What is as a replacement would leave it is changed where it stands, in one
 * write.  That needs no room on a full disk, and runs much less of the kernel
 * than making, renaming and freeing files: in a guest that has just been
 * started from a checkpoint under TCG all of that is yet to be translated.
 */
static int
small_file_overwrite(const char *path, const char *data, size_t len)
{
    int fd, rc;
    struct stat st;

    /* looked at by name first: opening a device may do something */
    if (len > SMALL_FILE_IN_PLACE || lstat(path, &st) == -1
        || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != SMALL_FILE_MODE
        || st.st_uid != geteuid() || st.st_nlink != 1
        || st.st_size > SMALL_FILE_IN_PLACE)
    {
        return -1;
    }

    fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = small_file_change(fd, (size_t) st.st_size, data, len);
    close(fd);

    return rc;
}


static int
small_file_renew(const char *path, const char *data, size_t len)
{
    int fd, rc, err;
    char dir[SANDBOX_PATH_MAX], tmp[SANDBOX_PATH_MAX + 16];

    snprintf(dir, sizeof(dir), "%s", path);
    if (agent_small_file_mkdirs(dirname(dir)) == -1) {
        return -1;
    }

    snprintf(tmp, sizeof(tmp), "%s.sandbox-new", path);
    unlink(tmp);

    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, SMALL_FILE_MODE);
    if (fd == -1) {
        return -1;
    }

    rc = small_file_write_all(fd, data, len);
    err = errno;
    close(fd);

    if (rc == 0) {
        rc = rename(tmp, path);
        err = errno;
    }

    if (rc == -1) {
        unlink(tmp);
        errno = err;
    }

    return rc;
}


int
agent_small_file_replace(const char *path, const char *data, size_t len)
{
    return small_file_overwrite(path, data, len) == 0
               ? 0
               : small_file_renew(path, data, len);
}


int
agent_small_file_mkdirs(const char *path)
{
    char *p;
    char buf[SANDBOX_PATH_MAX];

    if (snprintf(buf, sizeof(buf), "%s", path) >= (int) sizeof(buf)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    for (p = buf + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        if (mkdir(buf, 0755) == -1 && errno != EEXIST) {
            return -1;
        }

        *p = '/';
    }

    return mkdir(buf, 0755) == -1 && errno != EEXIST ? -1 : 0;
}
