/*
 * The path form of public traffic,
 * "/__ns-edge/sandboxes/{id}/ports/{port}/...".  Any thread; no I/O, no memory.
 */

#ifndef SANDBOX_EDGE_H
#define SANDBOX_EDGE_H

#include "sandbox_host.h"

/*
 * Reads the beginning of a request target as the client wrote it: the part that
 * names the sandbox may have no escapes.  0 with *prefix, the length of that
 * part, after which "/", "?" or nothing follows; or -1, nothing is set then.
 */
int sandbox_edge_parse(sandbox_host_t *host, size_t *prefix, const char *target,
                       size_t len);

#endif
