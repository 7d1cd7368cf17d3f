/*
 * Settings of the bridge and its ports, one a guest, which nft's rules cannot
 * express.
 *
 * Any thread; root only; waits for the kernel's answer only.
 */

#ifndef SANDBOX_NETWORK_PORT_H
#define SANDBOX_NETWORK_PORT_H

/*
 * Binds this MAC address to the tap permanently: the bridge learns no address
 * from frames of the tap, and does not flood frames to it.  By default a bridge
 * sends a frame to all its ports when it has not seen the receiver for 5
 * minutes.  IPv6 of the host is disabled on the tap.  0, or -1 with a line on
 * standard error.
 */
int network_port_own(const char *tap, const char *mac);

/* Sets a bridge up or down (no frame passes then); ignores a missing one. */
void network_bridge_set(const char *bridge, int up);

#endif
