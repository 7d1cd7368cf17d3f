/* Reading a memory ahead; see the header. */

#define _GNU_SOURCE

#include "sandbox_memory_ahead.h"
#include "sandbox_hv.h"

#include <fcntl.h>
#include <unistd.h>

/* Two pieces are under way at most, behind which other reads wait. */
#define AHEAD_PIECE 262144

/*
 * One posix_fadvise() reads no more than the disk's read_ahead_kb, 128 unless
 * somebody has set it, or its largest transfer.
 */
#define AHEAD_STEP 131072


/* The next piece from at on: its beginning and its end, or -1. */
static off_t
ahead_next(int fd, off_t at, off_t *end)
{
    at = lseek(fd, at, SEEK_DATA);
    if (at == -1) {
        return -1;
    }

    *end = lseek(fd, at, SEEK_HOLE);
    if (*end <= at) {
        return -1;
    }

    if (*end - at > AHEAD_PIECE) {
        *end = at + AHEAD_PIECE;
    }

    return at;
}


static int
ahead_begin(int fd, off_t at, off_t end)
{
    off_t len;

    for (; at < end; at += len) {
        len = end - at < AHEAD_STEP ? end - at : AHEAD_STEP;

        if (posix_fadvise(fd, at, len, POSIX_FADV_WILLNEED) != 0) {
            return -1;
        }
    }

    return 0;
}


static void *
ahead_read(void *data)
{
    sandbox_memory_ahead_t *ahead = data;
    char byte;
    off_t at, end, before;

    before = -1;

    for (at = 0; !__atomic_load_n(&ahead->stop, __ATOMIC_RELAXED); at = end) {
        at = ahead_next(ahead->fd, at, &end);

        if (at == -1 || ahead_begin(ahead->fd, at, end) != 0
            || (before != -1 && pread(ahead->fd, &byte, 1, before) != 1))
        {
            break;
        }

        before = end - 1;
    }

    return NULL;
}


void
sandbox_memory_ahead(sandbox_memory_ahead_t *ahead, const char *path)
{
    ahead->stop = 0;
    ahead->fd = open(path, O_RDONLY | O_CLOEXEC);

    if (ahead->fd == -1) {
        return;
    }

    /* waiting for one byte reads that page only */
    (void) posix_fadvise(ahead->fd, 0, 0, POSIX_FADV_RANDOM);

    if (sandbox_hv_thread(&ahead->thread, ahead_read, ahead) != 0) {
        (void) close(ahead->fd);
        ahead->fd = -1;
    }
}


void
sandbox_memory_ahead_end(sandbox_memory_ahead_t *ahead)
{
    if (ahead->fd == -1) {
        return;
    }

    __atomic_store_n(&ahead->stop, 1, __ATOMIC_RELAXED);
    (void) pthread_join(ahead->thread, NULL);
    (void) close(ahead->fd);
    ahead->fd = -1;
}
