/*
 * Where a guest's agent is found: what both sides of docs/guest-protocol.md
 * must call by the same name.
 */

#ifndef SANDBOX_AGENT_H
#define SANDBOX_AGENT_H

#define SANDBOX_AGENT_CHANNEL "org.sandbox.agent.0" /* its virtio-serial port  \
                                                     */
#define SANDBOX_AGENT_PORT 891                      /* of its HTTP server */

#endif
