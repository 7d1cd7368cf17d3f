/*
 * The content of a memory file: copied from and to the directory of disks
 * without its zeroes, and its pages of zeroes given back.
 *
 * A start does not wait for its copy: QEMU maps the file while a thread fills
 * it.  That is right because a machine that waits for its state (-incoming
 * defer) neither reads nor writes its memory: there is no firmware in it, and
 * what QEMU would load at reset is skipped in that state.  The start waits for
 * the thread before the state is received; a test checks that QEMU has mapped
 * no page by then.
 */

#define _GNU_SOURCE

#include "sandbox_memory.h"
#include "sandbox_crash.h"
#include "sandbox_time.h"
#include "sandbox_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_PIECE 131072 /* stays in the processor's cache */

/*
 * The largest memory that a start copies, in bytes of blocks: at some 2 GB/s,
 * and the copy takes room.  A machine with a larger one runs from the disk, and
 * stands still while a checkpoint of it is taken.
 */
#define MEMORY_COPY_MAX (192 * 1048576LL)

/* How long a start waits for another start's copying. */
#define MEMORY_WAIT_MS 5000


int
sandbox_memory_is_zero(const unsigned char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, SANDBOX_MEMORY_PAGE - 1) == 0;
}


/* Handles one run of pages that are all zero, or all not. */
static int
memory_run(const sandbox_memory_walk_t *walk, const unsigned char *data,
           size_t len, off_t at, int zero)
{
    if (!zero) {
        return walk->to == -1 ? 0 : sandbox_write(walk->to, data, len, at);
    }

    return walk->punch ? fallocate(walk->from,
                                   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   at, (off_t) len)
                       : 0;
}


static int
memory_piece(const sandbox_memory_walk_t *walk, const unsigned char *data,
             size_t len, off_t at)
{
    int zero, now;
    size_t i, begin;

    begin = 0;
    zero = sandbox_memory_is_zero(data);

    for (i = SANDBOX_MEMORY_PAGE; i <= len; i += SANDBOX_MEMORY_PAGE) {
        now = i < len ? sandbox_memory_is_zero(data + i) : !zero;

        if (now != zero) {
            if (memory_run(walk, data + begin, i - begin, at + (off_t) begin,
                           zero)
                != 0) {
                return -1;
            }

            begin = i;
            zero = now;
        }
    }

    return 0;
}


/*
 * Reads the file and does not map it, which would fill the holes of a tmpfs.  A
 * hole counts as zeroes when punching: on tmpfs it may have allocated pages.
 */
int
sandbox_memory_walk(const sandbox_memory_walk_t *walk)
{
    int rc;
    off_t at;
    ssize_t n;
    unsigned char *data;

    rc = -1;
    data = malloc(MEMORY_PIECE);

    for (at = 0; data; at += n) {
        /* skip holes, unless pages are to be given back: see above */
        if (!walk->punch) {
            at = lseek(walk->from, at, SEEK_DATA);

            if (at == -1) {
                rc = errno == ENXIO ? 0 : -1;
                break;
            }

            at -= at % SANDBOX_MEMORY_PAGE;
        }

        n = pread(walk->from, data, MEMORY_PIECE, at);

        if (n <= 0 || n % SANDBOX_MEMORY_PAGE != 0) {
            rc = n == 0 ? 0 : -1;
            break;
        }

        if (memory_piece(walk, data, (size_t) n, at) != 0) {
            break;
        }
    }

    free(data);
    return rc;
}


int
sandbox_memory_punch(int fd)
{
    sandbox_memory_walk_t walk = { fd, 1, -1 };

    return sandbox_memory_walk(&walk);
}


sandbox_hv_status_t
sandbox_memory_store(int fd, const char *name, int64_t mb,
                     sandbox_hv_error_t *err)
{
    int rc;
    char path[SANDBOX_HV_PATH_SIZE];
    sandbox_memory_walk_t walk = { fd, 1, -1 };

    rc = -1;
    errno = ENAMETOOLONG;

    if (sandbox_disk_path(path, name) == 0) {
        walk.to = open(path, O_WRONLY | O_CLOEXEC);
    }

    if (walk.to != -1) {
        rc = sandbox_memory_walk(&walk);
        if (rc == 0) {
            rc = ftruncate(walk.to, mb * 1048576);
        }
    }

    if (rc == -1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY,
                              "\"%s\" cannot be written: %s", name,
                              strerror(errno));
    } else {
        (void) sandbox_hv_ok(err);
    }

    if (walk.to != -1) {
        (void) close(walk.to);
    }

    return err->status;
}


/*
 * Makes the file under its final name, because QEMU opens it by that, but as a
 * draft, which no other process uses.  An existing file is not replaced, even
 * the draft of a process that died: a machine may have it mapped.
 */
static int
copy_open(sandbox_memory_start_t *start, const char *name, int64_t mb)
{
    char from[SANDBOX_HV_PATH_SIZE];
    struct stat st;
    sandbox_hv_error_t ignored;

    if (sandbox_memory_length(name) != -1 || sandbox_disk_path(from, name) != 0)
    {
        return -1;
    }

    start->from = open(from, O_RDONLY | O_CLOEXEC);

    if (start->from == -1 || fstat(start->from, &st) == -1
        || st.st_size != mb * 1048576 || st.st_blocks * 512LL > MEMORY_COPY_MAX)
    {
        return -1;
    }

    start->fd = sandbox_memory_create(start->path, mb, 0, &ignored);

    if (start->fd != -1 && !sandbox_memory_fits()) {
        (void) unlink(start->path);
        (void) close(start->fd);
        start->fd = -1;
    }

    return start->fd == -1 ? -1 : 0;
}


/* Closes what only the copying needs; the next copying may begin. */
static void
copy_close(sandbox_memory_start_t *start)
{
    if (start->from != -1) {
        (void) close(start->from);
        start->from = -1;
    }

    if (start->turn != -1) {
        (void) close(start->turn);
        start->turn = -1;
    }
}


/* Fills the file; unlinks it if that fails. */
static void *
copy_fill(void *data)
{
    sandbox_memory_start_t *start = data;
    sandbox_memory_walk_t walk = { start->from, 0, start->fd };

    SANDBOX_CRASH_POINT("memory.copy.before");

    start->failed =
        sandbox_memory_walk(&walk) != 0 || fchmod(start->fd, 0660) == -1;

    if (start->failed) {
        start->error = errno;
        (void) unlink(start->path);
    }

    copy_close(start);
    return NULL;
}


/* The lock for copying, one at a time: others wait, and find the copy then. */
static int
copy_turn(void)
{
    int fd;
    char path[SANDBOX_HV_PATH_SIZE];

    if (sandbox_memory_directory(path) != 0) {
        return -1;
    }

    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd != -1 && sandbox_memory_lock(fd, LOCK_EX, MEMORY_WAIT_MS) != 0) {
        (void) close(fd);
        fd = -1;
    }

    return fd;
}


/* In ms: a memory that is on disk as well need not be waited for long. */
static int64_t
copy_patience(const char *name, int64_t deadline_ms)
{
    char path[SANDBOX_HV_PATH_SIZE];

    return sandbox_disk_path(path, name) == 0 && access(path, F_OK) == -1
                   && errno == ENOENT
               ? deadline_ms - sandbox_time_monotonic_ms()
               : SANDBOX_MEMORY_HOLD_MS;
}


void
sandbox_memory_start(sandbox_memory_start_t *start, sandbox_hv_conn_t *conn,
                     const char *name, int64_t mb, int copy,
                     int64_t deadline_ms)
{
    memset(start, 0, sizeof(*start));
    start->fd = -1;
    start->from = -1;
    start->turn = -1;

    if (!sandbox_hv_is_local() || !sandbox_memory_usable(conn)) {
        return;
    }

    start->fd = sandbox_memory_hold(name, mb, copy_patience(name, deadline_ms),
                                    start->path);
    if (start->fd != -1 || !copy) {
        return;
    }

    start->turn = copy_turn();
    if (start->turn == -1) {
        return;
    }

    start->fd =
        sandbox_memory_hold(name, mb, SANDBOX_MEMORY_HOLD_MS, start->path);

    if (start->fd != -1 || copy_open(start, name, mb) != 0) {
        copy_close(start);
        return;
    }

    start->copying = sandbox_hv_thread(&start->thread, copy_fill, start) == 0;

    if (!start->copying) {
        (void) copy_fill(start);
    }
}


sandbox_hv_status_t
sandbox_memory_whole(sandbox_memory_start_t *start, sandbox_hv_error_t *err)
{
    if (start->copying) {
        (void) pthread_join(start->thread, NULL);
        start->copying = 0;
    }

    if (start->failed) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" cannot be filled: %s", start->path,
                              strerror(start->error));
    }

    return sandbox_hv_ok(err);
}


void
sandbox_memory_started(sandbox_memory_start_t *start)
{
    sandbox_hv_error_t ignored;

    (void) sandbox_memory_whole(start, &ignored);

    if (start->fd != -1) {
        (void) close(start->fd);
        start->fd = -1;
    }
}
