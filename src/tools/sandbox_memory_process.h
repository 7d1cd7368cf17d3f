/*
 * Finds the QEMU process of a machine, and opens the kernel's files of its
 * memory.
 *
 * Never waits; one thread.
 */

#ifndef SANDBOX_MEMORY_PROCESS_H
#define SANDBOX_MEMORY_PROCESS_H

#include <stddef.h>

/* maps, pagemap, mem */
#define MEMORY_PROCESS_FILES 3

/* 1 if id may be a machine's name: 1 to 63 characters of [a-z0-9_]. */
int memory_process_id(const char *id);

/*
 * Opens the files of the process whose pid libvirt keeps in pids/<id>.pid, if
 * the process runs as our own user (root: as any) and its arguments name the
 * machine id.  0, and the caller closes fds; or -1 with all fds -1 and the
 * reason in why (size bytes).
 */
int memory_process_open(const char *pids, const char *id,
                        int fds[MEMORY_PROCESS_FILES], char *why, size_t size);

#endif
