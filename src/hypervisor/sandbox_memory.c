/* Memory files on tmpfs; see the header. */

#define _GNU_SOURCE

#include "sandbox_memory.h"
#include "sandbox_time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MEMORY_FIFO ".fifo"
#define MEMORY_PIPE ".pipe" /* of a pipe that is being made */

#define MEMORY_HUGE (2 * 1048576LL)

/* Bytes that stay free, for other files here and for the kernel's pages. */
#define MEMORY_MARGIN (16 * 1048576LL)
#define MEMORY_POLL_MS 5


int
sandbox_memory_directory(char *path)
{
    int n;

    n = snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/memory",
                 sandbox_hv_conf()->data_dir);

    return n < 0 || n >= SANDBOX_HV_PATH_SIZE ? -1 : 0;
}


/* 0 or -1; path: SANDBOX_HV_PATH_SIZE. */
static int
memory_path(char *path, const char *name, const char *suffix)
{
    int n;

    n = snprintf(path, SANDBOX_HV_PATH_SIZE, "%s/memory/%s%s",
                 sandbox_hv_conf()->data_dir, name, suffix);

    return n < 0 || n >= SANDBOX_HV_PATH_SIZE ? -1 : 0;
}


/* Logs once in a process: the directory does not change while a node serves. */
static void
memory_missing(const char *why)
{
    static int said;

    if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED)) {
        sandbox_hv_log(SANDBOX_HV_LOG_WARN,
                       "sandboxes stand still while they are copied: the "
                       "directory of memories %s",
                       why);
    }
}


int
sandbox_memory_usable(sandbox_hv_conn_t *conn)
{
    char path[SANDBOX_HV_PATH_SIZE];
    struct stat st;
    struct statfs fs;

    if (sandbox_memory_directory(path) != 0 || stat(path, &st) == -1
        || statfs(path, &fs) == -1)
    {
        memory_missing("is not there");
        return 0;
    }

    if (fs.f_type != TMPFS_MAGIC) {
        memory_missing("is no tmpfs");
        return 0;
    }

    if (!(st.st_mode & S_ISGID) || (long) st.st_gid != conn->facts.group
        || access(path, R_OK | W_OK | X_OK) == -1)
    {
        memory_missing("is not the worker's, of QEMU's group and setgid");
        return 0;
    }

    return 1;
}


int
sandbox_memory_lock(int fd, int how, int64_t ms)
{
    int64_t deadline_ms;

    deadline_ms = sandbox_time_monotonic_ms() + ms;

    while (flock(fd, how | LOCK_NB) == -1) {
        if (sandbox_time_monotonic_ms() >= deadline_ms) {
            return -1;
        }

        sandbox_hv_sleep_ms(MEMORY_POLL_MS);
    }

    return 0;
}


/*
 * Locks the open file, unless it was removed meanwhile or others hold it locked
 * for ms: fd or -1.
 */
static int
memory_held(int fd, int64_t ms)
{
    struct stat st;

    if (fd != -1
        && (sandbox_memory_lock(fd, LOCK_SH, ms) != 0 || fstat(fd, &st) == -1
            || st.st_nlink == 0))
    {
        (void) close(fd);
        return -1;
    }

    return fd;
}


int
sandbox_memory_hold(const char *name, int64_t mb, int64_t ms, char *path)
{
    int fd;
    struct stat st;

    if (memory_path(path, name, "") != 0) {
        return -1;
    }

    fd = memory_held(open(path, O_RDWR | O_CLOEXEC), ms);

    if (fd != -1
        && (fstat(fd, &st) == -1 || st.st_size != mb * 1048576
            || (st.st_mode & SANDBOX_MEMORY_DRAFT)))
    {
        (void) close(fd);
        fd = -1;
    }

    /* the tidying looks at the time of the last use */
    if (fd != -1) {
        (void) futimens(fd, NULL);
    }

    return fd;
}


int
sandbox_memory_create(const char *path, int64_t mb, int whole,
                      sandbox_hv_error_t *err)
{
    int fd;

    (void) unlink(path);
    fd = memory_held(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
                     SANDBOX_MEMORY_HOLD_MS);

    if (fd == -1) {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" cannot be made: %s", path,
                              strerror(errno));
        return -1;
    }

    if (fchmod(fd, whole ? 0660 : 0660 | SANDBOX_MEMORY_DRAFT) == -1
        || ftruncate(fd, mb * 1048576) == -1)
    {
        (void) sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "\"%s\" cannot be made: %s", path,
                              strerror(errno));
        (void) unlink(path);
        (void) close(fd);
        return -1;
    }

    (void) sandbox_hv_ok(err);
    return fd;
}


/* Bytes of all holes in the files of the directory; -1: unknown. */
static int64_t
memory_promised(const char *path)
{
    DIR *dir;
    int64_t holes;
    struct stat st;
    struct dirent *entry;

    holes = 0;
    dir = opendir(path);

    if (dir == NULL) {
        return -1;
    }

    while (errno = 0, (entry = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
            && S_ISREG(st.st_mode) && st.st_size > st.st_blocks * 512LL)
        {
            holes += st.st_size - st.st_blocks * 512LL;
        }
    }

    if (errno != 0) {
        holes = -1;
    }

    (void) closedir(dir);
    return holes;
}


/*
 * Holes may be filled or made meanwhile.  The holes are counted before and
 * after the free room is read, and the larger count is used, so that both
 * changes err on the safe side.
 */
int
sandbox_memory_fits(void)
{
    int64_t before, after;
    char path[SANDBOX_HV_PATH_SIZE];
    struct statfs fs;

    if (sandbox_memory_directory(path) != 0) {
        return 0;
    }

    before = memory_promised(path);

    if (statfs(path, &fs) == -1) {
        return 0;
    }

    after = memory_promised(path);

    return before != -1 && after != -1
           && (int64_t) fs.f_bavail * (int64_t) fs.f_bsize
                  >= (before > after ? before : after) + MEMORY_MARGIN;
}


/* Fills holes from at to end, multiples of a huge page, with huge pages. */
static int
memory_collapse(int fd, char *map, off_t at, off_t end)
{
    off_t huge;

    /* the kernel makes one where there is a page, of whatever size */
    for (huge = at; huge < end; huge += MEMORY_HUGE) {
        if (fallocate(fd, 0, huge, SANDBOX_MEMORY_PAGE) == -1) {
            return -1;
        }
    }

    return madvise(map + at, (size_t) (end - at), MADV_COLLAPSE);
}


static void
memory_collapse_holes(int fd, char *map, off_t length)
{
    off_t at, data, end;

    at = 0;

    while (at < length) {
        at = lseek(fd, at, SEEK_HOLE);
        if (at == -1) {
            return;
        }

        at = (at + MEMORY_HUGE - 1) / MEMORY_HUGE * MEMORY_HUGE;

        data = lseek(fd, at, SEEK_DATA);
        if (data == -1) {
            data = length;
        }

        end = data / MEMORY_HUGE * MEMORY_HUGE;

        if (end > at && memory_collapse(fd, map, at, end) == -1) {
            return;
        }

        at = data;
    }
}


/*
 * Gives holes huge pages.  When a machine is copied, holes are read, mapped and
 * protected like the rest, and that takes time for each page.  Only for speed:
 * a kernel that cannot do it on demand (before 6.1) makes small pages, as it
 * does for smaller holes.
 */
static void
memory_widen(int fd, off_t length)
{
    char *room, *map;
    size_t size;

    size = (size_t) (length + MEMORY_HUGE);
    room = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED) {
        return;
    }

    /* the mapping must begin at the boundary of a huge page */
    map = room + MEMORY_HUGE - (uintptr_t) room % MEMORY_HUGE;

    if (mmap(map, (size_t) length, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0)
        != MAP_FAILED)
    {
        memory_collapse_holes(fd, map, length);
    }

    (void) munmap(room, size);
}


/* 1 if there is room for all holes, if need be after a tidying. */
static int
memory_room(sandbox_hv_conn_t *conn)
{
    sandbox_hv_error_t ignored;

    if (sandbox_memory_fits()) {
        return 1;
    }

    (void) sandbox_memory_tidy(conn, 1, &ignored);

    return sandbox_memory_fits();
}


static sandbox_hv_status_t
memory_no_room(int64_t mb, int error, sandbox_hv_error_t *err)
{
    return sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY,
                          "no room for %lld MiB in the directory of memories: "
                          "%s",
                          (long long) mb, strerror(error));
}


/* Allocates the pages of holes. */
static sandbox_hv_status_t
memory_fill(int fd, int64_t mb, sandbox_hv_error_t *err)
{
    struct stat st;

    /* fallocate() of a full file takes a quarter of the time of filling it */
    if ((fstat(fd, &st) == -1 || st.st_blocks * 512LL < mb * 1048576)
        && fallocate(fd, 0, 0, mb * 1048576) == -1)
    {
        return memory_no_room(mb, errno, err);
    }

    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_memory_reserve(sandbox_hv_conn_t *conn, int fd, int64_t mb,
                       sandbox_hv_error_t *err)
{
    if (!memory_room(conn)) {
        return memory_no_room(mb, ENOSPC, err);
    }

    memory_widen(fd, mb * 1048576);

    return memory_fill(fd, mb, err);
}


int
sandbox_memory_make(sandbox_hv_conn_t *conn, const char *name, int64_t mb,
                    char *path, sandbox_hv_error_t *err)
{
    int fd;

    if (!sandbox_memory_usable(conn) || memory_path(path, name, "") != 0) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY,
                              "there is no directory of memories");
        return -1;
    }

    fd = sandbox_memory_create(path, mb, 1, err);

    if (fd != -1 && !memory_room(conn)) {
        (void) memory_no_room(mb, ENOSPC, err);
        (void) unlink(path);
        (void) close(fd);
        fd = -1;
    }

    return fd;
}


static void
memory_close(int *fd)
{
    if (*fd != -1) {
        (void) close(*fd);
        *fd = -1;
    }
}


/*
 * The pipe gets its final name after it is locked: the broker takes a pipe
 * without a lock for that of a taker that has died.
 */
static int
memory_fifo_make(const char *path, const char *name, int ends[3])
{
    (void) unlink(name);

    /* the umask may be anything, and the broker reads by its group */
    if (mkfifo(name, 0600) == -1 || chmod(name, 0640) == -1) {
        return -1;
    }

    /* a writer can be opened only with a reader: so in this order */
    ends[2] = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ends[0] = ends[2] == -1 ? -1 : open(name, O_WRONLY | O_CLOEXEC);
    ends[1] =
        ends[0] == -1 ? -1 : open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (ends[1] != -1 && flock(ends[1], LOCK_SH | LOCK_NB) == 0
        && rename(name, path) == 0)
    {
        return 0;
    }

    (void) unlink(name);
    return -1;
}


int
sandbox_memory_fifo(const char *id, int create, int ends[3])
{
    int i;
    char path[SANDBOX_HV_PATH_SIZE], name[SANDBOX_HV_PATH_SIZE];

    for (i = 0; i < 3; i++) {
        ends[i] = -1;
    }

    if (memory_path(path, id, MEMORY_FIFO) != 0
        || memory_path(name, id, MEMORY_PIPE) != 0)
    {
        return -1;
    }

    if (!create) {
        ends[2] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        return ends[2] == -1 ? -1 : 0;
    }

    if (memory_fifo_make(path, name, ends) == 0) {
        return 0;
    }

    for (i = 0; i < 3; i++) {
        memory_close(&ends[i]);
    }

    return -1;
}


int
sandbox_memory_fifo_rename(const char *id, const char *to)
{
    char path[SANDBOX_HV_PATH_SIZE], name[SANDBOX_HV_PATH_SIZE];

    return memory_path(path, id, MEMORY_FIFO) == 0
                   && memory_path(name, to, MEMORY_FIFO) == 0
               ? rename(path, name)
               : -1;
}


int
sandbox_memory_fifo_exists(const char *id)
{
    char path[SANDBOX_HV_PATH_SIZE];

    return memory_path(path, id, MEMORY_FIFO) == 0 && access(path, F_OK) == 0;
}


void
sandbox_memory_fifo_remove(const char *id)
{
    char path[SANDBOX_HV_PATH_SIZE];

    if (memory_path(path, id, MEMORY_FIFO) == 0) {
        (void) unlink(path);
    }
}


int64_t
sandbox_memory_length(const char *name)
{
    char path[SANDBOX_HV_PATH_SIZE];
    struct stat st;

    return memory_path(path, name, "") == 0 && stat(path, &st) == 0
               ? (int64_t) st.st_size
               : -1;
}


const char *
sandbox_memory_name(const char *path)
{
    size_t len;
    char directory[SANDBOX_HV_PATH_SIZE];

    if (memory_path(directory, "", "") != 0) {
        return NULL;
    }

    len = strlen(directory);
    return strncmp(path, directory, len) == 0 ? path + len : NULL;
}


void
sandbox_memory_remove(const char *id)
{
    DIR *directory;
    size_t len;
    char path[SANDBOX_HV_PATH_SIZE];
    struct dirent *entry;

    len = strlen(id);
    directory = sandbox_memory_directory(path) == 0 ? opendir(path) : NULL;

    while (directory && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, id, len) == 0 && entry->d_name[len] == '.') {
            (void) unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }

    if (directory) {
        (void) closedir(directory);
    }
}
