/*
 * Draining of pipes; see the header.
 *
 * splice() moves the data to /dev/null inside the kernel.  And it does not wait
 * even if the worker that has sent us the pipe, and so shares its flags, clears
 * O_NONBLOCK.
 */

#define _GNU_SOURCE

#include "sandbox_memory_drain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DRAIN_SUFFIX ".fifo"
#define DRAIN_NAME_SIZE 128

/* Bytes of one pipe at once: other pipes and clients have their turn, too. */
#define DRAIN_PIECE 1048576

typedef struct {
    int fd;
    dev_t dev;
    ino_t ino;
    unsigned long long bytes;
    char name[DRAIN_NAME_SIZE]; /* of a pipe found by look(); else empty */
} drain_pipe_t;

static drain_pipe_t drain_pipes[MEMORY_DRAIN_MAX];
static size_t drain_count;
static int drain_null = -1;


int
memory_drain_init(void)
{
    drain_null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    return drain_null == -1 ? -1 : 0;
}


static void
drain_close(drain_pipe_t *pipe)
{
    (void) close(pipe->fd);
    *pipe = drain_pipes[--drain_count];
}


void
memory_drain_exit(void)
{
    while (drain_count) {
        drain_close(&drain_pipes[drain_count - 1]);
    }

    (void) close(drain_null);
}


static int
drain_has(const struct stat *st)
{
    size_t i;

    for (i = 0; i < drain_count; i++) {
        if (drain_pipes[i].ino == st->st_ino
            && drain_pipes[i].dev == st->st_dev) {
            return 1;
        }
    }

    return 0;
}


/* Reads a piece of a pipe, and closes the pipe at its end. */
static void
drain_step(drain_pipe_t *pipe)
{
    int error;
    ssize_t n;

    n = splice(pipe->fd, NULL, drain_null, NULL, DRAIN_PIECE,
               SPLICE_F_NONBLOCK);
    error = n == -1 ? errno : 0;

    if (n > 0) {
        pipe->bytes += (unsigned long long) n;
        return;
    }

    if (error == EAGAIN || error == EINTR) {
        return;
    }

    if (error) {
        (void) fprintf(stderr, "sandbox-memory: a pipe cannot be read: %s\n",
                       strerror(error));
    }

    /* an abandoned pipe is found again at each look, but empty: not logged */
    if (pipe->name[0] != '\0' && pipe->bytes) {
        (void) fprintf(stderr,
                       "sandbox-memory: %s had no reader; %llu bytes were read "
                       "and dropped\n",
                       pipe->name, pipe->bytes);
    }

    drain_close(pipe);
}


/*
 * Reads at once: poll() does not report the end of a pipe that has had no
 * writer since it was opened.
 */
static void
drain_add(int fd, const struct stat *st, const char *name)
{
    drain_pipe_t *pipe;

    pipe = &drain_pipes[drain_count++];

    pipe->fd = fd;
    pipe->dev = st->st_dev;
    pipe->ino = st->st_ino;
    pipe->bytes = 0;
    (void) snprintf(pipe->name, sizeof(pipe->name), "%s", name);

    drain_step(pipe);
}


int
memory_drain_take(int fd, const char **why)
{
    int flags;
    struct stat st;

    flags = fcntl(fd, F_GETFL);

    if (flags == -1 || fstat(fd, &st) == -1 || !S_ISFIFO(st.st_mode)) {
        *why = "what is to be drained is no pipe";
        return -1;
    }

    /* a descriptor that could write to the pipe would never see its end */
    if ((flags & O_ACCMODE) != O_RDONLY || !(flags & O_NONBLOCK)) {
        *why = "the descriptor is not a read-only, non-blocking end of a "
               "pipe";
        return -1;
    }

    if (drain_has(&st)) {
        (void) close(fd);
        return 0;
    }

    if (drain_count == MEMORY_DRAIN_MAX) {
        *why = "too many pipes are being drained";
        return -1;
    }

    drain_add(fd, &st, "");
    return 0;
}


/* A reader holds a lock on its pipe, as we do; it ends with the reader. */
static void
drain_look(int dir, const char *name)
{
    int fd;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1
        || !S_ISFIFO(st.st_mode) || drain_has(&st))
    {
        return;
    }

    fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    /* the name may belong to another file by now */
    if (fstat(fd, &st) == -1 || !S_ISFIFO(st.st_mode) || drain_has(&st)
        || flock(fd, LOCK_EX | LOCK_NB) == -1)
    {
        (void) close(fd);
        return;
    }

    drain_add(fd, &st, name);
}


void
memory_drain_look(const char *directory)
{
    DIR *dir;
    size_t len;
    struct dirent *entry;

    /* opened each time: it may be mounted after we have started */
    dir = opendir(directory);
    if (dir == NULL) {
        return;
    }

    while (drain_count < MEMORY_DRAIN_MAX && (entry = readdir(dir)) != NULL) {
        len = strlen(entry->d_name);

        if (len >= sizeof(DRAIN_SUFFIX)
            && strcmp(entry->d_name + len - (sizeof(DRAIN_SUFFIX) - 1),
                      DRAIN_SUFFIX)
                   == 0)
        {
            drain_look(dirfd(dir), entry->d_name);
        }
    }

    (void) closedir(dir);
}


size_t
memory_drain_wait(struct pollfd *waits)
{
    size_t i;

    for (i = 0; i < drain_count; i++) {
        waits[i].fd = drain_pipes[i].fd;
        waits[i].events = POLLIN;
        waits[i].revents = 0;
    }

    return drain_count;
}


void
memory_drain_read(const struct pollfd *waits, size_t n)
{
    /* backwards: the last pipe takes the place of one that is closed */
    while (n--) {
        if (waits[n].revents) {
            drain_step(&drain_pipes[n]);
        }
    }
}
