/*
 * A parser for the begin of QEMU's migration stream (7.2 to 10): the header,
 * the configuration, and the memory, up to the first section of a device.  In
 * the stream of a running machine that is its memory; in a saved device state
 * it is the begin that all device states of that machine share.
 *
 * QEMU is not trusted here: its guest may have taken it over.  Anything that is
 * not known to belong to such a stream is an error, and nothing is allocated.
 *
 * A snapshot of a running machine (background-snapshot) has no last section of
 * its memory: the devices follow when all has been sent.  So the end of the
 * memory does not mean that every page was in it; a caller that needs all pages
 * counts them.
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

/* The largest record, a page with its block's name: feed() needs no more. */
#define SANDBOX_STREAM_RECORD_MAX                                              \
    (8 + 1 + SANDBOX_STREAM_NAME + SANDBOX_STREAM_PAGE)

typedef struct {
    char name[SANDBOX_STREAM_NAME + 1];
    uint64_t length;
} sandbox_stream_block_t;

typedef struct {
    /*
     * Called for each block in the list, before any page.  Nonzero ends the
     * parse as an error, here and below.  NULL: not called.
     */
    int (*block)(void *data, const char *name, uint64_t length);

    /*
     * Called for each page of a listed block; content is valid during the call,
     * NULL: zeroes.  A page may come more than once; the last content holds.
     */
    int (*page)(void *data, const char *block, uint64_t offset,
                const unsigned char *content);
    void *data;

    int done;          /* out: devices or the end follow; no more is consumed */
    uint64_t at;       /* out: bytes consumed so far */
    const char *error; /* out: why feed() failed, static */

    /* private */
    int state;
    int ram;    /* state within the memory section: see the source */
    int type;   /* of the section */
    int listed; /* 1: the blocks are listed, or are being */
    int ignore_shared;
    uint32_t ram_id;
    uint32_t capabilities; /* number still to come */
    size_t skip;           /* bytes of a command still to be skipped */
    uint64_t unlisted;     /* bytes of blocks still to be listed */
    int nblocks;
    int current; /* index of the last page's block; -1: none */
    sandbox_stream_block_t blocks[SANDBOX_STREAM_BLOCKS];
} sandbox_stream_t;

/* Zeroes all; the caller sets the callbacks afterwards. */
void sandbox_stream_init(sandbox_stream_t *s);

/*
 * Consumes whole records of data and returns their bytes, which may be fewer
 * than len: the caller gives the rest again, with more behind it.  -1: error,
 * in all later calls too; callbacks for the records before it have been called.
 * After done: 0.
 */
ssize_t
sandbox_stream_feed(sandbox_stream_t *s, const unsigned char *data, size_t len);

#endif
