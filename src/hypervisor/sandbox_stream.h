/*
 * The begin of what QEMU (7.2 to 10) writes when it migrates: a header, what
 * the stream was made with, and the memory, up to where the first section of
 * a device begins.  Of a running machine that is its memory; of a saved device
 * state it is what all device states of that machine begin with.
 *
 * QEMU is not trusted here: its guest may have taken it over.  What is not
 * known to belong to such a stream is an error, and nothing is allocated.
 *
 * A snapshot of a running machine (background-snapshot) has no last section of
 * its memory: the devices follow when all has been sent.  So that the memory
 * is over says not that every page was in it; who needs them all counts them.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_STREAM_H
#define SANDBOX_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SANDBOX_STREAM_PAGE 4096
#define SANDBOX_STREAM_BLOCKS 32
#define SANDBOX_STREAM_NAME 255

/* A page with the name of its block: feed() goes on with so much of it. */
#define SANDBOX_STREAM_RECORD_MAX                                              \
    (8 + 1 + SANDBOX_STREAM_NAME + SANDBOX_STREAM_PAGE)

typedef struct {
    char name[SANDBOX_STREAM_NAME + 1];
    uint64_t length;
} sandbox_stream_block_t;

typedef struct {
    /*
     * A block is listed, before any page.  Nonzero ends the parse as an error,
     * here and below.  NULL: of no interest.
     */
    int (*block)(void *data, const char *name, uint64_t length);

    /*
     * A page of a block that was listed; content is valid during the call,
     * NULL: zeroes.  A page may come more than once, the last one holds.
     */
    int (*page)(void *data, const char *block, uint64_t offset,
                const unsigned char *content);
    void *data;

    int done;          /* out: devices or the end follow; no more is consumed */
    uint64_t at;       /* out: bytes consumed so far */
    const char *error; /* out: why feed() failed, static */

    /* private */
    int state;
    int ram;    /* how far: see the source */
    int type;   /* of the section */
    int listed; /* the blocks are, or are being */
    int ignore_shared;
    uint32_t ram_id;
    uint32_t capabilities; /* still to come */
    size_t skip;           /* of a command */
    uint64_t unlisted;     /* bytes of blocks still to be listed */
    int nblocks;
    int current; /* block of the page before; -1: none */
    sandbox_stream_block_t blocks[SANDBOX_STREAM_BLOCKS];
} sandbox_stream_t;

/* The callbacks are set afterwards. */
void sandbox_stream_init(sandbox_stream_t *s);

/*
 * Consumes whole records of data: how many bytes, which may be fewer than len.
 * The rest is to be given again with more behind it.  -1: error, and for ever
 * after; callbacks of what was before it have been called.  After done: 0.
 */
ssize_t
sandbox_stream_feed(sandbox_stream_t *s, const unsigned char *data, size_t len);

#endif
