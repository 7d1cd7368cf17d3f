/*
 * Where a guest's agent is found: what both sides of docs/guest-protocol.md
 * must call by the same name.
 */

#ifndef SANDBOX_AGENT_H
#define SANDBOX_AGENT_H

/* its virtio-serial port, and the port of its HTTP server */
#define SANDBOX_AGENT_CHANNEL "org.sandbox.agent.0"
#define SANDBOX_AGENT_PORT 891

#endif
