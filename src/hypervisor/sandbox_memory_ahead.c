/*
 * Reading ahead what a machine is about to touch.  Run from a file of the
 * directory of disks, a page that is not in the page cache stops it until the
 * disk has answered, a few at a time; while its QEMU starts the disk is idle.
 */

#define _GNU_SOURCE

#include "sandbox_memory.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The kernel takes no more at once. */
#define AHEAD_PIECE 131072

/* Some 0.1 s of a disk; what a small machine has in all. */
#define AHEAD_MAX (192 * 1048576LL)


/* 0: that is all. */
static int
ahead_piece(sandbox_memory_ahead_t *ahead, off_t *at, off_t *hole)
{
    if (*at >= *hole) {
        *at = lseek(ahead->fd, *at, SEEK_DATA);
        *hole = *at == -1 ? -1 : lseek(ahead->fd, *at, SEEK_HOLE);
    }

    return *at < *hole && readahead(ahead->fd, *at, AHEAD_PIECE) == 0;
}


static void *
ahead_read(void *data)
{
    off_t at, hole;
    int64_t left;
    sandbox_memory_ahead_t *ahead = data;

    at = 0;
    hole = 0;

    for (left = AHEAD_MAX; left > 0; left -= AHEAD_PIECE) {
        if (__atomic_load_n(&ahead->stop, __ATOMIC_RELAXED)
            || !ahead_piece(ahead, &at, &hole))
        {
            break;
        }

        at += AHEAD_PIECE;
    }

    return NULL;
}


void
sandbox_memory_ahead(sandbox_memory_ahead_t *ahead, const char *name)
{
    char path[SANDBOX_HV_PATH_SIZE];

    memset(ahead, 0, sizeof(*ahead));

    ahead->fd = name && sandbox_disk_path(path, name) == 0
                    ? open(path, O_RDONLY | O_CLOEXEC)
                    : -1;

    ahead->reading =
        ahead->fd != -1
        && sandbox_hv_thread(&ahead->thread, ahead_read, ahead) == 0;
}


void
sandbox_memory_ahead_end(sandbox_memory_ahead_t *ahead)
{
    __atomic_store_n(&ahead->stop, 1, __ATOMIC_RELAXED);

    if (ahead->reading) {
        (void) pthread_join(ahead->thread, NULL);
        ahead->reading = 0;
    }

    if (ahead->fd != -1) {
        (void) close(ahead->fd);
        ahead->fd = -1;
    }
}
