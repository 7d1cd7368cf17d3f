/*
 * Connection tracking: a guest must not inherit the connections of the guest
 * that had its address before.
 *
 * Blocks while it reads the table of all connections; any thread; root only.
 */

#ifndef SANDBOX_NETWORK_FLOWS_H
#define SANDBOX_NETWORK_FLOWS_H

#include <stdint.h>

/*
 * Removes all connections that have, at either end, an address (IPv4, host
 * order) for which of() returns 1.  0, or -1 with a line on standard error.
 */
int network_flows_forget(int (*of)(uint32_t address, const void *data),
                         const void *data);

#endif
