/*
 * Texts for QEMU's monitor: URIs for its commands, and what its answers say.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_QMP_H
#define SANDBOX_QMP_H

#include <stdint.h>

#define SANDBOX_QMP_URI_SIZE 1088

/*
 * 1 if the URI reaches libvirt by a socket of this machine: both share one boot
 * then, and descriptors can be passed.
 */
int sandbox_qmp_local(const char *uri);

/*
 * "file:PATH,offset=N" for a migration, QEMU 8.2 and later.  0, or -1: the path
 * cannot be written in such a URI.
 */
int sandbox_qmp_file(char uri[SANDBOX_QMP_URI_SIZE], const char *path,
                     int64_t offset);

/*
 * From the answer to query-migrate: 1 if a page of the memory has been sent, 0
 * if none has, or that cannot be told.  QEMU sends the first page only after
 * all that it must do while the machine stands still.
 */
int sandbox_qmp_sends(const char *answer);

/*
 * From the answer to query-migrate-capabilities: 1 if the capability is on, 0
 * if it is off or unknown, or that cannot be told.
 */
int sandbox_qmp_is_on(const char *answer, const char *capability);

#endif
