/*
 * The table of the guests that are in the network of this hypervisor, and the
 * elements of nft's sets that follow from it.  The elements in the kernel are
 * always made from this table, as a whole or by the differences.
 *
 * Blocks; one thread at a time; root only.
 */

#ifndef SANDBOX_NETWORK_GUESTS_H
#define SANDBOX_NETWORK_GUESTS_H

#include "sandbox_network.h"

/* A domain, as libvirt shows it. */
typedef struct {
    char uuid[SANDBOX_UUID_SIZE];
    int runs; /* 0: it has ended; nothing below counts */
    sandbox_network_t network;
    const char *error; /* set: why network is not in force, or NULL; static */
} network_domain_t;

/*
 * Updates the guests of these domains, and leaves the others as they are.  A
 * guest whose domain has ended is shut out and its connections are removed; so
 * is another guest that has the address of a running domain.  Running domains
 * are let in, or get another policy: in one transaction, or each in its own if
 * that fails.  A guest whose change fails keeps the policy that it had.
 */
void network_guests_change(network_domain_t *domains, size_t n);

/*
 * Replaces all guests by these domains, and makes all elements on their bridges
 * and on bridge anew.  0, or -1 with a line on standard error (and, unless
 * memory is out, error set in all); a domain whose port cannot be set has its
 * error set, and is shut out.
 */
int
network_guests_reset(network_domain_t *domains, size_t n, const char *bridge);

/*
 * Checks the rules of bridge and of each bridge of guests.  A bridge without
 * rules is taken down until the rules are there again; when they were made
 * anew, the elements are, too.  To be called often: between the loss of the
 * rules and this call nothing guards the guests.
 */
void network_guests_guard(const char *bridge);

#endif
