/*
 * The bridge and its ports, one a guest: what rules of nft cannot say.
 *
 * Any thread; root only; waits for the kernel's answer alone.
 */

#ifndef SANDBOX_NETWORK_PORT_H
#define SANDBOX_NETWORK_PORT_H

/*
 * The tap is where this MAC address is, for good: nothing is learnt from what
 * comes out of it, and it gets no frame that is for another.  Without that a
 * bridge gives a frame to all its ports when it has not heard of its receiver
 * for 5 minutes.  The tap has no IPv6 of its own either.  0, or -1 with a line
 * on standard error.
 */
int network_port_own(const char *tap, const char *mac);

/* Nothing passes one that is down; one that is not there is left so. */
void network_bridge_set(const char *bridge, int up);

#endif
