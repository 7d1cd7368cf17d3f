/*
 * Connection tracking: who gets an address next must not find the connections
 * of who had it.
 *
 * Blocks for as long as reading the table of all connections takes; any
 * thread; root only.
 */

#ifndef SANDBOX_NETWORK_FLOWS_H
#define SANDBOX_NETWORK_FLOWS_H

#include <stdint.h>

/*
 * Forgets all connections with an address of which of() says 1 (IPv4, host
 * order) at either end.  0, or -1 with a line on standard error.
 */
int network_flows_forget(int (*of)(uint32_t address, const void *data),
                         const void *data);

#endif
