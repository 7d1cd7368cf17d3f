/*
 * QEMU's migration stream up to its devices; see the header.
 *
 * Functions below that take a record return its bytes, 0 if not all of it is
 * there yet, or -1.  They do not look at what follows the record, so the stream
 * is understood in the same way however it is cut into pieces.
 */

#include "sandbox_stream.h"

#include <string.h>

#define STREAM_MAGIC 0x5145564d
#define STREAM_VERSION 3
#define STREAM_RAM_VERSION 4
#define STREAM_MACHINE_MAX 63
#define STREAM_PAGE_BITS 12
#define STREAM_UUID_LEN 16

/* The first byte of a section, its type; also of a subsection and a footer. */
#define STREAM_EOF 0x00
#define STREAM_START 0x01
#define STREAM_PART 0x02
#define STREAM_END 0x03
#define STREAM_FULL 0x04
#define STREAM_SUBSECTION 0x05
#define STREAM_CONFIGURATION 0x07
#define STREAM_COMMAND 0x08
#define STREAM_FOOTER 0x7e

/*
 * Commands that change nothing of what follows.  All others are refused: they
 * belong to postcopy and COLO, which send the devices in packages.
 */
#define STREAM_OPEN_RETURN_PATH 1
#define STREAM_PING 2
#define STREAM_SWITCHOVER_START 11

/*
 * Flags in the low bits of the eight bytes that a record of the memory begins
 * with; the other bits are an offset or a size, which is in whole pages.
 */
#define STREAM_ZERO 0x02
#define STREAM_MEM_SIZE 0x04
#define STREAM_CONTENT 0x08
#define STREAM_EOS 0x10
#define STREAM_CONTINUE 0x20
#define STREAM_FLAGS (SANDBOX_STREAM_PAGE - 1)

/* Which record is next. */
enum {
    STREAM_AT_HEADER = 0,
    STREAM_AT_BEGIN, /* the first section, which may be a configuration */
    STREAM_AT_CONFIGURATION,
    STREAM_AT_CAPABILITY,
    STREAM_AT_SECTION,
    STREAM_AT_SKIP,
    STREAM_AT_RAM,
    STREAM_AT_BLOCK,
    STREAM_AT_FOOTER
};

enum { STREAM_RAM_NONE = 0, STREAM_RAM_STARTED, STREAM_RAM_ENDED };


static uint32_t
stream_be16(const unsigned char *p)
{
    return (uint32_t) p[0] << 8 | p[1];
}


static uint32_t
stream_be32(const unsigned char *p)
{
    return stream_be16(p) << 16 | stream_be16(p + 2);
}


static uint64_t
stream_be64(const unsigned char *p)
{
    return (uint64_t) stream_be32(p) << 32 | stream_be32(p + 4);
}


static ssize_t
stream_fail(sandbox_stream_t *s, const char *error)
{
    s->error = error;

    return -1;
}


/* 1 if the len bytes at p are the text. */
static int
stream_is(const unsigned char *p, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(p, text, len) == 0;
}


void
sandbox_stream_init(sandbox_stream_t *s)
{
    memset(s, 0, sizeof(*s));
    s->current = -1;
}


static ssize_t
stream_header(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    if (len < 8) {
        return 0;
    }

    if (stream_be32(p) != STREAM_MAGIC) {
        return stream_fail(s, "it is no migration stream");
    }

    if (stream_be32(p + 4) != STREAM_VERSION) {
        return stream_fail(s, "the stream's version is unknown");
    }

    s->state = STREAM_AT_BEGIN;

    return 8;
}


/*
 * Takes the beginning of the configuration: its type and the machine's name.
 * The rest of the configuration is subsections.
 */
static ssize_t
stream_machine(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    uint32_t n;

    if (len < 5) {
        return 0;
    }

    n = stream_be32(p + 1);
    if (n > STREAM_MACHINE_MAX) {
        return stream_fail(s, "the machine's name is too long");
    }

    if (len < 5 + n) {
        return 0;
    }

    s->state = STREAM_AT_CONFIGURATION;

    return (ssize_t) (5 + n);
}


/* Takes the number of capabilities; their names are records of their own. */
static ssize_t
stream_capabilities(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    if (len < 4) {
        return 0;
    }

    s->capabilities = stream_be32(p);
    if (s->capabilities) {
        s->state = STREAM_AT_CAPABILITY;
    }

    return 4;
}


static ssize_t
stream_page_bits(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    if (len < 4) {
        return 0;
    }

    if (stream_be32(p) != STREAM_PAGE_BITS) {
        return stream_fail(s, "the machine's pages are not of 4 KiB");
    }

    return 4;
}


/* Takes the part of a subsection behind its name and version. */
static ssize_t
stream_subsection_body(sandbox_stream_t *s, const unsigned char *name, size_t n,
                       const unsigned char *p, size_t len)
{
    if (stream_is(name, n, "configuration/capabilities")) {
        return stream_capabilities(s, p, len);
    }

    if (stream_is(name, n, "configuration/target-page-bits")) {
        return stream_page_bits(s, p, len);
    }

    if (stream_is(name, n, "configuration/uuid")) {
        return len < STREAM_UUID_LEN ? 0 : STREAM_UUID_LEN;
    }

    return stream_fail(s, "a part of the configuration is unknown");
}


static ssize_t
stream_subsection(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    size_t n, head;
    ssize_t body;

    if (len < 2) {
        return 0;
    }

    n = p[1];
    head = 2 + n + 4;

    if (len < head) {
        return 0;
    }

    if (stream_be32(p + 2 + n) != 1) {
        return stream_fail(s, "a version in the configuration is unknown");
    }

    body = stream_subsection_body(s, p + 2, n, p + head, len - head);

    return body > 0 ? (ssize_t) head + body : body;
}


static ssize_t
stream_capability(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    size_t n;

    n = p[0];

    if (len < 1 + n) {
        return 0;
    }

    /* other capabilities in a stream change its format, as mapped-ram does */
    if (!stream_is(p + 1, n, "x-ignore-shared")) {
        return stream_fail(s, "a capability is unknown");
    }

    if (s->ignore_shared) {
        return stream_fail(s, "a capability is named twice");
    }

    s->ignore_shared = 1;

    if (--s->capabilities == 0) {
        s->state = STREAM_AT_CONFIGURATION;
    }

    return (ssize_t) (1 + n);
}


static ssize_t
stream_command(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    uint32_t command;

    if (len < 5) {
        return 0;
    }

    command = stream_be16(p + 1);

    if (command != STREAM_OPEN_RETURN_PATH && command != STREAM_PING
        && command != STREAM_SWITCHOVER_START)
    {
        return stream_fail(s, "a command is unknown");
    }

    s->skip = stream_be16(p + 3);
    s->state = s->skip ? STREAM_AT_SKIP : STREAM_AT_SECTION;

    return 5;
}


/* Takes what is there of a command's data, which is of no interest. */
static ssize_t
stream_skip(sandbox_stream_t *s, size_t len)
{
    size_t n;

    n = len < s->skip ? len : s->skip;
    s->skip -= n;

    if (s->skip == 0) {
        s->state = STREAM_AT_SECTION;
    }

    return (ssize_t) n;
}


/* What follows is records of the memory, in a section of this type. */
static void
stream_enter_ram(sandbox_stream_t *s, int type)
{
    s->type = type;
    s->state = STREAM_AT_RAM;
}


/* Takes the head of the memory's first section. */
static ssize_t
stream_start(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    size_t n, size;

    if (len < 6) {
        return 0;
    }

    n = p[5];
    size = 6 + n + 8;

    if (len < size) {
        return 0;
    }

    if (!stream_is(p + 6, n, "ram") || stream_be32(p + 6 + n) != 0) {
        return stream_fail(s, "a section that comes in parts is no memory");
    }

    if (stream_be32(p + 6 + n + 4) != STREAM_RAM_VERSION) {
        return stream_fail(s, "the version of the memory is unknown");
    }

    if (s->ram != STREAM_RAM_NONE) {
        return stream_fail(s, "the memory starts twice");
    }

    s->ram = STREAM_RAM_STARTED;
    s->ram_id = stream_be32(p + 1);
    stream_enter_ram(s, STREAM_START);

    return (ssize_t) size;
}


/* Takes the head of a later section of the memory: a part, or the end. */
static ssize_t
stream_part(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    if (len < 5) {
        return 0;
    }

    if (s->ram == STREAM_RAM_NONE) {
        return stream_fail(s, "a part comes before the memory starts");
    }

    if (s->ram == STREAM_RAM_ENDED) {
        return stream_fail(s, "a part comes after the memory's end");
    }

    if (stream_be32(p + 1) != s->ram_id) {
        return stream_fail(s, "a part is not of the memory");
    }

    stream_enter_ram(s, p[0]);

    return 5;
}


/*
 * Ends the parse before a section that comes after the memory, and consumes
 * nothing of it.  The memory must have come as far as `ram`, else it fails.
 */
static ssize_t
stream_over(sandbox_stream_t *s, int ram, const char *error)
{
    if (s->ram < ram) {
        return stream_fail(s, error);
    }

    s->done = 1;

    return 0;
}


static ssize_t
stream_section(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    switch (p[0]) {
    case STREAM_START:
        return stream_start(s, p, len);

    case STREAM_PART:
    case STREAM_END:
        return stream_part(s, p, len);

    case STREAM_COMMAND:
        return stream_command(s, p, len);

    case STREAM_FULL:
        return stream_over(s, STREAM_RAM_STARTED,
                           "devices come before the memory");

    case STREAM_EOF:
        return stream_over(s, STREAM_RAM_ENDED,
                           "the stream ends before the memory");

    default:
        return stream_fail(s, "a section's type is unknown");
    }
}


static ssize_t
stream_begin(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    return p[0] == STREAM_CONFIGURATION ? stream_machine(s, p, len)
                                        : stream_section(s, p, len);
}


static ssize_t
stream_configuration(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    return p[0] == STREAM_SUBSECTION ? stream_subsection(s, p, len)
                                     : stream_section(s, p, len);
}


/* The index of the block of this name; -1: there is none. */
static int
stream_find(const sandbox_stream_t *s, const unsigned char *name, size_t n)
{
    int i;

    for (i = 0; i < s->nblocks; i++) {
        if (stream_is(name, n, s->blocks[i].name)) {
            return i;
        }
    }

    return -1;
}


/* Takes the size of all blocks together, in bytes; their list follows. */
static ssize_t
stream_mem_size(sandbox_stream_t *s, uint64_t total)
{
    if (s->type != STREAM_START || s->listed) {
        return stream_fail(s, "blocks are listed where they must not be");
    }

    if (total == 0) {
        return stream_fail(s, "the memory has no blocks");
    }

    s->listed = 1;
    s->unlisted = total;
    s->state = STREAM_AT_BLOCK;

    return 8;
}


/* Takes the end of a section's records; its footer follows. */
static ssize_t
stream_eos(sandbox_stream_t *s, uint64_t offset)
{
    if (offset != 0) {
        return stream_fail(s, "the end of a section has an offset");
    }

    if (!s->listed) {
        return stream_fail(s, "the memory's blocks are not listed");
    }

    s->state = STREAM_AT_FOOTER;

    return 8;
}


/* What is wrong with a block that is listed; NULL: nothing. */
static const char *
stream_block_fault(const sandbox_stream_t *s, const unsigned char *name,
                   size_t n, uint64_t length)
{
    if (memchr(name, '\0', n)) {
        return "a block has no proper name";
    }

    if (stream_find(s, name, n) != -1) {
        return "a block is listed twice";
    }

    if (length == 0 || length % SANDBOX_STREAM_PAGE != 0) {
        return "a block's length is not in pages";
    }

    if (length > s->unlisted) {
        return "the blocks are larger than they are together";
    }

    return s->nblocks == SANDBOX_STREAM_BLOCKS ? "there are too many blocks"
                                               : NULL;
}


static ssize_t
stream_block(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    size_t n, size;
    const char *fault;
    sandbox_stream_block_t *b;

    n = p[0];

    if (n == 0) {
        return stream_fail(s, "a block has no name");
    }

    /* name and length; with x-ignore-shared also the address in the guest */
    size = 1 + n + 8 + (s->ignore_shared ? 8 : 0);

    if (len < size) {
        return 0;
    }

    fault = stream_block_fault(s, p + 1, n, stream_be64(p + 1 + n));
    if (fault) {
        return stream_fail(s, fault);
    }

    b = &s->blocks[s->nblocks++];
    memcpy(b->name, p + 1, n);
    b->name[n] = '\0';
    b->length = stream_be64(p + 1 + n);
    s->unlisted -= b->length;

    if (s->block && s->block(s->data, b->name, b->length) != 0) {
        return stream_fail(s, "a block is refused");
    }

    if (s->unlisted == 0) {
        s->state = STREAM_AT_RAM;
    }

    return (ssize_t) size;
}


/*
 * Takes what precedes a page's content: offset and flags, and the name of its
 * block, unless that is the one of the page before.  Sets s->current.
 */
static ssize_t
stream_page_head(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    size_t n;

    if (p[7] & STREAM_CONTINUE) {
        return s->current != -1
                   ? 8
                   : stream_fail(s, "a page goes on with no block");
    }

    if (len < 9) {
        return 0;
    }

    n = p[8];
    if (len < 9 + n) {
        return 0;
    }

    s->current = stream_find(s, p + 9, n);

    return s->current != -1
               ? (ssize_t) (9 + n)
               : stream_fail(s, "a page is of a block that is not listed");
}


static ssize_t
stream_page(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    int zero;
    size_t size;
    ssize_t head;
    uint64_t offset;
    const sandbox_stream_block_t *b;

    head = stream_page_head(s, p, len);
    if (head <= 0) {
        return head;
    }

    b = &s->blocks[s->current];

    /* this cannot wrap: no block is shorter than a page */
    offset = stream_be64(p) & ~(uint64_t) STREAM_FLAGS;
    if (offset > b->length - SANDBOX_STREAM_PAGE) {
        return stream_fail(s, "a page is outside of its block");
    }

    zero = (p[7] & STREAM_ZERO) != 0;
    size = (size_t) head + (zero ? 1 : SANDBOX_STREAM_PAGE);

    if (len < size) {
        return 0;
    }

    p += head;

    if (zero && *p != 0) {
        return stream_fail(s, "a page of zeroes is not of zeroes");
    }

    if (s->page && s->page(s->data, b->name, offset, zero ? NULL : p) != 0) {
        return stream_fail(s, "a page is refused");
    }

    return (ssize_t) size;
}


static ssize_t
stream_ram(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    uint64_t record;

    if (len < 8) {
        return 0;
    }

    record = stream_be64(p);

    switch (record & STREAM_FLAGS) {
    case STREAM_MEM_SIZE:
        return stream_mem_size(s, record & ~(uint64_t) STREAM_FLAGS);

    case STREAM_EOS:
        return stream_eos(s, record & ~(uint64_t) STREAM_FLAGS);

    case STREAM_ZERO:
    case STREAM_ZERO | STREAM_CONTINUE:
    case STREAM_CONTENT:
    case STREAM_CONTENT | STREAM_CONTINUE:
        return stream_page(s, p, len);

    default:
        return stream_fail(s, "a record of the memory is unknown");
    }
}


static ssize_t
stream_footer(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    if (len < 5) {
        return 0;
    }

    if (p[0] != STREAM_FOOTER || stream_be32(p + 1) != s->ram_id) {
        return stream_fail(s, "a section's footer is not its own");
    }

    if (s->type == STREAM_END) {
        s->ram = STREAM_RAM_ENDED;
    }

    s->state = STREAM_AT_SECTION;

    return 5;
}


/* Takes a record; len is not 0. */
static ssize_t
stream_record(sandbox_stream_t *s, const unsigned char *p, size_t len)
{
    switch (s->state) {
    case STREAM_AT_HEADER:
        return stream_header(s, p, len);

    case STREAM_AT_BEGIN:
        return stream_begin(s, p, len);

    case STREAM_AT_CONFIGURATION:
        return stream_configuration(s, p, len);

    case STREAM_AT_CAPABILITY:
        return stream_capability(s, p, len);

    case STREAM_AT_SECTION:
        return stream_section(s, p, len);

    case STREAM_AT_SKIP:
        return stream_skip(s, len);

    case STREAM_AT_RAM:
        return stream_ram(s, p, len);

    case STREAM_AT_BLOCK:
        return stream_block(s, p, len);

    default:
        return stream_footer(s, p, len);
    }
}


ssize_t
sandbox_stream_feed(sandbox_stream_t *s, const unsigned char *data, size_t len)
{
    size_t used;
    ssize_t n;

    if (s->error) {
        return -1;
    }

    for (used = 0; used < len && !s->done; used += (size_t) n) {
        n = stream_record(s, data + used, len - used);
        if (n < 0) {
            return -1;
        }

        if (n == 0) {
            break;
        }

        s->at += (uint64_t) n;
    }

    return (ssize_t) used;
}
