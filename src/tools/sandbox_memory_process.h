/*
 * Finding the QEMU process of a machine, and opening what the kernel shows of
 * its memory.
 *
 * Never waits; one thread.
 */

#ifndef SANDBOX_MEMORY_PROCESS_H
#define SANDBOX_MEMORY_PROCESS_H

#include <stddef.h>

/* maps, pagemap, mem */
#define MEMORY_PROCESS_FILES 3

/* 1 if it may be a machine's name: "[a-z0-9_]", at most 63 of them. */
int memory_process_id(const char *id);

/*
 * The files of the process whose pid libvirt keeps in pids/<id>.pid, if it runs
 * as our own user (root: as any) and says itself that it is the machine id.
 * 0, and the caller closes fds; or -1, all fds -1, and why.
 */
int memory_process_open(const char *pids, const char *id,
                        int fds[MEMORY_PROCESS_FILES], char *why, size_t size);

#endif
