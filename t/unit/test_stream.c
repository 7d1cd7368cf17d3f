/*
 * QEMU's migration stream up to its devices: whole ones as QEMU writes them,
 * cut into all kinds of pieces, and everything that must not be in one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stream_bytes.h"

/* What the callbacks were given, as text, and what came of it. */
typedef struct {
    char log[16384];
    size_t len;
    const char *refuse; /* a line that is answered by nonzero */
    int done;
    uint64_t at;
    const char *error;
} seen_t;

/* What nearly all streams begin with: blocks a of 4 pages and b of 2. */
static void
begin(void)
{
    header();
    configuration();
    start();
    put("q", (uint64_t) 6 * PAGE | MEM_SIZE);
    put("sqsq", "a", (uint64_t) 4 * PAGE, "b", (uint64_t) 2 * PAGE);
    footer();
}


static int
see(seen_t *seen, const char *line)
{
    size_t n;

    n = strlen(line);
    assert_true(seen->len + n < sizeof(seen->log));
    memcpy(seen->log + seen->len, line, n + 1);
    seen->len += n;

    return seen->refuse && strcmp(line, seen->refuse) == 0;
}


static int
see_block(void *data, const char *name, uint64_t length)
{
    char line[512];

    snprintf(line, sizeof(line), "%s of %llu\n", name,
             (unsigned long long) length);

    return see(data, line);
}


static int
see_page(void *data, const char *block, uint64_t offset,
         const unsigned char *page)
{
    int i;
    char line[512];

    for (i = 1; page && i < PAGE; i++) {
        assert_int_equal(page[i], page[0]);
    }

    snprintf(line, sizeof(line), "%s %llu %d\n", block,
             (unsigned long long) offset / PAGE, page ? page[0] : 0);

    return see(data, line);
}


/*
 * Feeds len bytes in pieces, of random lengths if piece is 0.  What is fed is
 * a copy of its own, so that a tool sees who reads behind it.
 */
static void
parse(seen_t *seen, size_t len, size_t piece)
{
    size_t from, to, n;
    ssize_t used;
    unsigned char *copy;
    sandbox_stream_t s;

    sandbox_stream_init(&s);
    s.block = see_block;
    s.page = see_page;
    s.data = seen;
    seen->len = 0;
    seen->log[0] = '\0';
    used = 0;

    for (from = 0, to = 0; to < len && used != -1; from += (size_t) used) {
        n = piece ? piece : (size_t) rand() % 300 + 1;
        to = n < len - to ? to + n : len;

        copy = malloc(to - from);
        assert_non_null(copy);
        memcpy(copy, b.data + from, to - from);
        used = sandbox_stream_feed(&s, copy, to - from);
        free(copy);

        if (used == -1) {
            break;
        }

        assert_true(used >= 0 && (size_t) used <= to - from);
        assert_true(s.at == from + (size_t) used);
        assert_true(s.done
                    || to - from - (size_t) used < SANDBOX_STREAM_RECORD_MAX);
    }

    seen->done = s.done;
    seen->at = s.at;
    seen->error = s.error;
    assert_true((used == -1) == (s.error != NULL));

    /* nothing more, whatever comes */
    if (s.error || s.done) {
        used = sandbox_stream_feed(&s, b.data, b.len);
        assert_int_equal(used, s.error ? -1 : 0);
        assert_int_equal(s.done, seen->done);
        assert_ptr_equal(s.error, seen->error);
        assert_true(s.at == seen->at);
    }
}


static void
parse_in_pieces(const seen_t *whole)
{
    int i;
    static seen_t seen;

    for (i = 0; i < 4; i++) {
        seen.refuse = whole->refuse;
        parse(&seen, b.len, i == 0 ? 1 : i == 1 ? 4096 : 0);

        assert_string_equal(seen.log, whole->log);
        assert_int_equal(seen.done, whole->done);
        assert_true(seen.at == whole->at);
        assert_ptr_equal(seen.error, whole->error);
    }
}


/* The stream in b gives log, and is over at. */
static void
expect(const char *log, size_t at)
{
    static seen_t seen;

    parse(&seen, b.len, b.len);
    assert_null(seen.error);
    assert_string_equal(seen.log, log);
    assert_int_equal(seen.done, 1);
    assert_true(seen.at == at);
    parse_in_pieces(&seen);
}


static void
expect_error(const char *error, const char *refuse)
{
    static seen_t seen;

    seen.refuse = refuse;
    parse(&seen, b.len, b.len);
    assert_non_null(seen.error);
    assert_string_equal(seen.error, error);
    assert_int_equal(seen.done, 0);
    parse_in_pieces(&seen);
}


/* All that may be in one; gives where its devices begin. */
static size_t
full(int ignore_shared)
{
    size_t at;

    header();
    configuration();
    put("bsww", 5u, "configuration/target-page-bits", 1u, 12u);
    put("bswqq", 5u, "configuration/uuid", 1u, UINT64_C(1), UINT64_C(2));

    if (ignore_shared) {
        capability("x-ignore-shared");
    } else {
        put("bsww", 5u, "configuration/capabilities", 1u, 0u);
    }

    put("bhh", 8u, 1u, 0u);
    start();
    put("q", (uint64_t) 6 * PAGE | MEM_SIZE);
    put("sq", "sandbox.ram", (uint64_t) 4 * PAGE);
    put(ignore_shared ? "q" : "", UINT64_C(0));
    put("sq", "pc.bios", (uint64_t) 2 * PAGE);
    put(ignore_shared ? "q" : "", UINT64_C(0xfffc0000));
    footer();

    part(PART);
    zero("sandbox.ram", 0);
    content(NULL, 2, 7);
    zero(NULL, 3);
    content("pc.bios", 0, 9);
    footer();

    put("bhhw", 8u, 2u, 4u, 1u);
    put("bhh", 8u, 2u, 10000u);
    fill(0x10, 10000);

    /* the same block as in the part before */
    part(PART);
    content(NULL, 1, 8);
    footer();

    part(PART);
    footer();

    put("bhh", 8u, 11u, 0u);
    part(END);
    zero("sandbox.ram", 1);
    content(NULL, 0, 0);
    footer();

    at = b.len;
    device();

    return at;
}

#define FULL_LOG                                                               \
    "sandbox.ram of 16384\npc.bios of 8192\n"                                  \
    "sandbox.ram 0 0\nsandbox.ram 2 7\nsandbox.ram 3 0\npc.bios 0 9\n"         \
    "pc.bios 1 8\nsandbox.ram 1 0\nsandbox.ram 0 0\n"


static void
test_full(void **state)
{
    size_t at;

    (void) state;

    at = full(0);
    expect(FULL_LOG, at);
    at = full(1);
    expect(FULL_LOG, at);
}


/* Of a running machine: the memory has no end of its own. */
static void
test_snapshot(void **state)
{
    size_t at;

    (void) state;

    begin();
    part(PART);
    zero("b", 1);
    footer();
    at = b.len;
    device();
    expect("a of 16384\nb of 8192\nb 1 0\n", at);

    /* of a machine of old, which has no configuration */
    header();
    start();
    put("qsq", (uint64_t) PAGE | MEM_SIZE, "a", (uint64_t) PAGE);
    footer();
    at = b.len;
    device();
    expect("a of 4096\n", at);
}


static void
test_end(void **state)
{
    size_t at;

    (void) state;

    begin();
    part(END);
    footer();
    at = b.len;
    put("b", 0u);
    expect("a of 16384\nb of 8192\n", at);
}


/* A buffer of a record's size is always enough, also for the longest one. */
static void
test_record(void **state)
{
    int i;
    char name[256];
    size_t from, n;
    ssize_t used;
    sandbox_stream_t s;

    (void) state;

    memset(name, 'n', 255);
    name[255] = '\0';

    header();
    configuration();
    capability("x-ignore-shared");
    start();
    put("qsqq", (uint64_t) PAGE | MEM_SIZE, name, (uint64_t) PAGE, UINT64_C(0));
    footer();

    for (i = 0; i < 3; i++) {
        part(PART);
        content(name, 0, 1);
        footer();
    }

    put("bhh", 8u, 2u, 65535u);
    fill(0, 65535);
    part(END);
    footer();
    device();

    sandbox_stream_init(&s);
    assert_true(b.len > SANDBOX_STREAM_RECORD_MAX);

    /* and nobody has to listen */
    for (from = 0; !s.done; from += (size_t) used) {
        n = b.len - from;
        n = n < SANDBOX_STREAM_RECORD_MAX ? n : SANDBOX_STREAM_RECORD_MAX;
        used = sandbox_stream_feed(&s, b.data + from, n);
        assert_true(used > 0);
    }

    assert_null(s.error);
}


/* One byte less than all of it is not enough, wherever it ends. */
static void
test_truncated(void **state)
{
    size_t at, len;
    static seen_t seen;

    (void) state;

    at = full(1);

    for (len = 0; len <= at; len += len < 400 || at - len < 400 ? 1 : 97) {
        parse(&seen, len, len);
        assert_null(seen.error);
        assert_int_equal(seen.done, 0);
    }

    parse(&seen, at + 1, at + 1);
    assert_int_equal(seen.done, 1);
}


static void
test_refused(void **state)
{
    (void) state;

    full(0);
    expect_error("a block is refused", "pc.bios of 8192\n");
    expect_error("a page is refused", "sandbox.ram 2 7\n");
    expect_error("a page is refused", "sandbox.ram 3 0\n");
}


static void
bad_magic(void)
{
    header();
    b.data[0] = 'q';
}


static void
bad_version(void)
{
    header();
    b.data[7] = 2;
}


static void
bad_machine(void)
{
    header();
    put("bw", 7u, 64u);
}


static void
bad_configuration_again(void)
{
    header();
    configuration();
    configuration();
}


static void
bad_configuration_late(void)
{
    begin();
    configuration();
}


static void
bad_subsection(void)
{
    header();
    configuration();
    put("bsw", 5u, "configuration/capabilitie", 1u);
    fill(0, 4);
}


static void
bad_subsection_version(void)
{
    header();
    configuration();
    put("bsw", 5u, "configuration/capabilities", 2u);
}


static void
bad_subsection_late(void)
{
    begin();
    capability("x-ignore-shared");
}


static void
bad_page_bits(void)
{
    header();
    configuration();
    put("bsww", 5u, "configuration/target-page-bits", 1u, 13u);
}


static void
bad_capability(void)
{
    header();
    configuration();
    capability("mapped-ram");
}


static void
bad_capability_empty(void)
{
    header();
    configuration();
    capability("");
}


static void
bad_capability_twice(void)
{
    header();
    configuration();
    put("bswwss", 5u, "configuration/capabilities", 1u, 0xffffffffu,
        "x-ignore-shared", "x-ignore-shared");
}


static void
bad_capability_again(void)
{
    header();
    configuration();
    capability("x-ignore-shared");
    capability("x-ignore-shared");
}


static void
bad_command(void)
{
    header();
    put("bhhw", 8u, 7u, 4u, 0u);
}


static void
bad_type(void)
{
    begin();
    put("b", 6u);
}


static void
bad_type_vmdesc(void)
{
    header();
    put("b", 0x7eu);
}


static void
bad_start_name(void)
{
    header();
    put("bwsww", START, RAM_ID, "ram2", 0u, 4u);
}


static void
bad_start_instance(void)
{
    header();
    put("bwsww", START, RAM_ID, "ram", 1u, 4u);
}


static void
bad_start_version(void)
{
    header();
    put("bwsww", START, RAM_ID, "ram", 0u, 3u);
}


static void
bad_start_twice(void)
{
    begin();
    start();
}


static void
bad_part_first(void)
{
    header();
    part(PART);
}


static void
bad_part_id(void)
{
    begin();
    put("bw", PART, RAM_ID + 1);
}


static void
bad_end_id(void)
{
    begin();
    put("bw", END, RAM_ID + 1);
}


static void
bad_part_late(void)
{
    begin();
    part(END);
    footer();
    part(PART);
}


static void
bad_full_first(void)
{
    header();
    configuration();
    device();
}


static void
bad_eof_first(void)
{
    header();
    put("b", 0u);
}


static void
bad_eof_early(void)
{
    begin();
    part(PART);
    footer();
    put("b", 0u);
}


static void
bad_footer_type(void)
{
    begin();
    part(PART);
    put("qbw", (uint64_t) EOS, 0x7du, RAM_ID);
}


static void
bad_footer_id(void)
{
    begin();
    part(PART);
    put("qbw", (uint64_t) EOS, 0x7eu, RAM_ID + 1);
}


static void
bad_eos(void)
{
    begin();
    part(PART);
    put("q", (uint64_t) PAGE | EOS);
}


static void
bad_no_list(void)
{
    header();
    start();
    footer();
}


static void
bad_list_late(void)
{
    begin();
    part(PART);
    put("q", (uint64_t) PAGE | MEM_SIZE);
}


static void
bad_list_twice(void)
{
    header();
    start();
    put("qsq", (uint64_t) PAGE | MEM_SIZE, "a", (uint64_t) PAGE);
    put("q", (uint64_t) PAGE | MEM_SIZE);
}


static void
bad_list_empty(void)
{
    header();
    start();
    put("q", (uint64_t) MEM_SIZE);
}


static void
list(const char *name, uint64_t length)
{
    header();
    start();
    put("qsq", (uint64_t) 2 * PAGE | MEM_SIZE, name, length);
}


static void
bad_block_empty(void)
{
    list("", PAGE);
}


static void
bad_block_nul(void)
{
    list("xyz", PAGE);
    b.data[b.len - 9] = '\0';
}


static void
bad_block_twice(void)
{
    list("a", PAGE);
    put("sq", "a", (uint64_t) PAGE);
}


static void
bad_block_length(void)
{
    list("a", PAGE + 1);
}


static void
bad_block_length_0(void)
{
    list("a", 0);
}


static void
bad_block_large(void)
{
    list("a", (uint64_t) 3 * PAGE);
}


static void
bad_block_sum(void)
{
    list("a", PAGE);
    put("sq", "b", UINT64_C(0xfffffffffffff000));
}


static void
bad_blocks(void)
{
    int i;
    char name[16];

    header();
    start();
    put("q", (uint64_t) (SANDBOX_STREAM_BLOCKS + 1) * PAGE | MEM_SIZE);

    for (i = 0; i <= SANDBOX_STREAM_BLOCKS; i++) {
        snprintf(name, sizeof(name), "%d", i);
        put("sq", name, (uint64_t) PAGE);
    }
}


static void
record(unsigned flags)
{
    begin();
    part(PART);
    zero("a", 0);
    put("q", (uint64_t) flags);
    fill(0, 64);
}


static void
bad_record_none(void)
{
    record(0);
}


static void
bad_record_two(void)
{
    record(ZERO | CONTENT);
}


static void
bad_record_continue(void)
{
    record(CONTINUE);
}


static void
bad_record_eos(void)
{
    record(EOS | CONTINUE);
}


static void
bad_record_list(void)
{
    record(MEM_SIZE | CONTINUE);
}


static void
bad_record_full(void)
{
    record(0x01);
}


static void
bad_record_xbzrle(void)
{
    record(0x40 | CONTINUE);
}


static void
bad_record_hook(void)
{
    record(0x80);
}


static void
bad_record_compress(void)
{
    record(0x100 | CONTINUE);
}


static void
bad_record_multifd(void)
{
    record(0x200);
}


static void
bad_record_bit(void)
{
    record(0x800 | CONTENT | CONTINUE);
}


static void
bad_continue(void)
{
    begin();
    part(PART);
    zero(NULL, 0);
}


static void
bad_page_block(void)
{
    begin();
    part(PART);
    zero("ab", 0);
}


static void
bad_page_block_empty(void)
{
    begin();
    part(PART);
    zero("", 0);
}


static void
bad_page_offset(void)
{
    begin();
    part(PART);
    zero("b", 2);
}


static void
bad_page_offset_far(void)
{
    begin();
    part(PART);
    zero("b", 1);
    zero(NULL, UINT64_C(0xfffffffffffff));
}


static void
bad_page_zero(void)
{
    begin();
    part(PART);
    put("qsb", (uint64_t) ZERO, "a", 1u);
}


static void
test_bad(void **state)
{
    size_t i;
    static const struct {
        void (*make)(void);
        const char *error;
    } cases[] = {
        { bad_magic, "it is no migration stream" },
        { bad_version, "the stream's version is unknown" },
        { bad_machine, "the machine's name is too long" },
        { bad_configuration_again, "a section's type is unknown" },
        { bad_configuration_late, "a section's type is unknown" },
        { bad_subsection, "a part of the configuration is unknown" },
        { bad_subsection_version, "a version in the configuration is unknown" },
        { bad_subsection_late, "a section's type is unknown" },
        { bad_page_bits, "the machine's pages are not of 4 KiB" },
        { bad_capability, "a capability is unknown" },
        { bad_capability_empty, "a capability is unknown" },
        { bad_capability_twice, "a capability is named twice" },
        { bad_capability_again, "a capability is named twice" },
        { bad_command, "a command is unknown" },
        { bad_type, "a section's type is unknown" },
        { bad_type_vmdesc, "a section's type is unknown" },
        { bad_start_name, "a section that comes in parts is no memory" },
        { bad_start_instance, "a section that comes in parts is no memory" },
        { bad_start_version, "the version of the memory is unknown" },
        { bad_start_twice, "the memory starts twice" },
        { bad_part_first, "a part comes before the memory starts" },
        { bad_part_id, "a part is not of the memory" },
        { bad_end_id, "a part is not of the memory" },
        { bad_part_late, "a part comes after the memory's end" },
        { bad_full_first, "devices come before the memory" },
        { bad_eof_first, "the stream ends before the memory" },
        { bad_eof_early, "the stream ends before the memory" },
        { bad_footer_type, "a section's footer is not its own" },
        { bad_footer_id, "a section's footer is not its own" },
        { bad_eos, "the end of a section has an offset" },
        { bad_no_list, "the memory's blocks are not listed" },
        { bad_list_late, "blocks are listed where they must not be" },
        { bad_list_twice, "blocks are listed where they must not be" },
        { bad_list_empty, "the memory has no blocks" },
        { bad_block_empty, "a block has no name" },
        { bad_block_nul, "a block has no proper name" },
        { bad_block_twice, "a block is listed twice" },
        { bad_block_length, "a block's length is not in pages" },
        { bad_block_length_0, "a block's length is not in pages" },
        { bad_block_large, "the blocks are larger than they are together" },
        { bad_block_sum, "the blocks are larger than they are together" },
        { bad_blocks, "there are too many blocks" },
        { bad_record_none, "a record of the memory is unknown" },
        { bad_record_two, "a record of the memory is unknown" },
        { bad_record_continue, "a record of the memory is unknown" },
        { bad_record_eos, "a record of the memory is unknown" },
        { bad_record_list, "a record of the memory is unknown" },
        { bad_record_full, "a record of the memory is unknown" },
        { bad_record_xbzrle, "a record of the memory is unknown" },
        { bad_record_hook, "a record of the memory is unknown" },
        { bad_record_compress, "a record of the memory is unknown" },
        { bad_record_multifd, "a record of the memory is unknown" },
        { bad_record_bit, "a record of the memory is unknown" },
        { bad_continue, "a page goes on with no block" },
        { bad_page_block, "a page is of a block that is not listed" },
        { bad_page_block_empty, "a page is of a block that is not listed" },
        { bad_page_offset, "a page is outside of its block" },
        { bad_page_offset_far, "a page is outside of its block" },
        { bad_page_zero, "a page of zeroes is not of zeroes" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cases[i].make();
        expect_error(cases[i].error, NULL);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),      cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_end),       cmocka_unit_test(test_record),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
