/*
 * The client of the memory broker of a hypervisor
 * (src/tools/sandbox_memory_broker.c), which opens for a worker files that only
 * QEMU's own user may open; and the protocol between the two.
 *
 * A connection is one request and one answer, a message each (SOCK_SEQPACKET):
 *
 *     open ID     asks for maps, pagemap and mem of the process of sandbox ID
 *     drain       comes with the reading end of a pipe, which is O_NONBLOCK
 *
 * The answer is "ok", to "open" with the three descriptors, or "error: why".
 *
 * Any thread that may block: a call waits two seconds for the broker.
 */

#ifndef SANDBOX_BROKER_H
#define SANDBOX_BROKER_H

#include "sandbox_hypervisor.h"

/*
 * The socket is in a directory of its own, which belongs to QEMU's user: the
 * directory above holds files of root's services, and must not.
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
 * Opens /proc/PID/{maps,pagemap,mem} of a sandbox's QEMU for reading (sandbox:
 * its id); the caller closes them.  All are -1 on failure.  UNAVAILABLE: the
 * broker is not there or does not answer; FAILED: it refuses, or its answer
 * is not as above.
 */
sandbox_hv_status_t
sandbox_broker_open(const char *sandbox, int fds[SANDBOX_BROKER_FILES],
                    sandbox_hv_error_t *err);

/*
 * Has the broker read and discard what comes through a pipe, until the pipe has
 * no writer any more.  fd, its reading end, must be O_NONBLOCK and stays the
 * caller's to close; a lock (flock) on it stays until the broker is done.  A
 * named pipe must keep its name for so long, by which a restarted broker finds
 * it.  Returns at once, with a status as above.
 */
sandbox_hv_status_t sandbox_broker_drain(int fd, sandbox_hv_error_t *err);

#endif
