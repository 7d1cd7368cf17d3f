/* Copies a machine's memory out of its QEMU process; see the header. */

#define _GNU_SOURCE

#include "sandbox_copy.h"
#include "sandbox_broker.h"
#include "sandbox_memory.h"
#include "sandbox_stream.h"
#include "sandbox_time.h"
#include "sandbox_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_PAGE SANDBOX_MEMORY_PAGE
_Static_assert(COPY_PAGE == SANDBOX_STREAM_PAGE, "pages are of one size");

/* Pages that are read at once: so few stay in the processor's cache. */
#define COPY_RUN 32

/* Pages whose pagemap entries are read at once. */
#define COPY_LOOK 512

/*
 * Bytes of the buffer for the pipe: it has room even while it holds a record
 * that is not whole yet.
 */
#define COPY_PIPE (2 * SANDBOX_STREAM_RECORD_MAX + 131072)
#define COPY_POLL_MS 5
#define COPY_MAP_MS 1

/*
 * Most bytes of maps, and of a line of it; a QEMU has some hundred lines.  The
 * file may not be what it should be: a compromised QEMU can answer in the
 * broker's place.
 */
#define COPY_MAPS_MAX (16 * 1048576)
#define COPY_LINE_MAX 8192

/* Bits of /proc/PID/pagemap: Documentation/admin-guide/mm/pagemap.rst */
#define COPY_PRESENT (1ULL << 63)
#define COPY_SWAPPED (1ULL << 62)
#define COPY_OF_FILE (1ULL << 61)

/* Bits of c->known: what is known of a page. */
#define COPY_IS_BASE 1 /* copied from the base, and not known to differ */
#define COPY_WRITTEN 2 /* the new file has data there, not a hole */
#define COPY_SENT 4    /* the new file has what came through the pipe */

struct sandbox_copy_s {
    int maps; /* files of QEMU's process, by the broker; -1: closed */
    int pagemap;
    int mem;
    int base;
    int index;      /* a file with the base's data and holes, or the base */
    int to;         /* the new file, which is the caller's */
    int room;       /* of the pipe, in bytes */
    int begun;      /* 1: QEMU has sent a page of the guest's memory */
    int looked;     /* 1: sandbox_copy_look() was done in the pause */
    int ended;      /* 1: the pipe has no writer any more */
    uint64_t start; /* address of the memory in QEMU's process */
    size_t n;       /* pages of the memory */
    size_t mapped;  /* so many of the first pages are known to be mapped */
    int64_t deadline_ms;
    unsigned char *known; /* COPY_IS_BASE and so on, of each page */
    unsigned char *piece; /* COPY_RUN pages that were read */
    unsigned char *sent;  /* what came through the pipe and is not parsed yet */
    size_t len;           /* bytes in sent */
    uint64_t look[COPY_LOOK]; /* pagemap entries that were read */
    sandbox_stream_t stream;
};


/* Sets *err from errno. */
static sandbox_hv_status_t
copy_failed(const char *what, sandbox_hv_error_t *err)
{
    int error = errno;
    sandbox_hv_status_t status;

    status = error == ENOSPC      ? SANDBOX_HV_NO_CAPACITY
             : error == ETIMEDOUT ? SANDBOX_HV_TIMEOUT
                                  : SANDBOX_HV_FAILED;

    return sandbox_hv_set(err, status,
                          "the machine's memory cannot be copied: %s: %s", what,
                          strerror(error));
}


/*
 * Parses a line of maps: 1: it is a mapping of the base; 0: of something else;
 * -1: of the base, but not as expected.  Lines are in the order of addresses.
 * *have: bytes of the base that were mapped up to here.
 */
static int
copy_mapping(sandbox_copy_t *c, const char *line, const char *path, ino_t inode,
             uint64_t *have)
{
    int at;
    char mode[5];
    size_t len;
    uint64_t from, to, offset, number;

    at = 0;

    if (sscanf(line,
               "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n",
               &from, &to, mode, &offset, &number, &at)
            != 5
        || at == 0)
    {
        return 0;
    }

    len = strlen(path);

    if (strncmp(line + at, path, len) != 0 || line[at + (int) len] != '\n'
        || number != (uint64_t) inode)
    {
        return 0;
    }

    if (*have == 0) {
        c->start = from;
    }

    /* the machine would change the base through a shared mapping */
    if (strcmp(mode, "rw-p") != 0 || offset != *have || from != c->start + *have
        || to <= from)
    {
        return -1;
    }

    *have += to - from;
    return 1;
}


/* 0, or -1: not mapped as expected; *have as in copy_mapping(). */
static int
copy_mappings(sandbox_copy_t *c, FILE *maps, const char *path, ino_t inode,
              uint64_t *have)
{
    char line[COPY_LINE_MAX];
    size_t len, all;

    for (all = 0; fgets(line, sizeof(line), maps); all += len) {
        len = strlen(line);

        if (len == 0 || line[len - 1] != '\n' || all > COPY_MAPS_MAX
            || copy_mapping(c, line, path, inode, have) == -1)
        {
            return -1;
        }
    }

    return 0;
}


/* Finds the memory in QEMU's process by maps, which it closes. */
static sandbox_hv_status_t
copy_find(sandbox_copy_t *c, const char *path, int64_t mb,
          sandbox_hv_error_t *err)
{
    int rc;
    char *real;
    FILE *maps;
    uint64_t have;
    struct stat st;

    maps = fdopen(c->maps, "r");
    if (maps == NULL) {
        return copy_failed("maps", err);
    }

    c->maps = -1;

    /* maps has the path without symbolic links */
    real = realpath(path, NULL);

    if (real == NULL || fstat(c->base, &st) == -1) {
        (void) copy_failed(path, err);
        free(real);
        (void) fclose(maps);
        return err->status;
    }

    have = 0;
    rc = copy_mappings(c, maps, real, st.st_ino, &have);

    free(real);
    (void) fclose(maps);

    if (rc == -1 || have != (uint64_t) mb * 1048576
        || st.st_size != mb * 1048576) {
        return sandbox_hv_set(err, SANDBOX_HV_FAILED,
                              "QEMU has not mapped \"%s\" as it should", path);
    }

    return sandbox_hv_ok(err);
}


/*
 * Opens the index.  The holes of a base on tmpfs may have been filled with
 * zeroes by sandbox_memory_reserve(); the same memory in the directory of
 * disks, if it is there, still has its holes.
 */
static void
copy_index(sandbox_copy_t *c, const char *path)
{
    char disk[SANDBOX_HV_PATH_SIZE];
    const char *name;

    name = sandbox_memory_name(path);
    c->index = name && sandbox_disk_path(disk, name) == 0
                   ? open(disk, O_RDONLY | O_CLOEXEC)
                   : -1;

    if (c->index == -1) {
        c->index = c->base;
    }
}


/* The stream's callback: writes a page that QEMU has sent. */
static int
copy_page(void *data, const char *block, uint64_t offset,
          const unsigned char *content)
{
    size_t i;
    sandbox_copy_t *c = data;
    static const unsigned char zeroes[COPY_PAGE];

    /* other blocks are QEMU's own, and the guest cannot change them */
    if (strcmp(block, SANDBOX_DOMAIN_RAM) != 0) {
        return 0;
    }

    i = (size_t) (offset / COPY_PAGE);

    if (offset % COPY_PAGE || i >= c->n) {
        errno = EPROTO;
        return -1;
    }

    c->begun = 1;
    c->known[i] |= COPY_SENT;

    if (content == NULL) {
        if (!(c->known[i] & COPY_WRITTEN)) {
            return 0;
        }
        content = zeroes;
    }

    c->known[i] |= COPY_WRITTEN;

    return sandbox_write(c->to, content, COPY_PAGE, (off_t) offset);
}


sandbox_copy_t *
sandbox_copy_open(const char *sandbox, const char *path, int64_t mb,
                  int64_t deadline_ms, sandbox_hv_error_t *err)
{
    int fds[3];
    sandbox_copy_t *c;

    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");
        return NULL;
    }

    c->n = (size_t) mb * (1048576 / COPY_PAGE);
    c->known = calloc(c->n, 1);
    c->piece = malloc((size_t) COPY_RUN * COPY_PAGE);
    c->sent = malloc(COPY_PIPE);
    c->deadline_ms = deadline_ms;
    c->base = open(path, O_RDONLY | O_CLOEXEC);
    c->index = -1;
    c->maps = -1;
    c->pagemap = -1;
    c->mem = -1;

    sandbox_stream_init(&c->stream);
    c->stream.page = copy_page;
    c->stream.data = c;

    if (c->known == NULL || c->piece == NULL || c->sent == NULL) {
        (void) sandbox_hv_set(err, SANDBOX_HV_NO_CAPACITY, "out of memory");

    } else if (c->base == -1) {
        (void) copy_failed(path, err);

    } else if (sandbox_broker_open(sandbox, fds, err) == SANDBOX_HV_OK) {
        c->maps = fds[0];
        c->pagemap = fds[1];
        c->mem = fds[2];
        (void) copy_find(c, path, mb, err);
    }

    if (err->status != SANDBOX_HV_OK) {
        sandbox_copy_close(c);
        return NULL;
    }

    copy_index(c, path);
    return c;
}


void
sandbox_copy_close(sandbox_copy_t *c)
{
    size_t i;

    if (c == NULL) {
        return;
    }

    int fds[] = { c->maps, c->pagemap, c->mem, c->base,
                  c->index == c->base ? -1 : c->index };

    for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] != -1) {
            (void) close(fds[i]);
        }
    }

    free(c->known);
    free(c->piece);
    free(c->sent);
    free(c);
}


/*
 * 1 if a page that was read is to be written: it did not come through the pipe,
 * and it is not zeroes, or replaces data.
 */
static int
copy_wants(const sandbox_copy_t *c, size_t i, const unsigned char *page)
{
    return !(c->known[i] & COPY_SENT)
           && ((c->known[i] & COPY_WRITTEN) || !sandbox_memory_is_zero(page));
}


/* Writes the pages of c->piece, count from first on; 0, or -1 with errno. */
static int
copy_put(sandbox_copy_t *c, size_t first, size_t count)
{
    size_t i, end;

    for (i = 0; i < count; i = end + 1) {
        for (end = i; end < count
                      && copy_wants(c, first + end, c->piece + end * COPY_PAGE);
             end++)
        {
            c->known[first + end] |= COPY_WRITTEN;
        }

        if (end > i
            && sandbox_write(c->to, c->piece + i * COPY_PAGE,
                             (end - i) * COPY_PAGE,
                             (off_t) ((first + i) * COPY_PAGE))
                   != 0)
        {
            return -1;
        }
    }

    return 0;
}


/* Reads all of it: 0, or -1 with errno. */
static int
copy_read(int fd, unsigned char *data, size_t len, off_t at)
{
    ssize_t n;

    for (; len; data += n, len -= (size_t) n, at += n) {
        n = pread(fd, data, len, at);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            if (n == 0) {
                errno = ENODATA;
            }
            return -1;
        }
    }

    return 0;
}


/* Copies the base's pages first to end - 1, without its holes. */
static int
copy_of_base(sandbox_copy_t *c, size_t first, size_t end)
{
    off_t data;
    size_t i, count;

    for (i = first; i < end; i += count) {
        data = lseek(c->index, (off_t) (i * COPY_PAGE), SEEK_DATA);

        if (data == -1) {
            return errno == ENXIO ? 0 : -1;
        }

        i = (size_t) data / COPY_PAGE;
        if (i >= end) {
            return 0;
        }

        count = end - i < COPY_RUN ? end - i : COPY_RUN;

        if (copy_read(c->base, c->piece, count * COPY_PAGE,
                      (off_t) (i * COPY_PAGE))
                != 0
            || copy_put(c, i, count) != 0)
        {
            return -1;
        }
    }

    return 0;
}


/* Copies count pages of the process, COPY_RUN at most, from first on. */
static int
copy_of_process(sandbox_copy_t *c, size_t first, size_t count)
{
    return copy_read(c->mem, c->piece, count * COPY_PAGE,
                     (off_t) (c->start + first * COPY_PAGE))
                   == 0
               ? copy_put(c, first, count)
               : -1;
}


/*
 * Reads the pagemap entries of count pages, from first on, into c->look.  0, or
 * -1 with errno, also at the deadline, which is checked here.
 */
static int
copy_look(sandbox_copy_t *c, size_t first, size_t count)
{
    if (sandbox_time_monotonic_ms() >= c->deadline_ms) {
        errno = ETIMEDOUT;
        return -1;
    }

    return copy_read(
        c->pagemap, (unsigned char *) c->look, count * sizeof(c->look[0]),
        (off_t) ((c->start / COPY_PAGE + first) * sizeof(c->look[0])));
}


/* 1 if a page may differ from the base's, by its pagemap entry. */
static int
copy_is_own(uint64_t look)
{
    return (look & COPY_SWAPPED)
           || ((look & COPY_PRESENT) && !(look & COPY_OF_FILE));
}


/* The pages from first on that are looked at at once. */
static size_t
copy_count(const sandbox_copy_t *c, size_t first)
{
    return c->n - first < COPY_LOOK ? c->n - first : COPY_LOOK;
}


size_t
sandbox_copy_pages(sandbox_copy_t *c)
{
    size_t i, first, pages;

    pages = 0;

    for (first = 0; first < c->n; first += COPY_LOOK) {
        if (copy_look(c, first, copy_count(c, first)) != 0) {
            return SIZE_MAX;
        }

        for (i = 0; i < copy_count(c, first); i++) {
            pages += (size_t) copy_is_own(c->look[i]);
        }
    }

    return pages;
}


/* Copies those of count pages, from first on, that are the base's by now. */
static int
copy_base(sandbox_copy_t *c, size_t first, size_t count)
{
    size_t i, end;

    if (copy_look(c, first, count) != 0) {
        return -1;
    }

    for (i = 0; i < count; i = end + 1) {
        for (end = i; end < count && !copy_is_own(c->look[end]); end++) {
            c->known[first + end] |= COPY_IS_BASE;
        }

        if (end > i && copy_of_base(c, first + i, first + end) != 0) {
            return -1;
        }
    }

    return 0;
}


sandbox_hv_status_t
sandbox_copy_base(sandbox_copy_t *c, int to, sandbox_hv_error_t *err)
{
    size_t i;

    c->to = to;

    for (i = 0; i < c->n; i += COPY_LOOK) {
        if (copy_base(c, i, copy_count(c, i)) != 0) {
            return copy_failed("what it was started from", err);
        }
    }

    return sandbox_hv_ok(err);
}


/*
 * Takes what is in the pipe by now: 0, or -1 with errno.  It reads no more than
 * the pipe's size, because reading what comes meanwhile might never end.
 */
static int
copy_sent(sandbox_copy_t *c, int pipe)
{
    int left;
    ssize_t n, done;

    for (left = c->room; left > 0 && !c->ended; left -= (int) n) {
        n = read(pipe, c->sent + c->len, COPY_PIPE - c->len);

        if (n == -1) {
            return errno == EAGAIN ? 0 : -1;
        }

        if (n == 0) {
            c->ended = 1;
            return 0;
        }

        /* after the memory come devices, which are saved separately */
        if (c->stream.done) {
            continue;
        }

        c->len += (size_t) n;
        errno = EPROTO;
        done = sandbox_stream_feed(&c->stream, c->sent, c->len);

        if (done == -1) {
            return -1;
        }

        c->len = c->stream.done ? 0 : c->len - (size_t) done;
        memmove(c->sent, c->sent + done, c->len);
    }

    return 0;
}


void
sandbox_copy_mapped(sandbox_copy_t *c, int64_t ms)
{
    size_t i, count;
    int64_t end;

    end = sandbox_time_monotonic_ms() + ms;

    while (c->mapped < c->n) {
        count = copy_count(c, c->mapped);

        if (copy_look(c, c->mapped, count) != 0) {
            return;
        }

        for (i = 0; i < count && (c->look[i] & (COPY_PRESENT | COPY_SWAPPED));
             i++) {
        }

        c->mapped += i;

        if (i < count) {
            if (sandbox_time_monotonic_ms() >= end) {
                return;
            }
            sandbox_hv_sleep_ms(COPY_MAP_MS);
        }
    }
}


sandbox_hv_status_t
sandbox_copy_look(sandbox_copy_t *c, sandbox_hv_error_t *err)
{
    size_t i, first;

    for (first = 0; first < c->n; first += COPY_LOOK) {
        if (copy_look(c, first, copy_count(c, first)) != 0) {
            return copy_failed("whose its pages are", err);
        }

        for (i = 0; i < copy_count(c, first); i++) {
            if (copy_is_own(c->look[i])) {
                c->known[first + i] &= (unsigned char) ~COPY_IS_BASE;
            }
        }
    }

    c->looked = 1;

    return sandbox_hv_ok(err);
}


/*
 * 1 if a page is to be copied out of the process.  A page that is protected and
 * not mapped looks like one that is swapped out; it is read, unless
 * sandbox_copy_look() was done, which has told them apart.
 */
static int
copy_is_wanted(const sandbox_copy_t *c, size_t i, uint64_t look, int protected)
{
    return !(c->known[i] & COPY_IS_BASE)
           || (copy_is_own(look)
               && !(protected && c->looked && (look & COPY_SWAPPED)));
}


/*
 * Copies those of count pages, from first on, that are the machine's own, or
 * were when the base was copied: what is read from the process is always right.
 */
static int
copy_own(sandbox_copy_t *c, size_t first, size_t count, int pipe)
{
    size_t i, end;

    if (copy_look(c, first, count) != 0) {
        return -1;
    }

    for (i = 0; i < count; i = end == i ? i + 1 : end) {
        for (end = i;
             end < count && end - i < COPY_RUN
             && copy_is_wanted(c, first + end, c->look[end], pipe != -1);
             end++)
        {
        }

        if (end > i
            && (copy_of_process(c, first + i, end - i) != 0
                || (pipe != -1 && copy_sent(c, pipe) != 0)))
        {
            return -1;
        }
    }

    return 0;
}


/* Copies all of the machine's own pages; pipe is -1 if the machine is still. */
static sandbox_hv_status_t
copy_rest(sandbox_copy_t *c, int pipe, const int *stop, sandbox_hv_error_t *err)
{
    size_t i;

    for (i = 0; i < c->n; i += COPY_LOOK) {
        if (__atomic_load_n(stop, __ATOMIC_RELAXED)) {
            errno = ECANCELED;

            /*
             * The pipe comes last: QEMU sends a page before the machine can
             * change it, so what was sent is right.
             */
        } else if (copy_own(c, i, copy_count(c, i), pipe) == 0
                   && (pipe == -1 || copy_sent(c, pipe) == 0))
        {
            continue;
        }

        return copy_failed(
            c->stream.error ? c->stream.error : "what it has written", err);
    }

    return sandbox_hv_ok(err);
}


sandbox_hv_status_t
sandbox_copy_still(sandbox_copy_t *c, sandbox_hv_error_t *err)
{
    static const int never = 0;

    return copy_rest(c, -1, &never, err);
}


/*
 * Waits until QEMU has protected all of the memory, which is so when it sends
 * the first page; 0, or -1 with errno.
 */
static int
copy_protected(sandbox_copy_t *c, int pipe, const int *stop)
{
    struct pollfd p = { pipe, POLLIN, 0 };

    while (!c->begun) {
        if (__atomic_load_n(stop, __ATOMIC_RELAXED)) {
            errno = ECANCELED;
            return -1;
        }

        if (sandbox_time_monotonic_ms() >= c->deadline_ms) {
            errno = ETIMEDOUT;
            return -1;
        }

        if (poll(&p, 1, COPY_POLL_MS) > 0 && copy_sent(c, pipe) != 0) {
            return -1;
        }

        if ((c->ended || c->stream.done) && !c->begun) {
            errno = EPIPE;
            return -1;
        }
    }

    return 0;
}


sandbox_hv_status_t
sandbox_copy_live(sandbox_copy_t *c, int pipe, const int *stop,
                  sandbox_hv_error_t *err)
{
    c->room = fcntl(pipe, F_GETPIPE_SZ);

    if (c->room <= 0 || copy_protected(c, pipe, stop) != 0) {
        return copy_failed(c->stream.error ? c->stream.error : "QEMU", err);
    }

    if (copy_rest(c, pipe, stop, err) != SANDBOX_HV_OK) {
        return err->status;
    }

    if (c->ended && !c->stream.done) {
        errno = EPIPE;
        return copy_failed("QEMU has ended", err);
    }

    return err->status;
}
