/* What QEMU writes when it migrates, made by hand: the bytes of one stream. */

#ifndef STREAM_BYTES_H
#define STREAM_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox_stream.h"

#define PAGE SANDBOX_STREAM_PAGE

/* in the low bits of a record of the memory */
#define ZERO 0x02u
#define MEM_SIZE 0x04u
#define CONTENT 0x08u
#define EOS 0x10u
#define CONTINUE 0x20u

/* types of sections */
#define START 1u
#define PART 2u
#define END 3u
#define FULL 4u

#define RAM_ID 3u

typedef struct {
    unsigned char data[131072];
    size_t len;
} stream_bytes_t;

/* All that is below goes to its end; header() begins it anew. */
extern stream_bytes_t b;

/* b, h, w, q: big-endian numbers of 1 to 8 bytes; s: a text and its length. */
void put(const char *types, ...);
void fill(unsigned value, size_t n);

void header(void);
void configuration(void);
void capability(const char *name);
void start(void);
void footer(void);
void part(unsigned type);
void device(void);

/* Pages; block NULL: the one of the page before. */
void zero(const char *block, uint64_t page);
void content(const char *block, uint64_t page, unsigned value);

#endif
