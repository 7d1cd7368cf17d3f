/*
 * Ends the connections that a checkpoint has brought into a new machine.
 */

#ifndef AGENT_SOCKETS_H
#define AGENT_SOCKETS_H

/*
 * Ends every TCP connection and connected UDP socket whose local address is
 * neither a loopback one nor an address of an interface other than `device`:
 * its process gets ECONNABORTED.  Listening sockets stay.  Only in the network
 * namespace of the agent; blocking.  0, or -1 with errno set.
 */
int agent_sockets_end(const char *device);

#endif
