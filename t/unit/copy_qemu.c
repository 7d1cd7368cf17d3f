/* A process that is copied; see the header. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "copy_qemu.h"
#include "sandbox_broker.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"
#include "sandbox_write.h"

#define NAME "snap_a.x.ram"

/* What is not done by then never will be. */
#define TESTS_S 120

char directory[] = "/dev/shm/sandbox-test-XXXXXX";
char path[64];
int with_disk;
void (*written)(size_t page);
void (*slept)(void);
qemu_t qemu;
unsigned char *map;
static int faults; /* of the process's protected memory */
unsigned char before[SIZE];
unsigned char wanted[SIZE];
sandbox_copy_t *copy;
int to;
int ends[2];
sandbox_hv_error_t err;


/* --- what the copying needs of the rest of its room ----------------------- */

void
sandbox_hv_sleep_ms(int ms)
{
    if (slept) {
        slept();
    }

    (void) usleep((useconds_t) ms * 1000);
}


int
sandbox_memory_is_zero(const unsigned char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}


int
sandbox_write(int fd, const unsigned char *data, size_t len, off_t at)
{
    size_t i;
    ssize_t n;

    assert_int_equal(len % PAGE, 0);

    for (i = 0; i < len; i += (size_t) n) {
        n = pwrite(fd, data + i, len - i, at + (off_t) i);
        if (n <= 0) {
            return -1;
        }
    }

    for (i = 0; i < len && written; i += PAGE) {
        written(((size_t) at + i) / PAGE);
    }

    return 0;
}


const char *
sandbox_memory_name(const char *p)
{
    assert_string_equal(p, path);
    return with_disk ? NAME : NULL;
}


int
sandbox_disk_path(char *p, const char *name)
{
    (void) snprintf(p, SANDBOX_HV_PATH_SIZE, "%s/disk.%s", directory, name);
    return 0;
}


sandbox_hv_status_t
sandbox_broker_open(const char *sandbox, int fds[SANDBOX_BROKER_FILES],
                    sandbox_hv_error_t *e)
{
    int i;
    char file[64];
    static const char *const names[] = { "maps", "pagemap", "mem" };

    assert_string_equal(sandbox, "sb_a");

    for (i = 0; i < SANDBOX_BROKER_FILES; i++) {
        (void) snprintf(file, sizeof(file), "/proc/%d/%s", (int) qemu.pid,
                        names[i]);
        fds[i] = qemu.refuses ? -1 : open(file, O_RDONLY | O_CLOEXEC);
        assert_true(qemu.refuses || fds[i] != -1);
    }

    if (qemu.maps) {
        assert_int_equal(dup2(qemu.maps, fds[0]), fds[0]);
    }

    if (qemu.pagemap) {
        assert_int_equal(dup2(qemu.pagemap, fds[1]), fds[1]);
    }

    return qemu.refuses ? sandbox_hv_set(e, SANDBOX_HV_UNAVAILABLE, "none")
                        : sandbox_hv_ok(e);
}


/* --- files ---------------------------------------------------------------- */

/* Pages differ from each other, and are not the same all over. */
void
page_fill(unsigned char *page, size_t number, int value)
{
    memset(page, value, PAGE);

    if (value) {
        memcpy(page + 1000, &number, sizeof(number));
    }
}


void
base_run(int fd, size_t from, size_t end, int value)
{
    size_t i;

    for (i = from; i < end; i++) {
        page_fill(before + i * PAGE, i, value);
        assert_int_equal(
            pwrite(fd, before + i * PAGE, PAGE, (off_t) (i * PAGE)), PAGE);
    }
}


void
base_put(const char *name)
{
    int fd;

    memset(before, 0, SIZE);
    fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_not_equal(fd, -1);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    base_run(fd, DATA, ZEROES, 1);
    base_run(fd, ZEROES, HOLE, 0);
    base_run(fd, MORE, HOLE_2, 2);
    base_run(fd, LAST, PAGES, 3);
    (void) close(fd);
    memcpy(wanted, before, SIZE);
}


int
setup(void **state)
{
    (void) state;
    (void) snprintf(path, sizeof(path), "%s/%s", directory, NAME);
    base_put(path);
    to = open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    return to == -1 || ftruncate(to, SIZE) == -1 || pipe2(ends, O_CLOEXEC) == -1
                   || fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1
               ? -1
               : 0;
}


void
qemu_end(void)
{
    if (qemu.pid) {
        (void) kill(qemu.pid, SIGKILL);
        (void) waitpid(qemu.pid, NULL, 0);
        (void) close(qemu.orders);
        qemu.pid = 0;
    }
}


int
teardown(void **state)
{
    char disk[SANDBOX_HV_PATH_SIZE];

    (void) state;
    sandbox_copy_close(copy);
    copy = NULL;
    qemu_end();
    qemu.refuses = 0;
    qemu.sends = 0;

    if (qemu.maps) {
        (void) close(qemu.maps);
        qemu.maps = 0;
    }

    if (qemu.pagemap) {
        (void) close(qemu.pagemap);
        qemu.pagemap = 0;
    }

    with_disk = 0;
    written = NULL;
    slept = NULL;
    (void) close(to);
    (void) close(ends[0]);
    (void) close(ends[1]);
    (void) unlink(path);
    (void) sandbox_disk_path(disk, NAME);
    (void) unlink(disk);

    return 0;
}


/* All of the file is what the child has, or had. */
void
assert_copied(void)
{
    size_t i;
    static unsigned char got[SIZE];

    assert_int_equal(pread(to, got, SIZE, 0), SIZE);

    for (i = 0; i < PAGES; i++) {
        if (memcmp(got + i * PAGE, wanted + i * PAGE, PAGE) != 0) {
            fail_msg("page %zu begins with %d and not with %d", i,
                     got[i * PAGE], wanted[i * PAGE]);
        }
    }
}


/* --- the child ------------------------------------------------------------ */

unsigned char *
map_part(void *at, size_t len, int protection, int flags, size_t offset)
{
    int fd;
    void *m;

    fd = open(path, O_RDWR | O_CLOEXEC);
    m = mmap(at, len, protection, flags | (at ? MAP_FIXED : 0), fd,
             (off_t) offset);
    (void) close(fd);

    if (m == MAP_FAILED) {
        _exit(1);
    }

    return m;
}


void
map_right(void)
{
    map = map_part(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

    /* and as ever, no huge pages */
    (void) madvise(map, SIZE, MADV_NOHUGEPAGE);
}


static void
qemu_protect(size_t page, size_t n, uint64_t mode)
{
    struct uffdio_writeprotect protect;

    protect.range.start = (uintptr_t) (map + page * PAGE);
    protect.range.len = n * PAGE;
    protect.mode = mode;

    if (ioctl(faults, UFFDIO_WRITEPROTECT, &protect) == -1) {
        _exit(1);
    }
}


/* All of its memory; it ends if the kernel, or who runs this, does not let. */
static void
qemu_protect_all(void)
{
    struct uffdio_api api;
    struct uffdio_register all;

    memset(&api, 0, sizeof(api));
    api.api = UFFD_API;
    api.features =
        UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
    memset(&all, 0, sizeof(all));
    all.range.start = (uintptr_t) map;
    all.range.len = SIZE;
    all.mode = UFFDIO_REGISTER_MODE_WP;

    /* nothing but the guest writes there, so no right is needed */
    faults = (int) syscall(SYS_userfaultfd,
                           O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

    if (faults == -1 || ioctl(faults, UFFDIO_API, &api) == -1
        || ioctl(faults, UFFDIO_REGISTER, &all) == -1)
    {
        _exit(1);
    }

    qemu_protect(0, PAGES, UFFDIO_WRITEPROTECT_MODE_WP);
}


/* The guest, which goes on. */
static void *
qemu_guest(void *data)
{
    size_t page;
    unsigned seed = 1;

    for (;;) {
        page = (size_t) rand_r(&seed) % PAGES;
        page_fill(map + page * PAGE, page, rand_r(&seed) % 4);
    }

    return data;
}


static void
qemu_send_page(size_t page)
{
    b.len = 0;

    if (sandbox_memory_is_zero(map + page * PAGE)) {
        zero(RAM, page);
    } else {
        content(RAM, page, 0);
        memcpy(b.data + b.len - PAGE, map + page * PAGE, PAGE);
    }

    if (write(ends[1], b.data, b.len) != (ssize_t) b.len) {
        _exit(1);
    }

    qemu_protect(page, 1, 0);
}


/* One after the other, and first those that are to be changed. */
static void
qemu_send(void)
{
    size_t next, page;
    pthread_t guest;
    struct uffd_msg fault;
    static char sent[PAGES];

    (void) pthread_create(&guest, NULL, qemu_guest, NULL);

    for (next = 0; next < PAGES; next += (size_t) sent[next]) {
        page = read(faults, &fault, sizeof(fault)) == sizeof(fault)
                   ? ((size_t) fault.arg.pagefault.address - (uintptr_t) map)
                         / PAGE
                   : next;

        if (!sent[page]) {
            sent[page] = 1;
            qemu_send_page(page);
        }
    }

    b.len = 0;
    footer();
    device();
    (void) !write(ends[1], b.data, b.len);

    for (;;) {
        (void) pause();
    }
}


static void
qemu_obey(const order_t *order)
{
    volatile unsigned char sum;
    unsigned char *page;

    page = map + order->page * PAGE;

    switch (order->what) {
    case 'w':
        page_fill(page, order->page, order->value);
        break;

    case 'd':
        (void) madvise(page, PAGE, MADV_DONTNEED);
        break;

    case 'p':
        qemu_protect_all();
        break;

    case 's':
        qemu_send();
        break;

    default:
        sum = *page;
        (void) sum;
    }
}


static void
qemu_run(int fd, void (*maps)(void))
{
    order_t order;

    maps();
    (void) !write(fd, &map, sizeof(map));

    while (read(fd, &order, sizeof(order)) == sizeof(order)) {
        qemu_obey(&order);
        (void) !write(fd, "", 1);
    }

    _exit(0);
}


void
qemu_start(void (*maps)(void))
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds),
                     0);
    qemu.pid = fork();
    assert_int_not_equal(qemu.pid, -1);

    if (qemu.pid == 0) {
        (void) close(fds[0]);
        (void) close(ends[0]);

        if (!qemu.sends) {
            (void) close(ends[1]);
        }

        qemu_run(fds[1], maps);
    }

    (void) close(fds[1]);
    qemu.orders = fds[0];
    assert_int_equal(read(qemu.orders, &qemu.map, sizeof(qemu.map)),
                     sizeof(qemu.map));
}


void
tell(char what, size_t page, int value)
{
    char c;
    order_t order = { what, value, page };

    assert_int_equal(write(qemu.orders, &order, sizeof(order)), sizeof(order));
    assert_int_equal(read(qemu.orders, &c, 1), 1);
}


/* It writes to a page. */
void
writes(size_t page, int value)
{
    tell('w', page, value);
    page_fill(wanted + page * PAGE, page, value);
}


/* It gives a page back. */
void
gives(size_t page)
{
    tell('d', page, 0);
    memcpy(wanted + page * PAGE, before + page * PAGE, PAGE);
}


void
touches(size_t from, size_t end)
{
    for (; from < end; from++) {
        tell('r', from, 0);
    }
}


sandbox_copy_t *
opened(int64_t ms)
{
    return sandbox_copy_open("sb_a", path, MB, sandbox_time_monotonic_ms() + ms,
                             &err);
}


void
begun(void)
{
    copy = opened(ENOUGH_MS);
    assert_non_null(copy);
    assert_int_equal(err.status, SANDBOX_HV_OK);
}


void
copies_base(void)
{
    assert_int_equal(sandbox_copy_base(copy, to, &err), SANDBOX_HV_OK);
}


void
copies_still(void)
{
    assert_int_equal(sandbox_copy_still(copy, &err), SANDBOX_HV_OK);
    assert_copied();
}


/* From here on there is no room where the copy goes. */
void
room_ends(void)
{
    int full;

    full = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_int_not_equal(full, -1);
    assert_int_equal(dup2(full, to), to);
    (void) close(full);
}


void
changes(unsigned *seed)
{
    int i, how;
    size_t page;

    for (i = 0; i < 150; i++) {
        page = (size_t) rand_r(seed) % PAGES;
        how = rand_r(seed) % 4;

        if (how == 0) {
            gives(page);
        } else {
            writes(page, how == 1 ? 0 : rand_r(seed) % 250 + 1);
        }
    }
}


int
tests_begin(void)
{
    (void) signal(SIGPIPE, SIG_IGN);
    (void) alarm(TESTS_S);

    return access("/dev/shm", W_OK) == 0 && mkdtemp(directory) ? 0 : -1;
}


void
tests_end(void)
{
    (void) rmdir(directory);
}
