/*
 * Checks that the rules that a guest's packets must pass still exist: a program
 * that loads its own ruleset may have flushed all others.
 *
 * Any thread; root only; waits for the kernel's answer only.
 */

#ifndef SANDBOX_NETWORK_GUARD_H
#define SANDBOX_NETWORK_GUARD_H

#include <stdint.h>

#define NETWORK_GUARD_MISSING 0
#define NETWORK_GUARD_UNKNOWN UINT64_MAX /* the kernel does not say */

/*
 * Looks at the tables of scripts/host-network for this bridge.  Returns a
 * number that changes when a table was made anew, which leaves its sets empty.
 */
uint64_t network_guard_look(const char *bridge);

#endif
