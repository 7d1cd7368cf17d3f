/*
 * Whether the rules stand that a guest's packets must pass: anything that
 * loads a ruleset of its own may have flushed all others.
 *
 * Any thread; root only; waits for the kernel's answer alone.
 */

#ifndef SANDBOX_NETWORK_GUARD_H
#define SANDBOX_NETWORK_GUARD_H

#include <stdint.h>

#define NETWORK_GUARD_MISSING 0
#define NETWORK_GUARD_UNKNOWN UINT64_MAX /* the kernel does not say */

/*
 * The tables of scripts/host-network for this bridge: a number that is another
 * one when they were made anew, and with them all sets are empty.
 */
uint64_t network_guard_look(const char *bridge);

#endif
