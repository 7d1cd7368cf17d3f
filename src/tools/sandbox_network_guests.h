/*
 * The guests that are in the network of this hypervisor, as the watcher knows
 * them, and the elements of nft's sets that follow from that.  What is in the
 * kernel is always made from this table, whole or by what differs.
 *
 * Blocks; one thread; root only.
 */

#ifndef SANDBOX_NETWORK_GUESTS_H
#define SANDBOX_NETWORK_GUESTS_H

#include "sandbox_network.h"

/* What a domain is found to be. */
typedef struct {
    char uuid[SANDBOX_UUID_SIZE];
    int runs; /* 0: it has ended; nothing below counts */
    sandbox_network_t network;
    const char *error; /* set: why it is not in force, or NULL; static */
} network_domain_t;

/*
 * Brings guests in line with these domains, and leaves the others as they are.
 * Who ended is shut out and its connections are forgotten; so is who has the
 * address of one that runs.  Those that run are let in, or get another policy:
 * in one transaction, or each in one of its own if that fails.  A guest whose
 * change fails keeps what it had.
 */
void network_guests_change(network_domain_t *domains, size_t n);

/*
 * All guests are these, and all elements on their bridges and on bridge are
 * made anew.  0, or -1 with a line on standard error and error set in all; one
 * whose port cannot be set has its error set, and is shut out.
 */
int
network_guests_reset(network_domain_t *domains, size_t n, const char *bridge);

/*
 * Looks at the rules of each bridge of guests, and of bridge.  One without is
 * taken down until they are there again; when they were made anew, so are the
 * elements.  To be called often: between the two nothing guards the guests.
 */
void network_guests_guard(const char *bridge);

#endif
