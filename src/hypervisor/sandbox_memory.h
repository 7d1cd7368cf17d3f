/*
 * Memory files in data_dir/memory, a tmpfs that may be there: what runs from
 * one of them can be copied while it runs, for the kernel protects pages of
 * tmpfs against writing, and no others.
 *
 * They are the worker's own, of QEMU's group: the directory has the setgid
 * bit.  Whoever works with a file holds it, by a lock that ends with its
 * process; what nobody holds and no domain runs from is tidied away.
 *
 * Not for other rooms.
 */

#ifndef SANDBOX_MEMORY_H
#define SANDBOX_MEMORY_H

#include "sandbox_hv.h"

#include <pthread.h>
#include <sys/stat.h>

#define SANDBOX_MEMORY_PAGE 4096

/* 1 if there is such a directory; else why is logged, once. */
int sandbox_memory_usable(sandbox_hv_conn_t *conn);

/* All of them: a descriptor that holds the file, to be closed, or -1. */

/*
 * A new one, all of it a hole, whose room nobody else of this directory takes;
 * NO_CAPACITY: there is none.
 */
int sandbox_memory_make(sandbox_hv_conn_t *conn, const char *name, int64_t mb,
                        char *path, sandbox_hv_error_t *err);
/* One that is there and whole. */
int sandbox_memory_hold(const char *name, int64_t mb, char *path);
/*
 * Of one that is run from and is to be copied: makes the pages of its holes,
 * which whoever touches them would make, and would end if there were no room;
 * in huge pages, where the kernel can.
 */
sandbox_hv_status_t sandbox_memory_reserve(sandbox_hv_conn_t *conn, int fd,
                                           int64_t mb, sandbox_hv_error_t *err);

/*
 * A named pipe "<id>.fifo", made (create) or there: 0 or -1.  ends: to write
 * to, and to read from without waiting, twice; not create: the last one alone,
 * -1 the others.  The second one has a lock (shared): a pipe without is read
 * away by the broker.
 */
int sandbox_memory_fifo(const char *id, int create, int ends[3]);
int sandbox_memory_fifo_exists(const char *id);
/* It is called after another id, in the place of what was: 0 or -1. */
int sandbox_memory_fifo_rename(const char *id, const char *to);
void sandbox_memory_fifo_remove(const char *id);

/* -1 if there is none. */
int64_t sandbox_memory_length(const char *name);
/* The name of a path that is in the directory, or NULL. */
const char *sandbox_memory_name(const char *path);
/* All that are called "<id>.*". */
void sandbox_memory_remove(const char *id);

/*
 * sandbox_memory_tidy.c: removes those of no checkpoint, those that are on
 * disk as well and were not used for a while (room: at all), and gives back
 * the room of zeroes.
 */
sandbox_hv_status_t
sandbox_memory_tidy(sandbox_hv_conn_t *conn, int room, sandbox_hv_error_t *err);

/* sandbox_memory_copy.c */

/* The memory of a machine that is started, which a thread may be copying. */
typedef struct {
    char path[SANDBOX_HV_PATH_SIZE];
    int fd;      /* holds it, or -1: there is none, it runs from the disk */
    int from;    /* the rest is for the copying */
    int turn;    /* its lock: one at a time on a host */
    int copying; /* 1: thread is to be joined */
    int failed;
    int error;
    pthread_t thread;
} sandbox_memory_start_t;

/*
 * It is there, or, with copy, begins to be copied from the directory of disks:
 * QEMU may map it, and may not look into it.  *start stays where it is until
 * sandbox_memory_started().
 */
void
sandbox_memory_start(sandbox_memory_start_t *start, sandbox_hv_conn_t *conn,
                     const char *name, int64_t mb, int copy);
/* Waits until QEMU may look into it. */
sandbox_hv_status_t
sandbox_memory_whole(sandbox_memory_start_t *start, sandbox_hv_error_t *err);
/* Lets go of it; always, when its domain is there or is not to be. */
void sandbox_memory_started(sandbox_memory_start_t *start);

/* Copies the file to the one of that name in the directory of disks. */
sandbox_hv_status_t sandbox_memory_store(int fd, const char *name, int64_t mb,
                                         sandbox_hv_error_t *err);
int sandbox_memory_is_zero(const unsigned char *page);
/* All of it: 0, or -1 with errno. */
int
sandbox_memory_write(int fd, const unsigned char *data, size_t len, off_t at);
/* Of a file that is held: gives back the room of pages that are all zeroes. */
int sandbox_memory_punch(int fd);

/* For these three files. */

/* The mode of one that is being filled, or whose copier has died. */
#define SANDBOX_MEMORY_DRAFT S_ISVTX

/* Paths of SANDBOX_HV_PATH_SIZE: 0 or -1. */
int sandbox_memory_directory(char *path);
/* flock(): 0, or -1 if others have it for that long. */
int sandbox_memory_lock(int fd, int how, int64_t ms);
/* A new one in the place of another, with holes only, held; -1 with *err. */
int sandbox_memory_create(const char *path, int64_t mb, int whole,
                          sandbox_hv_error_t *err);
/*
 * 1 if every file there can get all of its pages.  A machine that runs from
 * one is killed when it touches a page there is no room for, so room is never
 * given away twice.
 */
int sandbox_memory_fits(void);

typedef struct {
    int from;
    int punch; /* 1: from gets holes where there are zeroes */
    int to;    /* gets what is not zero, or -1 */
} sandbox_memory_walk_t;

int sandbox_memory_walk(const sandbox_memory_walk_t *walk);

#endif
