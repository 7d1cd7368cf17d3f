/*
 * What is said to QEMU's monitor and understood of its answers, where that is
 * more than a name.
 *
 * Pure functions; any thread.
 */

#ifndef SANDBOX_QMP_H
#define SANDBOX_QMP_H

#include <stdint.h>

#define SANDBOX_QMP_URI_SIZE 1088

/*
 * 1 if libvirt is reached by a socket of this machine: its boot is ours then,
 * and descriptors can be passed.
 */
int sandbox_qmp_local(const char *uri);

/*
 * "file:PATH,offset=N" for a migration, QEMU 8.2 and later.  0, or -1: the
 * path cannot be said so.
 */
int sandbox_qmp_file(char uri[SANDBOX_QMP_URI_SIZE], const char *path,
                     int64_t offset);

/*
 * Of the answer to query-migrate: 1 if a page of the memory has been sent, 0
 * if none has, or it cannot be told.  The first page comes after everything
 * that must be done while the machine stands still.
 */
int sandbox_qmp_sends(const char *answer);

/*
 * Of the answer to query-migrate-capabilities: 1 if it is on, 0 if it is off,
 * unknown, or it cannot be told.
 */
int sandbox_qmp_is_on(const char *answer, const char *capability);

#endif
