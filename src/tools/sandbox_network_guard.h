/*
 * Whether the rules stand that a guest's packets must pass: anything that
 * loads a ruleset of its own may have flushed all others.
 *
 * Any thread; root only; waits for the kernel's answer alone.
 */

#ifndef SANDBOX_NETWORK_GUARD_H
#define SANDBOX_NETWORK_GUARD_H

/* 1 if those of scripts/host-network for this bridge do. */
int network_guard_stands(const char *bridge);

#endif
