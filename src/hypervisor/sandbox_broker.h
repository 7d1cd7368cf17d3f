/*
 * The client of the memory broker of a hypervisor
 * (src/tools/sandbox_memory_broker.c), which opens for a worker files that only
 * QEMU's own user may open; and the protocol between the two.
 *
 * A connection is one request and one answer, a message each (SOCK_SEQPACKET):
 *
 *     open ID     answered with maps, pagemap and mem of ID's process
 *     drain       with the reading end of a pipe, which does not wait
 *
 * by "ok" and descriptors, or "error: why".
 *
 * Any thread; waits at most two seconds.
 */

#ifndef SANDBOX_BROKER_H
#define SANDBOX_BROKER_H

#include "sandbox_hypervisor.h"

/*
 * In a directory of the broker's own, because the directory above holds files
 * of services of root, and must not belong to QEMU's user.
 */
#ifndef SANDBOX_BROKER_SOCKET
#define SANDBOX_BROKER_SOCKET "/run/nginx-sandbox/memory/socket"
#endif

#define SANDBOX_BROKER_OPEN "open "
#define SANDBOX_BROKER_DRAIN "drain"
#define SANDBOX_BROKER_OK "ok"
#define SANDBOX_BROKER_ERROR "error: "
#define SANDBOX_BROKER_FILES 3

/*
 * /proc/PID/{maps,pagemap,mem} of a sandbox's QEMU, open for reading; the
 * caller closes them.  All -1 on failure.  UNAVAILABLE: the broker is not there
 * or does not answer; FAILED: it has refused.
 */
sandbox_hv_status_t
sandbox_broker_open(const char *sandbox, int fds[SANDBOX_BROKER_FILES],
                    sandbox_hv_error_t *err);

/*
 * Has the broker read and discard what comes through the pipe, until it has no
 * writer any more.  fd, which must be O_NONBLOCK, stays the caller's to close;
 * a lock (flock) on it stays until the broker is done.  A named pipe must keep
 * its name for so long: a restarted broker finds the pipe by that.  Statuses as
 * above.
 */
sandbox_hv_status_t sandbox_broker_drain(int fd, sandbox_hv_error_t *err);

#endif
