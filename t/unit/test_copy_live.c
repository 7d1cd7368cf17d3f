/* A machine's memory copied out of a process that goes on, and sends what it is
 * about to change; what it sends is the test's, but for the last one. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "copy_qemu.h"
#include "sandbox_time.h"

/* What the kernel says of a page. */
#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)
#define OF_FILE (UINT64_C(1) << 61 | PRESENT)

static int stop;


static int
setup_live(void **state)
{
    stop = 0;
    return setup(state);
}


/* The begin of what is sent; its memory is of so many pages. */
static void
memory_begins(uint64_t pages)
{
    header();
    configuration();
    start();
    put("q", (pages + 2) * PAGE | MEM_SIZE);
    put("sqsq", RAM, pages * PAGE, "pc.bios", UINT64_C(2) * PAGE);
    footer();
    part(PART);
}


static void
memory_ends(void)
{
    footer();
    device();
}


static void
sends_content(size_t page, int value)
{
    content(RAM, page, (unsigned) value);
    memset(wanted + page * PAGE, value, PAGE);
}


static void
sends_zero(size_t page)
{
    zero(RAM, page);
    memset(wanted + page * PAGE, 0, PAGE);
}


/* What is in b goes to the pipe, which has room for it. */
static void
sends(void)
{
    assert_true(b.len <= 65536);
    assert_int_equal(write(ends[1], b.data, b.len), b.len);
    b.len = 0;
}


static void
sender_ends(void)
{
    (void) close(ends[1]);
    ends[1] = -1;
}


/* Its base is copied, it has pages of its own, and will be protected. */
static void protected(void)
{
    qemu_start(map_right);
    begun();
    writes(DATA + 1, 10);
    writes(HOLE + 1, 10);
    writes(HOLE + 2, 0);
    copies_base();
    writes(DATA + 60, 11);
    writes(ZEROES + 60, 11);
    writes(HOLE + 60, 11);
    writes(LAST, 11);
    touches(DATA, PAGES);
    assert_int_equal(sandbox_copy_look(copy, &err), SANDBOX_HV_OK);
}


static sandbox_hv_status_t
live(void)
{
    return sandbox_copy_live(copy, ends[0], &stop, &err);
}


static void
copies_live(void)
{
    assert_int_equal(live(), SANDBOX_HV_OK);
    assert_int_equal(err.status, SANDBOX_HV_OK);
    assert_copied();
}


static void
again(void **state)
{
    assert_int_equal(teardown(state), 0);
    assert_int_equal(setup_live(state), 0);
    protected();
}


static pthread_t thread;
static sandbox_hv_status_t live_status;


static void *
live_run(void *data)
{
    live_status = live();
    return data;
}


static void
live_begins(void)
{
    assert_int_equal(pthread_create(&thread, NULL, live_run, NULL), 0);
}


static void
live_ends(void)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}


/* What comes through the pipe first is not what the machine has by then. */
static void
test_sent_first(void **state)
{
    (void) state;

    protected();
    memory_begins(PAGES);

    /* of others, and nothing of this memory */
    content("pc.bios", 0, 99);
    zero("pc.bios", 1);

    /* its own, as they were */
    sends_content(DATA + 1, 30);
    sends_zero(HOLE + 1);
    sends_content(HOLE + 2, 30);
    tell('w', DATA + 1, 40);
    tell('w', HOLE + 1, 40);
    tell('w', HOLE + 2, 0);

    /* the base's, which are changed now */
    sends_zero(DATA + 2);
    sends_content(DATA + 3, 31);
    sends_content(ZEROES + 3, 32);
    sends_zero(ZEROES + 4);
    tell('w', DATA + 2, 41);
    tell('w', DATA + 3, 0);
    tell('w', ZEROES + 3, 41);
    tell('w', ZEROES + 4, 41);

    /* the last one holds */
    sends_content(DATA + 4, 33);
    sends_zero(DATA + 4);
    sends_zero(HOLE + 7);
    sends_content(HOLE + 7, 34);

    memory_ends();
    sends();
    copies_live();
}


static int sends_left;


static void
sends_after(size_t page)
{
    if (sends_left == 3 && page == DATA + 1) {
        sends_left--;
        sends_content(DATA + 1, 50);
        sends();

    } else if (sends_left == 2 && page == HOLE + 60) {
        /* and one that was read long ago */
        sends_left--;
        sends_zero(DATA + 60);
        sends_zero(HOLE + 60);
        sends_zero(DATA);
        sends();

    } else if (sends_left == 1 && page == LAST) {
        sends_left--;
        sends_content(LAST, 51);
        sends();
    }
}


/* A page that was read of the process comes through the pipe afterwards. */
static void
test_sent_after(void **state)
{
    (void) state;

    protected();
    memory_begins(PAGES);
    sends_zero(HOLE);
    sends();
    sends_left = 3;
    written = sends_after;

    /* and nobody waits for the rest */
    copies_live();
    assert_int_equal(sends_left, 0);
}


static int copied;


static void
counts(size_t page)
{
    (void) page;
    (void) __atomic_fetch_add(&copied, 1, __ATOMIC_RELAXED);
}


/* It may change its memory until that is protected. */
static void
test_first_page(void **state)
{
    (void) state;

    protected();
    copied = 0;
    written = counts;
    live_begins();

    memory_begins(PAGES);
    sends();
    (void) usleep(20000);
    content("pc.bios", 0, 99);
    sends();
    (void) usleep(20000);
    assert_int_equal(__atomic_load_n(&copied, __ATOMIC_RELAXED), 0);

    writes(DATA + 1, 70);
    writes(DATA + 5, 70);
    writes(DATA + 6, 0);
    writes(HOLE + 1, 0);
    writes(HOLE + 5, 70);
    sends_zero(HOLE + 100);
    memory_ends();
    sends();
    live_ends();
    assert_int_equal(live_status, SANDBOX_HV_OK);
    assert_copied();
}


/* Up to the first page byte by byte, and the rest at one time. */
static void
test_bytes(void **state)
{
    size_t i, n;

    (void) state;

    protected();
    memory_begins(PAGES);
    content("pc.bios", 0, 99);
    sends_content(DATA + 5, 35);
    live_begins();

    for (i = 0; i < b.len; i += n) {
        n = i < 100 || b.len - i < 100 ? 1 : 700;
        n = n < b.len - i ? n : b.len - i;
        assert_int_equal(write(ends[1], b.data + i, n), n);
        (void) usleep(i < 100 ? 0 : 500);
    }

    live_ends();
    assert_int_equal(live_status, SANDBOX_HV_OK);
    assert_copied();
}


static size_t piece;


/* A piece more for each page that is read; the last one for the last. */
static void
sends_piece(size_t page)
{
    size_t n;

    n = page == LAST ? b.len - piece : b.len / 8;

    if (piece + n <= b.len && n) {
        assert_int_equal(write(ends[1], b.data + piece, n), n);
        piece += n;
    }
}


static void
test_pieces_of_record(void **state)
{
    (void) state;

    protected();
    memory_begins(PAGES);
    sends_zero(HOLE + 5);
    sends();

    sends_content(DATA + 5, 36);
    sends_content(HOLE + 60, 37);
    piece = 0;
    written = sends_piece;
    copies_live();
    assert_int_equal(piece, b.len);
}


/* The pipe is read while the copying goes on, so nobody waits for room. */
static void
sends_much(size_t page)
{
    int len, i;

    if (page != HOLE + 2 && page != DATA + 60 && page != LAST) {
        return;
    }

    assert_int_equal(ioctl(ends[0], FIONREAD, &len), 0);
    assert_int_equal(len, 0);

    for (i = 0; i < 10; i++) {
        content("pc.bios", 0, 1);
    }

    sends_content(HOLE + 90, (int) page % 99 + 1);
    sends();
}


static void
test_in_between(void **state)
{
    (void) state;

    protected();
    memory_begins(PAGES);
    sends_zero(HOLE);
    sends();
    written = sends_much;
    copies_live();
}


static void
fails(sandbox_hv_status_t status)
{
    /* of what was before nothing is said */
    errno = ENOSPC;
    assert_int_equal(live(), status);
    assert_int_equal(err.status, status);
    assert_true(err.message[0] != '\0');
}


static void
test_sender_ends(void **state)
{
    protected();
    sender_ends();
    fails(SANDBOX_HV_FAILED);

    again(state);
    memory_begins(PAGES);
    sends();
    sender_ends();
    fails(SANDBOX_HV_FAILED);

    /* it had begun, and what it might have changed since is not here */
    again(state);
    memory_begins(PAGES);
    sends_zero(DATA + 1);
    footer();
    sends();
    sender_ends();
    fails(SANDBOX_HV_FAILED);

    /* all of it has been sent */
    again(state);
    memory_begins(PAGES);
    sends_zero(DATA + 1);
    memory_ends();
    fill(0x99, 20000);
    sends();
    sender_ends();
    copies_live();
}


static void
sends_bad(size_t page)
{
    if (page == DATA + 60) {
        fill(0xff, 100);
        sends();
    }
}


static void
sends_bad_last(size_t page)
{
    if (page == LAST) {
        sends_bad(DATA + 60);
    }
}


static void
test_malformed(void **state)
{
    protected();
    header();
    b.data[0] = 'q';
    sends();
    fails(SANDBOX_HV_FAILED);
    assert_non_null(strstr(err.message, "it is no migration stream"));

    again(state);
    memory_begins(PAGES);
    sends_zero(DATA + 1);
    fill(0xff, 100);
    sends();
    fails(SANDBOX_HV_FAILED);

    again(state);
    memory_begins(PAGES);
    sends_zero(DATA + 1);
    sends();
    written = sends_bad;
    fails(SANDBOX_HV_FAILED);

    /* behind the last one */
    again(state);
    memory_begins(PAGES);
    sends_zero(DATA + 1);
    sends();
    written = sends_bad_last;
    fails(SANDBOX_HV_FAILED);
}


static void
test_outside(void **state)
{
    /* of a memory that is longer than it should be */
    protected();
    memory_begins(PAGES + 1);
    zero(RAM, PAGES);
    sends();
    fails(SANDBOX_HV_FAILED);

    again(state);
    memory_begins(PAGES + 1);
    sends_zero(DATA);
    content(RAM, PAGES, 9);
    sends();
    fails(SANDBOX_HV_FAILED);

    /* and of what it says itself */
    again(state);
    memory_begins(PAGES);
    zero(RAM, PAGES);
    sends();
    fails(SANDBOX_HV_FAILED);

    again(state);
    memory_begins(PAGES);
    zero(RAM, UINT64_C(0xfffffffffffff));
    sends();
    fails(SANDBOX_HV_FAILED);
}


static void
stops(size_t page)
{
    (void) page;
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}


static void
test_stop(void **state)
{
    /* waiting */
    protected();
    memory_begins(PAGES);
    sends();
    live_begins();
    (void) usleep(20000);
    stops(0);
    live_ends();
    assert_int_equal(live_status, SANDBOX_HV_FAILED);

    /* and copying */
    again(state);
    memory_begins(PAGES);
    sends_zero(HOLE);
    sends();
    written = stops;
    fails(SANDBOX_HV_FAILED);
}


static void *
sends_for_ever(void *data)
{
    (void) data;

    b.len = 0;

    while (b.len < 60000) {
        content(RAM, DATA + 2, 7);
    }

    while (write(ends[1], b.data, b.len) == (ssize_t) b.len) {
    }

    return NULL;
}


/* There is always more by the time that something is written. */
static void
is_slow(size_t page)
{
    (void) page;
    (void) usleep(1000);
}


static void
test_for_ever(void **state)
{
    int len;
    pthread_t sender;

    (void) state;

    protected();
    memory_begins(PAGES);
    sends_content(DATA + 2, 7);
    sends();
    assert_int_equal(pthread_create(&sender, NULL, sends_for_ever, NULL), 0);

    /* it is as far as it gets before it is read */
    do {
        (void) usleep(1000);
        assert_int_equal(ioctl(ends[0], FIONREAD, &len), 0);
    } while (len < 50000);

    written = is_slow;
    copies_live();
    (void) close(ends[0]);
    ends[0] = -1;
    assert_int_equal(pthread_join(sender, NULL), 0);
}


/* The first page does not come. */
static void
test_live_deadline(void **state)
{
    int64_t ms;

    (void) state;

    qemu_start(map_right);

    for (ms = 50; /* void */; ms *= 2) {
        copy = opened(ms);
        assert_non_null(copy);

        if (sandbox_copy_base(copy, to, &err) == SANDBOX_HV_OK) {
            break;
        }

        assert_int_equal(err.status, SANDBOX_HV_TIMEOUT);
        sandbox_copy_close(copy);
    }

    memory_begins(PAGES);
    sends();
    fails(SANDBOX_HV_TIMEOUT);
}


static void
dies(size_t page)
{
    (void) page;
    qemu_end();
}


static void
test_live_dead(void **state)
{
    (void) state;

    protected();
    memory_begins(PAGES);
    sends_zero(HOLE);
    sends();
    written = dies;
    fails(SANDBOX_HV_FAILED);
}


static void
test_live_no_room(void **state)
{
    /* for what is sent */
    protected();
    room_ends();
    memory_begins(PAGES);
    sends_content(HOLE, 9);
    sends();
    assert_int_equal(live(), SANDBOX_HV_NO_CAPACITY);

    /* and for its own */
    again(state);
    room_ends();
    memory_begins(PAGES);
    sends_zero(HOLE);
    sends();
    assert_int_equal(live(), SANDBOX_HV_NO_CAPACITY);
}


/* The kernel's word on a page, in the place of what it has said. */
static void
says(size_t page, uint64_t word)
{
    assert_int_equal(pwrite(qemu.pagemap, &word, sizeof(word),
                            (off_t) ((qemu.map / PAGE + page) * sizeof(word))),
                     sizeof(word));
}


/*
 * Pages that are swapped out.  Of a memory that is protected it may as well be
 * one that is not mapped: then what was seen before holds.
 */
static void
test_swapped(void **state)
{
    (void) state;

    qemu_start(map_right);
    qemu.pagemap = open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    assert_int_not_equal(qemu.pagemap, -1);
    says(LAST, OF_FILE);
    begun();

    writes(DATA, 10);
    writes(HOLE, 10);
    says(DATA, SWAPPED);
    copies_base();
    assert_int_equal(sandbox_copy_pages(copy), 1);
    says(HOLE, PRESENT);
    assert_int_equal(sandbox_copy_look(copy, &err), SANDBOX_HV_OK);
    says(HOLE, SWAPPED);

    /* it would have been sent */
    tell('w', DATA + 1, 10);
    says(DATA + 1, SWAPPED);
    assert_int_equal(sandbox_copy_pages(copy), 3);

    memory_begins(PAGES);
    sends_zero(HOLE + 1);
    sends();
    copies_live();

    /* and of one that is not protected it is its own */
    writes(DATA + 1, 10);
    copies_still();
}


/* 1 if its memory is protected, and it lives. */
static int
protects(void)
{
    char c;
    order_t order = { 'p', 0, 0 };

    assert_int_equal(write(qemu.orders, &order, sizeof(order)), sizeof(order));
    return read(qemu.orders, &c, 1) == 1;
}


/* Valgrind runs one thread at a time, and one that waits for a page is it. */
static int
under_valgrind(void)
{
    const char *preload;

    preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}


/* The guest has time to change what is copied. */
static void
waits(size_t page)
{
    (void) page;
    (void) usleep(20);
}


/* All in earnest: a machine that changes its pages as they are copied. */
static void
test_protected(void **state)
{
    unsigned seed;
    order_t order = { 's', 0, 0 };

    if (under_valgrind()) {
        skip();
    }

    for (seed = 1; seed <= 10; seed++) {
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup_live(state), 0);
        memory_begins(PAGES);
        sends();
        qemu.sends = 1;
        qemu_start(map_right);
        sender_ends();
        begun();
        changes(&seed);
        copies_base();
        changes(&seed);
        touches(DATA, PAGES);
        sandbox_copy_mapped(copy, ENOUGH_MS);
        assert_int_equal(sandbox_copy_look(copy, &err), SANDBOX_HV_OK);

        if (!protects()) {
            skip();
        }

        assert_int_equal(write(qemu.orders, &order, sizeof(order)),
                         sizeof(order));
        written = waits;
        copies_live();
    }
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_live, teardown)

int
main(void)
{
    int rc;
    const struct CMUnitTest tests[] = {
        TEST(test_sent_first),       TEST(test_sent_after),
        TEST(test_first_page),       TEST(test_bytes),
        TEST(test_pieces_of_record), TEST(test_in_between),
        TEST(test_sender_ends),      TEST(test_malformed),
        TEST(test_outside),          TEST(test_stop),
        TEST(test_for_ever),         TEST(test_live_deadline),
        TEST(test_live_dead),        TEST(test_live_no_room),
        TEST(test_swapped),          TEST(test_protected),
    };

    /* elsewhere there is no tmpfs, whose memory it is */
    if (tests_begin() != 0) {
        return 0;
    }

    rc = cmocka_run_group_tests(tests, NULL, NULL);
    tests_end();

    return rc;
}
