/*
 * Checks that the agent of a guest answers: one HTTP request without
 * credentials, for which any HTTP answer will do, also a refusal.  Blocking;
 * pool threads only.
 */

#ifndef SANDBOX_PING_H
#define SANDBOX_PING_H

#include <stdint.h>

/* address: IPv4, host order.  0, or -1 without an answer by the deadline. */
int sandbox_ping(uint32_t address, uint16_t port, int64_t deadline_ms);

#endif
