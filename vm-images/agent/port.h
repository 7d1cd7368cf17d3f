/*
 * The virtio-serial port that the bootstrap protocol runs on.  Event loop.
 */

#ifndef AGENT_PORT_H
#define AGENT_PORT_H

#include <stddef.h>

/*
 * Waits for the port, opens and watches it; input gets what the host writes.
 * 0, or -1 after a console line.
 */
int agent_port_open(void (*input)(void *data, const char *buf, size_t len),
                    void *data);

/* Queues bytes to the host; bytes that it does not read in time are dropped. */
void agent_port_write(const char *buf, size_t len);

#endif
