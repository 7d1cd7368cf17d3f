/* A machine's memory copied out of a process that stands still: whose its
 * pages are, how it may be mapped, and what fails. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy_qemu.h"
#include "sandbox_memory.h"
#include "sandbox_time.h"

#define NOT_MAPS (32 * 1048576)


/* --- of one that stands still --------------------------------------------- */

/* Bytes that the file takes. */
static int64_t
taken(void)
{
    struct stat st;

    assert_int_equal(fstat(to, &st), 0);
    return (int64_t) st.st_blocks * 512;
}


static void
test_base(void **state)
{
    (void) state;

    qemu_start(map_right);
    begun();
    copies_base();
    assert_copied();

    /* no zeroes, also where there were some */
    assert_int_equal(taken(), (100 + 100 + 1) * PAGE);
    copies_still();
    assert_int_equal(taken(), (100 + 100 + 1) * PAGE);
    assert_int_equal(sandbox_copy_pages(copy), 0);
}


static void
test_own(void **state)
{
    size_t i;

    (void) state;

    qemu_start(map_right);
    begun();

    /* before: over data, zeroes, a hole, and where pieces begin and end */
    writes(DATA + 1, 0);
    writes(DATA + 2, 10);
    writes(ZEROES + 1, 10);
    writes(ZEROES + 2, 0);
    writes(HOLE + 1, 10);
    writes(HOLE + 2, 0);
    writes(DATA + 40, 11);
    writes(DATA + 41, 11);
    writes(HOLE + 40, 11);

    for (i = 510; i < 514; i++) {
        writes(i, 12);
    }

    touches(DATA, PAGES);
    assert_int_equal(sandbox_copy_pages(copy), 13);
    copies_base();

    /* after */
    writes(DATA + 3, 0);
    writes(DATA + 4, 20);
    writes(ZEROES + 3, 20);
    writes(ZEROES + 4, 0);
    writes(HOLE + 3, 20);
    writes(HOLE + 4, 0);
    writes(DATA, 20);
    writes(LAST, 0);

    /* both */
    writes(DATA + 2, 21);
    writes(HOLE + 1, 0);
    writes(DATA + 1, 21);
    assert_int_equal(sandbox_copy_pages(copy), 21);
    copies_still();
}


static void
test_given_back(void **state)
{
    (void) state;

    qemu_start(map_right);
    begun();

    writes(DATA + 1, 10);
    writes(ZEROES + 1, 10);
    writes(HOLE + 1, 10);
    writes(DATA + 2, 10);
    gives(DATA + 2);
    assert_int_equal(sandbox_copy_pages(copy), 3);
    copies_base();

    /* its own when the base was copied, and not any more */
    gives(DATA + 1);
    gives(ZEROES + 1);
    gives(HOLE + 1);

    /* its own only in between */
    writes(DATA + 3, 10);
    gives(DATA + 3);
    writes(HOLE + 3, 10);
    gives(HOLE + 3);

    /* its own again */
    writes(DATA + 2, 11);
    assert_int_equal(sandbox_copy_pages(copy), 1);
    copies_still();
}


static void
test_random(void **state)
{
    unsigned seed;

    for (seed = 1; seed <= 5; seed++) {
        if (seed > 1) {
            assert_int_equal(teardown(state), 0);
            assert_int_equal(setup(state), 0);
        }

        qemu_start(map_right);
        begun();
        changes(&seed);
        copies_base();
        changes(&seed);

        if (seed % 2) {
            assert_int_equal(sandbox_copy_look(copy, &err), SANDBOX_HV_OK);
        }

        copies_still();
    }
}


static void
disk_put(size_t end)
{
    int fd;
    char disk[SANDBOX_HV_PATH_SIZE];

    (void) sandbox_disk_path(disk, strrchr(path, '/') + 1);
    fd = open(disk, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_not_equal(fd, -1);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    base_run(fd, DATA, end, 1);
    (void) close(fd);
    with_disk = 1;
}


/* The holes are those of the same memory on disk, if it is there. */
static void
test_holes(void **state)
{
    (void) state;

    with_disk = 1;
    qemu_start(map_right);
    begun();
    copies_base();
    copies_still();
    sandbox_copy_close(copy);

    disk_put(ZEROES);
    begun();
    writes(HOLE_2, 5);
    assert_int_equal(ftruncate(to, 0), 0);
    assert_int_equal(ftruncate(to, SIZE), 0);
    copies_base();

    /* which is how it is seen that they are looked for there */
    memset(wanted + MORE * PAGE, 0, 100 * PAGE);
    memset(wanted + LAST * PAGE, 0, PAGE);
    copies_still();
}


static int sleeps;


static void
touches_more(void)
{
    if (++sleeps == 3) {
        touches(DATA, PAGES - 100);
    } else if (sleeps == 6) {
        touches(PAGES - 100, PAGES);
    }
}


static void
test_mapped(void **state)
{
    int64_t begin;

    (void) state;

    qemu_start(map_right);
    begun();

    /* no longer than that */
    sleeps = -1000000;
    slept = touches_more;
    begin = sandbox_time_monotonic_ms();
    sandbox_copy_mapped(copy, 0);
    assert_int_equal(sleeps, -1000000);
    sandbox_copy_mapped(copy, 20);
    assert_true(sandbox_time_monotonic_ms() >= begin + 20);
    assert_true(sleeps > -1000000);

    sleeps = 0;
    sandbox_copy_mapped(copy, ENOUGH_MS);
    assert_int_equal(sleeps, 6);
    assert_true(sandbox_time_monotonic_ms() < begin + ENOUGH_MS);

    /* and it is remembered */
    sandbox_copy_mapped(copy, ENOUGH_MS);
    assert_int_equal(sleeps, 6);
    assert_int_equal(sandbox_copy_pages(copy), 0);
}


static void
test_mapped_dead(void **state)
{
    int64_t begin;

    (void) state;

    qemu_start(map_right);
    begun();
    qemu_end();
    begin = sandbox_time_monotonic_ms();
    sandbox_copy_mapped(copy, ENOUGH_MS);
    assert_true(sandbox_time_monotonic_ms() < begin + ENOUGH_MS);
}


/* --- how it is mapped ----------------------------------------------------- */

static unsigned char *
map_room(void)
{
    return mmap(NULL, 2 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}


/* Two pieces, which the kernel does not make one of. */
static void
map_pieces(void)
{
    map_right();
    (void) madvise(map + HALF, HALF, MADV_DONTFORK);
}


static void
map_among_others(void)
{
    char mapped[sizeof(path)];
    unsigned char *room;

    (void) strcpy(mapped, path);
    room = map_room();
    map = map_part(room + PAGE, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);

    /* files whose names begin in the same way, on both sides */
    (void) strcat(path, ".x");
    (void) close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    (void) map_part(room, PAGE, PROT_READ, MAP_SHARED, 0);
    (void) unlink(path);
    (void) link(mapped, path);
    (void) map_part(room + PAGE + SIZE, PAGE, PROT_READ, MAP_SHARED, 0);
}


static void
map_nothing(void)
{
}


static void
map_shared(void)
{
    map = map_part(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}


static void
map_read(void)
{
    map = map_part(NULL, SIZE, PROT_READ, MAP_PRIVATE, 0);
}


static void
map_short(void)
{
    map = map_part(NULL, SIZE - PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
}


static void
map_long(void)
{
    map = map_part(NULL, SIZE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
}


static void
map_offset(void)
{
    map = map_part(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                   (size_t) PAGE);
}


static void
map_twice(void)
{
    map_right();
    (void) map_part(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
}


static void
map_halves(size_t second, size_t offset_first, size_t offset_second, int flags)
{
    map = map_room();
    (void) map_part(map, HALF, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                    offset_first);
    (void) map_part(map + second, HALF, PROT_READ | PROT_WRITE, flags,
                    offset_second);
}


static void
map_gap(void)
{
    map_halves(HALF + PAGE, 0, HALF, MAP_PRIVATE);
}


static void
map_order(void)
{
    map_halves(HALF, HALF, 0, MAP_PRIVATE);
}


static void
map_same(void)
{
    map_halves(HALF, 0, 0, MAP_PRIVATE);
}


static void
map_half_shared(void)
{
    map_halves(HALF, 0, HALF, MAP_SHARED);
}


static void
test_pieces(void **state)
{
    (void) state;

    qemu_start(map_pieces);
    begun();
    writes(DATA, 10);
    writes(HALF / PAGE - 1, 10);
    copies_base();
    writes(HALF / PAGE, 10);
    writes(LAST, 0);
    assert_int_equal(sandbox_copy_pages(copy), 4);
    copies_still();
}


static void
test_among_others(void **state)
{
    char other[128];

    (void) state;

    qemu_start(map_among_others);
    begun();
    writes(DATA, 10);
    writes(LAST, 10);
    copies_base();
    copies_still();
    (void) snprintf(other, sizeof(other), "%s.x", path);
    assert_int_equal(unlink(other), 0);
}


static void
not_opened(void)
{
    assert_null(opened(ENOUGH_MS));
    assert_int_equal(err.status, SANDBOX_HV_FAILED);
    assert_non_null(strstr(err.message, "has not mapped"));
    assert_non_null(strstr(err.message, path));
}


static void
test_mappings(void **state)
{
    size_t i;
    static void (*const cases[])(void) = {
        map_nothing, map_shared, map_read,        map_short,
        map_long,    map_offset, map_twice,       map_gap,
        map_order,   map_same,   map_half_shared,
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        qemu_start(cases[i]);
        not_opened();
        qemu_end();
    }
}


/* The right name, and a file that was made since. */
static void
test_replaced(void **state)
{
    (void) state;

    qemu_start(map_right);
    assert_int_equal(unlink(path), 0);
    assert_null(opened(ENOUGH_MS));
    assert_int_equal(err.status, SANDBOX_HV_FAILED);

    base_put(path);
    not_opened();
}


/* All of what is wanted is mapped, and there is more of the file. */
static void
test_longer(void **state)
{
    (void) state;

    qemu_start(map_right);
    assert_int_equal(truncate(path, SIZE + 1048576), 0);
    not_opened();
    assert_int_equal(truncate(path, SIZE), 0);
    begun();
}


/* --- what fails ----------------------------------------------------------- */

static void
test_no_broker(void **state)
{
    (void) state;

    qemu_start(map_right);
    qemu.refuses = 1;
    assert_null(opened(ENOUGH_MS));
    assert_int_equal(err.status, SANDBOX_HV_UNAVAILABLE);
    assert_string_equal(err.message, "none");
    sandbox_copy_close(NULL);
}


static void
test_no_room(void **state)
{
    int kept;

    (void) state;

    qemu_start(map_right);
    begun();
    kept = dup(to);
    room_ends();
    assert_int_equal(sandbox_copy_base(copy, to, &err), SANDBOX_HV_NO_CAPACITY);

    /* the machine has not ended by that */
    assert_int_equal(dup2(kept, to), to);
    (void) close(kept);
    copies_base();
    writes(HOLE, 10);
    room_ends();
    assert_int_equal(sandbox_copy_still(copy, &err), SANDBOX_HV_NO_CAPACITY);
    assert_non_null(strstr(err.message, "No space left"));
}


/* Another reason not to write. */
static void
test_too_large(void **state)
{
    struct rlimit old, limit;
    sandbox_hv_status_t status;

    (void) state;

    qemu_start(map_right);
    begun();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = HALF;
    (void) signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    status = sandbox_copy_base(copy, to, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, SANDBOX_HV_FAILED);
}


static void
test_deadline(void **state)
{
    (void) state;

    qemu_start(map_right);
    copy = opened(-1);
    assert_non_null(copy);
    assert_int_equal(sandbox_copy_base(copy, to, &err), SANDBOX_HV_TIMEOUT);
    assert_int_equal(sandbox_copy_look(copy, &err), SANDBOX_HV_TIMEOUT);
    assert_int_equal(sandbox_copy_still(copy, &err), SANDBOX_HV_TIMEOUT);
    assert_true(sandbox_copy_pages(copy) == SIZE_MAX);
    sandbox_copy_mapped(copy, ENOUGH_MS);
}


static void
test_dead(void **state)
{
    (void) state;

    qemu_start(map_right);
    begun();
    writes(DATA, 10);
    copies_base();
    qemu_end();
    assert_int_equal(sandbox_copy_base(copy, to, &err), SANDBOX_HV_FAILED);
    assert_int_equal(sandbox_copy_look(copy, &err), SANDBOX_HV_FAILED);
    assert_int_equal(sandbox_copy_still(copy, &err), SANDBOX_HV_FAILED);
    assert_true(sandbox_copy_pages(copy) == SIZE_MAX);
}


/* A file in the place of maps: that much of it is read, and no more. */
static void
not_maps(const char *piece, size_t len, off_t most)
{
    size_t i;

    qemu.maps = memfd_create("maps", MFD_CLOEXEC);
    assert_int_not_equal(qemu.maps, -1);

    for (i = 0; i < NOT_MAPS; i += len) {
        assert_int_equal(write(qemu.maps, piece, len), len);
    }

    assert_int_equal(lseek(qemu.maps, 0, SEEK_SET), 0);
    copy = opened(ENOUGH_MS);
    assert_null(copy);
    assert_int_equal(err.status, SANDBOX_HV_FAILED);
    assert_in_range(lseek(qemu.maps, 0, SEEK_CUR), 1, most);
    (void) close(qemu.maps);
    qemu.maps = 0;
}


/* A QEMU that answers in the broker's place may send anything of /proc. */
static void
test_not_maps(void **state)
{
    static char text[65536];

    (void) state;
    qemu_start(map_right);

    not_maps(text, sizeof(text), 65536);
    memset(text, 'x', sizeof(text));
    not_maps(text, sizeof(text), 65536);
    memset(text, '\n', sizeof(text));
    not_maps(text, sizeof(text), NOT_MAPS / 2 + 65536);
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    int rc;
    const struct CMUnitTest tests[] = {
        TEST(test_base),        TEST(test_own),      TEST(test_given_back),
        TEST(test_random),      TEST(test_holes),    TEST(test_mapped),
        TEST(test_mapped_dead), TEST(test_pieces),   TEST(test_among_others),
        TEST(test_mappings),    TEST(test_replaced), TEST(test_longer),
        TEST(test_no_broker),   TEST(test_no_room),  TEST(test_too_large),
        TEST(test_deadline),    TEST(test_dead),     TEST(test_not_maps),
    };

    /* elsewhere there is no tmpfs, whose memory it is */
    if (tests_begin() != 0) {
        return 0;
    }

    rc = cmocka_run_group_tests(tests, NULL, NULL);
    tests_end();

    return rc;
}
