/*
 * Commands of nft that admit a guest to the network: they add and remove
 * elements of sets.  scripts/host-network makes the sets and their rules.
 *
 * Pure text; knows neither files nor libvirt.
 */

#ifndef SANDBOX_NETWORK_RULES_H
#define SANDBOX_NETWORK_RULES_H

#include "sandbox_network.h"

#define NETWORK_RULES_TAPS "bridge sandbox_taps"
#define NETWORK_RULES_TABLE_SIZE 40

/* Family and name of a bridge's table, as host-network spells it. */
void
network_rules_table(char table[NETWORK_RULES_TABLE_SIZE], const char *bridge);

/*
 * Appends the commands from old to wanted, each of which may be NULL for no
 * guest; they are one transaction.  A silent guest has no elements.
 */
void network_rules_change(sandbox_text_t *t, const sandbox_network_t *old,
                          const sandbox_network_t *wanted);

/*
 * Appends the commands that replace whatever elements there are by those of
 * these guests, on their bridges and on bridge (may be NULL).
 */
void network_rules_all(sandbox_text_t *t, const sandbox_network_t *guests,
                       size_t n, const char *bridge);

#endif
