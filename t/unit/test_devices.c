/* A machine's devices joined to the begin of the device state that it was
 * started with, and the states that are refused; QEMU is a stub. */

#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox_checkpoint_parts.h"
#include "sandbox_devices.h"
#include "stream_bytes.h"

#define MB 4
#define SIZE (MB * UINT64_C(1048576))

static const unsigned char tail[] = { 6, 0, 0, 0, 2, '{', '}' };

/* What a domain is does not matter here: that there is one. */
static int machine;
static virDomainPtr domain = (virDomainPtr) (void *) &machine;
static sandbox_hv_conn_t conn;

static struct {
    int set; /* what it was given, or 0 */
    int fd;
    int refuses;
    int closed; /* how often */
    const unsigned char *saves;
    size_t len;
} qemu;

static sandbox_devices_t d;
static int origin; /* what is in b, as a file */
static sandbox_hv_error_t err;


/* --- what the devices need of the rest of their room ---------------------- */

int
sandbox_checkpoint_memory(const unsigned char *data, size_t len)
{
    int fd;

    fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_not_equal(fd, -1);

    if (len) {
        assert_int_equal(pwrite(fd, data, len, 0), len);
    }

    return fd;
}


const unsigned char *
sandbox_checkpoint_map(int fd, size_t *len)
{
    void *map;
    struct stat st;

    if (fstat(fd, &st) == -1 || st.st_size == 0) {
        return NULL;
    }

    *len = (size_t) st.st_size;
    map = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);

    return map;
}


sandbox_hv_status_t
sandbox_monitor_fdset(sandbox_hv_conn_t *c, virDomainPtr dom, int set, int fd,
                      sandbox_hv_error_t *e)
{
    assert_ptr_equal(c, &conn);
    assert_ptr_equal(dom, domain);
    assert_true(set > 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);

    if (qemu.refuses) {
        return sandbox_hv_set(e, SANDBOX_HV_FAILED, "refused");
    }

    qemu.set = set;
    qemu.fd = dup(fd);
    return sandbox_hv_ok(e);
}


sandbox_hv_status_t
sandbox_monitor_devices(sandbox_hv_conn_t *c, virDomainPtr dom, int set,
                        sandbox_hv_error_t *e)
{
    assert_ptr_equal(c, &conn);
    assert_ptr_equal(dom, domain);
    assert_int_equal(set, qemu.set);

    if (qemu.len) {
        assert_int_equal(write(qemu.fd, qemu.saves, qemu.len), qemu.len);
    }

    return sandbox_hv_ok(e);
}


sandbox_hv_status_t
sandbox_monitor_fdset_close(sandbox_hv_conn_t *c, virDomainPtr dom, int set,
                            sandbox_hv_error_t *e)
{
    assert_ptr_equal(c, &conn);
    assert_ptr_equal(dom, domain);
    assert_int_equal(set, qemu.set);

    qemu.set = 0;
    (void) close(qemu.fd);
    qemu.closed++;
    return sandbox_hv_ok(e);
}


/* --- device states -------------------------------------------------------- */

typedef struct {
    const char *name;
    uint64_t length;
} block_t;


/* The begin of one, up to the list of blocks. */
static void
state_list(const block_t *blocks)
{
    int i;
    uint64_t total;

    header();
    configuration();
    capability("x-ignore-shared");
    start();

    for (i = 0, total = 0; blocks[i].name; i++) {
        total += blocks[i].length;
    }

    put("q", total | MEM_SIZE);

    for (i = 0; blocks[i].name; i++) {
        put("sqq", blocks[i].name, blocks[i].length, UINT64_C(0x100000));
    }

    footer();
}


/* One as QEMU writes it with its memory shared; gives where devices begin. */
static size_t
state(const block_t *blocks)
{
    size_t at;

    state_list(blocks);
    part(PART);
    content(blocks[1].name, 0, 7);
    zero(NULL, 1);
    footer();
    part(END);
    footer();
    at = b.len;
    device();
    put("b", 0u);

    return at;
}


static const block_t usual[] = {
    { SANDBOX_DOMAIN_RAM, SIZE },
    { "pc.bios", UINT64_C(2) * PAGE },
    { "pc.rom", UINT64_C(2) * PAGE },
    { "/rom@etc/acpi/tables", UINT64_C(4) * PAGE },
    { "/rom@etc/table-loader", UINT64_C(1) * PAGE },
    { "0000:00:01.0/virtio-net-pci.rom", UINT64_C(64) * PAGE },
    { NULL, 0 },
};


/* What is in b is what the machine was started with. */
static sandbox_hv_status_t
opens(int64_t mb)
{
    if (origin != -1) {
        (void) close(origin);
    }

    origin = sandbox_checkpoint_memory(b.data, b.len);
    return sandbox_devices_open(&d, &conn, domain, origin, mb, &err);
}


static int
setup(void **unused)
{
    (void) unused;
    memset(&qemu, 0, sizeof(qemu));
    origin = -1;
    sandbox_devices_init(&d);

    return 0;
}


static int
teardown(void **unused)
{
    (void) unused;
    sandbox_devices_close(&d, &conn, domain);

    if (origin != -1) {
        (void) close(origin);
    }

    return 0;
}


/* What QEMU saves: a head, two devices and the end, which has a byte. */
static size_t
saves(unsigned char *data)
{
    static const unsigned char head[] = { 'Q', 'E', 'V', 'M', 0, 0, 0, 3 };

    memcpy(data, head, sizeof(head));
    memset(data + sizeof(head), FULL, 300);
    memset(data + sizeof(head) + 300, 0xa5, 5000);
    data[sizeof(head) + 5300] = 0;
    qemu.saves = data;
    qemu.len = sizeof(head) + 5301;

    return qemu.len;
}


/* --- tests ---------------------------------------------------------------- */

static void
test_joined(void **unused)
{
    int fd;
    size_t at, len, size;
    const unsigned char *map;
    static unsigned char saved[8192];

    (void) unused;

    at = state(usual);
    len = saves(saved);
    assert_int_equal(opens(MB), SANDBOX_HV_OK);
    assert_int_equal(d.set, qemu.set);
    assert_int_equal(sandbox_devices_save(&d, &conn, domain, &err),
                     SANDBOX_HV_OK);

    fd = sandbox_devices_join(&d, &err);
    assert_int_not_equal(fd, -1);
    assert_int_equal(err.status, SANDBOX_HV_OK);

    map = sandbox_checkpoint_map(fd, &size);
    assert_non_null(map);
    assert_int_equal(size, at + len - 8 + sizeof(tail));
    assert_memory_equal(map, b.data, at);
    assert_memory_equal(map + at, saved + 8, len - 8);
    assert_memory_equal(map + at + len - 8, tail, sizeof(tail));
    (void) munmap((void *) (uintptr_t) map, size);
    (void) close(fd);

    /* and it is read from its begin, as often as is wanted */
    fd = sandbox_devices_join(&d, &err);
    assert_int_not_equal(fd, -1);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    (void) close(fd);
}


/* What was joined is what the next one can be joined to. */
static void
test_joined_again(void **unused)
{
    int fd;
    size_t at;
    static unsigned char saved[8192];

    (void) unused;

    at = state(usual);
    (void) saves(saved);
    assert_int_equal(opens(MB), SANDBOX_HV_OK);
    assert_int_equal(sandbox_devices_save(&d, &conn, domain, &err),
                     SANDBOX_HV_OK);
    fd = sandbox_devices_join(&d, &err);
    assert_int_not_equal(fd, -1);
    sandbox_devices_close(&d, &conn, domain);

    assert_int_equal(sandbox_devices_open(&d, &conn, domain, fd, MB, &err),
                     SANDBOX_HV_OK);
    assert_int_equal(d.prefix, at);
    sandbox_devices_close(&d, &conn, domain);
    (void) close(fd);
}


static void
refused(int64_t mb)
{
    assert_int_equal(opens(mb), SANDBOX_HV_FAILED);
    assert_string_equal(err.message,
                        "the device state it was started with is of another "
                        "kind");
    assert_int_equal(qemu.set, 0);
    assert_int_equal(sandbox_devices_join(&d, &err), -1);
    assert_int_equal(err.status, SANDBOX_HV_FAILED);
    sandbox_devices_close(&d, &conn, domain);
    assert_int_equal(qemu.closed, 0);
}


static void
test_blocks(void **unused)
{
    size_t i;
    static const char *const names[] = {
        "vga.vram", "pc.ram",  "system.flash0",         "pc.bios2",
        ".rom",     "/rom/@a", "0000:00:01.0/pci.rom2", "sandbox.ram2",
    };
    block_t blocks[] = { usual[0], usual[1], { NULL, PAGE }, { NULL, 0 } };
    static const block_t none[] = { { "pc.bios", UINT64_C(2) * PAGE },
                                    { "pc.rom", UINT64_C(2) * PAGE },
                                    { NULL, 0 } };

    (void) unused;

    (void) state(none);
    refused(MB);

    (void) state(usual);
    refused(MB + 1);
    refused(MB - 1);
    refused(0);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        blocks[2].name = names[i];
        (void) state(blocks);
        refused(MB);
    }

    blocks[2].name = "a.rom";
    (void) state(blocks);
    assert_int_equal(opens(MB), SANDBOX_HV_OK);
}


/* Of the guest's memory nothing is in it, for that would be loaded as well. */
static void
test_pages(void **unused)
{
    (void) unused;

    state_list(usual);
    part(PART);
    zero("pc.bios", 1);
    content(SANDBOX_DOMAIN_RAM, 5, 9);
    footer();
    device();
    refused(MB);

    state_list(usual);
    part(PART);
    zero(SANDBOX_DOMAIN_RAM, 5);
    footer();
    device();
    refused(MB);
}


static void
test_streams(void **unused)
{
    size_t at;

    (void) unused;

    /* nothing, and no stream */
    b.len = 0;
    refused(MB);
    header();
    b.data[0] = 'q';
    fill(0, 100);
    refused(MB);
    header();
    refused(MB);

    /* without devices */
    state_list(usual);
    refused(MB);
    part(END);
    footer();
    refused(MB);

    /* cut, somewhere and where they begin */
    at = state(usual);
    b.len = at / 2;
    refused(MB);
    b.len = at;
    refused(MB);

    /* devices before the memory */
    header();
    configuration();
    device();
    refused(MB);

    /* no file */
    assert_int_equal(sandbox_devices_open(&d, &conn, domain, -1, MB, &err),
                     SANDBOX_HV_FAILED);
}


static void
not_joined(size_t len)
{
    qemu.len = len;
    assert_int_equal(opens(MB), SANDBOX_HV_OK);
    assert_int_equal(sandbox_devices_save(&d, &conn, domain, &err),
                     SANDBOX_HV_OK);
    assert_int_equal(sandbox_devices_join(&d, &err), -1);
    assert_int_equal(err.status, SANDBOX_HV_FAILED);
    assert_string_equal(err.message, "QEMU's device state cannot be read");
    sandbox_devices_close(&d, &conn, domain);
}


static void
test_saved(void **unused)
{
    size_t len;
    static unsigned char saved[8192];

    (void) unused;

    (void) state(usual);
    len = saves(saved);

    /* nothing, a part of the head, and nothing behind it */
    not_joined(0);
    not_joined(5);
    not_joined(8);

    saved[0] = 'q';
    not_joined(len);
    saved[0] = 'Q';
    saved[7] = 4;
    not_joined(len);
    saved[7] = 3;

    /* it was never saved */
    assert_int_equal(opens(MB), SANDBOX_HV_OK);
    assert_int_equal(sandbox_devices_join(&d, &err), -1);
    sandbox_devices_close(&d, &conn, domain);

    /* it was never opened */
    assert_int_equal(sandbox_devices_join(&d, &err), -1);
}


static void
test_monitor(void **unused)
{
    (void) unused;

    (void) state(usual);
    qemu.refuses = 1;
    assert_int_equal(opens(MB), SANDBOX_HV_FAILED);
    assert_string_equal(err.message, "refused");
    assert_int_equal(d.set, 0);
    sandbox_devices_close(&d, &conn, domain);
    assert_int_equal(qemu.closed, 0);
    assert_int_equal(d.saved, -1);
}


static void
test_close(void **unused)
{
    int set;

    (void) unused;

    /* before anything */
    sandbox_devices_close(&d, &conn, domain);
    sandbox_devices_close(&d, &conn, NULL);

    (void) state(usual);
    assert_int_equal(opens(MB), SANDBOX_HV_OK);
    set = d.set;

    /* it might not answer: its number is kept, and all else goes */
    sandbox_devices_close(&d, &conn, NULL);
    sandbox_devices_close(&d, &conn, NULL);
    assert_int_equal(qemu.closed, 0);
    assert_int_equal(d.set, set);
    assert_int_equal(d.saved, -1);
    assert_int_equal(d.origin, -1);

    sandbox_devices_close(&d, &conn, domain);
    assert_int_equal(qemu.closed, 1);
    assert_int_equal(qemu.set, 0);
    assert_int_equal(d.set, 0);

    sandbox_devices_close(&d, &conn, domain);
    assert_int_equal(qemu.closed, 1);

    /* the caller's is the caller's */
    assert_int_not_equal(fcntl(origin, F_GETFD), -1);
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_joined),  TEST(test_joined_again), TEST(test_blocks),
        TEST(test_pages),   TEST(test_streams),      TEST(test_saved),
        TEST(test_monitor), TEST(test_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
