/*
 * Texts of QEMU's monitor (QMP) and of libvirt: what a URI of libvirt says,
 * URIs for QEMU's commands, and what its answers say.  Answers are whole JSON
 * documents, NUL-terminated.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_QMP_H
#define SANDBOX_QMP_H

#include <stdint.h>

#define SANDBOX_QMP_URI_SIZE 1088 /* with the NUL */

/*
 * 1 if a URI of libvirt ("qemu:///system") leads to a socket of this machine:
 * then libvirtd sees the same boot and files as we do, and descriptors can be
 * passed to it.
 */
int sandbox_qmp_local(const char *uri);

/*
 * Writes "file:PATH,offset=N" (bytes), for a migration with QEMU 8.2 or later.
 * 0, or -1: the path is too long or has ",offset=" in it, or the offset is
 * below 0.
 */
int sandbox_qmp_file(char uri[SANDBOX_QMP_URI_SIZE], const char *path,
                     int64_t offset);

/*
 * From the answer to query-migrate: 1 if a page of the memory has been sent, 0
 * if none has, or if the answer does not tell.  QEMU sends the first page only
 * after all that it must do while the machine stands still.
 */
int sandbox_qmp_sends(const char *answer);

/*
 * From the answer to query-migrate-capabilities: 1 if the capability is on, 0
 * if it is off or unknown, or if the answer does not tell.
 */
int sandbox_qmp_is_on(const char *answer, const char *capability);

#endif
