/* The QEMU process of a machine; see the header. */

#define _GNU_SOURCE

#include "sandbox_memory_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROCESS_ID_MAX 63

/* Bytes of the command line that are read: it has some kilobytes in all. */
#define PROCESS_CMDLINE_MAX 16384


int
memory_process_id(const char *id)
{
    size_t len;

    len = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return len > 0 && len <= PROCESS_ID_MAX && id[len] == '\0';
}


/* The first bytes of a file, with a NUL behind them; -1 with errno. */
static ssize_t
process_read(int dir, const char *name, char *text, size_t size)
{
    int fd, error;
    size_t len;
    ssize_t n;

    fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    len = 0;

    do {
        n = read(fd, text + len, size - 1 - len);
        len += n > 0 ? (size_t) n : 0;
    } while (n > 0 && len < size - 1);

    error = errno;
    (void) close(fd);
    errno = error;

    text[len] = '\0';
    return n == -1 ? -1 : (ssize_t) len;
}


/* The pid that libvirt has noted, or -1 with errno. */
static long
process_pid(const char *pids, const char *id)
{
    int n;
    long pid;
    char *end;
    char path[PATH_MAX], text[32];

    n = snprintf(path, sizeof(path), "%s/%s.pid", pids, id);

    if (n < 0 || (size_t) n >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    if (process_read(AT_FDCWD, path, text, sizeof(text)) == -1) {
        return -1;
    }

    errno = 0;
    end = text;
    pid = text[0] >= '1' && text[0] <= '9' ? strtol(text, &end, 10) : 0;

    if (pid <= 0 || pid > INT_MAX || errno != 0
        || strcmp(end, *end == '\n' ? "\n" : "") != 0)
    {
        errno = EINVAL;
        return -1;
    }

    return pid;
}


/* 1 if the process's arguments name this machine, else 0; -1 with errno. */
static int
process_named(int dir, const char *id)
{
    ssize_t len;
    size_t n;
    const char *arg, *before;
    char wanted[sizeof("guest=") + PROCESS_ID_MAX];
    char text[PROCESS_CMDLINE_MAX];

    len = process_read(dir, "cmdline", text, sizeof(text));
    if (len == -1) {
        return -1;
    }

    n = (size_t) snprintf(wanted, sizeof(wanted), "guest=%s", id);
    before = "";

    for (arg = text; arg < text + len; arg += strlen(arg) + 1) {
        if (strcmp(before, "-name") == 0 && strncmp(arg, wanted, n) == 0
            && (arg[n] == '\0' || arg[n] == ','))
        {
            return 1;
        }

        before = arg;
    }

    return 0;
}


static int
process_check(int dir, const char *id, char *why, size_t size)
{
    switch (process_named(dir, id)) {
    case 1:
        return 0;
    case 0:
        (void) snprintf(why, size, "its process is another one");
        return -1;
    default:
        (void) snprintf(why, size, "its process: %s", strerror(errno));
        return -1;
    }
}


static int
process_open(int dir, const char *id, int fds[MEMORY_PROCESS_FILES], char *why,
             size_t size)
{
    int i;
    uid_t user;
    struct stat st;
    static const char *const names[] = { "maps", "pagemap", "mem" };

    user = geteuid();

    if (fstat(dir, &st) == -1 || (user != 0 && st.st_uid != user)) {
        (void) snprintf(why, size, "its process is another user's");
        return -1;
    }

    if (process_check(dir, id, why, size) != 0) {
        return -1;
    }

    for (i = 0; i < MEMORY_PROCESS_FILES; i++) {
        fds[i] = openat(dir, names[i], O_RDONLY | O_CLOEXEC);

        if (fds[i] == -1) {
            (void) snprintf(why, size, "%s of its process: %s", names[i],
                            strerror(errno));
            return -1;
        }
    }

    /* the process may have executed another program meanwhile */
    return process_check(dir, id, why, size);
}


int
memory_process_open(const char *pids, const char *id,
                    int fds[MEMORY_PROCESS_FILES], char *why, size_t size)
{
    int i, dir, rc;
    long pid;
    char path[32];

    for (i = 0; i < MEMORY_PROCESS_FILES; i++) {
        fds[i] = -1;
    }

    pid = process_pid(pids, id);
    if (pid == -1) {
        (void) snprintf(why, size, "its pid: %s", strerror(errno));
        return -1;
    }

    /* all files are opened below dir: the pid may be reused meanwhile */
    (void) snprintf(path, sizeof(path), "/proc/%ld", pid);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir == -1) {
        (void) snprintf(why, size, "its process: %s", strerror(errno));
        return -1;
    }

    rc = process_open(dir, id, fds, why, size);
    (void) close(dir);

    for (i = 0; rc != 0 && i < MEMORY_PROCESS_FILES; i++) {
        if (fds[i] != -1) {
            (void) close(fds[i]);
            fds[i] = -1;
        }
    }

    return rc;
}
