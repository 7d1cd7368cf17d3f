/*
 * Is somebody at home?  One HTTP request to the agent of a guest, without
 * credentials: any answer will do, a refusal is one.  Blocking; pool threads
 * only.
 */

#ifndef SANDBOX_PING_H
#define SANDBOX_PING_H

#include <stdint.h>

/* address: IPv4, host order.  0, or -1 if nothing was heard by the deadline. */
int sandbox_ping(uint32_t address, uint16_t port, int64_t deadline_ms);

#endif
