/*
 * What admits a guest to the network, as commands of nft that add and remove
 * elements.  The sets and the rules over them are scripts/host-network's.
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
 * Appends what leads from old to wanted, each NULL if there is nothing: the
 * commands are one transaction.  A silent guest has no elements.
 */
void network_rules_change(sandbox_text_t *t, const sandbox_network_t *old,
                          const sandbox_network_t *wanted);

/*
 * Appends what leads from whatever there is to these guests and no others, on
 * their bridges and on bridge (may be NULL).
 */
void network_rules_all(sandbox_text_t *t, const sandbox_network_t *guests,
                       size_t n, const char *bridge);

#endif
