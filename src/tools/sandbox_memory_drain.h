/*
 * Pipes into which QEMU sends the memory of a machine that runs, and which
 * nobody reads any more: they are read away to their end, for the machine
 * stands still at its next write otherwise.
 *
 * Never waits; one thread.
 */

#ifndef SANDBOX_MEMORY_DRAIN_H
#define SANDBOX_MEMORY_DRAIN_H

#include <poll.h>
#include <stddef.h>

#define MEMORY_DRAIN_MAX 256

/* 0, or -1 with errno. */
int memory_drain_init(void);
void memory_drain_exit(void);

/*
 * The reading end of a pipe, to be read without waiting; it is this file's
 * afterwards.  0; or -1 and why, fd is left.
 */
int memory_drain_take(int fd, const char **why);

/*
 * Looks in a directory for pipes "*.fifo" that nobody holds (flock), and takes
 * them.
 */
void memory_drain_look(const char *directory);

/* What to wait for; the number of them, at most MEMORY_DRAIN_MAX. */
size_t memory_drain_wait(struct pollfd *waits);
/* The same ones, as poll() has left them. */
void memory_drain_read(const struct pollfd *waits, size_t n);

#endif
