/*
 * The memory broker of a hypervisor (src/tools/sandbox_memory_broker.c), which
 * opens for a worker what only QEMU's own user may open: what it is asked, and
 * how.
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
 * In a directory of the broker's own: what root's services keep is beside it,
 * and is not to be QEMU's user's.
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
 * /proc/PID/{maps,pagemap,mem} of a sandbox's QEMU, to be read, and closed by
 * the caller; all -1 on failure.  UNAVAILABLE: there is no broker, or none that
 * answers; FAILED: it has refused.
 */
sandbox_hv_status_t
sandbox_broker_open(const char *sandbox, int fds[SANDBOX_BROKER_FILES],
                    sandbox_hv_error_t *err);

/*
 * From here on the broker reads away what is in the pipe, until nobody can
 * write to it.  fd, which must be O_NONBLOCK, stays the caller's to close; a
 * lock (flock) on it goes on until the broker is done.  Where the pipe has a
 * name, that has to stay so long: another broker finds it by that when this one
 * has ended.  The same statuses.
 */
sandbox_hv_status_t sandbox_broker_drain(int fd, sandbox_hv_error_t *err);

#endif
