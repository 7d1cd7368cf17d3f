/*
 * Memory files in data_dir/memory, an optional tmpfs.  A machine that runs from
 * such a file can be copied while it runs, because the kernel can write-protect
 * private mappings of tmpfs, but not those of a disk's file system.
 *
 * The files are the worker's, of QEMU's group: the directory has the setgid
 * bit.  A process that uses a file holds it by a lock that ends with the
 * process; files that nobody holds and no domain runs from are tidied away.
 *
 * Not for other rooms.
 */

#ifndef SANDBOX_MEMORY_H
#define SANDBOX_MEMORY_H

#include "sandbox_hv.h"

#include <pthread.h>
#include <sys/stat.h>

#define SANDBOX_MEMORY_PAGE 4096

/* How long a hold waits that can do without the file. */
#define SANDBOX_MEMORY_HOLD_MS 100

/* 1 if the directory can be used; else the reason is logged, once. */
int sandbox_memory_usable(sandbox_hv_conn_t *conn);

/* make and hold: a descriptor that holds the file, to be closed, or -1. */

/*
 * A new file, all of it a hole, with room for all of its pages beside those of
 * all other files here; NO_CAPACITY: there is no room.
 */
int sandbox_memory_make(sandbox_hv_conn_t *conn, const char *name, int64_t mb,
                        char *path, sandbox_hv_error_t *err);
/*
 * An existing file that is whole, of mb MiB.  Waits for ms at most while a
 * tidying has it locked, which may read all of the file meanwhile.
 */
int sandbox_memory_hold(const char *name, int64_t mb, int64_t ms, char *path);
/*
 * Allocates the pages of the holes of a file whose machine is to be copied, in
 * huge pages where the kernel can: QEMU, which reads them all, would otherwise
 * allocate them, and be killed if there were no room.
 */
sandbox_hv_status_t sandbox_memory_reserve(sandbox_hv_conn_t *conn, int fd,
                                           int64_t mb, sandbox_hv_error_t *err);

/*
 * The named pipe "<id>.fifo", made (create) or existing: 0 or -1.  ends: one to
 * write, two to read (O_NONBLOCK); without create only ends[2], the others are
 * -1.  ends[1] has a shared lock: the broker reads away a pipe without a lock.
 */
int sandbox_memory_fifo(const char *id, int create, int ends[3]);
int sandbox_memory_fifo_exists(const char *id);
/* Renames the pipe to that of another id, replacing one there: 0 or -1. */
int sandbox_memory_fifo_rename(const char *id, const char *to);
void sandbox_memory_fifo_remove(const char *id);

/* The file's length in bytes; -1 if there is none. */
int64_t sandbox_memory_length(const char *name);
/* The file's name in a path that is in the directory, else NULL. */
const char *sandbox_memory_name(const char *path);
/* Removes all files called "<id>.*". */
void sandbox_memory_remove(const char *id);

/*
 * sandbox_memory_tidy.c: of the files that nobody holds and no domain runs
 * from, removes those of no checkpoint, and those that are on disk as well and
 * were not used for a while (room: however recently); gives back the room of
 * pages of zeroes.
 */
sandbox_hv_status_t
sandbox_memory_tidy(sandbox_hv_conn_t *conn, int room, sandbox_hv_error_t *err);

/* sandbox_memory_copy.c */

/* The memory of a machine that is started, which a thread may be copying. */
typedef struct {
    char path[SANDBOX_HV_PATH_SIZE];
    int fd;      /* holds the file; -1: none, the machine runs from the disk */
    int from;    /* the file on disk; this and the rest are for the copying */
    int turn;    /* the lock for copying: one at a time on a host */
    int copying; /* 1: thread is to be joined */
    int failed;
    int error;
    pthread_t thread;
} sandbox_memory_start_t;

/*
 * Finds the memory file, or, with copy, begins to copy it from the directory of
 * disks.  A file that is on tmpfs alone is waited for until the deadline
 * (monotonic ms).  QEMU may map the file at once, and may read it only after
 * sandbox_memory_whole().  *start must not move until sandbox_memory_started().
 */
void sandbox_memory_start(sandbox_memory_start_t *start,
                          sandbox_hv_conn_t *conn, const char *name, int64_t mb,
                          int copy, int64_t deadline_ms);
/* Waits for the copying; after OK QEMU may read the file. */
sandbox_hv_status_t
sandbox_memory_whole(sandbox_memory_start_t *start, sandbox_hv_error_t *err);
/* Lets go of the file: always, once the domain runs or is given up. */
void sandbox_memory_started(sandbox_memory_start_t *start);

/* Copies the file to the one of that name in the directory of disks. */
sandbox_hv_status_t sandbox_memory_store(int fd, const char *name, int64_t mb,
                                         sandbox_hv_error_t *err);
int sandbox_memory_is_zero(const unsigned char *page);
/* Gives back the room of pages that are all zeroes, of a file that is held. */
int sandbox_memory_punch(int fd);

/* For sandbox_memory.c, _copy.c and _tidy.c. */

/* Mode bit of a file that is being filled, or whose copier has died. */
#define SANDBOX_MEMORY_DRAFT S_ISVTX

/* Paths of SANDBOX_HV_PATH_SIZE: 0 or -1. */
int sandbox_memory_directory(char *path);
/* flock(): 0, or -1 if others hold the lock for ms. */
int sandbox_memory_lock(int fd, int how, int64_t ms);
/* A new file, all holes, held; one at path is replaced.  -1 with *err. */
int sandbox_memory_create(const char *path, int64_t mb, int whole,
                          sandbox_hv_error_t *err);
/*
 * 1 if there is room for all pages of every file in the directory.  A machine
 * is killed when it touches a page of its file that there is no room for, so
 * room is never promised twice.
 */
int sandbox_memory_fits(void);

typedef struct {
    int from;
    int punch; /* 1: from gets holes where there are zeroes */
    int to;    /* gets what is not zero, or -1 */
} sandbox_memory_walk_t;

int sandbox_memory_walk(const sandbox_memory_walk_t *walk);

#endif
