/*
 * A parser for the beginning of a migration stream of QEMU (7.2 to 10): the
 * header, the configuration, and the memory, up to the first section of a
 * device.  In the stream of a running machine that part holds its memory; in a
 * saved device state it is what all device states of that machine begin with.
 *
 * QEMU is not trusted here: its guest may have taken it over.  Anything that is
 * not known to belong to such a stream is an error.  Nothing is allocated; how
 * long the stream may be is the caller's to bound.
 *
 * In a snapshot of a running machine (background-snapshot) no section says that
 * the memory is complete: the devices follow when all has been sent.  So the
 * first device does not mean that every page was in the stream; a caller that
 * needs all pages counts them.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_STREAM_H
#define SANDBOX_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SANDBOX_STREAM_PAGE 4096 /* bytes */
#define SANDBOX_STREAM_BLOCKS 32 /* the most blocks that memory may have */
#define SANDBOX_STREAM_NAME 255  /* the longest name of a block */

/*
 * Bytes of the largest record, a page with its block's name: given as many,
 * sandbox_stream_feed() consumes a record, unless the stream is bad or done.
 */
#define SANDBOX_STREAM_RECORD_MAX                                              \
    (8 + 1 + SANDBOX_STREAM_NAME + SANDBOX_STREAM_PAGE)

/* A block of memory (QEMU's RAMBlock); length in bytes, whole pages. */
typedef struct {
    char name[SANDBOX_STREAM_NAME + 1];
    uint64_t length;
} sandbox_stream_block_t;

typedef struct {
    /*
     * Called for each block in the list, before any page.  If this callback or
     * the next one returns nonzero, the parse fails.  Either may be NULL.
     */
    int (*block)(void *data, const char *name, uint64_t length);

    /*
     * Called for each page of a listed block, offset bytes into the block; the
     * whole page is inside of it.  content is valid during the call, NULL: a
     * page of zeroes.  A page may come more than once; the last content holds.
     */
    int (*page)(void *data, const char *block, uint64_t offset,
                const unsigned char *content);
    void *data; /* for the callbacks */

    int done;          /* out: devices or the end follow; no more is consumed */
    uint64_t at;       /* out: bytes consumed so far */
    const char *error; /* out: why feed() failed, static; else NULL */

    /* private */
    int state;         /* which record is next: STREAM_AT_… in the source */
    int ram;           /* how far the memory is: STREAM_RAM_… in the source */
    int type;          /* of the memory's section that is being read */
    int listed;        /* 1: the blocks are listed, or are being */
    int ignore_shared; /* 1: the capability x-ignore-shared is on */
    uint32_t ram_id;   /* section id of the memory */
    uint32_t capabilities; /* number still to come */
    size_t skip;           /* bytes of a command still to be skipped */
    uint64_t unlisted;     /* bytes of blocks still to be listed */
    int nblocks;
    int current; /* index of the last page's block; -1: none */
    sandbox_stream_block_t blocks[SANDBOX_STREAM_BLOCKS];
} sandbox_stream_t;

/* Makes *s ready for a stream; the caller sets the callbacks afterwards. */
void sandbox_stream_init(sandbox_stream_t *s);

/*
 * Consumes the whole records that data begins with, and returns their bytes,
 * which may be fewer than len: the caller gives the rest again, with more
 * behind it.  -1: the stream has failed, for all later calls too; callbacks for
 * the records before the bad one have been called.  0 once s->done is set.
 */
ssize_t
sandbox_stream_feed(sandbox_stream_t *s, const unsigned char *data, size_t len);

#endif
