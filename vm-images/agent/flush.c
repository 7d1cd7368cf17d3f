/* Writing the file systems to the disk; see the header. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flush.h"
#include "reap.h"

typedef struct {
    agent_child_t child;
    void (*done)(void *data, int err);
    void *data;
} flush_t;


/*
 * The root last: what is mounted from a file on it becomes the root's to
 * write.  It is also the one that says whether it could: syncfs() tells of
 * errors since the root was opened, and fsync() of an ext4 that Linux has shut
 * down because its disk is gone (6.12), which syncfs() does not.
 */
static int
flush_all(void)
{
    int fd, rc, err;

    fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    sync();
    rc = syncfs(fd) == 0 ? fsync(fd) : -1;
    err = errno;
    close(fd);
    errno = err;

    return rc;
}


static void
flush_exited(void *data, int status)
{
    int err;
    flush_t *f = data;

    err = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    f->done(f->data, err);
    free(f);
}


/* The connections and pipes of the agent end when the agent says so. */
static void __attribute__((noreturn)) flush_run(void)
{
    close_range(0, ~0U, 0);

    _exit(flush_all() == 0 ? 0 : errno);
}


int
agent_flush(void (*done)(void *data, int err), void *data)
{
    flush_t *f;

    f = malloc(sizeof(*f));
    if (f == NULL) {
        return -1;
    }

    f->done = done;
    f->data = data;
    f->child.exited = flush_exited;
    f->child.data = f;
    f->child.pid = fork();

    if (f->child.pid == 0) {
        flush_run();
    }

    if (f->child.pid == -1) {
        free(f);
        return -1;
    }

    agent_reap_watch(&f->child);

    return 0;
}
