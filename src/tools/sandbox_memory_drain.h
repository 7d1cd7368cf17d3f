/*
 * Drains pipes into which QEMU sends the memory of a running machine and which
 * no process reads any more: the data is read to its end and dropped, since
 * otherwise QEMU's next write blocks the machine.
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
 * Takes over fd, the reading end of a pipe, which must be O_NONBLOCK.  0; or -1
 * with *why (static) set, and fd stays the caller's.
 */
int memory_drain_take(int fd, const char **why);

/*
 * Takes all pipes "*.fifo" in a directory that no other process has locked
 * (flock).
 */
void memory_drain_look(const char *directory);

/* Fills waits for poll(); returns their number, at most MEMORY_DRAIN_MAX. */
size_t memory_drain_wait(struct pollfd *waits);
/* Reads the pipes that are ready in waits, which poll() has filled. */
void memory_drain_read(const struct pollfd *waits, size_t n);

#endif
