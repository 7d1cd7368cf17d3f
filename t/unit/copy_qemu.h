/*
 * A process that has a file of tmpfs mapped as QEMU has its memory, does as it
 * is told, and is copied: what the tests of the copying share.
 */

#ifndef COPY_QEMU_H
#define COPY_QEMU_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "sandbox_copy.h"
#include "stream_bytes.h"

#define MB 4
#define SIZE (MB * 1048576)
#define PAGES (SIZE / PAGE)
#define HALF (SIZE / 2)
#define RAM SANDBOX_DOMAIN_RAM
#define ENOUGH_MS 20000

/* Of the base: where there is data, zeroes, and a hole up to the next. */
#define DATA 0
#define ZEROES 100
#define HOLE 200
#define MORE 500
#define HOLE_2 600
#define LAST (PAGES - 1)

extern char directory[]; /* of the tests' own, on tmpfs */
extern char path[64];    /* what the process maps */
extern int with_disk; /* 1: the memory is in the directory of disks as well */

/* Called in the thread that copies, after a page and before a sleep, or NULL */
extern void (*written)(size_t page);
extern void (*slept)(void);

typedef struct {
    pid_t pid;
    int orders;
    int sends;    /* it writes to the pipe itself */
    int maps;     /* in the place of its own; 0: none */
    int pagemap;  /* likewise */
    uint64_t map; /* where it has its memory */
    int refuses;  /* the broker */
} qemu_t;

/* What it is told, answered with a byte. */
typedef struct {
    int what;
    int value;
    size_t page;
} order_t;

extern qemu_t qemu;
extern unsigned char *map;         /* in the process, for its mapping */
extern unsigned char before[SIZE]; /* what the base has */
extern unsigned char wanted[SIZE]; /* what the copy is to have */
extern sandbox_copy_t *copy;
extern int to;
extern int ends[2]; /* of the pipe that the process sends to */
extern sandbox_hv_error_t err;

/* Around all tests: 0, or -1 where there is no tmpfs; and around each one. */
int tests_begin(void);
void tests_end(void);
int setup(void **state);
int teardown(void **state);

/* A page of the number, which is not the same all over unless it is zero. */
void page_fill(unsigned char *page, size_t number, int value);
void base_put(const char *name);
void base_run(int fd, size_t from, size_t end, int value);
/* From here on there is no room where the copy goes. */
void room_ends(void);

/* In the process: a mapping of the file; and the right one. */
unsigned char *
map_part(void *at, size_t len, int protection, int flags, size_t offset);
void map_right(void);

void qemu_start(void (*maps)(void));
void qemu_end(void);
/*
 * 'w': writes to a page, 'd': gives it back, 'r': reads it, 'p': protects them
 * all, 's': goes on, sends them, and answers no more.
 */
void tell(char what, size_t page, int value);
/* The same, and it is wanted. */
void writes(size_t page, int value);
void gives(size_t page);
void touches(size_t from, size_t end);
void changes(unsigned *seed);

/* The copying, which is to be right but for opened(). */
sandbox_copy_t *opened(int64_t ms);
void begun(void);
void copies_base(void);
void copies_still(void);
void assert_copied(void);

#endif
